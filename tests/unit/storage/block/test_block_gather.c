/* Gathered rows are in the order, and of the scale, that merging block by block gives (format 10.4, 10.5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/block/block_gather.h"
#include "storage/encoding/scale.h"

#define BLOCKS_MAX 40
#define ROWS_MAX   200

struct sample {
    int64_t timestamp, mantissa;
};

struct model {
    struct sample rows[BLOCKS_MAX * ROWS_MAX];
    size_t count;
    int16_t scale;
};

static int64_t timestamps[BLOCKS_MAX][ROWS_MAX], mantissas[BLOCKS_MAX][ROWS_MAX];

static const struct tsid tsid = {.metric_id = 7};

/* The rule, word by word. */
static void merge_pair(struct model *m, const struct sample *b, size_t b_count)
{
    static struct sample out[BLOCKS_MAX * ROWS_MAX];
    const struct sample *turn = m->rows, *other = b;
    size_t turn_count = m->count, other_count = b_count, n = 0;
    while (turn_count) {
        while (turn_count && (!other_count || turn->timestamp <= other->timestamp)) {
            out[n++] = *turn++;
            turn_count--;
        }
        const struct sample *rest = turn;
        size_t rest_count = turn_count;
        turn = other;
        turn_count = other_count;
        other = rest;
        other_count = rest_count;
    }
    while (other_count--)
        out[n++] = *other++;
    memcpy(m->rows, out, n * sizeof *out);
    m->count = n;
}

static size_t drop_old(struct sample *rows, size_t count, int64_t deadline)
{
    size_t i = 0;
    while (i < count && rows[i].timestamp < deadline)
        i++;
    memmove(rows, rows + i, (count - i) * sizeof *rows);
    return count - i;
}

static void model_add(struct model *m, const int64_t *ts, const int64_t *ms, size_t count, int16_t scale,
                      int64_t deadline)
{
    int64_t a[BLOCKS_MAX * ROWS_MAX], b[ROWS_MAX];
    struct sample rows[ROWS_MAX];
    for (size_t i = 0; i < m->count; i++)
        a[i] = m->rows[i].mantissa;
    memcpy(b, ms, count * sizeof *b);
    if (m->scale != scale)
        m->scale = scale_calibrate(a, m->count, m->scale, b, count, scale);
    for (size_t i = 0; i < m->count; i++)
        m->rows[i].mantissa = a[i];
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct sample){ts[i], b[i]};
    m->count = drop_old(m->rows, m->count, deadline);
    merge_pair(m, rows, drop_old(rows, count, deadline));
}

static int compare_times(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return a < b ? -1 : a > b;
}

/* Blocks of one series in order of their first timestamps, as a merge takes them. */
static size_t random_blocks(size_t *counts, int64_t span, size_t rows_max)
{
    size_t n = 2 + (size_t)rand() % (BLOCKS_MAX - 2);
    int64_t first = 0;
    for (size_t i = 0; i < n; i++) {
        counts[i] = 1 + (size_t)rand() % (i ? rows_max : ROWS_MAX);
        first += rand() % 3 ? rand() % 20 : 0;
        timestamps[i][0] = first;
        for (size_t k = 1; k < counts[i]; k++)
            timestamps[i][k] = first + rand() % span;
        qsort(timestamps[i], counts[i], sizeof(int64_t), compare_times);
        for (size_t k = 0; k < counts[i]; k++)
            mantissas[i][k] = rand() % 50 ? (int64_t)(i * 1000 + k) : INT64_MAX - 1;
    }
    return n;
}

