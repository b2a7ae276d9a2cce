#include "storage/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "storage/back_pressure.h"
#include "storage/storage_impl.h"
#include "storage/store_dir.h"

/* --- open --- */

/* Part names count up; ours are 16 hex digits, and so are a current stock server's. */
static uint64_t name_number(const char *name)
{
    char *end;
    uint64_t n = strtoull(name, &end, 16);
    return strlen(name) == PART_NAME_TEXT_SIZE - 1 && *end == '\0' ? n : 0;
}

/* Part names that are made from now on lie above all found. */
static void set_next_part(struct storage *st, const struct store_view *view)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < view->months_count; i++) {
        for (size_t k = 0; k < view->months[i].parts_count; k++) {
            uint64_t number = name_number(view->months[i].parts[k].name);
            largest = number > largest ? number : largest;
        }
    }
    for (size_t i = 0; view->has_prepared && i < view->prepared.record.parts_count; i++) {
        uint64_t number = name_number(view->prepared.record.parts[i].name);
        largest = number > largest ? number : largest;
    }
    uint64_t now = clock_now_ns();
    atomic_store(&st->table.env.next_part, now > largest ? now : largest + 1);
}

static void id_text(struct storage *st, const uint8_t id[STORE_ID_BYTES])
{
    for (int i = 0; i < STORE_ID_BYTES; i++)
        snprintf(st->id_text + 2 * i, 3, "%02x", id[i]);
}

static void free_storage(struct storage *st)
{
    series_lookup_free(st->lookup);
    series_registry_free(st->registry);
    table_release(&st->table);
    position_table_release(&st->positions);
    position_table_release(&st->durable);
    position_table_release(&st->cut_positions);
    staged_parts_release(&st->unpublished);
    two_phase_release(st);
    journal_release(&st->journal);
    for (size_t i = 0; i < st->left_shards_count; i++)
        raw_rows_release(&st->left_shards[i].rows);
    free(st->left_shards);
    mutex_destroy(&st->flush_lock);
    mutex_destroy(&st->writers_lock);
    mutex_destroy(&st->positions_lock);
    mutex_destroy(&st->wake_lock);
    cond_destroy(&st->wake);
    free(st->root);
    free(st);
}

static struct storage *alloc_storage(const struct storage_options *options)
{
    struct storage *st = xcalloc(1, sizeof *st);
    table_init(&st->table);
    st->root = xstrdup(options->path);
    st->table.env.fs = options->fs ? options->fs : &fs_posix;
    st->table.env.root = st->root;
    st->hooks = options->hooks;
    st->retention_ms = options->retention_ms;
    st->clock.trust = options->trust_clock;
    st->table.env.dedup_interval_ms = options->dedup_interval_ms;
    st->flush_interval_ms = options->flush_interval_ms;
    st->table.env.merge_workers = merge_workers_count(options->merge_workers);
    st->table.env.small_part_bytes_max = options->small_part_bytes_max;
    st->journal.fd = -1;
    st->two_phase.file.fd = -1;
    st->lock_fd = -1;
    mutex_init(&st->flush_lock, RANK_FLUSH);
    mutex_init(&st->writers_lock, RANK_LEAF);
    mutex_init(&st->positions_lock, RANK_POSITIONS);
    mutex_init(&st->wake_lock, RANK_LEAF);
    cond_init(&st->wake);
    return st;
}

static int open_view(struct storage *st, struct store_view *view, bool in_background, struct error *reterr)
{
    uint64_t largest_id = 0;
    id_text(st, view->state.store_id);
    set_next_part(st, view);
    int r = open_months(st, view, in_background, &largest_id, reterr);
    if (r < 0)
        return r;
    position_table_apply(&st->positions, &view->state.positions);
    position_table_apply(&st->durable, &view->state.positions);
    st->reject_log_length_at_open = view->state.reject_log_length;
    st->prepared_reject_log_length_at_open =
        view->has_prepared ? view->prepared.record.reject_log_length : view->state.reject_log_length;
    st->cut_reject_log_length = st->durable_reject_log_length = view->state.reject_log_length;
    st->published = view->state.n;
    st->next_commit = view->state.n + 1;
    r = two_phase_open(st, view, &largest_id, reterr);
    if (r < 0)
        return r;
    if (st->two_phase.open) { /* if it's discarded, they go back to the durable ones */
        position_table_apply(&st->positions, &st->two_phase.prepared.record.positions);
        st->next_commit = st->two_phase.prepared.record.n + 1;
    }
    struct position_table none = {0};
    position_table_take_changes(&st->positions, &none); /* what is durable needs no record */
    position_table_release(&none);
    atomic_store(&st->commit_number, view->state.n);
    atomic_store(&st->clock.commit_ms, view->state.time_ms);
    atomic_store(&st->table.env.retention_deadline_ms, storage_retention_deadline(st));
    atomic_store(&st->table.env.published_durable, view->state.n);
    atomic_store(&st->last_commit_ms, clock_monotonic_ms());
    uint64_t now = clock_now_ns();
    st->registry = series_registry_new(now > largest_id ? now : largest_id + 1);
    st->lookup = series_lookup_new(&st->table, st->registry);
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, st->root);
    return journal_create(&st->journal, st->table.env.fs, journal, view->state.store_id, view->state.n,
                          reterr);
}

