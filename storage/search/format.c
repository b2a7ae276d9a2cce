/* JSON as VictoriaMetrics prints it (app/vmselect/prometheus/export.qtpl). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/search/search.h"
#include "storage/series/metric_name.h"

static void append_string(struct buffer *dst, struct item s)
{
    static const char digits[] = "0123456789abcdef";
    buffer_append_u8(dst, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c == '"' || c == '\\') {
            buffer_append_u8(dst, '\\');
            buffer_append_u8(dst, c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            buffer_append_u8(dst, '\\');
            buffer_append_u8(dst, c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        } else if (c < 0x20) {
            buffer_append_str(dst, "\\u00");
            buffer_append_u8(dst, (uint8_t)digits[c >> 4]);
            buffer_append_u8(dst, (uint8_t)digits[c & 15]);
        } else {
            buffer_append_u8(dst, c);
        }
    }
    buffer_append_u8(dst, '"');
}

int format_metric_json(struct buffer *dst, const uint8_t *name, size_t name_len, struct error *reterr)
{
    struct metric_name mn = {0};
    int r = metric_name_parse(&mn, name, name_len, reterr);
    if (r == 0) {
        buffer_append_u8(dst, '{');
        if (mn.group.len) {
            buffer_append_str(dst, "\"__name__\":");
            append_string(dst, mn.group);
        }
        for (size_t i = 0; i < mn.tags_count; i++) {
            if (i || mn.group.len)
                buffer_append_u8(dst, ',');
            append_string(dst, mn.tags[i].key);
            buffer_append_u8(dst, ':');
            append_string(dst, mn.tags[i].value);
        }
        buffer_append_u8(dst, '}');
    }
    metric_name_release(&mn);
    return r;
}

/* The fewest digits that read back as the same double. */
static void append_value(struct buffer *dst, double value)
{
    char text[40];
    if (isnan(value)) {
        buffer_append_str(dst, "null");
        return;
    }
    if (isinf(value)) {
        buffer_append_str(dst, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(text, sizeof text, "%.0f", value);
    } else {
        /* Values with fewer digits come out of 12 as they are, but for those too small to have 12. */
        for (int digits = fabs(value) < DBL_MIN ? 1 : 12; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
    }
    buffer_append_str(dst, text);
}

static void append_integer(struct buffer *dst, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    buffer_append_str(dst, text);
}

int format_export_line(struct buffer *dst, const struct series_rows *rows, struct error *reterr)
{
    size_t start = dst->len;
    buffer_append_str(dst, "{\"metric\":");
    int r = format_metric_json(dst, rows->name, rows->name_len, reterr);
    if (r < 0) {
        dst->len = start;
        return r;
    }
    buffer_append_str(dst, ",\"values\":[");
    for (size_t i = 0; i < rows->count; i++) {
        if (i)
            buffer_append_u8(dst, ',');
        append_value(dst, rows->values[i]);
    }
    buffer_append_str(dst, "],\"timestamps\":[");
    for (size_t i = 0; i < rows->count; i++) {
        if (i)
            buffer_append_u8(dst, ',');
        append_integer(dst, rows->timestamps[i]);
    }
    buffer_append_str(dst, "]}\n");
    return 0;
}
