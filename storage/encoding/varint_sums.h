/*
 * Sums over many signed varints and integers: how arrays that were stored as differences are read. Pure;
 * sums wrap modulo 2^64. Any thread. Uses AVX2 where the processor has it; the forms that end in `plain`
 * don't, and are what the others are measured by.
 */
#ifndef VARVE_STORAGE_ENCODING_VARINT_SUMS_H
#define VARVE_STORAGE_ENCODING_VARINT_SUMS_H

#include <stddef.h>
#include <stdint.h>

/* Reads n integers from [p, end) (`sv` of format 1); dst[i] is start plus the first i + 1 of them. Returns
 * the place after them; NULL if they end early or one is malformed (dst is undefined then). */
const uint8_t *varint_sums_get(int64_t *dst, size_t n, int64_t start, const uint8_t *p, const uint8_t *end);
const uint8_t *varint_sums_get_plain(int64_t *dst, size_t n, int64_t start, const uint8_t *p,
                                     const uint8_t *end);

/* Replaces each of a[0..n) by start plus the sum of it and those before it. */
void int_sums(int64_t *a, size_t n, int64_t start);
void int_sums_plain(int64_t *a, size_t n, int64_t start);

#endif
