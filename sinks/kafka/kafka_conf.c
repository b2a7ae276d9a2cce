/* librdkafka's configuration: what Varve owns, what it prefers, and what passes through. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"

static const struct {
    const char *key, *reason;
} owned[] = {
    {"bootstrap.servers", "it is the sink's `brokers`"},
    {"metadata.broker.list", "it is the sink's `brokers`"},
    {"group.id", "it is the sink's `group`"},
    {"group.instance.id", "Varve makes it of node, sink and thread, so that a restart moves no partition"},
    {"enable.auto.commit", "offsets are committed when the rows are durable, never by a timer"},
    {"auto.commit.enable", "offsets are committed when the rows are durable, never by a timer"},
    {"auto.commit.interval.ms", "offsets are committed when the rows are durable, never by a timer"},
    {"enable.auto.offset.store", "positions are the store's, not the library's"},
    {"offset.store.method", "positions are the store's, not the library's"},
    {"offset.store.path", "positions are the store's, not the library's"},
    {"offset.store.sync.interval.ms", "positions are the store's, not the library's"},
    {"auto.offset.reset", "use `start_from` and `on_out_of_range`"},
    {"topic.auto.offset.reset", "use `start_from` and `on_out_of_range`"},
    {"check.crcs", "a damaged record must never become a sample, so it's always on"},
    {"enable.partition.eof", "Varve follows positions itself"},
    {"allow.auto.create.topics", "reading a topic must not create it"},
    {"queued.max.messages.kbytes", "it follows from the sink's `queue_size`"},
    {"log.queue", "the log goes through Varve's own"},
    {"enable.ssl.certificate.verification",
     "certificates are always verified; name the file with the brokers' CA in ssl.ca.location"},
    {"ssl.endpoint.identification.algorithm",
     "the name in a broker's certificate is always verified; write `brokers` (and the brokers' "
     "advertised.listeners) as the certificates have it"},
};

bool kafka_property_owned(const char *key, const char **ret_reason)
{
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        if (strcmp(key, owned[i].key) == 0) {
            *ret_reason = owned[i].reason;
            return true;
        }
    }
    return false;
}

static bool is_secret(const char *key)
{
    return strstr(key, "password") || strstr(key, "secret") || strstr(key, ".pem") ||
           strstr(key, "sasl.oauthbearer");
}

static int conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *reterr)
{
    char why[512];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    if (is_secret(key))
        return error_set(reterr, ERR_INVALID, "librdkafka refuses the value of %.*s",
                         (int)strcspn(key, ":= "),
                         key); /* a key with these is one with a password behind it */
    return error_set(reterr, ERR_INVALID, "librdkafka: %s: %s", key, why);
}

int kafka_property_check(const char *key, const char *value, struct error *reterr)
{
    const char *reason;
    if (kafka_property_owned(key, &reason))
        return error_set(reterr, ERR_INVALID, "%s can't be set here: %s", key, reason);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = conf_set(conf, key, value, reterr);
    rd_kafka_conf_destroy(conf);
    return r;
}

static int set_number(rd_kafka_conf_t *conf, const char *key, uint64_t value, struct error *reterr)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return conf_set(conf, key, text, reterr);
}

/* KIP-848 (librdkafka 2.12 and later): the broker assigns and times out, and the library refuses these two.
 */
static bool is_classic_only(const char *key)
{
    return strcmp(key, "partition.assignment.strategy") == 0 || strcmp(key, "session.timeout.ms") == 0;
}

static bool wants_consumer_protocol(const struct kafka_sink *s)
{
    for (size_t i = 0; i < s->properties_count; i++) {
        if (strcmp(s->properties[i].key, "group.protocol") == 0)
            return strcmp(s->properties[i].value, "consumer") == 0;
    }
    return false;
}

