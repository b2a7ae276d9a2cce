/*
 * What the files of this folder share.
 *
 * Threads of a sink, and what each one may touch:
 *   connection (mqtt_connection.c)  makes and ends connections; the only one that calls MQTTAsync
 *   commit (mqtt_commit.c)          spool_commit, then the PUBACKs
 *   reader (mqtt_deliver.c)         spool -> decoder -> intake
 *   paho's, shared by all sinks (mqtt_receive.c): callbacks; they never wait
 * paho's mutex is held around its callbacks, and lock is taken inside it: never call paho with lock held.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_INTERNAL_H
#define VARVE_SINKS_MQTT_MQTT_INTERNAL_H

#include <MQTTAsync.h>
#include <stdatomic.h>

#include "sinks/mqtt/mqtt_puback.h"
#include "sinks/mqtt/mqtt_resolve.h"
#include "sinks/mqtt/mqtt_session.h"
#include "sinks/mqtt/mqtt_sink.h"
#include "sinks/mqtt/mqtt_topic.h"
#include "sinks/mqtt/mqtt_url.h"
#include "sinks/mqtt/spool_reader.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

struct mqtt_subscription {
    char *filter;
    int qos;
    const struct decoder *decoder;
    struct decode_options decode;
    const struct label_set *labels;
    bool timestamp_from_record;
    struct intake_worker *worker;
    struct rendered_labels rendered;
};

#define MQTT_REJECT_HEAD 65536 /* kept of a message that is rejected, or too large for the spool */

/* What a connection has come to; moved by paho's callbacks and the connection thread, under lock. */
enum mqtt_state { MQTT_AWAY, MQTT_CONNECTING, MQTT_CONNECTED, MQTT_FAILED };

struct mqtt_sink {
    struct sink base;
    struct intake *intake;
    struct mqtt_url url;
    char *uri;   /* as paho wants it */
    char *place; /* as the log names it: without a path, which may hold a secret */
    char *client_id, *spool_path, *username, *password;
    char *tls_ca, *tls_cert, *tls_key;
    char *pinned_name; /* what is in the URI: server_name, or the URL's host */
    enum mqtt_version version;
    bool is_throwaway; /* `varve check`: a session that nobody comes back to */
    unsigned keepalive_s, receive_maximum;
    uint32_t session_expiry_s, max_packet_size;
    enum mqtt_retained retained;
    uint64_t spool_max_bytes;
    struct mqtt_subscription *subscriptions;
    size_t subscriptions_count;
    /* One per decoder and its options: subscriptions share them. In the order of creation, which is the order
     * in which they are begun. */
    struct intake_worker **workers;
    size_t workers_count;

    struct mqtt_match replay_match; /* what the last reading_of borrows from */

    const struct spool_fs *spool_fs; /* tests put faults there before start; NULL: the real one */
    struct spool *spool;
    struct mqtt_session session; /* from start on, with the spool */
    char *key;                   /* of positions */
    /* A durable position that isn't about what the spool holds: nothing is trimmed by it. */
    struct sink_position foreign;
    bool has_foreign;
    atomic_bool is_open; /* the above is set; commits and metrics may come before */
    struct thread connection_thread, commit_thread, reader_thread;

    struct mutex lock;
    struct cond changed;
    enum mqtt_state state;
    bool session_present;
    char why[512];         /* of the last failure */
    bool was_answered;     /* the failure is the broker's own answer to CONNECT */
    bool wants_disconnect; /* the spool is full or has failed */
    bool lookup_ended;     /* the lookup thread sets it */
    size_t acks_awaited;   /* SUBACKs and UNSUBACKs */
    bool stopping, reader_stopped, commit_stopping;

    struct mutex release_lock; /* over mqtt_puback_release, and where puback changes */
    struct mqtt_puback *puback;
    /* The connection thread's. */
    MQTTAsync handle;
    struct mqtt_request *requests;
    size_t addresses_count; /* of the broker's name, at the last lookup */

