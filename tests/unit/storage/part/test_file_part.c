#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/block/block_stream_reader.h"
#include "storage/part/file_part.h"
#include "storage/part/file_part_verify.h"
#include "storage/part/part_files.h"
#include "storage/part/part_search.h"
#include "storage/part/part_sums.h"
#include "tests/unit/storage/part/part_fixture.h"

#define T0 INT64_C(1791763200000)

static const char *const files[] = {PART_TIMESTAMPS_FILE, PART_VALUES_FILE,   PART_INDEX_FILE,
                                    PART_METAINDEX_FILE,  PART_METADATA_FILE, PART_SUMS_FILE};
#define FILES_COUNT 6

/* A small part with blocks of each encoding. */
static void make_part(const char *dir)
{
    static struct sample_row rows[2000];
    size_t n = 0;
    srand(4);
    for (uint32_t s = 0; s < 12; s++)
        for (int i = 0; i < (s % 4 == 3 ? 120 : 7); i++)
            rows[n++] = (struct sample_row){s, T0 + i * 1000 + (s % 3 ? rand() % 9 : 0),
                                            s % 2 ? rand() % 50 : i * 100 + rand() % 9, 0};
    file_part_free(fixture_file(dir, rows, n));
}

static void tells_what_it_holds(void **state)
{
    struct error err;
    struct file_part *part;
    struct file_part_stats stats;
    make_part(path_in(state, "p"));
    assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), 0);
    int64_t size = 0;
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "p/%s", files[i]);
        size += fs_file_size(path_in(state, name));
    }
    assert_int_equal(part->size_bytes, size);
    assert_int_equal(file_part_verify(part, &stats, &err), 0);
    assert_int_equal(stats.rows_count, 9 * 7 + 3 * 120);
    assert_int_equal(stats.blocks_count, 12);
    assert_int_equal(stats.series_count, 12);
    assert_int_equal(stats.index_blocks_count, 1);
    assert_int_equal(stats.rows_max, 120);
    assert_true(stats.has_sums);
    assert_true(stats.timestamps_types[2] == 4 && stats.values_types[6] + stats.values_types[4] >= 6);
    file_part_free(part);
    file_part_free(NULL);
}

static int stop_at_third(const struct block_header *bh, void *arg)
{
    int *seen = arg;
    assert_true(bh->rows_count > 0);
    return ++*seen == 3 ? 77 : 0;
}

static void gives_out_its_headers(void **state)
{
    struct error err;
    struct file_part *part;
    int seen = 0;
    make_part(path_in(state, "p"));
    assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), 0);
    assert_int_equal(file_part_each_header(part, stop_at_third, &seen, &err), 77);
    assert_int_equal(seen, 3);
    assert_int_equal(file_part_each_header(part, stop_at_third, &seen, &err), 0);
    assert_int_equal(seen, 12 + 3);
    file_part_free(part);
}

static void a_missing_file_is_named(void **state)
{
    struct error err;
    struct file_part *part = NULL;
    make_part(path_in(state, "p"));
    assert_int_equal(file_part_open(&part, path_in(state, "q"), &err), ERR_NOT_FOUND);
    for (int with_sums = 1; with_sums >= 0; with_sums--) {
        for (int i = 0; i < 5; i++) {
            char path[300], away[300];
            snprintf(path, sizeof path, "%s/%s", path_in(state, "p"), files[i]);
            snprintf(away, sizeof away, "%s", path_in(state, "away"));
            assert_int_equal(fs_posix.ops->rename(&fs_posix, path, away, &err), 0);
            assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), ERR_CORRUPT);
            assert_non_null(strstr(err.message, files[i]));
            assert_non_null(strstr(err.message, "damaged"));
            assert_int_equal(fs_posix.ops->rename(&fs_posix, away, path, &err), 0);
        }
        if (with_sums)
            assert_int_equal(fs_posix.ops->unlink(&fs_posix, path_in(state, "p/" PART_SUMS_FILE), &err), 0);
    }
    assert_null(part);
}

