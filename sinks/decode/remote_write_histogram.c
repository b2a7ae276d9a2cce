/*
 * Native histograms of remote write as VictoriaMetrics v1.151.0 stores them
 * (lib/prompb/write_request_unmarshaler.go, unmarshalHistogram and what it calls): for each of a series named
 * N, the series N_count, N_sum, and N_bucket for each bucket that isn't empty, with the label
 * vmrange="LOWER...UPPER" after the others.
 *
 *   Histogram  { uint64 count_int = 1; double count_float = 2; double sum = 3; sint32 schema = 4;
 *                double zero_threshold = 5; uint64 zero_count_int = 6; double zero_count_float = 7;
 *                repeated BucketSpan negative_spans = 8; repeated sint64 negative_deltas = 9;
 *                repeated double negative_counts = 10; the same for positive ones: 11, 12, 13; int64
 * timestamp = 15; } BucketSpan { sint32 offset = 1; uint32 length = 2; }
 *
 * - A bucket's upper bound is base^index, its lower bound that divided by base; base = 2^(2^-schema). Counts
 * are absolute, or sums of deltas if there are none. A histogram without __name__ is left out.
 *
 * Deliberate difference: series with a schema outside of -4...8 (Prometheus has one such, -53: buckets with
 * bounds of their own) are bad lines, numbered by their place in the request; stock's series of them have
 * bounds such as NaN...+Inf.
 */
#include <stdio.h>
#include <string.h>

#include "sinks/decode/remote_write_internal.h"

#define SCHEMA_MIN (-4)
#define SCHEMA_MAX 8

/* A key is its series' labels, and at most that much more: a suffix, longer lengths, the label vmrange. */
#define KEY_EXTRA 96
/* "-1.000e-308...-1.000e-308", or the like. */
#define VMRANGE_MAX 48

#define REASON_LARGE  "unpacked_too_large"
#define REASON_SCHEMA "histogram_schema"

enum { NEGATIVE = 8, POSITIVE = 11 };       /* the first of three fields */
enum { SPANS = 0, DELTAS = 1, COUNTS = 2 }; /* to be added to these */

/* As Go's math.Pow(2, math.Pow(2, -schema)) has them, from schema -4 on: Go's aren't correctly rounded
 * always. */
static const double bases[SCHEMA_MAX - SCHEMA_MIN + 1] = {
    0x1p+16,
    0x1p+8,
    0x1p+4,
    0x1p+2,
    0x1p+1,
    0x1.6a09e667f3bcdp+0,
    0x1.306fe0a31b715p+0,
    0x1.172b83c7d517bp+0,
    0x1.0b5586cf9890fp+0,
    0x1.059b0d3158574p+0,
    0x1.02c9a3e778061p+0,
    0x1.0163da9fb3335p+0,
    0x1.00b1afa5abcbfp+0,
};

/* Go's math.Pow for a base above 1: its roundings decide how a bound is printed. */
static double pow_as_go(double base, int32_t n)
{
    if (n == 0)
        return 1;
    if (n == 1)
        return base;
    int x_exponent, exponent = 0;
    double result = 1, x = frexp(base, &x_exponent);
    for (int64_t i = n < 0 ? -(int64_t)n : n; i; i >>= 1) {
        if (x_exponent < -(1 << 12) || x_exponent > 1 << 12) {
            exponent += x_exponent;
            break;
        }
        if (i & 1) {
            result *= x;
            exponent += x_exponent;
        }
        x *= x;
        x_exponent *= 2;
        if (x < 0.5) {
            x += x;
            x_exponent--;
        }
    }
    return n < 0 ? ldexp(1 / result, -exponent) : ldexp(result, exponent);
}

static int64_t zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* --- reading --- */

struct histogram {
    double count, sum, zero_threshold, zero_count;
    int32_t schema;
    int64_t timestamp_ms;
};

struct bucket_span {
    int32_t offset;
    uint32_t length;
};

static double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool read_span(struct protobuf_bytes message, struct bucket_span *ret)
{
    struct protobuf_field f;
    *ret = (struct bucket_span){0, 0};
    while (message.p < message.end) {
        if (!protobuf_read_field(&message, &f))
            return false;
        if (f.number != 1 && f.number != 2)
            continue;
        if (f.wire != PROTOBUF_VARINT || f.value > UINT32_MAX)
            return false;
        if (f.number == 1)
            ret->offset = (int32_t)zigzag(f.value);
        else
            ret->length = (uint32_t)f.value;
    }
    return true;
}

