/* The hot path: borrowed payloads through the decoder into the intake. */
#include <inttypes.h>
#include <stdio.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/fault_point.h"
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
                   uint32_t line, const char *reason, struct span bytes, uint64_t full_size)
{
    struct intake *in = c->sink->intake;
    char where[320];
    format_where(where, sizeof where, p, m->offset, line);
    struct message message = kafka_message_of(c->sink, p, m);
    struct rejected r = {
        .where = where,
        .reason = reason,
        .payload = bytes,
        .full_size = full_size,
        .key = message.key,
        .record_time_ms = message.time_ms,
    };
    in->ops->reject(in, c->worker, &r);
}

static void deliver_message(struct kafka_consumer *c, const struct kafka_partition *p,
                            const rd_kafka_message_t *m)
{
    struct kafka_sink *s = c->sink;
    struct intake *in = s->intake;
    const char *reason = "undecodable";

    if (!m->payload) { /* a tombstone: only the position moves */
        atomic_fetch_add_explicit(&s->tombstones, 1, memory_order_relaxed);
        return;
    }
    if (!m->len)
        atomic_fetch_add_explicit(&s->empty, 1, memory_order_relaxed);
    if (m->len > s->max_message_size) {
        reject(c, p, m, 0, "too_large",
               span_of(m->payload, m->len < KAFKA_REJECT_HEAD ? m->len : KAFKA_REJECT_HEAD), m->len);
        return;
    }
    sample_batch_clear(&c->batch);
    struct message message = kafka_message_of(s, p, m);
    if (unpack(&c->unpacker, message.payload, unpack_limit(s->max_message_size), &message.payload, &reason) <
            0 ||
        s->decoder->decode(&s->decode, &message, &c->batch, &reason) == DECODE_REJECT) {
        reject(c, p, m, 0, reason, span_of(m->payload, m->len), m->len);
        return;
    }
    for (size_t i = 0; i < c->batch.bad_lines_count; i++) {
        const struct bad_line *b = &c->batch.bad_lines[i];
        reject(c, p, m, b->line_number, b->reason, b->line, b->line.len);
    }

    if (s->timestamp_from_record && message.time_ms != TIMESTAMP_NONE) {
        for (size_t i = 0; i < c->batch.samples_count; i++)
            c->batch.samples[i].timestamp_ms = TIMESTAMP_NONE;
    }
    in->ops->deliver(in, c->worker, &c->batch, message.time_ms, kafka_labels_of(c, p, &message));
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

/* Claims what select_records touched, before anything of it is delivered: what the store refuses (another
 * thread moved the position) isn't delivered at all. */
static void claim_touched(struct kafka_consumer *c)
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
        p->claimed = r == 0;
        if (r < 0)
            hand_over_refused(c, p, &error);
        else
            p->refusals = 0;
    }
    c->touched_count = 0;
}

static void touch(struct kafka_consumer *c, struct kafka_partition *p)
{
    if (p->touched)
        return;
    p->from = p->next;
    p->touched = true;
    GROW(c->touched, c->touched_count, c->touched_capacity);
    c->touched[c->touched_count++] = p;
}

static bool is_to_store(struct kafka_partition *p, const rd_kafka_message_t *m)
{
    if (!kafka_partition_wanted(p))
        return false; /* halted, or read before a re-assignment */
    if (p->check && !kafka_check_record(p, m))
        return FAULT_SWITCH("kafka_checked_twice") && !p->check && kafka_partition_wanted(p);
    return m->offset >= p->next;
}

/* The records of the chunk that are ours to store, with their partitions, into c->selected. */
static void select_records(struct kafka_consumer *c, size_t first, size_t end) REQUIRES(c->lock)
{
    struct kafka_partition *p = NULL;
    const rd_kafka_topic_t *topic = NULL;
    int32_t partition = -1;
    uint64_t stale = 0;

    c->selected_count = 0;
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
        if (!p || !is_to_store(p, m)) { /* NULL: revoked */
            stale++;
            continue;
        }
        touch(c, p);
        p->next = m->offset + 1;
        p->last = m;
        GROW(c->selected, c->selected_count, c->selected_capacity);
        c->selected[c->selected_count++] = (struct kafka_selected){m, p};
    }
    atomic_fetch_add_explicit(&c->sink->stale, stale, memory_order_relaxed);
}

static void deliver_chunk(struct kafka_consumer *c, size_t first, size_t end) REQUIRES(c->lock)
{
    struct intake *in = c->sink->intake;
    uint64_t delivered = 0;
    select_records(c, first, end);
    if (!c->selected_count)
        return;
    in->ops->begin(in, c->worker);
    claim_touched(c);
    for (size_t i = 0; i < c->selected_count; i++) {
        if (!c->selected[i].partition->claimed)
            continue;
        deliver_message(c, c->selected[i].partition, c->selected[i].message);
        delivered++;
    }
    in->ops->end(in, c->worker);
    atomic_fetch_add_explicit(&c->sink->messages, delivered, memory_order_relaxed);
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
