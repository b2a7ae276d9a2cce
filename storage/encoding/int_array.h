/*
 * Arrays of int64, timestamps and mantissas alike, as a block stores them (format 4.5;
 * lib/encoding/encoding.go:marshalInt64Array, nearest_delta.go, nearest_delta2.go, for 64 precision bits).
 *
 *   type                      data
 *   3 const                   none
 *   2 delta const             sv of the difference
 *   6 / 4 nearest delta       n-1 sv: the differences; 4 is that, zstd-compressed
 *   5 / 1 nearest delta2      sv of the first difference, n-2 sv of second differences; 1 is that,
 * zstd-compressed
 *
 * The first item is not in the data: the block header holds it. Arithmetic wraps modulo 2^64. Any thread.
 */
#ifndef VARVE_STORAGE_ENCODING_INT_ARRAY_H
#define VARVE_STORAGE_ENCODING_INT_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

/* On disk. */
enum int_array_type {
    INT_ARRAY_ZSTD_NEAREST_DELTA2 = 1,
    INT_ARRAY_DELTA_CONST = 2,
    INT_ARRAY_CONST = 3,
    INT_ARRAY_ZSTD_NEAREST_DELTA = 4,
    INT_ARRAY_NEAREST_DELTA2 = 5,
    INT_ARRAY_NEAREST_DELTA = 6,
};

/* Appends the data of a[0..n), n >= 1, to dst, and returns type and first item. Byte for byte what
 * VictoriaMetrics writes, given the same libzstd. */
void int_array_encode(struct buffer *dst, const int64_t *a, size_t n, uint8_t *ret_type, int64_t *ret_first);

/* Which of two ways to compress does for the arrays that come now. Zeroed at the start of a part; one thread
 * at a time. */
struct int_array_effort {
    unsigned until_trial, since_trial, interval; /* arrays between trials of both ways */
    unsigned unsure;                             /* arrays compressed both ways since the trial */
    bool is_doubtful;          /* too many of them: not the light way until the next trial */
    double light_bytes, bytes; /* of the last trials' frames */
    size_t last_size;          /* of the last trial's frame by VictoriaMetrics' level */
    double larger, smaller;    /* by which factor VictoriaMetrics' frame might be that */
    double written, excess;    /* bytes of all arrays; of them, those that it'd have saved */
};

/* Arrays of another kind come now, such as those of another metric. */
void int_array_effort_restart(struct int_array_effort *effort);

/* The same type, first item and bytes after decompression, but all arrays together at most some thousandths
 * larger, and cheaper to make: the lightest compression is taken where a trial, every so many arrays, shows
 * that VictoriaMetrics' level gains nothing over it, or so little that it doesn't count among all bytes. */
void int_array_encode_lightly(struct buffer *dst, const int64_t *a, size_t n, struct int_array_effort *effort,
                              uint8_t *ret_type, int64_t *ret_first);

/* Decodes exactly n >= 1 items into dst. Distrusts type and data: ERR_CORRUPT for an unknown type, too few or
 * too many bytes. dst's content is undefined on failure. */
int int_array_decode(int64_t *dst, size_t n, uint8_t type, int64_t first, const uint8_t *data, size_t size,
                     struct error *reterr);

#endif
