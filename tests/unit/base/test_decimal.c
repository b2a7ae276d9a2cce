#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/base/decimal.h"

static double from_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint64_t to_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Format 4.1, 4.4 and 4.5. */
static void examples(void **state)
{
    (void)state;
    static const struct {
        double value;
        int64_t mantissa;
        int exponent;
        double reads_as;
    } table[] = {
        {0, 0, 0, 0},
        {-0.0, 0, 0, 0},
        {1, 1, 0, 1},
        {42.5, 425, -1, 42.5},
        {100, 1, 2, 100},
        {-3, -3, 0, -3},
        {12345.678, 12345678, -3, 12345.678},
        {1e300, 1, 300, 1e300},
        {9007199254740994.0, 9007199254740994, 0, 9007199254740994.0},
        {9223372036854775808.0, 9223372036854775, 3, 9223372036854775808.0},
        {18446744073709551616.0, 18446744073709548, 3, 18446744073709548000.0},
        {1.7976931348623157e308, 1797693134862315, 293, 1.797693134862315e308},
        {123456789012345678.0, 12345678901234568, 1, 123456789012345678.0},
        {5e-324, 494065645841, -335, 0},
        {1.0 / 3, 333333333333, -12, 0.333333333333},
        {3.14159265358979, 3141592653589, -12, 3.141592653589},
        {0.30000000000000004, 3, -1, 0.3},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct decimal d = decimal_from_double(table[i].value);
        assert_int_equal(d.mantissa, table[i].mantissa);
        assert_int_equal(d.exponent, table[i].exponent);
        assert_true(decimal_to_double(d.mantissa, d.exponent) == table[i].reads_as);
    }
}

static void special_values(void **state)
{
    (void)state;
    assert_int_equal(decimal_from_double(INFINITY).mantissa, DECIMAL_INF_POS);
    assert_int_equal(decimal_from_double(-INFINITY).mantissa, DECIMAL_INF_NEG);
    assert_int_equal(decimal_from_double(from_bits(STALE_NAN_BITS)).mantissa, DECIMAL_STALE);
    for (int scale = -400; scale <= 400; scale += 400) {
        assert_true(decimal_to_double(DECIMAL_INF_POS, (int16_t)scale) == INFINITY);
        assert_true(decimal_to_double(DECIMAL_INF_NEG, (int16_t)scale) == -INFINITY);
        assert_int_equal(to_bits(decimal_to_double(DECIMAL_STALE, (int16_t)scale)), STALE_NAN_BITS);
    }
    assert_true(decimal_is_special(DECIMAL_STALE));
    assert_false(decimal_is_special(DECIMAL_MAX));
    assert_false(decimal_is_special(DECIMAL_MIN));
}

static void powers_of_ten(void **state)
{
    (void)state;
    assert_true(decimal_pow10(0) == 1);
    assert_true(decimal_pow10(22) == 1e22);
    assert_true(decimal_pow10(308) == 1e308);
    assert_true(decimal_pow10(309) == INFINITY);
    assert_true(decimal_pow10(-1) == 0.1);
    assert_true(decimal_pow10(-324) == 0);
    for (int n = 0; n <= 22; n++)
        assert_true(decimal_pow10(n) == pow(10, n));
}

static void equals_vmwrite(void **state)
{
    (void)state;
    FILE *f = fopen(TABLE_DIR "/decimal_table.txt", "r");
    assert_non_null(f);
    uint64_t bits, reads_as;
    int64_t mantissa;
    int exponent;
    int lines = 0;
    while (fscanf(f, "%" SCNx64 " %" SCNd64 " %d %" SCNx64, &bits, &mantissa, &exponent, &reads_as) == 4) {
        struct decimal d = decimal_from_double(from_bits(bits));
        if (d.mantissa != mantissa || d.exponent != exponent)
            fail_msg("%a: %" PRId64 "e%d, want %" PRId64 "e%d", from_bits(bits), d.mantissa, d.exponent,
                     mantissa, exponent);
        assert_int_equal(to_bits(decimal_to_double(mantissa, (int16_t)exponent)), reads_as);
        lines++;
    }
    fclose(f);
    assert_true(lines > 2500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(special_values),
        cmocka_unit_test(powers_of_ten),
        cmocka_unit_test(equals_vmwrite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
