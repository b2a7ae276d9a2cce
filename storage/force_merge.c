/*
 * Forced merges (format 10.2): all parts of a month become one, and all parts of its index.
 *
 * The reference goes over a month again and again, at most 15 parts at a time, until one part is left. Here
 * one pass over all parts does it: the blocks come out the same, and each row is decoded and encoded once.
 */
#include "storage/force_merge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/back_pressure.h"
#include "storage/merge_workers.h"
#include "storage/partition/merge_task.h"
#include "storage/storage_impl.h"

/* Each source has an index block and its mappings open: more parts than these take more than one pass. */
#define PASS_PARTS_MAX 128

struct force_merge {
    struct storage *st;
    struct mutex lock; /* RANK_LEAF */
    struct cond changed;
    struct thread thread;
    atomic_bool stop; /* at once */
    /* Locked: */
    bool thread_runs;
    bool running; /* one at a time */
    char **waiting;
    size_t waiting_count, waiting_capacity;
    struct storage_merge_progress progress;
    uint64_t rows_before, bytes_before; /* the counters when it began */
};

/* --- what there is to do --- */

static bool has_prefix(const struct partition *pt, const char *prefix)
{
    return strncmp(pt->month.name, prefix, strlen(prefix)) == 0;
}

static bool is_on_disk(const struct part *p, void *arg)
{
    (void)arg;
    return !part_is_inmemory(p);
}

/* Adds up the parts of a set; returns how many. */
static size_t add_up(struct part_set *set, uint64_t *rows, uint64_t *bytes)
{
    struct part_list parts = {0};
    part_set_pin(set, &parts, is_on_disk, NULL);
    size_t count = parts.count;
    for (size_t i = 0; i < count; i++) {
        *rows += parts.parts[i]->rows;
        *bytes += parts.parts[i]->bytes;
    }
    part_list_release(&parts);
    return count;
}

/* ERR_FULL, with the figures, if a month can't be merged for want of space. */
static int plan(struct storage *st, const char *prefix, struct storage_merge_progress *ret,
                struct error *reterr)
{
    size_t count;
    int r = storage_ensure_open(st, INT64_MIN, INT64_MAX, reterr);
    if (r < 0)
        return r;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count && r == 0; i++) {
        struct partition *pt = partitions[i];
        uint64_t bytes = 0;
        if (!has_prefix(pt, prefix))
            continue;
        ret->months_count++;
        if (add_up(&pt->data, &ret->rows_total, &bytes))
            r = merge_check_space(pt, bytes, reterr);
        ret->bytes_total += bytes;
        uint64_t rows = 0, index_bytes = 0;
        if (r == 0 && add_up(&pt->index, &rows, &index_bytes) > 1) {
            r = merge_check_space(pt, index_bytes, reterr);
            ret->rows_total += rows;
            ret->bytes_total += index_bytes;
        }
    }
    free(partitions);
    return r;
}

/* --- doing it --- */

/* min_parts 1: a single part is rewritten, too, for what retention, deletes or dedup take from it. */
static int merge_set(struct force_merge *fm, struct partition *pt, bool index, size_t min_parts,
                     struct error *reterr)
{
    bool all = false;
    int r = 0;
    while (r == 0 && !all) {
        struct merge_task task;
        r = merge_select_all(&task, pt, index, min_parts, PASS_PARTS_MAX, &fm->stop, &all, reterr);
        if (r == 1)
            r = merge_run(&task, reterr);
    }
    return r;
}

static int merge_month(struct force_merge *fm, struct partition *pt, struct error *reterr)
{
    if (atomic_load(&pt->merge_suspended))
        return error_set(reterr, ERR_CORRUPT, "month %s has a damaged part: `varve verify` names it",
                         pt->month.name);
    int r = merge_set(fm, pt, false, 1, reterr);
    if (r == 0)
        r = merge_set(fm, pt, true, 2, reterr);
    return r;
}

/* Rows in memory become parts, and a durable record calls them published: only such are merged. */
static int make_parts(struct storage *st, struct error *reterr)
{
    int r = storage_flush(st, -1, reterr);
    return r < 0 ? r : storage_flush(st, -1, reterr);
}

static void set_month(struct force_merge *fm, const char *month)
{
    mutex_lock(&fm->lock);
    memcpy(fm->progress.month, month, MONTH_TEXT_SIZE);
    mutex_unlock(&fm->lock);
}

static void count_month(struct force_merge *fm)
{
    mutex_lock(&fm->lock);
    fm->progress.months_done++;
    mutex_unlock(&fm->lock);
}

static int merge_months(struct force_merge *fm, const char *prefix, struct error *reterr)
{
    struct storage *st = fm->st;
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        if (!has_prefix(partitions[i], prefix))
            continue;
        set_month(fm, partitions[i]->month.name);
        r = merge_month(fm, partitions[i], reterr);
        if (r < 0) {
            struct error copy = {0};
            if (reterr)
                copy = *reterr;
            (void)merge_result(st, partitions[i], r, &copy);
        } else {
            count_month(fm);
        }
    }
    free(partitions);
    return r;
}

static void set_plan(struct force_merge *fm, struct storage_merge_progress *p)
{
    const struct merge_counters *c = &fm->st->table.env.merges[MERGE_FORCED];
    mutex_lock(&fm->lock);
    p->running = true;
    p->started_ms = clock_monotonic_ms();
    p->done_total = fm->progress.done_total;
    p->failed_total = fm->progress.failed_total;
    fm->progress = *p;
    fm->rows_before = atomic_load(&c->rows);
    fm->bytes_before = atomic_load(&c->bytes_read);
    mutex_unlock(&fm->lock);
}

