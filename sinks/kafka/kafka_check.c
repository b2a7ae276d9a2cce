/*
 * Is it still the log that we read last time? And what becomes of a partition whose offset is gone?
 *
 * A partition is assigned at the last record consumed, not at the next: if that record comes, it must be the
 * one whose fingerprint the store holds. If a later one comes first, the record was compacted away, which is
 * no mismatch. If the broker says "out of range", the watermarks decide (kafka_start.h).
 *
 * A topic that is deleted and made anew while we read it may have more records by then than we had read: no
 * offset is out of range, and the library would go on in the middle of it. But it says when the topic wasn't
 * there, so from then on the partition is as if it was newly assigned.
 *
 * So it is whenever a partition is begun anew, at an assignment, after a pause, after a broker went away: a
 * replica that takes over may have lost records that we have and have got others under their offsets (unclean
 * election; the library checks leader epochs since 2.1). And where the addresses lead to another cluster by
 * now, nothing of this is decided: the client is made anew, with that cluster's positions (kafka_consumer.c).
 *
 * A partition leaves the library's assignment before it comes back at another offset: between the two lies at
 * least one poll, which drops what was still in the queue.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"
#include "src/base/log.h"

/* A question about a topic that isn't there takes as long as it may, and the others wait meanwhile. */
#define VANISHED_RETRY_MS (5 * SECOND_MS)

struct kafka_fingerprint kafka_fingerprint_of_message(const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t time_ms = rd_kafka_message_timestamp(m, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        time_ms = -1;
    return kafka_fingerprint_of(m->offset, time_ms, m->key, m->key_len, m->payload, m->len);
}

void kafka_halt(struct kafka_consumer *c, struct kafka_partition *p, const char *reason, const char *why)
{
    p->halted = reason;
    p->range_unknown = p->recreated = p->vanished = p->reattach = false;
    log_error("sink %s: %s/%" PRId32 " stands still at offset %" PRId64 " (%s): %s", c->sink->base.name,
              p->topic, p->partition, p->next, reason, why);
}

bool kafka_check_record(struct kafka_partition *p, const rd_kafka_message_t *m)
{
    if (m->offset < p->expected.offset)
        return false;
    p->check = false;
    if (m->offset > p->expected.offset)
        return true; /* a control record, or compacted away */
    struct kafka_fingerprint seen = kafka_fingerprint_of_message(m);
    if (kafka_fingerprint_equal(&seen, &p->expected))
        return false; /* the one we have */
    p->recreated = true;
    p->range_unknown = true;
    return false;
}

/* "TOPIC [N]: ..."; other texts are passed over. */
void kafka_check_not_there(struct kafka_consumer *c, const char *reason)
{
    char topic[256];
    const char *space = strchr(reason, ' ');
    size_t len = space ? (size_t)(space - reason) : sizeof topic;
    if (len >= sizeof topic || space[1] != '[')
        return;
    (void)snprintf(topic, sizeof topic, "%.*s", (int)len, reason);
    struct kafka_partition *p = kafka_partition_find(c, topic, (int32_t)strtol(space + 2, NULL, 10));
    if (p && kafka_partition_wanted(p))
        p->not_there = true;
}

/* What was fetched before is delivered by now. */
static void take_vanished(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        struct sink_position position;
        if (!p->not_there)
            continue;
        mutex_lock(&c->lock);
        p->not_there = false;
        if (kafka_partition_wanted(p)) {
            p->range_unknown = p->vanished = true;
            p->retry_ms = 0;
            p->check = s->intake->ops->position(s->intake, p->key.data, (uint32_t)p->key.len, &position) &&
                       kafka_position_fingerprint(&position, &p->expected);
        }
        mutex_unlock(&c->lock);
    }
}

static void say_error(struct kafka_consumer *c, const rd_kafka_message_t *m)
{
    int64_t now = clock_monotonic_ms();
    if (m->err == c->last_error && now - c->last_error_ms < 60 * SECOND_MS)
        return;
    c->last_error = m->err;
    c->last_error_ms = now;
    log_warning("sink %s: %s: %s", c->sink->base.name, m->rkt ? rd_kafka_topic_name(m->rkt) : "consumer",
                rd_kafka_message_errstr(m));
}

void kafka_check_error(struct kafka_consumer *c, const rd_kafka_message_t *m)
{
    struct kafka_partition *p =
        m->rkt ? kafka_partition_find(c, rd_kafka_topic_name(m->rkt), m->partition) : NULL;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: /* as the other way round: kafka_check_not_there */
        if (p && kafka_partition_wanted(p))
            p->not_there = true;
        say_error(c, m);
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        if (p && kafka_partition_wanted(p)) {
            p->range_unknown = true;
            p->retry_ms = 0;
        }
        return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED: /* a codec that the library wasn't built with */
        /* The library goes on behind the damage; we must not. */
        if (p && kafka_partition_wanted(p))
            kafka_halt(c, p, "corrupt_record", rd_kafka_message_errstr(m));
        else if (!p)
            say_error(c, m);
        return;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return; /* the loop looks for fatal errors itself */
    default:
        say_error(c, m);
        return;
    }
}

