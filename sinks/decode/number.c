#include "sinks/decode/number.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

/* Significant digits kept for strtod: 767 decide every rounding, so one more stands for all that follow. */
#define DIGITS_KEPT 800

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Go's underscoreOK: an underscore has a digit on both sides. Text starts with a digit or a point. */
static bool underscores_ok(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '_' && (i == 0 || i + 1 == len || !is_digit(text[i - 1]) || !is_digit(text[i + 1])))
            return false;
    return true;
}

/*
 * strconv.ParseFloat(text, 64) where fastfloat falls back to it: text starts with digits or a point (the sign
 * is off), so no hexadecimal and no inf. Correctly rounded; 0 and *ret_bad if the syntax is wrong, infinite
 * if out of range. The digits go to strtod without a point, so that no locale matters.
 */
static double parse_float_exactly(const char *text, size_t len, bool *ret_bad)
{
    char digits[DIGITS_KEPT + 32];
    size_t kept = 0, i = 0;
    int64_t exponent = 0; /* of the last digit kept */
    bool saw_digit = false, saw_point = false, saw_more = false, saw_underscore = false;
    for (; i < len; i++) {
        if (text[i] == '_') {
            saw_underscore = true;
        } else if (text[i] == '.' && !saw_point) {
            saw_point = true;
        } else if (is_digit(text[i])) {
            saw_digit = true;
            exponent -= saw_point;
            if (kept == 0 && text[i] == '0')
                continue;
            if (kept < DIGITS_KEPT) {
                digits[kept++] = text[i];
            } else {
                saw_more |= text[i] != '0';
                exponent++;
            }
        } else {
            break;
        }
    }
    *ret_bad = true;
    if (!saw_digit)
        return 0;
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        bool minus = ++i < len && text[i] == '-';
        if (i < len && (text[i] == '-' || text[i] == '+'))
            i++;
        if (i >= len || !is_digit(text[i]))
            return 0;
        int64_t e = 0;
        for (; i < len && (is_digit(text[i]) || text[i] == '_'); i++) {
            if (text[i] == '_')
                saw_underscore = true;
            else if (e < 10000) /* as in Go: further digits are let go */
                e = e * 10 + (text[i] - '0');
        }
        exponent += minus ? -e : e;
    }
    if (i < len || (saw_underscore && !underscores_ok(text, len)))
        return 0;
    *ret_bad = false;
    if (kept == 0)
        return 0;
    if (saw_more) {
        digits[kept++] = '1';
        exponent--;
    }
    /* With 801 digits at most, beyond this it's infinite or 0 anyway. */
    exponent = exponent > 2000 ? 2000 : exponent < -2000 ? -2000 : exponent;
    digits[kept++] = 'e';
    if (exponent < 0) {
        digits[kept++] = '-';
        exponent = -exponent;
    }
    for (int64_t unit = 1000; unit; unit /= 10)
        digits[kept++] = (char)('0' + exponent / unit % 10);
    digits[kept] = '\0';
    return strtod(digits, NULL);
}

