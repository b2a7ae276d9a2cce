/*
 * A number as VictoriaMetrics stores it: mantissa * 10^exponent (format 4).
 *
 * Decoders make these straight from text, storage brings those of a block to one scale. Special values are
 * mantissas: +Inf, -Inf and the staleness marker, with exponent 0. A NaN other than the staleness marker
 * can't be stored: samples that carry one are dropped by the decoder, as VictoriaMetrics drops them.
 */
#ifndef VARVE_BASE_DECIMAL_H
#define VARVE_BASE_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

struct decimal {
    int64_t mantissa;
    int16_t exponent;
};

#define DECIMAL_INF_POS INT64_MAX
#define DECIMAL_INF_NEG INT64_MIN
#define DECIMAL_STALE   (INT64_MAX - 1)
#define DECIMAL_MAX     (INT64_MAX - 2) /* ordinary mantissas lie in DECIMAL_MIN ... DECIMAL_MAX */
#define DECIMAL_MIN     (INT64_MIN + 1)
#define STALE_NAN_BITS  UINT64_C(0x7ff0000000000002)

static inline bool decimal_is_special(int64_t mantissa)
{
    return mantissa > DECIMAL_MAX || mantissa < DECIMAL_MIN;
}

/* lib/decimal/decimal.go:FromFloat, bit for bit (format 4.1). value must not be a NaN but the stale marker.
 */
struct decimal decimal_from_double(double value);

/* lib/decimal/decimal.go:AppendDecimalToFloat for one value (format 4.3). */
double decimal_to_double(int64_t mantissa, int16_t exponent);

/* Go's math.Pow10, which is not pow(): two tables and one rounded operation (format 4.1). */
double decimal_pow10(int n);

#endif