/* The turn is the caller's. */
static int run(struct force_merge *fm, const char *prefix, struct error *reterr)
{
    struct storage_merge_progress p = {0};
    set_plan(fm, &p); /* none yet */
    int r = make_parts(fm->st, reterr);
    if (r == 0)
        r = plan(fm->st, prefix, &p, reterr);
    set_plan(fm, &p);
    if (r == 0)
        r = merge_months(fm, prefix, reterr);
    back_pressure_measure(fm->st);
    return r < 0 ? r : (int)p.months_count;
}

static bool take_turn(struct force_merge *fm) REQUIRES(fm->lock)
{
    while (fm->running && !atomic_load(&fm->stop))
        cond_wait(&fm->changed, &fm->lock);
    return !atomic_load(&fm->stop) && (fm->running = true);
}

static void end_turn(struct force_merge *fm, int result)
{
    mutex_lock(&fm->lock);
    fm->running = false;
    fm->progress.running = false;
    if (result < 0)
        fm->progress.failed_total++;
    else
        fm->progress.done_total++;
    cond_broadcast(&fm->changed);
    mutex_unlock(&fm->lock);
}

int storage_force_merge(struct storage *st, const char *partition_prefix, struct error *reterr)
{
    struct force_merge *fm = st->force_merge;
    mutex_lock(&fm->lock);
    bool mine = take_turn(fm);
    mutex_unlock(&fm->lock);
    if (!mine)
        return error_set(reterr, ERR_CANCELLED, "the store is stopping");
    int r = run(fm, partition_prefix, reterr);
    end_turn(fm, r);
    return r;
}

/* --- in the background --- */

static char *next_request(struct force_merge *fm)
{
    char *prefix = NULL;
    mutex_lock(&fm->lock);
    if (fm->waiting_count && take_turn(fm) && fm->waiting_count) {
        prefix = fm->waiting[0];
        memmove(fm->waiting, fm->waiting + 1, --fm->waiting_count * sizeof *fm->waiting);
    } else {
        fm->thread_runs = false;
    }
    mutex_unlock(&fm->lock);
    return prefix;
}

static void background(void *arg)
{
    struct force_merge *fm = arg;
    struct storage *st = fm->st;
    char *prefix;
    while ((prefix = next_request(fm))) {
        struct error error = {0};
        int r = run(fm, prefix, &error);
        end_turn(fm, r);
        free(prefix);
        if (r < 0 && r != ERR_CANCELLED && r != ERR_IO && st->hooks.force_merge_failed)
            st->hooks.force_merge_failed(st->hooks.context, &error);
    }
}

int storage_force_merge_start(struct storage *st, const char *partition_prefix, struct error *reterr)
{
    struct force_merge *fm = st->force_merge;
    struct storage_merge_progress ignored = {0};
    int r = plan(st, partition_prefix, &ignored, reterr); /* says at once that there's too little space */
    if (r < 0)
        return r;
    mutex_lock(&fm->lock);
    bool known = false;
    for (size_t i = 0; i < fm->waiting_count; i++)
        known |= strcmp(fm->waiting[i], partition_prefix) == 0;
    if (!known) {
        GROW(fm->waiting, fm->waiting_count, fm->waiting_capacity);
        fm->waiting[fm->waiting_count++] = xstrdup(partition_prefix);
    }
    if (!fm->thread_runs && !atomic_load(&fm->stop)) {
        thread_join(&fm->thread); /* of an earlier one, which has ended */
        thread_start(&fm->thread, "force-merge", background, fm);
        fm->thread_runs = true;
    }
    mutex_unlock(&fm->lock);
    return 0;
}

void storage_force_merge_progress(struct storage *st, struct storage_merge_progress *ret)
{
    struct force_merge *fm = st->force_merge;
    const struct merge_counters *c = &st->table.env.merges[MERGE_FORCED];
    mutex_lock(&fm->lock);
    *ret = fm->progress;
    ret->waiting = fm->waiting_count;
    ret->running |= fm->running;
    ret->rows_done = atomic_load(&c->rows) - fm->rows_before;
    ret->bytes_done = atomic_load(&c->bytes_read) - fm->bytes_before;
    mutex_unlock(&fm->lock);
    if (!ret->running)
        return;
    ret->elapsed_ms = clock_monotonic_ms() - ret->started_ms;
    if (ret->bytes_done && ret->bytes_total > ret->bytes_done)
        ret->left_ms = (int64_t)((double)ret->elapsed_ms * (double)(ret->bytes_total - ret->bytes_done) /
                                 (double)ret->bytes_done);
}

void storage_force_merge_cancel(struct storage *st)
{
    force_merge_stop(st->force_merge);
}

/* --- life --- */

struct force_merge *force_merge_new(struct storage *st)
{
    struct force_merge *fm = xcalloc(1, sizeof *fm);
    fm->st = st;
    mutex_init(&fm->lock, RANK_LEAF);
    cond_init(&fm->changed);
    return fm;
}

void force_merge_stop(struct force_merge *fm)
{
    atomic_store(&fm->stop, true);
    mutex_lock(&fm->lock);
    cond_broadcast(&fm->changed);
    mutex_unlock(&fm->lock);
}

void force_merge_free(struct force_merge *fm)
{
    if (!fm)
        return;
    force_merge_stop(fm);
    thread_join(&fm->thread);
    for (size_t i = 0; i < fm->waiting_count; i++)
        free(fm->waiting[i]);
    free(fm->waiting);
    mutex_destroy(&fm->lock);
    cond_destroy(&fm->changed);
    free(fm);
}
