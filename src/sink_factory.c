#include "src/sink_factory.h"

#include <stdlib.h>

#include "sinks/kafka/kafka_sink.h"
#include "sinks/mqtt/mqtt_sink.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/source_meaning.h"

/* What a sink borrows: kept in sink->made_with. */
struct meanings {
    size_t count;
    struct source_meaning items[];
};

static struct meanings *meanings_new(size_t count)
{
    struct meanings *m = xcalloc(1, sizeof *m + count * sizeof m->items[0]);
    m->count = count;
    return m;
}

static void meanings_free(struct meanings *m)
{
    for (size_t i = 0; i < m->count; i++)
        source_meaning_release(&m->items[i]);
    free(m);
}

static enum kafka_start_from start_from(enum config_start_at at)
{
    switch (at) {
    case CONFIG_START_EARLIEST:
        return KAFKA_START_EARLIEST;
    case CONFIG_START_LATEST:
        return KAFKA_START_LATEST;
    case CONFIG_START_TIME:
        return KAFKA_START_TIMESTAMP;
    }
    abort();
}

static enum time_precision precision(enum config_precision p)
{
    switch (p) {
    case CONFIG_PRECISION_AUTO:
        return PRECISION_AUTO;
    case CONFIG_PRECISION_NS:
        return PRECISION_NS;
    case CONFIG_PRECISION_US:
        return PRECISION_US;
    case CONFIG_PRECISION_MS:
        return PRECISION_MS;
    case CONFIG_PRECISION_S:
        return PRECISION_S;
    }
    abort();
}

static void join_brokers(struct buffer *dst, const struct config_strings *brokers)
{
    for (size_t i = 0; i < brokers->count; i++) {
        if (i)
            buffer_append_u8(dst, ',');
        buffer_append_str(dst, brokers->items[i]);
    }
}

static struct kafka_static_partition *static_partitions(const struct config_sink *cfg, size_t *ret_count)
{
    struct kafka_static_partition *partitions = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < cfg->partitions_count; i++) {
        const struct config_topic_partitions *t = &cfg->partitions[i];
        for (size_t j = 0; j < t->count; j++) {
            GROW(partitions, count, capacity);
            partitions[count++] = (struct kafka_static_partition){t->topic, t->partitions[j]};
        }
    }
    *ret_count = count;
    return partitions;
}

/* Gives the options of a Kafka sink to use; what they point to lives until it returns. cfg, for the names of
 * all sinks, may be NULL. */
static int with_kafka_options(const struct config_sink *s, const struct config *cfg, const char *node,
                              const struct source_meaning *meaning,
                              int (*use)(const struct kafka_sink_options *options, void *context,
                                         struct error *reterr),
                              void *context, struct error *reterr)
{
    struct buffer brokers = {0};
    size_t partitions_count;
    struct kafka_static_partition *partitions = static_partitions(s, &partitions_count);
    struct kafka_property *properties = xcalloc(s->librdkafka_count + 1, sizeof *properties);
    for (size_t i = 0; i < s->librdkafka_count; i++)
        properties[i] = (struct kafka_property){s->librdkafka[i].key, s->librdkafka[i].value};
    join_brokers(&brokers, &s->brokers);
    size_t names_count = cfg ? cfg->sinks_count : 0;
    const char **names = xcalloc(names_count + 1, sizeof *names);
    for (size_t i = 0; i < names_count; i++)
        names[i] = cfg->sinks[i].name;

    struct kafka_sink_options options = {
        .name = s->name,
        .sink_names = names,
        .sink_names_count = names_count,
        .node = node,
        .brokers = buffer_cstr(&brokers),
        .topics = (const char *const *)s->topics.items,
        .topics_count = s->topics.count,
        .partitions = partitions,
        .partitions_count = partitions_count,
        .group = s->group,
        .decoder = decoder_find(s->format),
        .decode = {.precision = precision(s->precision), .json = meaning->json},
        .label_set = meaning->labels,
        .start_from = start_from(s->start_from.at),
        .start_timestamp_ms = s->start_from.time_ms,
        .on_topic_recreated =
            s->on_topic_recreated == CONFIG_RECREATED_STOP ? KAFKA_RECREATED_STOP : KAFKA_RECREATED_EARLIEST,
        .on_out_of_range = s->on_out_of_range == CONFIG_OUT_OF_RANGE_STOP ? KAFKA_OUT_OF_RANGE_STOP
                                                                          : KAFKA_OUT_OF_RANGE_EARLIEST,
        .leave_on_stop = s->leave_on_stop,
        .fenced_commits = s->fenced_commits,
        .timestamp_from_record = s->timestamp_from == CONFIG_TIMESTAMP_RECORD,
        .threads = s->threads_count,
        .queue_size = s->queue_size_bytes,
        .max_message_size = s->max_message_size_bytes,
        .properties = properties,
        .properties_count = s->librdkafka_count,
    };
    int r = options.decoder ? use(&options, context, reterr)
                            : error_set(reterr, ERR_INVALID, "format %s isn't built", s->format);
    buffer_release(&brokers);
    free(names);
    free(partitions);
    free(properties);
    return r;
}

