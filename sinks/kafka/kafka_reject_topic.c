#include "sinks/kafka/kafka_reject_topic.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"

struct kafka_reject_topic {
    rd_kafka_t *rk;
    char *topic;
    rd_kafka_resp_err_t failed; /* of one of those sent since the last deliver */
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_reject_topic *t = opaque;
    (void)rk;
    if (m->err)
        t->failed = m->err;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    log_debug("librdkafka: rejects: %s: %s", facility, text);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    (void)rk;
    (void)opaque;
    log_debug("rejects: %s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)err), reason);
}

static int conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *reterr)
{
    char why[512];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(reterr, ERR_INVALID, "rejects.kafka: librdkafka refuses %s: %s", key, why);
}

static int fill(rd_kafka_conf_t *conf, const char *brokers, const struct kafka_property *properties,
                size_t count, struct error *reterr)
{
    const struct kafka_property fixed[] = {
        {"bootstrap.servers", brokers},
        {"enable.idempotence", "true"},
        {"message.timeout.ms", "30000"},
        {"reconnect.backoff.max.ms", "2000"},
        {"log.connection.close", "false"},
        {"allow.auto.create.topics", "true"}, /* the broker's own setting decides */
        {"ssl.endpoint.identification.algorithm", "https"},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = kafka_property_check(properties[i].key, properties[i].value, reterr);
        if (r == 0)
            r = conf_set(conf, properties[i].key, properties[i].value, reterr);
    }
    for (size_t i = 0; r == 0 && i < sizeof fixed / sizeof *fixed; i++)
        r = conf_set(conf, fixed[i].key, fixed[i].value, reterr);
    return r;
}

int kafka_reject_topic_open(struct kafka_reject_topic **ret, const char *brokers, const char *topic,
                            const struct kafka_property *properties, size_t properties_count,
                            struct error *reterr)
{
    char why[512];
    struct kafka_reject_topic *t = xcalloc(1, sizeof *t);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = fill(conf, brokers, properties, properties_count, reterr);
    if (r == 0) {
        rd_kafka_conf_set_opaque(conf, t);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_log_cb(conf, on_log);
        rd_kafka_conf_set_error_cb(conf, on_error);
        t->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
        if (!t->rk)
            r = error_set(reterr, ERR_INVALID, "rejects.kafka: librdkafka: %s", why);
    }
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        free(t);
        return r;
    }
    t->topic = xstrdup(topic);
    *ret = t;
    return 0;
}

void kafka_reject_topic_close(struct kafka_reject_topic *t)
{
    if (!t)
        return;
    (void)rd_kafka_purge(t->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_flush(t->rk, 100);
    rd_kafka_destroy(t->rk);
    free(t->topic);
    free(t);
}

static void add_header(rd_kafka_headers_t *h, const char *name, struct span value)
{
    (void)rd_kafka_header_add(h, name, -1, value.data, (ssize_t)value.len);
}

static void add_number(rd_kafka_headers_t *h, const char *name, int64_t value)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    (void)rd_kafka_header_add(h, name, -1, text, n);
}

static rd_kafka_headers_t *headers_of(const struct reject_entry *e)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(8);
    add_header(h, "varve.sink", e->sink);
    add_header(h, "varve.position", e->position);
    add_header(h, "varve.reason", e->reason);
    add_number(h, "varve.time_ms", e->time_ms);
    add_number(h, "varve.size", (int64_t)e->full_size);
    if (e->record_time_ms)
        add_number(h, "varve.record_time_ms", e->record_time_ms);
    if (e->key.len)
        add_header(h, "varve.key", e->key);
    return h;
}

int kafka_reject_topic_send(struct kafka_reject_topic *t, const struct reject_entry *e, struct error *reterr)
{
    struct buffer key = {0};
    buffer_append(&key, e->sink.data, e->sink.len);
    buffer_append_u8(&key, '/');
    buffer_append(&key, e->position.data, e->position.len);
    rd_kafka_headers_t *headers = headers_of(e);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        t->rk, RD_KAFKA_V_TOPIC(t->topic), RD_KAFKA_V_KEY(key.data, key.len),
        RD_KAFKA_V_VALUE((void *)e->payload.data, e->payload.len), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    buffer_release(&key);
    if (!err)
        return 0;
    rd_kafka_headers_destroy(headers); /* else they're the library's */
    return error_set(reterr, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? ERR_FULL : ERR_INVALID, "topic %s: %s",
                     t->topic, rd_kafka_err2str(err));
}

int kafka_reject_topic_deliver(struct kafka_reject_topic *t, int64_t timeout_ms, struct error *reterr)
{
    rd_kafka_resp_err_t err = rd_kafka_flush(t->rk, (int)timeout_ms);
    if (err) { /* none of these may come late, behind others */
        (void)rd_kafka_purge(t->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        (void)rd_kafka_flush(t->rk, 100);
    } else {
        err = t->failed;
    }
    t->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    return err ? error_set(reterr, ERR_IO, "topic %s: %s", t->topic, rd_kafka_err2str(err)) : 0;
}
