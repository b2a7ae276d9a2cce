#include "src/reject_replay.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/decode/unpack.h"
#include "sinks/label_set.h"
#include "sinks/reject_log.h"
#include "sinks/reject_reader.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "src/commands.h"
#include "src/ingest.h"
#include "src/sink_factory.h"
#include "storage/store_dir.h"

/* MQTT topics are cut to that length in an entry's position (mqtt_deliver.c). */
#define TOPIC_MAX 256

/* A decoder and its options: series that one has seen first are the other's, too, only if both agree. */
struct replay_worker {
    const struct decoder *decoder;
    const struct decode_options *options;
    struct intake_worker *worker;
};

struct replay_sink {
    struct sink *sink;
    char *key;
    uint64_t next; /* the position accepted */
    struct replay_worker *workers;
    size_t workers_count, workers_capacity;
};

struct replay {
    struct storage *storage;
    _Atomic(struct storage *) opened_storage; /* the same, for hooks */
    struct reject_log *log;
    _Atomic(struct reject_log *) opened_log;
    struct ingest *ingest;
    struct intake *in;
    struct replay_sink *sinks;
    size_t sinks_count;

    struct unpacker unpacker;
    struct sample_batch batch;
    struct rendered_labels labels;
    char **reasons;
    size_t reasons_count, reasons_capacity;
    uint64_t first_left; /* logical offset before the first entry that isn't dealt with */
    bool any_left;
    struct reject_replay_totals *totals;
};

/* --- what the store calls --- */

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    fprintf(stderr,
            "varve rejects: the store can't be written any more: %s; what isn't committed is replayed "
            "next time\n",
            error->message);
    _exit(EXIT_NO_STORE);
}

static void on_disk_full(void *context, bool full, const struct error *error)
{
    (void)context;
    if (full)
        fprintf(stderr, "varve rejects: the disk is full: %s; what isn't committed is replayed next time\n",
                error ? error->message : "");
    if (full)
        _exit(EXIT_NO_STORE);
}

static void on_durable(void *context, uint64_t n)
{
    (void)context;
    (void)n;
}

static void on_problem(void *context, const struct error *error)
{
    (void)context;
    fprintf(stderr, "varve rejects: %s (`varve verify` names what is damaged)\n", error->message);
}

static uint64_t log_length(void *context)
{
    struct replay *r = context;
    struct reject_log *log = atomic_load(&r->opened_log);
    struct storage *st = atomic_load(&r->opened_storage);
    return log ? reject_log_length(log) : st ? storage_reject_log_length(st) : 0;
}

static int log_sync(void *context, struct error *reterr)
{
    struct replay *r = context;
    struct reject_log *log = atomic_load(&r->opened_log);
    return !log || reject_log_sync(log, reterr) == 0 ? 0 : ERR_IO;
}

/* --- one entry --- */

struct place {
    struct span topic;
    bool is_part; /* of a message */
};

/* "topic/partition@offset", "topic@number", and " line N" behind it; a topic of MQTT's may hold any of these
 * signs, so it's read from the end. */
static bool parse_place(struct span position, bool has_partition, struct place *ret)
{
    const char *begin = position.data;
    const char *at = memrchr(begin, '@', position.len);
    if (!at)
        return false;
    ret->is_part = memchr(at, ' ', (size_t)(begin + position.len - at)) != NULL;
    if (has_partition)
        at = memrchr(begin, '/', (size_t)(at - begin));
    if (!at || at == begin)
        return false;
    ret->topic = span_of(begin, (size_t)(at - begin));
    return true;
}

static struct intake_worker *worker_for(struct replay *r, struct replay_sink *s,
                                        const struct topic_reading *reading)
{
    for (size_t i = 0; i < s->workers_count; i++)
        if (s->workers[i].decoder == reading->decoder && s->workers[i].options == reading->decode)
            return s->workers[i].worker;
    GROW(s->workers, s->workers_count, s->workers_capacity);
    struct intake_worker *w = r->in->ops->worker_new(r->in, s->sink->name, reading->decoder, reading->decode);
    s->workers[s->workers_count++] = (struct replay_worker){reading->decoder, reading->decode, w};
    return w;
}

