/* Writers: rawRows per worker, and how they leave. */
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/back_pressure.h"
#include "storage/storage_impl.h"

/* Format 10.6: date 0 is reserved; later timestamps don't fit the reference's arithmetic. */
#define TIMESTAMP_MIN_MS DAY_MS
#define TIMESTAMP_MAX_MS INT64_C(9222422399999)
#define FUTURE_MS        (2 * DAY_MS)

struct storage_writer *storage_writer_new(struct storage *st)
{
    struct storage_writer *w = xcalloc(1, sizeof *w);
    w->st = st;
    mutex_init(&w->lock, RANK_WRITER);
    mutex_lock(&st->flush_lock);
    mutex_lock(&st->writers_lock);
    struct storage_writer **end = &st->writers;
    while (*end)
        end = &(*end)->next;
    *end = w;
    mutex_unlock(&st->writers_lock);
    mutex_unlock(&st->flush_lock);
    return w;
}

static void move_shard(struct month_shard **shards, size_t *count, size_t *capacity, struct month_shard *from)
{
    if (!raw_rows_count(&from->rows))
        return;
    for (size_t i = 0; i < *count; i++) {
        if ((*shards)[i].pt == from->pt) {
            raw_rows_move(&(*shards)[i].rows, &from->rows);
            return;
        }
    }
    *shards = grow_array(*shards, *count, capacity, sizeof **shards);
    (*shards)[*count] = (struct month_shard){.pt = from->pt};
    raw_rows_move(&(*shards)[*count].rows, &from->rows);
    (*count)++;
}

void storage_writer_free(struct storage_writer *w)
{
    if (!w)
        return;
    struct storage *st = w->st;
    mutex_lock(&st->flush_lock);
    mutex_lock(&st->writers_lock);
    for (struct storage_writer **p = &st->writers; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            break;
        }
    }
    mutex_unlock(&st->writers_lock);
    atomic_fetch_add(&st->rows_added_total, w->rows_since_flush);
    for (size_t i = 0; i < w->shards_count; i++)
        move_shard(&st->left_shards, &st->left_shards_count, &st->left_shards_capacity, &w->shards[i]);
    mutex_unlock(&st->flush_lock);
    for (size_t i = 0; i < w->shards_count; i++)
        raw_rows_release(&w->shards[i].rows);
    free(w->shards);
    mutex_destroy(&w->lock);
    free(w);
}

void storage_writer_begin(struct storage_writer *w) TS_ATTR(no_thread_safety_analysis)
{
    storage_throttle(w);
    mutex_lock(&w->lock);
    /* Intake is paused when the clock is doubted, but not at once: what comes before that must get in. */
    int64_t earliest, latest;
    clock_check_range(&w->st->clock, &earliest, &latest);
    int64_t min = earliest - w->st->retention_ms;
    int64_t accept_from = atomic_load(&w->st->accept_from_ms);
    min = min > accept_from ? min : accept_from;
    w->min_ms = min > TIMESTAMP_MIN_MS ? min : TIMESTAMP_MIN_MS;
    w->series_generation = atomic_load_explicit(&w->st->series_generation, memory_order_relaxed);
    w->max_ms = latest + FUTURE_MS < TIMESTAMP_MAX_MS ? latest + FUTURE_MS : TIMESTAMP_MAX_MS;
}

/* Wakes the 1 s flusher before its second is over. */
static void wake_flusher(struct storage *st, bool *flag)
{
    mutex_lock(&st->wake_lock);
    bool told = *flag;
    *flag = true;
    if (!told)
        cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
}

void storage_writer_end(struct storage_writer *w) TS_ATTR(no_thread_safety_analysis)
{
    struct storage *st = w->st;
    bool full = w->rows_since_flush >= WRITER_ROWS_FLUSH;
    atomic_store_explicit(&w->rows_waiting, w->rows_since_flush, memory_order_relaxed);
    atomic_store_explicit(&w->oldest_waiting_ms, w->oldest_arrival_ms, memory_order_relaxed);
    mutex_unlock(&w->lock);
    if (full)
        wake_flusher(st, &st->rows_pending_flush);
    if (atomic_load_explicit(&st->table.env.pending_index_bytes, memory_order_relaxed) > INDEX_BYTES_FLUSH)
        wake_flusher(st, &st->index_rows_pending_flush);
}

uint64_t storage_writer_series_generation(const struct storage_writer *w)
{
    return w->series_generation;
}

void storage_writer_limits(const struct storage_writer *w, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    *ret_min_ms = w->min_ms;
    *ret_max_ms = w->max_ms;
}

int storage_writer_hand_over(struct storage_writer *w, const void *key, uint32_t key_len, uint64_t from,
                             const struct storage_position *to, struct error *reterr)
{
    struct storage *st = w->st;
    int r = 0;
    mutex_lock(&st->positions_lock);
    const struct position_entry *e = position_table_find(&st->positions, key, key_len);
    if (e && e->position.next != from)
        r = error_set(reterr, ERR_INVALID, "a hand-over from %llu, but the store is at %llu",
                      (unsigned long long)from, (unsigned long long)e->position.next);
    else
        position_table_set(&st->positions, key, key_len, to);
    mutex_unlock(&st->positions_lock);
    return r;
}

void storage_writer_set_name_apart(struct storage_writer *w)
{
    w->name_is_apart = true;
}

