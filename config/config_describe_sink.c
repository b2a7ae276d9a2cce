#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/config_describe.h"
#include "config/config_filter.h"

void config_describe_line(struct buffer *dst, const char *key, const char *format, ...)
{
    va_list args;
    buffer_printf(dst, "  %-19s ", key);
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    va_start(args, format);
    vsnprintf((char *)buffer_reserve(dst, (size_t)length + 1), (size_t)length + 1, format, args);
    va_end(args);
    dst->len += (size_t)length;
    buffer_append_u8(dst, '\n');
}

static void append_list(struct buffer *dst, const struct config *cfg, const char *key,
                        const struct config_strings *strings)
{
    buffer_printf(dst, "  %-19s ", key);
    for (size_t i = 0; i < strings->count; i++)
        buffer_printf(dst, "%s%s%s", i ? ", " : "", config_shown(cfg, strings->items[i]),
                      *strings->items[i] == '^' ? " (expression)" : "");
    buffer_append_u8(dst, '\n');
}

static void describe_partitions(const struct config_sink *sink, struct buffer *dst)
{
    buffer_printf(dst, "  %-19s static: ", "partitions");
    for (size_t i = 0; i < sink->partitions_count; i++) {
        buffer_printf(dst, "%s%s [", i ? "; " : "", sink->partitions[i].topic);
        for (size_t j = 0; j < sink->partitions[i].count; j++)
            buffer_printf(dst, "%s%" PRId32, j ? ", " : "", sink->partitions[i].partitions[j]);
        buffer_append_u8(dst, ']');
    }
    buffer_append_u8(dst, '\n');
}

static void describe_start(const struct config_sink *sink, struct buffer *dst)
{
    char text[CONFIG_VALUE_TEXT_MAX];
    const char *from = sink->start_from.at == CONFIG_START_EARLIEST ? "earliest"
                       : sink->start_from.at == CONFIG_START_LATEST
                           ? "latest"
                           : config_format_time_ms(sink->start_from.time_ms, text);
    config_describe_line(dst, "start_from", "%s, where no position is known", from);
    config_describe_line(dst, "on_topic_recreated", "%s",
                         sink->on_topic_recreated == CONFIG_RECREATED_STOP
                             ? "stop: that partition stands still until someone decides"
                             : "earliest: the new topic is read from its start");
    config_describe_line(dst, "on_out_of_range", "%s",
                         sink->on_out_of_range == CONFIG_OUT_OF_RANGE_STOP
                             ? "stop: that partition stands still until someone decides"
                             : "earliest: reading goes on there, the gap is counted");
    config_describe_line(dst, "leave_on_stop", "%s",
                         sink->leave_on_stop ? "true: a clean stop leaves the group, others take over at once"
                                             : "false: a restart moves no partition");
    if (sink->fenced_commits)
        config_describe_line(dst, "fenced_commits",
                             "true: a commit is made only if the group takes its offsets; while it can't be "
                             "asked, intake of all sinks waits");
}

static void describe_labels(const struct config *cfg, const char *key, const struct config_labels *labels,
                            struct buffer *dst)
{
    for (size_t i = 0; i < labels->count; i++)
        config_describe_line(dst, i ? "" : key, "%s = %s", labels->items[i].name,
                             config_shown(cfg, labels->items[i].value));
}

static void describe_json(const struct config *cfg, const struct config_json *json, struct buffer *dst)
{
    config_describe_line(dst, "json.each", "%s%s", config_shown(cfg, json->each),
                         strcmp(json->each, "$") != 0 ? "" : ": the document, or each item of an array");
    if (*json->time)
        config_describe_line(dst, "json.time", "%s, %s", config_shown(cfg, json->time), json->time_format);
    else
        config_describe_line(dst, "json.time", "none: the message's own");
    config_describe_line(dst, "json.name", "%s, before each field's name", config_shown(cfg, json->name));
    describe_labels(cfg, "json.labels", &json->labels, dst);
    if (!json->fields.count)
        config_describe_line(dst, "json.fields", "every number and boolean");
    for (size_t i = 0; i < json->fields.count; i++)
        config_describe_line(dst, i ? "" : "json.fields", "%s", config_shown(cfg, json->fields.items[i]));
}

static void describe_payload(const struct config *cfg, const char *format, const struct config_labels *labels,
                             enum config_timestamp_from timestamp_from, enum config_precision precision,
                             const struct config_json *json, const char *own_time, struct buffer *dst)
{
    static const char *const precisions[] = {
        [CONFIG_PRECISION_AUTO] = "auto: by a timestamp's digits",
        [CONFIG_PRECISION_NS] = "ns: timestamps are nanoseconds",
        [CONFIG_PRECISION_US] = "us: timestamps are microseconds",
        [CONFIG_PRECISION_MS] = "ms: timestamps are milliseconds",
        [CONFIG_PRECISION_S] = "s: timestamps are seconds",
    };
    config_describe_line(dst, "format", "%s", format);
    describe_labels(cfg, "labels", labels, dst);
    if (!strcmp(format, "json"))
        describe_json(cfg, json, dst);
    if (timestamp_from == CONFIG_TIMESTAMP_PAYLOAD)
        config_describe_line(dst, "timestamp", "payload: its own, or the record's if it has none");
    else
        config_describe_line(dst, "timestamp", "record: %s, whatever the payload says", own_time);
    if (!strcmp(format, "influx"))
        config_describe_line(dst, "precision", "%s", precisions[precision]);
}

