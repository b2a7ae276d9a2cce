#include "storage/partition/series_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/mergeset/item_search.h"
#include "storage/series/index_items.h"
#include "storage/series/index_row.h"
#include "storage/series/metric_id_set.h"
#include "storage/series/series_set.h"

struct day {
    uint64_t date; /* days since the epoch */
    struct series_set series;
};

struct month_series {
    struct partition *pt;
    struct series_set series; /* those with rows of kinds 1, 2, 3 in the month, as far as known */
    struct metric_id_set deleted;
    struct day *days;
    size_t days_count, days_capacity;
};

struct series_lookup {
    struct table *table;
    struct series_registry *registry;
    struct mutex lock; /* RANK_LOOKUP */
    /* Locked: */
    struct month_series **months;
    size_t months_count, months_capacity;
    struct index_item_writer rows;
    struct buffer name;
    uint64_t new_series;
};

struct series_lookup *series_lookup_new(struct table *table, struct series_registry *registry)
{
    struct series_lookup *l = xcalloc(1, sizeof *l);
    l->table = table;
    l->registry = registry;
    mutex_init(&l->lock, RANK_LOOKUP);
    return l;
}

static void month_series_free(struct month_series *m)
{
    for (size_t k = 0; k < m->days_count; k++)
        series_set_release(&m->days[k].series);
    series_set_release(&m->series);
    metric_id_set_release(&m->deleted);
    free(m->days);
    free(m);
}

void series_lookup_free(struct series_lookup *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->months_count; i++)
        month_series_free(l->months[i]);
    free(l->months);
    index_item_writer_release(&l->rows);
    buffer_release(&l->name);
    mutex_destroy(&l->lock);
    free(l);
}

/* --- what the index knows --- */

struct index_scan {
    struct part_list parts;
    struct item_source *sources;
    struct item_search search;
};

static void scan_open(struct index_scan *scan, struct partition *pt)
{
    *scan = (struct index_scan){0};
    part_set_pin(&pt->index, &scan->parts, NULL, NULL);
    scan->sources = xcalloc(scan->parts.count, sizeof *scan->sources);
    for (size_t i = 0; i < scan->parts.count; i++)
        scan->sources[i] = part_item_source(scan->parts.parts[i]);
    item_search_init(&scan->search, scan->sources, scan->parts.count);
}

static void scan_close(struct index_scan *scan)
{
    item_search_release(&scan->search);
    free(scan->sources);
    part_list_release(&scan->parts);
}

/* Learns the series of one day: names, TSIDs, and that they're registered. */
static int load_day(struct series_lookup *l, struct month_series *m, struct day *day, struct index_scan *scan,
                    struct error *reterr)
{
    struct buffer prefix = {0};
    index_key_number(&prefix, INDEX_DATE_NAME_TSID, day->date);
    int r = item_search_first_with_prefix(&scan->search, prefix.data, prefix.len, reterr);
    for (; r == 1; r = item_search_next(&scan->search, reterr)) {
        struct item item = scan->search.item;
        if (item.len < prefix.len || memcmp(item.data, prefix.data, prefix.len) != 0)
            break;
        struct index_row row;
        r = index_row_parse(&row, item, reterr);
        if (r < 0)
            break;
        if (metric_id_set_has(&m->deleted, row.tsid.metric_id))
            continue;
        uint32_t series;
        uint64_t hash = series_name_hash(row.name.data, row.name.len);
        r = series_registry_add(l->registry, row.name.data, row.name.len, hash, &row.tsid, &series, reterr);
        if (r < 0)
            break;
        /* Known under another id from another month: that id goes on, and is registered here when it's
         * needed. */
        if (series_registry_tsid(l->registry, series).metric_id != row.tsid.metric_id)
            continue;
        series_set_add(&day->series, series);
        series_set_add(&m->series, series);
    }
    buffer_release(&prefix);
    return r < 0 ? r : 0;
}

