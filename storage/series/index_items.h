/*
 * The index rows of a series (format 8; VictoriaMetrics lib/storage/index_db.go).
 *
 *   kind  key -> value              after the kind byte                          when
 *   1     tag -> ids                esc(key) esc(value) ids                      new in the month
 *   2     id -> TSID                u64 id, TSID                                 new in the month
 *   3     id -> name                u64 id, canonical name                       new in the month
 *   4     deleted id                u64 id                                       deletion
 *   5     date -> id                u64 date, u64 id                             new on the date
 *   6     (date, tag) -> ids        u64 date, esc(key) esc(value) ids            new on the date
 *   7     (date, name) -> TSID      u64 date, canonical name, 02, TSID           new on the date
 *
 * esc: metric_name.h. ids: one or more u64, ascending, at most 64 in rows that we write. Dates are days since
 * the epoch, of the sample. A series with t tags writes per prefix (01, or 06 and the date) 1 + 2t tag rows,
 * one more if its group holds a dot:
 *
 *   key ""                              value group
 *   key ff                              value group reversed, only with a dot in it
 *   key of each tag                     its value
 *   key fe uv(len) group key, of each   its value ("composite"; the whole key is escaped)
 *
 * Kind 0 (name -> TSID) belongs to legacy tables and is only read by other tools.
 */
#ifndef VARVE_STORAGE_SERIES_INDEX_ITEMS_H
#define VARVE_STORAGE_SERIES_INDEX_ITEMS_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/block/tsid.h"
#include "storage/mergeset/items.h"
#include "storage/series/metric_name.h"

/* First byte of a row: on disk, never to be changed. */
enum index_kind {
    INDEX_NAME_TSID = 0,
    INDEX_TAG_IDS = 1,
    INDEX_ID_TSID = 2,
    INDEX_ID_NAME = 3,
    INDEX_DELETED_ID = 4,
    INDEX_DATE_ID = 5,
    INDEX_DATE_TAG_IDS = 6,
    INDEX_DATE_NAME_TSID = 7,
};

/* One more than the largest. */
#define INDEX_KINDS 8

#define INDEX_IDS_PER_ROW_MAX 64u

/* Between name and TSID in rows of kinds 0 and 7. */
#define INDEX_NAME_SEPARATOR 0x02

/* First byte of special tag keys. */
#define INDEX_KEY_COMPOSITE     0xfe
#define INDEX_KEY_REVERSE_GROUP 0xff

struct name_tag;

/* The name of one series, taken apart into what its rows are made of. Zeroed is empty; reusable; one thread.
 */
struct index_item_writer {
    struct item name;   /* canonical, borrowed */
    struct buffer tags; /* esc(key) esc(value) of every tag row, back to back */
    uint32_t *tag_ends; /* where each ends */
    uint64_t *tag_hashes;
    size_t tags_count, tags_capacity;
    struct name_tag *name_tags; /* where the tags lie in the name */
    size_t name_tags_count, name_tags_capacity;
    struct buffer scratch;
};

/* The series whose rows come next; canonical is borrowed until the next call and must pass metric_name_fits.
 * ERR_CORRUPT if it isn't a name. */
int index_item_writer_set(struct index_item_writer *w, const uint8_t *canonical, size_t len,
                          struct error *reterr);
void index_item_writer_release(struct index_item_writer *w);

/* Appends the rows of a series that is new in the month (kinds 3, 2, 1), or on the date (5, 7, 6), one by
 * one. For many series index_rows.h is cheaper. */
void index_item_writer_add_series(const struct index_item_writer *w, struct items *dst,
                                  const struct tsid *tsid);
void index_item_writer_add_date(const struct index_item_writer *w, struct items *dst, uint64_t date,
                                const struct tsid *tsid);

/* Single rows: kinds 2, 3, 4, 5, 7. */
void index_item_add_tsid(struct items *dst, const struct tsid *tsid);
void index_item_add_name(struct items *dst, struct item name, uint64_t metric_id);
void index_items_add_deleted(struct items *dst, uint64_t metric_id);
void index_item_add_date_id(struct items *dst, uint64_t date, uint64_t metric_id);
void index_item_add_date_name(struct items *dst, uint64_t date, struct item name, const struct tsid *tsid);

/* Puts ids into order without duplicates, in place; returns how many are left. Cheap if they already are. */
size_t index_ids_sort(uint64_t *ids, size_t count);

/* item_prepare_block_fn for index tables: joins tag rows (format 7.3; mergeTagToMetricIDsRows), first those
 * of kind 1, then of kind 6. Neighbours with one prefix become one row of sorted, distinct ids, closed once
 * it has 64 or more; rows that have 64 or more, and the first and last of the block, stay. If the outcome
 * isn't sorted (ids in several rows), or a row doesn't parse, the block stays as it was. context is unused:
 * NULL. */
void index_items_merge_tag_rows(void *context, struct items *block);

#endif
