#include "src/reject_forward.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_reject_topic.h"
#include "sinks/reject_reader.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

#define LOOK_MS     500
#define DELIVER_MS  2000 /* at a time: a stop waits for it */
#define BATCH_MAX   1000
#define BATCH_BYTES (4 << 20)

struct reject_forward {
    struct kafka_reject_topic *topic;
    struct storage *storage;
    char *dir, *key;
    _Atomic uint64_t durable, total;
    uint64_t next; /* the thread's: logical offset sent up to */
    bool is_failing;

    struct mutex lock;
    struct cond changed;
    bool stopping;
    struct thread thread;
};

static bool is_stopping(struct reject_forward *f)
{
    mutex_lock(&f->lock);
    bool stopping = f->stopping;
    mutex_unlock(&f->lock);
    return stopping;
}

/* Says a fault and its end once. */
static void note(struct reject_forward *f, int r, const struct error *error)
{
    if (r < 0 && !f->is_failing)
        log_warning("rejects can't be sent to Kafka: %s; they wait in %s", error->message, f->dir);
    else if (r == 0 && f->is_failing)
        log_info("rejects are sent to Kafka again");
    f->is_failing = r < 0;
}

/* Sends the entries of one batch from the reader; 1 if there may be more. *ret_end: offset behind them. */
static int send_batch(struct reject_forward *f, struct reject_reader *reader, uint64_t *ret_end,
                      uint64_t *ret_count, struct error *reterr)
{
    struct reject_entry e;
    uint64_t bytes = 0, durable = atomic_load(&f->durable);
    int r;
    *ret_count = 0;
    while ((r = reject_reader_next(reader, &e, reterr)) == 1) {
        uint64_t end = reject_reader_offset(reader);
        if (end > durable)
            return 0;
        if (end <= f->next)
            continue;
        struct error error;
        r = kafka_reject_topic_send(f->topic, &e, &error);
        if (r == ERR_INVALID) { /* one that no broker takes must not hold up the others */
            log_warning("a reject can't be sent to Kafka and stays in the log only: %s", error.message);
        } else if (r < 0) {
            *reterr = error;
            return r;
        } else {
            ++*ret_count;
        }
        *ret_end = end;
        bytes += e.payload.len;
        if (*ret_count >= BATCH_MAX || bytes >= BATCH_BYTES)
            return 1;
    }
    return r;
}

/* True if something was sent, and there may be more. */
static bool forward(struct reject_forward *f)
{
    struct reject_reader *reader;
    struct error error = {0};
    uint64_t end = f->next, count = 0;
    if (atomic_load(&f->durable) <= f->next)
        return false;
    int r = reject_reader_open(f->dir, &reader, &error);
    if (r == 0) {
        reject_reader_seek(reader, f->next);
        r = send_batch(f, reader, &end, &count, &error);
        reject_reader_close(reader);
    }
    bool more = r == 1;
    int delivered = kafka_reject_topic_deliver(f->topic, DELIVER_MS, r < 0 ? NULL : &error);
    r = r < 0 ? r : delivered;
    note(f, r, &error);
    if (r < 0 || end == f->next)
        return false;
    f->next = end;
    atomic_fetch_add(&f->total, count);
    struct storage_position p = {.next = end};
    storage_set_position(f->storage, f->key, (uint32_t)strlen(f->key), &p);
    return more;
}

static void run(void *arg)
{
    struct reject_forward *f = arg;
    while (!is_stopping(f)) {
        if (forward(f))
            continue;
        mutex_lock(&f->lock);
        if (!f->stopping)
            (void)cond_wait_ms(&f->changed, &f->lock, LOOK_MS);
        mutex_unlock(&f->lock);
    }
}

static int open_topic(struct kafka_reject_topic **ret, const struct config_rejects *cfg, struct error *reterr)
{
    struct buffer brokers = {0};
    const struct config_sink *k = &cfg->kafka;
    struct kafka_property *properties = xcalloc(k->librdkafka_count + 1, sizeof *properties);
    for (size_t i = 0; i < k->librdkafka_count; i++)
        properties[i] = (struct kafka_property){k->librdkafka[i].key, k->librdkafka[i].value};
    for (size_t i = 0; i < k->brokers.count; i++)
        buffer_printf(&brokers, "%s%s", i ? "," : "", k->brokers.items[i]);
    int r = kafka_reject_topic_open(ret, buffer_cstr(&brokers), cfg->kafka_topic, properties,
                                    k->librdkafka_count, reterr);
    free(properties);
    buffer_release(&brokers);
    return r;
}

int reject_forward_start(struct reject_forward **ret, const struct config *cfg, struct storage *st,
                         struct error *reterr)
{
    *ret = NULL;
    if (!cfg->rejects.kafka.brokers.count)
        return 0;
    struct reject_forward *f = xcalloc(1, sizeof *f);
    int r = open_topic(&f->topic, &cfg->rejects, reterr);
    if (r < 0) {
        free(f);
        return r;
    }
    struct storage_position p;
    f->storage = st;
    f->dir = xstrdup(cfg->rejects.path);
    f->key = xasprintf(REJECT_FORWARD_KEY "%s", cfg->rejects.kafka_topic);
    f->next = storage_durable_position(st, f->key, (uint32_t)strlen(f->key), &p) ? p.next : 0;
    atomic_store(&f->durable, storage_reject_log_length(st));
    mutex_init(&f->lock, RANK_LEAF);
    cond_init(&f->changed);
    thread_start(&f->thread, "reject-forward", run, f);
    *ret = f;
    return 0;
}

void reject_forward_stop(struct reject_forward *f)
{
    if (!f)
        return;
    mutex_lock(&f->lock);
    f->stopping = true;
    cond_broadcast(&f->changed);
    mutex_unlock(&f->lock);
    thread_join(&f->thread);
}

void reject_forward_free(struct reject_forward *f)
{
    if (!f)
        return;
    kafka_reject_topic_close(f->topic);
    cond_destroy(&f->changed);
    mutex_destroy(&f->lock);
    free(f->dir);
    free(f->key);
    free(f);
}

void reject_forward_durable(struct reject_forward *f, uint64_t length)
{
    if (f)
        atomic_store(&f->durable, length);
}

uint64_t reject_forward_total(struct reject_forward *f)
{
    return f ? atomic_load(&f->total) : 0;
}
