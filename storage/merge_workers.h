/*
 * The threads that merge parts: small ones, big ones and parts of the index each have a pool of their own, so
 * that no kind waits for another's; a long big merge never holds up small ones.
 *
 * Nothing is polled: whoever makes a part wakes the pool that may want it. A pool's threads are started as
 * they're needed, at most as many as told, and then wait for more work.
 */
#ifndef VARVE_STORAGE_MERGE_WORKERS_H
#define VARVE_STORAGE_MERGE_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/partition/partition.h"

struct storage;
struct merge_workers;

#define MERGE_POOLS MERGE_FORCED /* of merge_kind: those before it */

/* Workers of each pool: count, or as many as there are cores if it's 0. */
unsigned merge_workers_count(unsigned count);
/* Each thread starts when there's work for it. To be freed before the store. */
struct merge_workers *start_merge_workers(struct storage *st, unsigned count);
/* Ends running merges early (env.stop_merges must be set) and joins all threads. NULL is fine. */
void merge_workers_free(struct merge_workers *mw);

/* There may be work for this pool. Any thread, any locks but leaves. */
void merge_workers_wake(struct merge_workers *mw, enum merge_kind kind);
/* The same for all pools: after a commit, or when space was freed. */
void merge_workers_wake_all(struct merge_workers *mw);

/* Merges once if there's work of this kind, of parts of at most max_bytes in all, in the calling thread, and
 * copes with the failure of a merge: EIO ends the store, damage suspends the merges of that month. 1: merged,
 * 0: nothing to do or failed; ERR_FULL, ERR_CANCELLED. */
int merge_once(struct storage *st, enum merge_kind kind, uint64_t max_bytes);
/* The second half of that, for other merges: result as merge_run's. */
int merge_result(struct storage *st, struct partition *pt, int result, const struct error *error);

#endif
