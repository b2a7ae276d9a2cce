#include "src/reject_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/json.h"

static void append_safely(struct buffer *dst, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\\')
            buffer_append_str(dst, "\\\\");
        else if (c >= 0x20 && c < 0x7f)
            buffer_append_u8(dst, c);
        else if (c == '\n')
            buffer_append_str(dst, "\\n");
        else
            buffer_printf(dst, "\\x%02x", c);
    }
}

static void append_time(struct buffer *dst, int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    if (ms < 0 || !gmtime_r(&s, &tm)) {
        buffer_printf(dst, "%" PRId64, ms);
        return;
    }
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buffer_printf(dst, "%s.%03dZ", text, (int)(ms % 1000));
}

void reject_append_text(struct buffer *dst, const struct reject_entry *e, size_t shown_max)
{
    append_time(dst, e->time_ms);
    const struct span words[] = {e->sink, e->position, e->reason};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        buffer_append_u8(dst, ' ');
        append_safely(dst, words[i].data, words[i].len);
    }
    buffer_printf(dst, " %" PRIu64 " bytes: ", e->full_size);
    size_t shown = e->payload.len < shown_max ? e->payload.len : shown_max;
    append_safely(dst, e->payload.data, shown);
    buffer_append_str(dst, shown < e->full_size ? "...\n" : "\n");
}

static void append_base64(struct buffer *dst, const char *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)data;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t n = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < len ? p[i + 2] : 0u);
        buffer_append_u8(dst, (uint8_t)digits[n >> 18]);
        buffer_append_u8(dst, (uint8_t)digits[n >> 12 & 63]);
        buffer_append_u8(dst, i + 1 < len ? (uint8_t)digits[n >> 6 & 63] : '=');
        buffer_append_u8(dst, i + 2 < len ? (uint8_t)digits[n & 63] : '=');
    }
}

static void append_bytes(struct buffer *dst, const char *name, struct span bytes)
{
    bool utf8 = json_is_utf8(bytes.data, bytes.len);
    buffer_printf(dst, utf8 ? ",\"%s\":" : ",\"%s_base64\":\"", name);
    if (utf8) {
        json_append_string(dst, bytes.data, bytes.len);
    } else {
        append_base64(dst, bytes.data, bytes.len);
        buffer_append_u8(dst, '"');
    }
}

void reject_append_json(struct buffer *dst, const struct reject_entry *e)
{
    buffer_printf(dst, "{\"time_ms\":%" PRId64, e->time_ms);
    append_bytes(dst, "sink", e->sink);
    append_bytes(dst, "position", e->position);
    append_bytes(dst, "reason", e->reason);
    buffer_printf(dst, ",\"size\":%" PRIu64 ",\"kept\":%" PRIu32, e->full_size, e->payload.len);
    if (e->record_time_ms)
        buffer_printf(dst, ",\"record_time_ms\":%" PRId64, e->record_time_ms);
    if (e->key.len)
        append_bytes(dst, "key", e->key);
    append_bytes(dst, "payload", e->payload);
    buffer_append_str(dst, "}\n");
}
