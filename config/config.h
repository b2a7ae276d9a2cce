/*
 * The configuration, typed: what the YAML file means once every default is filled in.
 *
 * interface.md fixes the keys; config_keys.c holds them in one table with types, defaults and bounds. Reading
 * is all or nothing: a struct config exists only for a file without errors, and isn't changed afterwards, so
 * any thread may read it. This folder knows no broker library: what only that can judge comes in through
 * struct config_hooks.
 */
#ifndef VARVE_CONFIG_CONFIG_H
#define VARVE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config_values.h"
#include "src/base/error.h"
#include "src/base/log.h"

enum config_sink_type { CONFIG_SINK_KAFKA, CONFIG_SINK_MQTT };
enum config_start_at { CONFIG_START_EARLIEST, CONFIG_START_LATEST, CONFIG_START_TIME };
enum config_on_topic_recreated { CONFIG_RECREATED_STOP, CONFIG_RECREATED_EARLIEST };
enum config_on_out_of_range { CONFIG_OUT_OF_RANGE_EARLIEST, CONFIG_OUT_OF_RANGE_STOP };
enum config_mqtt_version { CONFIG_MQTT_5, CONFIG_MQTT_3_1_1 };
enum config_retained { CONFIG_RETAINED_TIMESTAMPED, CONFIG_RETAINED_KEEP, CONFIG_RETAINED_DROP };
enum config_timestamp_from { CONFIG_TIMESTAMP_PAYLOAD, CONFIG_TIMESTAMP_RECORD };
enum config_precision {
    CONFIG_PRECISION_AUTO,
    CONFIG_PRECISION_NS,
    CONFIG_PRECISION_US,
    CONFIG_PRECISION_MS,
    CONFIG_PRECISION_S
};

struct config_strings {
    char **items;
    size_t count;
};

/* Static assignment: these partitions of one topic. */
struct config_topic_partitions {
    char *topic;
    int32_t *partitions;
    size_t count;
};

/* One librdkafka property as the file has it, secrets resolved. */
struct config_property {
    char *key;
    char *value;
};

struct config_start_from {
    enum config_start_at at;
    int64_t time_ms; /* of CONFIG_START_TIME */
};

struct config_label {
    char *name;
    char *value; /* with references ($topic, ...), or a path */
};

struct config_labels {
    struct config_label *items;
    size_t count;
};

/* `json:`, texts as written. */
struct config_json {
    char *each;
    char *time;
    const char *time_format; /* static text */
    char *name;
    struct config_labels labels; /* values are paths */
    struct config_strings fields;
};

struct config_subscription {
    char *filter;
    int qos;
    const char *format; /* a decoder's name; static text */
    struct config_labels labels;
    enum config_timestamp_from timestamp_from;
    enum config_precision precision;
    struct config_json json;
    size_t captures_max; /* the largest $n that labels may refer to */
};

/* What a sink of type mqtt has beyond its name. */
struct config_mqtt {
    char *broker; /* URL */
    char *client_id;
    enum config_mqtt_version version;
    int64_t keepalive_ms;
    uint32_t receive_maximum;
    int64_t session_expiry_ms;
    uint64_t max_packet_size_bytes;
    enum config_retained retained;
    char *spool_path; /* absolute; the default is already filled in */
    uint64_t spool_max_size_bytes;
    char *tls_ca, *tls_cert, *tls_key, *tls_server_name; /* "" for none */
    char *username, *password;                           /* "" for none */
    struct config_subscription *subscriptions;
    size_t subscriptions_count;
};

/* Members after mqtt are those of type kafka. */
struct config_sink {
    char *name;
    enum config_sink_type type;
    struct config_mqtt mqtt;
    struct config_strings brokers; /* host:port */
    struct config_strings
        topics; /* names and, from ^ on, POSIX extended expressions; none if partitions are set */
    struct config_topic_partitions *partitions;
    size_t partitions_count; /* topics with static partitions; 0: the group assigns */
    char *group;
    const char *format; /* a decoder's name; static text */
    struct config_start_from start_from;
    enum config_on_topic_recreated on_topic_recreated;
    enum config_on_out_of_range on_out_of_range;
    bool leave_on_stop;
    bool fenced_commits;
    uint32_t threads_count;
    uint64_t queue_size_bytes;
    uint64_t max_message_size_bytes;
    enum config_timestamp_from timestamp_from;
    enum config_precision precision;
    struct config_labels labels;
    struct config_json json;
    size_t captures_max; /* the largest $n that labels may refer to: groups of the topics' expressions */
    struct config_property *librdkafka;
    size_t librdkafka_count;
};

