/* What the scans find is what looking at each item finds, with AVX2 and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/encoding/int_scan.h"

#define ITEMS_MAX 200
#define ROUNDS    20000
#define STRIDE    32

static int64_t random64(void)
{
    return (int64_t)((uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand());
}

/* Steps of one size, or rising ones, modulo 2^64 now and then, and perhaps one item that differs. */
static size_t fill(int64_t *a, int64_t step)
{
    size_t n = 1 + (size_t)rand() % (ITEMS_MAX - 1);
    a[0] = rand() % 10 ? rand() : random64();
    for (size_t i = 1; i < n; i++)
        a[i] = (int64_t)((uint64_t)a[i - 1] + (uint64_t)step);
    if (rand() % 2) {
        size_t i = (size_t)rand() % n;
        a[i] = rand() % 2 ? (int64_t)((uint64_t)a[i] + (uint64_t)(rand() % 3) - 1) : random64();
    }
    return n;
}

static void equal_looking_at_each(void **state)
{
    (void)state;
    srand(6);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t a[ITEMS_MAX], step = rand() % 4 == 0 ? random64() : rand() % 3 == 0 ? 0 : rand() % 1000;
        size_t n = fill(a, step), first_fall = n;
        bool steps = true;
        for (size_t i = n; i-- > 1;) {
            steps &= (uint64_t)a[i] - (uint64_t)a[i - 1] == (uint64_t)step;
            first_fall = a[i] < a[i - 1] ? i : first_fall;
        }
        size_t rise = 1 + (first_fall - 1) / STRIDE * STRIDE;
        bool ordered = first_fall == n;
        if (int_scan_is_ordered(a, n) != ordered || int_scan_is_ordered_plain(a, n) != ordered)
            fail_msg("round %d: %zu items, the first fall at %zu: not found", round, n, first_fall);
        if (int_scan_has_step(a, n, step) != steps || int_scan_has_step_plain(a, n, step) != steps)
            fail_msg("round %d: %zu items, steps of %lld: expected %d", round, n, (long long)step, steps);
        if (int_scan_rise(a, n) != rise || int_scan_rise_plain(a, n) != rise)
            fail_msg("round %d: %zu items, the first fall at %zu: rise of %zu and %zu, expected %zu", round,
                     n, first_fall, int_scan_rise(a, n), int_scan_rise_plain(a, n), rise);
    }
}

static void extremes(void **state)
{
    (void)state;
    const int64_t falls[] = {INT64_MAX, INT64_MIN}, rises[] = {INT64_MIN, INT64_MAX};
    assert_false(int_scan_is_ordered(falls, 2));
    assert_true(int_scan_is_ordered(rises, 2));
    assert_true(int_scan_is_ordered(rises, 0));
    assert_true(int_scan_has_step(falls, 2, 1)); /* modulo 2^64 */
    assert_true(int_scan_has_step(falls, 1, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_looking_at_each),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
