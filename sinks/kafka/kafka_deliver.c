/* The hot path: borrowed payloads through the decoder into the intake. */
#include <inttypes.h>
#include <stdio.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/log.h"

#define REFUSALS_MAX 3

static void format_where(char *dst, size_t size, const struct kafka_partition *p, int64_t offset,
                         uint32_t line)
{
    int n = snprintf(dst, size, "%s/%" PRId32 "@%" PRId64, p->topic, p->partition, offset);
    if (line && n > 0 && (size_t)n < size)
        (void)snprintf(dst + n, size - (size_t)n, " line %" PRIu32, line);
}

static void reject(struct kafka_consumer *c, const struct kafka_partition *p, const rd_kafka_message_t *m,
                   const char *reason, size_t kept)
{
    struct intake *in = c->sink->intake;
    char where[320];
    format_where(where, sizeof where, p, m->offset, 0);
    in->ops->reject(in, c->worker, where, reason, m->payload, kept, m->len);
}

static void reject_bad_lines(struct kafka_consumer *c, const struct kafka_partition *p,
                             const rd_kafka_message_t *m)
{
    struct intake *in = c->sink->intake;
    char where[320];
    for (size_t i = 0; i < c->batch.bad_lines_count; i++) {
        const struct bad_line *b = &c->batch.bad_lines[i];
        format_where(where, sizeof where, p, m->offset, b->line_number);
        in->ops->reject(in, c->worker, where, b->reason, b->line.data, b->line.len, b->line.len);
    }
}

static void deliver_message(struct kafka_consumer *c, const struct kafka_partition *p,
                            const rd_kafka_message_t *m)
{
    struct kafka_sink *s = c->sink;
    struct intake *in = s->intake;
    const char *reason = "undecodable";

    if (!m->payload || !m->len) {
        /* A tombstone, or nothing in it: only the position moves. */
        atomic_fetch_add_explicit(m->payload ? &s->empty : &s->tombstones, 1, memory_order_relaxed);
        return;
    }
    if (m->len > s->max_message_size) {
        reject(c, p, m, "too_large", m->len < KAFKA_REJECT_HEAD ? m->len : KAFKA_REJECT_HEAD);
        return;
    }
    sample_batch_clear(&c->batch);
    struct span payload = span_of(m->payload, m->len);
    if (s->decoder->decode(&s->decode, payload, &c->batch, &reason) == DECODE_REJECT) {
        reject(c, p, m, reason, m->len);
        return;
    }
    if (c->batch.bad_lines_count)
        reject_bad_lines(c, p, m);

    rd_kafka_timestamp_type_t type;
    int64_t time_ms = rd_kafka_message_timestamp(m, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || time_ms < 0) {
        time_ms = TIMESTAMP_NONE;
    } else if (s->timestamp_from_record) {
        for (size_t i = 0; i < c->batch.samples_count; i++)
            c->batch.samples[i].timestamp_ms = TIMESTAMP_NONE;
    }
    in->ops->deliver(in, c->worker, &c->batch, time_ms);
}

/* The store has another position than we thought: go on from its own. */
static void hand_over_refused(struct kafka_consumer *c, struct kafka_partition *p, const struct error *error)
{
    struct kafka_sink *s = c->sink;
    struct sink_position position;
    atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
    log_error("sink %s: the store refuses records of %s/%" PRId32 " from offset %" PRId64
              ": %s; reading on from the store's position",
              s->base.name, p->topic, p->partition, p->from, error->message);
    p->next = p->from;
    if (++p->refusals >= REFUSALS_MAX ||
        !s->intake->ops->position(s->intake, p->key.data, (uint32_t)p->key.len, &position)) {
        kafka_halt(c, p, "refused", "the store keeps refusing its records");
        return;
    }
    p->next = (int64_t)position.next;
    p->check = kafka_position_fingerprint(&position, &p->expected);
    p->reattach = true;
}

static void hand_over_touched(struct kafka_consumer *c)
{
    struct intake *in = c->sink->intake;
    for (size_t i = 0; i < c->touched_count; i++) {
        struct kafka_partition *p = c->touched[i];
        struct kafka_fingerprint fingerprint = kafka_fingerprint_of_message(p->last);
        struct sink_position to = kafka_position_encode(p->next, &fingerprint);
        struct error error = {0};
        int r = in->ops->hand_over(in, c->worker, p->key.data, (uint32_t)p->key.len, (uint64_t)p->from, &to,
                                   &error);
        p->touched = false;
        p->last = NULL;
        if (r < 0)
            hand_over_refused(c, p, &error);
        else
            p->refusals = 0;
    }
    c->touched_count = 0;
}

/* The first record of a partition in this chunk. Whether the store stands where we think is asked before any
 * row is delivered, so that a hand-over is refused only if another thread moved the position since. */
static bool touch(struct kafka_consumer *c, struct kafka_partition *p)
{
    struct intake *in = c->sink->intake;
    struct sink_position position;
    if (p->touched)
        return true;
    p->from = p->next;
    if (!in->ops->position(in, p->key.data, (uint32_t)p->key.len, &position) ||
        position.next != (uint64_t)p->next) {
        struct error error = {0};
        (void)error_set(&error, ERR_INVALID, "its position is another");
        hand_over_refused(c, p, &error);
        return false;
    }
    p->touched = true;
    GROW(c->touched, c->touched_count, c->touched_capacity);
    c->touched[c->touched_count++] = p;
    return true;
}

static void deliver_chunk(struct kafka_consumer *c, size_t first, size_t end) REQUIRES(c->lock)
{
    struct kafka_sink *s = c->sink;
    struct intake *in = s->intake;
    struct kafka_partition *p = NULL;
    const rd_kafka_topic_t *topic = NULL;
    int32_t partition = -1;
    uint64_t delivered = 0, stale = 0;
    bool begun = false;

    for (size_t i = first; i < end; i++) {
        const rd_kafka_message_t *m = c->messages[i];
        if (m->err) {
            kafka_check_error(c, m);
            continue;
        }
        if (m->rkt != topic || m->partition != partition) { /* records of one partition come in runs */
            topic = m->rkt;
            partition = m->partition;
            p = kafka_partition_find(c, rd_kafka_topic_name(m->rkt), partition);
        }
        /* Revoked, halted, or read before a re-assignment: not ours to store. */
        if (!p || !kafka_partition_wanted(p) || (p->check && !kafka_check_record(c, p, m)) ||
            m->offset < p->next) {
            stale++;
            continue;
        }
        if (!begun) {
            in->ops->begin(in, c->worker);
            begun = true;
        }
        if (!touch(c, p))
            continue;
        deliver_message(c, p, m);
        p->next = m->offset + 1;
        p->last = m;
        delivered++;
    }
    if (begun) {
        hand_over_touched(c);
        in->ops->end(in, c->worker);
    }
    atomic_fetch_add_explicit(&s->messages, delivered, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->stale, stale, memory_order_relaxed);
}

void kafka_deliver(struct kafka_consumer *c, size_t count)
{
    for (size_t first = 0; first < count;) {
        size_t end = first, bytes = 0;
        while (end < count && bytes < KAFKA_CHUNK_BYTES)
            bytes += c->messages[end++]->len;

        size_t mean = bytes / (end - first);
        c->message_size = mean > c->message_size ? mean : (c->message_size * 7 + mean) / 8;

        mutex_lock(&c->lock);
        if (!atomic_load(&c->sink->stop_intake))
            deliver_chunk(c, first, end);
        mutex_unlock(&c->lock);

        for (; first < end; first++)
            rd_kafka_message_destroy(c->messages[first]);
    }
}
