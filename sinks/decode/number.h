/*
 * Numbers in payload text, as VictoriaMetrics reads them: github.com/valyala/fastjson/fastfloat (v1.6.10),
 * whose arithmetic isn't always correctly rounded and whose oddities ("-5." is 5, "+5" and "12abc" are 0) are
 * part of what a payload means.
 *
 * Two ways to a struct decimal, with the same outcome (test_number.c compares them over millions of texts):
 * - the general one: fastfloat's double, then decimal_from_double;
 * - number_scan: text straight to (mantissa, exponent), taken where the outcome is provably the same.
 *
 * The proof. Let m be the digits without the point, at most 2^53, and k the number of fraction digits; then
 * trailing zeros are stripped from m, each with one of k.
 *
 * k <= 0: the value is exact as a double, and FromFloat (format 4.1, step 1) strips the zeros as we do.
 *
 * k > 0, m < 9 * 10^10, 10^-6 < m / 10^k <= 10^6: FromFloat multiplies by 100 until r * 10^12 < w or
 * (1 - r) * 10^12 < w (w whole part, r rest). While j > 0 fraction digits are left, r is at least 10^-j short
 * of both neighbours, and w < 10^(11-j), so neither holds, by a factor of ten; rounding moves them by 10^-15
 * of w at most. When none is left (m if k is even, else 10 m), the double is within 10^-15 of an integer.
 * Just above it the first holds. Just below it the first doesn't, as w <= 0.9 * 10^12, and the second does,
 * unless w = 0. That takes m = 1 and an even k: 0.01 and 0.0001 come out exactly, 0.000001 doesn't (it's
 * stored as 10 * 10^-7) and is left out above. If k is odd the loop ends with a zero more, and that one it
 * strips.
 *
 * Pure, any thread. Text isn't NUL-terminated.
 */
#ifndef VARVE_SINKS_DECODE_NUMBER_H
#define VARVE_SINKS_DECODE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "src/base/decimal.h"
#include "src/base/endian.h"

/* fastfloat.ParseBestEffort: text that is no number is 0. Never fails; NaN only for "nan". */
double number_parse_double(const char *text, size_t len);

/* fastfloat.Parse: the same, but false if text is no number. A NaN is one. */
bool number_parse_strict(const char *text, size_t len, double *ret);

/* number_parse_double as a decimal; false if it's a NaN, which can't be stored. */
bool number_parse_decimal(const char *text, size_t len, struct decimal *ret);

/* fastfloat.ParseInt64, ParseUint64: all of text, no plus sign; false if it's none or out of range. */
bool number_parse_int64(const char *text, size_t len, int64_t *ret);
bool number_parse_uint64(const char *text, size_t len, uint64_t *ret);

/* decimal_from_double((double)n), short cut where it is exact. */
struct decimal number_decimal_from_int64(int64_t n);
struct decimal number_decimal_from_uint64(uint64_t n);

/* What number_scan found. */
struct number_scan {
    const char *end; /* first byte after the digits, or NULL: not a plain number, or not provably the same */
    struct decimal value;
    bool is_integer; /* no point, so that a suffix may follow */
    bool is_negative;
};

/* A plain number, -?[0-9]+([.][0-9]+)?, at text, which lies in a payload that ends at limit: bytes after the
 * number, up to limit, may be looked at. The caller checks that what follows ends the value. */
static inline void number_scan(const char *text, const char *limit, struct number_scan *ret);

/* ---- the inline part ---- */

#define NUMBER_EXACT_MAX   (UINT64_C(1) << 53)
#define NUMBER_SHORT_LIMIT UINT64_C(90000000000) /* 9 * 10^10, see above */
/* Bytes that the fast scanner may read from where it starts. */
#define NUMBER_SCAN_READ 32

static const uint64_t number_pow10[20] = {
    1U,
    10U,
    100U,
    1000U,
    10000U,
    100000U,
    1000000U,
    10000000U,
    100000000U,
    1000000000U,
    10000000000U,
    100000000000U,
    1000000000000U,
    10000000000000U,
    100000000000000U,
    1000000000000000U,
    10000000000000000U,
    100000000000000000U,
    1000000000000000000U,
    10000000000000000000U,
};

