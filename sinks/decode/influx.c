/*
 * Influx line protocol, as VictoriaMetrics v1.151.0 understands it on POST /write with default flags
 * (lib/protoparser/influx/parser.go, .../stream/streamparser.go, app/vminsert/influx/request_handler.go):
 *
 *   measurement[,tag=value...] field=value[,field=value...] [timestamp]
 *
 * - Lines end with \n, of which one \r before it is part; empty lines and lines that start with # are
 * skipped.
 * - Separators are single bytes; one that stands after an odd number of backslashes is text. Of fields,
 * commas and spaces between double quotes are text, too. Space may repeat before the fields and before the
 * timestamp.
 * - \ before a space, a comma, an equals sign or a backslash goes away in measurement, tags and field keys.
 * - A tag without "=" makes the line bad; one with an empty key or value is left out.
 * - Values: integers with i or u (bad if they aren't, or out of range), the booleans t T true True TRUE f F
 * false False FALSE, and what fastfloat.ParseBestEffort makes of the rest; inside quotes only the latter.
 * Text is 0.
 * - The name is measurement_field, or the field alone without measurement. Labels: tags in order, then
 * __name__; of equal ones the last counts (storage's business), so a tag __name__ has no effect.
 * - Timestamps of 0 or none are the record's own. Others are nanoseconds, microseconds, milliseconds or
 * seconds by size: from 10^17, 10^14, 10^11 on, or below (negative ones are seconds). Fractions of
 * milliseconds are cut off.
 *
 * Deliberate differences:
 * - A bad line costs itself only, as VictoriaMetrics has it with the header "Stream-Mode: 1"; without, it
 * refuses the whole request. A message of bad lines only is rejected as a whole.
 * - A timestamp that overflows 64 bits when it's brought to milliseconds comes out as the same wrong number,
 * except -2^63, which is TIMESTAMP_NONE here: it becomes -2^63 + 1, outside of all retention all the same.
 *
 * The fast way through a field takes 16 bytes at a time for the key and scans a plain number (number.h);
 * whatever has escapes, quotes or another value takes decode_field_slowly, that field alone: between fields
 * no state is carried.
 */
#include "sinks/decode/influx.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "sinks/decode/number.h"
#include "src/base/alloc.h"
#include "src/base/error.h"

#define REASON_NO_FIELDS   "missing_fields"
#define REASON_TAG_VALUE   "missing_tag_value"
#define REASON_FIELD_VALUE "missing_field_value"
#define REASON_FIELD_KEY   "empty_field_key"
#define REASON_QUOTE       "missing_closing_quote"
#define REASON_INTEGER     "bad_integer"
#define REASON_TIMESTAMP   "bad_timestamp"

struct decoding {
    struct sample_batch *batch;
    enum time_precision precision;
    const char *limit; /* end of the payload: bytes before it may be looked at */
};

static bool is_special(char c)
{
    return c == '=' || c == ',' || c == ' ' || c == '\\' || c == '"';
}

#if defined(__SSE2__)
/* Bit n: byte n is c. */
static inline unsigned mask_of(__m128i bytes, char c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

/* Bit n: byte n is special. */
static inline unsigned special_mask(__m128i bytes)
{
    __m128i equals = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('='));
    __m128i comma = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(','));
    __m128i space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
    __m128i escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i separator = _mm_or_si128(_mm_or_si128(equals, comma), space);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(separator, _mm_or_si128(escape, quote)));
}
#endif