    /* Callbacks only take messages while it's set; each connection refuses on its own once one was refused.
     */
    atomic_bool accepting;
    atomic_bool refusing;
    atomic_bool intake_stopped;

    atomic_ullong messages, received, bytes_received, dropped_full, dropped_retained, unmatched, empty,
        refused, redelivered, ambiguous, sessions_lost, connects, connect_failures, lost_connections,
        subscriptions_refused, damaged, hand_overs_refused;
};

static inline struct mqtt_sink *mqtt_sink_of(struct sink *base)
{
    return (struct mqtt_sink *)base;
}

/* mqtt_connection.c */
void mqtt_connection_main(void *arg);
/* Asks the connection thread to end the connection, and to go on when the spool can. Any thread. */
void mqtt_connection_disconnect(struct mqtt_sink *s);

/* Makes one connection, without subscriptions: the name is looked up, and of its addresses the
 * address_index-th (counted round) is tried. ERR_IO says why in a person's words, ERR_CANCELLED: the sink is
 * being stopped. Either way mqtt_connection_end is due afterwards. ret_address may be NULL. */
int mqtt_connection_open(struct mqtt_sink *s, size_t address_index, int64_t timeout_ms,
                         char ret_address[MQTT_ADDRESS_SIZE], struct error *reterr);
/* Disconnects, and forgets the PUBACKs that are still held. */
void mqtt_connection_end(struct mqtt_sink *s);

/* mqtt_connack.c: what a CONNACK's code means; NULL for what isn't known, and for success. Static text. */
const char *mqtt_connack_words(enum mqtt_version version, int code);

/* mqtt_connect_options.c: everything of one MQTTAsync_connect; the callbacks get s as their context. */
struct mqtt_connect_options {
    MQTTAsync_connectOptions connect;
    MQTTAsync_SSLOptions ssl;
    MQTTProperties properties;
};
void mqtt_connect_options_init(struct mqtt_connect_options *o, struct mqtt_sink *s);
void mqtt_connect_options_release(struct mqtt_connect_options *o);

/* mqtt_subscribe.c: after a connect: unsubscribes filters that left the configuration, subscribes the rest,
 * waits for the answers. ERR_IO when the connection didn't last that long. */
int mqtt_subscribe_all(struct mqtt_sink *s, struct error *reterr);
/* Waits, at most timeout_ms, until the broker has processed what was sent to it: it answers in order, so it's
 * asked to UNSUBSCRIBE what isn't subscribed. A socket that is closed with something unread in it resets the
 * connection, and a broker that sees this doesn't read on. */
void mqtt_subscribe_await_broker(struct mqtt_sink *s, int64_t timeout_ms);
/* Frees what the last call left; after MQTTAsync_destroy. */
void mqtt_subscribe_forget(struct mqtt_sink *s);

/* mqtt_library.c: the last release ends paho's threads. */
void mqtt_library_acquire(void);
void mqtt_library_release(void);

/* mqtt_receive.c: paho's messageArrived; context is the mqtt_sink. */
int mqtt_message_arrived(void *context, char *topic, int topic_len, MQTTAsync_message *message);
/* The first subscription that matches, or NULL. match may be NULL. */
struct mqtt_subscription *mqtt_find_subscription(struct mqtt_sink *s, struct span topic,
                                                 struct mqtt_match *match);

/* mqtt_commit.c */
void mqtt_commit_main(void *arg);

/* mqtt_deliver.c: finds where to begin (before the thread starts), then delivers until it's told to stop. */
void mqtt_deliver_begin(struct mqtt_sink *s);
/* Trims what the store has made durable; is_final: all of it, however little that is. Any thread. */
void mqtt_deliver_acknowledge(struct mqtt_sink *s, bool is_final);
void mqtt_deliver_main(void *arg);

/* mqtt_options.c */
int mqtt_options_copy(struct mqtt_sink *s, const struct mqtt_sink_options *options, struct error *reterr);

/* mqtt_metrics.c */
void mqtt_metrics(struct sink *base, struct buffer *dst);

#endif
