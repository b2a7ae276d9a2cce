/* Series in TSID order, at one moment: what raw rows are sorted by. Immutable, counted. */
#ifndef VARVE_STORAGE_SERIES_SERIES_RANKS_H
#define VARVE_STORAGE_SERIES_SERIES_RANKS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/block/tsid.h"

/* The first three fields are laid out as struct series_ranks of storage/part/inmemory_part.h. */
struct series_ranks_snapshot {
    const uint32_t *rank_by_series; /* handle -> place in the order; count entries */
    const struct tsid *tsid_by_rank;
    size_t count;
    const uint32_t *series_by_rank; /* the inverse of rank_by_series */
    atomic_uint refs;
};

struct series_rank_entry {
    struct tsid tsid;
    uint32_t series;
};

/* A snapshot of old's series and the added ones (sorted in place), whose handles go on where old's end. One
 * reference, the caller's. O(added log added) and a few copies of old. */
struct series_ranks_snapshot *series_ranks_build(const struct series_ranks_snapshot *old,
                                                 struct series_rank_entry *added, size_t added_count);

struct series_ranks_snapshot *series_ranks_ref(struct series_ranks_snapshot *snapshot);
/* NULL is fine; returns NULL. */
struct series_ranks_snapshot *series_ranks_unref(struct series_ranks_snapshot *snapshot);

#endif
