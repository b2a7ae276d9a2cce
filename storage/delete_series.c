#include "storage/delete_series.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/search/reader.h"
#include "storage/series/metric_id_set.h"
#include "storage/storage_impl.h"

/* Commits wait for the search. */
#define SEARCH_MS_MAX (10 * SECOND_MS)

struct deleted_month {
    struct partition *pt;
    struct metric_id_set ids;
    struct series_matches matches; /* owns the names */
};

struct deletion {
    struct deleted_month *months;
    size_t months_count;
    struct item *names; /* of all months; some more than once */
    size_t names_count;
    uint64_t ids_count; /* distinct */
    bool applied;
};

static void deletion_release(struct deletion *d)
{
    for (size_t i = 0; i < d->months_count; i++) {
        metric_id_set_release(&d->months[i].ids);
        series_matches_release(&d->months[i].matches);
    }
    free(d->months);
    free(d->names);
}

static int find_in_month(struct reader *r, struct deleted_month *m, struct selector *const *selectors,
                         size_t selectors_count, struct error *reterr)
{
    const struct month *month = &m->pt->month;
    int rc =
        series_match(r, selectors, selectors_count, month->min_ms, month->max_ms, false, &m->matches, reterr);
    for (size_t i = 0; i < m->matches.count; i++)
        metric_id_set_add(&m->ids, m->matches.items[i].tsid.metric_id);
    metric_id_set_sort(&m->ids);
    return rc;
}

static void count_all(struct deletion *d)
{
    struct metric_id_set all = {0};
    size_t names_count = 0;
    for (size_t i = 0; i < d->months_count; i++) {
        names_count += d->months[i].matches.count;
        for (size_t k = 0; k < d->months[i].ids.count; k++)
            metric_id_set_add(&all, d->months[i].ids.ids[k]);
    }
    metric_id_set_sort(&all);
    d->ids_count = all.count;
    metric_id_set_release(&all);
    d->names = xreallocarray(NULL, names_count + 1, sizeof *d->names);
    for (size_t i = 0; i < d->months_count; i++)
        for (size_t k = 0; k < d->months[i].matches.count; k++)
            d->names[d->names_count++] = d->months[i].matches.items[k].name;
}

static int ends_in_time(void *context, struct error *reterr)
{
    const int64_t *end_ms = context;
    if (clock_monotonic_ms() < *end_ms)
        return 0;
    return error_set(reterr, ERR_CANCELLED,
                     "nothing was deleted: the search took more than %d s, and commits wait for it; name the "
                     "series by a label that equals a value",
                     (int)(SEARCH_MS_MAX / SECOND_MS));
}

/* What matches now. Series that are made between this and the cut stay. */
static int find(struct storage *st, struct selector *const *selectors, size_t selectors_count,
                struct deletion *d, struct error *reterr)
{
    storage_flush_index_rows(st);
    struct partition **partitions = table_partitions(&st->table, &d->months_count);
    d->months = xcalloc(d->months_count, sizeof *d->months);
    struct reader *r = reader_new(st);
    int64_t end_ms = clock_monotonic_ms() + SEARCH_MS_MAX;
    reader_set_check(r, ends_in_time, &end_ms);
    int rc = 0;
    for (size_t i = 0; i < d->months_count; i++)
        d->months[i].pt = partitions[i];
    for (size_t i = 0; i < d->months_count && rc == 0; i++)
        rc = find_in_month(r, &d->months[i], selectors, selectors_count, reterr);
    reader_free(r);
    free(partitions);
    if (rc == 0)
        count_all(d);
    return rc;
}

void storage_apply_deletion(struct storage *st, struct deletion *d)
{
    for (size_t i = 0; i < d->months_count; i++)
        if (d->months[i].ids.count)
            series_lookup_delete_ids(st->lookup, d->months[i].pt, &d->months[i].ids);
    series_lookup_delete(st->lookup, d->names, d->names_count);
    /* Before the writers go on: from here on nothing shows the series, and whoever resolves a name of theirs
     * must find it deleted. */
    storage_flush_index_rows(st);
    atomic_fetch_add(&st->series_generation, 1);
    d->applied = true;
}

int storage_delete_series(struct storage *st, struct selector *const *selectors, size_t selectors_count,
                          int64_t timeout_ms, uint64_t *ret_count, struct error *reterr)
{
    struct deletion d = {0};
    if (!selectors_count) /* it would match all there is */
        return error_set(reterr, ERR_INVALID, "no selector: nothing is deleted");
    int r = storage_ensure_open(st, INT64_MIN, INT64_MAX, reterr);
    if (r < 0)
        return r;
    /* No commit may run between the deletion and its own: it would take the rows of kind 4 along, and not the
     * rows. */
    if (!storage_take_turn(st, timeout_ms))
        return error_set(reterr, ERR_CANCELLED, "a commit is under way; try again");
    r = find(st, selectors, selectors_count, &d, reterr);
    if (r == 0 && d.ids_count) {
        st->deletion = &d;
        r = storage_commit_round(st, reterr);
        st->deletion = NULL;
    }
    storage_end_turn(st);
    if ((r == ERR_FULL || r == ERR_CANCELLED) && d.applied)
        (void)error_set(reterr, r,
                        "the series are gone from answers, but not yet durably: the next commit does it");
    if (r == 0)
        *ret_count = d.ids_count;
    deletion_release(&d);
    return r;
}