static void describe_kafka(const struct config *cfg, const struct config_sink *sink, struct buffer *dst)
{
    char text[CONFIG_VALUE_TEXT_MAX];
    append_list(dst, cfg, "brokers", &sink->brokers);
    if (sink->partitions_count)
        describe_partitions(sink, dst);
    else
        append_list(dst, cfg, "topics", &sink->topics);
    config_describe_line(dst, "group", "%s", config_shown(cfg, sink->group));
    describe_payload(cfg, sink->format, &sink->labels, sink->timestamp_from, sink->precision, &sink->json,
                     "Kafka's", dst);
    describe_start(sink, dst);
    config_describe_line(dst, "threads", "%" PRIu32, sink->threads_count);
    config_describe_line(dst, "queue_size", "%s fetched but not decoded",
                         config_format_size(sink->queue_size_bytes, text));
    config_describe_line(dst, "max_message_size", "%s: larger messages go to the rejects",
                         config_format_size(sink->max_message_size_bytes, text));
    if (!sink->librdkafka_count)
        config_describe_line(dst, "librdkafka", "no properties");
    for (size_t i = 0; i < sink->librdkafka_count; i++)
        config_describe_line(dst, i ? "" : "librdkafka", "%s = %s", sink->librdkafka[i].key,
                             config_shown(cfg, sink->librdkafka[i].value));
}

static void describe_subscription(const struct config *cfg, const struct config_subscription *s,
                                  struct buffer *dst)
{
    static const char *const meaning[] = {
        "0: at most once",
        "1: exactly once with brokers that count packet ids up (mosquitto does), else at least once",
        "2: exactly once with brokers that count packet ids up (mosquitto does), else at least once",
    };
    config_describe_line(dst, "subscription", "%s", config_shown(cfg, s->filter));
    if (config_filter_is_shared(s->filter))
        config_describe_line(dst, "qos",
                             "%d: shared, so at least once at best: what another member had when it left may "
                             "come twice",
                             s->qos);
    else
        config_describe_line(dst, "qos", "%s", meaning[s->qos]);
    describe_payload(cfg, s->format, &s->labels, s->timestamp_from, s->precision, &s->json, "arrival", dst);
}

static void describe_session(const struct config *cfg, const struct config_mqtt *mqtt, struct buffer *dst)
{
    char text[CONFIG_VALUE_TEXT_MAX];
    config_describe_line(dst, "client_id", "%s",
                         *mqtt->client_id ? config_shown(cfg, mqtt->client_id)
                                          : "none: the broker gives one, and keeps nothing for us");
    config_describe_line(dst, "version", "%s", mqtt->version == CONFIG_MQTT_5 ? "5" : "3.1.1");
    config_describe_line(dst, "keepalive", "%s", config_format_duration_ms(mqtt->keepalive_ms, text));
    if (mqtt->version == CONFIG_MQTT_5) {
        config_describe_line(dst, "receive_maximum", "%" PRIu32 " messages under way", mqtt->receive_maximum);
        config_describe_line(dst, "session_expiry", "%s: so long the broker keeps messages for us",
                             config_format_duration_ms(mqtt->session_expiry_ms, text));
    }
    config_describe_line(dst, "max_packet_size", "%s", config_format_size(mqtt->max_packet_size_bytes, text));
}

static void describe_mqtt(const struct config *cfg, const struct config_mqtt *mqtt, struct buffer *dst)
{
    static const char *const retained[] = {
        [CONFIG_RETAINED_TIMESTAMPED] = "timestamped: of retained messages, those with a time of their own",
        [CONFIG_RETAINED_KEEP] = "keep: retained messages, too",
        [CONFIG_RETAINED_DROP] = "drop: no retained messages",
    };
    char text[CONFIG_VALUE_TEXT_MAX];
    config_describe_line(dst, "broker", "%s", config_shown(cfg, mqtt->broker));
    describe_session(cfg, mqtt, dst);
    config_describe_line(dst, "retained", "%s", retained[mqtt->retained]);
    config_describe_line(dst, "spool.path", "%s", config_shown(cfg, mqtt->spool_path));
    config_describe_line(dst, "spool.max_size", "%s: when it's full, the broker keeps the rest",
                         config_format_size(mqtt->spool_max_size_bytes, text));
    if (*mqtt->tls_ca)
        config_describe_line(dst, "tls.ca", "%s", config_shown(cfg, mqtt->tls_ca));
    if (*mqtt->tls_cert)
        config_describe_line(dst, "tls.cert", "%s, with its key", config_shown(cfg, mqtt->tls_cert));
    if (*mqtt->tls_server_name)
        config_describe_line(dst, "tls.server_name", "%s", config_shown(cfg, mqtt->tls_server_name));
    config_describe_line(dst, "username", "%s", *mqtt->username ? config_shown(cfg, mqtt->username) : "none");
    for (size_t i = 0; i < mqtt->subscriptions_count; i++)
        describe_subscription(cfg, &mqtt->subscriptions[i], dst);
}

void config_describe_sink(const struct config *cfg, const struct config_sink *sink, struct buffer *dst)
{
    bool kafka = sink->type == CONFIG_SINK_KAFKA;
    buffer_printf(dst, "\nsink %s: %s\n", config_shown(cfg, sink->name), kafka ? "kafka" : "mqtt");
    if (kafka)
        describe_kafka(cfg, sink, dst);
    else
        describe_mqtt(cfg, &sink->mqtt, dst);
}