/* A field of spans, deltas or counts: well-formed? */
static bool check_repeated(const struct protobuf_field *f)
{
    unsigned kind = (f->number - NEGATIVE) % 3;
    struct protobuf_bytes data = f->data;
    struct bucket_span span;
    uint64_t v;
    if (kind == SPANS)
        return f->wire == PROTOBUF_LEN && read_span(data, &span);
    if (f->wire == (kind == DELTAS ? PROTOBUF_VARINT : PROTOBUF_I64))
        return true;
    if (f->wire != PROTOBUF_LEN)
        return false;
    if (kind == COUNTS)
        return (data.end - data.p) % 8 == 0;
    while (data.p < data.end)
        if (!protobuf_read_varint(&data, &v))
            return false;
    return true;
}

static bool read_histogram(struct protobuf_bytes message, struct histogram *ret)
{
    struct protobuf_field f;
    uint64_t count_int = 0, zero_count_int = 0;
    bool count_is_float = false, zero_count_is_float = false;
    *ret = (struct histogram){0};
    while (message.p < message.end) {
        if (!protobuf_read_field(&message, &f))
            return false;
        bool is_integer = f.number == 1 || f.number == 4 || f.number == 6 || f.number == 15;
        bool is_float = f.number == 2 || f.number == 3 || f.number == 5 || f.number == 7;
        if ((is_integer && f.wire != PROTOBUF_VARINT) || (is_float && f.wire != PROTOBUF_I64) ||
            (f.number == 4 && f.value > UINT32_MAX) ||
            (f.number >= NEGATIVE && f.number <= POSITIVE + COUNTS && !check_repeated(&f)))
            return false;
        switch (f.number) {
        case 1:
            count_int = f.value;
            break;
        case 2:
            ret->count = as_double(f.value);
            count_is_float = true;
            break;
        case 3:
            ret->sum = as_double(f.value);
            break;
        case 4:
            ret->schema = (int32_t)zigzag(f.value);
            break;
        case 5:
            ret->zero_threshold = as_double(f.value);
            break;
        case 6:
            zero_count_int = f.value;
            break;
        case 7:
            ret->zero_count = as_double(f.value);
            zero_count_is_float = true;
            break;
        case 15:
            ret->timestamp_ms = (int64_t)f.value;
            break;
        default:
            break;
        }
    }
    if (!count_is_float)
        ret->count = (double)count_int;
    if (!zero_count_is_float)
        ret->zero_count = (double)zero_count_int;
    return true;
}

bool remote_write_check_histogram(struct protobuf_bytes message)
{
    struct histogram h;
    return read_histogram(message, &h);
}

/* The items of a repeated field, packed or not, one after another. */
struct cursor {
    struct protobuf_bytes message, packed;
    uint32_t number;
};

static struct cursor cursor_of(struct protobuf_bytes message, uint32_t number)
{
    return (struct cursor){message, {NULL, NULL}, number};
}

/* The next field of that number; false at the end. */
static bool next_field(struct cursor *c, struct protobuf_field *ret)
{
    while (c->message.p < c->message.end)
        if (!protobuf_read_field(&c->message, ret))
            return false;
        else if (ret->number == c->number)
            return true;
    return false;
}

static bool next_number(struct cursor *c, bool is_double, uint64_t *ret)
{
    struct protobuf_field f;
    while (c->packed.p == c->packed.end) {
        if (!next_field(c, &f))
            return false;
        if (f.wire != PROTOBUF_LEN) {
            *ret = f.value;
            return true;
        }
        c->packed = f.data;
    }
    if (!is_double)
        return protobuf_read_varint(&c->packed, ret);
    *ret = get_le64(c->packed.p);
    c->packed.p += 8;
    return true;
}

/* --- series --- */

struct expansion {
    struct sample_batch *batch;
    struct protobuf_bytes series; /* the TimeSeries */
    uint32_t series_number;       /* from 1 */
    struct protobuf_bytes labels; /* its label fields, together; only when keys are made */
    size_t labels_len;
    int64_t timestamp_ms;
    uint8_t *out; /* where the next key goes; NULL: keys are only counted */
    size_t bytes; /* that keys may take */
};

static uint8_t *put_varint(uint8_t *out, size_t v)
{
    for (; v >= 0x80; v >>= 7)
        *out++ = (uint8_t)(v | 0x80);
    *out++ = (uint8_t)v;
    return out;
}