int storage_open(struct storage **ret, const struct storage_options *options, struct error *reterr)
{
    struct storage *st = alloc_storage(options);
    struct store_view view = {0};
    bool new_guard = false;
    int r = store_dir_acquire(st->table.env.fs, st->root, &view, &st->lock_fd, &new_guard, reterr);
    if (r == 0)
        r = open_view(st, &view, options->open_in_background, reterr);
    store_view_release(&view);
    if (r < 0) {
        if (st->lock_fd >= 0 && new_guard &&
            st->journal.fd < 0) /* nothing was changed: a stock server may look at it */
            (void)store_dir_give_back(st->table.env.fs, st->root, st->lock_fd, NULL);
        else if (st->lock_fd >= 0)
            (void)close(st->lock_fd);
        free_storage(st);
        return r;
    }
    st->merge_workers = start_merge_workers(st, options->merge_workers);
    st->force_merge = force_merge_new(st);
    start_raw_rows_flusher(st);
    start_inmemory_parts_flusher(st);
    start_stale_parts_remover(st);
    if (options->open_in_background)
        start_month_openers(st);
    back_pressure_measure(st);
    merge_workers_wake_all(st->merge_workers); /* a stop may have cut merges short */
    *ret = st;
    return 0;
}

/* --- close --- */

int storage_close(struct storage *st, struct error *reterr)
{
    stop_month_openers(st);
    storage_stop_threads(st);
    struct error error = {0};
    int r = storage_commit(st, &error);
    if (r == 0 || r == ERR_CANCELLED) /* held back, or it waits for its verdict: the next start asks */
        r = storage_fold_journal(st, true, &error);
    FAULT_POINT("close.folded");
    if (r == 0)
        storage_write_largest_ids(st);
    if (r == 0) {
        r = store_dir_give_back(st->table.env.fs, st->root, st->lock_fd, &error);
    } else {
        (void)close(st->lock_fd);
    }
    if (r < 0 && reterr)
        *reterr = error;
    free_storage(st);
    return r;
}

int storage_recover(const char *path, struct error *reterr)
{
    if (!store_dir_is_store(path))
        return error_set(reterr, ERR_NOT_FOUND, "%s: there's no store here", path);
    struct store_view view = {0};
    int lock_fd;
    bool new_guard;
    int r = store_dir_acquire(&fs_posix, path, &view, &lock_fd, &new_guard, reterr);
    if (r < 0)
        return r;
    store_view_release(&view);
    return store_dir_give_back(&fs_posix, path, lock_fd, reterr);
}

int storage_edit_positions(const char *path,
                           int (*edit)(void *context, struct position_table *positions, struct error *reterr),
                           void *context, struct error *reterr)
{
    const struct fs *fs = &fs_posix;
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, path);
    if (!fs_exists(checkpoint))
        return error_set(reterr, ERR_NOT_FOUND, "%s: there's no store of Varve's here", path);
    struct store_view view = {0};
    int lock_fd;
    bool new_guard;
    int r = store_dir_acquire(fs, path, &view, &lock_fd, &new_guard, reterr);
    if (r < 0)
        return r;
    if (view.has_prepared)
        r = error_set(reterr, ERR_BUSY,
                      "%s: commit %" PRIu64
                      " waits for its verdict, which moves positions: run `varve serve` "
                      "until it says that it's decided",
                      path, view.prepared.record.n);
    else
        r = edit(context, &view.state.positions, reterr);
    bool refused = r < 0;
    if (r == 0)
        r = checkpoint_write(&view.state, fs, checkpoint, reterr);
    store_view_release(&view);
    if (r < 0 && !refused) { /* which of the two is on disk isn't known: the next start reads it */
        (void)close(lock_fd);
        return r;
    }
    int back = store_dir_give_back(fs, path, lock_fd, refused ? NULL : reterr);
    return refused ? r : back;
}