/* Eight bytes as a number whose lowest byte is the first one. */
static inline uint64_t number_load8(const char *text)
{
    return get_le64(text);
}

static inline bool number_is_8_digits(uint64_t w)
{
    return ((w & UINT64_C(0xf0f0f0f0f0f0f0f0)) |
            (((w + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0)) >> 4)) ==
           UINT64_C(0x3333333333333333);
}

/* How many of the eight bytes, from the first, are digits. */
static inline unsigned number_count_digits(uint64_t w)
{
    uint64_t x = w ^ UINT64_C(0x3030303030303030); /* digits become 0...9 */
    uint64_t others = (((x & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7676767676767676)) | x) &
                      UINT64_C(0x8080808080808080);
    return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/* The value of eight digits, by pairs, fours, eights: bytes of w are digits (ASCII or 0...9), first digit
 * lowest. */
static inline uint64_t number_from_8_digits(uint64_t w)
{
    w &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    w = (w * 10 + (w >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    w = (w * 100 + (w >> 16)) & UINT64_C(0x0000ffff0000ffff);
    return (w * 10000 + (w >> 32)) & UINT64_C(0xffffffff);
}

/* The value of the first n digits of w, 0 <= n <= 8: shifted so that zeros come before them. */
static inline uint64_t number_from_digits(uint64_t w, unsigned n)
{
    return n ? number_from_8_digits(w << (64 - 8 * n)) : 0;
}

/* (m, -fraction) with trailing zeros stripped, if the rule above holds for it. */
static inline bool number_normalize(uint64_t m, unsigned fraction, struct decimal *ret)
{
    int exponent = -(int)fraction;
    if (m == 0) {
        *ret = (struct decimal){0, 0};
        return true;
    }
    if (m > NUMBER_EXACT_MAX)
        return false;
    while (m % 10 == 0) {
        m /= 10;
        exponent++;
    }
    if (exponent < 0) {
        if (m >= NUMBER_SHORT_LIMIT || exponent < -12)
            return false;
        uint64_t scale = number_pow10[-exponent];
        if (m > scale * 1000000 || m * 1000000 <= scale)
            return false;
    }
    *ret = (struct decimal){(int64_t)m, (int16_t)exponent};
    return true;
}

/* The same for up to 19 digits, through the double where it has to be; also near the payload's end. */
void number_scan_slowly(const char *text, const char *limit, struct number_scan *ret);

static inline void number_scan(const char *text, const char *limit, struct number_scan *ret)
{
#if defined(__SSE2__)
    if (limit - text >= NUMBER_SCAN_READ) {
        bool is_negative = *text == '-';
        const char *digits = text + is_negative;
        /* Bytes above '9' or below '0' fail the unsigned comparison x - '0' <= 9, done as min(x, 9) == x. */
        __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)digits), _mm_set1_epi8('0'));
        __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x);
        unsigned others = ~(unsigned)_mm_movemask_epi8(is_digit) & 0xffff;
        unsigned whole = others ? (unsigned)__builtin_ctz(others) : 0;
        if (!whole)
            goto slowly;
        uint64_t first = number_load8(digits);
        uint64_t m = whole <= 8 ? number_from_digits(first, whole)
                                : number_from_8_digits(first) * number_pow10[whole - 8] +
                                      number_from_digits(number_load8(digits + 8), whole - 8);
        const char *end = digits + whole;
        unsigned fraction = 0;
        if (*end == '.') {
            others &= others - 1;
            fraction = others ? (unsigned)__builtin_ctz(others) - whole - 1 : 0;
            if (fraction - 1 > 7) /* 0 wraps */
                goto slowly;
            m = m * number_pow10[fraction] + number_from_digits(number_load8(end + 1), fraction);
            end += 1 + fraction;
        }
        struct decimal value;
        if (!number_normalize(m, fraction, &value))
            goto slowly;
        ret->value.mantissa = is_negative ? -value.mantissa : value.mantissa;
        ret->value.exponent = value.exponent;
        ret->end = end;
        ret->is_integer = fraction == 0;
        ret->is_negative = is_negative;
        return;
    }
slowly:
#endif
    number_scan_slowly(text, limit, ret);
}

#endif
