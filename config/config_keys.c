#include "config/config_keys.h"

#include <string.h>

#define AT(member)              .offset = offsetof(struct config, member)
#define SINK_AT(member)         .offset = offsetof(struct config_sink, member)
#define NOT_BUILT               .flags = CONFIG_KEY_NOT_BUILT
#define OF_KAFKA                .sinks = CONFIG_OF_KAFKA
#define OF_MQTT                 .sinks = CONFIG_OF_MQTT
#define SUBSCRIPTION_AT(member) .offset = offsetof(struct config_subscription, member)
#define JSON_AT(member)         .offset = offsetof(struct config_json, member)
#define OF_BOTH                 .sinks = CONFIG_OF_KAFKA | CONFIG_OF_MQTT
#define END          \
    {                \
        .name = NULL \
    }

static const struct config_choice sink_types[] = {
    {"kafka", CONFIG_SINK_KAFKA, true},
    {"mqtt", CONFIG_SINK_MQTT, true},
    END,
};

/* The decoders; sinks/decode has their code. */
static const struct config_choice formats[] = {
    {"influx", 0, true},      {"prometheus_remote_write", 0, true},
    {"prometheus", 0, false}, {"json", 0, true},
    {"jsonline", 0, true},    {"value", 0, true},
    {"graphite", 0, false},   {"opentsdb", 0, false},
    {"csv", 0, false},        {"sparkplug_b", 0, false},
    {"otlp", 0, false},       END,
};

static const struct config_choice recreated_answers[] = {
    {"stop", CONFIG_RECREATED_STOP, true},
    {"earliest", CONFIG_RECREATED_EARLIEST, true},
    END,
};

static const struct config_choice out_of_range_answers[] = {
    {"earliest", CONFIG_OUT_OF_RANGE_EARLIEST, true},
    {"stop", CONFIG_OUT_OF_RANGE_STOP, true},
    END,
};

static const struct config_choice timestamp_sources[] = {
    {"payload", CONFIG_TIMESTAMP_PAYLOAD, true},
    {"record", CONFIG_TIMESTAMP_RECORD, true},
    END,
};

static const struct config_choice precisions[] = {
    {"auto", CONFIG_PRECISION_AUTO, true}, {"ns", CONFIG_PRECISION_NS, true},
    {"us", CONFIG_PRECISION_US, true},     {"ms", CONFIG_PRECISION_MS, true},
    {"s", CONFIG_PRECISION_S, true},       END,
};

static const struct config_choice log_levels[] = {
    {"error", LOG_LEVEL_ERROR, true},
    {"warning", LOG_LEVEL_WARNING, true},
    {"info", LOG_LEVEL_INFO, true},
    {"debug", LOG_LEVEL_DEBUG, true},
    END,
};

static const struct config_choice log_formats[] = {
    {"auto", LOG_FORMAT_AUTO, true},
    {"text", LOG_FORMAT_TEXT, true},
    {"json", LOG_FORMAT_JSON, true},
    END,
};

static const struct config_key storage_keys[] = {
    {"path", config_read_string, AT(storage.path), .flags = CONFIG_KEY_REQUIRED, .example = "/var/lib/varve"},
    {"retention", config_read_duration, AT(storage.retention_ms), .default_text = "13M", .min_text = "1d",
     .max_text = "100y"},
    {"flush_interval", config_read_duration, AT(storage.flush_interval_ms), .default_text = "5s",
     .min_text = "100ms", .max_text = "1h"},
    {"dedup_interval", config_read_duration, AT(storage.dedup_interval_ms), .default_text = "0s",
     .min_text = "0s", .max_text = "1d"},
    {"min_free_disk", config_read_size, AT(storage.min_free_disk_bytes), .default_text = "256MiB"},
    {"memory_limit", config_read_percent_or_size, AT(storage.memory_limit), .default_text = "60%",
     .min_text = "64MiB"},
    {"merge_workers", config_read_count, AT(storage.merge_workers_count), .default_text = "0",
     .min_text = "0", .max_text = "256"},
    {"max_daily_series", NOT_BUILT},
    {"trust_clock", config_read_bool, AT(storage.trust_clock), .default_text = "false"},
    END,
};