/* The first special byte of [p, end), or end. */
static inline const char *find_special(const char *p, const char *end, const char *limit)
{
#if defined(__SSE2__)
    for (; p < end && limit - p >= 16; p += 16) {
        unsigned mask = special_mask(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (mask) {
            p += __builtin_ctz(mask);
            return p < end ? p : end;
        }
    }
#else
    (void)limit;
#endif
    while (p < end && !is_special(*p))
        p++;
    return p < end ? p : end;
}

/* Measurement and tags: finds the space that ends them and checks that each tag has its "=". */
static const char *scan_series_key(const char *p, const char *end, const char *limit, const char **ret_space)
{
    bool complete = true; /* it's the measurement, or a tag that has its "=" */
#if defined(__SSE2__)
    while (p < end && limit - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned equals = mask_of(bytes, '=');
        unsigned stops = mask_of(bytes, ',') | mask_of(bytes, ' ') | mask_of(bytes, '\\');
        const char *next = p + 16;
        for (; stops; stops &= stops - 1) {
            unsigned i = (unsigned)__builtin_ctz(stops);
            if (p + i >= end)
                return REASON_NO_FIELDS;
            complete |= (equals & ((1U << i) - 1)) != 0;
            equals &= ~0U << i;
            if (p[i] == '\\') {
                next = p + i + 2; /* the next byte is text, be it a backslash */
                equals = 0;
                break;
            }
            if (!complete)
                return REASON_TAG_VALUE;
            if (p[i] == ' ') {
                *ret_space = p + i;
                return NULL;
            }
            complete = false;
        }
        complete |= equals != 0;
        p = next;
    }
#else
    (void)limit;
#endif
    for (; p < end; p++) {
        if (*p == '=') {
            complete = true;
        } else if (*p == '\\') {
            p++;
        } else if (*p == ',' || *p == ' ') {
            if (!complete)
                return REASON_TAG_VALUE;
            if (*p == ' ') {
                *ret_space = p;
                return NULL;
            }
            complete = false;
        }
    }
    return REASON_NO_FIELDS;
}

static bool is_true(const char *text, size_t len)
{
    if (*text != 't' && *text != 'T')
        return false;
    return len == 1 || (len == 4 && (memcmp(text, "true", 4) == 0 || memcmp(text, "True", 4) == 0 ||
                                     memcmp(text, "TRUE", 4) == 0));
}

/* parseFieldValue. *ret_nan: it's a number that can't be stored. */
static const char *parse_value(const char *text, size_t len, struct decimal *ret, bool *ret_nan)
{
    *ret_nan = false;
    if (!len)
        return REASON_FIELD_VALUE;
    if (*text == '"') {
        if (len < 2 || text[len - 1] != '"')
            return REASON_QUOTE;
        *ret_nan = !number_parse_decimal(text + 1, len - 2, ret);
        return NULL;
    }
    if (text[len - 1] == 'i') {
        int64_t n;
        if (!number_parse_int64(text, len - 1, &n))
            return REASON_INTEGER;
        *ret = number_decimal_from_int64(n);
    } else if (text[len - 1] == 'u') {
        uint64_t n;
        if (!number_parse_uint64(text, len - 1, &n))
            return REASON_INTEGER;
        *ret = number_decimal_from_uint64(n);
    } else if (is_true(text, len)) {
        *ret = (struct decimal){1, 0};
    } else {
        *ret_nan = !number_parse_decimal(text, len, ret); /* false is 0, like any other text */
    }
    return NULL;
}

static inline void add_sample(struct sample_batch *batch, const char *key, const char *key_end,
                              struct decimal value)
{
    if (batch->samples_count == batch->samples_capacity)
        GROW(batch->samples, batch->samples_count, batch->samples_capacity);
    struct sample *s = &batch->samples[batch->samples_count++];
    s->field = span_of(key, (size_t)(key_end - key));
    s->value = value;
}

/* One field of any kind; *p moves to the comma or space after it, or to end. */
static const char *decode_field_slowly(struct decoding *d, const char **p, const char *end)
{
    const char *key = *p, *equals = NULL, *q = key;
    bool quoted = false;
    for (; q < end; q++) {
        if (*q == '\\')
            q++;
        else if (*q == '"')
            quoted = !quoted;
        else if (*q == '=' && !equals)
            equals = q;
        else if (!quoted && (*q == ',' || *q == ' '))
            break;
    }
    q = q < end ? q : end;
    *p = q;
    if (!equals)
        return REASON_FIELD_VALUE;
    if (equals == key)
        return REASON_FIELD_KEY;
    struct decimal value;
    bool nan;
    const char *reason = parse_value(equals + 1, (size_t)(q - equals - 1), &value, &nan);
    if (reason)
        return reason;
    if (nan)
        d->batch->dropped_nan++;
    else
        add_sample(d->batch, key, equals, value);
    return NULL;
}

static inline bool ends_value(const char *p, const char *end)
{
    return p == end || *p == ',' || *p == ' ';
}

/* A field key and a plain number without escapes and quotes: returns what follows it, or NULL if it's another
 * kind. */
static inline const char *decode_field(struct decoding *d, const char *key, const char *end)
{
    const char *equals = find_special(key, end, d->limit);
    if (equals == end || *equals != '=' || equals == key)
        return NULL;
    const char *text = equals + 1;
    struct number_scan number;
    number_scan(text, d->limit, &number);
    const char *next = number.end;
    if (next) {
        if (ends_value(next, end)) {
            add_sample(d->batch, key, equals, number.value);
            return next;
        }
        /* 18 digits fit; others have their range checked by parse_value. */
        if (number.is_integer && next - text <= 18 &&
            (*next == 'i' || (*next == 'u' && !number.is_negative)) && ends_value(next + 1, end)) {
            add_sample(d->batch, key, equals, number.value);
            return next + 1;
        }
    }
    next = find_special(text, end, d->limit);
    struct decimal value;
    bool nan;
    if (!ends_value(next, end) || parse_value(text, (size_t)(next - text), &value, &nan) || nan)
        return NULL;
    add_sample(d->batch, key, equals, value);
    return next;
}

/* detectTimestamp and its kin. Overflow wraps as in Go. */
static int64_t timestamp_to_ms(int64_t t, enum time_precision precision)
{
    if (t == 0)
        return TIMESTAMP_NONE;
    if (precision == PRECISION_AUTO)
        precision = t >= INT64_C(100000000000000000) ? PRECISION_NS
                    : t >= INT64_C(100000000000000)  ? PRECISION_US
                    : t >= INT64_C(100000000000)     ? PRECISION_MS
                                                     : PRECISION_S;
    switch (precision) {
    case PRECISION_NS:
        return t / 1000000;
    case PRECISION_US:
        return t / 1000;
    case PRECISION_S:
        t = (int64_t)((uint64_t)t * 1000);
        break;
    default:
        break;
    }
    return t == TIMESTAMP_NONE ? t + 1 : t;
}

static const char *skip_spaces(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    return p;
}

/* Adds a group with the samples of one line, or nothing and returns why. */
static const char *decode_line(struct decoding *d, const char *line, const char *end)
{
    struct sample_batch *batch = d->batch;
    size_t first = batch->samples_count;
    const char *space, *p;
    const char *reason = scan_series_key(line, end, d->limit, &space);
    if (reason)
        return reason;
    for (p = skip_spaces(space + 1, end);; p++) {
        const char *next = decode_field(d, p, end);
        if (next)
            p = next;
        else if ((reason = decode_field_slowly(d, &p, end)))
            return reason;
        if (p == end || *p == ' ')
            break;
    }
    int64_t timestamp = 0;
    p = skip_spaces(p, end);
    if (p < end && !number_parse_int64(p, (size_t)(end - p), &timestamp))
        return REASON_TIMESTAMP;
    if (batch->samples_count == first)
        return NULL; /* NaN only */

    timestamp = timestamp_to_ms(timestamp, d->precision);
    for (size_t i = first; i < batch->samples_count; i++)
        batch->samples[i].timestamp_ms = timestamp;
    if (batch->groups_count == batch->groups_capacity)
        GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){
        .key = span_of(line, (size_t)(space - line)),
        .first_sample = first,
        .samples_count = batch->samples_count - first,
    };
    return NULL;
}

