#include "config/config_keys.h"

#include <string.h>

#define AT(member)      .offset = offsetof(struct config, member)
#define SINK_AT(member) .offset = offsetof(struct config_sink, member)
#define NOT_BUILT       .flags = CONFIG_KEY_NOT_BUILT
#define OF_KAFKA        .sinks = CONFIG_OF_KAFKA
#define OF_MQTT         .sinks = CONFIG_OF_MQTT
#define OF_BOTH         .sinks = CONFIG_OF_KAFKA | CONFIG_OF_MQTT
#define END          \
    {                \
        .name = NULL \
    }

static const struct config_choice sink_types[] = {
    {"kafka", CONFIG_SINK_KAFKA, true},
    {"mqtt", CONFIG_SINK_MQTT, false},
    END,
};

/* The decoders; sinks/decode has their code. */
static const struct config_choice formats[] = {
    {"influx", 0, true},      {"prometheus_remote_write", 0, false},
    {"prometheus", 0, false}, {"json", 0, false},
    {"jsonline", 0, false},   {"value", 0, false},
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
    {"dedup_interval", NOT_BUILT},
    {"min_free_disk", config_read_size, AT(storage.min_free_disk_bytes), .default_text = "256MiB"},
    {"memory_limit", config_read_percent_or_size, AT(storage.memory_limit), .default_text = "60%",
     .min_text = "64MiB"},
    {"merge_workers", config_read_count, AT(storage.merge_workers_count), .default_text = "0",
     .min_text = "0", .max_text = "256"},
    {"max_daily_series", NOT_BUILT},
    {"trust_clock", config_read_bool, AT(storage.trust_clock), .default_text = "false"},
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
    {"threads", config_read_count, SINK_AT(threads_count), OF_KAFKA, .default_text = "1", .min_text = "1",
     .max_text = "64"},
    {"queue_size", config_read_size, SINK_AT(queue_size_bytes), OF_KAFKA, .default_text = "64MiB",
     .min_text = "1MiB", .max_text = "2047MiB"},
    {"max_message_size", config_read_size, SINK_AT(max_message_size_bytes), OF_KAFKA, .default_text = "16MiB",
     .min_text = "1KiB", .max_text = "953MiB"},
    {"labels", OF_KAFKA, NOT_BUILT},
    {"timestamp", config_read_choice, SINK_AT(timestamp_from), OF_KAFKA, .default_text = "payload",
     .choices = timestamp_sources},
    {"precision", config_read_choice, SINK_AT(precision), OF_KAFKA, .default_text = "auto",
     .choices = precisions},
    {"json", OF_KAFKA, NOT_BUILT},
    {"librdkafka", config_read_properties, OF_KAFKA, .example = "{security.protocol: SSL}"},
    {"broker", OF_MQTT, NOT_BUILT},
    {"client_id", OF_MQTT, NOT_BUILT},
    {"version", OF_MQTT, NOT_BUILT},
    {"keepalive", OF_MQTT, NOT_BUILT},
    {"receive_maximum", OF_MQTT, NOT_BUILT},
    {"session_expiry", OF_MQTT, NOT_BUILT},
    {"max_packet_size", OF_MQTT, NOT_BUILT},
    {"retained", OF_MQTT, NOT_BUILT},
    {"spool", OF_MQTT, NOT_BUILT},
    {"tls", OF_MQTT, NOT_BUILT},
    {"username", OF_MQTT, NOT_BUILT},
    {"password", OF_MQTT, NOT_BUILT},
    {"subscriptions", OF_MQTT, NOT_BUILT},
    END,
};

static const struct config_key rejects_keys[] = {
    {"path", config_read_string, AT(rejects.path), .default_text = "",
     .example = "/var/lib/varve/varve/rejects"},
    {"max_size", config_read_size, AT(rejects.max_size_bytes), .default_text = "256MiB", .min_text = "1MiB"},
    {"kafka", NOT_BUILT},
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