static const struct config_choice time_formats[] = {
    {"auto", 0, true},
    {"rfc3339", 0, true},
    {"s", 0, true},
    {"ms", 0, true},
    {"us", 0, true},
    {"ns", 0, true},
    END,
};

static const struct config_choice mqtt_versions[] = {
    {"5", CONFIG_MQTT_5, true},
    {"3.1.1", CONFIG_MQTT_3_1_1, true},
    END,
};

static const struct config_choice retained_answers[] = {
    {"timestamped", CONFIG_RETAINED_TIMESTAMPED, true},
    {"keep", CONFIG_RETAINED_KEEP, true},
    {"drop", CONFIG_RETAINED_DROP, true},
    END,
};

static const struct config_choice qos_levels[] = {
    {"0", 0, true},
    {"1", 1, true},
    {"2", 2, true},
    END,
};

static const struct config_key json_keys[] = {
    {"each", config_read_string, JSON_AT(each), .default_text = "$", .example = "\"$.readings[*]\""},
    {"time", config_read_string, JSON_AT(time), .default_text = "", .example = "\"$.ts\""},
    {"time_format", config_read_word, JSON_AT(time_format), .default_text = "auto", .choices = time_formats},
    {"name", config_read_string, JSON_AT(name), .default_text = "$topic_last", .example = "\"$topic_last\""},
    {"labels", config_read_labels, JSON_AT(labels), .example = "{device: \"$.device.id\"}"},
    {"fields", config_read_strings, JSON_AT(fields), .flags = CONFIG_KEY_MAY_BE_EMPTY,
     .example = "[\"$.temp as temperature\"]"},
    END,
};

static const struct config_key spool_keys[] = {
    {"path", config_read_string, SINK_AT(mqtt.spool_path), .default_text = "",
     .example = "/var/lib/varve/varve/spool/edge"},
    {"max_size", config_read_size, SINK_AT(mqtt.spool_max_size_bytes), .default_text = "1GiB",
     .min_text = "1MiB", .max_text = "16TiB"},
    END,
};

static const struct config_key tls_keys[] = {
    {"ca", config_read_string, SINK_AT(mqtt.tls_ca), .default_text = "", .example = "/etc/varve/ca.pem"},
    {"cert", config_read_string, SINK_AT(mqtt.tls_cert), .default_text = "",
     .example = "/etc/varve/edge.pem"},
    {"key", config_read_string, SINK_AT(mqtt.tls_key), .default_text = "", .example = "/etc/varve/edge.key"},
    {"server_name", config_read_string, SINK_AT(mqtt.tls_server_name), .default_text = "",
     .example = "edge.example"},
    END,
};

static const struct config_key subscription_keys[] = {
    {"filter", config_read_string, SUBSCRIPTION_AT(filter), .flags = CONFIG_KEY_REQUIRED,
     .example = "plants/+/lines/+/#"},
    {"qos", config_read_choice, SUBSCRIPTION_AT(qos), .default_text = "1", .choices = qos_levels},
    {"format", config_read_word, SUBSCRIPTION_AT(format), .flags = CONFIG_KEY_REQUIRED, .example = "json",
     .choices = formats},
    {"labels", config_read_labels, SUBSCRIPTION_AT(labels), .example = "{plant: \"$1\"}"},
    {"timestamp", config_read_choice, SUBSCRIPTION_AT(timestamp_from), .default_text = "payload",
     .choices = timestamp_sources},
    {"precision", config_read_choice, SUBSCRIPTION_AT(precision), .default_text = "auto",
     .choices = precisions},
    {"json", config_read_submapping, SUBSCRIPTION_AT(json), .children = json_keys},
    END,
};

