#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "storage/part/merge_pick.h"

#define PARTS_MAX 2000

static struct merge_candidate parts[PARTS_MAX];
static size_t picked[MERGE_PARTS_MAX];

static size_t pick(const uint64_t *sizes, size_t n, uint64_t max_out)
{
    for (size_t i = 0; i < n; i++)
        parts[i] = (struct merge_candidate){sizes[i], 0};
    return merge_pick(parts, n, MERGE_PARTS_MAX, max_out, true, picked);
}

/* Sizes by which the reference's rule is well known (TestAppendPartsToMerge), and limits. */
static void picks_parts_of_like_size(void **state)
{
    (void)state;
    assert_int_equal(pick((uint64_t[]){100}, 1, UINT64_MAX), 0);
    assert_int_equal(pick((uint64_t[]){100, 100}, 2, UINT64_MAX), 0);
    assert_int_equal(pick((uint64_t[]){4, 2, 4}, 3, UINT64_MAX), 0);
    static const uint64_t equal[] = {9, 9, 9, 9, 9, 9, 9, 9};
    assert_int_equal(pick(equal, 7, UINT64_MAX), 0); /* at least eight */
    assert_int_equal(pick(equal, 8, UINT64_MAX), 8);
    assert_int_equal(pick(equal, 8, 72), 8);
    assert_int_equal(pick(equal, 8, 71), 0); /* too large an output */
    static const uint64_t spread[] = {100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200};
    assert_int_equal(pick(spread, 12, UINT64_MAX), 0); /* the sum is 6.5 times the largest */
    static const uint64_t two_sizes[] = {1000000, 10, 10, 10, 10, 1000000, 10, 10, 10, 10, 11};
    assert_int_equal(pick(two_sizes, 11, UINT64_MAX), 9);
    for (size_t i = 0; i < 9; i++)
        assert_true(parts[picked[i]].size <= 11);
    assert_int_equal(picked[8], 10); /* by size */
    assert_int_equal(pick((uint64_t[]){0, 0, 0, 0, 0, 0, 0, 0}, 8, UINT64_MAX), 8);
}

static void breaks_ties(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++)
        parts[i] = (struct merge_candidate){50, (int64_t)i};
    assert_int_equal(merge_pick(parts, 20, MERGE_PARTS_MAX, UINT64_MAX, true, picked), 15);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(picked[i], 14 - i); /* later data first, and of equal windows the last */
    assert_int_equal(merge_pick(parts, 20, MERGE_PARTS_MAX, UINT64_MAX, false, picked), 15);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(picked[i], 5 + i);
}

/* Replaces what was picked by one part; returns how many parts are left. */
static size_t merge_picked(size_t n, size_t count, double *written)
{
    struct merge_candidate out = {0, INT64_MAX};
    for (size_t k = 0; k < count; k++) {
        struct merge_candidate *p = &parts[picked[k]];
        out.size += p->size;
        out.min_timestamp = p->min_timestamp < out.min_timestamp ? p->min_timestamp : out.min_timestamp;
        p->size = UINT64_MAX;
    }
    *written += (double)out.size;
    size_t left = 0;
    for (size_t k = 0; k < n; k++)
        if (parts[k].size != UINT64_MAX)
            parts[left++] = parts[k];
    parts[left++] = out;
    return left;
}

/* The reference's own bound (TestAppendPartsToMergeManyParts): of 1,024 parts of any size at most 2.1 times
 * their bytes are written. 16 to 30 parts are left, depending on the sizes. */
static void many_parts_are_merged_in_few_steps(void **state)
{
    (void)state;
    srand(11);
    size_t n = 1024, count;
    double in = 0, written = 0;
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct merge_candidate){(uint64_t)rand() * 2 + 1, (int64_t)i};
        in += (double)parts[i].size;
    }
    while ((count = merge_pick(parts, n, MERGE_PARTS_MAX, (uint64_t)in, true, picked)) > 0)
        n = merge_picked(n, count, &written);
    assert_true(written / in <= 2.1);
    assert_true(n <= 32);
}

/* Parts that come one by one, as flushes make them: each byte is written about once per factor of eight. */
static void a_stream_of_parts_stays_short(void **state)
{
    (void)state;
    srand(11);
    size_t n = 0, most = 0, count;
    double in = 0, written = 0;
    for (int i = 0; i < 4096; i++) {
        parts[n++] = (struct merge_candidate){(uint64_t)(rand() % 10000) + 10000, i};
        in += (double)parts[n - 1].size;
        while ((count = merge_pick(parts, n, MERGE_PARTS_MAX, UINT64_MAX, true, picked)) > 0)
            n = merge_picked(n, count, &written);
        most = n > most ? n : most;
    }
    assert_true(written / in < 4);
    assert_true(most <= 50);
}

static void groups(size_t n, size_t want_groups)
{
    static size_t group[PARTS_MAX];
    size_t sizes[PARTS_MAX] = {0};
    size_t count = merge_groups(parts, n, MERGE_PARTS_MAX, true, group);
    if (want_groups)
        assert_int_equal(count, want_groups);
    for (size_t i = 0; i < n; i++) {
        assert_true(group[i] < count);
        sizes[group[i]]++;
    }
    for (size_t g = 0; g < count; g++)
        assert_true(sizes[g] >= 1 && sizes[g] <= MERGE_PARTS_MAX);
}

static void groups_hold_every_part_once(void **state)
{
    (void)state;
    groups(0, 0);
    srand(12);
    for (size_t n = 1; n < 200; n += 1 + n / 7) {
        for (int kind = 0; kind < 3; kind++) {
            for (size_t i = 0; i < n; i++)
                parts[i] = (struct merge_candidate){kind == 0   ? 100
                                                    : kind == 1 ? (uint64_t)rand() % 1000
                                                                : UINT64_C(1) << rand() % 40,
                                                    0};
            groups(n, kind == 0 ? (n + MERGE_PARTS_MAX - 1) / MERGE_PARTS_MAX : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_parts_of_like_size),           cmocka_unit_test(breaks_ties),
        cmocka_unit_test(many_parts_are_merged_in_few_steps), cmocka_unit_test(a_stream_of_parts_stays_short),
        cmocka_unit_test(groups_hold_every_part_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
