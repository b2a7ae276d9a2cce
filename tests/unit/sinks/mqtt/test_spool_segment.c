#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sinks/mqtt/spool_segment.h"
#include "src/base/endian.h"

static void test_names(void **state)
{
    (void)state;
    char name[SPOOL_SEGMENT_NAME_SIZE];
    uint64_t lsn;
    spool_segment_name(0x12ab, name);
    assert_string_equal(name, "00000000000012ab.spool");
    assert_true(spool_segment_parse_name(name, &lsn));
    assert_int_equal(lsn, 0x12ab);
    static const char *const others[] = {"", "spool-id", "00000000000012AB.spool",
                                         "00000000000012ab.spool.tmp", "12ab.spool"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(spool_segment_parse_name(others[i], &lsn));
}

static void test_header(void **state)
{
    (void)state;
    uint8_t header[SPOOL_SEGMENT_HEADER_SIZE];
    uint32_t seed;
    spool_segment_put_header(header, 7, 99);
    assert_true(spool_segment_parse_header(header, sizeof header, 7, &seed));
    assert_int_equal(seed, 99);
    assert_false(spool_segment_parse_header(header, sizeof header, 8, &seed));
    assert_false(spool_segment_parse_header(header, sizeof header - 1, 7, &seed));
    for (size_t i = 0; i < 28; i++) {
        header[i] ^= 1;
        assert_false(spool_segment_parse_header(header, sizeof header, 7, &seed));
        header[i] ^= 1;
    }
}

static void test_record(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct spool_record in = {.lsn = 5,
                              .arrival_ms = -3,
                              .packet_id = 0xfffe,
                              .qos = 1,
                              .retained = true,
                              .dup = true,
                              .topic = span_of("a/b", 3),
                              .payload = span_of("hello", 5)},
                        out;
    size_t size;
    spool_record_append(&b, &in);
    in.lsn = 6;
    in.qos = 0;
    in.retained = in.dup = false;
    in.payload.len = 0;
    spool_record_append(&b, &in);
    spool_records_seal(b.data, b.len, 77);
    assert_int_equal(spool_record_parse(b.data, b.len, 77, 5, &out, &size), SPOOL_PARSE_OK);
    assert_int_equal(size, 40);
    assert_int_equal(out.arrival_ms, -3);
    assert_int_equal(out.packet_id, 0xfffe);
    assert_int_equal(out.qos, 1);
    assert_true(out.retained && out.dup);
    assert_int_equal(out.topic.len, 3);
    assert_memory_equal(out.topic.data, "a/b", 3);
    assert_memory_equal(out.payload.data, "hello", 5);
    assert_int_equal(spool_record_parse(b.data + size, b.len - size, 77, 6, &out, &size), SPOOL_PARSE_OK);
    assert_true(!out.retained && !out.dup && out.payload.len == 0 && out.qos == 0);

    assert_int_equal(spool_record_parse(b.data, b.len, 77, 6, &out, &size), SPOOL_PARSE_DAMAGED);
    assert_int_equal(spool_record_parse(b.data, b.len, 78, 5, &out, &size), SPOOL_PARSE_DAMAGED);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(spool_record_parse(b.data, i, 77, 5, &out, &size), SPOOL_PARSE_SHORT);
    for (size_t i = 0; i < 40 * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_not_equal(spool_record_parse(b.data, b.len, 77, 5, &out, &size), SPOOL_PARSE_OK);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    put_le32(b.data, 31); /* shorter than a header; and longer than any record */
    assert_int_equal(spool_record_parse(b.data, b.len, 77, 5, &out, &size), SPOOL_PARSE_DAMAGED);
    put_le32(b.data, UINT32_MAX);
    assert_int_equal(spool_record_parse(b.data, b.len, 77, 5, &out, &size), SPOOL_PARSE_DAMAGED);
    buffer_release(&b);
}

static void test_cut_record(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct spool_record in = {.lsn = 1,
                              .qos = 1,
                              .cut_from = 300000000,
                              .topic = span_of("a", 1),
                              .payload = span_of("head", 4)},
                        out;
    size_t size;
    spool_record_append(&b, &in);
    spool_records_seal(b.data, b.len, 7);
    assert_int_equal(b.len, spool_record_size(&in));
    assert_int_equal(spool_record_parse(b.data, b.len, 7, 1, &out, &size), SPOOL_PARSE_OK);
    assert_int_equal(out.cut_from, 300000000);
    assert_int_equal(out.qos, 1);
    assert_int_equal(out.payload.len, 4);
    assert_memory_equal(out.payload.data, "head", 4);
    put_le32(b.data + SPOOL_RECORD_HEADER_SIZE + 1, 0); /* no size: nothing that we write */
    spool_records_seal(b.data, b.len, 7);
    assert_int_equal(spool_record_parse(b.data, b.len, 7, 1, &out, &size), SPOOL_PARSE_DAMAGED);
    put_le32(b.data, SPOOL_RECORD_HEADER_SIZE + 4); /* nor place for one */
    spool_records_seal(b.data, SPOOL_RECORD_HEADER_SIZE + 4, 7);
    assert_int_equal(spool_record_parse(b.data, SPOOL_RECORD_HEADER_SIZE + 4, 7, 1, &out, &size),
                     SPOOL_PARSE_DAMAGED);
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_header),
                                       cmocka_unit_test(test_record), cmocka_unit_test(test_cut_record)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
