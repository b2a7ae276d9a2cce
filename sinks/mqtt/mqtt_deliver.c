/* The reader thread: durable messages of the spool through the decoders into the intake, each range claimed
 * before anything of it is delivered. */
#include <inttypes.h>
#include <stdio.h>

#include "sinks/decode/unpack.h"
#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

#define CHUNK_BYTES   (256 * 1024)
#define IDLE_WAIT_MS  500
#define PAUSE_WAIT_MS 50
#define ERROR_WAIT_MS 1000
#define MARK_LEN      12 /* CRC32C and arrival time of the record before the position */

struct delivery {
    struct mqtt_sink *sink;
    struct sample_batch batch;
    struct unpacker unpacker;
    struct spool_reader reader;
    bool cannot_read; /* has been said */
};

static struct sink_position position_after(const struct spool_record *last, uint64_t next)
{
    struct sink_position p = {.next = next};
    if (last) {
        put_le32(p.mark, last->crc);
        put_le64(p.mark + 4, (uint64_t)last->arrival_ms);
        p.mark_len = MARK_LEN;
    }
    return p;
}

/* Whether the spool still holds the record before the position, as another one. */
static bool is_other_record(struct mqtt_sink *s, const struct sink_position *p)
{
    struct spool_reader reader;
    bool is_other = false;
    if (p->mark_len != MARK_LEN || p->next == 0)
        return false;
    spool_reader_init(&reader, s->spool, p->next - 1);
    if (spool_reader_read(&reader, CHUNK_BYTES, NULL) > 0 && reader.records[0].lsn == p->next - 1)
        is_other = position_after(&reader.records[0], p->next).mark_len != p->mark_len ||
                   memcmp(position_after(&reader.records[0], p->next).mark, p->mark, MARK_LEN) != 0;
    spool_reader_release(&reader);
    return is_other;
}

static void make_workers(struct mqtt_sink *s)
{
    s->workers = xcalloc(s->subscriptions_count, sizeof *s->workers);
    for (size_t i = 0; i < s->subscriptions_count; i++) {
        struct mqtt_subscription *sub = &s->subscriptions[i];
        for (size_t j = 0; j < i && !sub->worker; j++) {
            const struct mqtt_subscription *other = &s->subscriptions[j];
            if (other->decoder == sub->decoder && other->decode.precision == sub->decode.precision &&
                other->decode.json == sub->decode.json)
                sub->worker = other->worker;
        }
        if (sub->worker)
            continue;
        sub->worker = s->intake->ops->worker_new(s->intake, s->base.name, sub->decoder, &sub->decode);
        s->workers[s->workers_count++] = sub->worker;
    }
}

void mqtt_deliver_begin(struct mqtt_sink *s)
{
    struct intake *in = s->intake;
    struct sink_position p;
    struct spool_stats stats;
    uint32_t key_len = (uint32_t)strlen(s->key);
    spool_get_stats(s->spool, &stats);
    bool is_known = in->ops->position(in, s->key, key_len, &p);
    if (is_known && is_other_record(s, &p)) {
        log_error(
            "sink %s: the spool in %s isn't the one that the store has read up to %" PRIu64
            " (restored from a copy?): reading it again from its first message; some may be stored twice",
            s->base.name, s->spool_path, p.next);
        s->foreign = p;
        s->has_foreign = true;
        is_known = false;
    }
    if (is_known && p.next > stats.next_lsn) {
        log_warning("sink %s: the store has read the spool up to %" PRIu64 ", which ends at %" PRIu64
                    "; going on there",
                    s->base.name, p.next, stats.next_lsn);
        spool_skip_to(s->spool, p.next);
    } else if (is_known && p.next < stats.first_lsn) {
        log_error("sink %s: messages %" PRIu64 " to %" PRIu64
                  " are no longer in the spool and not in the store (an older store restored?)",
                  s->base.name, p.next, stats.first_lsn - 1);
        is_known = false;
    }
    if (!is_known) {
        p = position_after(NULL, stats.first_lsn);
        in->ops->set_position(in, s->key, key_len, &p);
    }
    make_workers(s);
}

static bool is_same_position(const struct sink_position *a, const struct sink_position *b)
{
    return a->next == b->next && a->mark_len == b->mark_len && memcmp(a->mark, b->mark, a->mark_len) == 0;
}

void mqtt_deliver_acknowledge(struct mqtt_sink *s, bool is_final)
{
    struct sink_position p;
    if (!atomic_load(&s->is_open) ||
        !s->intake->ops->durable_position(s->intake, s->key, (uint32_t)strlen(s->key), &p))
        return;
    /* Until the next commit it's the store's still. */
    if (s->has_foreign && is_same_position(&p, &s->foreign))
        return;
    FAULT_POINT("mqtt_before_trim");
    mqtt_session_trim(&s->session, p.next, is_final);
}