struct config_storage {
    char *path; /* absolute */
    int64_t retention_ms;
    int64_t dedup_interval_ms; /* 0: off */
    int64_t flush_interval_ms;
    uint64_t min_free_disk_bytes;
    struct config_percent_or_size memory_limit; /* percent: of the cgroup's or the machine's memory */
    uint32_t merge_workers_count;               /* 0: one per core */
    bool trust_clock;
};

struct config_rejects {
    char *path; /* absolute; the default is already filled in */
    uint64_t max_size_bytes;
    struct config_sink kafka; /* brokers and librdkafka; no brokers: none */
    char *kafka_topic;
};

/* An address to listen on. */
struct config_listen {
    char *text; /* as written */
    char *host; /* a numeric IPv4 or IPv6 address, without brackets */
    uint16_t port;
};

struct config_http {
    struct config_listen *listen;
    size_t listen_count; /* 0: no HTTP */
    char *username;      /* "" and "": no authentication; else both are set */
    char *password;
};

struct config_log {
    enum log_level level;
    enum log_format format;
};

struct config {
    char *node; /* never empty: the host name by default */
    struct config_storage storage;
    struct config_sink *sinks;
    size_t sinks_count;
    struct config_rejects rejects;
    struct config_http http;
    struct config_log log;

    /* Strings of this struct that came from a %{...} reference or are passwords by their nature. */
    const char **secrets;
    size_t secrets_count;
    size_t secrets_capacity;
};

/* What the broker's library knows and this folder doesn't. Any member may be NULL: then it isn't checked. */
struct config_hooks {
    /* Whether Varve sets this librdkafka property itself; then *ret_reason (static text) says why, or which
     * key of ours does it. */
    bool (*kafka_property_owned)(const char *key, const char **ret_reason);
    /* 0 if librdkafka takes the property with that value, else ERR_INVALID. */
    int (*kafka_property_check)(const char *key, const char *value, struct error *reterr);
    /* 0 if a label of `labels` can be rendered, else ERR_INVALID. $n reach to captures_max. */
    int (*label_check)(enum config_sink_type type, const struct config_label *label, size_t captures_max,
                       struct error *reterr);
    /* 0 if `json` means something, else ERR_INVALID and the key at fault (static text). */
    int (*json_check)(const struct config_json *json, size_t captures_max, const char **ret_key,
                      struct error *reterr);
    /* 0 if the library takes the sink as a whole (certificates, properties that contradict each other),
     * without connecting; else ERR_INVALID. Asked for each sink of a file that has no other errors. */
    int (*sink_check)(const struct config *cfg, const struct config_sink *sink, struct error *reterr);
};

#define CONFIG_ERRORS_MAX 20

/* What is wrong with a file, in the order of its lines: each entry is one line, "file:line:column: key.path:
 * what is wrong; what would be right". Zeroed, it's empty. */
struct config_errors {
    struct config_error {
        uint32_t line; /* 0: the file as a whole */
        uint32_t column;
        char *text;
    } items[CONFIG_ERRORS_MAX];
    size_t count;
    size_t left_out_count; /* found beyond the first CONFIG_ERRORS_MAX */
};

void config_errors_release(struct config_errors *errors);
/* One line each, and a last one if some were left out. */
void config_errors_print(const struct config_errors *errors, FILE *dst);

/* Reads path, resolves secrets (environment, files), fills in defaults and checks everything. 0; or ERR_IO,
 * ERR_NOT_FOUND (the file can't be read) or ERR_INVALID with at least one entry added to *errors. hooks may
 * be NULL. Free *ret with config_free. */
int config_read_file(struct config **ret, const char *path, const struct config_hooks *hooks,
                     struct config_errors *errors);
/* The same for size bytes in memory; name stands for the file in messages. */
int config_read_text(struct config **ret, const char *name, const char *text, size_t size,
                     const struct config_hooks *hooks, struct config_errors *errors);
struct config *config_free(struct config *cfg);

/* What may be shown of a string that belongs to cfg: itself, or "***" if it's a secret. */
const char *config_shown(const struct config *cfg, const char *value);

/* Writes asterisks over environment variables whose value is a secret of cfg: /proc/PID/environ would show
 * them for as long as the process lives. While there's one thread only. */
void config_wipe_environment(const struct config *cfg);

#endif
