#include "storage/partition/series_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
#include "storage/partition/month_series.h"
#include "storage/partition/partition_open.h"
#include "storage/series/index_items.h"

/* Read by the caller who touches a day first; what is more is left to the loader. */
#define ROWS_AT_ONCE 16384
/* Read by the loader without the lock, then taken over under it: a millisecond. */
#define ROWS_PER_TURN 4096

struct series_lookup {
    struct table *table;
    struct series_registry *registry;
    struct mutex lock; /* RANK_LOOKUP */
    /* Locked: */
    struct month_series **months;
    size_t months_count, months_capacity;
    struct index_item_writer rows;
    struct buffer name;
    struct loaded_rows found;
    uint64_t new_series, registrations;
    size_t rows_at_once;
    struct cond wake; /* of the loader */
    struct thread loader;
    bool stopping, loader_held;
    struct day_load *reading; /* by the loader, without the lock */
    bool reading_forgotten;   /* meanwhile: the loader frees it */
    struct error load_error;  /* what ended the loader */
};

struct series_lookup *series_lookup_new(struct table *table, struct series_registry *registry)
{
    struct series_lookup *l = xcalloc(1, sizeof *l);
    l->table = table;
    l->registry = registry;
    l->rows_at_once = ROWS_AT_ONCE;
    cond_init(&l->wake);
    mutex_init(&l->lock, RANK_LOOKUP);
    return l;
}