/* Preferences: a property of the operator's comes after them and wins. */
static int set_defaults(rd_kafka_conf_t *conf, const struct kafka_sink *s, struct error *reterr)
{
    static const struct kafka_property defaults[] = {
        /* Eager: cooperative-sticky before 2.10 may lose an assignment when a commit meets a rebalance. */
        {"partition.assignment.strategy", "range"},
        /* The restart of a killed process must fit, so that its partitions stay where they are. */
        {"session.timeout.ms", "60000"},
        /* At the default a record of 100 MB stalls its partition for good. */
        {"receive.message.max.bytes", "1073741824"},
        /* A partition at a time, and of all: compressed batches unfold to several times that in memory. */
        {"fetch.message.max.bytes", "1048576"},
        {"fetch.max.bytes", "16777216"},
        {"fetch.min.bytes", "65536"},
        {"fetch.wait.max.ms", "100"},
        {"fetch.error.backoff.ms", "200"},
        /* A full queue is a pause of a second on 2.0.2, so the count must not be what fills it. */
        {"queued.min.messages", "1000000"},
        /* New topics of an expression, and partitions added, are seen within that. */
        {"topic.metadata.refresh.interval.ms", "30000"},
        {"reconnect.backoff.max.ms", "2000"},
        {"statistics.interval.ms", "5000"},
        {"log.connection.close", "false"},
    };
    bool classic = !wants_consumer_protocol(s);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (!classic && is_classic_only(defaults[i].key))
            continue;
        int r = conf_set(conf, defaults[i].key, defaults[i].value, reterr);
        if (r < 0)
            return r;
    }
    char client_id[256];
    (void)snprintf(client_id, sizeof client_id, "varve-%s-%s", s->node, s->base.name);
    return conf_set(conf, "client.id", client_id, reterr);
}

static int set_owned(rd_kafka_conf_t *conf, const struct kafka_sink *s, unsigned thread_index,
                     struct error *reterr)
{
    const struct kafka_property fixed[] = {
        {"bootstrap.servers", s->brokers}, {"group.id", s->group},
        {"enable.auto.commit", "false"},   {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},    {"check.crcs", "true"},
        {"enable.partition.eof", "false"}, {"allow.auto.create.topics", "false"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        int r = conf_set(conf, fixed[i].key, fixed[i].value, reterr);
        if (r < 0)
            return r;
    }
    if (!s->partitions_count) {
        char id[320];
        (void)snprintf(id, sizeof id, "%s-%s-%u", s->node, s->base.name, thread_index);
        int r = conf_set(conf, "group.instance.id", id, reterr);
        if (r < 0)
            return r;
    }
    if (kafka_uses_tls(s)) {
        int r = conf_set(conf, "enable.ssl.certificate.verification", "true", reterr);
        if (r == 0)
            r = conf_set(conf, "ssl.endpoint.identification.algorithm", "https", reterr);
        if (r < 0)
            return r;
    }
    /* The library looks at the limit before a fetch, so that the answer to one comes on top. */
    uint64_t kbytes = s->queue_size / 8 * 5 / s->threads / 1024;
    kbytes = kbytes < 1024 ? 1024 : kbytes;
    kbytes = kbytes > 2097151 ? 2097151 : kbytes; /* the library's limit */
    return set_number(conf, "queued.max.messages.kbytes", kbytes, reterr);
}

int kafka_conf_new(rd_kafka_conf_t **ret, const struct kafka_sink *s, struct kafka_consumer *c,
                   unsigned thread_index, struct error *reterr)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = set_defaults(conf, s, reterr);
    for (size_t i = 0; r == 0 && i < s->properties_count; i++) {
        const char *reason;
        const struct kafka_property *p = &s->properties[i];
        if (kafka_property_owned(p->key, &reason))
            r = error_set(reterr, ERR_INVALID, "%s can't be set: %s", p->key, reason);
        else
            r = conf_set(conf, p->key, p->value, reterr);
    }
    if (r == 0 && kafka_generation_is_watched(s))
        r = conf_set(conf, "debug", "cgrp", reterr);
    if (r == 0)
        r = set_owned(conf, s, thread_index, reterr);
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        return error_prefix(reterr, r, "sink %s", s->base.name);
    }
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_rebalance_cb(conf, kafka_on_rebalance);
    rd_kafka_conf_set_error_cb(conf, kafka_on_error);
    rd_kafka_conf_set_log_cb(conf, kafka_on_log);
    rd_kafka_conf_set_stats_cb(conf, kafka_on_statistics);
    if (kafka_uses_tls(s)) /* refused by a library without TLS, and so is security.protocol */
        (void)rd_kafka_conf_set_ssl_cert_verify_cb(conf, kafka_on_certificate);
    *ret = conf;
    return 0;
}
