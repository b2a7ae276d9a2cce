#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>

#include "src/base/decimal.h"
#include "storage/encoding/scale.h"

#define VALUES_MAX 16

static void one_scale_for_a_block(void **state)
{
    (void)state;
    int64_t mixed[] = {15, 225, -3}; /* 1.5, 2.25, -3 */
    assert_int_equal(scale_unify(mixed, (int16_t[]){-1, -2, 0}, 3), -2);
    assert_int_equal(mixed[0], 150);
    assert_int_equal(mixed[1], 225);
    assert_int_equal(mixed[2], -300);

    int64_t equal[] = {1, 2, 3};
    assert_int_equal(scale_unify(equal, (int16_t[]){2, 2, 2}, 3), 2);
    assert_int_equal(equal[2], 3);

    int64_t far[] = {1, 1}; /* 1e-10 and 1e10: 18 digits are all a block has */
    assert_int_equal(scale_unify(far, (int16_t[]){-10, 10}, 2), -8);
    assert_int_equal(far[0], 0);
    assert_int_equal(far[1], 1000000000000000000);
}

static void special_values_stay(void **state)
{
    (void)state;
    int64_t only[] = {DECIMAL_STALE, DECIMAL_INF_NEG};
    assert_int_equal(scale_unify(only, (int16_t[]){0, 0}, 2), SCALE_SPECIAL_ONLY);
    assert_int_equal(only[0], DECIMAL_STALE);

    int64_t some[] = {DECIMAL_INF_POS, 425, DECIMAL_STALE, 1};
    assert_int_equal(scale_unify(some, (int16_t[]){0, -1, 0, 2}, 4), -1);
    assert_int_equal(some[0], DECIMAL_INF_POS);
    assert_int_equal(some[1], 425);
    assert_int_equal(some[2], DECIMAL_STALE);
    assert_int_equal(some[3], 1000);
}

/* Format 10.5. */
static void calibration_examples(void **state)
{
    (void)state;
    int64_t large[] = {1}, small[] = {1}; /* 1e17 and 1e-3 */
    assert_int_equal(scale_calibrate(large, 1, 17, small, 1, -3), -1);
    assert_int_equal(large[0], 1000000000000000000);
    assert_int_equal(small[0], 0);

    int64_t special[] = {DECIMAL_STALE}, values[] = {15, 25}; /* 1.5, 2.5 keep mantissas and scale */
    assert_int_equal(scale_calibrate(special, 1, SCALE_SPECIAL_ONLY, values, 2, -1), -1);
    assert_int_equal(values[0], 15);
    assert_int_equal(values[1], 25);
    assert_int_equal(scale_calibrate(values, 2, -1, special, 1, -1024),
                     -18); /* as the reference's special blocks do */
    assert_int_equal(values[0], 1500000000000000000);
    assert_int_equal(special[0], DECIMAL_STALE);

    assert_int_equal(scale_calibrate(values, 0, 3, special, 1, 7), 7);
    assert_int_equal(scale_calibrate(values, 1, 3, special, 0, 7), 3);
}

static void unify_equals_vmwrite(void **state)
{
    (void)state;
    FILE *f = fopen(TABLE_DIR "/scale_table.txt", "r");
    assert_non_null(f);
    int64_t mantissas[VALUES_MAX], want[VALUES_MAX];
    int16_t exponents[VALUES_MAX], want_scale;
    size_t n;
    int lines = 0;
    while (fscanf(f, "%" SCNd16 " %zu", &want_scale, &n) == 2) {
        for (size_t i = 0; i < n; i++)
            assert_int_equal(
                fscanf(f, "%" SCNd64 " %" SCNd16 " %" SCNd64, &mantissas[i], &exponents[i], &want[i]), 3);
        assert_int_equal(scale_unify(mantissas, exponents, n), want_scale);
        assert_memory_equal(mantissas, want, n * sizeof *want);
        lines++;
    }
    fclose(f);
    assert_true(lines > 300);
}

static void calibrate_equals_model(void **state)
{
    (void)state;
    FILE *f = fopen(TABLE_DIR "/calibrate_table.txt", "r");
    assert_non_null(f);
    int64_t a[VALUES_MAX], b[VALUES_MAX], want_a[VALUES_MAX], want_b[VALUES_MAX];
    int16_t want_scale, a_scale, b_scale;
    size_t n;
    int lines = 0;
    while (fscanf(f, "%" SCNd16 " %" SCNd16 " %" SCNd16 " %zu", &want_scale, &a_scale, &b_scale, &n) == 4) {
        for (size_t i = 0; i < n; i++)
            assert_int_equal(fscanf(f, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &a[i], &b[i],
                                    &want_a[i], &want_b[i]),
                             4);
        assert_int_equal(scale_calibrate(a, n, a_scale, b, n, b_scale), want_scale);
        assert_memory_equal(a, want_a, n * sizeof *a);
        assert_memory_equal(b, want_b, n * sizeof *b);
        lines++;
    }
    fclose(f);
    assert_true(lines > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_scale_for_a_block),  cmocka_unit_test(special_values_stay),
        cmocka_unit_test(calibration_examples),   cmocka_unit_test(unify_equals_vmwrite),
        cmocka_unit_test(calibrate_equals_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
