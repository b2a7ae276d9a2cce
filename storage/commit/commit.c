/*
 * The commit (architecture 3): cut, stage, record, publish. The record's sync is the one point at which rows
 * of all months, their index and all positions become durable.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "storage/storage_impl.h"

int storage_fail(struct storage *st, const struct error *error)
{
    if (!atomic_exchange(&st->failed, true)) {
        if (st->hooks.fatal)
            st->hooks.fatal(st->hooks.context, error);
        storage_wake(st);
    }
    return error->code;
}

/* --- 1. cut --- */

/* Rows and positions of all writers at one moment. Returns the number of the commit that they belong to. */
static uint64_t cut(struct storage *st)
{
    struct shard_list list = {0};
    mutex_lock(&st->flush_lock);
    storage_lock_writers(st);
    uint64_t n = st->next_commit++;
    storage_take_rows(st, &list, true);
    mutex_lock(&st->positions_lock);
    position_table_take_changes(&st->positions, &st->cut_positions);
    mutex_unlock(&st->positions_lock);
    if (st->hooks.reject_log_length)
        st->cut_reject_log_length = st->hooks.reject_log_length(st->hooks.context);
    if (st->deletion)
        storage_apply_deletion(st, st->deletion);
    storage_unlock_writers(st);
    storage_add_inmemory_parts(st, &list, n);
    mutex_unlock(&st->flush_lock);
    return n;
}

/* --- 2. stage --- */

static int stage(struct storage *st, uint64_t n, struct staged_parts *staged, struct error *reterr)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = partition_flush_inmemory_parts(partitions[i], n, staged, reterr);
    FAULT_POINT("commit.rows_staged");
    /* The index after the rows: it holds every index row that they need. */
    for (size_t i = 0; i < count && r == 0; i++)
        r = partition_flush_inmemory_index(partitions[i], n, staged, reterr);
    free(partitions);
    if (r == 0 && st->hooks.reject_log_sync)
        r = st->hooks.reject_log_sync(st->hooks.context, reterr);
    return r;
}

void storage_remove_staging(struct storage *st, uint64_t n)
{
    _cleanup_free_ char *dir = xasprintf("%s/" DIR_STAGING "/%" PRIu64, st->root, n);
    (void)fs_remove_tree(st->table.env.fs, dir, NULL);
}

/* --- 3. record --- */

static bool is_discard_wanted(struct storage *st)
{
    mutex_lock(&st->positions_lock);
    bool is_wanted = st->discard_wanted;
    mutex_unlock(&st->positions_lock);
    return is_wanted;
}

int storage_check_may_commit(struct storage *st, struct error *reterr)
{
    if (is_discard_wanted(st) && !FAULT_SWITCH("commit_discarded"))
        return error_set(reterr, ERR_CANCELLED, "what isn't durable yet is to be dropped");
    if (st->hooks.may_commit && !st->hooks.may_commit(st->hooks.context))
        return error_set(reterr, ERR_CANCELLED, "commits are held back: a sink may have lost what it read");
    return 0;
}

/* The append's sync may have taken as long as it liked: whether its rows are still ours to store is decided
 * after it, and in one step with the positions, so that a discard either finds them durable or prevents it.
 * One with a verdict is made, whatever came meanwhile. */
static int make_durable(struct storage *st, uint64_t n, const struct position_table *positions,
                        bool is_agreed, struct error *reterr)
{
    struct error second = {0};
    int r = is_agreed ? 0 : storage_check_may_commit(st, reterr);
    if (r == 0) {
        mutex_lock(&st->positions_lock);
        if (st->discard_wanted && !is_agreed && !FAULT_SWITCH("commit_discarded"))
            r = error_set(reterr, ERR_CANCELLED, "what isn't durable yet is to be dropped");
        else
            position_table_apply(&st->durable, positions);
        mutex_unlock(&st->positions_lock);
    }
    if (r == 0) {
        atomic_store(&st->commit_number, n);
        return 0;
    }
    int withdrawn = journal_withdraw(&st->journal, &second);
    return withdrawn < 0 ? error_set(reterr, withdrawn, "%s", second.message) : r;
}

