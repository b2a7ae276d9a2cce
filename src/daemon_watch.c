#include <inttypes.h>
#include <malloc.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/daemon_internal.h"
#include "src/notify.h"
#include "src/process_stats.h"

#define STATUS_INTERVAL_MS      (5 * SECOND_MS)
#define ACKNOWLEDGE_INTERVAL_MS (2 * SECOND_MS)
#define TRIM_INTERVAL_MS        (2 * SECOND_MS)
/* A commit that waits no longer for its verdict is no reason for others to wait. */
#define UNDECIDED_PATIENCE_MS (2 * SECOND_MS)

static uint64_t memory_limit(const struct config_storage *cfg)
{
    if (!cfg->memory_limit.percent)
        return cfg->memory_limit.bytes;
    return process_memory_total() / 100 * cfg->memory_limit.percent;
}

void daemon_watch_init(struct daemon *d)
{
    d->memory_limit_bytes = memory_limit(&d->cfg->storage);
    d->gate = (struct intake_gate){
        .min_free_disk_bytes = d->cfg->storage.min_free_disk_bytes,
        .memory_limit_bytes = d->memory_limit_bytes,
    };
}

static uint64_t queues_bytes(const struct config *cfg)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < cfg->sinks_count; i++)
        sum += cfg->sinks[i].queue_size_bytes;
    return sum;
}

/* What the allocator keeps but nobody uses is given back before it's counted. */
static uint64_t memory_used(struct daemon *d)
{
    uint64_t used = process_memory_used();
    int64_t now_ms = clock_monotonic_ms();
    if (used < d->memory_limit_bytes / 8 * 7 || now_ms - d->trimmed_at_ms < TRIM_INTERVAL_MS)
        return used;
    d->trimmed_at_ms = now_ms;
    (void)malloc_trim(0);
    return process_memory_used();
}

/* Says each change once. */
static void log_changes(struct daemon *d)
{
    static const struct {
        enum intake_pause reason;
        const char *paused, *resumed;
    } texts[] = {
        {INTAKE_PAUSE_DISK, "intake waits: the disk has less than storage.min_free_disk free, or is full",
         "intake goes on: the disk has room again"},
        {INTAKE_PAUSE_MEMORY,
         "intake waits: memory reaches storage.memory_limit; if that lasts, it's the series known in memory "
         "(varve_series_active): raise the limit, or restart, which keeps those of the last days only",
         "intake goes on: memory is below storage.memory_limit again"},
        {INTAKE_PAUSE_CLOCK,
         "intake and retention wait: the clock can't be right, by the time of the store's last commit; have "
         "it "
         "synchronised, or set storage.trust_clock",
         "intake and retention go on: the clock can be right"},
        {INTAKE_PAUSE_UNDECIDED,
         "intake waits: a commit waits for its group to decide (fenced_commits), and can't be made, nor any "
         "after it, before the brokers answer",
         "intake goes on: the commit is decided"},
    };
    unsigned now = ingest_paused(d->ingest), changed = now ^ d->paused_last;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!(changed & (unsigned)texts[i].reason))
            continue;
        if (now & (unsigned)texts[i].reason)
            log_warning("%s", texts[i].paused);
        else
            log_info("%s", texts[i].resumed);
    }
    d->paused_last = now;
}

static void say_status(struct daemon *d, uint64_t rows_total)
{
    int64_t now_ms = clock_monotonic_ms(), elapsed_ms = now_ms - d->status_at_ms;
    if (elapsed_ms < STATUS_INTERVAL_MS)
        return;
    struct storage_stats stats = {0};
    storage_stats(d->storage, &stats);
    double rows_per_s =
        d->status_at_ms ? (double)(rows_total - d->status_rows) * 1e3 / (double)elapsed_ms : 0;
    notify_status("%.0f rows/s, %" PRIu64 " series, oldest row not on disk %.1f s old%s", rows_per_s,
                  stats.series_known, stats.oldest_unflushed_seconds,
                  ingest_paused(d->ingest) ? ", intake waits" : "");
    storage_stats_release(&stats);
    d->status_at_ms = now_ms;
    d->status_rows = rows_total;
}

/* Commits do it as well; but when no rows come there are none, and an acknowledgement that failed, or one
 * that a killed process owed, would wait for the next. */
static void acknowledge_at_times(struct daemon *d)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - d->acknowledged_at_ms < ACKNOWLEDGE_INTERVAL_MS)
        return;
    d->acknowledged_at_ms = now_ms;
    daemon_acknowledge(d);
}

/* What was found at the start holds intake up at once: its series aren't known yet. */
static bool is_undecided(struct daemon *d)
{
    int64_t waiting_ms = storage_undecided_ms(d->storage);
    d->found_undecided &= waiting_ms >= 0;
    return d->found_undecided || waiting_ms > UNDECIDED_PATIENCE_MS;
}

void daemon_watch(struct daemon *d)
{
    struct intake_totals totals = {0};
    intake_totals_collect(&totals, ingest_counters(d->ingest));
    d->gate.buffers_limit_bytes =
        intake_gate_buffers_limit(d->memory_limit_bytes, queues_bytes(d->cfg), totals.cache_bytes);
    const struct intake_gate_sight sight = {
        .free_disk_bytes = fs_posix.ops->free_bytes(&fs_posix, d->cfg->storage.path),
        .buffered_bytes = storage_buffered_bytes(d->storage),
        .memory_used_bytes = memory_used(d),
    };
    intake_gate_look(&d->gate, &sight);
    (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_DISK, d->gate.is_disk_low || atomic_load(&d->disk_full));
    (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_MEMORY, d->gate.is_memory_high);
    (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_CLOCK, storage_clock(d->storage) != CLOCK_PLAUSIBLE);
    (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_UNDECIDED, is_undecided(d));
    log_changes(d);
    acknowledge_at_times(d);
    say_status(d, totals.rows);
    intake_totals_release(&totals);
}

void daemon_watch_memory(struct daemon *d)
{
    if (process_memory_used() <= d->memory_limit_bytes)
        return;
    d->gate.is_memory_high = true; /* until an eighth of it is back */
    (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_MEMORY, true);
}
