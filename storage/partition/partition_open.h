/*
 * Opening the parts that a month had when the store was opened: by whoever needs them first, or ahead of that
 * by the store's own threads (open_months.c).
 *
 * Until then the month takes rows and index rows like any other, as those don't touch what is on disk; who
 * reads its parts, changes its parts.json or looks for its series calls partition_ensure_open first.
 */
#ifndef VARVE_STORAGE_PARTITION_PARTITION_OPEN_H
#define VARVE_STORAGE_PARTITION_PARTITION_OPEN_H

#include "storage/partition/partition.h"

/* A part to be opened by partition_ensure_open: listed as name in directory dir. Before other threads know
 * pt.
 */
void partition_add_unopened(struct partition *pt, enum part_place place, const char *dir, const char *name);
void partition_release_unopened(struct partition *pt);

/* largest_ids_parts_hash of the index parts among them; with no other thread at work. */
uint64_t partition_unopened_hash(const struct partition *pt);

static inline bool partition_is_open(const struct partition *pt)
{
    return !atomic_load_explicit(&pt->unopened, memory_order_acquire);
}

/* Raises *ret to the largest metric id of an index part, if it's larger. */
int part_largest_metric_id(const struct part *p, uint64_t *ret, struct error *reterr);

/* Returns 0 when all parts are there. Waits for another thread that is at it; any thread, in the lock order
 * before RANK_TABLE. ERR_CORRUPT names the damaged part, for every caller anew. */
int partition_ensure_open(struct partition *pt, struct error *reterr);

#endif
