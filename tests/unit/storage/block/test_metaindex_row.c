#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "storage/block/metaindex_row.h"
#include "storage/encoding/zstd_codec.h"

/* Format 3.7. */
static const uint8_t example[METAINDEX_ROW_SIZE] = {
    0xba, 0x2e, 0x56, 0x70, 0x83, 0xa2, 0xb2, 0xe8, 0x83, 0x04, 0x11, 0x23, 0xa1, 0xba,
    0x3f, 0xb2, 0x18, 0xea, 0xe6, 0x6d, 0x5b, 0xa9, 0x6e, 0x9e, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x42, 0x5a, 0xd1, 0x70, 0x00, 0x00, 0x00, 0x03, 0x42, 0x5a, 0xd1,
    0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x47};

static void example_of_the_format(void **state)
{
    (void)state;
    struct metaindex_row mr;
    struct error err;
    assert_int_equal(metaindex_row_get(&mr, example, &err), 0);
    assert_true(mr.tsid.metric_id == 0x18eae66d5ba96e9e);
    assert_int_equal(mr.headers_count, 1);
    assert_int_equal(mr.min_timestamp, 1791763200000);
    assert_int_equal(mr.max_timestamp, 1791763200000);
    assert_int_equal(mr.index_offset, 0);
    assert_int_equal(mr.index_size, 0x47);
    uint8_t out[METAINDEX_ROW_SIZE];
    metaindex_row_put(out, &mr);
    assert_memory_equal(out, example, sizeof out);
}

/* Decodes rows of which the caller may have broken one. */
static int decode(const struct metaindex_row *rows, size_t n, size_t extra_bytes, uint64_t index_bytes)
{
    uint8_t raw[8 * METAINDEX_ROW_SIZE] = {0};
    struct buffer packed = {0};
    struct metaindex_row *got = NULL;
    size_t count = 0;
    struct error err = {0};
    for (size_t i = 0; i < n; i++)
        metaindex_row_put(raw + i * METAINDEX_ROW_SIZE, &rows[i]);
    zstd_compress(&packed, raw, n * METAINDEX_ROW_SIZE + extra_bytes, 1);
    int r = metaindex_rows_decode(&got, &count, packed.data, packed.len, index_bytes, &err);
    if (r == 0)
        assert_int_equal(count, n);
    else
        assert_true(strlen(err.message) > 0);
    free(got);
    buffer_release(&packed);
    return r;
}

static void checks(void **state)
{
    (void)state;
    const struct metaindex_row good[] = {{{1, 0, 0, 1}, 5, 10, 20, 0, 100},
                                         {{1, 0, 0, 1}, 5, 15, 30, 100, 50}};
    struct metaindex_row rows[2];
    assert_int_equal(decode(good, 2, 0, 150), 0);
    assert_int_equal(decode(good, 2, 0, 151), ERR_CORRUPT); /* bytes of index.bin that no row has */
    assert_int_equal(decode(good, 2, 1, 150), ERR_CORRUPT); /* not a number of rows */
    assert_int_equal(decode(good, 0, 0, 150), ERR_CORRUPT); /* no row */
#define BROKEN(change)               \
    memcpy(rows, good, sizeof rows); \
    change;                          \
    assert_int_equal(decode(rows, 2, 0, 150), ERR_CORRUPT)
    BROKEN(rows[0].headers_count = 0);
    BROKEN(rows[0].headers_count = INDEX_BLOCK_HEADERS_READ_MAX + 1);
    BROKEN(rows[0].index_size = 0; rows[1].index_offset = 0; rows[1].index_size = 150);
    BROKEN(rows[1].index_offset = 99);
    BROKEN(rows[1].index_size = INDEX_BLOCK_READ_MAX + 1);
    BROKEN(rows[0].min_timestamp = 21);
    BROKEN(rows[0].tsid.metric_id = 2);
#undef BROKEN
}

static int decode_block(const struct block_header *headers, size_t n, const struct metaindex_row *mr)
{
    uint8_t raw[4 * BLOCK_HEADER_SIZE];
    struct block_header got[4];
    struct buffer packed = {0}, scratch = {0};
    struct error err = {0};
    struct metaindex_row row = *mr;
    for (size_t i = 0; i < n; i++)
        block_header_put(raw + i * BLOCK_HEADER_SIZE, &headers[i]);
    zstd_compress(&packed, raw, n * BLOCK_HEADER_SIZE, 1);
    row.index_size = (uint32_t)packed.len;
    int r = index_block_decode(got, &row, packed.data, &scratch, &err);
    if (r == 0)
        assert_int_equal(got[n - 1].min_timestamp, headers[n - 1].min_timestamp);
    buffer_release(&packed);
    buffer_release(&scratch);
    return r;
}

static void index_blocks(void **state)
{
    (void)state;
#define HEADER(id, min, max)                                                                \
    {                                                                                       \
        .tsid = {1, 0, 0, id}, .min_timestamp = min, .max_timestamp = max, .rows_count = 1, \
        .timestamps_type = 3, .values_type = 3, .precision_bits = 64                        \
    }
    const struct block_header good[] = {HEADER(1, 10, 20), HEADER(1, 15, 30), HEADER(2, 10, 12)};
    const struct metaindex_row mr = {{1, 0, 0, 1}, 3, 10, 30, 0, 0};
    struct metaindex_row row;
    struct block_header headers[3];
    assert_int_equal(decode_block(good, 3, &mr), 0);
    assert_int_equal(decode_block(good, 2, &mr), ERR_CORRUPT); /* fewer than promised */
    row = mr;
    row.headers_count = 2;
    assert_int_equal(decode_block(good, 3, &row), ERR_CORRUPT); /* more */
    row = mr;
    row.tsid.metric_id = 0;
    assert_int_equal(decode_block(good, 3, &row), ERR_CORRUPT); /* another first series */
    row = mr;
    row.max_timestamp = 29;
    assert_int_equal(decode_block(good, 3, &row), ERR_CORRUPT);
    memcpy(headers, good, sizeof headers);
    headers[1].min_timestamp = 9;
    assert_int_equal(decode_block(headers, 3, &mr), ERR_CORRUPT);
    memcpy(headers, good, sizeof headers);
    headers[2].rows_count = 0;
    assert_int_equal(decode_block(headers, 3, &mr), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_format),
        cmocka_unit_test(checks),
        cmocka_unit_test(index_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
