/* The order of series by TSID, kept up as series are added (see series_registry.h). */
#include "storage/series/series_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

static int compare_new(const void *a, const void *b)
{
    const struct series_rank_entry *x = a, *y = b;
    return tsid_compare(&x->tsid, &y->tsid);
}

/* How many of old's series come before tsid, at or after place from. */
static size_t place_of(const struct series_ranks_snapshot *old, size_t from, const struct tsid *tsid)
{
    size_t low = from, high = old->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tsid_compare(&old->tsid_by_rank[middle], tsid) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct series_ranks_snapshot *series_ranks_build(const struct series_ranks_snapshot *old,
                                                 struct series_rank_entry *added, size_t added_count)
{
    size_t count = old->count + added_count;
    struct series_ranks_snapshot *snapshot = xcalloc(1, sizeof *snapshot);
    uint32_t *rank_by_series = xreallocarray(NULL, count ? count : 1, sizeof *rank_by_series);
    struct tsid *tsid_by_rank = xreallocarray(NULL, count ? count : 1, sizeof *tsid_by_rank);
    uint32_t *series_by_rank = xreallocarray(NULL, count ? count : 1, sizeof *series_by_rank);
    if (added_count)
        qsort(added, added_count, sizeof *added, compare_new);

    size_t from = 0, rank = 0; /* places taken from old; places filled */
    for (size_t i = 0; i <= added_count; i++) {
        /* The run of old series before the next new one moves as a whole. */
        size_t to = i < added_count ? place_of(old, from, &added[i].tsid) : old->count;
        if (to > from) {
            memcpy(tsid_by_rank + rank, old->tsid_by_rank + from, (to - from) * sizeof *tsid_by_rank);
            memcpy(series_by_rank + rank, old->series_by_rank + from, (to - from) * sizeof *series_by_rank);
            rank += to - from;
            from = to;
        }
        if (i < added_count) {
            tsid_by_rank[rank] = added[i].tsid;
            series_by_rank[rank++] = added[i].series;
        }
    }
    for (size_t i = 0; i < count; i++)
        rank_by_series[series_by_rank[i]] = (uint32_t)i;
    snapshot->rank_by_series = rank_by_series;
    snapshot->tsid_by_rank = tsid_by_rank;
    snapshot->series_by_rank = series_by_rank;
    snapshot->count = count;
    atomic_init(&snapshot->refs, 1);
    return snapshot;
}

struct series_ranks_snapshot *series_ranks_ref(struct series_ranks_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

struct series_ranks_snapshot *series_ranks_unref(struct series_ranks_snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    free((void *)snapshot->rank_by_series);
    free((void *)snapshot->tsid_by_rank);
    free((void *)snapshot->series_by_rank);
    free(snapshot);
    return NULL;
}
