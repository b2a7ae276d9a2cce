/*
 * One merge of file parts of one month, from the choice of its sources to their replacement.
 *
 * merge_select and merge_select_all mark the sources, so that no other merge takes them, and reserve the
 * space that the result may need; merge_run builds the result, swaps it in, and gives both back whatever
 * happens. Any thread; a task belongs to one.
 */
#ifndef VARVE_STORAGE_PARTITION_MERGE_TASK_H
#define VARVE_STORAGE_PARTITION_MERGE_TASK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/partition/partition.h"

struct merge_task {
    struct partition *pt;
    enum merge_kind kind;
    enum part_place to; /* where the result will be */
    struct part_list sources;
    uint64_t bytes;          /* of the sources; reserved */
    const atomic_bool *stop; /* ends it early: ERR_CANCELLED */
};

/* Chooses sources worth merging (format 10.3), whose sum is at most max_bytes. False if there are none that
 * fit the free space. Small parts that belong into a big one are left to MERGE_BIG: *ret_big_wanted (may be
 * NULL) says that there are such. */
bool merge_select(struct merge_task *ret, struct partition *pt, enum merge_kind kind, uint64_t max_bytes,
                  bool *ret_big_wanted);

/* All published parts of rows, or of the index, but at most max_parts, the smallest ones: for a forced merge.
 * Waits for merges that are at work on any of them (unless *stop: ERR_CANCELLED). 1; 0 if there are fewer
 * than min_parts; ERR_FULL, and the figures in the message, if there's less free than their sum. *ret_all
 * says whether no part was left out. */
int merge_select_all(struct merge_task *ret, struct partition *pt, bool index, size_t min_parts,
                     size_t max_parts, const atomic_bool *stop, bool *ret_all, struct error *reterr);

/* ERR_FULL, with the figures, if there's less free than a merge of so many bytes of that month may need. */
int merge_check_space(const struct partition *pt, uint64_t bytes, struct error *reterr);

/* Releases the task. ERR_CANCELLED, ERR_FULL (nothing changed), or another error (nothing changed; don't try
 * again). */
int merge_run(struct merge_task *task, struct error *reterr);

/* All published parts whose rows are all before the deadline, for merge_remove. False if there are none. */
bool merge_select_stale(struct merge_task *ret, struct partition *pt, int64_t deadline_ms);

/* Takes the sources away and puts nothing in their place. Releases the task; errors as of merge_run. */
int merge_remove(struct merge_task *task, struct error *reterr);

#endif
