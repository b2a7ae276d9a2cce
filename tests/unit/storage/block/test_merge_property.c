/*
 * Merging changes rows only as format 10.5 (scales), dedup, retention and deletion say: random parts of
 * random blocks, with overlaps, equal timestamps, many scales and special values, are merged at once and in
 * steps, and each row is compared with what was put in. A series spans at most 18 digits here: then no scale
 * costs any.
 *
 * VARVE_SEED=N repeats a run, VARVE_ROUNDS=N makes more of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/decimal.h"
#include "storage/block/block.h"
#include "storage/encoding/scale.h"
#include "storage/fs/fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/part/part_fixture.h"

#ifdef VARVE_SANITIZED
#define ROUNDS 150
#else
#define ROUNDS 600
#endif
#define T0          INT64_C(1791763200000)
#define SERIES_MAX  4
#define PARTS_MAX   7
#define DIGITS      18
#define BLOCK_MAX   8192
#define BIG_EVERY   25 /* rounds: blocks of many rows, so that results are split */
#define SPECIAL_OLD (-1024)

/* A value is number * 10^base of its series, or special. */
struct row {
    unsigned series;
    int64_t timestamp;
    int64_t number;
    bool is_special;
};

struct rows {
    struct row *rows;
    size_t count, capacity;
};

struct world {
    uint64_t random;
    void **state;
    unsigned series_count;
    int base[SERIES_MAX];
    int digits[SERIES_MAX];
    int64_t span, interval, deadline;
    size_t block_rows; /* at most */
    unsigned specials; /* of a hundred */
    uint64_t deleted;  /* a bit per series */
};

static uint64_t chance(struct world *w, uint64_t n)
{ /* xorshift64* */
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * UINT64_C(2685821657736338717) >> 16) % n;
}