/* The latest day before `date` in the same month that has series; 0 if there's none. */
static int latest_day_before(const struct month_series *m, uint64_t date, struct index_scan *scan,
                             uint64_t *ret_date, struct error *reterr)
{
    uint64_t first = (uint64_t)(m->pt->month.min_ms / DAY_MS);
    *ret_date = 0;
    for (uint64_t d = date; d > first;) {
        struct buffer prefix = {0};
        index_key_number(&prefix, INDEX_DATE_ID, --d);
        int r = item_search_first_with_prefix(&scan->search, prefix.data, prefix.len, reterr);
        buffer_release(&prefix);
        if (r < 0)
            return r;
        if (r == 1) {
            *ret_date = d;
            return 0;
        }
    }
    return 0;
}

static struct day *find_day(struct month_series *m, uint64_t date)
{
    for (size_t i = m->days_count; i-- > 0;)
        if (m->days[i].date == date)
            return &m->days[i];
    return NULL;
}

static struct day *add_day(struct month_series *m, uint64_t date)
{
    GROW(m->days, m->days_count, m->days_capacity);
    m->days[m->days_count] = (struct day){.date = date};
    return &m->days[m->days_count++];
}

static struct month_series *find_month(struct series_lookup *l, int64_t timestamp_ms)
{
    for (size_t i = l->months_count; i-- > 0;) {
        const struct month *month = &l->months[i]->pt->month;
        if (month->min_ms <= timestamp_ms && timestamp_ms <= month->max_ms)
            return l->months[i];
    }
    return NULL;
}

/* The state of the month and day of a timestamp, read from the index at the first touch. */
static int touch(struct series_lookup *l, int64_t timestamp_ms, struct month_series **ret_month,
                 struct day **ret_day, struct error *reterr)
{
    uint64_t date = (uint64_t)(timestamp_ms / DAY_MS);
    struct month_series *m = find_month(l, timestamp_ms);
    struct day *day = m ? find_day(m, date) : NULL;
    if (day) {
        *ret_month = m;
        *ret_day = day;
        return 0;
    }
    bool new_month = !m;
    if (new_month) {
        m = xcalloc(1, sizeof *m);
        m->pt = create_partition(l->table, timestamp_ms);
        GROW(l->months, l->months_count, l->months_capacity);
        l->months[l->months_count++] = m;
    }
    struct index_scan scan;
    scan_open(&scan, m->pt);
    uint64_t earlier = 0;
    int r = new_month ? metric_id_set_load_deleted(&m->deleted, &scan.search, reterr) : 0;
    if (r == 0)
        r = latest_day_before(m, date, &scan, &earlier, reterr);
    if (r == 0 && earlier && !find_day(m, earlier))
        r = load_day(l, m, add_day(m, earlier), &scan, reterr);
    if (r == 0)
        r = load_day(l, m, add_day(m, date), &scan, reterr);
    scan_close(&scan);
    *ret_month = m;
    *ret_day = find_day(m, date);
    return r == 0 ? 0 : error_prefix(reterr, r, "index of %s", m->pt->month.name);
}

/* Writes the rows that are missing: of the month, of the day. */
static int add_rows(struct series_lookup *l, struct month_series *m, struct day *day, uint32_t series,
                    struct error *reterr)
{
    if (!series_set_add(&day->series, series))
        return 0;
    struct item name = series_registry_name(l->registry, series);
    struct tsid tsid = series_registry_tsid(l->registry, series);
    int r = index_item_writer_set(&l->rows, name.data, name.len, reterr);
    if (r < 0)
        return r;
    bool new_in_month = series_set_add(&m->series, series);
    struct index_rows *pending = partition_lock_index_rows(m->pt);
    if (new_in_month)
        index_rows_add_series(pending, &l->rows, &tsid);
    index_rows_add_date(pending, &l->rows, day->date, &tsid);
    partition_unlock_index_rows(m->pt);
    return 0;
}

static int resolve_locked(struct series_lookup *l, int64_t timestamp_ms, uint32_t *ret_series,
                          struct error *reterr)
{
    struct month_series *m;
    struct day *day;
    int r = touch(l, timestamp_ms, &m, &day, reterr);
    if (r < 0)
        return r;
    uint64_t hash = series_name_hash(l->name.data, l->name.len);
    uint32_t series;
    r = series_registry_add(l->registry, l->name.data, l->name.len, hash, NULL, &series, reterr);
    if (r < 0)
        return r;
    l->new_series += r == 1;
    r = add_rows(l, m, day, series, reterr);
    if (r == 0)
        *ret_series = series;
    return r;
}

