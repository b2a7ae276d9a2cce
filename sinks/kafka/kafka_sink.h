/*
 * The Kafka sink: one or more consumers of a group, or of a static list of partitions, with librdkafka.
 *
 * Positions are the store's: the group's committed offsets are a hint for lag tools and for hand-over between
 * nodes, and are never ahead of what is durable here. How a partition starts: kafka_start.h. What the library
 * and the brokers really do, and what each rule of this folder is for: the tests under tests/real/kafka,
 * which are named after the traps.
 *
 * Threads: each consumer has one of its own, and only that one polls, assigns, pauses and commits. The sink's
 * own functions may be called from any thread.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_SINK_H
#define VARVE_SINKS_KAFKA_KAFKA_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/decode/decode.h"
#include "sinks/sink.h"
#include "src/base/error.h"

enum kafka_start_from { KAFKA_START_EARLIEST, KAFKA_START_LATEST, KAFKA_START_TIMESTAMP };
enum kafka_on_topic_recreated { KAFKA_RECREATED_STOP, KAFKA_RECREATED_EARLIEST };
enum kafka_on_out_of_range { KAFKA_OUT_OF_RANGE_EARLIEST, KAFKA_OUT_OF_RANGE_STOP };

struct kafka_property {
    const char *key, *value;
};

struct kafka_static_partition {
    const char *topic;
    int32_t partition;
};

/* One sink of the configuration. kafka_sink_new copies what it needs: borrowed afterwards are decoder,
 * decode.json and label_set. */
struct kafka_sink_options {
    const char *name;              /* of the sink: keys positions and metrics */
    const char *const *sink_names; /* of all sinks of the configuration, this one included; may be NULL: then
                                    * positions of removed sinks aren't told from others */
    size_t sink_names_count;
    const char *node;          /* part of the static membership's id */
    const char *brokers;       /* host:port, comma separated */
    const char *const *topics; /* names, or POSIX expressions that start with ^ */
    size_t topics_count;
    const struct kafka_static_partition *partitions; /* instead of topics */
    size_t partitions_count;
    const char *group;
    const struct decoder *decoder;
    struct decode_options decode;
    const struct label_set *label_set; /* of `labels:`; NULL for none. $1 and on: groups of the expression in
                                        * topics that a topic matches first */
    enum kafka_start_from start_from;
    int64_t start_timestamp_ms; /* with KAFKA_START_TIMESTAMP */
    enum kafka_on_topic_recreated on_topic_recreated;
    enum kafka_on_out_of_range on_out_of_range;
    bool leave_on_stop;
    bool fenced_commits;        /* kafka_fenced.c; with topics, one thread, and an eager assignor only */
    bool timestamp_from_record; /* `timestamp: record`: the payload's own timestamps don't count */
    unsigned threads;           /* at least 1 */
    uint64_t queue_size;        /* bytes fetched but not decoded, over all threads */
    uint64_t max_message_size;  /* bytes; longer messages go to the rejects */
    const struct kafka_property *properties; /* passed through to librdkafka */
    size_t properties_count;
};

/* Makes the sink; no thread runs and no broker is asked before sink->ops->start. ERR_INVALID names the option
 * or property that librdkafka refuses (an unreadable certificate, for instance). intake must outlive the
 * sink. */
int kafka_sink_new(struct sink **ret, const struct kafka_sink_options *options, struct intake *intake,
                   struct error *reterr);

/* Whether librdkafka takes these options as a whole: certificates are read, nothing is connected, no group is
 * joined. For `varve check`, also beside a running service of the same configuration. */
int kafka_options_check(const struct kafka_sink_options *options, struct error *reterr);

/* Asks the brokers for their topics, within timeout_ms, and appends to *found what there is ("1 broker; topic
 * metrics: 4 partitions"). Joins no group. ERR_IO with the library's last words if none answers. */
int kafka_connect_check(const struct kafka_sink_options *options, int64_t timeout_ms, struct buffer *found,
                        struct error *reterr);

/* Whether Varve sets that property itself; then *ret_reason says why and what to use instead (static text).
 */
bool kafka_property_owned(const char *key, const char **ret_reason);

/* Whether librdkafka knows the property and takes the value. ERR_INVALID with its words (never the value of a
 * secret), or with kafka_property_owned's reason. */
int kafka_property_check(const char *key, const char *value, struct error *reterr);

#endif
