#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/buffer.h"

static void appends_and_grows(void **state)
{
    (void)state;
    struct buffer b = {0};
    buffer_append(&b, NULL, 0);
    assert_null(b.data);
    for (unsigned i = 0; i < 10000; i++)
        buffer_append_u8(&b, (uint8_t)i);
    assert_int_equal(b.len, 10000);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)i);
    size_t cap = b.cap;
    buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    buffer_append_str(&b, "abc");
    buffer_append(&b, "de", 2);
    assert_string_equal(buffer_cstr(&b), "abcde");
    assert_int_equal(b.len, 5);
    buffer_release(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void prints_text_of_any_length(void **state)
{
    (void)state;
    struct buffer b = {0};
    assert_string_equal(buffer_cstr(&b), "");
    buffer_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    buffer_printf(&b, "%d-%s", 42, "x");
    assert_string_equal(buffer_cstr(&b), "42-x");
    buffer_printf(&b, "%*d", 5000, 7);
    assert_int_equal(b.len, 5004);
    assert_int_equal(b.data[5003], '7');
    buffer_release(&b);
}

static void reserves_where_the_next_byte_goes(void **state)
{
    (void)state;
    struct buffer b = {0};
    buffer_append_str(&b, "x");
    uint8_t *p = buffer_reserve(&b, 1000);
    assert_ptr_equal(p, b.data + 1);
    assert_true(b.cap - b.len >= 1000);
    assert_int_equal(b.len, 1);
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_grows),
        cmocka_unit_test(prints_text_of_any_length),
        cmocka_unit_test(reserves_where_the_next_byte_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