static bool equal_fold(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static double parse_word(const char *text, size_t len, bool *ret_bad)
{
    *ret_bad = false;
    if (len && *text == '+') {
        text++;
        len--;
    }
    if (equal_fold(text, len, "inf") || equal_fold(text, len, "infinity"))
        return HUGE_VAL;
    if (equal_fold(text, len, "nan"))
        return (double)NAN;
    *ret_bad = true;
    return 0;
}

/* The exponent of fastfloat: text is what follows the 'e'. False if it isn't one, or needs the exact parser
 * (then *ret_exact is set). What is left over after it is the caller's. */
static bool parse_exponent(const char **text, const char *end, int *ret, bool *ret_exact)
{
    const char *p = *text;
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    const char *first = p;
    int e = 0;
    for (; p < end && is_digit(*p); p++) {
        e = e * 10 + (*p - '0');
        if (e > 300) {
            *ret_exact = true;
            return false;
        }
    }
    if (p == first)
        return false;
    *text = p;
    *ret = minus ? -e : e;
    return true;
}

/* Follows fastfloat's Parse step by step; offsets such as 18 and 17 count from where its own do. *ret_bad:
 * it's no number; then the result is what ParseBestEffort makes of it, 0. */
static double parse_double(const char *text, size_t len, bool *ret_bad)
{
    const char *p = text, *end = text + len;
    bool minus = len && *p == '-';
    p += minus;
    *ret_bad = true;
    if (p == end || (*p == '.' && (p + 1 == end || !is_digit(p[1]))))
        return 0;
    const char *start = p;
    uint64_t d = 0;
    double f;
    for (; p < end && is_digit(*p);) {
        d = d * 10 + (uint64_t)(*p++ - '0');
        if (p - text > 18)
            goto exactly;
    }
    if (p == start && *p != '.') {
        f = parse_word(p, (size_t)(end - p), ret_bad);
        return minus ? -f : f;
    }
    f = (double)d;
    if (p < end && *p == '.') {
        if (++p == end) {
            *ret_bad = false;
            return f; /* sic: "-5." is 5 */
        }
        const char *fraction = p;
        while (p < end && is_digit(*p)) {
            d = d * 10 + (uint64_t)(*p++ - '0');
            if (p - start >= 17)
                goto exactly;
        }
        f = (double)d / (double)number_pow10[p - fraction];
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        int exponent;
        bool exact = false;
        p++;
        if (!parse_exponent(&p, end, &exponent, &exact)) {
            if (exact)
                goto exactly;
            return 0;
        }
        f *= decimal_pow10(exponent);
    }
    if (p < end)
        return 0;
    *ret_bad = false;
    return minus ? -f : f;
exactly:
    f = parse_float_exactly(start, (size_t)(end - start), ret_bad);
    return minus ? -f : f;
}

double number_parse_double(const char *text, size_t len)
{
    bool bad;
    return parse_double(text, len, &bad);
}

bool number_parse_strict(const char *text, size_t len, double *ret)
{
    bool bad;
    double f = parse_double(text, len, &bad);
    if (bad)
        return false;
    *ret = f;
    return true;
}

bool number_parse_decimal(const char *text, size_t len, struct decimal *ret)
{
    double f = number_parse_double(text, len);
    if (isnan(f))
        return false;
    *ret = decimal_from_double(f);
    return true;
}

/* Digits up to limit bytes of them, checked against max. */
static bool parse_magnitude(const char *p, const char *end, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;
    if (p == end)
        return false;
    if (end - p >= 16 && end - p <= 19) {
        /* Nanosecond timestamps have 19 digits. */
        uint64_t w1 = number_load8(p), w2 = number_load8(p + 8);
        if (!number_is_8_digits(w1) || !number_is_8_digits(w2))
            return false;
        n = number_from_8_digits(w1) * 100000000 + number_from_8_digits(w2);
        p += 16;
    }
    for (; p < end; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (!is_digit(*p) || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *ret = n;
    return true;
}

bool number_parse_int64(const char *text, size_t len, int64_t *ret)
{
    bool minus = len && *text == '-';
    uint64_t n;
    if (!parse_magnitude(text + minus, text + len, (uint64_t)INT64_MAX + minus, &n))
        return false;
    *ret = (int64_t)(minus ? 0 - n : n);
    return true;
}

bool number_parse_uint64(const char *text, size_t len, uint64_t *ret)
{
    return parse_magnitude(text, text + len, UINT64_MAX, ret);
}

struct decimal number_decimal_from_uint64(uint64_t n)
{
    struct decimal value;
    return number_normalize(n, 0, &value) ? value : decimal_from_double((double)n);
}

struct decimal number_decimal_from_int64(int64_t n)
{
    struct decimal value = number_decimal_from_uint64(n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
    if (n < 0)
        value.mantissa = -value.mantissa;
    return value;
}

/* d / 10^k, correctly rounded, by a 128-bit division: 0 < d < 2^64, k <= 19. */
static double divide_by_pow10(uint64_t d, unsigned k)
{
    if (d <= NUMBER_EXACT_MAX)
        return (double)d / (double)number_pow10[k]; /* both exact, so one rounding */
    uint64_t divisor = number_pow10[k];
    int shift_d = __builtin_clzll(d), shift_divisor = __builtin_clzll(divisor);
    d <<= shift_d;
    divisor <<= shift_divisor;
    /* Both in [2^63, 2^64), so the quotient of d * 2^63 is in (2^62, 2^64): 63 bits at least. */
    unsigned __int128 numerator = (unsigned __int128)d << 63;
    uint64_t quotient = (uint64_t)(numerator / divisor);
    bool rest = (uint64_t)numerator != (uint64_t)(quotient * divisor);
    /* 62 bits at least are left after the shift, of which 9 are rounded away: a rest that is or isn't there
     * can stand in the last of them. */
    int64_t rounded = (int64_t)(quotient >> 1 | (quotient & 1) | rest);
    uint64_t scale_bits = (uint64_t)(1023 + shift_divisor - shift_d - 62)
                          << 52; /* of a power of two, normal */
    double scale;
    memcpy(&scale, &scale_bits, sizeof scale);
    return (double)rounded * scale;
}

/* Appends the digits at *p to *d, eight at a time while limit allows; *p moves behind them. False if that
 * makes more than max of them. */
static inline bool take_digits(const char **p, const char *limit, unsigned max, uint64_t *d)
{
    const char *first = *p;
    while (limit - *p >= 8) {
        uint64_t w = number_load8(*p);
        unsigned n = number_count_digits(w);
        if ((size_t)(*p - first) + n > max)
            return false;
        *d = *d * number_pow10[n] + number_from_digits(w, n);
        *p += n;
        if (n < 8)
            return true;
    }
    for (; *p < limit && is_digit(**p); (*p)++) {
        if ((size_t)(*p - first) == max)
            return false;
        *d = *d * 10 + (uint64_t)(**p - '0');
    }
    return true;
}

void number_scan_slowly(const char *text, const char *limit, struct number_scan *ret)
{
    const char *p = text;
    ret->end = NULL;
    ret->is_negative = p < limit && *p == '-';
    p += ret->is_negative;
    const char *start = p;
    uint64_t d = 0;
    if (!take_digits(&p, limit, 19, &d) || p == start)
        return;
    unsigned whole = (unsigned)(p - start), fraction = 0;
    ret->is_integer = p == limit || *p != '.';
    if (!ret->is_integer) {
        const char *point = p++;
        if (!take_digits(&p, limit, 19 - whole, &d))
            return;
        fraction = (unsigned)(p - point - 1);
        if (!fraction)
            return;
    }
    ret->end = p;
    if (!number_normalize(d, fraction, &ret->value)) {
        /* Up to 19 digits fastfloat rounds correctly, whichever way it takes. */
        double f = fraction ? divide_by_pow10(d, fraction) : (double)d;
        ret->value = decimal_from_double(f);
    }
    if (ret->is_negative)
        ret->value.mantissa = -ret->value.mantissa;
}
