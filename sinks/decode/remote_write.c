/*
 * Prometheus remote write 1.0 as VictoriaMetrics v1.151.0 understands it on POST /api/v1/write
 * (lib/protoparser/promremotewrite/stream, lib/prompb/write_request_unmarshaler.go,
 * app/vminsert/promremotewrite):
 *
 *   WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
 *   TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; repeated Histogram histograms = 4;
 * } Label        { string name = 1; string value = 2; } Sample       { double value = 1; int64 timestamp = 2;
 * }  milliseconds
 *
 * - The message is a snappy block. Read as one when it is one; else as the bare protobuf, which is what
 * unpack.h leaves of VictoriaMetrics' own variant (zstd) and of producers that compress in another way.
 * - Within Label and Sample the last field of a number counts, and one that's absent is empty, or 0: a sample
 * without timestamp is of 1970. Unknown fields are skipped, exemplars (3) among them; one of a known number
 * and another type is malformed. Whatever is malformed costs the whole message, as stock refuses the whole
 * request.
 * - Labels with an empty value are left out, an empty name is __name__; all else is as it came.
 * - A staleness marker is kept, other NaNs are dropped and counted.
 * - Samples beside native histograms in one series are malformed.
 * - Native histograms become series of their own (remote_write_histogram.c). Metadata isn't kept.
 *
 * The fast way is what encoders write: labels before samples, value before timestamp, and lengths in one
 * byte.
 */
#include "sinks/decode/remote_write.h"

#include <snappy-c.h>
#include <string.h>

#include "sinks/decode/remote_write_internal.h"
#include "src/base/error.h"

#define REASON_SNAPPY   "bad_snappy"
#define REASON_LARGE    "unpacked_too_large"
#define REASON_PROTOBUF "bad_protobuf"

enum { SAMPLE_VALUE = 1, SAMPLE_TIMESTAMP = 2 };

/* --- metadata --- */

/* MetricMetadata { MetricType type = 1; string metric_family_name = 2, help = 4, unit = 5; uint32 account_id
 * = 11, project_id = 12; }: not kept, but what is malformed costs the message here as well. */
