/* Looks at a sink's options and brokers without being a member of its group: `varve check`. */
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"

/* More topics than this are counted, not named. */
#define TOPICS_NAMED_MAX 8

struct probe {
    struct sink *sink;
    rd_kafka_t *rk;
    char last_words[512];
};

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct probe *probe = opaque;
    (void)rk;
    /* That no broker is left says less than why the last one went. */
    if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        (void)snprintf(probe->last_words, sizeof probe->last_words, "%s", reason);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

static void probe_close(struct probe *probe)
{
    if (probe->rk)
        rd_kafka_destroy_flags(probe->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (probe->sink)
        probe->sink->ops->free(probe->sink);
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

int kafka_connect_check(const struct kafka_sink_options *options, int64_t timeout_ms, struct buffer *found,
                        struct error *reterr)
{
    struct probe probe;
    int r = probe_open(&probe, options, reterr);
    if (r == 0) {
        const rd_kafka_metadata_t *metadata = NULL;
        rd_kafka_resp_err_t err = rd_kafka_metadata(probe.rk, 1, NULL, &metadata, (int)timeout_ms);
        (void)rd_kafka_poll(probe.rk, 0); /* errors come as events */
        if (err) {
            const char *words = probe.last_words[0] ? probe.last_words : rd_kafka_err2str(err);
            /* Debian 12's library repeats the client's nonce, which Kafka 4 refuses (fixed in 2.6.1). */
            bool scram = strstr(words, "SASL SCRAM") && rd_kafka_version() < 0x02060100;
            r = error_set(reterr, ERR_IO, "no broker of %s answers: %s%s", options->brokers, words,
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
