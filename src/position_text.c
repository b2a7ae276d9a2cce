#include "src/position_text.h"

#include <inttypes.h>
#include <stdbool.h>

#include "sinks/mqtt/spool.h" /* SPOOL_ID_SIZE */
#include "src/json.h"

/* A key's parts, which borrow from it. */
struct source {
    enum { SOURCE_UNKNOWN, SOURCE_KAFKA, SOURCE_MQTT } type;
    struct word {
        const char *data;
        size_t len;
    } sink, cluster, topic, spool;
    uint64_t partition;
};

#define PARTS_MAX 5

static void append_hex(struct buffer *dst, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        buffer_printf(dst, "%02x", data[i]);
}

/* Between slashes; more than PARTS_MAX count as PARTS_MAX + 1. */
static size_t split(struct word *parts, const char *key, size_t key_len)
{
    const char *end = key + key_len;
    for (size_t n = 0; n < PARTS_MAX; n++) {
        const char *slash = key < end ? memchr(key, '/', (size_t)(end - key)) : NULL;
        parts[n] = (struct word){key, (size_t)((slash ? slash : end) - key)};
        if (!slash)
            return n + 1;
        key = slash + 1;
    }
    return PARTS_MAX + 1;
}

static bool is_word(const struct word *w, const char *text)
{
    return w->len == strlen(text) && memcmp(w->data, text, w->len) == 0;
}

static bool parse_partition(uint64_t *ret, const struct word *w)
{
    *ret = 0;
    for (size_t i = 0; i < w->len; i++) {
        if (w->data[i] < '0' || w->data[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(w->data[i] - '0');
    }
    return w->len > 0 && w->len <= 10;
}

/* "SINK/kafka/CLUSTER-ID/TOPIC/PARTITION" or "SINK/mqtt/SPOOL-ID" */
static struct source parse(const uint8_t *key, uint32_t key_len)
{
    struct source s = {.type = SOURCE_UNKNOWN};
    struct word parts[PARTS_MAX];
    size_t count = split(parts, (const char *)key, key_len);
    if (count == 5 && is_word(&parts[1], "kafka") && parse_partition(&s.partition, &parts[4])) {
        s.type = SOURCE_KAFKA;
        s.cluster = parts[2];
        s.topic = parts[3];
    } else if (count == 3 && is_word(&parts[1], "mqtt") && parts[2].len == SPOOL_ID_SIZE - 1) {
        s.type = SOURCE_MQTT;
        s.spool = parts[2];
    }
    s.sink = parts[0];
    return s;
}

#define WORD(w) (int)(w).len, (w).data

void position_append_text(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next)
{
    struct source s = parse(key, key_len);
    switch (s.type) {
    case SOURCE_KAFKA:
        buffer_printf(dst,
                      "%.*s: kafka topic %.*s partition %" PRIu64 " at offset %" PRIu64 " (cluster %.*s)",
                      WORD(s.sink), WORD(s.topic), s.partition, next, WORD(s.cluster));
        return;
    case SOURCE_MQTT:
        buffer_printf(dst, "%.*s: mqtt spool %.*s at message %" PRIu64, WORD(s.sink), WORD(s.spool), next);
        return;
    case SOURCE_UNKNOWN:
        break;
    }
    buffer_append_str(dst, "key ");
    append_hex(dst, key, key_len);
    buffer_printf(dst, " at %" PRIu64, next);
}

static void append_member(struct buffer *dst, const char *name, struct word value)
{
    buffer_printf(dst, "\"%s\":", name);
    json_append_string(dst, value.data, value.len);
    buffer_append_u8(dst, ',');
}

void position_append_json(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next,
                          const uint8_t *mark, uint32_t mark_len)
{
    struct source s = parse(key, key_len);
    buffer_append_u8(dst, '{');
    if (s.type == SOURCE_UNKNOWN) {
        buffer_append_str(dst, "\"key_hex\":\"");
        append_hex(dst, key, key_len);
        buffer_append_str(dst, "\",");
    } else {
        append_member(dst, "key", (struct word){(const char *)key, key_len});
        append_member(dst, "sink", s.sink);
    }
    if (s.type == SOURCE_KAFKA) {
        append_member(dst, "type", (struct word){"kafka", 5});
        append_member(dst, "cluster", s.cluster);
        append_member(dst, "topic", s.topic);
        buffer_printf(dst, "\"partition\":%" PRIu64 ",", s.partition);
    } else if (s.type == SOURCE_MQTT) {
        append_member(dst, "type", (struct word){"mqtt", 4});
        append_member(dst, "spool", s.spool);
    }
    buffer_printf(dst, "\"next\":%" PRIu64 ",\"mark\":\"", next);
    append_hex(dst, mark, mark_len);
    buffer_append_str(dst, "\"}");
}