static bool check_metadata(struct protobuf_bytes message)
{
    struct protobuf_field f;
    while (message.p < message.end) {
        if (!protobuf_read_field(&message, &f))
            return false;
        switch (f.number) {
        case 1:
        case 11:
        case 12:
            if (f.wire != PROTOBUF_VARINT || f.value > UINT32_MAX)
                return false;
            break;
        case 2:
        case 4:
        case 5:
            if (f.wire != PROTOBUF_LEN)
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

/* --- labels --- */

bool remote_write_read_label(struct protobuf_bytes message, struct span *ret_name, struct span *ret_value)
{
    struct protobuf_field f;
    *ret_name = *ret_value = span_of("", 0);
    while (message.p < message.end) {
        if (!protobuf_read_field(&message, &f))
            return false;
        if (f.number != LABEL_NAME && f.number != LABEL_VALUE)
            continue;
        if (f.wire != PROTOBUF_LEN)
            return false;
        *(f.number == LABEL_NAME ? ret_name : ret_value) =
            span_of((const char *)f.data.p, (size_t)(f.data.end - f.data.p));
    }
    return true;
}

static bool check_label(struct protobuf_bytes message)
{
    struct span name, value;
    return remote_write_read_label(message, &name, &value);
}

/* The end of a label field as encoders write it: the label's tag and length, then those of the name, the
 * name, those of the value, the value; each length in one byte. NULL: it isn't there, or looks otherwise. */
static inline const uint8_t *skip_plain_label(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 6 ||
        (get_le32(p) & 0x80ff80ff) != (TAG(SERIES_LABEL, PROTOBUF_LEN) | TAG(LABEL_NAME, PROTOBUF_LEN) << 16))
        return NULL;
    unsigned len = p[1], name_len = p[3];
    if (len < name_len + 4 || (size_t)(end - p) < len + 2)
        return NULL;
    unsigned value_head = TAG(LABEL_VALUE, PROTOBUF_LEN) | (len - name_len - 4) << 8;
    return get_le16(p + 4 + name_len) == value_head ? p + 2 + len : NULL;
}

int remote_write_labels(const struct decode_options *options, struct span key, struct span field,
                        struct label_list *ret_labels, const char **ret_reason)
{
    (void)options;
    (void)field;
    const uint8_t *data = (const uint8_t *)key.data;
    struct protobuf_bytes fields = {data, data + key.len};
    label_list_clear(ret_labels);
    while (fields.p < fields.end) {
        struct protobuf_field f;
        struct span name, value;
        if (!protobuf_read_field(&fields, &f) || f.wire != PROTOBUF_LEN ||
            !remote_write_read_label(f.data, &name, &value)) {
            *ret_reason = REASON_PROTOBUF;
            return ERR_INVALID;
        }
        if (value.len)
            label_list_add(ret_labels, name.len ? name : span_of("__name__", 8), value);
    }
    return 0;
}

/* --- samples --- */

/* A varint that fills [p, end), of 10 bytes at most. */
static inline bool read_whole_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    if (end - p == 6) { /* a timestamp of our days */
        uint64_t w = get_le64(end - 8) >> 16;
        if ((w & UINT64_C(0x808080808080)) != UINT64_C(0x008080808080))
            return false;
        w &= UINT64_C(0x7f7f7f7f7f7f);
        w = (w & UINT64_C(0x007f007f007f)) | (w & UINT64_C(0x7f007f007f00)) >> 1; /* 14 bits in each 16 */
        *ret = (w & 0x3fff) | (w >> 16 & 0x3fff) << 14 | (w >> 32 & 0x3fff) << 28;
        return true;
    }
    struct protobuf_bytes b = {p, end};
    if (!protobuf_read_varint(&b, &value) || b.p != end)
        return false;
    *ret = value;
    return true;
}

static bool read_sample(struct protobuf_bytes message, uint64_t *ret_value, uint64_t *ret_timestamp)
{
    struct protobuf_field f;
    *ret_value = *ret_timestamp = 0;
    while (message.p < message.end) {
        if (!protobuf_read_field(&message, &f))
            return false;
        if (f.number == SAMPLE_VALUE && f.wire == PROTOBUF_I64)
            *ret_value = f.value;
        else if (f.number == SAMPLE_TIMESTAMP && f.wire == PROTOBUF_VARINT)
            *ret_timestamp = f.value;
        else if (f.number == SAMPLE_VALUE || f.number == SAMPLE_TIMESTAMP)
            return false;
    }
    return true;
}

static inline bool decode_sample(struct protobuf_bytes message, struct sample_batch *batch)
{
    const uint8_t *p = message.p;
    uint64_t bits, timestamp;
    bool plain = message.end - p >= 11 && p[0] == TAG(SAMPLE_VALUE, PROTOBUF_I64) &&
                 p[9] == TAG(SAMPLE_TIMESTAMP, PROTOBUF_VARINT) &&
                 read_whole_varint(p + 10, message.end, &timestamp);
    if (plain)
        bits = get_le64(p + 1);
    else if (!read_sample(message, &bits, &timestamp))
        return false;
    remote_write_add_sample(batch, bits, (int64_t)timestamp);
    return true;
}

/* --- series --- */

/* The label fields of a series, together: where they are, or copied behind the request if they lie apart. */
struct series_key {
    const uint8_t *start, *end;
};

static inline void add_to_key(struct series_key *key, const uint8_t *field, const uint8_t *field_end,
                              struct buffer *scratch)
{
    size_t key_len = (size_t)(key->end - key->start), len = (size_t)(field_end - field);
    if (!key->start) {
        key->start = field;
        key->end = field_end;
        return;
    }
    if (key->end == field) {
        key->end = field_end;
        return;
    }
    /* unpack_into_scratch left room for the labels of all series. */
    uint8_t *out = scratch->data + scratch->len;
    if (key->end != out) {
        memcpy(out, key->start, key_len);
        key->start = out;
        out += key_len;
    }
    memcpy(out, field, len);
    key->end = out + len;
    scratch->len = (size_t)(key->end - scratch->data);
}

/* A field of a series whose tag and length are one byte each, as nearly all are; false: it's another kind. */
static inline bool read_short_field(struct protobuf_bytes *message, uint8_t tag, struct protobuf_bytes *ret)
{
    const uint8_t *p = message->p;
    if (message->end - p < 2 || p[0] != tag || p[1] >= 0x80 || message->end - p - 2 < p[1])
        return false;
    *ret = (struct protobuf_bytes){p + 2, p + 2 + p[1]};
    message->p = ret->end;
    return true;
}

/* Adds a group with the samples of a series. ret_histograms: it has these instead. False if it's malformed.
 */
static bool decode_series(struct protobuf_bytes message, struct sample_batch *batch, bool *ret_histograms)
{
    size_t first = batch->samples_count;
    struct series_key key = {NULL, NULL};
    bool samples = false, histograms = false;
    const uint8_t *start = message.p;
    struct protobuf_bytes data;
    for (const uint8_t *next = start; next; next = skip_plain_label(next, message.end))
        message.p = next;
    while (read_short_field(&message, TAG(SERIES_LABEL, PROTOBUF_LEN), &data))
        if (!check_label(data))
            return false;
    if (message.p > start)
        key = (struct series_key){start, message.p};
    while (message.p < message.end) {
        const uint8_t *field = message.p;
        struct protobuf_field f;
        if (read_short_field(&message, TAG(SERIES_SAMPLE, PROTOBUF_LEN), &data)) {
            f.number = SERIES_SAMPLE;
        } else if (read_short_field(&message, TAG(SERIES_LABEL, PROTOBUF_LEN), &data)) {
            f.number = SERIES_LABEL;
        } else {
            if (!protobuf_read_field(&message, &f))
                return false;
            if (f.number != SERIES_LABEL && f.number != SERIES_SAMPLE && f.number != SERIES_HISTOGRAM)
                continue;
            if (f.wire != PROTOBUF_LEN)
                return false;
            data = f.data;
        }
        if (f.number == SERIES_SAMPLE) {
            samples = true;
            if (!decode_sample(data, batch))
                return false;
        } else if (f.number == SERIES_LABEL) {
            if (!check_label(data))
                return false;
            add_to_key(&key, field, message.p, &batch->scratch);
        } else {
            histograms = true;
            if (!remote_write_check_histogram(data))
                return false;
        }
    }
    if (samples && histograms)
        return false;
    *ret_histograms |= histograms;
    remote_write_add_group(batch, key.start, (size_t)(key.end - key.start), first);
    return true;
}

static bool decode_request(struct protobuf_bytes request, struct sample_batch *batch, bool *ret_histograms)
{
    *ret_histograms = false;
    while (request.p < request.end) {
        struct protobuf_field f;
        if (!protobuf_read_field(&request, &f))
            return false;
        if (f.number != REQUEST_TIMESERIES && f.number != REQUEST_METADATA)
            continue;
        if (f.wire != PROTOBUF_LEN)
            return false;
        if (f.number == REQUEST_METADATA) {
            if (!check_metadata(f.data))
                return false;
            continue;
        }
        if (!decode_series(f.data, batch, ret_histograms))
            return false;
    }
    return true;
}

/* --- the message --- */

/* A copy of 3 bytes makes 64: no block unpacks to more than this many times its size. */
#define SNAPPY_RATIO_MAX 22

/* The request, with as much room behind it for keys. */
static const char *unpack_into_scratch(struct span payload, struct buffer *scratch)
{
    size_t size;
    bool is_block = snappy_uncompressed_length(payload.data, payload.len, &size) == SNAPPY_OK;
    is_block = is_block && size / SNAPPY_RATIO_MAX <= payload.len;
    if (is_block && size <= REMOTE_WRITE_MAX) {
        buffer_reserve(scratch, 2 * size + 1);
        if (snappy_uncompress(payload.data, payload.len, (char *)scratch->data, &size) == SNAPPY_OK) {
            scratch->len = size;
            return NULL;
        }
    }
    /* A request starts with one of its two fields, and read as a block that's a length of 10 or 26. */
    if (*payload.data != TAG(REQUEST_TIMESERIES, PROTOBUF_LEN) &&
        *payload.data != TAG(REQUEST_METADATA, PROTOBUF_LEN))
        return is_block && size > REMOTE_WRITE_MAX ? REASON_LARGE : REASON_SNAPPY;
    buffer_reserve(scratch, 2 * (size_t)payload.len + 1);
    buffer_append(scratch, payload.data, payload.len);
    return NULL;
}

enum decode_result remote_write_decode(const struct decode_options *options, const struct message *m,
                                       struct sample_batch *batch, const char **ret_reason)
{
    (void)options;
    if (!m->payload.len)
        return DECODE_OK;
    const char *reason = unpack_into_scratch(m->payload, &batch->scratch);
    if (!reason) {
        const uint8_t *data = batch->scratch.data;
        size_t len = batch->scratch.len;
        bool histograms;
        if (!decode_request((struct protobuf_bytes){data, data + len}, batch, &histograms))
            reason = REASON_PROTOBUF;
        else if (histograms)
            reason = remote_write_expand_histograms(batch, len);
        if (!reason && batch->bad_lines_count && !batch->samples_count)
            reason = batch->bad_lines[0].reason;
    }
    if (reason) {
        *ret_reason = reason;
        sample_batch_clear(batch);
        return DECODE_REJECT;
    }
    return DECODE_OK;
}
