#include "src/position_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sinks/kafka/kafka_position.h"
#include "sinks/mqtt/spool.h" /* SPOOL_ID_SIZE */
#include "src/json.h"
#include "src/reject_forward.h"
#include "src/reject_replay.h"

static void append_hex(struct buffer *dst, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        buffer_printf(dst, "%02x", data[i]);
}

/* "rejects/topic/TOPIC" */
static bool is_reject_topic(const char *key, size_t key_len, struct span *ret_topic)
{
    size_t len = strlen(REJECT_FORWARD_KEY);
    if (key_len <= len || memcmp(key, REJECT_FORWARD_KEY, len) != 0 || memchr(key + len, '/', key_len - len))
        return false;
    *ret_topic = span_of(key + len, key_len - len);
    return true;
}

/* "SINK/kafka/CLUSTER-ID/TOPIC/PARTITION", "SINK/mqtt/SPOOL-ID" or "SINK/rejects" */
struct position_key position_parse_key(const uint8_t *key, uint32_t key_len)
{
    static const char mqtt[] = "mqtt/";
    struct position_key k = {.source = POSITION_UNKNOWN};
    struct kafka_key_parts parts;
    const char *text = (const char *)key;
    if (kafka_position_parse_key(key, key_len, &parts)) {
        k = (struct position_key){POSITION_KAFKA, parts.sink, parts.cluster,
                                  parts.topic,    {0},        (uint32_t)parts.partition};
        return k;
    }
    if (is_reject_topic(text, key_len, &k.topic)) {
        k.source = POSITION_REJECT_TOPIC;
        return k;
    }
    const char *slash = key_len ? memchr(text, '/', key_len) : NULL;
    if (!slash)
        return k;
    size_t sink_len = (size_t)(slash - text), rest_len = key_len - sink_len - 1;
    const char *rest = slash + 1;
    if (rest_len == strlen(mqtt) + SPOOL_ID_SIZE - 1 && memcmp(rest, mqtt, strlen(mqtt)) == 0) {
        k.source = POSITION_MQTT;
        k.spool = span_of(rest + strlen(mqtt), SPOOL_ID_SIZE - 1);
    } else if (rest_len == strlen(REJECT_REPLAY_KEY) && memcmp(rest, REJECT_REPLAY_KEY, rest_len) == 0) {
        k.source = POSITION_REJECTS;
    } else {
        return k;
    }
    k.sink = span_of(text, sink_len);
    return k;
}

static enum kafka_begin order_of(const struct storage_position *p, int64_t *ret_value)
{
    struct sink_position s = {.next = p->next, .mark_len = p->mark_len};
    memcpy(s.mark, p->mark, sizeof s.mark);
    return kafka_position_begin(&s, ret_value);
}

static void append_time(struct buffer *dst, int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    if (ms < 0 || !gmtime_r(&s, &tm)) {
        buffer_printf(dst, "%" PRId64 " ms", ms);
        return;
    }
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buffer_append_str(dst, text);
    if (ms % 1000)
        buffer_printf(dst, ".%03d", (int)(ms % 1000));
    buffer_append_u8(dst, 'Z');
}

void position_append_where(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                           const struct storage_position *position)
{
    struct position_key k = position_parse_key(key, key_len);
    int64_t value;
    if (k.source == POSITION_MQTT) {
        buffer_printf(dst, "message %" PRIu64, position->next);
        return;
    }
    switch (k.source == POSITION_KAFKA ? order_of(position, &value) : KAFKA_BEGIN_NONE) {
    case KAFKA_BEGIN_EARLIEST:
        buffer_append_str(dst, "its earliest record");
        return;
    case KAFKA_BEGIN_LATEST:
        buffer_append_str(dst, "its end");
        return;
    case KAFKA_BEGIN_TIMESTAMP:
        buffer_append_str(dst, "its first record from ");
        append_time(dst, value);
        buffer_append_str(dst, " on");
        return;
    case KAFKA_BEGIN_OFFSET:
    case KAFKA_BEGIN_NONE:
        break;
    }
    buffer_printf(dst, "%s%" PRIu64,
                  k.source == POSITION_KAFKA     ? "offset "
                  : k.source == POSITION_UNKNOWN ? ""
                                                 : "byte ",
                  position->next);
}

#define SPAN(s) (int)(s).len, (s).data

void position_append_text(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                          const struct storage_position *position)
{
    struct position_key k = position_parse_key(key, key_len);
    switch (k.source) {
    case POSITION_KAFKA:
        buffer_printf(dst, "%.*s: kafka topic %.*s partition %" PRIu32 " at ", SPAN(k.sink), SPAN(k.topic),
                      k.partition);
        position_append_where(dst, key, key_len, position);
        buffer_printf(dst, " (cluster %.*s)", SPAN(k.cluster));
        return;
    case POSITION_MQTT:
        buffer_printf(dst, "%.*s: mqtt spool %.*s at ", SPAN(k.sink), SPAN(k.spool));
        break;
    case POSITION_REJECTS:
        buffer_printf(dst, "%.*s: rejects replayed up to ", SPAN(k.sink));
        break;
    case POSITION_REJECT_TOPIC:
        buffer_printf(dst, "rejects sent to kafka topic %.*s up to ", SPAN(k.topic));
        break;
    case POSITION_UNKNOWN:
        buffer_append_str(dst, "key ");
        append_hex(dst, key, key_len);
        buffer_append_str(dst, " at ");
        break;
    }
    position_append_where(dst, key, key_len, position);
}

static void append_member(struct buffer *dst, const char *name, struct span value)
{
    buffer_printf(dst, "\"%s\":", name);
    json_append_string(dst, value.data, value.len);
    buffer_append_u8(dst, ',');
}

void position_append_json(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                          const struct storage_position *position)
{
    static const char *const types[] = {"", "kafka", "mqtt", "rejects", "reject_topic"};
    static const char *const begins[] = {"", "earliest", "latest", "time", "offset"};
    struct position_key k = position_parse_key(key, key_len);
    int64_t value = 0;
    enum kafka_begin begin = k.source == POSITION_KAFKA ? order_of(position, &value) : KAFKA_BEGIN_NONE;
    buffer_append_u8(dst, '{');
    if (k.source == POSITION_UNKNOWN) {
        buffer_append_str(dst, "\"key_hex\":\"");
        append_hex(dst, key, key_len);
        buffer_append_str(dst, "\",");
    } else {
        append_member(dst, "key", span_of((const char *)key, key_len));
        if (k.sink.len)
            append_member(dst, "sink", k.sink);
        append_member(dst, "type", span_of(types[k.source], strlen(types[k.source])));
    }
    if (k.source == POSITION_KAFKA) {
        append_member(dst, "cluster", k.cluster);
        append_member(dst, "topic", k.topic);
        buffer_printf(dst, "\"partition\":%" PRIu32 ",", k.partition);
    } else if (k.source == POSITION_MQTT) {
        append_member(dst, "spool", k.spool);
    } else if (k.source == POSITION_REJECT_TOPIC) {
        append_member(dst, "topic", k.topic);
    }
    if (begin)
        buffer_printf(dst, "\"begin\":\"%s\",", begins[begin]);
    if (begin == KAFKA_BEGIN_TIMESTAMP)
        buffer_printf(dst, "\"begin_ms\":%" PRId64 ",", value);
    buffer_printf(dst, "\"next\":%" PRIu64 ",\"mark\":\"", position->next);
    append_hex(dst, position->mark, position->mark_len);
    buffer_append_str(dst, "\"}");
}
