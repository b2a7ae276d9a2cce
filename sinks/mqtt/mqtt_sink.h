/*
 * The MQTT sink: one session with one broker, through Eclipse Paho's MQTTAsync, into a spool on disk, and
 * from the spool into the store.
 *
 *   broker -> paho's thread: callback -> spool (memory) -> commit thread: write, fdatasync -> held PUBACKs
 * out
 *                                                      \-> reader thread: decode, hand over -> store -> trim
 *
 * A message is on disk before the broker may forget it: the PUBACK is held until the spool's group fsync
 * (mqtt_puback.h; mqtt_puback_mode says if this build can). To the rest of the program the spool is a
 * partition with offsets: its key is sink name + spool id, and its offsets are the spool's LSNs. QoS 0 is at
 * most once. Of QoS 1 and 2 nothing is lost, and what the broker sends again is told from what is new by its
 * packet id: exactly once, as far as mqtt_dedup.h says.
 *
 * The sink's own functions may be called from any thread. How paho really behaves, and what each rule of this
 * folder is for: the tests under tests/real/mqtt.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_SINK_H
#define VARVE_SINKS_MQTT_MQTT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/decode/decode.h"
#include "sinks/label_set.h"
#include "sinks/sink.h"
#include "src/base/buffer.h"
#include "src/base/error.h"

/* What is kept of messages that the broker sends because of a subscription, not because of a publisher. */
enum mqtt_retained {
    MQTT_RETAINED_TIMESTAMPED, /* samples with a time of their own in the payload */
    MQTT_RETAINED_KEEP,
    MQTT_RETAINED_DROP,
};

enum mqtt_version { MQTT_VERSION_311, MQTT_VERSION_5 };

struct mqtt_subscription_options {
    const char *filter; /* may be $share/GROUP/FILTER, which is at-least-once at best */
    int qos;            /* 0, 1, or with version 5 and held PUBACKs 2 */
    const struct decoder *decoder;
    struct decode_options decode;   /* its json mapping has to outlive the sink */
    const struct label_set *labels; /* NULL: none. Outlives the sink. Its captures: mqtt_filter_captures */
    bool timestamp_from_record; /* `timestamp: record`: arrival counts, not the payload's own timestamps */
};

/* One sink of the configuration. mqtt_sink_new copies all strings: borrowed afterwards are decoders, JSON
 * mappings and label sets. Strings may be NULL or empty where nothing is configured. */
struct mqtt_sink_options {
    const char *name;      /* of the sink: keys positions and metrics */
    const char *broker;    /* URL: mqtt, mqtts, ws or wss :// host [:port] [/path of ws] */
    const char *client_id; /* names the session; may be empty if all subscriptions are QoS 0 */
    enum mqtt_version version;
    unsigned keepalive_s;      /* 1 to 65535 */
    unsigned receive_maximum;  /* 1 to 65535; v5 only */
    uint32_t session_expiry_s; /* UINT32_MAX: never; v5 only (3.1.1: the broker's own rule) */
    uint32_t max_packet_size;  /* bytes; of v5 told to the broker. What is larger all the same is
                                * stored too, up to a quarter of the spool; beyond that it's rejected */
    enum mqtt_retained retained;
    const char *spool_path;                  /* directory; made if need be, with the directories above it */
    uint64_t spool_max_bytes;                /* at least 4 * max_packet_size, and MQTT_SPOOL_SIZE_MIN */
    const char *tls_ca, *tls_cert, *tls_key; /* PEM files; no ca: the system's */
    const char *tls_server_name;             /* name to verify instead of the broker URL's host */
    const char *username, *password;
    const struct mqtt_subscription_options *subscriptions; /* first match wins */
    size_t subscriptions_count;
};

#define MQTT_SPOOL_SIZE_MIN (1024 * 1024)

/* Makes the sink; no thread runs, no file is touched and no broker is asked before sink->ops->start.
 * ERR_INVALID names the option and what would be right. intake must outlive the sink. */
int mqtt_sink_new(struct sink **ret, const struct mqtt_sink_options *options, struct intake *intake,
                  struct error *reterr);

/* The checks of mqtt_sink_new, and that certificates can be read, without a sink: for `varve check`. */
int mqtt_options_check(const struct mqtt_sink_options *options, struct error *reterr);

/* Connects with the broker and leaves again, as a client of its own with a clean session: the sink's session
 * isn't disturbed. Appends to *found what answers; ERR_IO says in a person's words why not. Takes about
 * timeout_ms at most for each step. */
int mqtt_connect_check(const struct mqtt_sink_options *options, int64_t timeout_ms, struct buffer *found,
                       struct error *reterr);

/* How many $n a filter fills: its + levels. */
size_t mqtt_filter_captures(const char *filter);

/* When this build lets the broker forget a message, in words, for `varve version` and the log. Static text.
 */
const char *mqtt_puback_mode(void);
/* The version of paho that is linked. Static text. */
const char *mqtt_library_version(void);

#endif
