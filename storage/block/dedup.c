#include "storage/block/dedup.h"

#include <string.h>

#include "src/base/decimal.h"

/* The last timestamp of the window that t lies in. */
static int64_t window_end(int64_t t, int64_t interval_ms)
{
    int64_t past = t % interval_ms;
    return past ? t + (interval_ms - past) : t;
}

/* Rows [first, ret) are those of one window. */
static size_t next_window(const int64_t *timestamps, size_t n, size_t first, int64_t interval_ms)
{
    int64_t end = window_end(timestamps[first], interval_ms);
    size_t i = first + 1;
    while (i < n && timestamps[i] <= end)
        i++;
    return i;
}

/* The first of the rows up to `last` that have its timestamp; not before `first`. */
static size_t first_of_equals(const int64_t *timestamps, size_t first, size_t last)
{
    while (last > first && timestamps[last - 1] == timestamps[last])
        last--;
    return last;
}

bool dedup_is_needed(const int64_t *timestamps, size_t n, int64_t interval_ms)
{
    if (interval_ms <= 0)
        return false;
    for (size_t i = 0; i < n;) {
        size_t next = next_window(timestamps, n, i, interval_ms);
        if (next - i > 1)
            return true;
        i = next;
    }
    return false;
}

size_t dedup_mantissas(int64_t *timestamps, int64_t *mantissas, size_t n, int64_t interval_ms)
{
    size_t kept = 0;
    for (size_t first = 0; first < n;) {
        size_t next = next_window(timestamps, n, first, interval_ms), last = next - 1;
        int64_t best = mantissas[last];
        for (size_t i = first_of_equals(timestamps, first, last); i < last; i++)
            if (mantissas[i] != DECIMAL_STALE && (best == DECIMAL_STALE || mantissas[i] > best))
                best = mantissas[i];
        timestamps[kept] = timestamps[last];
        mantissas[kept++] = best;
        first = next;
    }
    return kept;
}

static bool is_stale(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == STALE_NAN_BITS;
}

size_t dedup_values(int64_t *timestamps, double *values, size_t n, int64_t interval_ms)
{
    size_t kept = 0;
    for (size_t first = 0; first < n;) {
        size_t next = next_window(timestamps, n, first, interval_ms), last = next - 1;
        double best = values[last];
        for (size_t i = first_of_equals(timestamps, first, last); i < last; i++)
            if (!is_stale(values[i]) && (is_stale(best) || values[i] > best))
                best = values[i];
        timestamps[kept] = timestamps[last];
        values[kept++] = best;
        first = next;
    }
    return kept;
}
