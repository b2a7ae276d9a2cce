/*
 * How a Kafka partition's position is kept in the store. Pure functions.
 *
 * Key: "SINK/kafka/CLUSTER-ID/TOPIC/PARTITION", text. None of the parts can hold a slash ([a-z0-9_-] for
 * sinks, base64url for clusters, [a-zA-Z0-9._-] for topics), so it's unambiguous and readable in `varve
 * inspect`. Value: next offset, and a mark that tells the topic's record from another topic's of the same
 * name:
 *
 *   offset  size
 *        0     1  version, 1
 *        1     8  offset of the last record consumed, little endian
 *        9     8  its timestamp in ms (-1: it has none), little endian
 *       17     4  CRC32C over length of key (le32, ~0 for none), key, length of payload (likewise), payload
 *
 * `varve offsets reset` leaves an order instead, which is carried out when the partition is next assigned:
 *
 *        0     1  version, 2
 *        1     1  enum kafka_begin
 *        2     8  time in ms or offset, little endian; 0 for the others
 *
 * Topic ids and leader epochs would do, but librdkafka has them since 2.3 and 2.1; Debian 12 has 2.0.2.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_POSITION_H
#define VARVE_SINKS_KAFKA_KAFKA_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/sink.h"
#include "src/base/buffer.h"

struct kafka_fingerprint {
    int64_t offset;
    int64_t timestamp_ms;
    uint32_t crc;
};

/* Appends the key to an empty or filled buffer. */
void kafka_position_key(struct buffer *dst, const char *sink, const char *cluster_id, const char *topic,
                        int32_t partition);

/* fingerprint may be NULL: nothing consumed yet. */
struct sink_position kafka_position_encode(int64_t next, const struct kafka_fingerprint *fingerprint);

/* Where an operator wants a partition to begin, whatever the group says. */
enum kafka_begin {
    KAFKA_BEGIN_NONE, /* no order: the position is one that was read up to */
    KAFKA_BEGIN_EARLIEST,
    KAFKA_BEGIN_LATEST,
    KAFKA_BEGIN_TIMESTAMP, /* value: ms; the first record that isn't older */
    KAFKA_BEGIN_OFFSET,    /* value: offset */
};
struct sink_position kafka_position_order(enum kafka_begin begin, int64_t value);
/* KAFKA_BEGIN_NONE for all other positions. */
enum kafka_begin kafka_position_begin(const struct sink_position *position, int64_t *ret_value);

/* A key's parts, borrowed from it. */
struct kafka_key_parts {
    struct span sink, cluster, topic;
    int32_t partition;
};
/* False if it isn't the key of a Kafka partition. */
bool kafka_position_parse_key(const void *key, uint32_t key_len, struct kafka_key_parts *ret);

/* False if the position carries no fingerprint, or one that this version can't read. */
bool kafka_position_fingerprint(const struct sink_position *position, struct kafka_fingerprint *ret);

struct kafka_fingerprint kafka_fingerprint_of(int64_t offset, int64_t timestamp_ms, const void *key,
                                              size_t key_len, const void *payload, size_t payload_len);

bool kafka_fingerprint_equal(const struct kafka_fingerprint *a, const struct kafka_fingerprint *b);

#endif
