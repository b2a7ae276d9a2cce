/*
 * What `varve offsets reset` does to a table of positions: which ones are meant, and what becomes of them.
 * No I/O.
 *
 * A store knows no broker, so "earliest" and the like are left as orders (kafka_position.h) that the sink
 * carries out when the partition is next assigned to it, whatever the group's offset is. A spool's messages
 * are numbered by us, so only a number or forgetting makes sense there: a forgotten spool is read from the
 * first message that it holds.
 */
#ifndef VARVE_SRC_OFFSETS_CHANGE_H
#define VARVE_SRC_OFFSETS_CHANGE_H

#include <stdbool.h>

#include "sinks/kafka/kafka_position.h"
#include "src/base/buffer.h"
#include "storage/commit/positions.h"

enum offsets_action {
    OFFSETS_NOTHING,
    OFFSETS_BEGIN,  /* at begin, value */
    OFFSETS_FORGET, /* as if it had never been read */
    OFFSETS_RENAME, /* to the sink of that name */
};

struct offsets_change {
    /* Which ones: all that are given must fit. NULL: any. */
    const char *sink, *cluster, *topic, *spool;
    bool all;     /* none of these is given, and that's meant */
    bool rejects; /* how far the rejects were replayed, instead of Kafka's and MQTT's positions; with topic,
                   * how far they were sent on to that one */
    const int32_t *partitions;
    size_t partitions_count; /* 0: any */

    enum offsets_action action;
    enum kafka_begin begin;
    int64_t value; /* ms or offset */
    const char *new_name;
};

/* Changes the table, and appends a line for each position changed to *said ("plant: kafka topic m partition 0
 * (cluster X): offset 17 -> forgotten"). *ret_count: how many. ERR_INVALID, with nothing changed, if one of
 * the positions meant can't be changed that way; ERR_NOT_FOUND if none is meant. */
int offsets_change_apply(const struct offsets_change *change, struct position_table *positions,
                         struct buffer *said, size_t *ret_count, struct error *reterr);

#endif
