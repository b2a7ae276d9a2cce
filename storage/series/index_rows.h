/*
 * Index rows of one table that wait for the next in-memory part, in the shape that makes that cheap.
 *
 * A new series adds dozens of tag rows, but most of its tags are those of many others: so tags are looked up
 * in a hash table as they come, and only (tag, id) pairs are kept. Sorting then sees each distinct tag once,
 * not each row; rows of the other kinds are kept apart by kind, most of them in order already. The outcome is
 * what index_item_writer's rows, sorted and joined to at most 64 ids a row, would be. A zeroed struct is
 * empty; it may be moved by assignment. Not thread-safe.
 */
#ifndef VARVE_STORAGE_SERIES_INDEX_ROWS_H
#define VARVE_STORAGE_SERIES_INDEX_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "storage/mergeset/inmemory_item_part.h"
#include "storage/series/index_items.h"

struct tag_entry;
struct tag_slot;

struct index_rows {
    struct items by_kind[INDEX_KINDS]; /* whole rows; none for kinds 1 and 6 */
    /* Distinct (date or none, tag), and the pairs. */
    struct buffer tags;
    struct tag_entry *entries;
    size_t entries_count, entries_capacity;
    struct tag_slot *slots;
    size_t slots_count;
    uint32_t *posting_entries; /* [i] and [i] make a pair */
    uint64_t *posting_ids;
    size_t postings_count, postings_capacity;
};

/* The rows of a series that is new in the month (kinds 1, 2, 3) or on the date (5, 6, 7). w holds its name.
 */
void index_rows_add_series(struct index_rows *rows, const struct index_item_writer *w,
                           const struct tsid *tsid);
void index_rows_add_date(struct index_rows *rows, const struct index_item_writer *w, uint64_t date,
                         const struct tsid *tsid);
/* A row of kind 4. */
void index_rows_add_deleted(struct index_rows *rows, uint64_t metric_id);

/* Whether there is nothing to build. */
bool index_rows_empty(const struct index_rows *rows);
/* Memory held. */
size_t index_rows_memory(const struct index_rows *rows);

/* All rows as a part, which the caller owns; the list is emptied and keeps its memory. NULL if it was empty.
 */
struct inmemory_item_part *index_rows_build(struct index_rows *rows);
void index_rows_release(struct index_rows *rows);

#endif
