#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/block/block_stream_reader.h"
#include "storage/block/block_stream_writer.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/part/part_sums.h"
#include "tests/unit/storage/part/part_fixture.h"

#define T0 INT64_C(1791763200000)

static void read_file(void **state, const char *name, struct buffer *dst)
{
    struct error err;
    buffer_clear(dst);
    assert_int_equal(fs_read_file(path_in(state, name), 1 << 20, dst, &err), 0);
}

static void unpacked(void **state, const char *name, struct buffer *dst)
{
    struct buffer packed = {0};
    struct error err;
    read_file(state, name, &packed);
    buffer_clear(dst);
    assert_int_equal(zstd_decompress(dst, packed.data, packed.len, 1 << 20, &err), 0);
    buffer_release(&packed);
}

static void write_rows(struct block_stream_writer *bsw, const struct tsid *tsid, const int64_t *t,
                       const int64_t *v, size_t n, int16_t scale)
{
    struct block b = {0};
    struct error err = {0};
    block_set_decoded(&b, tsid, t, v, n, scale);
    if (block_stream_writer_write_block(bsw, &b, &err) < 0)
        fail_msg("%s", err.message);
}

/* Format 3.7: series m{job="x",instance="y"}, one sample 1.5. */
static void example_of_the_format(void **state)
{
    static const char header[] =
        "\xba\x2e\x56\x70\x83\xa2\xb2\xe8\x83\x04\x11\x23\xa1\xba\x3f\xb2\x18\xea\xe6\x6d\x5b\xa9"
        "\x6e\x9e\x00\x00\x03\x42\x5a\xd1\x70\x00\x00\x00\x03\x42\x5a\xd1\x70\x00\x00\x00\x00\x00"
        "\x00\x00\x00\x1e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x03\x03\x40";
    const struct tsid tsid = {0xba2e567083a2b2e8, 0x83041123, 0xa1ba3fb2, 0x18eae66d5ba96e9e};
    struct block_stream_writer bsw;
    struct part_header ph;
    uint64_t size;
    struct error err;
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "p"), 1, 1, &err), 0);
    write_rows(&bsw, &tsid, (int64_t[]){T0}, (int64_t[]){15}, 1, -1);
    assert_int_equal(block_stream_writer_finish(&bsw, &ph, &size, &err), 0);

    struct buffer b = {0};
    read_file(state, "p/timestamps.bin", &b);
    assert_int_equal(b.len, 0);
    read_file(state, "p/values.bin", &b);
    assert_int_equal(b.len, 0);
    unpacked(state, "p/index.bin", &b);
    assert_int_equal(b.len, 81);
    assert_memory_equal(b.data, header, 81);
    unpacked(state, "p/metaindex.bin", &b);
    assert_int_equal(b.len, 56);
    assert_memory_equal(b.data, header, 24);
    assert_memory_equal(b.data + 24, "\0\0\0\1", 4);
    assert_memory_equal(b.data + 28, header + 24, 16);
    assert_memory_equal(b.data + 44, "\0\0\0\0\0\0\0\0", 8);
    assert_int_equal(get_be32(b.data + 52), fs_file_size(path_in(state, "p/index.bin")));
    read_file(state, "p/metadata.json", &b);
    assert_string_equal(buffer_cstr(&b), "{\"RowsCount\":1,\"BlocksCount\":1,\"MinTimestamp\":1791763200000,"
                                         "\"MaxTimestamp\":1791763200000,\"MinDedupInterval\":0}");
    assert_int_equal(size, fs_file_size(path_in(state, "p/index.bin")) +
                               fs_file_size(path_in(state, "p/metaindex.bin")));
    assert_int_equal(part_sums_verify(path_in(state, "p"), &err), 1);
    buffer_release(&b);
}

/* Format 3.5: only the block stored last is shared, and one without bytes ends the sharing. */
static void equal_timestamps_are_stored_once(void **state)
{
    const int64_t irregular[] = {T0, T0 + 15000, T0 + 30001}, other[] = {T0, T0 + 1, T0 + 30001};
    const int64_t late[] = {T0 + 500, T0 + 15500, T0 + 30501}, one[] = {T0}, v[] = {1, 5, 2};
    const int64_t *const times[] = {irregular, irregular, late, other, irregular, one, irregular};
    static const uint64_t offsets[] = {0, 0, 0, 4, 8, 12, 12}, sizes[] = {4, 4, 4, 4, 4, 0, 4};
    struct block_stream_writer bsw;
    struct part_header ph;
    struct error err;
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "p"), 1, 1, &err), 0);
    for (uint32_t i = 0; i < 7; i++) {
        struct tsid tsid = fixture_tsid(i);
        write_rows(&bsw, &tsid, times[i], v, times[i] == one ? 1 : 3, 0);
    }
    assert_int_equal(block_stream_writer_finish(&bsw, &ph, NULL, &err), 0);
    struct file_part *part;
    struct block_stream_reader bsr;
    assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), 0);
    block_stream_reader_init_from_file_part(&bsr, part);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(block_stream_reader_next(&bsr, &err), 1);
        assert_int_equal(bsr.block.header.timestamps_offset, offsets[i]);
        assert_int_equal(bsr.block.header.timestamps_size, sizes[i]);
        assert_int_equal(block_decode(&bsr.block, &err), 0);
        assert_int_equal(bsr.block.timestamps[0], times[i][0]);
    }
    assert_int_equal(block_stream_reader_next(&bsr, &err), 0);
    block_stream_reader_release(&bsr);
    file_part_free(part);
}

