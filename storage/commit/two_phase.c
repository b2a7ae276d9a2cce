/*
 * The commit in two phases, for sources that somebody else may have taken over meanwhile: prepare, ask, then
 * record or discard (hooks.verdict).
 *
 *   stage -> prepared (synced) -> the owner's verdict -> record as of any other commit -> publish
 *                                                     -> or: struck out, and what isn't durable is dropped
 *
 * Between the two syncs the commit belongs to whoever gives the verdict: a crash leaves it open, and the next
 * process asks again. Until then nothing else is cut; searches see its rows as long as they're in memory.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "storage/partition/partition_open.h"
#include "storage/storage_impl.h"

bool two_phase_is_needed(const struct storage *st)
{
    const struct position_table *cut = &st->cut_positions;
    if (!st->hooks.needs_verdict)
        return false;
    for (size_t i = 0; i < cut->count; i++)
        if (st->hooks.needs_verdict(st->hooks.context, cut->entries[i].key, cut->entries[i].key_len))
            return true;
    return false;
}

static void begin(struct storage *st, bool found)
{
    st->two_phase.open = true;
    st->two_phase.found = found;
    st->two_phase.agreed = false;
    atomic_store(&st->two_phase.since_ms, clock_monotonic_ms());
}

static void end(struct storage *st)
{
    struct two_phase *t = &st->two_phase;
    t->open = t->found = t->agreed = t->may_be_found = false;
    prepared_record_release(&t->prepared);
    staged_parts_release(&t->staged);
}

static int prepare(struct storage *st, struct prepared_record *p, struct error *reterr)
{
    struct prepared_file *file = &st->two_phase.file;
    if (getrandom(&p->token, sizeof p->token, 0) != sizeof p->token)
        return error_set(reterr, ERR_IO, "no random bytes for a commit's token");
    if (!file->path) {
        file->fs = st->table.env.fs;
        file->path = xasprintf("%s/" FILE_PREPARED, st->root);
        file->fd = -1;
    }
    FAULT_POINT("commit.before_prepared");
    return prepared_write(file, p, st->journal.store_id, reterr);
}

int two_phase_commit(struct storage *st, uint64_t n, struct staged_parts *staged, struct error *reterr)
{
    struct two_phase *t = &st->two_phase;
    struct prepared_record p = {0};
    storage_fill_record(st, &p.record, n, staged);
    int r = storage_check_may_commit(st, reterr);
    if (r == 0)
        r = prepare(st, &p, reterr);
    if (r < 0) {
        /* Nobody was asked, so nobody has agreed; but a crash may find it, and then looks for its parts. */
        t->may_be_found = t->file.fd >= 0 && r != ERR_CANCELLED &&
                          (r != ERR_FULL || prepared_strike_out(&t->file, NULL) < 0);
        prepared_record_release(&p);
        return r;
    }
    t->prepared = p;
    t->staged = *staged;
    *staged = (struct staged_parts){0};
    position_table_release(&st->cut_positions);
    begin(st, false);
    FAULT_POINT("commit.prepared");
    return two_phase_settle(st, reterr);
}

/* The rows of all sources since the last record are read again, as nobody knows which of them depend on the
 * source that was lost. */
static int discard(struct storage *st, struct error *reterr)
{
    struct two_phase *t = &st->two_phase;
    uint64_t n = t->prepared.record.n;
    FAULT_POINT("commit.refused");
    if (!t->file.path) {
        t->file = (struct prepared_file){.fs = st->table.env.fs, .fd = -1};
        t->file.path = xasprintf("%s/" FILE_PREPARED, st->root);
    }
    int r = prepared_strike_out(&t->file, reterr);
    if (r < 0)
        return r;
    FAULT_POINT("commit.struck_out");
    end(st);
    storage_drop_uncommitted(st);
    atomic_store(&t->since_ms, 0); /* sources go on from here: positions are back by now */
    st->cut_reject_log_length = st->durable_reject_log_length;
    storage_remove_staging(st, n);
    atomic_fetch_add(&t->discarded_total, 1);
    return error_set(reterr, ERR_CANCELLED, "commit %" PRIu64 " was refused: its rows are read again", n);
}

static enum storage_verdict ask(struct storage *st)
{
    const struct two_phase *t = &st->two_phase;
    const struct storage_prepared question = {
        .n = t->prepared.record.n,
        .token = t->prepared.token,
        .is_found = t->found,
        .positions = &t->prepared.record.positions,
    };
    return st->hooks.verdict ? st->hooks.verdict(st->hooks.context, &question) : STORAGE_COMMIT;
}

