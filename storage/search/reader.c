#include "storage/search/reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "storage/block/dedup.h"
#include "storage/commit/store_view.h"
#include "storage/part/part_search.h"
#include "storage/storage_impl.h"
#include "storage/store_dir.h"

/* Rows gathered at once by an export: series are taken in batches of about so many. */
#define EXPORT_BATCH_ROWS UINT64_C(2000000)

struct reader *reader_new(struct storage *st)
{
    return reader_new_of_range(st, INT64_MIN, INT64_MAX);
}

struct reader *reader_new_of_range(struct storage *st, int64_t start_ms, int64_t end_ms)
{
    /* If it fails, so has the store: what is answered now doesn't matter any more. */
    (void)storage_ensure_open(st, start_ms, end_ms, NULL);
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    struct reader *r = xcalloc(1, sizeof *r);
    r->lock_fd = -1;
    r->months = xcalloc(count, sizeof *r->months);
    r->min_ms = storage_retention_deadline(st);
    r->dedup_interval_ms = st->table.env.dedup_interval_ms;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i]->month.max_ms < start_ms || partitions[i]->month.min_ms > end_ms)
            continue;
        struct reader_month *m = &r->months[r->months_count++];
        m->month = partitions[i]->month;
        part_set_pin(&partitions[i]->data, &m->data, NULL, NULL);
        part_set_pin(&partitions[i]->index, &m->index, NULL, NULL);
    }
    free(partitions);
    return r;
}

void reader_set_check(struct reader *r, reader_check check, void *context)
{
    r->check = check;
    r->check_context = context;
}

static int open_month(const struct view_month *from, struct reader_month *to, struct error *reterr)
{
    to->month = from->month;
    for (size_t i = 0; i < from->parts_count; i++) {
        const struct view_part *vp = &from->parts[i];
        struct part *p;
        int r = part_open(&p, vp->place, vp->dir, vp->name, vp->commit, reterr);
        if (r < 0)
            return error_prefix(reterr, r == ERR_NOT_FOUND ? ERR_CORRUPT : r, "damaged part %s", vp->dir);
        part_list_add(p->place == PLACE_INDEX ? &to->index : &to->data, p);
    }
    return 0;
}

