/*
 * Where a partition starts when it's assigned, and what becomes of one whose position the broker can't serve.
 * Pure functions, so that every case stands in a table of the tests.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_START_H
#define VARVE_SINKS_KAFKA_KAFKA_START_H

#include <stdbool.h>
#include <stdint.h>

#include "sinks/kafka/kafka_owners.h"
#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_sink.h"

#define KAFKA_OFFSET_NONE INT64_C(-1001) /* librdkafka's "no offset" */

struct kafka_start_input {
    bool own_known;
    int64_t own;   /* next offset of our store */
    int64_t group; /* committed in the group, or KAFKA_OFFSET_NONE */
    enum kafka_group_owner owner;
    enum kafka_start_from start_from;
    bool appeared_later; /* the partition came into being after the sink first saw its topic */
};

/*
 * Whether the group's offset isn't to be heeded, as if it had none.
 *
 * A commit that was on its way when another cluster came up at the brokers' address: the library sends it
 * there. That cluster refuses it to members of a group, whom it doesn't know; but takes it from a sink with
 * static partitions, and would have it begin in the middle of a log that it never read. Such a commit carries
 * our metadata, though we've no position of that cluster, and isn't ahead of the one that we have of the
 * other.
 */
bool kafka_start_is_stray(bool own_known, int64_t group, enum kafka_group_owner owner, bool static_partitions,
                          int64_t next_elsewhere); /* of another cluster's partition; -1: it isn't known */

enum kafka_start_source {
    KAFKA_FROM_OWN,
    KAFKA_FROM_GROUP,
    KAFKA_FROM_EARLIEST, /* the three below are still to be asked of the broker */
    KAFKA_FROM_LATEST,
    KAFKA_FROM_TIMESTAMP,
};

struct kafka_start_decision {
    enum kafka_start_source source;
    int64_t offset;        /* of FROM_OWN and FROM_GROUP; of an ordered FROM_TIMESTAMP the time, ms */
    bool record;           /* a decision, not our own position: into the store at once */
    bool warn_group_moved; /* somebody moved the group's offset, and we don't follow */
};

struct kafka_start_decision kafka_start_decide(const struct kafka_start_input *in);

/* The same where `varve offsets reset` left an order, which counts whatever the group has. begin isn't
 * KAFKA_BEGIN_NONE. */
struct kafka_start_decision kafka_start_ordered(enum kafka_begin begin, int64_t value);

/* The broker says that an offset is out of range, and these are the watermarks. */
struct kafka_range_input {
    int64_t next;      /* our position */
    int64_t low, high; /* first offset there is; offset of the next record to come */
    enum kafka_on_topic_recreated on_topic_recreated;
    enum kafka_on_out_of_range on_out_of_range;
};

enum kafka_range_action { KAFKA_RANGE_CONTINUE, KAFKA_RANGE_RESTART, KAFKA_RANGE_HALT };

struct kafka_range_decision {
    enum kafka_range_action action;
    int64_t offset;     /* where to read on, of CONTINUE and RESTART */
    uint64_t gap;       /* records that retention took before we read them, of RESTART */
    const char *reason; /* label of varve_kafka_partition_halted: "topic_recreated" or "out_of_range" */
};

struct kafka_range_decision kafka_range_decide(const struct kafka_range_input *in);

#endif
