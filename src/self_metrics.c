#include "src/self_metrics.h"

#include "build_info.h"
#include "src/exposition.h"
#include "src/process_stats.h"
#include "src/server_progress.h"

static const struct metric_description descriptions[] = {
    {"varve_build_info", METRIC_GAUGE, "Version and git commit of this program; always 1"},
    {"varve_sink_messages_total", METRIC_COUNTER, "Messages taken from the broker"},
    {"varve_sink_rows_total", METRIC_COUNTER, "Rows added to the store"},
    {"varve_rejected_total", METRIC_COUNTER,
     "Messages and lines that could not be decoded, kept in the rejects"},
    {"varve_rows_dropped_total", METRIC_COUNTER, "Rows outside time or series limits, not stored"},
    {"varve_rejects_bytes", METRIC_GAUGE, "Size of the reject log on disk"},
    {"varve_rejects_dropped_total", METRIC_COUNTER, "Rejects that went with the oldest segments of the log"},
    {"varve_rejects_failed_total", METRIC_COUNTER, "Rejects lost because the log could not be written"},
    {"varve_rejects_forwarded_total", METRIC_COUNTER, "Rejects that the Kafka topic has acknowledged"},
    {"varve_intake_paused", METRIC_GAUGE, "Whether intake waits, by reason"},
    {"varve_memory_buffered_bytes", METRIC_GAUGE, "Rows in memory that are not in a file part yet"},
    {"varve_memory_series_cache_bytes", METRIC_GAUGE, "Memory of the workers' series caches"},
    {"varve_memory_used_bytes", METRIC_GAUGE, "Memory of this process that isn't pages of files"},
    {"varve_disk_free_bytes", METRIC_GAUGE, "Free space on the file system of the store"},
    {"varve_disk_free_bytes_min", METRIC_GAUGE, "storage.min_free_disk in bytes"},
    {"varve_memory_limit_bytes", METRIC_GAUGE, "storage.memory_limit in bytes"},
    {"varve_flush_duration_seconds", METRIC_GAUGE,
     "How long the last commit took, from its cut to its publication"},
    {"varve_flush_duration_seconds_total", METRIC_COUNTER, "Time spent in commits"},
    {"varve_commits_total", METRIC_COUNTER, "Durable commit records made"},
    {"varve_commit_failures_total", METRIC_COUNTER, "Commits that had to be tried again"},
    {"varve_commit_undecided_seconds", METRIC_GAUGE,
     "For how long a commit has been waiting for its group to decide (fenced_commits); 0: none is"},
    {"varve_commits_discarded_total", METRIC_COUNTER, "Commits that their group refused (fenced_commits)"},
    {"varve_commit_number", METRIC_GAUGE, "Number of the last durable commit record"},
    {"varve_commit_age_seconds", METRIC_GAUGE, "Time since the last durable commit record"},
    {"varve_oldest_unflushed_seconds", METRIC_GAUGE, "Age of the oldest row that is not in a durable record"},
    {"varve_disk_full", METRIC_GAUGE, "Whether the disk was full at the last write"},
    {"varve_parts", METRIC_GAUGE, "Parts, by month and kind"},
    {"varve_rows", METRIC_GAUGE, "Rows, by month and kind of part"},
    {"varve_part_bytes", METRIC_GAUGE, "Bytes of parts, by month and kind"},
    {"varve_index_items", METRIC_GAUGE, "Items of the index, by month"},
    {"varve_merges_active", METRIC_GAUGE, "Merges at work, by kind"},
    {"varve_merges_suspended", METRIC_GAUGE, "Months whose parts aren't merged any more, as one is damaged"},
    {"varve_rows_removed_total", METRIC_COUNTER, "Stored rows that were deleted, by reason"},
    {"varve_parts_removed_total", METRIC_COUNTER,
     "Parts deleted whole, as all their rows were out of retention"},
    {"varve_months_dropped_total", METRIC_COUNTER, "Months deleted with their index, out of retention"},
    {"varve_merges_total", METRIC_COUNTER, "Merges done, by kind"},
    {"varve_merged_rows_total", METRIC_COUNTER, "Rows, or index items, that went through merges"},
    {"varve_merge_read_bytes_total", METRIC_COUNTER, "Bytes of parts that merges have read"},
    {"varve_merge_written_bytes_total", METRIC_COUNTER, "Bytes of parts that merges have written"},
    {"varve_write_amplification", METRIC_GAUGE,
     "Bytes that flushes and merges have written since the start, to those of flushes"},
    {"varve_merge_parts_waiting", METRIC_GAUGE,
     "Parts that wait for merges: the most small parts, or parts of an index, that a month has"},
    {"varve_intake_slowed_seconds_total", METRIC_COUNTER,
     "How long writers waited for commits and merges, or helped with merges, all together"},
    {"varve_forced_merge_running", METRIC_GAUGE, "Whether a forced merge is at work, and on which month"},
    {"varve_forced_merges_waiting", METRIC_GAUGE, "Forced merges asked for and not begun"},
    {"varve_forced_merges_total", METRIC_COUNTER, "Forced merges done"},
    {"varve_forced_merges_failed_total", METRIC_COUNTER, "Forced merges that could not be done"},
    {"varve_forced_merge_months", METRIC_GAUGE, "Months of the forced merge at work, or done last"},
    {"varve_forced_merge_months_done", METRIC_GAUGE, "Months of it that are done"},
    {"varve_forced_merge_rows", METRIC_GAUGE, "Its rows and index items"},
    {"varve_forced_merge_rows_done", METRIC_GAUGE, "Rows and index items that it has done"},
    {"varve_forced_merge_bytes", METRIC_GAUGE, "Its bytes"},
    {"varve_forced_merge_bytes_done", METRIC_GAUGE, "Bytes that it has done"},
    {"varve_forced_merge_left_seconds", METRIC_GAUGE, "How long it will still take, as far as one can tell"},
    {"varve_series_active", METRIC_GAUGE, "Series known in memory"},
    {"varve_new_series_total", METRIC_COUNTER, "Series registered for the first time"},
    {"varve_kafka_lag", METRIC_GAUGE, "Records of the partition that are not in the store yet"},
    {"varve_kafka_partition_halted", METRIC_GAUGE, "1 while the partition is not read, by reason"},
    {"varve_kafka_broker_up", METRIC_GAUGE, "Whether the broker is connected"},
    {"varve_kafka_broker_rtt_seconds", METRIC_GAUGE, "Average round trip to the broker"},
    {"varve_kafka_partitions_assigned", METRIC_GAUGE, "Partitions that this sink reads"},
    {"varve_kafka_fenced_commits_total", METRIC_COUNTER, "Commits that the group has taken the offsets of"},
    {"varve_kafka_fenced_commits_refused_total", METRIC_COUNTER, "Commits that weren't made"},
    {"varve_kafka_fenced_commits_found_total", METRIC_COUNTER,
     "Commits that were made as the group's offsets said so"},
    {"varve_kafka_fenced_commits_unknown_total", METRIC_COUNTER,
     "Commits that were made although the group's offsets didn't say"},
    {"varve_kafka_fenced_wait_seconds_total", METRIC_COUNTER, "Time that commits waited for the group"},
    {"process_cpu_seconds_total", METRIC_COUNTER, "Processor time of all threads"},
    {"process_resident_memory_bytes", METRIC_GAUGE, "Resident memory"},
    {"process_virtual_memory_bytes", METRIC_GAUGE, "Virtual memory"},
    {"process_open_fds", METRIC_GAUGE, "Open file descriptors"},
    {"process_threads", METRIC_GAUGE, "Threads"},
    {"process_start_time_seconds", METRIC_GAUGE, "Start of the process, Unix time"},
};