static void format_where(char *dst, size_t size, const struct spool_record *r, uint32_t line)
{
    int n = snprintf(dst, size, "%.*s@%" PRIu64, (int)(r->topic.len < 256 ? r->topic.len : 256),
                     r->topic.data, r->lsn);
    if (line && n > 0 && (size_t)n < size)
        (void)snprintf(dst + n, size - (size_t)n, " line %" PRIu32, line);
}

static void reject(struct mqtt_sink *s, struct intake_worker *worker, const struct spool_record *r,
                   const char *reason, uint32_t line, struct span bytes)
{
    char where[320];
    format_where(where, sizeof where, r, line);
    struct rejected rejected = {
        .where = where,
        .reason = reason,
        .payload = span_of(bytes.data, bytes.len < MQTT_REJECT_HEAD ? bytes.len : MQTT_REJECT_HEAD),
        .full_size = r->cut_from ? r->cut_from : bytes.len,
        .record_time_ms = r->arrival_ms,
    };
    s->intake->ops->reject(s->intake, worker, &rejected);
}

/* A retained message comes again with each subscription: without a time of its own it would be a new sample
 * each time. */
static void drop_untimed(struct sample_batch *b)
{
    size_t groups = 0, samples = 0;
    for (size_t i = 0; i < b->groups_count; i++) {
        struct sample_group g = b->groups[i];
        size_t first = samples;
        for (size_t j = 0; j < g.samples_count; j++) {
            const struct sample *sample = &b->samples[g.first_sample + j];
            if (sample->timestamp_ms != TIMESTAMP_NONE)
                b->samples[samples++] = *sample;
        }
        if (samples == first)
            continue;
        g.first_sample = first;
        g.samples_count = samples - first;
        b->groups[groups++] = g;
    }
    b->groups_count = groups;
    b->samples_count = samples;
}

static void deliver_record(struct delivery *d, const struct spool_record *r)
{
    struct mqtt_sink *s = d->sink;
    struct intake *in = s->intake;
    struct mqtt_match match;
    struct mqtt_subscription *sub = mqtt_find_subscription(s, r->topic, &match);
    const char *reason = "undecodable";
    if (!sub) { /* it was there when the message came */
        atomic_fetch_add_explicit(&s->unmatched, 1, memory_order_relaxed);
        return;
    }
    if (!r->payload.len) { /* how a publisher clears a retained message */
        atomic_fetch_add_explicit(&s->empty, 1, memory_order_relaxed);
        return;
    }
    if (r->cut_from) {
        reject(s, sub->worker, r, "too_large", 0, r->payload);
        return;
    }
    struct message message = {.payload = r->payload,
                              .topic = r->topic,
                              .captures = match.captures,
                              .captures_count = match.captures_count,
                              .rest = match.rest,
                              .time_ms = r->arrival_ms};
    sample_batch_clear(&d->batch);
    if (unpack(&d->unpacker, message.payload, unpack_limit(s->max_packet_size), &message.payload, &reason) <
            0 ||
        sub->decoder->decode(&sub->decode, &message, &d->batch, &reason) == DECODE_REJECT) {
        reject(s, sub->worker, r, reason, 0, r->payload);
        return;
    }
    for (size_t i = 0; i < d->batch.bad_lines_count; i++) {
        const struct bad_line *b = &d->batch.bad_lines[i];
        reject(s, sub->worker, r, b->reason, b->line_number, b->line);
    }
    if (sub->timestamp_from_record) {
        for (size_t i = 0; i < d->batch.samples_count; i++)
            d->batch.samples[i].timestamp_ms = TIMESTAMP_NONE;
    }
    if (r->retained && s->retained == MQTT_RETAINED_TIMESTAMPED) {
        size_t before = d->batch.samples_count;
        drop_untimed(&d->batch);
        if (before && !d->batch.samples_count)
            atomic_fetch_add_explicit(&s->dropped_retained, 1, memory_order_relaxed);
    }
    label_set_render(sub->labels, &message, &sub->rendered);
    in->ops->deliver(in, sub->worker, &d->batch, r->arrival_ms, sub->labels ? &sub->rendered : NULL);
}

/* Goes on where the store does, which may be further back: it drops what isn't durable of all sources when
 * one of them was lost to another node. Then nothing else would make us read it again. */
