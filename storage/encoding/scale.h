/*
 * One scale for the mantissas of a block: value = mantissa * 10^scale (format 4.2, 10.5). Pure.
 */
#ifndef VARVE_STORAGE_ENCODING_SCALE_H
#define VARVE_STORAGE_ENCODING_SCALE_H

#include <stddef.h>
#include <stdint.h>

/* Scale of a block that holds special values alone. Any scale reads the same there, but with this one a later
 * merge leaves the partner's mantissas as they are (format 10.5). */
#define SCALE_SPECIAL_ONLY 400

/* Brings n >= 1 pairs (mantissas[i], exponents[i]) to one scale, in place, and returns it
 * (lib/decimal/decimal.go:AppendFloatToDecimal after the conversion of each float). */
int16_t scale_unify(int64_t *mantissas, const int16_t *exponents, size_t n);

/* Brings two arrays of different scales to one, in place, and returns it
 * (lib/decimal/decimal.go:CalibrateScale). */
int16_t scale_calibrate(int64_t *a, size_t a_count, int16_t a_scale, int64_t *b, size_t b_count,
                        int16_t b_scale);

#endif