/* --- positions --- */

static bool copy_position(struct storage *st, const struct position_table *table, const void *key,
                          uint32_t key_len, struct storage_position *ret)
{
    mutex_lock(&st->positions_lock);
    const struct position_entry *e = position_table_find(table, key, key_len);
    if (e)
        *ret = e->position;
    mutex_unlock(&st->positions_lock);
    return e != NULL;
}

bool storage_position(struct storage *st, const void *key, uint32_t key_len, struct storage_position *ret)
{
    return copy_position(st, &st->positions, key, key_len, ret);
}

bool storage_durable_position(struct storage *st, const void *key, uint32_t key_len,
                              struct storage_position *ret)
{
    return copy_position(st, &st->durable, key, key_len, ret);
}

void storage_set_position(struct storage *st, const void *key, uint32_t key_len,
                          const struct storage_position *pos)
{
    mutex_lock(&st->positions_lock);
    position_table_set(&st->positions, key, key_len, pos);
    mutex_unlock(&st->positions_lock);
}

void storage_each_position(struct storage *st,
                           void (*visit)(void *context, const void *key, uint32_t key_len,
                                         const struct storage_position *pos),
                           void *context)
{
    mutex_lock(&st->positions_lock);
    for (size_t i = 0; i < st->positions.count; i++) {
        const struct position_entry *e = &st->positions.entries[i];
        visit(context, e->key, e->key_len, &e->position);
    }
    mutex_unlock(&st->positions_lock);
}

/* --- what others ask --- */

enum clock_verdict storage_clock(struct storage *st)
{
    return clock_check_now(&st->clock);
}

uint64_t storage_commit_number(struct storage *st)
{
    return atomic_load(&st->commit_number);
}

const char *storage_id(struct storage *st)
{
    return st->id_text;
}

uint64_t storage_reject_log_length(struct storage *st)
{
    return st->reject_log_length_at_open;
}

uint64_t storage_prepared_reject_log_length(struct storage *st)
{
    return st->prepared_reject_log_length_at_open;
}

/* Rows in the writers, in bytes; and when the oldest arrived. Without their locks, which are held as long as
 * a message takes. */
static uint64_t writers_bytes(struct storage *st, int64_t *oldest_arrival_ms)
{
    uint64_t rows = 0;
    mutex_lock(&st->writers_lock);
    for (struct storage_writer *w = st->writers; w; w = w->next) {
        uint64_t waiting = atomic_load_explicit(&w->rows_waiting, memory_order_relaxed);
        int64_t oldest = atomic_load_explicit(&w->oldest_waiting_ms, memory_order_relaxed);
        rows += waiting;
        if (waiting && oldest < *oldest_arrival_ms)
            *oldest_arrival_ms = oldest;
    }
    mutex_unlock(&st->writers_lock);
    return rows * sizeof(struct raw_row);
}

static uint64_t inmemory_index_bytes(struct storage *st)
{
    uint64_t bytes = 0;
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++) {
        struct part_list parts = {0};
        part_set_pin(&partitions[i]->index, &parts, NULL, NULL);
        for (size_t k = 0; k < parts.count; k++)
            bytes += part_is_inmemory(parts.parts[k]) ? parts.parts[k]->bytes : 0;
        part_list_release(&parts);
    }
    free(partitions);
    return bytes;
}

uint64_t storage_buffered_bytes(struct storage *st)
{
    int64_t oldest = INT64_MAX;
    return writers_bytes(st, &oldest) + atomic_load(&st->buffered_bytes) +
           atomic_load(&st->table.env.pending_index_bytes) + inmemory_index_bytes(st) +
           series_registry_memory(st->registry);
}

static void count_part(struct storage_month_stats *m, const struct part *p, int64_t *oldest_arrival_ms)
{
    if (p->place == PLACE_INDEX) {
        m->index.parts++;
        m->index.items += p->rows;
        m->index.bytes += part_is_inmemory(p) ? 0 : p->bytes;
        return;
    }
    if (p->inmemory) {
        m->inmemory.parts++;
        m->inmemory.rows += p->rows;
        m->inmemory.bytes += p->bytes;
        if (p->oldest_arrival_ms < *oldest_arrival_ms)
            *oldest_arrival_ms = p->oldest_arrival_ms;
    } else if (p->place == PLACE_BIG) {
        m->big.parts++;
        m->big.rows += p->rows;
        m->big.bytes += p->bytes;
    } else {
        m->small.parts++;
        m->small.rows += p->rows;
        m->small.bytes += p->bytes;
    }
}

