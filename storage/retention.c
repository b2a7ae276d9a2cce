/*
 * Retention (format 10.6; lib/storage/table.go:retentionWatcher, partition.go:stalePartsRemover). Rows go
 * with the merges that meet them; parts whose rows are all too old go without a merge; and months, with their
 * index, once their last millisecond is too old. While the clock is in doubt nothing goes.
 */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "storage/partition/merge_task.h"
#include "storage/storage_impl.h"

#define REMOVER_INTERVAL_MS (60 * SECOND_MS)
/* A month that is in use, or a full disk: looked at again sooner. */
#define REMOVER_RETRY_MS (5 * SECOND_MS)
#define TURN_TIMEOUT_MS  (2 * SECOND_MS)

#define FINAL_DEDUP_INTERVAL_MS (3600 * SECOND_MS)

int64_t storage_retention_deadline(struct storage *st)
{
    if (clock_check_now(&st->clock) != CLOCK_PLAUSIBLE)
        return 0;
    int64_t deadline = clock_now_ms() - st->retention_ms;
    return deadline > 0 ? deadline : 0;
}

/* From now on no row of the month is taken in, and those that were, and aren't committed, are left out: their
 * positions advance all the same. No writer is between begin and end, no commit under way. */
static void close_month(struct storage *st, struct partition *pt)
{
    struct shard_list list = {0};
    uint64_t bytes;
    mutex_lock(&st->flush_lock);
    storage_lock_writers(st);
    if (atomic_load(&st->accept_from_ms) <= pt->month.max_ms)
        atomic_store(&st->accept_from_ms, pt->month.max_ms + 1);
    atomic_store(&pt->dropped, true);
    storage_take_rows(st, &list, true);
    storage_unlock_writers(st);
    storage_add_inmemory_parts(st, &list, st->next_commit); /* but this month's */
    partition_discard_inmemory(pt, &bytes);
    atomic_fetch_sub(&st->buffered_bytes, bytes);
    mutex_unlock(&st->flush_lock);
}

/* In a turn. */
static int drop_month(struct storage *st, struct partition *pt, struct error *reterr)
{
    int r = storage_record_published(st, pt, reterr);
    if (r < 0)
        return r;
    close_month(st, pt);
    FAULT_POINT("drop.closed");
    r = partition_drop(pt, reterr);
    if (r < 0)
        return r;
    table_remove(&st->table, pt);
    series_lookup_forget_months(st->lookup, pt->month.max_ms + 1);
    return 0;
}

static void delete_dropped(struct storage *st)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *dropped = xasprintf("%s/" DIR_DROPPED, st->root);
    struct fs_list list;
    if (fs_list_dir(&list, dropped, NULL) < 0)
        return;
    /* What stays is deleted at the next open. The directory itself is kept: a full disk may have no room for
     * a new one. */
    for (size_t i = 0; i < list.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dropped, list.names[i]);
        (void)fs_remove_tree(fs, path, NULL);
    }
    fs_list_release(&list);
}

static int drop_months(struct storage *st, int64_t deadline, struct error *reterr)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        struct partition *pt = partitions[i];
        if (pt->month.max_ms >= deadline)
            continue;
        bool idle = part_set_retire(&pt->data);
        idle &= part_set_retire(&pt->index);
        int r = ERR_BUSY;
        removals_hold(&st->table.env.removals);
        if (idle && storage_take_turn(st, TURN_TIMEOUT_MS)) {
            r = drop_month(st, pt, reterr);
            storage_end_turn(st);
        }
        removals_resume(&st->table.env.removals, st->table.env.fs);
        delete_dropped(st);
        result = r < 0 ? r : result;
    }
    free(partitions);
    return result;
}

static int remove_stale_parts(struct storage *st, int64_t deadline, struct error *reterr)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct merge_task task;
        if (partitions[i]->month.min_ms < deadline && merge_select_stale(&task, partitions[i], deadline))
            r = merge_remove(&task, reterr);
    }
    free(partitions);
    return r;
}

int storage_remove_stale(struct storage *st, struct error *reterr)
{
    int64_t deadline = storage_retention_deadline(st);
    atomic_store(&st->table.env.retention_deadline_ms, deadline);
    if (!deadline)
        return 0;
    int r = storage_ensure_open(st, INT64_MIN, deadline, reterr);
    if (r < 0)
        return r;
    r = drop_months(st, deadline, reterr);
    int removed = remove_stale_parts(st, deadline, reterr);
    return removed < 0 ? removed : r;
}

static bool is_deduped_less(const struct part *p, void *interval_ms)
{
    return p->file && p->file->header.min_dedup_interval < *(const int64_t *)interval_ms;
}

void storage_final_dedup(struct storage *st)
{
    int64_t interval = st->table.env.dedup_interval_ms;
    if (!interval || clock_check_now(&st->clock) != CLOCK_PLAUSIBLE)
        return;
    if (storage_ensure_open(st, INT64_MIN, INT64_MAX, NULL) < 0)
        return;
    struct month current = month_of(clock_now_ms());
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++) {
        struct part_list parts = {0};
        if (partitions[i]->month.min_ms == current.min_ms)
            continue;
        part_set_pin(&partitions[i]->data, &parts, is_deduped_less, &interval);
        struct error error = {0};
        /* Too little space: in an hour, then. */
        if (parts.count && storage_force_merge_start(st, partitions[i]->month.name, &error) < 0 &&
            st->hooks.force_merge_failed)
            st->hooks.force_merge_failed(st->hooks.context, &error);
        part_list_release(&parts);
    }
    free(partitions);
}

static void stale_parts_remover(void *arg)
{
    struct storage *st = arg;
    int64_t final_dedup_at = clock_monotonic_ms() + FINAL_DEDUP_INTERVAL_MS;
    int64_t wait = 0; /* a shorter retention takes effect at the start */
    while (!atomic_load(&st->failed)) {
        mutex_lock(&st->wake_lock);
        int64_t until = clock_monotonic_ms() + wait, left;
        while (!st->stopping && (left = until - clock_monotonic_ms()) > 0)
            cond_wait_ms(&st->wake, &st->wake_lock, left);
        bool stopping = st->stopping;
        mutex_unlock(&st->wake_lock);
        if (stopping)
            return;
        struct error error = {0};
        int r = storage_remove_stale(st, &error);
        if (r < 0 && r != ERR_FULL && r != ERR_BUSY)
            (void)storage_fail(st, &error);
        if (clock_monotonic_ms() >= final_dedup_at) {
            storage_final_dedup(st);
            final_dedup_at = clock_monotonic_ms() + FINAL_DEDUP_INTERVAL_MS;
        }
        wait = r < 0 ? REMOVER_RETRY_MS : REMOVER_INTERVAL_MS;
    }
}

void start_stale_parts_remover(struct storage *st)
{
    thread_start(&st->stale_parts_remover, "stale-remover", stale_parts_remover, st);
}