int reader_open_dir(struct reader **ret, const char *dir, struct error *reterr)
{
    struct reader *r = xcalloc(1, sizeof *r);
    struct store_view view = {0};
    r->lock_fd = -1;
    int rc = store_dir_is_store(dir) ? store_dir_lock(dir, true, &r->lock_fd, reterr)
                                     : error_set(reterr, ERR_NOT_FOUND, "%s: there's no store here", dir);
    if (rc == 0)
        rc = store_view_load(&view, dir, reterr);
    if (rc == 0) {
        r->months = xcalloc(view.months_count, sizeof *r->months);
        r->months_count = view.months_count;
        for (size_t i = 0; i < view.months_count && rc == 0; i++)
            rc = open_month(&view.months[i], &r->months[i], reterr);
    }
    store_view_release(&view);
    if (rc < 0) {
        reader_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void reader_free(struct reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->months_count; i++) {
        part_list_release(&r->months[i].data);
        part_list_release(&r->months[i].index);
    }
    free(r->months);
    if (r->lock_fd >= 0)
        (void)close(r->lock_fd);
    free(r);
}

/* --- export --- */

struct row {
    int64_t timestamp;
    double value;
};

/* The rows of one name. */
struct gathered {
    struct item name;
    struct row *rows;
    size_t count, capacity;
};

/* A TSID of the batch, and whose it is. */
struct wanted {
    struct tsid tsid;
    size_t owner; /* index into the batch's gathered */
};

struct batch {
    struct gathered *series;
    size_t series_count;
    struct wanted *wanted;
    struct tsid *tsids; /* of wanted, ascending */
    size_t wanted_count;
};

static int compare_wanted(const void *a, const void *b)
{
    return tsid_compare(&((const struct wanted *)a)->tsid, &((const struct wanted *)b)->tsid);
}

static void batch_release(struct batch *b)
{
    for (size_t i = 0; i < b->series_count; i++)
        free(b->series[i].rows);
    free(b->series);
    free(b->wanted);
    free(b->tsids);
}

/* Series from matches[*next] on, at most series_max names. */
static void batch_fill(struct batch *b, const struct series_matches *matches, size_t *next, size_t series_max)
{
    size_t end = *next, names = 0;
    while (end < matches->count) {
        bool new_name =
            end == *next || item_compare(matches->items[end].name, matches->items[end - 1].name) != 0;
        if (new_name && names == series_max)
            break;
        names += new_name;
        end++;
    }
    *b = (struct batch){
        .series = xcalloc(names, sizeof *b->series),
        .wanted = xcalloc(end - *next, sizeof *b->wanted),
        .tsids = xcalloc(end - *next, sizeof *b->tsids),
    };
    for (size_t i = *next; i < end; i++) {
        if (i == *next || item_compare(matches->items[i].name, matches->items[i - 1].name) != 0)
            b->series[b->series_count++].name = matches->items[i].name;
        b->wanted[b->wanted_count++] = (struct wanted){matches->items[i].tsid, b->series_count - 1};
    }
    qsort(b->wanted, b->wanted_count, sizeof *b->wanted, compare_wanted);
    for (size_t i = 0; i < b->wanted_count; i++)
        b->tsids[i] = b->wanted[i].tsid;
    *next = end;
}

static void add_rows(struct gathered *g, const struct part_search *ps)
{
    while (g->capacity - g->count < ps->rows_count) {
        g->capacity = g->capacity ? g->capacity * 2 : 64;
        g->rows = xreallocarray(g->rows, g->capacity, sizeof *g->rows);
    }
    for (size_t i = 0; i < ps->rows_count; i++)
        g->rows[g->count++] = (struct row){ps->timestamps[i], decimal_to_double(ps->mantissas[i], ps->scale)};
}

static int read_part(const struct reader *reader, const struct part *p, struct batch *b, int64_t start_ms,
                     int64_t end_ms, struct error *reterr)
{
    struct part_search ps;
    if (p->inmemory)
        part_search_init_inmemory(&ps, p->inmemory, b->tsids, b->wanted_count, start_ms, end_ms);
    else
        part_search_init_file(&ps, p->file, b->tsids, b->wanted_count, start_ms, end_ms);
    size_t at = 0;
    int r;
    while ((r = part_search_next(&ps, reterr)) == 1) {
        while (at < b->wanted_count && tsid_compare(&b->wanted[at].tsid, &ps.tsid) < 0)
            at++;
        if (at < b->wanted_count && tsid_compare(&b->wanted[at].tsid, &ps.tsid) == 0)
            add_rows(&b->series[b->wanted[at].owner], &ps);
        if ((r = reader_ask(reader, reterr)) < 0)
            break;
    }
    part_search_release(&ps);
    return r;
}

static int compare_rows(const void *a, const void *b)
{
    int64_t x = ((const struct row *)a)->timestamp, y = ((const struct row *)b)->timestamp;
    return (x > y) - (x < y);
}

static int hand_out(struct gathered *g, int64_t dedup_interval_ms,
                    int (*callback)(void *context, const struct series_rows *rows), void *context)
{
    if (!g->count)
        return 0;
    bool sorted = true;
    for (size_t i = 1; i < g->count && sorted; i++)
        sorted = g->rows[i - 1].timestamp <= g->rows[i].timestamp;
    if (!sorted)
        qsort(g->rows, g->count, sizeof *g->rows, compare_rows);
    int64_t *timestamps = xreallocarray(NULL, g->count, sizeof *timestamps);
    double *values = xreallocarray(NULL, g->count, sizeof *values);
    for (size_t i = 0; i < g->count; i++) {
        timestamps[i] = g->rows[i].timestamp;
        values[i] = g->rows[i].value;
    }
    size_t count = g->count;
    if (dedup_is_needed(timestamps, count, dedup_interval_ms))
        count = dedup_values(timestamps, values, count, dedup_interval_ms);
    const struct series_rows rows = {g->name.data, g->name.len, timestamps, values, count};
    int r = callback(context, &rows);
    free(timestamps);
    free(values);
    return r;
}

/* Names to take at once, so that about EXPORT_BATCH_ROWS rows are in memory. */
static size_t batch_series(const struct reader *r, const struct series_matches *matches, int64_t start_ms,
                           int64_t end_ms)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < r->months_count; i++) {
        const struct reader_month *m = &r->months[i];
        for (size_t k = 0; m->month.max_ms >= start_ms && m->month.min_ms <= end_ms && k < m->data.count; k++)
            rows += m->data.parts[k]->rows;
    }
    uint64_t per_series = rows / (matches->count ? matches->count : 1) + 1;
    uint64_t n = EXPORT_BATCH_ROWS / per_series;
    return n ? (size_t)n : 1;
}

int reader_export(struct reader *r, struct selector *const *selectors, size_t selectors_count,
                  int64_t start_ms, int64_t end_ms,
                  int (*callback)(void *context, const struct series_rows *rows), void *context,
                  struct error *reterr)
{
    start_ms = start_ms > r->min_ms ? start_ms : r->min_ms;
    struct series_matches matches = {0};
    int rc = series_match(r, selectors, selectors_count, start_ms, end_ms, false, &matches, reterr);
    size_t series_max = batch_series(r, &matches, start_ms, end_ms);
    for (size_t next = 0; rc == 0 && next < matches.count;) {
        struct batch b;
        batch_fill(&b, &matches, &next, series_max);
        for (size_t i = 0; i < r->months_count && rc == 0; i++) {
            const struct reader_month *m = &r->months[i];
            if (m->month.max_ms < start_ms || m->month.min_ms > end_ms)
                continue;
            for (size_t k = 0; k < m->data.count && rc == 0; k++)
                rc = read_part(r, m->data.parts[k], &b, start_ms, end_ms, reterr);
        }
        for (size_t i = 0; i < b.series_count && rc == 0; i++)
            rc = hand_out(&b.series[i], r->dedup_interval_ms, callback, context);
        batch_release(&b);
    }
    series_matches_release(&matches);
    return rc;
}

int reader_series(struct reader *r, struct selector *const *selectors, size_t selectors_count,
                  int64_t start_ms, int64_t end_ms,
                  int (*callback)(void *context, const struct series_rows *rows), void *context,
                  struct error *reterr)
{
    start_ms = start_ms > r->min_ms ? start_ms : r->min_ms;
    struct series_matches matches = {0};
    int rc = series_match(r, selectors, selectors_count, start_ms, end_ms, true, &matches, reterr);
    for (size_t i = 0; i < matches.count && rc == 0; i++) {
        if (i && item_compare(matches.items[i].name, matches.items[i - 1].name) == 0)
            continue;
        const struct series_rows rows = {.name = matches.items[i].name.data,
                                         .name_len = matches.items[i].name.len};
        rc = callback(context, &rows);
    }
    series_matches_release(&matches);
    return rc;
}
