/*
 * Many signed varints at a time (`sv` of format 1): what most of a merge's own time goes into. Pure; the same
 * bytes and the same refusals as varint.h, item by item. Any thread.
 */
#ifndef VARVE_STORAGE_ENCODING_VARINT_ARRAY_H
#define VARVE_STORAGE_ENCODING_VARINT_ARRAY_H

#include <stddef.h>
#include <stdint.h>

/* Reads n integers from [p, end) into dst and returns the place after them; NULL if they end early or one is
 * malformed (dst is undefined then). */
const uint8_t *varint_array_get(int64_t *dst, size_t n, const uint8_t *p, const uint8_t *end);

/* Writes the differences a[i] - a[i - 1], i in [1, n), modulo 2^64, and returns the place after them. There
 * must be room for n * VARINT_MAX_BYTES. */
uint8_t *varint_array_put_deltas(uint8_t *p, const int64_t *a, size_t n);

/* The same for second differences, a[i] - 2 a[i - 1] + a[i - 2], i in [2, n). */
uint8_t *varint_array_put_deltas2(uint8_t *p, const int64_t *a, size_t n);

#endif