static void add_intake(struct exposition *x, const struct self_metrics *m)
{
    const struct intake_totals *t = m->intake;
    for (size_t i = 0; i < t->sinks_count; i++)
        exposition_add(x, "varve_sink_rows_total", (double)t->sinks[i].rows,
                       METRIC_LABELS("sink", t->sinks[i].sink_name));
    for (size_t i = 0; i < t->rejected_count; i++)
        exposition_add(x, "varve_rejected_total", (double)t->rejected[i].count,
                       METRIC_LABELS("sink", t->rejected[i].sink_name, "reason", t->rejected[i].reason));
    for (size_t i = 0; i < t->dropped_count; i++)
        exposition_add(x, "varve_rows_dropped_total", (double)t->dropped[i].count,
                       METRIC_LABELS("reason", t->dropped[i].reason));
    if (m->rejects) {
        exposition_add(x, "varve_rejects_bytes", (double)m->rejects->size_bytes, NULL);
        exposition_add(x, "varve_rejects_dropped_total", (double)m->rejects->dropped_total, NULL);
        exposition_add(x, "varve_rejects_failed_total", (double)m->rejects->failed_total, NULL);
    }
    if (m->has_reject_topic)
        exposition_add(x, "varve_rejects_forwarded_total", (double)m->rejects_forwarded, NULL);
    static const struct {
        enum intake_pause bit;
        const char *reason;
    } pauses[] = {{INTAKE_PAUSE_DISK, "disk"},
                  {INTAKE_PAUSE_MEMORY, "memory"},
                  {INTAKE_PAUSE_CLOCK, "clock"},
                  {INTAKE_PAUSE_STOPPING, "stopping"},
                  {INTAKE_PAUSE_UNDECIDED, "undecided"}};
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++)
        exposition_add(x, "varve_intake_paused", (m->paused & pauses[i].bit) != 0,
                       METRIC_LABELS("reason", pauses[i].reason));
    exposition_add(x, "varve_memory_buffered_bytes", (double)m->buffered_bytes, NULL);
    exposition_add(x, "varve_memory_series_cache_bytes", (double)t->cache_bytes, NULL);
    exposition_add(x, "varve_memory_used_bytes", (double)m->memory_used_bytes, NULL);
    exposition_add(x, "varve_memory_limit_bytes", (double)m->memory_limit_bytes, NULL);
    exposition_add(x, "varve_disk_free_bytes", (double)m->free_disk_bytes, NULL);
    exposition_add(x, "varve_disk_free_bytes_min", (double)m->min_free_disk_bytes, NULL);
}

