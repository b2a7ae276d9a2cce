#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/encoding/varint.h"

static void encodes(uint64_t v, const char *want, size_t want_size)
{
    uint8_t buf[VARINT_MAX_BYTES];
    size_t size = (size_t)(varint_put_unsigned(buf, v) - buf);
    assert_int_equal(size, want_size);
    assert_memory_equal(buf, want, size);
}

/* Format 1. */
static void examples(void **state)
{
    (void)state;
    encodes(0, "\x00", 1);
    encodes(300, "\xac\x02", 2);
    encodes(zigzag64(15000), "\xb0\xea\x01", 3);
    encodes(zigzag64(-64), "\x7f", 1);
    encodes(zigzag64(75), "\x96\x01", 2);
    encodes(zigzag64(-525), "\x99\x08", 2);
    assert_int_equal(zigzag64(-3), 5);
    assert_int_equal(zigzag16(-2), 3);
    assert_int_equal(unzigzag16(3), -2);
    assert_int_equal(unzigzag16(zigzag16(INT16_MIN)), INT16_MIN);
}

static void round_trips(int64_t v)
{
    uint8_t buf[VARINT_MAX_BYTES];
    const uint8_t *end = varint_put_signed(buf, v);
    assert_true(end - buf <= VARINT_MAX_BYTES);
    int64_t got = 0;
    assert_ptr_equal(varint_get_signed(buf, end, &got), end);
    assert_int_equal(got, v);
    for (const uint8_t *cut = buf; cut < end; cut++) /* and never reads past the end */
        assert_null(varint_get_signed(buf, cut, &got));
}

static void every_length_round_trips(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        int64_t v = (int64_t)((uint64_t)1 << bit);
        round_trips(v);
        round_trips((int64_t)((uint64_t)v - 1));
        round_trips((int64_t)(0 - (uint64_t)v));
    }
}

static void odd_forms(void **state)
{
    (void)state;
    uint64_t got = 77;
    const uint8_t not_minimal[] = {0x80, 0x80, 0x00};
    assert_ptr_equal(varint_get_unsigned(not_minimal, not_minimal + 3, &got), not_minimal + 3);
    assert_int_equal(got, 0);
    uint8_t too_long[11];
    memset(too_long, 0x80, sizeof too_long);
    assert_null(varint_get_unsigned(too_long, too_long + sizeof too_long, &got));
    const uint8_t too_large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    assert_null(varint_get_unsigned(too_large, too_large + sizeof too_large, &got));
    assert_int_equal(got, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(every_length_round_trips),
        cmocka_unit_test(odd_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
