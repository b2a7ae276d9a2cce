#include "src/base/decimal.h"

#include <math.h>
#include <string.h>

/* Compiled with -ffp-contract=off: each step below is one rounded IEEE operation, as in Go on amd64. */

static const double pow10_tab[32] = {1e00, 1e01, 1e02, 1e03, 1e04, 1e05, 1e06, 1e07, 1e08, 1e09, 1e10,
                                     1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
                                     1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31};
static const double pow10_pos32[10] = {1e00, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288};
static const double pow10_neg32[11] = {1e-00,  1e-32,  1e-64,  1e-96,  1e-128, 1e-160,
                                       1e-192, 1e-224, 1e-256, 1e-288, 1e-320};

double decimal_pow10(int n)
{
    if (n >= 0 && n <= 308)
        return pow10_pos32[n / 32] * pow10_tab[n % 32];
    if (n < 0 && n >= -323)
        return pow10_neg32[-n / 32] / pow10_tab[-n % 32];
    return n > 0 ? HUGE_VAL : 0;
}

/* Digits past 2^55 are noise of the double: they are cut off first, then trailing zeros are stripped. */
static struct decimal from_integer(uint64_t u)
{
    int16_t exponent = 0;
    if (u < UINT64_C(1) << 55 && u % 10 != 0)
        return (struct decimal){(int64_t)u, 0};
    for (; u >= UINT64_C(1) << 55; exponent++)
        u /= 10;
    for (; u != 0 && u % 10 == 0; exponent++)
        u /= 10;
    return (struct decimal){(int64_t)u, exponent};
}

static struct decimal from_fraction(double f)
{
    int exponent = 0;
    double precision = 1e12;
    if (f > 1e6 || f < 1e-6) {
        if (f > 1e6)
            precision = 1e15;
        int x;
        (void)frexp(f, &x);
        x = x < -1022 ? -1022 : x > 1023 ? 1023 : x;
        exponent = (int)((double)x * 0.30102999566398119521373889472449302676818988146210854131);
        f *= decimal_pow10(-exponent);
    }
    while (f < precision) {
        double whole = (double)(int64_t)f; /* exact: f < 1e15 */
        double rest = f - whole;
        if (rest * precision < whole) {
            f = whole;
            break;
        }
        if ((1 - rest) * precision < whole) {
            f = whole + 1;
            break;
        }
        f *= 100;
        exponent -= 2;
    }
    uint64_t u = (uint64_t)f;
    if (u % 10 != 0)
        return (struct decimal){(int64_t)u, (int16_t)exponent};
    return (struct decimal){(int64_t)(u / 10), (int16_t)(exponent + 1)};
}

struct decimal decimal_from_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (bits == STALE_NAN_BITS)
        return (struct decimal){DECIMAL_STALE, 0};
    if (value == 0)
        return (struct decimal){0, 0};
    if (isinf(value))
        return (struct decimal){value > 0 ? DECIMAL_INF_POS : DECIMAL_INF_NEG, 0};

    double f = fabs(value);
    struct decimal d = f < 0x1p64 && f == floor(f) ? from_integer((uint64_t)f) : from_fraction(f);
    if (value < 0) {
        d.mantissa = -d.mantissa;
        return d.mantissa < DECIMAL_MIN ? (struct decimal){DECIMAL_MIN, d.exponent} : d;
    }
    return d.mantissa > DECIMAL_MAX ? (struct decimal){DECIMAL_MAX, d.exponent} : d;
}

double decimal_to_double(int64_t mantissa, int16_t exponent)
{
    if (decimal_is_special(mantissa)) {
        if (mantissa == DECIMAL_INF_POS)
            return HUGE_VAL;
        if (mantissa == DECIMAL_INF_NEG)
            return -HUGE_VAL;
        double stale;
        memcpy(&stale, &(uint64_t){STALE_NAN_BITS}, sizeof stale);
        return stale;
    }
    if (exponent < 0)
        return (double)mantissa / decimal_pow10(-exponent);
    if (exponent > 0)
        return (double)mantissa * decimal_pow10(exponent);
    return (double)mantissa;
}
