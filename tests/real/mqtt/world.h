/* The real broker that traps.sh started, and sinks that read from it, for the tests of traps_*.c. */
#ifndef VARVE_TESTS_REAL_MQTT_WORLD_H
#define VARVE_TESTS_REAL_MQTT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sinks/mqtt/mqtt_sink.h"
#include "tests/doubles/batch_catcher.h"
#include "tests/unit/sinks/mqtt/faulty_spool_fs.h"

/* One store, and the sink that fills it. */
struct node {
    struct batch_catcher catcher;
    struct faulty_spool_fs fs;
    struct sink *sink;
    struct mqtt_sink_options options;
    struct mqtt_subscription_options subscriptions[4];
    char client_id[64], broker[128], spool_path[256], filters[4][128];
};

/* The value of an environment variable that traps.sh sets; ends the program if it's missing. */
const char *need(const char *name);
/* A name that no other test uses. Static buffers, 64 at a time. */
const char *unique(const char *prefix);

/* A node with one subscription of NAME/# at that QoS, a session and spool of its own; options may be changed
 * until it's started. */
void node_open(struct node *n, const char *name, int qos);
void node_subscribe(struct node *n, size_t index, const char *filter, int qos);
/* Its broker: SCHEME://HOST:PORT, with the port that an environment variable names. */
void node_set_broker(struct node *n, const char *scheme, const char *host, const char *port_variable);
void node_start(struct node *n);
/* Starts it, and waits until it has subscribed. */
void node_connect(struct node *n);
/* Commits, acknowledges, stops; ms it took. */
int64_t node_stop(struct node *n);
void node_commit(struct node *n);
void node_close(struct node *n);
/* Value of a metric of the sink. */
uint64_t node_metric(struct node *n, const char *name);
bool node_wait_metric(struct node *n, const char *name, uint64_t at_least, int64_t timeout_ms);
/* Commits and acknowledges every now and then until there are that many rows. */
bool node_wait_rows(struct node *n, size_t rows, int64_t timeout_ms);

/* Publishes PREFIXfirst .. PREFIX(end-1), padded to size, in order over one connection; waits for the
 * broker's PUBACKs. */
void publish(const char *topic, int qos, const char *prefix, size_t first, size_t end, size_t size);
/* mosquitto_pub with these arguments. */
void publish_with(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* mqtt.sh COMMAND DIR */
void broker(const char *command);

/* Each of PREFIX0 .. PREFIX(n-1) is there; returns the doubles. */
size_t assert_none_missing(struct node *n, const char *prefix, size_t count);
/* Commits and acknowledges until it's so; where messages may come twice, counting rows doesn't tell. Returns
 * the doubles. */
size_t node_wait_all(struct node *n, const char *prefix, size_t count, int64_t timeout_ms);

/* Groups that traps.sh runs side by side, but for pace_traps, where time counts. restart_traps have a broker
 * of their own. Of held_traps and unheld_traps a build has those that fit to what it does with PUBACKs. */
extern const struct CMUnitTest delivery_traps[], restart_traps[], disk_traps[], qos2_traps[], held_traps[],
    unheld_traps[], pace_traps[], network_traps[];
extern const size_t delivery_traps_count, restart_traps_count, disk_traps_count, qos2_traps_count,
    held_traps_count, unheld_traps_count, pace_traps_count, network_traps_count;

/* What a process that is to be killed does: `mqtt_traps victim NAME`. */
int victim_main(const char *name);

#endif