/* queue_size and max_message_size end where librdkafka's queued.max.messages.kbytes and
 * fetch.message.max.bytes do. */
static const struct config_key sink_keys[] = {
    {"name", config_read_string, SINK_AT(name), OF_BOTH, .flags = CONFIG_KEY_REQUIRED, .example = "plant"},
    {"type", config_read_choice, SINK_AT(type), OF_BOTH, .flags = CONFIG_KEY_REQUIRED, .example = "kafka",
     .choices = sink_types},
    {"brokers", config_read_strings, SINK_AT(brokers), OF_KAFKA, .flags = CONFIG_KEY_REQUIRED,
     .example = "[k1:9092, k2:9092]"},
    {"topics", config_read_strings, SINK_AT(topics), OF_KAFKA, .example = "[metrics]"},
    {"partitions", config_read_partitions, OF_KAFKA, .example = "{metrics: [0, 1]}"},
    {"group", config_read_string, SINK_AT(group), OF_KAFKA, .flags = CONFIG_KEY_REQUIRED,
     .example = "varve-plant"},
    {"format", config_read_word, SINK_AT(format), OF_KAFKA, .flags = CONFIG_KEY_REQUIRED, .example = "influx",
     .choices = formats},
    {"start_from", config_read_start_from, SINK_AT(start_from), OF_KAFKA, .default_text = "earliest"},
    {"on_topic_recreated", config_read_choice, SINK_AT(on_topic_recreated), OF_KAFKA, .default_text = "stop",
     .choices = recreated_answers},
    {"on_out_of_range", config_read_choice, SINK_AT(on_out_of_range), OF_KAFKA, .default_text = "earliest",
     .choices = out_of_range_answers},
    {"leave_on_stop", config_read_bool, SINK_AT(leave_on_stop), OF_KAFKA, .default_text = "false"},
    {"fenced_commits", config_read_bool, SINK_AT(fenced_commits), OF_KAFKA, .default_text = "false"},
    {"threads", config_read_count, SINK_AT(threads_count), OF_KAFKA, .default_text = "1", .min_text = "1",
     .max_text = "64"},
    {"queue_size", config_read_size, SINK_AT(queue_size_bytes), OF_KAFKA, .default_text = "64MiB",
     .min_text = "1MiB", .max_text = "2047MiB"},
    {"max_message_size", config_read_size, SINK_AT(max_message_size_bytes), OF_KAFKA, .default_text = "16MiB",
     .min_text = "1KiB", .max_text = "953MiB"},
    {"labels", config_read_labels, SINK_AT(labels), OF_KAFKA, .example = "{site: plant1, topic: \"$topic\"}"},
    {"timestamp", config_read_choice, SINK_AT(timestamp_from), OF_KAFKA, .default_text = "payload",
     .choices = timestamp_sources},
    {"precision", config_read_choice, SINK_AT(precision), OF_KAFKA, .default_text = "auto",
     .choices = precisions},
    {"json", config_read_submapping, SINK_AT(json), OF_KAFKA, .children = json_keys},
    {"librdkafka", config_read_properties, OF_KAFKA, .example = "{security.protocol: SSL}"},
    {"broker", config_read_string, SINK_AT(mqtt.broker), OF_MQTT, .flags = CONFIG_KEY_REQUIRED,
     .example = "mqtts://edge.example:8883"},
    {"client_id", config_read_string, SINK_AT(mqtt.client_id), OF_MQTT, .example = "varve-edge"},
    {"version", config_read_choice, SINK_AT(mqtt.version), OF_MQTT, .default_text = "5",
     .choices = mqtt_versions},
    {"keepalive", config_read_duration, SINK_AT(mqtt.keepalive_ms), OF_MQTT, .default_text = "30s",
     .min_text = "1s", .max_text = "18h"},
    {"receive_maximum", config_read_count, SINK_AT(mqtt.receive_maximum), OF_MQTT, .default_text = "1000",
     .min_text = "1", .max_text = "65535"},
    {"session_expiry", config_read_duration, SINK_AT(mqtt.session_expiry_ms), OF_MQTT, .default_text = "7d",
     .min_text = "0", .max_text = "100y"},
    {"max_packet_size", config_read_size, SINK_AT(mqtt.max_packet_size_bytes), OF_MQTT,
     .default_text = "1MiB", .min_text = "1KiB", .max_text = "255MiB"},
    {"retained", config_read_choice, SINK_AT(mqtt.retained), OF_MQTT, .default_text = "timestamped",
     .choices = retained_answers},
    {"spool", config_read_submapping, OF_MQTT, .children = spool_keys},
    {"tls", config_read_submapping, OF_MQTT, .children = tls_keys},
    {"username", config_read_string, SINK_AT(mqtt.username), OF_MQTT, .default_text = "",
     .flags = CONFIG_KEY_ANY_TEXT, .example = "varve"},
    {"password", config_read_string, SINK_AT(mqtt.password), OF_MQTT, .default_text = "",
     .flags = CONFIG_KEY_ANY_TEXT | CONFIG_KEY_PASSWORD, .example = "\"%{credential:edge}\""},
    {"subscriptions", config_read_subscriptions, SINK_AT(mqtt), OF_MQTT, .flags = CONFIG_KEY_REQUIRED,
     .example = "[{filter: plants/#, format: json}]", .children = subscription_keys},
    END,
};