int series_lookup_resolve(struct series_lookup *l, const struct metric_label *labels, size_t labels_count,
                          const struct metric_name_limits *limits, int64_t timestamp_ms, uint32_t *ret_series,
                          const char **ret_reason, struct error *reterr)
{
    enum metric_name_fault fault = metric_name_check(labels, labels_count, limits);
    int r = 0;
    mutex_lock(&l->lock);
    if (fault == METRIC_NAME_OK) {
        buffer_clear(&l->name);
        metric_name_canonical(&l->name, labels, labels_count);
        if (!metric_name_fits(l->name.data, l->name.len))
            fault = METRIC_NAME_TOO_LONG;
    }
    if (fault == METRIC_NAME_OK)
        r = resolve_locked(l, timestamp_ms, ret_series, reterr);
    mutex_unlock(&l->lock);
    if (fault != METRIC_NAME_OK) {
        *ret_reason = metric_name_fault_reason(fault);
        return error_set(reterr, ERR_INVALID, "%s", *ret_reason);
    }
    return r;
}

int series_lookup_register(struct series_lookup *l, uint32_t series, int64_t timestamp_ms,
                           struct error *reterr)
{
    struct month_series *m;
    struct day *day;
    mutex_lock(&l->lock);
    int r = touch(l, timestamp_ms, &m, &day, reterr);
    if (r == 0)
        r = add_rows(l, m, day, series, reterr);
    mutex_unlock(&l->lock);
    return r;
}

void series_lookup_forget_months(struct series_lookup *l, int64_t before_ms)
{
    mutex_lock(&l->lock);
    size_t kept = 0;
    for (size_t i = 0; i < l->months_count; i++) {
        if (l->months[i]->pt->month.max_ms < before_ms)
            month_series_free(l->months[i]);
        else
            l->months[kept++] = l->months[i];
    }
    l->months_count = kept;
    mutex_unlock(&l->lock);
}

/* --- deletion --- */

/* Kind 4 in the months where this process registered the series, whatever their index shows yet. */
static void delete_where_registered(struct series_lookup *l, uint32_t series)
{
    uint64_t id = series_registry_tsid(l->registry, series).metric_id;
    for (size_t i = 0; i < l->months_count; i++) {
        struct month_series *m = l->months[i];
        if (!series_set_has(&m->series, series))
            continue;
        index_rows_add_deleted(partition_lock_index_rows(m->pt), id);
        partition_unlock_index_rows(m->pt);
        metric_id_set_add(&m->deleted, id);
    }
}

void series_lookup_delete(struct series_lookup *l, const struct item *names, size_t names_count)
{
    mutex_lock(&l->lock);
    for (size_t i = 0; i < names_count; i++) {
        uint32_t series;
        uint64_t hash = series_name_hash(names[i].data, names[i].len);
        if (series_registry_forget(l->registry, names[i].data, names[i].len, hash, &series))
            delete_where_registered(l, series);
    }
    for (size_t i = 0; i < l->months_count; i++)
        metric_id_set_sort(&l->months[i]->deleted);
    mutex_unlock(&l->lock);
}

void series_lookup_delete_ids(struct series_lookup *l, struct partition *pt, const struct metric_id_set *ids)
{
    mutex_lock(&l->lock);
    struct index_rows *pending = partition_lock_index_rows(pt);
    for (size_t i = 0; i < ids->count; i++)
        index_rows_add_deleted(pending, ids->ids[i]);
    partition_unlock_index_rows(pt);
    for (size_t i = 0; i < l->months_count; i++) {
        struct month_series *m = l->months[i];
        if (m->pt != pt)
            continue;
        for (size_t k = 0; k < ids->count; k++)
            metric_id_set_add(&m->deleted, ids->ids[k]);
        metric_id_set_sort(&m->deleted);
    }
    mutex_unlock(&l->lock);
}

uint64_t series_lookup_new_series(struct series_lookup *l)
{
    mutex_lock(&l->lock);
    uint64_t n = l->new_series;
    mutex_unlock(&l->lock);
    return n;
}