static void add_month(struct exposition *x, const struct storage_month_stats *month)
{
    const struct {
        const char *kind;
        uint64_t parts, rows, bytes;
    } kinds[] = {
        {"inmemory", month->inmemory.parts, month->inmemory.rows, month->inmemory.bytes},
        {"small", month->small.parts, month->small.rows, month->small.bytes},
        {"big", month->big.parts, month->big.rows, month->big.bytes},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *const *labels = METRIC_LABELS("month", month->month, "kind", kinds[i].kind);
        exposition_add(x, "varve_parts", (double)kinds[i].parts, labels);
        exposition_add(x, "varve_rows", (double)kinds[i].rows, labels);
        exposition_add(x, "varve_part_bytes", (double)kinds[i].bytes, labels);
    }
    const char *const *labels = METRIC_LABELS("month", month->month, "kind", "index");
    exposition_add(x, "varve_parts", (double)month->index.parts, labels);
    exposition_add(x, "varve_part_bytes", (double)month->index.bytes, labels);
    exposition_add(x, "varve_index_items", (double)month->index.items, METRIC_LABELS("month", month->month));
}

static void add_merges(struct exposition *x, const struct storage_stats *s)
{
    for (size_t i = 0; i < STORAGE_MERGE_KINDS; i++) {
        const struct storage_merge_stats *k = &s->merges[i];
        const char *const *labels = METRIC_LABELS("kind", k->kind ? k->kind : "");
        exposition_add(x, "varve_merges_active", (double)k->active, labels);
        exposition_add(x, "varve_merges_total", (double)k->total, labels);
        exposition_add(x, "varve_merged_rows_total", (double)k->rows_total, labels);
        exposition_add(x, "varve_merge_read_bytes_total", (double)k->bytes_read_total, labels);
        exposition_add(x, "varve_merge_written_bytes_total", (double)k->bytes_written_total, labels);
    }
    exposition_add(x, "varve_write_amplification", s->write_amplification, NULL);
    exposition_add(x, "varve_merge_parts_waiting", (double)s->parts_waiting, NULL);
    exposition_add(x, "varve_intake_slowed_seconds_total", s->intake_slowed_seconds_total, NULL);
}