/* 809 headers fit 65536 bytes. */
static void index_blocks_are_cut_at_65536_bytes(void **state)
{
    struct sample_row rows[1700];
    for (uint32_t i = 0; i < 1700; i++)
        rows[i] = (struct sample_row){i, T0 + i, (int64_t)i, 0};
    struct file_part *part = fixture_file(path_in(state, "p"), rows, 1700);
    assert_int_equal(part->rows_count, 3);
    assert_int_equal(part->rows[0].headers_count, 809);
    assert_int_equal(part->rows[1].headers_count, 809);
    assert_int_equal(part->rows[2].headers_count, 82);
    assert_int_equal(part->rows[1].min_timestamp, T0 + 809);
    assert_int_equal(part->rows[1].max_timestamp, T0 + 1617);
    file_part_free(part);
}

/* What is left of a block may begin after the next one of its series: readers take it, as the reference's do.
 */
static void dedups_block_by_block(void **state)
{
    static const int64_t t0 = T0 - T0 % 100 + 100;
    const int64_t first_t[] = {t0 + 1, t0 + 99, t0 + 100}, first_v[] = {1, 2, 3};
    const int64_t second_t[] = {t0 + 2, t0 + 102}, second_v[] = {4, 5};
    const int64_t other_t[] = {t0 + 7, t0 + 107}, other_v[] = {6, 7};
    const struct tsid a = fixture_tsid(1), b = fixture_tsid(2);
    struct block_stream_writer bsw;
    struct part_header ph;
    struct error err = {0};
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "p"), 7, 3, &err), 0);
    block_stream_writer_set_dedup(&bsw, 100);
    write_rows(&bsw, &a, first_t, first_v, 3, 0);
    write_rows(&bsw, &a, second_t, second_v, 2, 0);
    write_rows(&bsw, &b, other_t, other_v, 2, 0);
    assert_int_equal(bsw.rows_deduped, 2);
    assert_int_equal(block_stream_writer_finish(&bsw, &ph, NULL, &err), 0);
    assert_int_equal(ph.rows_count, 5);
    assert_int_equal(ph.min_dedup_interval, 100);
    assert_int_equal(ph.min_timestamp, t0 + 2);
    assert_int_equal(first_v[2], 3); /* the caller's rows stay */

    struct file_part *part;
    assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), 0);
    assert_int_equal(part->header.min_dedup_interval, 100);
    size_t n;
    struct sample_row *rows = fixture_rows(part, &n);
    const int64_t expected_t[] = {t0 + 100, t0 + 2, t0 + 102, t0 + 7, t0 + 107},
                  expected_v[] = {3, 4, 5, 6, 7};
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rows[i].timestamp, expected_t[i]);
        assert_int_equal(rows[i].mantissa, expected_v[i]);
    }
    free(rows);
    file_part_free(part);
}

static void refuses_what_is_out_of_order(void **state)
{
    struct block_stream_writer bsw;
    struct part_header ph;
    struct error err;
    struct block b = {0};
    const int64_t t[] = {T0, T0 + 1}, v[] = {1, 2};
    struct tsid first = fixture_tsid(1), before = fixture_tsid(0);
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "p"), 0, 0, &err), 0);
    block_set_decoded(&b, &first, t, v, 2, 0);
    assert_int_equal(block_stream_writer_write_block(&bsw, &b, &err), 0);
    block_set_decoded(&b, &before, t, v, 2, 0);
    assert_int_equal(block_stream_writer_write_block(&bsw, &b, &err), ERR_INVALID);
    block_stream_writer_abandon(&bsw);
    block_stream_writer_abandon(&bsw);

    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "q"), 0, 0, &err), 0);
    assert_int_equal(block_stream_writer_finish(&bsw, &ph, NULL, &err), ERR_INVALID); /* no rows */
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "no/such"), 0, 0, &err),
        ERR_NOT_FOUND);
}

static void reads_an_inmemory_part(void **state)
{
    (void)state;
    const struct sample_row rows[] = {{3, 20, 1, 0}, {1, 10, 2, -1}, {3, 10, 3, 0}};
    struct inmemory_part *mp = fixture_inmemory(rows, 3);
    struct block_stream_reader bsr;
    struct error err;
    struct tsid want = fixture_tsid(1);
    block_stream_reader_init_from_inmemory_part(&bsr, mp);
    assert_int_equal(block_stream_reader_next(&bsr, &err), 1);
    assert_true(tsid_equal(&bsr.block.header.tsid, &want));
    assert_int_equal(bsr.block.header.scale, -1);
    assert_int_equal(block_stream_reader_next(&bsr, &err), 1);
    assert_int_equal(bsr.block.header.rows_count, 2);
    assert_int_equal(bsr.block.mantissas[0], 3);
    assert_int_equal(block_stream_reader_next(&bsr, &err), 0);
    block_stream_reader_release(&bsr);
    inmemory_part_free(mp);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(example_of_the_format),
        WITH_DIR(equal_timestamps_are_stored_once),
        WITH_DIR(index_blocks_are_cut_at_65536_bytes),
        WITH_DIR(dedups_block_by_block),
        WITH_DIR(refuses_what_is_out_of_order),
        WITH_DIR(reads_an_inmemory_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