static void merge_stats(struct storage *st, struct storage_stats *ret)
{
    static const char *const kinds[MERGE_KINDS] = {"small", "big", "index", "forced"};
    _Static_assert(MERGE_KINDS == STORAGE_MERGE_KINDS, "storage.h");
    struct partition_env *env = &st->table.env;
    uint64_t flushed = atomic_load(&env->flushed_bytes) + atomic_load(&env->flushed_index_bytes), merged = 0;
    for (size_t i = 0; i < MERGE_KINDS; i++) {
        struct merge_counters *c = &env->merges[i];
        ret->merges[i] = (struct storage_merge_stats){
            .kind = kinds[i],
            .active = atomic_load(&c->active),
            .total = atomic_load(&c->done),
            .rows_total = atomic_load(&c->rows),
            .bytes_read_total = atomic_load(&c->bytes_read),
            .bytes_written_total = atomic_load(&c->bytes_written),
        };
        ret->merges_active += ret->merges[i].active;
        ret->merges_total += ret->merges[i].total;
        ret->merged_rows_total += ret->merges[i].rows_total;
        merged += ret->merges[i].bytes_written_total;
    }
    ret->write_amplification = flushed ? (double)(flushed + merged) / (double)flushed : 0;
    ret->intake_slowed_seconds_total = (double)atomic_load(&st->intake_slowed_ms) / 1000;
    ret->parts_waiting = atomic_load(&st->merge_debt);
}

void storage_stats(struct storage *st, struct storage_stats *ret)
{
    int64_t now = clock_monotonic_ms();
    int64_t oldest = INT64_MAX;
    (void)writers_bytes(st, &oldest);
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    *ret = (struct storage_stats){.months = xcalloc(count, sizeof *ret->months), .months_count = count};
    for (size_t i = 0; i < count; i++) {
        struct part_list parts = {0};
        part_set_pin(&partitions[i]->data, &parts, NULL, NULL);
        part_set_pin(&partitions[i]->index, &parts, NULL, NULL);
        memcpy(ret->months[i].month, partitions[i]->month.name, MONTH_TEXT_SIZE);
        for (size_t k = 0; k < parts.count; k++)
            count_part(&ret->months[i], parts.parts[k], &oldest);
        part_list_release(&parts);
    }
    free(partitions);
    ret->series_known = series_registry_count(st->registry);
    ret->new_series_total = series_lookup_new_series(st->lookup);
    ret->registrations_total = series_lookup_registrations(st->lookup);
    ret->commits_total = atomic_load(&st->commits_total);
    int64_t undecided_ms = storage_undecided_ms(st);
    ret->undecided_seconds = undecided_ms > 0 ? (double)undecided_ms / 1000 : 0;
    ret->commits_discarded_total = atomic_load(&st->two_phase.discarded_total);
    ret->commit_failures_total = atomic_load(&st->commit_failures_total);
    ret->rows_added_total = atomic_load(&st->rows_added_total);
    merge_stats(st, ret);
    ret->merges_suspended = atomic_load(&st->table.env.merges_suspended);
    ret->flush_duration_seconds_last = (double)atomic_load(&st->flush_ms_last) / 1000;
    ret->flush_duration_seconds_total = (double)atomic_load(&st->flush_ms_total) / 1000;
    ret->commit_age_seconds = (double)(now - atomic_load(&st->last_commit_ms)) / 1000;
    ret->oldest_unflushed_seconds = oldest == INT64_MAX || oldest > now ? 0 : (double)(now - oldest) / 1000;
    ret->disk_full = atomic_load(&st->disk_full);
    const struct partition_env *env = &st->table.env;
    ret->removed.dedup_rows = atomic_load(&env->removed.dedup_rows);
    ret->removed.retention_rows = atomic_load(&env->removed.retention_rows);
    ret->removed.deleted_rows = atomic_load(&env->removed.deleted_rows);
    ret->removed.uncommitted_rows = atomic_load(&env->removed.uncommitted_rows);
    ret->removed.parts = atomic_load(&env->removed.parts);
    ret->removed.months = atomic_load(&env->removed.months);
}

void storage_stats_release(struct storage_stats *stats)
{
    free(stats->months);
    *stats = (struct storage_stats){0};
}