/* positions: what becomes durable with it; NULL for a record that makes no commit. */
static int append(struct storage *st, const struct commit_record *record,
                  const struct position_table *positions, bool is_agreed, struct error *reterr)
{
    bool is_new = record->n > atomic_load(&st->commit_number);
    FAULT_POINT("commit.before_record");
    if (is_new && !is_agreed && storage_check_may_commit(st, reterr) < 0)
        return ERR_CANCELLED;
    int r = journal_append(&st->journal, record, reterr);
    if (r == 0 && is_new)
        r = make_durable(st, record->n, positions, is_agreed, reterr);
    if (r < 0)
        return r;
    if (is_new)
        st->durable_reject_log_length = record->reject_log_length;
    FAULT_POINT("commit.recorded");
    clock_check_committed(&st->clock, record->time_ms);
    atomic_store(&st->table.env.published_durable, record->published);
    return 0;
}

void storage_fill_record(struct storage *st, struct commit_record *record, uint64_t n,
                         const struct staged_parts *staged)
{
    record->n = n;
    record->published = st->published;
    record->time_ms = clock_check_commit_ms(&st->clock);
    record->reject_log_length = st->cut_reject_log_length;
    for (size_t i = 0; i < staged->count; i++)
        commit_record_add_part(record, staged->items[i].part->place, staged->items[i].pt->month.name,
                               staged->items[i].part->name);
    position_table_apply(&record->positions, &st->cut_positions);
}

int storage_append_agreed(struct storage *st, const struct commit_record *record, struct error *reterr)
{
    return append(st, record, &record->positions, true, reterr);
}

static int record_commit(struct storage *st, uint64_t n, const struct staged_parts *staged,
                         struct error *reterr)
{
    struct commit_record record = {0};
    storage_fill_record(st, &record, n, staged);
    for (size_t i = 0; i < record.positions.count && FAULT_SWITCH("commit_position_ahead"); i++)
        record.positions.entries[i].position.next++;
    int r = append(st, &record, &st->cut_positions, false, reterr);
    commit_record_release(&record);
    if (r == 0)
        position_table_release(&st->cut_positions);
    return r;
}

/* The record is durable: searches see the staged parts, sources may be acknowledged. */
static void adopt(struct storage *st, struct staged_parts *staged)
{
    for (size_t i = 0; i < staged->count; i++) {
        struct staged_part *s = &staged->items[i];
        struct part_list fresh = {0};
        part_list_add(&fresh, part_ref(s->part));
        for (size_t k = 0; k < s->sources.count; k++)
            if (s->sources.parts[k]->inmemory)
                atomic_fetch_sub(&st->buffered_bytes, s->sources.parts[k]->inmemory->memory_bytes);
        part_set_replace(partition_set(s->pt, s->part->place), &s->sources, &fresh);
        part_list_release(&fresh);
        part_list_release(&s->sources);
    }
    atomic_store(&st->last_commit_ms, clock_monotonic_ms());
    atomic_fetch_add(&st->commits_total, 1);
}

/* --- 4. publish --- */

static int publish(struct storage *st, struct error *reterr)
{
    struct staged_parts *staged = &st->unpublished;
    for (int index = 1; index >= 0; index--) { /* index before data */
        for (size_t i = 0; i < staged->count; i++) {
            if ((staged->items[i].part->place == PLACE_INDEX) != index)
                continue;
            int r = partition_publish(&staged->items[i], st->unpublished_commit, reterr);
            if (r < 0)
                return r;
            FAULT_POINT("publish.parts_json");
        }
        if (index)
            FAULT_POINT("publish.index");
    }
    staged_parts_release(staged);
    storage_remove_staging(st, st->unpublished_commit);
    st->published = st->unpublished_commit;
    FAULT_POINT("commit.published");
    return 0;
}

/* A record of its own for what was published, when no commit follows that would say so. */
static int record_published(struct storage *st, struct error *reterr)
{
    uint64_t n = atomic_load(&st->commit_number);
    if (st->published == atomic_load(&st->table.env.published_durable) || st->published != n)
        return 0;
    struct commit_record record = {
        .n = n,
        .published = n,
        .time_ms = clock_check_commit_ms(&st->clock),
        .reject_log_length = st->durable_reject_log_length,
    };
    return append(st, &record, NULL, false, reterr);
}

