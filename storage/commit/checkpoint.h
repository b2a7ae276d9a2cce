/*
 * The checkpoint: the whole state of the commits up to n, in one file that is replaced atomically. With no
 * journal beside it, all there is to know.
 *
 * Little endian: "VARVEC01", 16 bytes store id, u64 n, i64 time_ms, u64 reject_log_length, positions
 * (positions.h), u32 CRC32C of all before it.
 */
#ifndef VARVE_STORAGE_COMMIT_CHECKPOINT_H
#define VARVE_STORAGE_COMMIT_CHECKPOINT_H

#include "storage/commit/journal.h"

struct checkpoint {
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t n;
    int64_t time_ms;
    uint64_t reject_log_length;
    struct position_table positions;
};

void checkpoint_release(struct checkpoint *c);
/* Fills a zeroed checkpoint. ERR_CORRUPT for anything odd. */
int checkpoint_parse(struct checkpoint *c, const uint8_t *data, size_t size, struct error *reterr);
/* The same for a file; ERR_NOT_FOUND if there's none. */
int checkpoint_read(struct checkpoint *c, const char *path, struct error *reterr);
/* Replaces the file durably. */
int checkpoint_write(const struct checkpoint *c, const struct fs *fs, const char *path, struct error *reterr);

#endif