void series_lookup_free(struct series_lookup *l)
{
    if (!l)
        return;
    mutex_lock(&l->lock);
    l->stopping = true;
    cond_broadcast(&l->wake);
    mutex_unlock(&l->lock);
    thread_join(&l->loader);
    for (size_t i = 0; i < l->months_count; i++)
        month_series_free(l->months[i]);
    free(l->months);
    loaded_rows_release(&l->found);
    index_item_writer_release(&l->rows);
    buffer_release(&l->name);
    mutex_destroy(&l->lock);
    cond_destroy(&l->wake);
    free(l);
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

/* --- what the index knows --- */

/* Before the lock is taken, which others mustn't wait for. */
static int open_month(struct series_lookup *l, int64_t timestamp_ms, struct error *reterr)
{
    if (!atomic_load_explicit(&l->table->env.unopened_months, memory_order_relaxed))
        return 0;
    struct partition *pt = table_find(l->table, timestamp_ms);
    return pt ? partition_ensure_open(pt, reterr) : 0;
}

/* The next load that waits; by the order in which days were touched. */
static struct day_load *next_load(struct series_lookup *l)
{
    for (size_t i = l->months_count; i-- > 0;) {
        struct month_series *m = l->months[i];
        for (size_t k = 0; m->loads_count && k < m->days_count; k++)
            if (m->days[k].load)
                return m->days[k].load;
    }
    return NULL;
}

static struct day *day_of_load(struct series_lookup *l, const struct day_load *load,
                               struct month_series **ret_month)
{
    for (size_t i = 0; i < l->months_count; i++) {
        struct month_series *m = l->months[i];
        for (size_t k = 0; k < m->days_count; k++) {
            if (m->days[k].load != load)
                continue;
            *ret_month = m;
            return &m->days[k];
        }
    }
    return NULL;
}

/* Reads some rows of a day and takes them over. Returns as day_load_next. */
static int load_turn(struct series_lookup *l, struct day_load *load, struct loaded_rows *rows,
                     struct error *reterr) REQUIRES(l->lock)
{
    l->reading = load;
    l->reading_forgotten = false;
    mutex_unlock(&l->lock);
    int more = day_load_next(load, ROWS_PER_TURN, rows, reterr);
    mutex_lock(&l->lock);
    l->reading = NULL;
    if (l->reading_forgotten) { /* the month is out of retention */
        day_load_free(load);
        return 0;
    }
    struct month_series *m = NULL;
    struct day *day = day_of_load(l, load, &m);
    if (!day)
        return 0;
    int r = more < 0 ? more : month_series_learn(m, day, l->registry, rows, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "index of %s", m->pt->month.name);
    if (!more)
        month_series_day_loaded(m, day);
    return more;
}

/* Reads the rest of the days that were touched, while lookups go on. */
static void loader(void *arg)
{
    struct series_lookup *l = arg;
    struct loaded_rows rows = {0};
    mutex_lock(&l->lock);
    while (!l->stopping && !l->load_error.code) {
        struct day_load *load = l->loader_held ? NULL : next_load(l);
        if (!load) {
            cond_wait(&l->wake, &l->lock);
            continue;
        }
        struct error error = {0};
        if (load_turn(l, load, &rows, &error) < 0)
            l->load_error = error;
    }
    mutex_unlock(&l->lock);
    loaded_rows_release(&rows);
}

static int add_day(struct series_lookup *l, struct month_series *m, uint64_t date, size_t rows_at_once,
                   struct error *reterr)
{
    struct day *day = month_series_add_day(m, date);
    int r = rows_at_once ? day_load_next(day->load, rows_at_once, &l->found, reterr) : 1;
    if (r < 0)
        return r;
    bool more = r;
    r = rows_at_once ? month_series_learn(m, day, l->registry, &l->found, reterr) : 0;
    if (r < 0)
        return r;
    if (!more) {
        month_series_day_loaded(m, day);
        return 0;
    }
    if (l->loader.started)
        cond_broadcast(&l->wake);
    else
        thread_start(&l->loader, "day-loader", loader, l);
    return 0;
}

/* The state of the month and day of a timestamp; what the index knows of it is read from the first touch on:
 * rows_at_once of them now. */
static int touch(struct series_lookup *l, int64_t timestamp_ms, size_t rows_at_once,
                 struct month_series **ret_month, struct day **ret_day, struct error *reterr)
{
    uint64_t date = (uint64_t)(timestamp_ms / DAY_MS);
    struct month_series *m = find_month(l, timestamp_ms);
    struct day *day = m ? month_series_day(m, date) : NULL;
    if (l->load_error.code) {
        if (reterr)
            *reterr = l->load_error;
        return l->load_error.code;
    }
    if (day) {
        *ret_month = m;
        *ret_day = day;
        return 0;
    }
    bool new_month = !m;
    if (new_month) {
        m = month_series_new(create_partition(l->table, timestamp_ms));
        GROW(l->months, l->months_count, l->months_capacity);
        l->months[l->months_count++] = m;
    }
    struct index_scan scan;
    index_scan_open(&scan, m->pt);
    uint64_t earlier = 0;
    int r = new_month ? metric_id_set_load_deleted(&m->deleted, &scan.search, reterr) : 0;
    if (r == 0)
        r = month_series_day_before(m, date, &scan, &earlier, reterr);
    index_scan_close(&scan);
    if (r == 0)
        r = add_day(l, m, date, rows_at_once, reterr);
    if (r == 0 && earlier && !month_series_day(m, earlier))
        r = add_day(l, m, earlier, rows_at_once, reterr);
    *ret_month = m;
    *ret_day = month_series_day(m, date);
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
    l->registrations++;
    return 0;
}

static int resolve_locked(struct series_lookup *l, int64_t timestamp_ms, uint32_t *ret_series,
                          struct error *reterr)
{
    struct month_series *m;
    struct day *day;
    int r = touch(l, timestamp_ms, l->rows_at_once, &m, &day, reterr);
    if (r < 0)
        return r;
    struct item name = {l->name.data, l->name.len};
    uint64_t hash = series_name_hash(name.data, name.len);
    uint32_t series;
    if (m->loads_count && !(series_registry_find(l->registry, name.data, name.len, hash, &series) &&
                            series_set_has(&day->series, series)))
        r = month_series_learn_name(m, day, l->registry, name, &l->found, reterr);
    if (r == 0)
        r = series_registry_add(l->registry, name.data, name.len, hash, NULL, &series, reterr);
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
    int r = open_month(l, timestamp_ms, reterr);
    if (r < 0)
        return r;
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
    int r = open_month(l, timestamp_ms, reterr);
    if (r < 0)
        return r;
    mutex_lock(&l->lock);
    r = touch(l, timestamp_ms, l->rows_at_once, &m, &day, reterr);
    if (r == 0 && m->loads_count && !series_set_has(&day->series, series))
        r = month_series_learn_name(m, day, l->registry, series_registry_name(l->registry, series), &l->found,
                                    reterr);
    if (r == 0)
        r = add_rows(l, m, day, series, reterr);
    mutex_unlock(&l->lock);
    return r;
}

int series_lookup_preload(struct series_lookup *l, int64_t timestamp_ms, struct error *reterr)
{
    struct month_series *m;
    struct day *day;
    if (!table_find(l->table, timestamp_ms))
        return 0;
    int r = open_month(l, timestamp_ms, reterr);
    if (r < 0)
        return r;
    mutex_lock(&l->lock);
    r = touch(l, timestamp_ms, 0, &m, &day, reterr);
    mutex_unlock(&l->lock);
    return r;
}

void series_lookup_set_loading(struct series_lookup *l, size_t rows_at_once, bool in_background)
{
    mutex_lock(&l->lock);
    l->rows_at_once = rows_at_once;
    l->loader_held = !in_background;
    cond_broadcast(&l->wake);
    mutex_unlock(&l->lock);
}

bool series_lookup_is_loading(struct series_lookup *l)
{
    mutex_lock(&l->lock);
    bool is_loading = next_load(l) != NULL && !l->load_error.code;
    mutex_unlock(&l->lock);
    return is_loading;
}

/* The loader may be reading one of its days. */
static void forget_month(struct series_lookup *l, struct month_series *m)
{
    for (size_t i = 0; l->reading && i < m->days_count; i++) {
        if (m->days[i].load != l->reading)
            continue;
        l->reading_forgotten = true;
        m->days[i].load = NULL;
    }
    month_series_free(m);
}

void series_lookup_forget_months(struct series_lookup *l, int64_t before_ms)
{
    mutex_lock(&l->lock);
    size_t kept = 0;
    for (size_t i = 0; i < l->months_count; i++) {
        if (l->months[i]->pt->month.max_ms < before_ms)
            forget_month(l, l->months[i]);
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
    /* Under the lock: whoever touches the month next reads from its parts what is deleted. */
    partition_flush_index_rows(pt);
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

uint64_t series_lookup_registrations(struct series_lookup *l)
{
    mutex_lock(&l->lock);
    uint64_t n = l->registrations;
    mutex_unlock(&l->lock);
    return n;
}
