#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/part/part_search.h"
#include "tests/unit/storage/part/part_fixture.h"

#define T0 INT64_C(1791763200000)

static int compare_rows(const void *x, const void *y)
{
    const struct sample_row *a = x, *b = y;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    if (a->timestamp != b->timestamp)
        return a->timestamp < b->timestamp ? -1 : 1;
    return (a->mantissa > b->mantissa) - (a->mantissa < b->mantissa);
}

/* What the search finds equals a look at every row. rows are sorted; wanted[series] says whose rows are
 * wanted. */
static void equals_scan(struct part_search *ps, const struct sample_row *rows, size_t n, const bool *wanted,
                        int64_t min, int64_t max)
{
    struct error err = {0};
    size_t next = 0;
    int r;
    while ((r = part_search_next(ps, &err)) > 0) {
        assert_true(ps->rows_count >= 1);
        uint32_t series = 1000000 - (uint32_t)ps->tsid.metric_id;
        for (size_t i = 0; i < ps->rows_count; i++, next++) {
            while (next < n &&
                   !(wanted[rows[next].series] && rows[next].timestamp >= min && rows[next].timestamp <= max))
                next++;
            assert_true(next < n);
            assert_int_equal(series, rows[next].series);
            assert_int_equal(ps->timestamps[i], rows[next].timestamp);
            assert_int_equal(ps->mantissas[i], rows[next].mantissa);
            assert_int_equal(ps->scale, 0);
        }
    }
    if (r < 0)
        fail_msg("%s", err.message);
    for (; next < n; next++)
        assert_false(wanted[rows[next].series] && rows[next].timestamp >= min && rows[next].timestamp <= max);
    assert_int_equal(part_search_next(ps, &err), 0);
    part_search_release(ps);
}

/* Mantissas follow the row's number, so that rows sorted by compare_rows are rows sorted stably. */
static size_t make_rows(struct sample_row *rows, int kind)
{
    size_t n = 0;
    if (kind == 0) /* several index blocks */
        for (uint32_t s = 0; s < FIXTURE_SERIES; s += 1 + (uint32_t)rand() % 2)
            for (int k = rand() % 4; k >= 0; k--, n++)
                rows[n] = (struct sample_row){s, T0 + rand() % 1000, (int64_t)n, 0};
    else /* few series, several blocks each */
        for (uint32_t s = 7; s < 20; s += 3)
            for (int k = rand() % 30000; k >= 0; k--, n++)
                rows[n] = (struct sample_row){s, T0 + rand() % 1000, (int64_t)n, 0};
    return n;
}

static void equals_a_look_at_every_row(void **state)
{
    static struct sample_row rows[200000];
    static struct tsid tsids[FIXTURE_SERIES];
    static bool wanted[FIXTURE_SERIES];
    srand(9);
    for (int kind = 0; kind < 2; kind++) {
        char name[8] = {'p', (char)('0' + kind)};
        size_t n = make_rows(rows, kind);
        struct inmemory_part *mp = fixture_inmemory(rows, n);
        struct file_part *part = fixture_file(path_in(state, name), rows, n);
        qsort(rows, n, sizeof *rows, compare_rows);
        for (int turn = 0; turn < 60; turn++) {
            static const int densities[] = {1, 2, 20, 1000, 100000};
            int density = densities[rand() % 5];
            size_t count = 0;
            for (uint32_t s = 0; s < FIXTURE_SERIES; s++) {
                wanted[s] = rand() % density == 0;
                if (wanted[s])
                    tsids[count++] = fixture_tsid(s);
            }
            int64_t min = T0 - 10 + rand() % 1020, max = turn % 3 ? min + rand() % 300 : INT64_MAX;
            if (turn % 5 == 0)
                min = INT64_MIN;
            struct part_search ps;
            part_search_init_file(&ps, part, tsids, count, min, max);
            equals_scan(&ps, rows, n, wanted, min, max);
            part_search_init_inmemory(&ps, mp, tsids, count, min, max);
            equals_scan(&ps, rows, n, wanted, min, max);
            if (density == 1) { /* all of them: the list may be left out */
                part_search_init_file(&ps, part, NULL, 0, min, max);
                equals_scan(&ps, rows, n, wanted, min, max);
                part_search_init_inmemory(&ps, mp, NULL, 0, min, max);
                equals_scan(&ps, rows, n, wanted, min, max);
            }
        }
        file_part_free(part);
        inmemory_part_free(mp);
    }
}

/* Blocks of one series over three index blocks, as merges of many small parts may leave them. */
static void series_that_spans_index_blocks(void **state)
{
    struct block_stream_writer bsw;
    struct part_header ph;
    struct error err;
    struct file_part *part;
    assert_int_equal(
        block_stream_writer_init_from_file_part(&bsw, &fs_posix, path_in(state, "p"), 0, 0, &err), 0);
    struct tsid tsids[] = {fixture_tsid(1), fixture_tsid(2), fixture_tsid(3)};
    for (int s = 0; s < 3; s++) {
        for (int64_t i = 0; i < (s == 1 ? 2000 : 5); i++) {
            struct block b = {0};
            block_set_decoded(&b, &tsids[s], &(int64_t){T0 + i}, &i, 1, 0);
            assert_int_equal(block_stream_writer_write_block(&bsw, &b, &err), 0);
        }
    }
    assert_int_equal(block_stream_writer_finish(&bsw, &ph, NULL, &err), 0);
    assert_int_equal(file_part_open(&part, path_in(state, "p"), &err), 0);
    assert_int_equal(part->rows_count, 3);
    static const int want[] = {5, 2000, 5};
    for (int s = 0; s < 3; s++) {
        struct part_search ps;
        part_search_init_file(&ps, part, &tsids[s], 1, T0, T0 + 10000);
        int found = 0;
        while (part_search_next(&ps, &err) > 0)
            assert_int_equal(ps.mantissas[0], found++);
        assert_int_equal(found, want[s]);
        part_search_release(&ps);
        part_search_init_file(&ps, part, &tsids[s], 1, T0 + 4, T0 + 4);
        assert_int_equal(part_search_next(&ps, &err), 1);
        assert_int_equal(ps.timestamps[0], T0 + 4);
        assert_int_equal(part_search_next(&ps, &err), 0);
        part_search_release(&ps);
    }
    file_part_free(part);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(equals_a_look_at_every_row),
        WITH_DIR(series_that_spans_index_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
