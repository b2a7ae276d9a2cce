#include "storage/encoding/scale.h"

#include <stdbool.h>

#include "src/base/decimal.h"

#define DIGITS_MAX 18          /* powers of ten that fit an int64 */
#define ROOM_ANY   (INT32_MAX) /* of zero and of special values: no power changes them */

static const int64_t powers[DIGITS_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* How many times v may be multiplied by ten within an int64. */
static int room_of(int64_t v)
{
    if (v == 0 || decimal_is_special(v))
        return ROOM_ANY;
    uint64_t abs = v < 0 ? -(uint64_t)v : (uint64_t)v;
    int room = DIGITS_MAX;
    while (room > 0 && abs > (uint64_t)(INT64_MAX / powers[room]))
        room--;
    return room;
}

/* What has to be taken from `up` powers of ten so that v can bear the rest; 0 in the usual case. */
static int excess_of(int64_t v, int up)
{
    if (up <= 0)
        return 0;
    if (up <= DIGITS_MAX) {
        int64_t limit = INT64_MAX / powers[up];
        if (v <= limit && v >= -limit)
            return 0;
    }
    int room = room_of(v);
    return room < up ? up - room : 0;
}

/* v * 10^up, or v / 10^-up truncated toward zero. v must be able to bear it. */
static int64_t rescale(int64_t v, int up)
{
    if (up == 0 || v == 0 || decimal_is_special(v))
        return v;
    if (up > 0)
        return v * powers[up];
    return up < -DIGITS_MAX ? 0 : v / powers[-up];
}

static bool all_equal(const int16_t *exponents, size_t n)
{
    int differ = 0;
    for (size_t i = 1; i < n; i++)
        differ |= exponents[i] ^ exponents[0];
    return !differ;
}

int16_t scale_unify(int64_t *mantissas, const int16_t *exponents, size_t n)
{
    if (!decimal_is_special(mantissas[0]) && all_equal(exponents, n))
        return exponents[0];
    bool ordinary = false;
    int scale = INT16_MAX;
    for (size_t i = 0; i < n; i++) {
        if (decimal_is_special(mantissas[i]))
            continue;
        ordinary = true;
        if (exponents[i] < scale)
            scale = exponents[i];
    }
    if (!ordinary)
        return SCALE_SPECIAL_ONLY;
    int down = 0;
    for (size_t i = 0; i < n; i++) {
        int excess = excess_of(mantissas[i], exponents[i] - scale);
        if (excess > down)
            down = excess;
    }
    scale += down;
    for (size_t i = 0; i < n; i++)
        mantissas[i] = rescale(mantissas[i], exponents[i] - scale);
    return (int16_t)scale;
}

int16_t scale_calibrate(int64_t *a, size_t a_count, int16_t a_scale, int64_t *b, size_t b_count,
                        int16_t b_scale)
{
    if (a_scale == b_scale)
        return a_scale;
    if (!a_count)
        return b_scale;
    if (!b_count)
        return a_scale;
    if (a_scale < b_scale)
        return scale_calibrate(b, b_count, b_scale, a, a_count, a_scale);
    int up = a_scale - b_scale;
    int down = 0;
    for (size_t i = 0; i < a_count; i++) {
        int excess = excess_of(a[i], up);
        if (excess > down)
            down = excess;
    }
    up -= down;
    if (up > 0)
        for (size_t i = 0; i < a_count; i++)
            a[i] = rescale(a[i], up);
    if (down > 0)
        for (size_t i = 0; i < b_count; i++)
            b[i] = rescale(b[i], -down);
    return (int16_t)(b_scale + down);
}
