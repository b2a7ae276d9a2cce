/* What the files of the remote write decoder share. */
#ifndef VARVE_SINKS_DECODE_REMOTE_WRITE_INTERNAL_H
#define VARVE_SINKS_DECODE_REMOTE_WRITE_INTERNAL_H

#include <math.h>

#include "sinks/decode/protobuf.h"
#include "sinks/decode/remote_write.h"
#include "src/base/alloc.h"

enum { REQUEST_TIMESERIES = 1, REQUEST_METADATA = 3 };
enum { SERIES_LABEL = 1, SERIES_SAMPLE = 2, SERIES_HISTOGRAM = 4 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };

#define TAG(number, wire) ((number) << 3 | (wire))

/* remote_write.c: name and value of a Label, empty where it doesn't have them; false if it's malformed. */
bool remote_write_read_label(struct protobuf_bytes message, struct span *ret_name, struct span *ret_value);

/* remote_write_histogram.c */
bool remote_write_check_histogram(struct protobuf_bytes message);
/* Adds the series of all histograms of the request that makes up batch->scratch's first request_len bytes and
 * was checked: their keys are appended to scratch. NULL, or why the message is rejected. */
const char *remote_write_expand_histograms(struct sample_batch *batch, size_t request_len);

/* bits: the IEEE double. */
static inline void remote_write_add_sample(struct sample_batch *batch, uint64_t bits, int64_t timestamp_ms)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    if (__builtin_expect(isnan(value), 0) && bits != STALE_NAN_BITS) {
        batch->dropped_nan++;
        return;
    }
    if (batch->samples_count == batch->samples_capacity)
        GROW(batch->samples, batch->samples_count, batch->samples_capacity);
    batch->samples[batch->samples_count++] = (struct sample){
        .field = span_of("", 0),
        /* -2^63 would mean none; a millisecond later is as far outside of all retention. */
        .timestamp_ms = timestamp_ms == TIMESTAMP_NONE ? TIMESTAMP_NONE + 1 : timestamp_ms,
        .value = decimal_from_double(value),
    };
}

/* The samples from first_sample on, if there are any. */
static inline void remote_write_add_group(struct sample_batch *batch, const uint8_t *key, size_t len,
                                          size_t first_sample)
{
    if (batch->samples_count == first_sample)
        return;
    const char *data = len ? (const char *)key : "";
    if (batch->groups_count == batch->groups_capacity)
        GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){
        .key = span_of(data, len),
        .first_sample = first_sample,
        .samples_count = batch->samples_count - first_sample,
    };
}

#endif
