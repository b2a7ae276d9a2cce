/*
 * A sorted, immutable list of items that is searched and merged like a file part: what index rows are
 * between their making and the next flush. Not compressed. Any number of threads may read it.
 */
#ifndef VARVE_STORAGE_MERGESET_INMEMORY_ITEM_PART_H
#define VARVE_STORAGE_MERGESET_INMEMORY_ITEM_PART_H

#include "storage/mergeset/items.h"

struct inmemory_item_part {
    struct items items; /* sorted, no exact duplicates, arena in the same order */
};

/* Sorts the list, drops exact duplicates, lets prepare (may be NULL) join rows block by block, and stores
 * the result compactly. *items is emptied, its memory kept for the next round. NULL if nothing is left. */
struct inmemory_item_part *inmemory_item_part_new(struct items *items, item_prepare_block_fn prepare,
                                                  void *context);
/* Of a sorted list without duplicates, which it takes over: *items is emptied. NULL if it is empty. */
struct inmemory_item_part *inmemory_item_part_from_sorted(struct items *items);
/* NULL is fine. */
void inmemory_item_part_free(struct inmemory_item_part *imp);

/* Bytes of its items, uncompressed. */
uint64_t inmemory_item_part_size(const struct inmemory_item_part *imp);
/* Memory that it holds. */
uint64_t inmemory_item_part_memory(const struct inmemory_item_part *imp);
uint64_t inmemory_item_part_items_count(const struct inmemory_item_part *imp);
/* The largest item < key: 1 and *ret_item (borrowed), or 0. */
int inmemory_item_part_last_before(const struct inmemory_item_part *imp, struct item key,
                                   struct item *ret_item);

#endif
