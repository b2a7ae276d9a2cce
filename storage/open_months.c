#include "storage/open_months.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/partition/partition_open.h"
#include "storage/series/largest_ids.h"
#include "storage/storage_impl.h"

/* More threads than cores: at a cold start they mostly wait for the disk. */
#define THREADS_PER_CORE 2
#define THREADS_MAX      32

struct month_opener {
    struct storage *st;
    struct partition **months; /* in the order in which they're opened */
    size_t count;
    atomic_size_t next;
    atomic_bool stopping;
    struct thread threads[THREADS_MAX];
    struct mutex lock; /* RANK_LEAF */
    /* Locked: of the first month, in that order, that couldn't be opened. */
    struct error error;
    size_t error_at;
};

static struct month_opener *opener_new(struct storage *st, size_t count)
{
    struct month_opener *o = xcalloc(1, sizeof *o);
    o->st = st;
    o->months = xcalloc(count + 1, sizeof(struct partition *));
    o->error_at = SIZE_MAX;
    mutex_init(&o->lock, RANK_LEAF);
    return o;
}

static void opener_free(struct month_opener *o)
{
    for (size_t i = 0; i < THREADS_MAX; i++)
        thread_join(&o->threads[i]);
    mutex_destroy(&o->lock);
    free(o->months);
    free(o);
}

static void keep_error(struct month_opener *o, size_t at, const struct error *error)
{
    mutex_lock(&o->lock);
    if (at < o->error_at) {
        o->error_at = at;
        o->error = *error;
    }
    mutex_unlock(&o->lock);
}

static void open_next_months(void *arg)
{
    struct month_opener *o = arg;
    size_t at;
    while (!atomic_load(&o->stopping) && (at = atomic_fetch_add(&o->next, 1)) < o->count) {
        struct error error = {0};
        if (partition_ensure_open(o->months[at], &error) < 0)
            keep_error(o, at, &error);
    }
}

static size_t threads_for(size_t months)
{
    size_t threads = merge_workers_count(0) * (size_t)THREADS_PER_CORE;
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    return months < threads ? months : threads;
}

/* All of them, side by side; the caller helps. */
static int open_all(struct month_opener *o, struct error *reterr)
{
    for (size_t i = 0; i + 1 < threads_for(o->count); i++)
        thread_start(&o->threads[i], "month-opener", open_next_months, o);
    open_next_months(o);
    for (size_t i = 0; i < THREADS_MAX; i++)
        thread_join(&o->threads[i]);
    if (o->error_at == SIZE_MAX)
        return 0;
    if (reterr)
        *reterr = o->error;
    return o->error.code;
}

/* --- what the view lists --- */

static uint64_t index_parts_hash(const struct view_month *m)
{
    const char **names = xcalloc(m->parts_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < m->parts_count; i++)
        if (m->parts[i].place == PLACE_INDEX)
            names[count++] = m->parts[i].name;
    uint64_t hash = largest_ids_parts_hash(names, count);
    free(names);
    return hash;
}

/* True if the month's largest id is known without a look at its index. */
static bool add_month(struct storage *st, const struct view_month *m, const struct largest_ids *known,
                      struct partition **ret, uint64_t *ret_id)
{
    struct partition *pt = *ret = create_partition(&st->table, m->month.min_ms);
    for (size_t i = 0; i < m->parts_count; i++)
        partition_add_unopened(pt, m->parts[i].place, m->parts[i].dir, m->parts[i].name);
    return largest_ids_find(known, m->month.name, index_parts_hash(m), ret_id);
}