int two_phase_settle(struct storage *st, struct error *reterr)
{
    struct two_phase *t = &st->two_phase;
    struct commit_record *record = &t->prepared.record;
    if (!t->agreed) {
        enum storage_verdict verdict = ask(st);
        if (verdict == STORAGE_DISCARD)
            return discard(st, reterr);
        if (verdict == STORAGE_UNDECIDED)
            return error_set(reterr, ERR_CANCELLED, "commit %" PRIu64 " waits for its verdict", record->n);
        t->agreed = true;
        FAULT_POINT("commit.agreed");
    }
    record->published = st->published;
    int r = storage_append_agreed(st, record, reterr);
    if (r < 0)
        return r; /* ERR_FULL: again in the next round */
    struct prepared_record p = t->prepared;
    struct staged_parts staged = t->staged;
    t->prepared = (struct prepared_record){0};
    t->staged = (struct staged_parts){0};
    end(st); /* what the file holds isn't above the last record any more */
    r = storage_adopt_commit(st, p.record.n, &staged, reterr);
    atomic_store(&t->since_ms, 0); /* its rows and series are found by now */
    prepared_record_release(&p);
    return r;
}

void two_phase_drop_memory(struct storage *st, struct position_table *positions)
{
    struct two_phase *t = &st->two_phase;
    if (!t->open)
        return;
    /* Index rows stay in memory, here as in storage_discard_uncommitted. */
    for (size_t i = 0; i < t->staged.count; i++)
        if (t->staged.items[i].part->place != PLACE_INDEX)
            part_list_release(&t->staged.items[i].sources);
    position_table_apply(positions, &t->prepared.record.positions);
}

static int open_part(struct storage *st, const struct record_part *named, struct staged_parts *staged,
                     uint64_t *largest_id, struct error *reterr)
{
    struct month month;
    uint64_t n = st->two_phase.prepared.record.n;
    if (!month_parse(&month, named->month))
        return error_set(reterr, ERR_CORRUPT, "%s/" FILE_PREPARED ": month %s", st->root, named->month);
    struct partition *pt = create_partition(&st->table, month.min_ms);
    _cleanup_free_ char *month_dir = staging_dir(&st->table.env, n, named->place, &month);
    _cleanup_free_ char *dir = xasprintf("%s/%s", month_dir, named->name);
    struct part *part;
    struct error damage = {0};
    int r = part_open(&part, named->place, dir, named->name, n, &damage);
    if (r < 0)
        return error_set(reterr, r == ERR_NOT_FOUND ? ERR_CORRUPT : r,
                         "a part of commit %" PRIu64
                         ", which waits for its verdict, is damaged: %s; to start "
                         "without that commit remove %s/" FILE_PREPARED
                         ": its rows are read again, unless another node has their partitions by now",
                         n, damage.message, st->root);
    GROW(staged->items, staged->count, staged->capacity);
    staged->items[staged->count++] = (struct staged_part){.pt = pt, .part = part};
    return named->place == PLACE_INDEX ? part_largest_metric_id(part, largest_id, reterr) : 0;
}

int two_phase_open(struct storage *st, struct store_view *view, uint64_t *largest_id, struct error *reterr)
{
    struct two_phase *t = &st->two_phase;
    if (!view->has_prepared)
        return 0;
    t->prepared = view->prepared;
    view->prepared = (struct prepared_record){0};
    view->has_prepared = false;
    const struct commit_record *record = &t->prepared.record;
    int r = 0;
    for (size_t i = 0; i < record->parts_count && r == 0; i++)
        r = open_part(st, &record->parts[i], &t->staged, largest_id, reterr);
    begin(st, true);
    return r;
}

bool two_phase_holds(const struct storage *st, const struct partition *pt)
{
    for (size_t i = 0; i < st->two_phase.staged.count; i++)
        if (st->two_phase.staged.items[i].pt == pt)
            return true;
    return false;
}

int64_t storage_undecided_ms(struct storage *st)
{
    int64_t since = atomic_load(&st->two_phase.since_ms);
    return since ? clock_monotonic_ms() - since : -1;
}

void two_phase_release(struct storage *st)
{
    end(st);
    prepared_file_release(&st->two_phase.file);
}