static const char *why_halted(const struct kafka_partition *p, const struct kafka_range_decision *d)
{
    if (d->gap)
        return "retention took records before they were read; set `on_out_of_range: earliest` to go on";
    if (p->recreated)
        return "the record before it isn't the one that was read: the topic was made anew, or the brokers "
               "lost records. Set `on_topic_recreated: earliest` to read it from its start";
    return "the log ends before what was read: the topic was made anew, or the brokers lost records. Set "
           "`on_topic_recreated: earliest` to read it from its start";
}

static void set_position(struct kafka_consumer *c, const struct kafka_partition *p, int64_t next)
{
    struct intake *in = c->sink->intake;
    struct sink_position position = kafka_position_encode(next, NULL);
    in->ops->set_position(in, p->key.data, (uint32_t)p->key.len, &position);
}

/* Asks for the watermarks of a partition and decides; false if no broker answered. */
static bool resolve_range(struct kafka_consumer *c, struct kafka_partition *p)
{
    struct kafka_sink *s = c->sink;
    struct kafka_range_input in = {
        .next = p->next,
        .on_topic_recreated = s->on_topic_recreated,
        .on_out_of_range = s->on_out_of_range,
    };
    if (clock_monotonic_ms() < p->retry_ms)
        return false;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(c->rk, p->topic, p->partition, &in.low, &in.high, KAFKA_LOOKUP_MS);
    if (err) {
        p->retry_ms = clock_monotonic_ms() + (p->vanished ? VANISHED_RETRY_MS : SECOND_MS);
        return false;
    }
    struct kafka_range_decision d = kafka_range_decide(&in);
    if (p->recreated)
        d = (struct kafka_range_decision){
            .action = s->on_topic_recreated == KAFKA_RECREATED_STOP ? KAFKA_RANGE_HALT : KAFKA_RANGE_RESTART,
            .offset = in.low,
            .reason = "topic_recreated"};
    if (d.action != KAFKA_RANGE_CONTINUE && !kafka_lookup_is_same_cluster(c)) {
        p->retry_ms = clock_monotonic_ms() + SECOND_MS;
        return false;
    }

    mutex_lock(&c->lock);
    const char *why = why_halted(p, &d);
    bool is_record_gone = p->check && p->expected.offset < in.low;
    p->range_unknown = p->recreated = p->vanished = false;
    if (d.action == KAFKA_RANGE_HALT) {
        kafka_halt(c, p, d.reason, why);
    } else if (d.action == KAFKA_RANGE_CONTINUE) {
        /* If the record before the next one is there, it's compared: the log may have ended before it for a
         * moment, and then have got others. */
        if (is_record_gone)
            set_position(c, p, p->next);
        p->check &= !is_record_gone;
    } else {
        log_warning("sink %s: %s/%" PRId32 " goes on at offset %" PRId64 " instead of %" PRId64
                    " (%s); %" PRIu64 " records were never read",
                    s->base.name, p->topic, p->partition, d.offset, p->next, d.reason, d.gap);
        atomic_fetch_add(&s->gap_records, d.gap);
        set_position(c, p, d.offset);
        p->check = false;
        p->next = d.offset;
        p->commit_sent = -1;
    }
    mutex_unlock(&c->lock);
    return true;
}

void kafka_check_all(struct kafka_consumer *c)
{
    c->brokers_lost_seen = atomic_load(&c->sink->brokers_lost);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->partitions_count; i++) {
        if (kafka_partition_wanted(c->partitions[i]))
            c->partitions[i]->reattach = true;
    }
    mutex_unlock(&c->lock);
}

void kafka_check_serve(struct kafka_consumer *c)
{
    bool apply = false, unanswered = false;
    if (c->brokers_lost_seen != atomic_load(&c->sink->brokers_lost)) /* as another consumer noticed */
        kafka_check_all(c);
    if (c->pending != KAFKA_PENDING_NONE)
        return; /* the library takes the next assignment for the answer to the rebalance */
    take_vanished(c);
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        if (p->attached) {
            if (!kafka_partition_wanted(p))
                apply = p->dirty = true;
            continue;
        }
        if (p->halted)
            continue;
        if (p->range_unknown) {
            /* One unanswered question a turn: polling and stopping must go on. */
            if (unanswered || kafka_consumer_stopping(c))
                continue;
            if (!resolve_range(c, p) || p->halted) {
                unanswered = p->range_unknown;
                continue;
            }
        }
        p->reattach = false;
        apply = p->dirty = true;
    }
    if (apply)
        kafka_assignment_apply(c);
}