static const struct config_key reject_kafka_keys[] = {
    {"brokers", config_read_strings, AT(rejects.kafka.brokers), .example = "[k1:9092, k2:9092]"},
    {"topic", config_read_string, AT(rejects.kafka_topic), .example = "varve-rejects"},
    {"librdkafka", config_read_properties, AT(rejects.kafka), .example = "{security.protocol: SSL}"},
    END,
};

static const struct config_key rejects_keys[] = {
    {"path", config_read_string, AT(rejects.path), .default_text = "",
     .example = "/var/lib/varve/varve/rejects"},
    {"max_size", config_read_size, AT(rejects.max_size_bytes), .default_text = "256MiB", .min_text = "1MiB"},
    {"kafka", config_read_submapping, .children = reject_kafka_keys},
    END,
};

static const struct config_key auth_keys[] = {
    {"username", config_read_string, AT(http.username), .default_text = "", .flags = CONFIG_KEY_ANY_TEXT,
     .example = "varve"},
    {"password", config_read_string, AT(http.password), .default_text = "",
     .flags = CONFIG_KEY_ANY_TEXT | CONFIG_KEY_PASSWORD, .example = "\"%{credential:http}\""},
    END,
};

static const struct config_key http_keys[] = {
    {"listen", config_read_listen, .default_text = "127.0.0.1:8475"},
    {"auth", config_read_submapping, .children = auth_keys},
    END,
};

static const struct config_key log_keys[] = {
    {"level", config_read_choice, AT(log.level), .default_text = "info", .choices = log_levels},
    {"format", config_read_choice, AT(log.format), .default_text = "auto", .choices = log_formats},
    END,
};

const struct config_key config_root_keys[] = {
    {"node", config_read_string, AT(node), .default_text = "", .example = "edge-1"},
    {"storage", config_read_submapping, .children = storage_keys},
    {"sinks", config_read_sinks, .children = sink_keys},
    {"rejects", config_read_submapping, .children = rejects_keys},
    {"http", config_read_submapping, .children = http_keys},
    {"log", config_read_submapping, .children = log_keys},
    END,
};

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
    for (; keys->name; keys++) {
        if (!strcmp(keys->name, name))
            return keys;
    }
    return NULL;
}

const char *config_key_example(const struct config_key *key)
{
    return key->example ? key->example : key->default_text;
}
