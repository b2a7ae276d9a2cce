#include "sinks/mqtt/mqtt_sink.h"

#include <stdlib.h>

#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"

#define STOP_INTAKE_MS 1000

static int start(struct sink *base, struct error *reterr)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    struct spool_options options = {.path = s->spool_path,
                                    .max_bytes = s->spool_max_bytes,
                                    .keep_unwritten = !mqtt_puback_is_held(),
                                    .fs = s->spool_fs};
    int r = spool_open(&s->spool, &options, reterr);
    if (r < 0)
        return r;
    r = mqtt_session_open(&s->session, s->spool, s->spool_max_bytes, base->name,
                          mqtt_session_identity(s->client_id, s->url.host, s->url.port, s->url.path), reterr);
    if (r < 0) {
        mqtt_session_close(&s->session);
        spool_close(s->spool);
        s->spool = NULL;
        return error_prefix(reterr, r, "%s", s->spool_path);
    }
    struct spool_stats stats;
    spool_get_stats(s->spool, &stats);
    if (stats.torn_bytes)
        log_info("sink %s: the spool's torn end, %llu bytes, was cut", base->name,
                 (unsigned long long)stats.torn_bytes);
    log_write(mqtt_puback_is_held() ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
              "sink %s: spool %s in %s; the broker gets its PUBACK %s", base->name, spool_id(s->spool),
              s->spool_path, mqtt_puback_mode());
    s->key = xasprintf("%s/mqtt/%s", base->name, spool_id(s->spool));
    mqtt_library_acquire();
    mqtt_deliver_begin(s);
    atomic_store(&s->is_open, true);
    thread_start(&s->reader_thread, "mqtt-reader", mqtt_deliver_main, s);
    thread_start(&s->commit_thread, "mqtt-commit", mqtt_commit_main, s);
    thread_start(&s->connection_thread, "mqtt-connect", mqtt_connection_main, s);
    return 0;
}

static void acknowledge(struct sink *base)
{
    mqtt_deliver_acknowledge(mqtt_sink_of(base), false);
}

static void stop_intake(struct sink *base)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    if (!s->reader_thread.started)
        return;
    int64_t deadline = clock_monotonic_ms() + STOP_INTAKE_MS;
    atomic_store(&s->intake_stopped, true);
    spool_wake(s->spool);
    mutex_lock(&s->lock);
    while (!s->reader_stopped) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0 || !cond_wait_ms(&s->changed, &s->lock, left))
            break;
    }
    mutex_unlock(&s->lock);
}

/* While the store is open: what they still hold goes into its last commit. */
static void free_workers(struct mqtt_sink *s)
{
    for (size_t i = 0; i < s->workers_count; i++)
        s->intake->ops->worker_free(s->intake, s->workers[i]);
    s->workers_count = 0;
}

static void stop(struct sink *base)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    if (!s->spool)
        return;
    stop_intake(base);
    mutex_lock(&s->lock);
    s->stopping = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
    thread_join(&s->connection_thread);
    mutex_lock(&s->lock);
    s->commit_stopping = true;
    mutex_unlock(&s->lock);
    spool_wake(s->spool);
    thread_join(&s->commit_thread);
    thread_join(&s->reader_thread);
    mqtt_deliver_acknowledge(s, true);
    free_workers(s);
}

static void sink_free(struct sink *base)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    if (s->spool)
        mqtt_library_release();
    free_workers(s);
    for (size_t i = 0; i < s->subscriptions_count; i++) {
        rendered_labels_release(&s->subscriptions[i].rendered);
        free(s->subscriptions[i].filter);
    }
    mqtt_session_close(&s->session);
    spool_close(s->spool);
    if (s->password)
        explicit_bzero(s->password, strlen(s->password));
    char *texts[] = {s->base.name, s->uri,    s->place,    s->client_id, s->spool_path,  s->username,
                     s->password,  s->tls_ca, s->tls_cert, s->tls_key,   s->pinned_name, s->key};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    free(s->workers);
    free(s->subscriptions);
    mutex_destroy(&s->lock);
    mutex_destroy(&s->release_lock);
    cond_destroy(&s->changed);
    free(s);
}

static bool reading_of(struct sink *base, struct span topic, struct topic_reading *ret)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    const struct mqtt_subscription *sub = mqtt_find_subscription(s, topic, &s->replay_match);
    if (!sub)
        return false;
    *ret = (struct topic_reading){
        .decoder = sub->decoder,
        .decode = &sub->decode,
        .labels = sub->labels,
        .captures = s->replay_match.captures,
        .captures_count = s->replay_match.captures_count,
        .rest = s->replay_match.rest,
        .timestamp_from_record = sub->timestamp_from_record,
        .max_message_size = s->max_packet_size,
    };
    return true;
}

static const struct sink_ops mqtt_ops = {
    .type = "mqtt",
    .start = start,
    .acknowledge = acknowledge,
    .stop_intake = stop_intake,
    .stop = stop,
    .free = sink_free,
    .reading_of = reading_of,
    .metrics = mqtt_metrics,
};

int mqtt_sink_new(struct sink **ret, const struct mqtt_sink_options *options, struct intake *intake,
                  struct error *reterr)
{
    struct mqtt_sink *s = xcalloc(1, sizeof *s);
    s->base.ops = &mqtt_ops;
    s->intake = intake;
    mutex_init(&s->lock, RANK_LEAF);
    mutex_init(&s->release_lock, RANK_SINK);
    cond_init(&s->changed);
    int r = mqtt_options_copy(s, options, reterr);
    if (r < 0) {
        sink_free(&s->base);
        return r;
    }
    *ret = &s->base;
    return 0;
}
