#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/block/block.h"
#include "storage/encoding/int_array.h"

static const struct tsid id = {1, 2, 3, 4};

/* An encoded block of three rows; the data lives in static memory. */
static void make_encoded(struct block *b, const int64_t *timestamps, const int64_t *mantissas)
{
    static struct buffer t, v;
    static uint8_t t_bytes[64], v_bytes[64];
    struct block_header bh = {
        .tsid = id, .max_timestamp = timestamps[2], .rows_count = 3, .precision_bits = 64};
    buffer_clear(&t);
    buffer_clear(&v);
    int_array_encode(&t, timestamps, 3, &bh.timestamps_type, &bh.min_timestamp);
    int_array_encode(&v, mantissas, 3, &bh.values_type, &bh.first_value);
    bh.timestamps_size = (uint32_t)t.len;
    bh.values_size = (uint32_t)v.len;
    if (t.len)
        memcpy(t_bytes, t.data, t.len);
    if (v.len)
        memcpy(v_bytes, v.data, v.len);
    buffer_release(&t);
    buffer_release(&v);
    block_set_encoded(b, &bh, t_bytes, v_bytes);
}

static void decodes(void **state)
{
    (void)state;
    struct block b = {0};
    struct error err;
    const int64_t t[] = {1000, 1015, 1031}, v[] = {5, -7, 5};
    make_encoded(&b, t, v);
    assert_int_equal(block_decode(&b, &err), 0);
    assert_true(b.encoded && b.decoded);
    assert_memory_equal(b.timestamps, t, sizeof t);
    assert_memory_equal(b.mantissas, v, sizeof v);
    const int64_t *before = b.timestamps;
    assert_int_equal(block_decode(&b, &err), 0); /* once is enough */
    assert_ptr_equal(b.timestamps, before);
    block_release(&b);
}

static void checks_times(void **state)
{
    (void)state;
    struct block b = {0};
    struct error err;
    const int64_t good[] = {1000, 1015, 1031}, unordered[] = {1000, 2000, 1031}, v[] = {1, 2, 3};
    make_encoded(&b, unordered, v);
    assert_int_equal(block_decode(&b, &err), ERR_CORRUPT);
    make_encoded(&b, good, v);
    b.header.max_timestamp = 1032;
    assert_int_equal(block_decode(&b, &err), ERR_CORRUPT);
    assert_false(b.decoded);
    make_encoded(&b, good, v);
    b.header.values_type = INT_ARRAY_CONST;
    b.header.values_size = 1;
    assert_int_equal(block_decode(&b, &err), ERR_CORRUPT);
    block_release(&b);
}

/* Format 4.6. */
static void repairs_lossy_times(void **state)
{
    (void)state;
    struct block b = {0};
    struct error err;
    const int64_t unordered[] = {1000, 2000, 1031}, v[] = {1, 2, 3};
    make_encoded(&b, unordered, v);
    b.header.precision_bits = 8;
    b.header.max_timestamp = 1500;
    assert_int_equal(block_decode(&b, &err), 0);
    assert_int_equal(b.timestamps[0], 1000);
    assert_int_equal(b.timestamps[1], 1500);
    assert_int_equal(b.timestamps[2], 1500);
    block_release(&b);
}

static void borrows_until_it_must_own(void **state)
{
    (void)state;
    struct block b = {0}, c = {0};
    const int64_t t[] = {1, 2, 3}, v[] = {4, 5, 6};
    block_set_decoded(&b, &id, t, v, 3, -2);
    assert_int_equal(b.header.min_timestamp, 1);
    assert_int_equal(b.header.max_timestamp, 3);
    assert_int_equal(b.header.rows_count, 3);
    assert_ptr_equal(b.timestamps, t);
    block_borrow(&c, &b);
    assert_ptr_equal(c.mantissas, v);
    block_make_own(&c, 2);
    assert_ptr_not_equal(c.timestamps, t);
    assert_memory_equal(c.timestamps, t, sizeof t);
    assert_memory_equal(c.mantissas, v, sizeof v);
    assert_true(c.own_capacity >= 5);
    block_make_own(&c, 1000); /* rows move along when the memory grows */
    assert_ptr_equal(c.timestamps, c.own_timestamps);
    assert_memory_equal(c.mantissas, v, sizeof v);
    block_swap(&b, &c);
    assert_ptr_equal(c.timestamps, t);
    assert_ptr_equal(b.timestamps, b.own_timestamps);
    block_release(&b);
    block_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(checks_times),
        cmocka_unit_test(repairs_lossy_times),
        cmocka_unit_test(borrows_until_it_must_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