static void add_bad_line(struct sample_batch *batch, const char *line, const char *end, uint32_t number,
                         const char *reason)
{
    GROW(batch->bad_lines, batch->bad_lines_count, batch->bad_lines_capacity);
    batch->bad_lines[batch->bad_lines_count++] = (struct bad_line){
        .line = span_of(line, (size_t)(end - line)),
        .line_number = number,
        .reason = reason,
    };
}

enum decode_result influx_decode(const struct decode_options *options, struct span payload,
                                 struct sample_batch *batch, const char **ret_reason)
{
    struct decoding d = {
        .batch = batch,
        .precision = options->precision,
        .limit = payload.data + payload.len,
    };
    bool any_good = false;
    uint32_t line_number = 1;
    const char *next;
    for (const char *line = payload.data; line < d.limit; line = next, line_number++) {
        const char *newline = memchr(line, '\n', (size_t)(d.limit - line));
        const char *end = newline ? newline : d.limit;
        next = newline ? newline + 1 : d.limit;
        if (end > line && end[-1] == '\r')
            end--;
        if (end == line || *line == '#')
            continue;
        size_t samples = batch->samples_count;
        uint64_t dropped_nan = batch->dropped_nan;
        const char *reason = decode_line(&d, line, end);
        if (!reason) {
            any_good = true;
            continue;
        }
        batch->samples_count = samples;
        batch->dropped_nan = dropped_nan;
        add_bad_line(batch, line, end, line_number, reason);
    }
    if (batch->bad_lines_count && !any_good) {
        *ret_reason = batch->bad_lines[0].reason;
        sample_batch_clear(batch);
        return DECODE_REJECT;
    }
    return DECODE_OK;
}