static void follow_store(struct delivery *d)
{
    struct mqtt_sink *s = d->sink;
    struct intake *in = s->intake;
    struct sink_position p;
    uint32_t key_len = (uint32_t)strlen(s->key);
    uint64_t damaged = d->reader.damaged_total;
    if (!in->ops->position(in, s->key, key_len, &p)) { /* no commit yet, so that nothing was trimmed either */
        struct spool_stats stats;
        spool_get_stats(s->spool, &stats);
        p = position_after(NULL, stats.first_lsn);
        in->ops->set_position(in, s->key, key_len, &p);
    }
    if (p.next == d->reader.next_lsn)
        return;
    log_info("sink %s: reading on from the store's position, message %" PRIu64
             " of the spool instead of %" PRIu64,
             s->base.name, p.next, d->reader.next_lsn);
    spool_reader_release(&d->reader);
    spool_reader_init(&d->reader, s->spool, p.next);
    d->reader.damaged_total = damaged;
}

static void hand_over_refused(struct delivery *d, uint64_t from, const struct error *error)
{
    struct mqtt_sink *s = d->sink;
    atomic_fetch_add(&s->hand_overs_refused, 1);
    log_error("sink %s: the store refuses messages from %" PRIu64 ": %s", s->base.name, from, error->message);
    clock_sleep_ms(ERROR_WAIT_MS);
    follow_store(d);
}

/* Workers are bound to decoders, and the messages of a range may need several: the first claims the range,
 * and nothing is cut until all of them have ended. */
static void deliver_chunk(struct delivery *d, uint64_t from)
{
    struct mqtt_sink *s = d->sink;
    struct intake *in = s->intake;
    size_t count = d->reader.records_count;
    struct sink_position to =
        position_after(count ? &d->reader.records[count - 1] : NULL, d->reader.next_lsn);
    struct error error = {0};
    for (size_t i = 0; i < s->workers_count; i++)
        in->ops->begin(in, s->workers[i]);
    int r = in->ops->hand_over(in, s->workers[0], s->key, (uint32_t)strlen(s->key), from, &to, &error);
    FAULT_POINT("mqtt_handed_over");
    for (size_t i = 0; r == 0 && i < count; i++)
        deliver_record(d, &d->reader.records[i]);
    for (size_t i = s->workers_count; i-- > 0;)
        in->ops->end(in, s->workers[i]);
    FAULT_POINT("mqtt_delivered");
    if (r < 0)
        hand_over_refused(d, from, &error);
    else
        atomic_fetch_add_explicit(&s->messages, count, memory_order_relaxed);
}

static void run(struct delivery *d)
{
    struct mqtt_sink *s = d->sink;
    struct intake *in = s->intake;
    while (!atomic_load(&s->intake_stopped)) {
        struct error error = {0};
        if (in->ops->paused(in)) {
            clock_sleep_ms(PAUSE_WAIT_MS);
            continue;
        }
        if (!spool_wait_durable(s->spool, d->reader.next_lsn, IDLE_WAIT_MS)) {
            if (!atomic_load(&s->intake_stopped))
                follow_store(d);
            continue;
        }
        if (atomic_load(&s->intake_stopped))
            continue;
        uint64_t from = d->reader.next_lsn, damaged = d->reader.damaged_total;
        int r = spool_reader_read(&d->reader, CHUNK_BYTES, &error);
        if (r < 0) {
            if (!d->cannot_read)
                log_error("sink %s: %s; trying again", s->base.name, error.message);
            d->cannot_read = true;
            clock_sleep_ms(ERROR_WAIT_MS);
            continue;
        }
        d->cannot_read = false;
        if (d->reader.damaged_total != damaged) {
            log_error("sink %s: %" PRIu64 " messages before %" PRIu64
                      " of the spool in %s are damaged and lost",
                      s->base.name, d->reader.damaged_total - damaged, d->reader.next_lsn, s->spool_path);
            atomic_store(&s->damaged, d->reader.damaged_total);
        }
        if (d->reader.next_lsn != from)
            deliver_chunk(d, from);
    }
}

void mqtt_deliver_main(void *arg)
{
    struct mqtt_sink *s = arg;
    struct delivery d = {.sink = s};
    struct sink_position p = {0};
    (void)s->intake->ops->position(s->intake, s->key, (uint32_t)strlen(s->key), &p);
    spool_reader_init(&d.reader, s->spool, p.next);
    run(&d);
    spool_reader_release(&d.reader);
    sample_batch_release(&d.batch);
    unpacker_release(&d.unpacker);
    mutex_lock(&s->lock);
    s->reader_stopped = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}
