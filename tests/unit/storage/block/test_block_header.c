#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/block/block_header.h"

/* Format 3.7, bytes of a stock server. */
static const uint8_t example[BLOCK_HEADER_SIZE] = {
    0xba, 0x2e, 0x56, 0x70, 0x83, 0xa2, 0xb2, 0xe8, 0x83, 0x04, 0x11, 0x23, 0xa1, 0xba, 0x3f, 0xb2, //
    0x18, 0xea, 0xe6, 0x6d, 0x5b, 0xa9, 0x6e, 0x9e,                                                 // TSID
    0x00, 0x00, 0x03, 0x42, 0x5a, 0xd1, 0x70, 0x00, 0x00, 0x00, 0x03, 0x42, 0x5a, 0xd1, 0x70, 0x00, // times
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e,                                                 // first
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, //
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x03, 0x03, 0x40};

static void example_of_the_format(void **state)
{
    (void)state;
    struct block_header bh;
    struct error err;
    assert_int_equal(block_header_get(&bh, example, &err), 0);
    assert_true(bh.tsid.metric_group_id == 0xba2e567083a2b2e8 && bh.tsid.job_id == 0x83041123);
    assert_true(bh.tsid.instance_id == 0xa1ba3fb2 && bh.tsid.metric_id == 0x18eae66d5ba96e9e);
    assert_int_equal(bh.min_timestamp, 1791763200000);
    assert_int_equal(bh.max_timestamp, 1791763200000);
    assert_int_equal(bh.first_value, 15);
    assert_int_equal(bh.rows_count, 1);
    assert_int_equal(bh.scale, -1);
    assert_int_equal(bh.timestamps_type, 3);
    assert_int_equal(bh.values_type, 3);
    assert_int_equal(bh.precision_bits, 64);
    uint8_t out[BLOCK_HEADER_SIZE];
    block_header_put(out, &bh);
    assert_memory_equal(out, example, sizeof out);
}

static void every_field_round_trips(void **state)
{
    (void)state;
    struct block_header bh = {.tsid = {UINT64_MAX, 1, UINT32_MAX, 2},
                              .min_timestamp = INT64_MIN,
                              .max_timestamp = INT64_MAX,
                              .first_value = INT64_MIN,
                              .timestamps_offset = 0x0102030405060708,
                              .values_offset = UINT64_MAX,
                              .timestamps_size = 131072,
                              .values_size = 1,
                              .rows_count = 16384,
                              .scale = INT16_MIN,
                              .timestamps_type = 1,
                              .values_type = 6,
                              .precision_bits = 1};
    uint8_t bytes[BLOCK_HEADER_SIZE], again[BLOCK_HEADER_SIZE];
    struct block_header got;
    struct error err;
    block_header_put(bytes, &bh);
    assert_int_equal(block_header_get(&got, bytes, &err), 0);
    block_header_put(again, &got);
    assert_memory_equal(again, bytes, sizeof bytes);
    assert_true(got.min_timestamp == INT64_MIN && got.scale == INT16_MIN && got.timestamps_size == 131072);
}

static void rejects(size_t offset, const char *bytes, size_t n)
{
    uint8_t copy[BLOCK_HEADER_SIZE];
    struct block_header bh = {.rows_count = 99};
    struct error err = {0};
    memcpy(copy, example, sizeof copy);
    memcpy(copy + offset, bytes, n);
    assert_int_equal(block_header_get(&bh, copy, &err), ERR_CORRUPT);
    assert_int_equal(bh.rows_count, 99);
    assert_true(strlen(err.message) > 0);
}

/* Format 3.3. */
static void checks(void **state)
{
    (void)state;
    rejects(72, "\0\0\0\0", 4);     /* no rows */
    rejects(72, "\0\0\x40\x01", 4); /* 16385 rows */
    rejects(78, "\x07", 1);
    rejects(79, "\x07", 1);
    rejects(78, "\x05", 1); /* second differences of one row */
    rejects(79, "\x01", 1);
    rejects(80, "\x00", 1);
    rejects(80, "\x41", 1);
    rejects(64, "\x00\x02\x00\x01", 4);
    rejects(68, "\x00\x02\x00\x01", 4);
    rejects(24, "\x00\x00\x03\x42\x5a\xd1\x70\x02", 8); /* min > max */
}

static struct block_header at(uint64_t group, uint64_t id, int64_t min)
{
    return (struct block_header){.tsid = {group, 0, 0, id}, .min_timestamp = min};
}

static void order_of_blocks(void **state)
{
    (void)state;
    struct error err;
    struct block_header a = at(1, 5, 10), later = at(1, 5, 20), next = at(1, 6, 0), other = at(2, 5, 0);
    assert_int_equal(block_header_check_order(&a, &a, &err), 0);
    assert_int_equal(block_header_check_order(&a, &later, &err), 0);
    assert_int_equal(block_header_check_order(&a, &next, &err), 0);
    assert_int_equal(block_header_check_order(&later, &a, &err), 0); /* as deduplication may leave it */
    assert_int_equal(block_header_check_order(&next, &a, &err), ERR_CORRUPT);
    assert_int_equal(block_header_check_order(&a, &other, &err), ERR_CORRUPT); /* one id, two TSIDs */
}

static void tsids_order_as_their_bytes(void **state)
{
    (void)state;
    static const struct tsid ids[] = {{1, 1, 1, 1}, {1, 1, 1, 2},   {1, 1, 2, 0},
                                      {1, 2, 0, 0}, {256, 0, 0, 0}, {UINT64_MAX, 0, 0, 0}};
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 6; k++) {
            uint8_t a[TSID_SIZE], b[TSID_SIZE];
            tsid_put(a, &ids[i]);
            tsid_put(b, &ids[k]);
            int want = memcmp(a, b, TSID_SIZE), got = tsid_compare(&ids[i], &ids[k]);
            assert_true((want > 0) == (got > 0) && (want < 0) == (got < 0));
            assert_int_equal(tsid_equal(&ids[i], &ids[k]), i == k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_format),
        cmocka_unit_test(every_field_round_trips),
        cmocka_unit_test(checks),
        cmocka_unit_test(order_of_blocks),
        cmocka_unit_test(tsids_order_as_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