int storage_fold_journal(struct storage *st, bool stop, struct error *reterr)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, st->root);
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, st->root);
    struct checkpoint c = {
        .n = atomic_load(&st->commit_number),
        .time_ms = clock_check_commit_ms(&st->clock),
        .reject_log_length = st->durable_reject_log_length,
    };
    memcpy(c.store_id, st->journal.store_id, STORE_ID_BYTES);
    mutex_lock(&st->positions_lock);
    position_table_apply(&c.positions, &st->durable);
    mutex_unlock(&st->positions_lock);
    int r = checkpoint_write(&c, fs, checkpoint, reterr);
    checkpoint_release(&c);
    if (r < 0)
        return r;
    if (stop) {
        _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, st->root);
        r = fs->ops->unlink(fs, journal, reterr);
        return r < 0 ? r : fs->ops->sync_dir(fs, varve, reterr);
    }
    struct journal fresh;
    r = journal_create(&fresh, fs, journal, st->journal.store_id, c.n, reterr);
    if (r < 0) {
        st->journal.must_replace = true; /* it may have got as far as the rename */
        return r;
    }
    journal_release(&st->journal);
    st->journal = fresh;
    atomic_store(&st->table.env.published_durable, c.n);
    return 0;
}

/* --- a round --- */

int storage_adopt_commit(struct storage *st, uint64_t n, struct staged_parts *staged, struct error *reterr)
{
    adopt(st, staged);
    st->unpublished = *staged;
    st->unpublished_commit = n;
    *staged = (struct staged_parts){0};
    if (st->hooks.durable)
        st->hooks.durable(st->hooks.context, n);
    FAULT_POINT("commit.acknowledged");
    return publish(st, reterr);
}

static int commit_cut(struct storage *st, struct error *reterr)
{
    int r = storage_check_may_commit(st, reterr);
    if (r < 0)
        return r;
    uint64_t n = cut(st);
    struct staged_parts staged = {0};
    if (FAULT_SWITCH("commit_positions_early")) {
        r = record_commit(st, n, &staged, reterr);
        if (r < 0)
            return r;
        n = cut(st);
    }
    FAULT_POINT("commit.cut");
    r = stage(st, n, &staged, reterr);
    bool empty = staged.count == 0 && st->cut_positions.count == 0;
    if (r == 0 && empty)
        return record_published(st, reterr);
    bool in_two_phases = r == 0 && two_phase_is_needed(st);
    if (in_two_phases) {
        r = two_phase_commit(st, n, &staged, reterr);
        if (r == 0 || !staged.count)
            return r;
    } else if (r == 0) {
        r = record_commit(st, n, &staged, reterr);
    }
    if (r < 0) {
        /* Rows stay in memory under their number, positions in cut_positions: the next cut takes them along.
         */
        staged_parts_release(&staged);
        if (st->journal.fate_open)
            st->unsettled_commit = n; /* a crash may find its record, and then needs its parts */
        else if (!in_two_phases || !st->two_phase.may_be_found)
            storage_remove_staging(st, n);
        return r;
    }
    return storage_adopt_commit(st, n, &staged, reterr);
}

bool storage_take_turn(struct storage *st, int64_t timeout_ms)
{
    int64_t until = clock_monotonic_ms() + timeout_ms, left = 1000;
    mutex_lock(&st->wake_lock);
    while (st->commit_running && (timeout_ms < 0 || (left = until - clock_monotonic_ms()) > 0))
        cond_wait_ms(&st->wake, &st->wake_lock, left);
    bool mine = !st->commit_running;
    if (mine)
        st->commit_running = true;
    mutex_unlock(&st->wake_lock);
    return mine;
}

void storage_end_turn(struct storage *st)
{
    mutex_lock(&st->wake_lock);
    st->commit_running = false;
    cond_broadcast(&st->wake);
    mutex_unlock(&st->wake_lock);
}

static bool is_unpublished(const struct staged_parts *staged, const struct partition *pt)
{
    for (size_t i = 0; i < staged->count; i++)
        if (staged->items[i].pt == pt)
            return true;
    return false;
}

int storage_record_published(struct storage *st, const struct partition *pt, struct error *reterr)
{
    if (st->journal.fate_open || is_unpublished(&st->unpublished, pt) || two_phase_holds(st, pt))
        return error_set(reterr, ERR_BUSY, "a commit isn't finished yet");
    /* The record of a commit that isn't published yet says that those before it are. */
    return st->published == atomic_load(&st->commit_number) ? record_published(st, reterr) : 0;
}