/* The first c of [p, end) that isn't escaped, or end. */
static const char *find_unescaped(const char *p, const char *end, char c)
{
    for (; p < end && *p != c; p++)
        if (*p == '\\')
            p++;
    return p < end ? p : end;
}

/* Appends text without its escapes; dst has room for all of it. A backslash before another byte, or at the
 * end, stays. */
static void append_unescaped(struct buffer *dst, struct span text)
{
    uint8_t *out = dst->data + dst->len;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\\' && i + 1 < text.len) {
            char c = text.data[++i];
            if (c != ' ' && c != ',' && c != '=' && c != '\\')
                *out++ = '\\';
        }
        *out++ = (uint8_t)text.data[i];
    }
    dst->len = (size_t)(out - dst->data);
}

/* text itself if it has no escapes, else a copy in scratch. */
static struct span unescape(struct buffer *scratch, struct span text)
{
    if (!text.len || !memchr(text.data, '\\', text.len))
        return text;
    size_t start = scratch->len;
    append_unescaped(scratch, text);
    return span_of((const char *)scratch->data + start, scratch->len - start);
}

int influx_labels(struct span key, struct span field, struct label_list *ret_labels, const char **ret_reason)
{
    struct buffer *scratch = &ret_labels->scratch;
    label_list_clear(ret_labels);
    /* Twice the measurement's or key's bytes can't be needed: each byte is written once. So scratch won't
     * move. */
    buffer_reserve(scratch, (size_t)key.len + field.len + 1);

    const char *end = key.data + key.len;
    const char *p = find_unescaped(key.data, end, ',');
    struct span measurement = span_of(key.data, (size_t)(p - key.data));
    while (p < end) {
        const char *tag = p + 1;
        p = find_unescaped(tag, end, ',');
        const char *equals = find_unescaped(tag, p, '=');
        if (equals == p) {
            *ret_reason = REASON_TAG_VALUE;
            return ERR_INVALID;
        }
        struct span name = unescape(scratch, span_of(tag, (size_t)(equals - tag)));
        struct span value = unescape(scratch, span_of(equals + 1, (size_t)(p - equals - 1)));
        if (name.len && value.len)
            label_list_add(ret_labels, name, value);
    }

    size_t start = scratch->len;
    if (measurement.len) {
        append_unescaped(scratch, measurement);
        scratch->data[scratch->len++] = '_';
    }
    append_unescaped(scratch, field);
    label_list_add(ret_labels, span_of("__name__", 8),
                   span_of((const char *)scratch->data + start, scratch->len - start));
    return 0;
}