static uint8_t *put_bytes(uint8_t *out, uint8_t tag, const void *data, size_t len)
{
    *out++ = tag;
    out = put_varint(out, len);
    memcpy(out, data, len);
    return out + len;
}

static size_t varint_len(size_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* A label of the series' own making: value and suffix make its value. */
static uint8_t *put_label(uint8_t *out, const char *name, struct span value, const char *suffix)
{
    size_t name_len = strlen(name), suffix_len = strlen(suffix), value_len = value.len + suffix_len;
    *out++ = TAG(SERIES_LABEL, PROTOBUF_LEN);
    out = put_varint(out, 3 + name_len + varint_len(value_len) + value_len);
    out = put_bytes(out, TAG(LABEL_NAME, PROTOBUF_LEN), name, name_len);
    *out++ = TAG(LABEL_VALUE, PROTOBUF_LEN);
    out = put_varint(out, value_len);
    memcpy(out, value.data, value.len);
    memcpy(out + value.len, suffix, suffix_len);
    return out + value_len;
}

static bool is_name(struct span name)
{
    return name.len == 8 && memcmp(name.data, "__name__", 8) == 0;
}

static void add_series(struct expansion *e, const char *suffix, const char *vmrange, double value)
{
    if (!e->out) {
        e->bytes += e->labels_len + KEY_EXTRA;
        return;
    }
    struct protobuf_bytes labels = e->labels;
    uint8_t *key = e->out;
    bool named = false;
    while (labels.p < labels.end) {
        const uint8_t *start = labels.p;
        struct protobuf_field f;
        struct span name, text;
        if (!protobuf_read_field(&labels, &f) || !remote_write_read_label(f.data, &name, &text))
            return;
        if (!named && is_name(name)) {
            named = true;
            e->out = put_label(e->out, "__name__", text, suffix);
        } else {
            memcpy(e->out, start, (size_t)(labels.p - start));
            e->out += labels.p - start;
        }
    }
    if (vmrange)
        e->out = put_label(e->out, "vmrange", span_of(vmrange, strlen(vmrange)), "");
    size_t first = e->batch->samples_count;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    remote_write_add_sample(e->batch, bits, e->timestamp_ms);
    remote_write_add_group(e->batch, key, (size_t)(e->out - key), first);
}

static void format_bound(char *dst, size_t size, double bound)
{
    if (isinf(bound))
        snprintf(dst, size, bound < 0 ? "-Inf" : "+Inf");
    else
        snprintf(dst, size, isnan(bound) ? "NaN" : "%.3e", bound);
}

static void add_bucket(struct expansion *e, double lower, double upper, double count)
{
    char vmrange[VMRANGE_MAX], from[VMRANGE_MAX / 2 - 4], to[VMRANGE_MAX / 2 - 4];
    format_bound(from, sizeof from, lower);
    format_bound(to, sizeof to, upper);
    snprintf(vmrange, sizeof vmrange, "%s...%s", from, to);
    add_series(e, "_bucket", vmrange, count);
}

/* side: NEGATIVE or POSITIVE. */
static void add_buckets(struct expansion *e, struct protobuf_bytes histogram, double base, uint32_t side)
{
    struct cursor spans = cursor_of(histogram, side + SPANS), counts = cursor_of(histogram, side + COUNTS);
    struct cursor probe = counts;
    struct protobuf_field f;
    uint64_t v;
    bool use_counts = next_number(&probe, true, &v);
    if (!use_counts)
        counts = cursor_of(histogram, side + DELTAS);
    int32_t index = 0;
    int64_t sum = 0;
    while (next_field(&spans, &f)) {
        struct bucket_span span;
        if (!read_span(f.data, &span))
            return;
        index = (int32_t)((uint32_t)index + (uint32_t)span.offset); /* wraps as in Go */
        for (uint32_t i = 0; i < span.length; i++) {
            if (!next_number(&counts, use_counts, &v))
                return;
            if (!use_counts)
                sum = (int64_t)((uint64_t)sum + (uint64_t)zigzag(v));
            double count = use_counts ? as_double(v) : (double)sum;
            if (count > 0) {
                double upper = pow_as_go(base, index), lower = upper / base;
                add_bucket(e, side == NEGATIVE ? -upper : lower, side == NEGATIVE ? -lower : upper, count);
                if (e->bytes > REMOTE_WRITE_MAX)
                    return;
            }
            index = (int32_t)((uint32_t)index + 1);
        }
    }
}

static void add_bad_series(struct expansion *e)
{
    struct sample_batch *batch = e->batch;
    if (!e->out)
        return;
    GROW(batch->bad_lines, batch->bad_lines_count, batch->bad_lines_capacity);
    batch->bad_lines[batch->bad_lines_count++] = (struct bad_line){
        .line = span_of((const char *)e->series.p, (size_t)(e->series.end - e->series.p)),
        .line_number = e->series_number,
        .reason = REASON_SCHEMA,
    };
}

static const char *expand_histogram(struct expansion *e, struct protobuf_bytes message)
{
    struct histogram h;
    if (!read_histogram(message, &h))
        return "bad_protobuf";
    if (h.schema < SCHEMA_MIN || h.schema > SCHEMA_MAX) {
        add_bad_series(e);
        return NULL;
    }
    double base = bases[h.schema - SCHEMA_MIN];
    e->timestamp_ms = h.timestamp_ms;
    add_series(e, "_count", NULL, h.count);
    add_series(e, "_sum", NULL, h.sum);
    if (h.zero_count > 0)
        add_bucket(e, -h.zero_threshold, h.zero_threshold, h.zero_count);
    add_buckets(e, message, base, POSITIVE);
    add_buckets(e, message, base, NEGATIVE);
    return e->bytes > REMOTE_WRITE_MAX ? REASON_LARGE : NULL;
}

/* Whether the series has a name to put suffixes to; the size of its labels. */
static bool has_name(struct protobuf_bytes series, size_t *ret_labels_len)
{
    bool seen = false, usable = false;
    *ret_labels_len = 0;
    while (series.p < series.end) {
        const uint8_t *start = series.p;
        struct protobuf_field f;
        struct span name, value;
        if (!protobuf_read_field(&series, &f))
            return false;
        if (f.number != SERIES_LABEL || !remote_write_read_label(f.data, &name, &value))
            continue;
        *ret_labels_len += (size_t)(series.p - start);
        if (!seen && is_name(name)) {
            seen = true;
            usable = value.len > 0;
        }
    }
    return usable;
}

/* Once per series, so that each of its keys costs no more than its own size. */
static void gather_labels(struct expansion *e)
{
    struct protobuf_bytes fields = e->series;
    struct protobuf_field f;
    if (!e->out) {
        e->bytes += e->labels_len;
        return;
    }
    uint8_t *start = e->out;
    while (fields.p < fields.end) {
        const uint8_t *field = fields.p;
        if (!protobuf_read_field(&fields, &f))
            return;
        if (f.number != SERIES_LABEL)
            continue;
        memcpy(e->out, field, (size_t)(fields.p - field));
        e->out += fields.p - field;
    }
    e->labels = (struct protobuf_bytes){start, e->out};
}

static const char *expand_request(struct expansion *e, struct protobuf_bytes request)
{
    struct protobuf_field series, f;
    const char *reason = NULL;
    e->series_number = 0;
    while (!reason && request.p < request.end) {
        if (!protobuf_read_field(&request, &series))
            return "bad_protobuf";
        if (series.number != REQUEST_TIMESERIES)
            continue;
        e->series_number++;
        if (!has_name(series.data, &e->labels_len))
            continue;
        struct cursor histograms = cursor_of(series.data, SERIES_HISTOGRAM), probe = histograms;
        if (!next_field(&probe, &f))
            continue;
        e->series = series.data;
        gather_labels(e);
        while (!reason && next_field(&histograms, &f))
            reason = expand_histogram(e, f.data);
    }
    return reason;
}

/* Of groups that point into scratch, which moved. */
static void rebase_groups(struct sample_batch *batch, const uint8_t *before)
{
    for (size_t i = 0; i < batch->groups_count; i++) {
        struct span *key = &batch->groups[i].key;
        if (key->len)
            key->data = (const char *)batch->scratch.data + ((uintptr_t)key->data - (uintptr_t)before);
    }
}

const char *remote_write_expand_histograms(struct sample_batch *batch, size_t request_len)
{
    /* Twice: the first time for the size of all keys, so that scratch moves at most once. */
    struct expansion e = {.batch = batch};
    const uint8_t *data = batch->scratch.data;
    const char *reason = expand_request(&e, (struct protobuf_bytes){data, data + request_len});
    if (reason)
        return reason;
    e.out = buffer_reserve(&batch->scratch, e.bytes + 1);
    rebase_groups(batch, data);
    data = batch->scratch.data;
    reason = expand_request(&e, (struct protobuf_bytes){data, data + request_len});
    batch->scratch.len = (size_t)(e.out - batch->scratch.data);
    return reason;
}
