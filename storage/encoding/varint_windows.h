/*
 * What eight bytes of short varints hold, by which of them have their continuation bit set: a table of
 * shuffles (the idea of Masked VByte, Plaisant, Kurz, Lemire 2015). For varint_array.c and varint_sums.c.
 */
#ifndef VARVE_STORAGE_ENCODING_VARINT_WINDOWS_H
#define VARVE_STORAGE_ENCODING_VARINT_WINDOWS_H

#include <stdint.h>

/* The integers of one byte and two, up to the first longer one or one that isn't whole. */
struct varint_window {
    uint8_t shuffle[16]; /* brings each into a lane of 16 bits; 0x80 gives zero */
    uint8_t count, bytes;
};

/* 256 of them, by continuation bits, that of the first byte lowest. Any thread. */
const struct varint_window *varint_windows(void);

#endif