static int64_t power(int n)
{
    int64_t p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

static void add_row(struct rows *all, struct row row)
{
    GROW(all->rows, all->count, all->capacity);
    all->rows[all->count++] = row;
}

/* --- parts --- */

/* Values as whole multiples of 10^zeros, and the block's scale is anything that holds them. */
static void make_block(struct world *w, struct block_stream_writer *bsw, unsigned series,
                       const int64_t *times, size_t count, struct rows *all)
{
    static const int64_t specials[] = {DECIMAL_INF_POS, DECIMAL_INF_NEG, DECIMAL_STALE};
    int64_t *mantissas = xreallocarray(NULL, count, sizeof *mantissas);
    int digits = (int)chance(w, (uint64_t)w->digits[series]) + 1, zeros = (int)chance(w, (uint64_t)digits);
    bool only_special = w->specials && chance(w, 12) == 0;
    bool ordinary = false;
    int64_t limit = power(digits - zeros);
    for (size_t i = 0; i < count; i++) {
        bool special = only_special || chance(w, 100) < w->specials;
        mantissas[i] = special ? specials[chance(w, 3)] : (int64_t)chance(w, (uint64_t)limit);
        if (!special && chance(w, 2))
            mantissas[i] = -mantissas[i];
        ordinary |= !special;
        add_row(all, (struct row){series, times[i], special ? mantissas[i] : mantissas[i] * power(zeros),
                                  special});
    }
    int scale = w->base[series] + zeros;
    if (!ordinary) {
        const int16_t scales[] = {SCALE_SPECIAL_ONLY, SPECIAL_OLD, 0, (int16_t)scale};
        scale = scales[chance(w, 4)];
    } else if (digits < DIGITS && chance(w, 3) == 0) { /* more zeros than need be */
        int more = (int)chance(w, (uint64_t)(DIGITS - digits)) + 1;
        for (size_t i = 0; i < count; i++)
            if (!decimal_is_special(mantissas[i]))
                mantissas[i] *= power(more);
        scale -= more;
    }
    struct block b = {0};
    struct tsid tsid = fixture_tsid(series);
    struct error error = {0};
    block_set_decoded(&b, &tsid, times, mantissas, count, (int16_t)scale);
    if (block_stream_writer_write_block(bsw, &b, &error) < 0)
        fail_msg("%s", error.message);
    block_release(&b);
    free(mantissas);
}

static int64_t next_gap(struct world *w, int64_t typical)
{
    switch (chance(w, 4)) {
    case 0:
        return 0;
    case 1:
        return typical;
    default:
        return (int64_t)chance(w, (uint64_t)typical * 2 + 1);
    }
}

/* One to three blocks of a series, one behind the other. */
static void make_blocks(struct world *w, struct block_stream_writer *bsw, unsigned series, struct rows *all)
{
    int64_t t = T0 + (int64_t)chance(w, (uint64_t)w->span);
    for (uint64_t blocks = chance(w, 3) + 1; blocks; blocks--) {
        size_t count = chance(w, w->block_rows) + 1;
        int64_t typical = w->span / (int64_t)count / 3 + 1;
        int64_t *times = xreallocarray(NULL, count, sizeof *times);
        for (size_t i = 0; i < count; i++) {
            times[i] = t;
            t += next_gap(w, typical);
        }
        make_block(w, bsw, series, times, count, all);
        free(times);
    }
}

static struct file_part *must_open(const char *dir)
{
    struct error error = {0};
    struct file_part *part;
    if (file_part_open(&part, dir, &error) < 0)
        fail_msg("%s", error.message);
    return part;
}

static struct file_part *make_part(struct world *w, const char *dir, struct rows *all)
{
    struct block_stream_writer bsw;
    struct part_header ph;
    struct error error = {0};
    size_t before = all->count;
    if (block_stream_writer_init_from_file_part(&bsw, &fs_posix, dir, 0, 0, &error) < 0)
        fail_msg("%s", error.message);
    for (unsigned s = 0; s < w->series_count; s++)
        if (chance(w, 4) || (s + 1 == w->series_count && all->count == before))
            make_blocks(w, &bsw, s, all);
    if (block_stream_writer_finish(&bsw, &ph, NULL, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(ph.rows_count, all->count - before);
    return must_open(dir);
}

/* --- what is in a part --- */

/* The value as a multiple of 10^base; false if it isn't one. */
static bool number_of(int64_t mantissa, int scale, int base, int64_t *ret)
{
    int up = scale - base;
    __extension__ __int128 n = mantissa;
    for (; up > 0 && n != 0; up--) {
        n *= 10;
        if (n > INT64_MAX || n < INT64_MIN)
            return false;
    }
    for (; up < 0 && n != 0; up++) {
        if (n % 10 != 0)
            return false;
        n /= 10;
    }
    *ret = (int64_t)n;
    return true;
}

/* Its rows in its order, which is checked, as are headers. */
static void read_rows(const struct world *w, const struct file_part *part, struct rows *ret)
{
    struct block_stream_reader bsr;
    struct error error = {0};
    unsigned last_series = 0;
    int64_t last_min = 0;
    int r;
    block_stream_reader_init_from_file_part(&bsr, part);
    while ((r = block_stream_reader_next(&bsr, &error)) == 1) {
        struct block *b = &bsr.block;
        unsigned series = 1000000 - (unsigned)b->header.tsid.metric_id;
        if (block_decode(b, &error) < 0)
            fail_msg("%s", error.message);
        assert_in_range(series, last_series, w->series_count - 1);
        assert_in_range(b->header.rows_count, 1, BLOCK_MAX);
        /* Rows that retention or dedup takes from the beginning of a block may leave two blocks of one series
         * in another order than they had; the reference leaves it so, and readers don't mind. */
        if (series == last_series && b->header.min_timestamp < last_min && !w->deadline && !w->interval)
            fail_msg("series %u: a block begins at %lld, behind one at %lld", series,
                     (long long)b->header.min_timestamp, (long long)last_min);
        last_series = series;
        last_min = b->header.min_timestamp;
        for (size_t i = 0; i < b->header.rows_count; i++) {
            struct row row = {series, b->timestamps[i], b->mantissas[i], decimal_is_special(b->mantissas[i])};
            if (!row.is_special && !number_of(b->mantissas[i], b->header.scale, w->base[series], &row.number))
                fail_msg("series %u: %lld * 10^%d isn't a multiple of 10^%d, as all rows were", series,
                         (long long)b->mantissas[i], b->header.scale, w->base[series]);
            add_row(ret, row);
        }
    }
    if (r < 0)
        fail_msg("%s", error.message);
    assert_int_equal(ret->count, part->header.rows_count);
    block_stream_reader_release(&bsr);
}

/* --- what there should be --- */

/* Among rows of one time: a staleness marker before all others, then by value. */
static int compare(const void *x, const void *y)
{
    const struct row *a = x, *b = y;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    if (a->timestamp != b->timestamp)
        return a->timestamp < b->timestamp ? -1 : 1;
    bool a_stale = a->is_special && a->number == DECIMAL_STALE;
    bool b_stale = b->is_special && b->number == DECIMAL_STALE;
    if (a_stale != b_stale)
        return a_stale ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static void sort(struct rows *all)
{
    if (all->count)
        qsort(all->rows, all->count, sizeof *all->rows, compare);
}

static int64_t window_of(int64_t timestamp, int64_t interval)
{
    return (timestamp + interval - 1) / interval;
}

/* Sorts, and leaves what deletion and dedup leave, and what is in retention. */
static void leave(const struct world *w, struct rows *all)
{
    size_t n = 0;
    sort(all);
    for (size_t i = 0; i < all->count; i++) {
        const struct row *row = &all->rows[i], *next = i + 1 < all->count ? row + 1 : NULL;
        bool deduped = w->interval && next && next->series == row->series &&
                       window_of(next->timestamp, w->interval) == window_of(row->timestamp, w->interval);
        if (!deduped && !(w->deleted >> row->series & 1) && row->timestamp >= w->deadline)
            all->rows[n++] = *row;
    }
    all->count = n;
}

/* Takes out the rows that may stay though they're too old; each must have been there. */
static size_t take_old(const struct world *w, struct rows *found, const struct rows *all)
{
    size_t n = 0, old = 0;
    for (size_t i = 0; i < found->count; i++) {
        if (found->rows[i].timestamp >= w->deadline) {
            found->rows[n++] = found->rows[i];
            continue;
        }
        old++;
        if (!bsearch(&found->rows[i], all->rows, all->count, sizeof *all->rows, compare))
            fail_msg("series %u has %lld at %lld, which wasn't put in", found->rows[i].series,
                     (long long)found->rows[i].number, (long long)found->rows[i].timestamp);
    }
    found->count = n;
    return old;
}

static void expect_equal(struct rows *found, const struct rows *want)
{
    for (size_t i = 0; i < found->count && i < want->count; i++)
        if (compare(&found->rows[i], &want->rows[i]) != 0 ||
            found->rows[i].is_special != want->rows[i].is_special)
            fail_msg("row %zu: series %u has %lld at %lld, expected series %u with %lld at %lld", i,
                     found->rows[i].series, (long long)found->rows[i].number,
                     (long long)found->rows[i].timestamp, want->rows[i].series,
                     (long long)want->rows[i].number, (long long)want->rows[i].timestamp);
    assert_int_equal(found->count, want->count);
}

static bool is_deleted(uint64_t metric_id, void *arg)
{
    const struct world *w = arg;
    return w->deleted >> (1000000 - metric_id) & 1;
}

/* --- a round --- */

/* Merges parts[0..n) to one, at once or some of them first; frees them. NULL if no row is left. */
static struct file_part *merge_all(struct world *w, struct file_part **parts, size_t n, uint64_t *ret_lost)
{
    unsigned number = 0;
    *ret_lost = 0;
    for (;;) {
        size_t count = n > 2 && chance(w, 2) ? 2 + chance(w, n - 1) : n;
        _Atomic uint64_t merged = 0, too_old = 0, deleted = 0, deduped = 0;
        const struct merge_options options = {.retention_deadline_ms = w->deadline,
                                              .is_deleted = is_deleted,
                                              .is_deleted_arg = w,
                                              .dedup_interval_ms = w->interval,
                                              .rows_merged = &merged,
                                              .rows_too_old = &too_old,
                                              .rows_deleted = &deleted,
                                              .rows_deduped = &deduped};
        char name[24];
        struct part_header ph;
        struct error error = {0};
        uint64_t rows = 0;
        snprintf(name, sizeof name, "merged-%u", number++);
        for (size_t i = 0; i < count; i++)
            rows += parts[i]->header.rows_count;
        if (fixture_merge(path_in(w->state, name), parts, count, &options, &ph, &error) < 0)
            fail_msg("%s", error.message);
        assert_int_equal(rows, ph.rows_count + too_old + deleted + deduped); /* each row is accounted for */
        assert_int_equal(merged, ph.rows_count);
        *ret_lost += too_old + deleted + deduped;
        for (size_t i = 0; i < count; i++)
            file_part_free(parts[i]);
        memmove(parts, parts + count, (n - count) * sizeof *parts);
        n -= count;
        struct file_part *part = ph.rows_count ? must_open(path_in(w->state, name)) : NULL;
        if (!n)
            return part;
        if (part)
            parts[n++] = part;
    }
}

static void init(struct world *w, uint64_t round)
{
    static const int64_t spans[] = {10, 1000, 100000, 1000000000};
    static const size_t block_rows[] = {1, 8, 60, 300};
    static const int bases[] = {-320, -40, -9, -3, 0, 2, 9, 200};
    w->series_count = 1 + (unsigned)chance(w, SERIES_MAX);
    w->span = spans[chance(w, 4)];
    w->block_rows = round % BIG_EVERY == 0 ? BLOCK_MAX : block_rows[chance(w, 4)];
    w->specials = chance(w, 2) ? 0 : (unsigned)chance(w, 60);
    w->interval = w->deadline = 0;
    w->deleted = 0;
    for (unsigned s = 0; s < w->series_count; s++) {
        w->base[s] = bases[chance(w, 8)];
        w->digits[s] = 1 + (int)chance(w, DIGITS);
    }
    if (chance(w, 3) == 0 && w->block_rows < BLOCK_MAX) /* windows end with blocks */
        w->interval = 1 + (int64_t)chance(w, (uint64_t)w->span);
    if (chance(w, 3) == 0)
        w->deadline = T0 + (int64_t)chance(w, (uint64_t)w->span * 2);
    if (chance(w, 3) == 0)
        w->deleted = chance(w, 1 << SERIES_MAX);
}

static void one_round(struct world *w, uint64_t round)
{
    struct file_part *parts[PARTS_MAX];
    struct rows all = {0}, want = {0}, found = {0};
    init(w, round);
    size_t count = 1 + chance(w, PARTS_MAX);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "part-%zu", i);
        parts[i] = make_part(w, path_in(w->state, name), &all);
    }
    sort(&all);
    for (size_t i = 0; i < all.count; i++)
        add_row(&want, all.rows[i]);
    leave(w, &want);
    uint64_t lost;
    struct file_part *merged = merge_all(w, parts, count, &lost);
    if (merged)
        read_rows(w, merged, &found);
    assert_int_equal(found.count, all.count - lost);
    if (!w->interval && !w->deadline && !w->deleted)
        assert_int_equal(lost, 0);
    sort(&found);
    (void)take_old(w, &found, &all);
    expect_equal(&found, &want);
    if (merged)
        file_part_free(merged);
    free(all.rows);
    free(want.rows);
    free(found.rows);
}

static void rows_are_as_before(void **state)
{
    const char *text = getenv("VARVE_SEED"), *rounds_text = getenv("VARVE_ROUNDS");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 1000;
    uint64_t rounds = rounds_text ? strtoull(rounds_text, NULL, 10) : ROUNDS;
    print_message("VARVE_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t i = 0; i < rounds; i++) {
        struct world w = {.random = (seed + i) * 2 + 1, .state = state};
        if (i % 100 == 0)
            print_message("  from %llu on\n", (unsigned long long)(seed + i));
        one_round(&w, seed + i);
        assert_int_equal(fs_remove_tree(&fs_posix, *state, NULL), 0);
        assert_int_equal(fs_make_dirs(&fs_posix, *state, false, NULL), 0);
    }
}

static int set_up(void **state)
{
    *state = TEMP_DIR();
    return 0;
}

static int tear_down(void **state)
{
    temp_dir_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_as_before, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
