#include "sinks/kafka/kafka_position.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/base/crc32c.h"
#include "src/base/endian.h"

#define MARK_VERSION  1
#define MARK_LEN      21
#define ORDER_VERSION 2
#define ORDER_LEN     10

void kafka_position_key(struct buffer *dst, const char *sink, const char *cluster_id, const char *topic,
                        int32_t partition)
{
    buffer_printf(dst, "%s/kafka/%s/%s/%" PRId32, sink, cluster_id, topic, partition);
}

struct sink_position kafka_position_encode(int64_t next, const struct kafka_fingerprint *fingerprint)
{
    struct sink_position position = {.next = (uint64_t)next};
    if (fingerprint) {
        position.mark[0] = MARK_VERSION;
        put_le64(position.mark + 1, (uint64_t)fingerprint->offset);
        put_le64(position.mark + 9, (uint64_t)fingerprint->timestamp_ms);
        put_le32(position.mark + 17, fingerprint->crc);
        position.mark_len = MARK_LEN;
    }
    return position;
}

struct sink_position kafka_position_order(enum kafka_begin begin, int64_t value)
{
    struct sink_position position = {.next = begin == KAFKA_BEGIN_OFFSET ? (uint64_t)value : 0};
    position.mark[0] = ORDER_VERSION;
    position.mark[1] = (uint8_t)begin;
    put_le64(position.mark + 2, (uint64_t)value);
    position.mark_len = ORDER_LEN;
    return position;
}

enum kafka_begin kafka_position_begin(const struct sink_position *position, int64_t *ret_value)
{
    if (position->mark_len != ORDER_LEN || position->mark[0] != ORDER_VERSION || !position->mark[1] ||
        position->mark[1] > KAFKA_BEGIN_OFFSET)
        return KAFKA_BEGIN_NONE;
    *ret_value = (int64_t)get_le64(position->mark + 2);
    return (enum kafka_begin)position->mark[1];
}

/* The part up to the next slash, which is passed over; false without one. */
static bool take_part(const char **at, const char *end, struct span *ret)
{
    const char *slash = memchr(*at, '/', (size_t)(end - *at));
    if (!slash)
        return false;
    *ret = span_of(*at, (size_t)(slash - *at));
    *at = slash + 1;
    return true;
}

bool kafka_position_parse_key(const void *key, uint32_t key_len, struct kafka_key_parts *ret)
{
    const char *at = key, *end = at + key_len;
    struct kafka_key_parts k = {0};
    struct span type;
    int64_t partition = 0;
    if (!take_part(&at, end, &k.sink) || !take_part(&at, end, &type) || !take_part(&at, end, &k.cluster) ||
        !take_part(&at, end, &k.topic) || type.len != 5 || memcmp(type.data, "kafka", 5) != 0 || at == end ||
        end - at > 10)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        partition = partition * 10 + (*at - '0');
    }
    if (partition > INT32_MAX)
        return false;
    k.partition = (int32_t)partition;
    *ret = k;
    return true;
}

bool kafka_position_fingerprint(const struct sink_position *position, struct kafka_fingerprint *ret)
{
    if (position->mark_len < MARK_LEN || position->mark[0] != MARK_VERSION)
        return false;
    struct kafka_fingerprint f = {
        .offset = (int64_t)get_le64(position->mark + 1),
        .timestamp_ms = (int64_t)get_le64(position->mark + 9),
        .crc = get_le32(position->mark + 17),
    };
    if (f.offset < 0 || (uint64_t)f.offset >= position->next)
        return false;
    *ret = f;
    return true;
}

static uint32_t crc_of_field(uint32_t crc, const void *data, size_t len)
{
    uint8_t prefix[4];
    put_le32(prefix, data ? (uint32_t)len : UINT32_MAX);
    crc = crc32c(crc, prefix, sizeof prefix);
    return data && len ? crc32c(crc, data, len) : crc;
}

struct kafka_fingerprint kafka_fingerprint_of(int64_t offset, int64_t timestamp_ms, const void *key,
                                              size_t key_len, const void *payload, size_t payload_len)
{
    uint32_t crc = crc_of_field(0, key, key_len);
    crc = crc_of_field(crc, payload, payload_len);
    return (struct kafka_fingerprint){.offset = offset, .timestamp_ms = timestamp_ms, .crc = crc};
}

bool kafka_fingerprint_equal(const struct kafka_fingerprint *a, const struct kafka_fingerprint *b)
{
    return a->offset == b->offset && a->timestamp_ms == b->timestamp_ms && a->crc == b->crc;
}
