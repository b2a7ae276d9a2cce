/* The real Kafka that traps.sh started, and nodes that read from it, for the tests of traps_*.c. */
#ifndef VARVE_TESTS_REAL_KAFKA_WORLD_H
#define VARVE_TESTS_REAL_KAFKA_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sinks/kafka/kafka_sink.h"
#include "tests/doubles/batch_catcher.h"

/* One store and the sink that fills it. */
struct node {
    struct batch_catcher catcher;
    struct sink *sink;
    const char *name;
};

struct node_options {
    const char *topic;
    const char *brokers; /* default: where the broker is now */
    const char *group;
    enum kafka_start_from start_from;
    enum kafka_on_topic_recreated on_topic_recreated;
    enum kafka_on_out_of_range on_out_of_range;
    bool leave_on_stop, statically;
    unsigned threads;
    const char *session_timeout_ms; /* default 6000 */
    const char *assignor;
    const char *metadata_refresh_ms; /* default 1000 */
};

/* A name that no other test uses. Static buffers, 64 at a time. */
const char *unique(const char *prefix);
/* Runs `kt BROKERS ...`; fails the test if it does. */
void kt(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kt_create(const char *topic, int partitions, const char *settings);
/* Publishes PREFIXfirst .. PREFIX(end-1), in turn over the partitions, or all to one that isn't -1. */
void publish(const char *topic, const char *prefix, size_t first, size_t end, int partition);
void publish_one(const char *topic, int partition, const void *payload, size_t len);
/* kafka.sh COMMAND DIR ... */
void kafka_sh(const char *command, const char *args);
/* Stops the broker and starts it, with what it has, on its other port, where the tests find it from then on.
 */
void kafka_move(void);
/* Kills the broker, and starts one of another cluster at its address, with nothing in it. */
void kafka_replace(void);
/* Another cluster of two brokers, which the tests use from then on; the one before is killed. Once. */
void kafka_two_brokers(void);
/* The broker that leads a partition, 0 for none. */
int leader_of(const char *topic, int partition);
/* A signal for the broker's process. */
void broker_signal(int signal);
/* Offset and metadata committed in the group; -1001 for none. */
int64_t committed(const char *group, const char *topic, int partition, char *metadata, size_t size);
/* Commits in a group that has no members. */
void commit_with(const char *group, const char *topic, int partition, int64_t offset, const char *metadata);

/* Until varve_kafka_lag of partition 0 is 0; fails the test if it doesn't come to that. */
void node_wait_no_lag(struct node *n, const char *topic);
void node_open(struct node *n, const char *name);
void node_start(struct node *n, const struct node_options *options);
/* Commits, acknowledges, stops; returns how long that took, ms. */
int64_t node_stop(struct node *n);
/* Stops without a commit, and loses what wasn't durable. */
void node_crash(struct node *n);
void node_close(struct node *n);
void node_commit(struct node *n);
bool node_has_metric(struct node *n, const char *text);
bool node_wait_metric(struct node *n, const char *text, int64_t timeout_ms);
int node_assigned(struct node *n);
bool node_wait_assigned(struct node *n, int count, int64_t timeout_ms);

/* Over all nodes, each of PREFIX0 .. PREFIX(n-1) exactly once. */
void assert_exactly_once(struct node *const *nodes, size_t nodes_count, const char *prefix, size_t n);

extern const struct CMUnitTest group_traps[], record_traps[], position_traps[], cluster_traps[];
extern const size_t group_traps_count, record_traps_count, position_traps_count, cluster_traps_count;

#endif