static bool is_inmemory_rows(const struct part *p, void *arg)
{
    (void)arg;
    return p->inmemory != NULL;
}

static void drop_inmemory_parts(struct storage *st)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++) {
        struct part_list old = {0};
        const struct part_list none = {0};
        part_set_pin(&partitions[i]->data, &old, is_inmemory_rows, NULL);
        for (size_t k = 0; k < old.count; k++)
            atomic_fetch_sub(&st->buffered_bytes, old.parts[k]->inmemory->memory_bytes);
        part_set_replace(&partitions[i]->data, &old, &none);
        part_list_release(&old);
    }
    free(partitions);
}

void storage_drop_uncommitted(struct storage *st)
{
    struct shard_list list = {0};
    mutex_lock(&st->flush_lock);
    storage_lock_writers(st);
    storage_take_rows(st, &list, true);
    drop_inmemory_parts(st);
    mutex_lock(&st->positions_lock);
    position_table_release(&st->positions);
    position_table_apply(&st->positions, &st->durable);
    two_phase_drop_memory(st, &st->positions);
    struct position_table none = {0};
    position_table_take_changes(&st->positions, &none);
    position_table_release(&none);
    st->discard_wanted = false;
    mutex_unlock(&st->positions_lock);
    position_table_release(&st->cut_positions);
    if (st->hooks.discarded)
        st->hooks.discarded(st->hooks.context, st->two_phase.open
                                                   ? st->two_phase.prepared.record.reject_log_length
                                                   : st->durable_reject_log_length);
    storage_unlock_writers(st);
    mutex_unlock(&st->flush_lock);
    storage_release_rows(&list);
}

int storage_discard_uncommitted(struct storage *st, int64_t timeout_ms, struct error *reterr)
{
    mutex_lock(&st->positions_lock);
    st->discard_wanted = true;
    mutex_unlock(&st->positions_lock);
    if (!storage_take_turn(st, timeout_ms)) {
        storage_want_commit(st); /* it begins with the discard */
        return error_set(reterr, ERR_CANCELLED, "a commit is under way");
    }
    storage_drop_uncommitted(st);
    storage_end_turn(st);
    return 0;
}

bool storage_discard_is_due(struct storage *st)
{
    return is_discard_wanted(st);
}

/* There was no room for the journal that settles a failed append: nothing happens before it's written. */
static int settle(struct storage *st, struct error *reterr)
{
    int r = journal_settle(&st->journal, reterr);
    if (r < 0)
        return r;
    if (st->unsettled_commit)
        storage_remove_staging(st, st->unsettled_commit);
    st->unsettled_commit = 0;
    return 0;
}

int storage_commit_round(struct storage *st, struct error *reterr)
{
    if (atomic_load(&st->failed))
        return error_set(reterr, ERR_IO, "the store has failed; see the log");
    if (is_discard_wanted(st)) /* it couldn't be done while the round before was under way */
        storage_drop_uncommitted(st);
    int64_t start = clock_monotonic_ms();
    struct error error = {0};
    int r = 0;
    if (st->journal.fate_open)
        r = settle(st, &error);
    if (r == 0 && st->published < atomic_load(&st->commit_number))
        r = publish(st, &error);
    if (r == 0 && st->two_phase.open)
        r = two_phase_settle(st, &error);
    if (r == 0)
        r = commit_cut(st, &error);
    if (r == 0 && journal_wants_fold(&st->journal))
        r = storage_fold_journal(st, false, &error);
    if (r < 0) {
        atomic_fetch_add(&st->commit_failures_total, r != ERR_CANCELLED);
        if (reterr)
            *reterr = error;
        if (r == ERR_CANCELLED)
            return r;
        if (r != ERR_FULL)
            return storage_fail(st, &error);
        return r;
    }
    uint64_t took = (uint64_t)(clock_monotonic_ms() - start);
    atomic_store(&st->flush_ms_last, took);
    atomic_fetch_add(&st->flush_ms_total, took);
    return 0;
}

int storage_commit(struct storage *st, struct error *reterr)
{
    (void)storage_take_turn(st, -1);
    int r = storage_commit_round(st, reterr);
    storage_end_turn(st);
    return r;
}
