/*
 * varve/cache/largest_ids: the largest metric id in the index of each month, so that a store needn't open all
 * of its index to know from where new ids count up (format 5).
 *
 * It's a cache: what it says of a month counts only for the very list of index parts that it was written for,
 * in the store and not before the commit that it names; parts are immutable, so an equal list has an equal
 * largest id. Whatever is odd about it, it's dropped, and the month's index is looked at. Text:
 *
 *   varve largest ids 1 STORE-ID COMMIT
 *   YYYY_MM PARTS-HASH ID            one line a month, ascending; hash and id in 16 hex digits
 *   CRC32C                           8 hex digits, of all lines before it
 */
#ifndef VARVE_STORAGE_SERIES_LARGEST_IDS_H
#define VARVE_STORAGE_SERIES_LARGEST_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/fs/file_names.h"
#include "storage/fs/fs.h"

#define LARGEST_IDS_STORE_ID_LEN 32

struct largest_id {
    char month[MONTH_TEXT_SIZE];
    uint64_t parts_hash;
    uint64_t id; /* 0: no series */
};

/* Zeroed is empty. */
struct largest_ids {
    char store_id[LARGEST_IDS_STORE_ID_LEN + 1]; /* hex digits */
    uint64_t commit;
    struct largest_id *months;
    size_t count, capacity;
};

void largest_ids_release(struct largest_ids *ids);
/* months are added in ascending order. */
void largest_ids_add(struct largest_ids *ids, const char *month, uint64_t parts_hash, uint64_t id);
/* False if nothing is known of that month with those parts. */
bool largest_ids_find(const struct largest_ids *ids, const char *month, uint64_t parts_hash,
                      uint64_t *ret_id);

/* Of the names of a month's index parts, in any order: the sum of their XXH3 hashes, and their number. */
uint64_t largest_ids_parts_hash(const char *const *names, size_t count);

void largest_ids_print(const struct largest_ids *ids, struct buffer *dst);
/* Fills a zeroed struct. ERR_CORRUPT for anything that largest_ids_print doesn't print. */
int largest_ids_parse(struct largest_ids *ids, const char *text, size_t size, struct error *reterr);

/* Reads the file below root. Empty if there's none, or one that is damaged, or of another store, or of a
 * later commit than `commit`. */
void largest_ids_read(struct largest_ids *ids, const char *root, const char *store_id, uint64_t commit);
/* Replaces it. Errors may be ignored: it's a cache. */
int largest_ids_write(const struct largest_ids *ids, const struct fs *fs, const char *root,
                      struct error *reterr);

#endif