struct new_sink {
    struct sink **ret;
    struct intake *intake;
};

static int use_for_sink(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    struct new_sink *n = context;
    return kafka_sink_new(n->ret, options, n->intake, reterr);
}

static int use_for_check(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    (void)context;
    return kafka_options_check(options, reterr);
}

/* Makes the sink, or with ret NULL checks whether it could be made. */
static int new_kafka(struct sink **ret, const struct config *cfg, const struct config_sink *s,
                     const struct source_meaning *meaning, struct intake *intake, struct error *reterr)
{
    return with_kafka_options(s, cfg, cfg->node, meaning, ret ? use_for_sink : use_for_check,
                              &(struct new_sink){ret, intake}, reterr);
}

static enum mqtt_retained retained(enum config_retained r)
{
    switch (r) {
    case CONFIG_RETAINED_TIMESTAMPED:
        return MQTT_RETAINED_TIMESTAMPED;
    case CONFIG_RETAINED_KEEP:
        return MQTT_RETAINED_KEEP;
    case CONFIG_RETAINED_DROP:
        return MQTT_RETAINED_DROP;
    }
    abort();
}

/* The same for MQTT. meanings: one a subscription; NULL where nobody will decode. */
static int with_mqtt_options(const struct config_sink *s, const struct source_meaning *meanings,
                             int (*use)(const struct mqtt_sink_options *options, void *context,
                                        struct error *reterr),
                             void *context, struct error *reterr)
{
    const struct config_mqtt *m = &s->mqtt;
    struct mqtt_subscription_options *subscriptions =
        xcalloc(m->subscriptions_count + 1, sizeof *subscriptions);
    int r = 0;
    for (size_t i = 0; i < m->subscriptions_count; i++) {
        const struct config_subscription *sub = &m->subscriptions[i];
        subscriptions[i] = (struct mqtt_subscription_options){
            .filter = sub->filter,
            .qos = sub->qos,
            .decoder = decoder_find(sub->format),
            .decode = {.precision = precision(sub->precision), .json = meanings ? meanings[i].json : NULL},
            .labels = meanings ? meanings[i].labels : NULL,
            .timestamp_from_record = sub->timestamp_from == CONFIG_TIMESTAMP_RECORD,
        };
        if (!subscriptions[i].decoder)
            r = error_set(reterr, ERR_INVALID, "format %s isn't built", sub->format);
    }
    const struct mqtt_sink_options options = {
        .name = s->name,
        .broker = m->broker,
        .client_id = m->client_id,
        .version = m->version == CONFIG_MQTT_5 ? MQTT_VERSION_5 : MQTT_VERSION_311,
        .keepalive_s = (unsigned)(m->keepalive_ms / SECOND_MS),
        .receive_maximum = m->receive_maximum,
        .session_expiry_s = (uint32_t)(m->session_expiry_ms / SECOND_MS),
        .max_packet_size = (uint32_t)m->max_packet_size_bytes,
        .retained = retained(m->retained),
        .spool_path = m->spool_path,
        .spool_max_bytes = m->spool_max_size_bytes,
        .tls_ca = m->tls_ca,
        .tls_cert = m->tls_cert,
        .tls_key = m->tls_key,
        .tls_server_name = m->tls_server_name,
        .username = m->username,
        .password = m->password,
        .subscriptions = subscriptions,
        .subscriptions_count = m->subscriptions_count,
    };
    if (r == 0)
        r = use(&options, context, reterr);
    free(subscriptions);
    return r;
}