int open_months(struct storage *st, const struct store_view *view, bool in_background,
                uint64_t *ret_largest_id, struct error *reterr)
{
    struct month_opener *o = opener_new(st, view->months_count);
    struct largest_ids known = {0};
    if (in_background)
        largest_ids_read(&known, st->root, st->id_text, view->state.n);
    for (size_t i = view->months_count; i-- > 0;) { /* the newest first */
        struct partition *pt;
        uint64_t id = 0;
        if (add_month(st, &view->months[i], &known, &pt, &id))
            *ret_largest_id = id > *ret_largest_id ? id : *ret_largest_id;
        else
            o->months[o->count++] = pt;
    }
    largest_ids_release(&known);
    int r = open_all(o, reterr);
    for (size_t i = 0; i < o->count && r == 0; i++)
        if (o->months[i]->largest_metric_id > *ret_largest_id)
            *ret_largest_id = o->months[i]->largest_metric_id;
    opener_free(o);
    return r;
}

/* --- in the background --- */

static void open_in_background(void *arg)
{
    struct month_opener *o = arg;
    open_next_months(o);
    mutex_lock(&o->lock);
    bool failed = o->error_at != SIZE_MAX;
    mutex_unlock(&o->lock);
    if (failed)
        (void)storage_fail(o->st, &o->error);
}

/* The day that samples most likely come for. */
static void preload(void *arg)
{
    struct month_opener *o = arg;
    struct error error = {0};
    /* Not while the index may still get parts that this process didn't make (commit/two_phase.c). */
    if (storage_undecided_ms(o->st) < 0 && series_lookup_preload(o->st->lookup, clock_now_ms(), &error) < 0)
        (void)storage_fail(o->st, &error);
    open_in_background(o);
}

void start_month_openers(struct storage *st)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    struct month_opener *o = st->month_opener = opener_new(st, count);
    for (size_t i = count; i-- > 0;)
        if (!partition_is_open(partitions[i]))
            o->months[o->count++] = partitions[i];
    free(partitions);
    thread_start(&o->threads[0], "month-opener", preload, o);
    for (size_t i = 1; i < threads_for(o->count); i++)
        thread_start(&o->threads[i], "month-opener", open_in_background, o);
}

void stop_month_openers(struct storage *st)
{
    if (!st->month_opener)
        return;
    atomic_store(&st->month_opener->stopping, true);
    opener_free(st->month_opener);
    st->month_opener = NULL;
}

int storage_ensure_open(struct storage *st, int64_t start_ms, int64_t end_ms, struct error *reterr)
{
    if (!atomic_load(&st->table.env.unopened_months))
        return 0;
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    struct error error = {0};
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct month *month = &partitions[i]->month;
        if (month->max_ms >= start_ms && month->min_ms <= end_ms)
            r = partition_ensure_open(partitions[i], &error);
    }
    free(partitions);
    if (r < 0) {
        (void)storage_fail(st, &error);
        if (reterr)
            *reterr = error;
    }
    return r;
}

/* --- for the next open --- */

static uint64_t listed_parts_hash(struct partition *pt)
{
    struct part_list parts = {0};
    part_set_pin(&pt->index, &parts, NULL, NULL);
    const char **names = xcalloc(parts.count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < parts.count; i++)
        if (parts.parts[i]->name)
            names[count++] = parts.parts[i]->name;
    uint64_t hash = largest_ids_parts_hash(names, count);
    free(names);
    part_list_release(&parts);
    return hash;
}

void storage_write_largest_ids(struct storage *st)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    struct largest_ids ids = {.commit = atomic_load(&st->commit_number)};
    /* No id of the store is larger: that's as good as the exact one. */
    uint64_t largest = series_registry_next_metric_id(st->registry) - 1;
    memcpy(ids.store_id, st->id_text, sizeof ids.store_id);
    for (size_t i = 0; i < count; i++) {
        struct partition *pt = partitions[i];
        largest_ids_add(&ids, pt->month.name,
                        partition_is_open(pt) ? listed_parts_hash(pt) : partition_unopened_hash(pt), largest);
    }
    free(partitions);
    (void)largest_ids_write(&ids, st->table.env.fs, st->root, NULL);
    largest_ids_release(&ids);
}
