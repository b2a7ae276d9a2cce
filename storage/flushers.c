/*
 * The store's threads. Each second rows become searchable (raw_rows_flusher); each flush_interval they become
 * durable (inmemory_parts_flusher, which commits); after a commit parts are merged (merge_workers.c).
 */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/back_pressure.h"
#include "storage/storage_impl.h"

#define RAW_ROWS_FLUSH_INTERVAL_MS 1000
/* How long a failed commit waits before it's tried again. */
#define FULL_RETRY_MS 1000
/* A commit that was held back is tried again sooner. */
#define HELD_RETRY_MS 50

void storage_wake(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
}

/* --- 1 s: rawRows -> in-memory parts --- */

void storage_want_commit(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    st->commit_wanted = true;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
}

static void flush_raw_rows(struct storage *st)
{
    struct shard_list list = {0};
    mutex_lock(&st->flush_lock);
    storage_take_rows(st, &list, false);
    storage_add_inmemory_parts(st, &list, st->next_commit);
    mutex_unlock(&st->flush_lock);
    if (atomic_load(&st->buffered_bytes) > INMEMORY_BYTES_COMMIT)
        storage_want_commit(st);
}

void storage_flush_index_rows(struct storage *st)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++)
        partition_flush_index_rows(partitions[i]);
    free(partitions);
}

static void raw_rows_flusher(void *arg)
{
    struct storage *st = arg;
    int64_t until = clock_monotonic_ms() + RAW_ROWS_FLUSH_INTERVAL_MS;
    for (;;) {
        int64_t left;
        mutex_lock(&st->wake_lock);
        while (!st->stopping && !st->rows_pending_flush && !st->index_rows_pending_flush &&
               (left = until - clock_monotonic_ms()) > 0)
            cond_wait_ms(&st->wake, &st->wake_lock, left);
        bool stopping = st->stopping;
        bool rows = st->rows_pending_flush || !st->index_rows_pending_flush;
        st->index_rows_pending_flush = false;
        st->rows_pending_flush = false;
        mutex_unlock(&st->wake_lock);
        if (stopping)
            return;
        if (rows) {
            flush_raw_rows(st);
            until = clock_monotonic_ms() + RAW_ROWS_FLUSH_INTERVAL_MS;
        }
        storage_flush_index_rows(st);
    }
}

void start_raw_rows_flusher(struct storage *st)
{
    thread_start(&st->raw_rows_flusher, "rows-flusher", raw_rows_flusher, st);
}

/* --- flush_interval: a commit --- */

/* True if it's held back (hooks.may_commit). */
static bool commit_round(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    uint64_t wanted = st->flushes_wanted;
    mutex_unlock(&st->wake_lock);
    struct error error = {0};
    int r = storage_commit(st, &error);
    bool held = r == ERR_CANCELLED;
    bool full = held ? atomic_load(&st->disk_full) : r == ERR_FULL;
    if (atomic_exchange(&st->disk_full, full) != full && st->hooks.disk_full)
        st->hooks.disk_full(st->hooks.context, full, &error);
    mutex_lock(&st->wake_lock);
    if (r == 0)
        st->flushes_done = wanted;
    st->flush_attempts++;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
    back_pressure_measure(st);
    merge_workers_wake_all(st->merge_workers);
    return held;
}

static void inmemory_parts_flusher(void *arg)
{
    struct storage *st = arg;
    bool held = storage_undecided_ms(st) >= 0; /* one was found */
    while (!atomic_load(&st->failed)) {
        int64_t interval = held                          ? HELD_RETRY_MS
                           : atomic_load(&st->disk_full) ? FULL_RETRY_MS
                                                         : st->flush_interval_ms;
        mutex_lock(&st->wake_lock);
        int64_t until = clock_monotonic_ms() + interval;
        int64_t left;
        while (!st->stopping && (held || !st->commit_wanted) &&
               !(!held && st->flushes_wanted > st->flushes_done && !atomic_load(&st->disk_full)) &&
               (left = until - clock_monotonic_ms()) > 0)
            cond_wait_ms(&st->wake, &st->wake_lock, left);
        bool stopping = st->stopping;
        st->commit_wanted = false;
        mutex_unlock(&st->wake_lock);
        if (stopping)
            return; /* storage_close makes the last commit */
        held = commit_round(st);
    }
}

void start_inmemory_parts_flusher(struct storage *st)
{
    thread_start(&st->committer, "committer", inmemory_parts_flusher, st);
}

int storage_flush(struct storage *st, int64_t timeout_ms, struct error *reterr)
{
    int64_t until = timeout_ms < 0 ? INT64_MAX : clock_monotonic_ms() + timeout_ms;
    int r = 0;
    mutex_lock(&st->wake_lock);
    uint64_t ticket = ++st->flushes_wanted;
    cond_broadcast(&st->wake);
    while (st->flushes_done < ticket && r == 0) {
        int64_t left = until - clock_monotonic_ms();
        if (atomic_load(&st->failed))
            r = error_set(reterr, ERR_IO, "the store has failed; see the log");
        else if (atomic_load(&st->disk_full))
            r = error_set(reterr, ERR_FULL, "the disk is full; rows wait in memory");
        else if (st->stopping || left <= 0)
            r = error_set(reterr, ERR_CANCELLED, "the flush isn't done yet; it goes on");
        else
            cond_wait_ms(&st->wake, &st->wake_lock, left < 1000 ? left : 1000);
    }
    mutex_unlock(&st->wake_lock);
    return r;
}

/* --- the end of all threads --- */

void storage_stop_threads(struct storage *st)
{
    atomic_store(&st->table.env.stop_merges, true);
    force_merge_stop(st->force_merge);
    mutex_lock(&st->wake_lock);
    st->stopping = true;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
    thread_join(&st->raw_rows_flusher);
    thread_join(&st->committer);
    thread_join(&st->stale_parts_remover);
    force_merge_free(st->force_merge);
    merge_workers_free(st->merge_workers);
    st->force_merge = NULL;
    st->merge_workers = NULL;
}