static void reject_again(struct replay *r, struct intake_worker *w, const struct reject_entry *e,
                         const char *where, const char *reason)
{
    struct rejected rejected = {
        .where = where,
        .reason = reason,
        .payload = e->payload,
        .full_size = e->full_size,
        .key = e->key,
        .record_time_ms = e->record_time_ms ? e->record_time_ms : TIMESTAMP_NONE,
        .rejected_ms = e->time_ms,
    };
    r->in->ops->reject(r->in, w, &rejected);
}

/* An entry's reason as text that lasts: counters keep it by its address. */
static const char *lasting(struct replay *r, struct span reason)
{
    for (size_t i = 0; i < r->reasons_count; i++)
        if (strlen(r->reasons[i]) == reason.len && memcmp(r->reasons[i], reason.data, reason.len) == 0)
            return r->reasons[i];
    GROW(r->reasons, r->reasons_count, r->reasons_capacity);
    return r->reasons[r->reasons_count++] = xstrndup(reason.data, reason.len);
}

static void reject_lines(struct replay *r, struct intake_worker *w, const struct reject_entry *e,
                         const struct place *place, const char *where)
{
    for (size_t i = 0; i < r->batch.bad_lines_count; i++) {
        const struct bad_line *b = &r->batch.bad_lines[i];
        _cleanup_free_ char *line_where =
            place->is_part ? xstrdup(where) : xasprintf("%s line %u", where, b->line_number);
        struct reject_entry line = *e;
        line.payload = b->line;
        line.full_size = b->line.len;
        reject_again(r, w, &line, line_where, b->reason);
    }
}

/* Between begin and end. Returns whether something was stored. */
static bool decode(struct replay *r, struct intake_worker *w, const struct reject_entry *e,
                   const struct place *place, const struct topic_reading *reading, const char *where)
{
    const char *reason = "undecodable";
    struct message message = {
        .payload = e->payload,
        .topic = place->topic,
        .key = e->key,
        .captures = reading->captures,
        .captures_count = reading->captures_count,
        .rest = reading->rest,
        .time_ms = e->record_time_ms ? e->record_time_ms : TIMESTAMP_NONE,
    };
    sample_batch_clear(&r->batch);
    if (e->full_size > reading->max_message_size) {
        reject_again(r, w, e, where, "too_large");
        return false;
    }
    if (unpack(&r->unpacker, message.payload, unpack_limit(reading->max_message_size), &message.payload,
               &reason) < 0 ||
        reading->decoder->decode(reading->decode, &message, &r->batch, &reason) == DECODE_REJECT) {
        reject_again(r, w, e, where, reason);
        return false;
    }
    reject_lines(r, w, e, place, where);
    if (reading->timestamp_from_record && message.time_ms != TIMESTAMP_NONE)
        for (size_t i = 0; i < r->batch.samples_count; i++)
            r->batch.samples[i].timestamp_ms = TIMESTAMP_NONE;
    if (reading->labels)
        label_set_render(reading->labels, &message, &r->labels);
    r->in->ops->deliver(r->in, w, &r->batch, message.time_ms, reading->labels ? &r->labels : NULL);
    return true;
}

/* Why it can't even be tried, as a counter of the totals; NULL if it can. */
static uint64_t *obstacle(struct replay *r, struct replay_sink *s, const struct reject_entry *e,
                          struct place *place, struct topic_reading *reading)
{
    struct reject_replay_totals *t = r->totals;
    bool kafka = strcmp(s->sink->ops->type, "kafka") == 0;
    if (!parse_place(e->position, kafka, place) || (!kafka && place->topic.len >= TOPIC_MAX) ||
        !s->sink->ops->reading_of(s->sink, place->topic, reading))
        return &t->other_topic;
    if (e->full_size > e->payload.len)
        return &t->cut_short;
    if (label_set_needs_headers(reading->labels))
        return &t->needs_headers;
    if (place->is_part &&
        (!reading->decoder->line_stands_alone || !reading->decoder->line_stands_alone(reading->decode)))
        return &t->parts;
    return NULL;
}

