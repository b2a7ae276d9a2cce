#include "src/position_text.h"

#include <inttypes.h>
#include <stdbool.h>

#include "src/json.h"

struct kafka_source {
    const char *sink, *cluster, *topic;
    size_t sink_len, cluster_len, topic_len;
    uint64_t partition;
};

static void append_hex(struct buffer *dst, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        buffer_printf(dst, "%02x", data[i]);
}

/* "SINK/kafka/CLUSTER-ID/TOPIC/PARTITION" */
static bool parse_kafka(struct kafka_source *ret, const uint8_t *key, uint32_t key_len)
{
    const char *parts[5], *p = (const char *)key, *end = p + key_len;
    size_t lens[5];
    for (int i = 0; i < 5; i++) {
        const char *slash = p ? memchr(p, '/', (size_t)(end - p)) : NULL;
        if (!p || (i < 4) != (slash != NULL))
            return false;
        parts[i] = p;
        lens[i] = (size_t)((slash ? slash : end) - p);
        p = slash ? slash + 1 : NULL;
    }
    if (lens[1] != 5 || memcmp(parts[1], "kafka", 5) != 0 || lens[4] == 0 || lens[4] > 10)
        return false;
    uint64_t partition = 0;
    for (size_t i = 0; i < lens[4]; i++) {
        if (parts[4][i] < '0' || parts[4][i] > '9')
            return false;
        partition = partition * 10 + (uint64_t)(parts[4][i] - '0');
    }
    *ret = (struct kafka_source){parts[0], parts[2], parts[3], lens[0], lens[2], lens[3], partition};
    return true;
}

void position_append_text(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next)
{
    struct kafka_source s;
    if (parse_kafka(&s, key, key_len)) {
        buffer_printf(dst,
                      "%.*s: kafka topic %.*s partition %" PRIu64 " at offset %" PRIu64 " (cluster %.*s)",
                      (int)s.sink_len, s.sink, (int)s.topic_len, s.topic, s.partition, next,
                      (int)s.cluster_len, s.cluster);
        return;
    }
    buffer_append_str(dst, "key ");
    append_hex(dst, key, key_len);
    buffer_printf(dst, " at %" PRIu64, next);
}

static void append_member(struct buffer *dst, const char *name, const char *value, size_t len)
{
    buffer_printf(dst, "\"%s\":", name);
    json_append_string(dst, value, len);
    buffer_append_u8(dst, ',');
}

void position_append_json(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next,
                          const uint8_t *mark, uint32_t mark_len)
{
    struct kafka_source s;
    buffer_append_u8(dst, '{');
    if (parse_kafka(&s, key, key_len)) {
        append_member(dst, "key", (const char *)key, key_len);
        append_member(dst, "sink", s.sink, s.sink_len);
        append_member(dst, "type", "kafka", 5);
        append_member(dst, "cluster", s.cluster, s.cluster_len);
        append_member(dst, "topic", s.topic, s.topic_len);
        buffer_printf(dst, "\"partition\":%" PRIu64 ",", s.partition);
    } else {
        buffer_append_str(dst, "\"key_hex\":\"");
        append_hex(dst, key, key_len);
        buffer_append_str(dst, "\",");
    }
    buffer_printf(dst, "\"next\":%" PRIu64 ",\"mark\":\"", next);
    append_hex(dst, mark, mark_len);
    buffer_append_str(dst, "\"}");
}
