#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/decimal.h"
#include "storage/block/block_header.h"
#include "storage/encoding/scale.h"
#include "tests/unit/storage/part/part_fixture.h"

struct numbered_row {
    struct sample_row row;
    size_t number;
};

static int compare_rows(const void *x, const void *y)
{
    const struct numbered_row *a = x, *b = y;
    if (a->row.series != b->row.series)
        return a->row.series < b->row.series ? -1 : 1;
    if (a->row.timestamp != b->row.timestamp)
        return a->row.timestamp < b->row.timestamp ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

/* The part equals the rows sorted by the C library, of one exponent 0. */
static void is_sorted(const struct inmemory_part *mp, const struct sample_row *rows, size_t n)
{
    struct numbered_row *want = xcalloc(n, sizeof *want);
    for (size_t i = 0; i < n; i++)
        want[i] = (struct numbered_row){rows[i], i};
    qsort(want, n, sizeof *want, compare_rows);
    size_t row = 0;
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (size_t b = 0; b < mp->blocks_count; b++) {
        const struct inmemory_block *mb = &mp->blocks[b];
        assert_int_equal(mb->first_row, row);
        assert_true(mb->rows_count >= 1 && mb->rows_count <= BLOCK_ROWS_MAX);
        assert_int_equal(mb->scale, 0);
        struct tsid tsid = fixture_tsid(want[row].row.series);
        for (size_t i = 0; i < mb->rows_count; i++, row++) {
            assert_int_equal(mp->timestamps[row], want[row].row.timestamp);
            assert_int_equal(mp->mantissas[row], want[row].row.mantissa);
            assert_int_equal(want[row].row.series, 1000000 - mb->tsid.metric_id);
            min = mp->timestamps[row] < min ? mp->timestamps[row] : min;
            max = mp->timestamps[row] > max ? mp->timestamps[row] : max;
        }
        assert_true(tsid_equal(&mb->tsid, &tsid));
        /* A series' next block only begins when the one before is full. */
        if (b + 1 < mp->blocks_count && tsid_equal(&mb->tsid, &mp->blocks[b + 1].tsid))
            assert_int_equal(mb->rows_count, BLOCK_ROWS_MAX);
    }
    assert_int_equal(row, n);
    assert_int_equal(mp->header.rows_count, n);
    assert_int_equal(mp->header.blocks_count, mp->blocks_count);
    assert_int_equal(mp->header.min_timestamp, min);
    assert_int_equal(mp->header.max_timestamp, max);
    assert_true(mp->memory_bytes >= n * 16);
    free(want);
}

static void sorts_rows_of_any_order(void **state)
{
    (void)state;
    static struct sample_row rows[60000];
    srand(3);
    for (int kind = 0; kind < 6; kind++) {
        size_t n = kind == 5 ? 1 : 1 + (size_t)rand() % 60000;
        uint32_t series = kind == 1 ? 1 : kind == 2 ? 5 : FIXTURE_SERIES;
        for (size_t i = 0; i < n; i++) {
            int64_t t = kind % 2 ? (int64_t)i / 50 : rand() % 3000;
            /* In order of rank already, or not. */
            uint32_t s = kind == 3 ? (uint32_t)(i * FIXTURE_SERIES / n) : (uint32_t)rand() % series;
            rows[i] = (struct sample_row){s, t, (int64_t)i, 0};
        }
        struct inmemory_part *mp = fixture_inmemory(rows, n);
        is_sorted(mp, rows, n);
        inmemory_part_free(mp);
    }
}

static void of_no_rows_nothing_is_made(void **state)
{
    (void)state;
    struct raw_rows empty = {0}, *list = &empty;
    struct series_ranks ranks = {0};
    assert_null(inmemory_part_new(&list, 1, &ranks));
    assert_null(inmemory_part_new(NULL, 0, &ranks));
    inmemory_part_free(NULL);
}

/* An earlier shard's rows came first; partly filled chunks in the middle are fine. */
static void takes_several_shards(void **state)
{
    (void)state;
    struct raw_rows shards[3] = {0}, more = {0};
    struct raw_rows *list[] = {&shards[0], &shards[1], &shards[2]};
    const struct tsid tsids[] = {{1, 0, 0, 1}, {2, 0, 0, 2}};
    const uint32_t ranks[] = {1, 0};
    raw_rows_append(&shards[0], 0, 100, 1, 0);
    raw_rows_append(&more, 0, 100, 2, 0);
    raw_rows_move(&shards[0], &more);
    raw_rows_append(&shards[2], 0, 100, 3, 0);
    raw_rows_append(&shards[2], 1, 50, 9, 0);
    struct inmemory_part *mp = inmemory_part_new(list, 3, &(struct series_ranks){ranks, tsids, 2});
    assert_int_equal(mp->blocks_count, 2);
    assert_int_equal(mp->blocks[0].tsid.metric_id, 1);
    assert_int_equal(mp->mantissas[0], 9);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(mp->mantissas[i], i);
    assert_int_equal(raw_rows_count(&shards[2]), 2);
    inmemory_part_free(mp);
    for (int i = 0; i < 3; i++)
        raw_rows_release(&shards[i]);
}

static void blocks_have_one_scale(void **state)
{
    (void)state;
    const struct sample_row rows[] = {
        {0, 1, 15, -1}, {0, 3, -3, 0}, {0, 2, 225, -2}, {1, 1, DECIMAL_STALE, 0}, {1, 2, DECIMAL_INF_POS, 0},
        {2, 1, 7, 3}};
    struct inmemory_part *mp = fixture_inmemory(rows, 6);
    assert_int_equal(mp->blocks_count, 3);
    assert_int_equal(mp->blocks[0].scale, -2);
    assert_int_equal(mp->mantissas[0], 150);
    assert_int_equal(mp->mantissas[1], 225);
    assert_int_equal(mp->mantissas[2], -300);
    assert_int_equal(mp->blocks[1].scale, SCALE_SPECIAL_ONLY);
    assert_int_equal(mp->blocks[2].scale, 3);
    inmemory_part_free(mp);
}

static int trim(void **state)
{
    (void)state;
    raw_rows_trim();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_rows_of_any_order),
        cmocka_unit_test(of_no_rows_nothing_is_made),
        cmocka_unit_test(takes_several_shards),
        cmocka_unit_test(blocks_have_one_scale),
    };
    return cmocka_run_group_tests(tests, NULL, trim);
}