static int replay_entry(struct replay *r, struct replay_sink *s, const struct reject_entry *e, uint64_t end,
                        struct error *reterr)
{
    static const struct decode_options plain;
    struct sink_position to = {.next = end};
    struct topic_reading reading = {.decoder = decoder_find("influx"), .decode = &plain};
    struct place place = {0};
    uint64_t *kept = obstacle(r, s, e, &place, &reading);
    if (kept) /* any worker will do */
        reading = (struct topic_reading){.decoder = decoder_find("influx"), .decode = &plain};
    _cleanup_free_ char *where = xstrndup(e->position.data, e->position.len);
    struct intake_worker *w = worker_for(r, s, &reading);
    r->totals->entries++;
    r->in->ops->begin(r->in, w);
    int result = r->in->ops->hand_over(r->in, w, s->key, (uint32_t)strlen(s->key), s->next, &to, reterr);
    if (result < 0) {
        r->in->ops->end(r->in, w);
        return result;
    }
    if (kept) {
        ++*kept;
        reject_again(r, w, e, where, lasting(r, e->reason));
    } else if (decode(r, w, e, &place, &reading, where)) {
        r->totals->stored++;
    } else {
        r->totals->still_bad++;
    }
    r->in->ops->end(r->in, w);
    FAULT_POINT("rejects_replayed");
    s->next = end;
    return 0;
}

/* --- all of them --- */

static struct replay_sink *sink_of(struct replay *r, const struct reject_entry *e)
{
    for (size_t i = 0; i < r->sinks_count; i++) {
        const char *name = r->sinks[i].sink->name;
        if (strlen(name) == e->sink.len && memcmp(name, e->sink.data, e->sink.len) == 0)
            return &r->sinks[i];
    }
    return NULL;
}

static int replay_all(struct replay *r, const char *rejects_dir, struct error *reterr)
{
    struct reject_reader *reader;
    uint64_t end = reject_log_length(r->log), before = 0;
    int result = reject_reader_open(rejects_dir, &reader, reterr);
    if (result < 0)
        return result;
    struct reject_entry e;
    while ((result = reject_reader_next(reader, &e, reterr)) == 1) {
        uint64_t at = reject_reader_offset(reader);
        if (at > end) /* what this replay has appended */
            break;
        struct replay_sink *s = sink_of(r, &e);
        if (!s) {
            r->totals->of_other_sinks++;
            if (!r->any_left)
                r->first_left = before;
            r->any_left = true;
        } else if (at > s->next && (result = replay_entry(r, s, &e, at, reterr)) < 0) {
            break;
        }
        before = at;
    }
    r->totals->damaged_segments = reject_reader_damaged(reader);
    reject_reader_close(reader);
    if (!r->any_left)
        r->first_left = end;
    return result < 0 ? result : 0;
}

static int open_sinks(struct replay *r, const struct config *cfg, const char *sink_name, struct error *reterr)
{
    r->sinks = xcalloc(cfg->sinks_count + 1, sizeof *r->sinks);
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        if (sink_name && strcmp(cfg->sinks[i].name, sink_name) != 0)
            continue;
        struct replay_sink *s = &r->sinks[r->sinks_count];
        struct sink_position p = {0};
        int result = sink_factory_new(&s->sink, cfg, &cfg->sinks[i], r->in, reterr);
        if (result < 0)
            return result;
        r->sinks_count++;
        s->key = xasprintf("%s/" REJECT_REPLAY_KEY, cfg->sinks[i].name);
        if (!r->in->ops->position(r->in, s->key, (uint32_t)strlen(s->key), &p))
            r->in->ops->set_position(r->in, s->key, (uint32_t)strlen(s->key), &p);
        s->next = p.next;
    }
    if (sink_name && !r->sinks_count)
        return error_set(reterr, ERR_NOT_FOUND, "the configuration has no sink %s", sink_name);
    return 0;
}