static void add_storage(struct exposition *x, const struct self_metrics *m)
{
    const struct storage_stats *s = m->storage;
    exposition_add(x, "varve_flush_duration_seconds", s->flush_duration_seconds_last, NULL);
    exposition_add(x, "varve_flush_duration_seconds_total", s->flush_duration_seconds_total, NULL);
    exposition_add(x, "varve_commits_total", (double)s->commits_total, NULL);
    exposition_add(x, "varve_commit_failures_total", (double)s->commit_failures_total, NULL);
    exposition_add(x, "varve_commit_undecided_seconds", s->undecided_seconds, NULL);
    exposition_add(x, "varve_commits_discarded_total", (double)s->commits_discarded_total, NULL);
    exposition_add(x, "varve_commit_number", (double)m->commit_number, NULL);
    exposition_add(x, "varve_commit_age_seconds", s->commit_age_seconds, NULL);
    exposition_add(x, "varve_oldest_unflushed_seconds", s->oldest_unflushed_seconds, NULL);
    exposition_add(x, "varve_disk_full", s->disk_full, NULL);
    for (size_t i = 0; i < s->months_count; i++)
        add_month(x, &s->months[i]);
    exposition_add(x, "varve_merges_suspended", (double)s->merges_suspended, NULL);
    exposition_add(x, "varve_rows_dropped_total", (double)s->removed.uncommitted_rows,
                   METRIC_LABELS("reason", "month_dropped"));
    exposition_add(x, "varve_rows_removed_total", (double)s->removed.retention_rows,
                   METRIC_LABELS("reason", "retention"));
    exposition_add(x, "varve_rows_removed_total", (double)s->removed.deleted_rows,
                   METRIC_LABELS("reason", "deleted_series"));
    exposition_add(x, "varve_rows_removed_total", (double)s->removed.dedup_rows,
                   METRIC_LABELS("reason", "dedup"));
    exposition_add(x, "varve_parts_removed_total", (double)s->removed.parts, NULL);
    exposition_add(x, "varve_months_dropped_total", (double)s->removed.months, NULL);
    add_merges(x, s);
    if (m->forced_merge)
        server_progress_write(x, m->forced_merge);
    exposition_add(x, "varve_series_active", (double)s->series_known, NULL);
    exposition_add(x, "varve_new_series_total", (double)s->new_series_total, NULL);
}

static void add_process(struct exposition *x)
{
    struct process_stats p;
    process_stats_get(&p);
    exposition_add(x, "process_cpu_seconds_total", p.cpu_seconds, NULL);
    exposition_add(x, "process_resident_memory_bytes", (double)p.resident_bytes, NULL);
    exposition_add(x, "process_virtual_memory_bytes", (double)p.virtual_bytes, NULL);
    exposition_add(x, "process_open_fds", (double)p.open_fds, NULL);
    exposition_add(x, "process_threads", (double)p.threads, NULL);
    exposition_add(x, "process_start_time_seconds", p.start_time_seconds, NULL);
}

void self_metrics_write(const struct self_metrics *m, struct buffer *dst)
{
    struct exposition x = {.descriptions = descriptions,
                           .descriptions_count = sizeof descriptions / sizeof descriptions[0]};
    exposition_add(&x, "varve_build_info", 1,
                   METRIC_LABELS("version", VARVE_VERSION, "commit", VARVE_GIT_COMMIT));
    for (size_t i = 0; i < m->sinks_count; i++) {
        struct buffer text = {0};
        m->sinks[i]->ops->metrics(m->sinks[i], &text);
        exposition_add_text(&x, (const char *)text.data, text.len);
        buffer_release(&text);
    }
    add_intake(&x, m);
    add_storage(&x, m);
    add_process(&x);
    exposition_write(&x, dst);
    exposition_release(&x);
}