int storage_writer_series(struct storage_writer *w, const struct metric_label *labels, size_t labels_count,
                          int64_t timestamp_ms, uint32_t *ret_series, const char **ret_reason)
{
    struct error error = {0};
    const struct metric_name_limits *limits =
        w->name_is_apart ? &metric_name_limits_name_apart : &metric_name_limits_default;
    int r = series_lookup_resolve(w->st->lookup, labels, labels_count, limits, timestamp_ms, ret_series,
                                  ret_reason, &error);
    if (r < 0 && r != ERR_INVALID) {
        *ret_reason = "index_damaged";
        storage_fail(w->st, &error);
    }
    /* A message may hold a million new series, whose index rows are a hundred times its size; and the flusher
     * may wait for this very writer. */
    if (atomic_load_explicit(&w->st->table.env.pending_index_bytes, memory_order_relaxed) > INDEX_BYTES_HELP)
        storage_flush_index_rows(w->st);
    return r;
}

void storage_writer_register_day(struct storage_writer *w, uint32_t series, int64_t timestamp_ms)
{
    struct error error = {0};
    if (series_lookup_register(w->st->lookup, series, timestamp_ms, &error) < 0)
        storage_fail(w->st, &error);
}

/* The shard of a month, made at its first row. */
static struct month_shard *find_shard(struct storage_writer *w, int64_t timestamp_ms)
{
    for (size_t i = 0; i < w->shards_count; i++) {
        const struct month *m = &w->shards[i].pt->month;
        if (m->min_ms <= timestamp_ms && timestamp_ms <= m->max_ms)
            return &w->shards[i];
    }
    GROW(w->shards, w->shards_count, w->shards_capacity);
    struct month_shard *shard = &w->shards[w->shards_count++];
    *shard = (struct month_shard){.pt = create_partition(&w->st->table, timestamp_ms)};
    return shard;
}

enum storage_row_fate storage_writer_add(struct storage_writer *w, uint32_t series, int64_t timestamp_ms,
                                         struct decimal value)
{
    if (__builtin_expect(timestamp_ms < w->min_ms, 0))
        return ROW_TOO_OLD;
    if (__builtin_expect(timestamp_ms > w->max_ms, 0))
        return ROW_TOO_NEW;
    struct month_shard *shard = w->current;
    if (__builtin_expect(
            !shard || timestamp_ms < shard->pt->month.min_ms || timestamp_ms > shard->pt->month.max_ms, 0))
        shard = w->current = find_shard(w, timestamp_ms);
    raw_rows_append(&shard->rows, series, timestamp_ms, value.mantissa, value.exponent);
    if (__builtin_expect(w->rows_since_flush++ == 0, 0))
        w->oldest_arrival_ms = clock_monotonic_ms();
    return ROW_ADDED;
}

void storage_lock_writers(struct storage *st) TS_ATTR(no_thread_safety_analysis)
{
    for (struct storage_writer *w = st->writers; w; w = w->next)
        mutex_lock(&w->lock);
}

void storage_unlock_writers(struct storage *st) TS_ATTR(no_thread_safety_analysis)
{
    for (struct storage_writer *w = st->writers; w; w = w->next)
        mutex_unlock(&w->lock);
}

static void take_from(struct storage_writer *w, struct shard_list *ret)
{
    for (size_t i = 0; i < w->shards_count; i++)
        move_shard(&ret->shards, &ret->count, &ret->capacity, &w->shards[i]);
    if (w->rows_since_flush && (!ret->oldest_arrival_ms || w->oldest_arrival_ms < ret->oldest_arrival_ms))
        ret->oldest_arrival_ms = w->oldest_arrival_ms;
    atomic_fetch_add(&w->st->rows_added_total, w->rows_since_flush);
    w->rows_since_flush = 0;
    atomic_store_explicit(&w->rows_waiting, 0, memory_order_relaxed);
}

void storage_take_rows(struct storage *st, struct shard_list *ret, bool all_locked)
    TS_ATTR(no_thread_safety_analysis)
{
    for (size_t i = 0; i < st->left_shards_count; i++)
        move_shard(&ret->shards, &ret->count, &ret->capacity, &st->left_shards[i]);
    free(st->left_shards);
    st->left_shards = NULL;
    st->left_shards_count = st->left_shards_capacity = 0;
    for (struct storage_writer *w = st->writers; w; w = w->next) {
        if (!all_locked)
            mutex_lock(&w->lock);
        take_from(w, ret);
        if (!all_locked)
            mutex_unlock(&w->lock);
    }
}

void storage_release_rows(struct shard_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        raw_rows_release(&list->shards[i].rows);
    free(list->shards);
    *list = (struct shard_list){0};
}

void storage_add_inmemory_parts(struct storage *st, struct shard_list *list, uint64_t commit)
{
    if (list->count) {
        struct series_ranks_snapshot *ranks;
        series_registry_ranks(st->registry, &ranks);
        const struct series_ranks view = {ranks->rank_by_series, ranks->tsid_by_rank, ranks->count};
        int64_t oldest = list->oldest_arrival_ms ? list->oldest_arrival_ms : clock_monotonic_ms();
        for (size_t i = 0; i < list->count; i++) {
            struct raw_rows *rows = &list->shards[i].rows;
            if (atomic_load(&list->shards[i].pt->dropped)) {
                atomic_fetch_add(&st->table.env.removed.uncommitted_rows, raw_rows_count(rows));
                raw_rows_release(rows);
                continue;
            }
            struct inmemory_part *mp = inmemory_part_new(&rows, 1, &view);
            if (mp)
                atomic_fetch_add(&st->buffered_bytes, mp->memory_bytes);
            partition_add_inmemory_part(list->shards[i].pt, mp, commit, oldest);
            raw_rows_release(rows);
        }
        series_ranks_unref(ranks);
    }
    storage_release_rows(list);
}