static void one_round(int round, int64_t span, size_t rows_max, bool scales, int64_t deadline)
{
    static struct model m;
    struct block_gather g = {0};
    size_t counts[BLOCKS_MAX];
    uint64_t deleted = 0;
    size_t n = random_blocks(counts, span, rows_max), all = 0;
    int16_t scale = 0;
    m.count = 0;
    for (size_t i = 0; i < n; i++) {
        struct block b = {0};
        scale = scales && rand() % 4 == 0 ? (int16_t)(rand() % 30 - 15) : scale;
        block_set_decoded(&b, &tsid, timestamps[i], mantissas[i], counts[i], scale);
        all += counts[i];
        if (!m.count) {
            for (size_t k = 0; k < counts[i]; k++)
                m.rows[k] = (struct sample){timestamps[i][k], mantissas[i][k]};
            m.count = counts[i];
            m.scale = scale;
            all = counts[i];
            deleted = 0;
            block_gather_begin(&g, &b);
        } else {
            model_add(&m, timestamps[i], mantissas[i], counts[i], scale, deadline);
            assert_int_equal(block_gather_add(&g, &b, deadline, &deleted, NULL), 0);
        }
        assert_int_equal(g.block.header.rows_count, m.count);
        assert_int_equal(deleted, all - m.count);
        if (m.count) {
            assert_int_equal(g.block.header.min_timestamp, m.rows[0].timestamp);
            assert_int_equal(g.block.header.max_timestamp, m.rows[m.count - 1].timestamp);
        }
        if (m.count && rand() % 10 == 0)
            block_gather_settle(&g);
        block_release(&b);
    }
    block_gather_settle(&g);
    assert_int_equal(g.block.header.scale, m.scale);
    for (size_t i = 0; i < m.count; i++)
        if (g.block.timestamps[i] != m.rows[i].timestamp || g.block.mantissas[i] != m.rows[i].mantissa)
            fail_msg("round %d, row %zu of %zu: %lld at %lld, expected %lld at %lld", round, i, m.count,
                     (long long)g.block.mantissas[i], (long long)g.block.timestamps[i],
                     (long long)m.rows[i].mantissa, (long long)m.rows[i].timestamp);
    block_gather_release(&g);
}

static void equals_merging_block_by_block(void **state)
{
    (void)state;
    srand(17);
    for (int round = 0; round < 2000; round++) {
        static const int64_t spans[] = {3, 50, 1000, 1000000000};
        static const size_t rows[] = {1, 3, 30, ROWS_MAX};
        one_round(round, spans[rand() % 4], rows[rand() % 4], rand() % 2,
                  rand() % 4 ? INT64_MIN : rand() % 60);
    }
}

/* Thousands of late rows, one a block, within a long block: each moved a few times only. */
static void many_small_blocks_are_cheap(void **state)
{
    (void)state;
    enum { LONG = 4000, LATE = 4000 };
    struct block_gather g = {0};
    int64_t *ts = xreallocarray(NULL, LONG, sizeof *ts), *ms = xreallocarray(NULL, LONG, sizeof *ms);
    for (int i = 0; i < LONG; i++) {
        ts[i] = 10 * (int64_t)i;
        ms[i] = 2 * (int64_t)i;
    }
    struct block b = {0};
    block_set_decoded(&b, &tsid, ts, ms, LONG, 0);
    block_gather_begin(&g, &b);
    uint64_t deleted = 0;
    for (int i = 0; i < LATE; i++) {
        int64_t t = 10 * (int64_t)i + 5, v = 2 * (int64_t)i + 1;
        struct block late = {0};
        block_set_decoded(&late, &tsid, &t, &v, 1, 0);
        assert_int_equal(block_gather_add(&g, &late, INT64_MIN, &deleted, NULL), 0);
    }
    assert_true(g.runs_count > LATE / 2); /* not put in order one by one */
    block_gather_settle(&g);
    assert_int_equal(g.block.header.rows_count, LONG + LATE);
    for (int i = 0; i < LONG + LATE; i++)
        assert_int_equal(g.block.mantissas[i], i);
    block_gather_release(&g);
    free(ts);
    free(ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_merging_block_by_block),
        cmocka_unit_test(many_small_blocks_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
