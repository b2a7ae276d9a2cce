/* Reads index rows, and makes the keys to search them by. The table of kinds is in index_items.h. Rows come
 * from disk: nothing is trusted. */
#ifndef VARVE_STORAGE_SERIES_INDEX_ROW_H
#define VARVE_STORAGE_SERIES_INDEX_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/endian.h"
#include "src/base/error.h"
#include "storage/block/tsid.h"
#include "storage/series/index_items.h"

/* A parsed row; views borrow from the item. What a kind doesn't have is zero. */
struct index_row {
    enum index_kind kind;
    uint64_t date;      /* 5, 6, 7 */
    uint64_t metric_id; /* 2, 3, 4, 5; of the TSID for 0, 7 */
    struct tsid tsid;   /* 0, 2, 7 */
    struct item name;   /* 0, 3, 7: canonical */
    struct item key;    /* 1, 6: still escaped, without the separator */
    struct item value;  /* 1, 6: still escaped, without the separator */
    struct item prefix; /* 1, 6: the row up to its ids */
    const uint8_t *ids; /* 1, 6: big endian, unaligned; see index_row_id */
    size_t ids_count;
};

/* ERR_CORRUPT for rows that break the format, ERR_INVALID for a kind beyond those known (foreign rows are
 * kept, not read). */
int index_row_parse(struct index_row *ret_row, struct item item, struct error *reterr);

static inline uint64_t index_row_id(const struct index_row *row, size_t i)
{
    return get_be64(row->ids + 8 * i);
}

/* --- keys: each appends to dst; search for items that start with them --- */

/* kind alone, or kind and a number: 2, 3, 4 with an id, 5, 6, 7 with a date. */
void index_key_kind(struct buffer *dst, enum index_kind kind);
void index_key_number(struct buffer *dst, enum index_kind kind, uint64_t number);
/* 5: is this id known on this date? (the row itself) */
void index_key_date_id(struct buffer *dst, uint64_t date, uint64_t metric_id);
/* 7: TSIDs of this name on this date. */
void index_key_date_name(struct buffer *dst, uint64_t date, const uint8_t *canonical, size_t len);
/* 1: rows of a tag, or of all values of the key when value is NULL; key "" is the group. */
void index_key_tag(struct buffer *dst, const void *key, size_t key_len, const void *value, size_t value_len);
/* 6: the same on a date. */
void index_key_date_tag(struct buffer *dst, uint64_t date, const void *key, size_t key_len, const void *value,
                        size_t value_len);

#endif
