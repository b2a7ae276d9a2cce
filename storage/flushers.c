/*
 * The store's threads. Each second rows become searchable (raw_rows_flusher); each flush_interval they become
 * durable (inmemory_parts_flusher, which commits); after a commit small parts are merged (merge workers).
 */
#include <stdlib.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/storage_impl.h"

#define RAW_ROWS_FLUSH_INTERVAL_MS 1000
/* How long a failed commit, or a merge that found the disk full, waits before it's tried again. */
#define FULL_RETRY_MS  1000
#define HELD_RETRY_MS  50
#define THROTTLE_MS    50
#define MERGE_RETRY_MS 10000
/* In-memory parts above this are committed before the interval is over: a backlog drained at millions of rows
 * a second mustn't fill the memory. Above twice as much, writers wait for the commit, a moment at a time. */
#define INMEMORY_BYTES_COMMIT (UINT64_C(24) << 20)

void storage_wake(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
}

static bool is_stopping(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    bool stopping = st->stopping;
    mutex_unlock(&st->wake_lock);
    return stopping;
}

/* --- 1 s: rawRows -> in-memory parts --- */

static void flush_raw_rows(struct storage *st)
{
    struct shard_list list = {0};
    mutex_lock(&st->flush_lock);
    storage_take_rows(st, &list, false);
    storage_add_inmemory_parts(st, &list, st->next_commit);
    mutex_unlock(&st->flush_lock);
    if (atomic_load(&st->buffered_bytes) > INMEMORY_BYTES_COMMIT) {
        mutex_lock(&st->wake_lock);
        st->commit_wanted = true;
        cond_broadcast(&st->wake);
        mutex_unlock(&st->wake_lock);
    }
}

void storage_throttle(struct storage_writer *w)
{
    struct storage *st = w->st;
    if (atomic_load(&st->buffered_bytes) <= 2 * INMEMORY_BYTES_COMMIT &&
        atomic_load_explicit(&w->rows_waiting, memory_order_relaxed) < WRITER_ROWS_FLUSH)
        return;
    mutex_lock(&st->wake_lock);
    if (!st->stopping)
        cond_wait_ms(&st->wake, &st->wake_lock, THROTTLE_MS);
    mutex_unlock(&st->wake_lock);
}

static void flush_index_rows(struct storage *st)
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
        flush_index_rows(st);
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
    st->merges_wanted = true;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
    return held;
}

static void inmemory_parts_flusher(void *arg)
{
    struct storage *st = arg;
    bool held = false;
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

/* --- merges --- */

/* 1: something was merged; 0: nothing to do; ERR_FULL, ERR_CANCELLED. */
static int merge_once(struct storage *st)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    int result = 0;
    /* The newest month first: it's the one that parts arrive in. */
    for (size_t i = count; i-- > 0 && result == 0;) {
        static const enum part_place places[] = {PLACE_INDEX, PLACE_SMALL, PLACE_BIG};
        for (size_t k = 0; k < PART_PLACES && result == 0; k++) {
            struct error error = {0};
            if (atomic_load(&partitions[i]->merge_suspended))
                continue;
            result = partition_merge_parts(partitions[i], places[k], &error);
            if (result == ERR_IO) {
                /* A write or fsync failed: what is on disk is unknown, as in a flush. */
                (void)storage_fail(st, &error);
                result = 0;
            } else if (result < 0 && result != ERR_FULL && result != ERR_CANCELLED) {
                /* A damaged part: said once; its rows stay where they are. */
                atomic_store(&partitions[i]->merge_suspended, true);
                atomic_fetch_add(&st->table.env.merges_suspended, 1);
                if (st->hooks.problem)
                    st->hooks.problem(st->hooks.context, &error);
                result = 0;
            }
        }
    }
    free(partitions);
    return result;
}

static void merger(void *arg)
{
    struct storage *st = arg;
    int last = 0;
    while (!is_stopping(st) && !atomic_load(&st->failed)) {
        mutex_lock(&st->wake_lock);
        int64_t until = clock_monotonic_ms() + MERGE_RETRY_MS;
        int64_t left;
        while (!st->stopping && (last == ERR_FULL || !st->merges_wanted) &&
               (left = until - clock_monotonic_ms()) > 0)
            cond_wait_ms(&st->wake, &st->wake_lock, left);
        st->merges_wanted = false;
        mutex_unlock(&st->wake_lock);
        while ((last = merge_once(st)) == 1 && !is_stopping(st) && !atomic_load(&st->failed))
            ;
    }
}

void start_merge_workers(struct storage *st)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    st->mergers_count = st->merge_workers ? st->merge_workers : cores > 0 ? (size_t)cores : 1;
    st->mergers = xcalloc(st->mergers_count, sizeof *st->mergers);
    for (size_t i = 0; i < st->mergers_count; i++)
        thread_start(&st->mergers[i], "merger", merger, st);
}

void storage_stop_threads(struct storage *st)
{
    atomic_store(&st->table.env.stop_merges, true);
    mutex_lock(&st->wake_lock);
    st->stopping = true;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
    thread_join(&st->raw_rows_flusher);
    thread_join(&st->committer);
    for (size_t i = 0; i < st->mergers_count; i++)
        thread_join(&st->mergers[i]);
    free(st->mergers);
    st->mergers = NULL;
    st->mergers_count = 0;
}
