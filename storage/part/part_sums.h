/*
 * varve.sums: sizes and checksums of the files of one part, data or index, as the format has none of its own.
 *
 * A text file inside the part directory (stock servers keep and ignore extra files there), one line a file:
 * CRC32C as 8 hex digits, space, size in bytes, space, name, newline. A part without it was written by a
 * stock server.
 */
#ifndef VARVE_STORAGE_PART_PART_SUMS_H
#define VARVE_STORAGE_PART_PART_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/fs/fs.h"

#define PART_SUMS_FILE     "varve.sums"
#define PART_SUMS_NAME_MAX 64

struct part_sum {
    char name[PART_SUMS_NAME_MAX];
    uint64_t size;
    uint32_t crc;
};

/* A zeroed struct is an empty list. */
struct part_sums {
    struct part_sum *items;
    size_t count, capacity;
};

/* name: a file of the part, shorter than PART_SUMS_NAME_MAX. */
void part_sums_add(struct part_sums *sums, const char *name, uint64_t size, uint32_t crc);
/* The same from a file that was written to its end (finished or not). */
void part_sums_add_file(struct part_sums *sums, const char *name, const struct fs_file *f);
void part_sums_release(struct part_sums *sums);

/* Writes and syncs dir/varve.sums; the directory itself is synced by the caller. */
int part_sums_write(const struct part_sums *sums, const struct fs *fs, const char *dir, struct error *reterr);

/* Reads the text of a varve.sums; at least one file, and the line of its own, which isn't in the list.
 * Release the list. */
int part_sums_parse(struct part_sums *ret, const void *text, size_t size, struct error *reterr);

/* 1 and the list, or 0 if the part has none. ERR_CORRUPT for a file that breaks its format. Release the list.
 */
int part_sums_read(struct part_sums *ret, const char *dir, struct error *reterr);

/* Quick, for opening a part: each file listed is there with its size, and those that opening reads whole
 * (metaindex.bin, metadata.json) have their checksum. 0 also when the part has no sums. ERR_CORRUPT names the
 * file. */
int part_sums_check_at_open(const char *dir, struct error *reterr);

/* Reads all bytes of the files and compares. 1: all equal; 0: the part has no sums; ERR_CORRUPT names the
 * file. */
int part_sums_verify(const char *dir, struct error *reterr);

#endif
