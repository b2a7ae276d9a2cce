/* Looks at a sink's options and brokers without being a member of its group: `varve check`. */
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"

/* More topics than this are counted, not named. */
#define TOPICS_NAMED_MAX 8
#define ASK_SLICE_MS     2000

struct probe {
    struct sink *sink;
    rd_kafka_t *rk;
    char last_words[512];
    bool is_refused; /* by a broker that would say the same again */
    struct mutex lock;
    char tls_reason[512]; /* why a certificate was refused; from a thread of the library's */
};

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct probe *probe = opaque;
    (void)rk;
    /* That no broker is left says less than why the last one went. */
    if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        (void)snprintf(probe->last_words, sizeof probe->last_words, "%s", reason);
    if (err == RD_KAFKA_RESP_ERR__SSL || err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
        strstr(reason, "SSL alert number"))
        probe->is_refused = true;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

static int on_certificate(rd_kafka_t *rk, const char *broker_name, int32_t broker_id, int *x509_error,
                          int depth, const char *der, size_t der_size, char *errstr, size_t errstr_size,
                          void *opaque)
{
    struct probe *probe = opaque;
    const struct kafka_sink *s = (struct kafka_sink *)probe->sink; /* its first member */
    (void)rk;
    (void)broker_id;
    mutex_lock(&probe->lock);
    bool accepted = kafka_certificate_accepted(s, broker_name, *x509_error, der, der_size, depth,
                                               probe->tls_reason, sizeof probe->tls_reason);
    if (!accepted)
        (void)snprintf(errstr, errstr_size, "%s", probe->tls_reason);
    mutex_unlock(&probe->lock);
    return accepted;
}

static void probe_close(struct probe *probe)
{
    if (probe->rk)
        rd_kafka_destroy_flags(probe->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (probe->sink)
        probe->sink->ops->free(probe->sink);
    mutex_destroy(&probe->lock);
}

/* As the library will compile them when it subscribes. */
static int check_expressions(const struct kafka_sink_options *options, struct error *reterr)
{
    for (size_t i = 0; i < options->topics_count; i++) {
        regex_t expression;
        char why[128];
        if (options->topics[i][0] != '^')
            continue;
        int r = regcomp(&expression, options->topics[i], REG_EXTENDED | REG_NOSUB);
        if (r != 0) {
            (void)regerror(r, &expression, why, sizeof why);
            return error_set(reterr, ERR_INVALID, "topic expression %s: %s", options->topics[i], why);
        }
        regfree(&expression);
    }
    return 0;
}

static int probe_open(struct probe *probe, const struct kafka_sink_options *options, struct error *reterr)
{
    rd_kafka_conf_t *conf = NULL;
    char why[512];
    *probe = (struct probe){0};
    mutex_init(&probe->lock, RANK_LEAF);
    int r = check_expressions(options, reterr);
    if (r == 0)
        r = kafka_sink_new(&probe->sink, options, NULL, reterr);
    if (r == 0)
        r = kafka_conf_new(&conf, (struct kafka_sink *)probe->sink, NULL, 0, reterr); /* its first member */
    if (r < 0)
        return r;
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_stats_cb(conf, NULL);
    rd_kafka_conf_set_rebalance_cb(conf, NULL);
    if (kafka_uses_tls((struct kafka_sink *)probe->sink))
        (void)rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
    rd_kafka_conf_set_opaque(conf, probe);
    probe->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!probe->rk) {
        rd_kafka_conf_destroy(conf);
        return error_set(reterr, ERR_INVALID, "sink %s: librdkafka: %s", options->name, why);
    }
    return 0;
}

int kafka_options_check(const struct kafka_sink_options *options, struct error *reterr)
{
    struct probe probe;
    int r = probe_open(&probe, options, reterr);
    probe_close(&probe);
    return r;
}

static bool is_wanted(const struct kafka_sink_options *options, const char *topic)
{
    for (size_t i = 0; i < options->partitions_count; i++)
        if (strcmp(options->partitions[i].topic, topic) == 0)
            return true;
    for (size_t i = 0; i < options->topics_count; i++) {
        const char *wanted = options->topics[i];
        regex_t expression;
        if (wanted[0] != '^') {
            if (strcmp(wanted, topic) == 0)
                return true;
        } else if (regcomp(&expression, wanted, REG_EXTENDED | REG_NOSUB) == 0) {
            bool matches = regexec(&expression, topic, 0, NULL, 0) == 0;
            regfree(&expression);
            if (matches)
                return true;
        }
    }
    return false;
}

static void describe(const struct kafka_sink_options *options, const rd_kafka_metadata_t *metadata,
                     struct buffer *found)
{
    int topics = 0;
    buffer_printf(found, "%d broker%s", metadata->broker_cnt, metadata->broker_cnt == 1 ? "" : "s");
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *t = &metadata->topics[i];
        if (!is_wanted(options, t->topic) || ++topics > TOPICS_NAMED_MAX)
            continue;
        buffer_printf(found, "%s %s: %d partition%s", topics == 1 ? "; topic" : ", topic", t->topic,
                      t->partition_cnt, t->partition_cnt == 1 ? "" : "s");
    }
    if (topics == 0)
        buffer_append_str(found, "; no topic of this sink's yet");
    else if (topics > TOPICS_NAMED_MAX)
        buffer_printf(found, ", and %d topics more", topics - TOPICS_NAMED_MAX);
}

/* Another broker of the list may answer where one refuses, but not much later. */
static rd_kafka_resp_err_t ask(struct probe *probe, int64_t timeout_ms, const rd_kafka_metadata_t **ret)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        int64_t left = deadline - clock_monotonic_ms();
        rd_kafka_resp_err_t err =
            rd_kafka_metadata(probe->rk, 1, NULL, ret, (int)(left < ASK_SLICE_MS ? left : ASK_SLICE_MS));
        (void)rd_kafka_poll(probe->rk, 0); /* errors come as events */
        if (!err || probe->is_refused || clock_monotonic_ms() >= deadline)
            return err;
    }
}

int kafka_connect_check(const struct kafka_sink_options *options, int64_t timeout_ms, struct buffer *found,
                        struct error *reterr)
{
    struct probe probe;
    int r = probe_open(&probe, options, reterr);
    if (r == 0) {
        const rd_kafka_metadata_t *metadata = NULL;
        rd_kafka_resp_err_t err = ask(&probe, timeout_ms, &metadata);
        if (err) {
            char why[512];
            mutex_lock(&probe.lock);
            (void)snprintf(why, sizeof why, "%s", probe.tls_reason);
            mutex_unlock(&probe.lock);
            const char *words = why[0] ? why : probe.last_words[0] ? probe.last_words : rd_kafka_err2str(err);
            /* Debian 12's library repeats the client's nonce, which Kafka 4 refuses (fixed in 2.6.1). */
            bool scram = strstr(words, "SASL SCRAM") && rd_kafka_version() < 0x02060100;
            const char *hint = kafka_tls_hint((struct kafka_sink *)probe.sink, words);
            r = error_set(reterr, ERR_IO, "no broker of %s answers: %s%s%s", options->brokers, words, hint,
                          scram ? " (librdkafka before 2.6.1 can't do SCRAM with Kafka 4: use PLAIN over "
                                  "TLS, or a newer library)"
                                : "");
        } else {
            describe(options, metadata, found);
            rd_kafka_metadata_destroy(metadata);
        }
    }
    probe_close(&probe);
    return r;
}
