#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/decimal.h"
#include "storage/block/dedup.h"

#define ROWS_MAX 40

static double stale(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void windows_end_at_multiples_of_the_interval(void **state)
{
    (void)state;
    int64_t timestamps[] = {1000, 1001, 1999, 2000, 2001, 3000, 4500, 9000, 9001};
    int64_t mantissas[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    assert_true(dedup_is_needed(timestamps, 9, 1000));
    assert_int_equal(dedup_mantissas(timestamps, mantissas, 9, 1000), 6);
    const int64_t expected_timestamps[] = {1000, 2000, 3000, 4500, 9000, 9001};
    const int64_t expected_mantissas[] = {1, 4, 6, 7, 8, 9};
    assert_memory_equal(timestamps, expected_timestamps, sizeof expected_timestamps);
    assert_memory_equal(mantissas, expected_mantissas, sizeof expected_mantissas);
    assert_false(dedup_is_needed(timestamps, 6, 1000));
    assert_false(dedup_is_needed(timestamps, 6, 0));
    assert_false(dedup_is_needed(timestamps, 1, 1000));
    assert_false(dedup_is_needed(timestamps, 0, 1000));
}

static void of_equal_timestamps_the_largest_number_stays(void **state)
{
    (void)state;
    static const struct {
        int64_t in[4];
        int64_t out;
    } cases[] = {
        {{1, 5, 3, 2}, 5},
        {{2, -5, -3, -2}, 2},
        {{1, 2, DECIMAL_STALE, 1}, 2},
        {{1, 2, 1, DECIMAL_STALE}, 2},
        {{DECIMAL_STALE, DECIMAL_STALE, DECIMAL_STALE, DECIMAL_STALE}, DECIMAL_STALE},
        {{DECIMAL_INF_NEG, DECIMAL_STALE, DECIMAL_STALE, DECIMAL_STALE}, DECIMAL_INF_NEG},
        {{DECIMAL_INF_POS, 1, DECIMAL_MAX, 2}, DECIMAL_INF_POS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t timestamps[] = {500, 900, 900, 900, 900};
        int64_t mantissas[5] = {INT64_C(1) << 60};
        double values[5] = {1e300};
        memcpy(mantissas + 1, cases[i].in, sizeof cases[i].in);
        for (size_t k = 0; k < 5; k++)
            values[k] = k ? decimal_to_double(mantissas[k], 0) : 1e300;
        int64_t again[5];
        memcpy(again, timestamps, sizeof again);
        assert_int_equal(dedup_mantissas(timestamps, mantissas, 5, 1000), 1);
        assert_int_equal(timestamps[0], 900);
        assert_int_equal(mantissas[0], cases[i].out);
        assert_int_equal(dedup_values(again, values, 5, 1000), 1);
        double expected = cases[i].out == DECIMAL_STALE ? stale() : decimal_to_double(cases[i].out, 0);
        assert_int_equal(again[0], 900);
        assert_memory_equal(&values[0], &expected, sizeof expected);
    }
}

/* By the rule's own words, window by window. */
static size_t by_words(int64_t *timestamps, int64_t *mantissas, size_t n, int64_t interval)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t window = (timestamps[i] + interval - 1) / interval, best = 0, last = 0;
        bool seen = false;
        for (size_t k = 0; k < n; k++)
            if ((timestamps[k] + interval - 1) / interval == window && timestamps[k] > last)
                last = timestamps[k];
        if (timestamps[i] != last || (i && timestamps[i - 1] == last))
            continue;
        for (size_t k = i; k < n && timestamps[k] == last; k++) {
            if (mantissas[k] == DECIMAL_STALE)
                continue;
            best = !seen || mantissas[k] > best ? mantissas[k] : best;
            seen = true;
        }
        timestamps[kept] = last;
        mantissas[kept++] = seen ? best : DECIMAL_STALE;
    }
    return kept;
}

static void random_rows_are_as_the_rule_says(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        int64_t timestamps[ROWS_MAX], mantissas[ROWS_MAX], expected_t[ROWS_MAX], expected_m[ROWS_MAX];
        size_t n = 1 + (size_t)rand_r(&seed) % ROWS_MAX;
        int64_t interval = 1 + rand_r(&seed) % 50, t = DECIMAL_MAX / 1000000 + rand_r(&seed) % 100;
        for (size_t i = 0; i < n; i++) {
            t += rand_r(&seed) % 3 ? rand_r(&seed) % 40 : 0;
            timestamps[i] = t;
            mantissas[i] = rand_r(&seed) % 4 ? rand_r(&seed) % 100 - 50 : DECIMAL_STALE;
        }
        memcpy(expected_t, timestamps, sizeof timestamps);
        memcpy(expected_m, mantissas, sizeof mantissas);
        size_t expected = by_words(expected_t, expected_m, n, interval);
        assert_int_equal(dedup_is_needed(timestamps, n, interval), expected < n);
        assert_int_equal(dedup_mantissas(timestamps, mantissas, n, interval), expected);
        assert_memory_equal(timestamps, expected_t, expected * sizeof *timestamps);
        assert_memory_equal(mantissas, expected_m, expected * sizeof *mantissas);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_end_at_multiples_of_the_interval),
        cmocka_unit_test(of_equal_timestamps_the_largest_number_stays),
        cmocka_unit_test(random_rows_are_as_the_rule_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