static void free_sinks(struct replay *r)
{
    for (size_t i = 0; i < r->sinks_count; i++) {
        struct replay_sink *s = &r->sinks[i];
        for (size_t k = 0; k < s->workers_count; k++)
            r->in->ops->worker_free(r->in, s->workers[k].worker);
        free(s->workers);
        free(s->key);
        sink_factory_free(s->sink);
    }
    free(r->sinks);
}

static int open_log(struct replay *r, const struct config *cfg, const char *rejects_dir, struct error *reterr)
{
    int result = reject_log_open(rejects_dir, cfg->rejects.max_size_bytes, &r->log, reterr);
    if (result == 0)
        result = reject_log_cut(r->log, storage_reject_log_length(r->storage), reterr);
    if (result < 0)
        return result;
    reject_log_keep_all(r->log); /* nothing may go for what is appended again */
    atomic_store(&r->opened_log, r->log);
    return 0;
}

static void count_rows(struct replay *r)
{
    struct intake_totals totals = {0};
    intake_totals_collect(&totals, ingest_counters(r->ingest));
    r->totals->rows = totals.rows;
    for (size_t i = 0; i < totals.dropped_count; i++)
        r->totals->rows_dropped += totals.dropped[i].count;
    intake_totals_release(&totals);
}

int reject_replay_run(const struct config *cfg, const char *dir, const char *rejects_dir,
                      const char *sink_name, struct reject_replay_totals *ret, struct error *reterr)
{
    struct replay r = {.totals = ret};
    *ret = (struct reject_replay_totals){0};
    if (!store_dir_is_store(dir))
        return error_set(reterr, ERR_NOT_FOUND, "%s: there's no store here", dir);
    if (!fs_is_dir(rejects_dir))
        return error_set(reterr, ERR_NOT_FOUND, "%s: there are no rejects here", rejects_dir);
    struct storage_options options = {
        .path = dir,
        .retention_ms = cfg->storage.retention_ms,
        .flush_interval_ms = cfg->storage.flush_interval_ms,
        .merge_workers = cfg->storage.merge_workers_count,
        .hooks = {.context = &r,
                  .durable = on_durable,
                  .fatal = on_fatal,
                  .disk_full = on_disk_full,
                  .problem = on_problem,
                  .reject_log_length = log_length,
                  .reject_log_sync = log_sync},
    };
    int result = storage_open(&r.storage, &options, reterr);
    if (result < 0)
        return result;
    atomic_store(&r.opened_storage, r.storage);
    result = open_log(&r, cfg, rejects_dir, reterr);
    if (result == 0) {
        r.ingest = ingest_new(r.storage, r.log, 0);
        r.in = ingest_intake(r.ingest);
        result = open_sinks(&r, cfg, sink_name, reterr);
        if (result == 0)
            result = replay_all(&r, rejects_dir, reterr);
        count_rows(&r);
        free_sinks(&r);
    }
    struct error close_error;
    int closed = storage_close(r.storage, &close_error);
    if (result == 0 && closed < 0) {
        *reterr = close_error;
        result = closed;
    }
    if (result == 0)
        reject_log_drop_before(r.log, r.first_left);
    reject_log_close(r.log);
    ingest_free(r.ingest);
    for (size_t i = 0; i < r.reasons_count; i++)
        free(r.reasons[i]);
    free(r.reasons);
    unpacker_release(&r.unpacker);
    sample_batch_release(&r.batch);
    rendered_labels_release(&r.labels);
    return result;
}