static int use_mqtt_for_sink(const struct mqtt_sink_options *options, void *context, struct error *reterr)
{
    struct new_sink *n = context;
    return mqtt_sink_new(n->ret, options, n->intake, reterr);
}

static int use_mqtt_for_check(const struct mqtt_sink_options *options, void *context, struct error *reterr)
{
    (void)context;
    return mqtt_options_check(options, reterr);
}

static int new_mqtt(struct sink **ret, const struct config_sink *s, const struct source_meaning *meanings,
                    struct intake *intake, struct error *reterr)
{
    return with_mqtt_options(s, meanings, ret ? use_mqtt_for_sink : use_mqtt_for_check,
                             &(struct new_sink){ret, intake}, reterr);
}

static int compile_meanings(struct meanings **ret, const struct config_sink *s, struct error *reterr)
{
    bool kafka = s->type == CONFIG_SINK_KAFKA;
    struct meanings *m = meanings_new(kafka ? 1 : s->mqtt.subscriptions_count);
    int r = 0;
    if (kafka)
        r = source_meaning_compile(&m->items[0], s->type, s->format, &s->labels, &s->json, s->captures_max,
                                   reterr);
    for (size_t i = 0; !kafka && i < m->count && r == 0; i++) {
        const struct config_subscription *sub = &s->mqtt.subscriptions[i];
        r = source_meaning_compile(&m->items[i], s->type, sub->format, &sub->labels, &sub->json,
                                   sub->captures_max, reterr);
    }
    if (r < 0) {
        meanings_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

static int make(struct sink **ret, const struct config *cfg, const struct config_sink *s,
                struct intake *intake, struct error *reterr)
{
    struct meanings *meanings = NULL;
    int r = compile_meanings(&meanings, s, reterr);
    if (r < 0)
        return r;
    if (s->type == CONFIG_SINK_KAFKA)
        r = new_kafka(ret, cfg, s, meanings->items, intake, reterr);
    else
        r = new_mqtt(ret, s, meanings->items, intake, reterr);
    if (r == 0 && ret)
        (*ret)->made_with = meanings;
    else
        meanings_free(meanings);
    return r;
}

int sink_factory_new(struct sink **ret, const struct config *cfg, const struct config_sink *sink_cfg,
                     struct intake *intake, struct error *reterr)
{
    int r = make(ret, cfg, sink_cfg, intake, reterr);
    return r < 0 ? error_prefix(reterr, r, "sink %s", sink_cfg->name) : r;
}

void sink_factory_free(struct sink *sink)
{
    struct meanings *meanings = sink->made_with;
    sink->ops->free(sink);
    meanings_free(meanings);
}

static int check_sink(const struct config *cfg, const struct config_sink *sink, struct error *reterr)
{
    return make(NULL, cfg, sink, NULL, reterr);
}

const struct config_hooks sink_factory_config_hooks = {
    .kafka_property_owned = kafka_property_owned,
    .kafka_property_check = kafka_property_check,
    .label_check = source_meaning_check_label,
    .json_check = source_meaning_check_json,
    .sink_check = check_sink,
};

struct connect {
    int64_t timeout_ms;
    struct buffer *found;
};

static int use_for_connect(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    struct connect *c = context;
    return kafka_connect_check(options, c->timeout_ms, c->found, reterr);
}

static int use_mqtt_for_connect(const struct mqtt_sink_options *options, void *context, struct error *reterr)
{
    struct connect *c = context;
    return mqtt_connect_check(options, c->timeout_ms, c->found, reterr);
}

int sink_factory_connect(const struct config_sink *sink, const char *node, int64_t timeout_ms,
                         struct buffer *found, struct error *reterr)
{
    struct connect c = {timeout_ms, found};
    if (sink->type == CONFIG_SINK_MQTT)
        return with_mqtt_options(sink, NULL, use_mqtt_for_connect, &c, reterr);
    return with_kafka_options(sink, NULL, node, &(struct source_meaning){0}, use_for_connect, &c, reterr);
}