/* Opens, verifies, searches and merges; any result will do, but not a crash. Returns whether all went well.
 */
static bool exercise(const char *dir)
{
    struct error err;
    struct file_part *part;
    err.message[0] = 0;
    if (file_part_open(&part, dir, &err) < 0) {
        assert_true(strlen(err.message) > 0);
        return false;
    }
    int verified = file_part_verify(part, NULL, &err);
    struct part_search ps;
    struct tsid tsids[] = {fixture_tsid(0), fixture_tsid(3), fixture_tsid(11)};
    part_search_init_file(&ps, part, tsids, 3, T0 + 1000, T0 + 4000);
    while (part_search_next(&ps, &err) > 0)
        assert_true(ps.rows_count > 0);
    part_search_release(&ps);
    part_search_init_file(&ps, part, NULL, 0, INT64_MIN, INT64_MAX);
    while (part_search_next(&ps, &err) > 0)
        assert_true(ps.rows_count > 0);
    part_search_release(&ps);
    file_part_free(part);
    return verified == 0;
}

static void read_whole(void **state, const char *name, struct buffer *dst)
{
    struct error err;
    char path[64];
    snprintf(path, sizeof path, "p/%s", name);
    buffer_clear(dst);
    assert_int_equal(fs_read_file(path_in(state, path), 1 << 20, dst, &err), 0);
}

static void write_whole(void **state, const char *name, const struct buffer *content)
{
    char path[64];
    snprintf(path, sizeof path, "p/%s", name);
    FILE *f = fopen(path_in(state, path), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content->data, 1, content->len, f), content->len);
    fclose(f);
}

/* Every byte of every file broken in turn: with sums the damage is always found; without them nothing
 * crashes. */
static void broken_bytes(void **state)
{
    struct error err;
    make_part(path_in(state, "p"));
    assert_true(exercise(path_in(state, "p")));
    struct buffer content = {0};
    for (int with_sums = 1; with_sums >= 0; with_sums--) {
        if (!with_sums)
            assert_int_equal(fs_posix.ops->unlink(&fs_posix, path_in(state, "p/" PART_SUMS_FILE), &err), 0);
        for (int i = 0; i < FILES_COUNT - !with_sums; i++) {
            read_whole(state, files[i], &content);
            for (size_t at = 0; at < content.len; at += with_sums ? 5 : 1) {
                static const uint8_t flips[] = {0x01, 0x80, 0xff};
                uint8_t flip = flips[(at + (size_t)i) % 3];
                content.data[at] ^= flip;
                write_whole(state, files[i], &content);
                bool good = exercise(path_in(state, "p"));
                if (with_sums)
                    assert_false(good);
                content.data[at] ^= flip;
            }
            write_whole(state, files[i], &content);
        }
    }
    assert_true(exercise(path_in(state, "p")));
    buffer_release(&content);
}

/* And files cut short, with and without sums. */
static void cut_files(void **state)
{
    struct error err;
    make_part(path_in(state, "p"));
    struct buffer content = {0};
    for (int with_sums = 1; with_sums >= 0; with_sums--) {
        if (!with_sums)
            assert_int_equal(fs_posix.ops->unlink(&fs_posix, path_in(state, "p/" PART_SUMS_FILE), &err), 0);
        for (int i = 0; i < FILES_COUNT - !with_sums; i++) {
            read_whole(state, files[i], &content);
            size_t whole = content.len;
            for (content.len = 0; content.len < whole; content.len += 1 + whole / 50) {
                write_whole(state, files[i], &content);
                assert_false(exercise(path_in(state, "p")));
            }
            content.len = whole;
            write_whole(state, files[i], &content);
        }
    }
    assert_true(exercise(path_in(state, "p")));
    buffer_release(&content);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(tells_what_it_holds),
        WITH_DIR(gives_out_its_headers),
        WITH_DIR(a_missing_file_is_named),
        WITH_DIR(broken_bytes),
        WITH_DIR(cut_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
