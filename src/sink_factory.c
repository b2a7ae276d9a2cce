#include "src/sink_factory.h"

#include <stdlib.h>

#include "sinks/kafka/kafka_sink.h"
#include "src/base/alloc.h"

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

/* Gives the options of a Kafka sink to use; what they point to lives until it returns. */
static int with_kafka_options(const struct config_sink *s, const char *node,
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

    struct kafka_sink_options options = {
        .name = s->name,
        .node = node,
        .brokers = buffer_cstr(&brokers),
        .topics = (const char *const *)s->topics.items,
        .topics_count = s->topics.count,
        .partitions = partitions,
        .partitions_count = partitions_count,
        .group = s->group,
        .decoder = decoder_find(s->format),
        .decode = {.precision = precision(s->precision)},
        .start_from = start_from(s->start_from.at),
        .start_timestamp_ms = s->start_from.time_ms,
        .on_topic_recreated =
            s->on_topic_recreated == CONFIG_RECREATED_STOP ? KAFKA_RECREATED_STOP : KAFKA_RECREATED_EARLIEST,
        .on_out_of_range = s->on_out_of_range == CONFIG_OUT_OF_RANGE_STOP ? KAFKA_OUT_OF_RANGE_STOP
                                                                          : KAFKA_OUT_OF_RANGE_EARLIEST,
        .leave_on_stop = s->leave_on_stop,
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
    free(partitions);
    free(properties);
    return r;
}

struct new_kafka {
    struct sink **ret;
    struct intake *intake;
};

static int use_for_sink(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    struct new_kafka *n = context;
    return kafka_sink_new(n->ret, options, n->intake, reterr);
}

static int use_for_check(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    (void)context;
    return kafka_options_check(options, reterr);
}

static int check_sink(const struct config *cfg, const struct config_sink *sink, struct error *reterr)
{
    return sink->type == CONFIG_SINK_KAFKA ? with_kafka_options(sink, cfg->node, use_for_check, NULL, reterr)
                                           : 0;
}

const struct config_hooks sink_factory_config_hooks = {
    .kafka_property_owned = kafka_property_owned,
    .kafka_property_check = kafka_property_check,
    .sink_check = check_sink,
};

struct connect_kafka {
    int64_t timeout_ms;
    struct buffer *found;
};

static int use_for_connect(const struct kafka_sink_options *options, void *context, struct error *reterr)
{
    struct connect_kafka *c = context;
    return kafka_connect_check(options, c->timeout_ms, c->found, reterr);
}

int sink_factory_connect(const struct config_sink *sink, const char *node, int64_t timeout_ms,
                         struct buffer *found, struct error *reterr)
{
    struct connect_kafka c = {timeout_ms, found};
    return with_kafka_options(sink, node, use_for_connect, &c, reterr);
}

int sink_factory_new(struct sink **ret, const struct config *cfg, const struct config_sink *sink_cfg,
                     struct intake *intake, struct error *reterr)
{
    int r =
        sink_cfg->type == CONFIG_SINK_KAFKA
            ? with_kafka_options(sink_cfg, cfg->node, use_for_sink, &(struct new_kafka){ret, intake}, reterr)
            : error_set(reterr, ERR_INVALID, "this type of sink isn't built");
    return r < 0 ? error_prefix(reterr, r, "sink %s", sink_cfg->name) : r;
}
