/* The sink's own metrics. varve_sink_rows_total and varve_rejected_total are the intake's. */
#include <inttypes.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"

/* A chunk is delivered in some milliseconds, but a message of a million new series takes seconds. Whoever
 * asks in between sees what was so before. */
#define BUSY_WAIT_MS 500

/* High watermark less position. The library's position passes over control records, which ours waits behind;
 * it's unknown on an idle partition. -1: the watermark isn't known yet. */
static int64_t lag_of(struct kafka_consumer *c, const struct kafka_partition *p)
{
    int64_t low, high, position = p->next;
    if (rd_kafka_get_watermark_offsets(c->rk, p->topic, p->partition, &low, &high) || high < 0)
        return -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
    if (!p->halted && !rd_kafka_position(c->rk, list) && !e->err && e->offset > position)
        position = e->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return high > position ? high - position : 0;
}

static void partition_metrics(struct kafka_consumer *c, struct buffer *dst) REQUIRES(c->lock)
{
    const char *sink = c->sink->base.name;
    for (size_t i = 0; i < c->partitions_count; i++) {
        const struct kafka_partition *p = c->partitions[i];
        int64_t lag = lag_of(c, p);
        if (lag >= 0)
            buffer_printf(dst,
                          "varve_kafka_lag{sink=\"%s\",topic=\"%s\",partition=\"%" PRId32 "\"} %" PRId64 "\n",
                          sink, p->topic, p->partition, lag);
        if (p->halted)
            buffer_printf(dst,
                          "varve_kafka_partition_halted{sink=\"%s\",topic=\"%s\",partition=\"%" PRId32
                          "\",reason=\"%s\"} 1\n",
                          sink, p->topic, p->partition, p->halted);
    }
}

static void broker_metrics(struct kafka_sink *s, const struct kafka_stats *stats, struct buffer *dst)
{
    for (size_t i = 0; i < stats->brokers_count; i++) {
        const struct kafka_broker_stats *b = &stats->brokers[i];
        buffer_printf(dst, "varve_kafka_broker_up{sink=\"%s\",broker=\"%s\"} %d\n", s->base.name, b->name,
                      b->up);
        buffer_printf(dst,
                      "varve_kafka_broker_rtt_seconds{sink=\"%s\",broker=\"%s\"} %" PRId64 ".%06" PRId64 "\n",
                      s->base.name, b->name, b->rtt_avg_us / 1000000, b->rtt_avg_us % 1000000);
    }
}

static void renew_shown(struct kafka_consumer *c) REQUIRES(c->lock)
{
    struct kafka_shown *shown = &c->shown;
    mutex_lock(&shown->lock);
    buffer_clear(&shown->text);
    partition_metrics(c, &shown->text);
    if (c->index == 0)
        broker_metrics(c->sink, &c->stats, &shown->text);
    shown->assigned = c->partitions_count;
    shown->bytes = c->stats.rx_bytes;
    shown->requests = c->stats.requests;
    shown->queued = (uint64_t)c->stats.queued;
    mutex_unlock(&shown->lock);
}

void kafka_metrics(struct sink *base, struct buffer *dst)
{
    struct kafka_sink *s = (struct kafka_sink *)base;
    uint64_t assigned = 0, bytes = 0, requests = 0, queued = 0;
    int64_t until_ms = clock_monotonic_ms() + BUSY_WAIT_MS;
    for (unsigned i = 0; i < s->consumers_count; i++) {
        struct kafka_consumer *c = s->consumers[i];
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (mutex_lock_ms(&c->lock, left_ms > 0 ? left_ms : 0)) {
            renew_shown(c);
            mutex_unlock(&c->lock);
        }
        mutex_lock(&c->shown.lock);
        buffer_append(dst, c->shown.text.data, c->shown.text.len);
        assigned += c->shown.assigned;
        bytes += c->shown.bytes;
        requests += c->shown.requests;
        queued += c->shown.queued;
        mutex_unlock(&c->shown.lock);
    }
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"varve_sink_messages_total", atomic_load(&s->messages)},
        {"varve_kafka_tombstones_total", atomic_load(&s->tombstones)},
        {"varve_kafka_empty_messages_total", atomic_load(&s->empty)},
        {"varve_kafka_missed_records_total", atomic_load(&s->gap_records)},
        {"varve_kafka_hand_overs_refused_total", atomic_load(&s->refused)},
        {"varve_kafka_stale_records_total", atomic_load(&s->stale)},
        {"varve_kafka_group_offsets_moved_total", atomic_load(&s->group_moved)},
        {"varve_kafka_received_bytes_total", bytes},
        {"varve_kafka_requests_total", requests},
        {"varve_kafka_queued_records", queued},
        {"varve_kafka_partitions_assigned", assigned},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        buffer_printf(dst, "%s{sink=\"%s\"} %" PRIu64 "\n", counters[i].name, base->name, counters[i].value);
    const struct kafka_fenced *f = &s->fenced;
    if (f->is_on)
        buffer_printf(dst,
                      "varve_kafka_fenced_commits_total{sink=\"%s\"} %llu\n"
                      "varve_kafka_fenced_commits_refused_total{sink=\"%s\"} %llu\n"
                      "varve_kafka_fenced_commits_found_total{sink=\"%s\"} %llu\n"
                      "varve_kafka_fenced_commits_unknown_total{sink=\"%s\"} %llu\n"
                      "varve_kafka_fenced_wait_seconds_total{sink=\"%s\"} %.3f\n",
                      base->name, atomic_load(&f->commits), base->name, atomic_load(&f->refused), base->name,
                      atomic_load(&f->found), base->name, atomic_load(&f->unknown), base->name,
                      (double)atomic_load(&f->waited_us) / 1e6);
    static const char *const elsewhere[] = {"other_cluster", "removed_sink"};
    for (int i = 0; i < KAFKA_ELSEWHERE_COUNT; i++) {
        uint64_t count = atomic_load(&s->begun_known[i]);
        if (count)
            buffer_printf(dst,
                          "varve_kafka_partitions_known_elsewhere{sink=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                          base->name, elsewhere[i], count);
    }
    const char *failed = atomic_load(&s->failed);
    if (failed)
        buffer_printf(dst, "varve_kafka_sink_failed{sink=\"%s\",reason=\"%s\"} 1\n", base->name, failed);
}
