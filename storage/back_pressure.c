#include "storage/back_pressure.h"

#include <stdlib.h>

#include "src/base/clock.h"
#include "storage/storage_impl.h"

#define COMMIT_WAIT_MS 50
/* Idle time counts as busy, too, up to this: it's not known which it was. */
#define BUSY_MAX_MS 1000
/* Writers help with merges of at most this size, a fraction of a second, when they'd wait half of the time.
 */
#define ASSIST_BYTES_MAX (UINT64_C(16) << 20)
#define ASSIST_DEBT      ((MERGE_DEBT_FREE + MERGE_DEBT_FULL) / 2)

double back_pressure_wait_ms(uint64_t debt, int64_t busy_ms)
{
    if (debt <= MERGE_DEBT_FREE || busy_ms <= 0)
        return 0;
    if (debt >= MERGE_DEBT_FULL)
        return MERGE_WAIT_MAX_MS;
    double behind = (double)(debt - MERGE_DEBT_FREE) / (MERGE_DEBT_FULL - MERGE_DEBT_FREE);
    double busy = (double)(busy_ms < BUSY_MAX_MS ? busy_ms : BUSY_MAX_MS);
    double wait = busy * behind / (1 - behind);
    return wait < MERGE_WAIT_MAX_MS ? wait : MERGE_WAIT_MAX_MS;
}

static uint64_t count_waiting(struct part_set *set)
{
    uint64_t count = 0;
    mutex_lock(&set->lock);
    for (size_t i = 0; i < set->list.count; i++)
        count += !part_is_inmemory(set->list.parts[i]) && set->list.parts[i]->place != PLACE_BIG;
    mutex_unlock(&set->lock);
    return count;
}

void back_pressure_measure(struct storage *st)
{
    size_t count;
    uint64_t most = 0;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&partitions[i]->merge_suspended))
            continue; /* nothing will merge them */
        uint64_t rows = count_waiting(&partitions[i]->data), index = count_waiting(&partitions[i]->index);
        most = rows > most ? rows : most;
        most = index > most ? index : most;
    }
    free(partitions);
    atomic_store(&st->merge_debt, most);
}

/* Waits until it's time, or the store stops; at most a moment for a commit if for_commit. */
static void wait(struct storage *st, int64_t until_ms, bool for_commit)
{
    int64_t left;
    mutex_lock(&st->wake_lock);
    while (!st->stopping && (left = until_ms - clock_monotonic_ms()) > 0) {
        cond_wait_ms(&st->wake, &st->wake_lock, left);
        if (for_commit)
            break;
    }
    mutex_unlock(&st->wake_lock);
}

static bool is_behind_with_commits(const struct storage_writer *w)
{
    return atomic_load(&w->st->buffered_bytes) > INMEMORY_BYTES_WAIT ||
           atomic_load_explicit(&w->rows_waiting, memory_order_relaxed) >= WRITER_ROWS_FLUSH;
}

void storage_throttle(struct storage_writer *w)
{
    struct storage *st = w->st;
    int64_t start = clock_monotonic_ms();
    uint64_t debt = atomic_load_explicit(&st->merge_debt, memory_order_relaxed);
    w->owed_ms += w->last_begin_ms ? back_pressure_wait_ms(debt, start - w->last_begin_ms) : 0;
    int64_t wait_ms = w->owed_ms < MERGE_WAIT_MAX_MS ? (int64_t)w->owed_ms : MERGE_WAIT_MAX_MS;
    w->owed_ms = w->owed_ms < MERGE_WAIT_MAX_MS ? w->owed_ms - (double)wait_ms : 0;
    bool commits = is_behind_with_commits(w);
    if (commits)
        wait(st, start + COMMIT_WAIT_MS, true);
    if (debt > ASSIST_DEBT) {
        int r = merge_once(st, MERGE_SMALL, ASSIST_BYTES_MAX);
        if (r == 0)
            (void)merge_once(st, MERGE_INDEX, ASSIST_BYTES_MAX);
    }
    if (wait_ms)
        wait(st, start + wait_ms, false);
    w->last_begin_ms = clock_monotonic_ms();
    if (commits || debt > MERGE_DEBT_FREE)
        atomic_fetch_add(&st->intake_slowed_ms, (uint64_t)(w->last_begin_ms - start));
}
