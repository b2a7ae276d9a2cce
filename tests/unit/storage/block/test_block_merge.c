#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
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

/* Opens the merged part and compares its rows, as a multiset, with want[0..n), whose order is changed. */
static void has_rows(const char *dir, struct sample_row *want, size_t n)
{
    struct error err = {0};
    struct file_part *part;
    if (file_part_open(&part, dir, &err) < 0)
        fail_msg("%s", err.message);
    size_t count;
    struct sample_row *got = fixture_rows(part, &count);
    assert_int_equal(count, n);
    qsort(got, count, sizeof *got, compare_rows);
    qsort(want, n, sizeof *want, compare_rows);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(compare_rows(&got[i], &want[i]), 0);
    free(got);
    file_part_free(part);
}

static size_t random_rows(struct sample_row *rows, size_t n, uint32_t series, int64_t from, int64_t span)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct sample_row){(uint32_t)rand() % series, T0 + from + rand() % span, rand() % 1000, 0};
    return n;
}

static void keeps_every_row(void **state)
{
    enum { PARTS = 6, ROWS = 30000 };
    static struct sample_row rows[PARTS * ROWS];
    struct file_part *parts[PARTS];
    struct part_header ph;
    struct error err = {0};
    size_t n = 0;
    _Atomic uint64_t merged = 0;
    const struct merge_options options = {.rows_merged = &merged};
    srand(5);
    for (int p = 0; p < PARTS; p++) {
        char name[8] = {'p', (char)('0' + p)};
        /* Some with few series and blocks of many rows, some in their own time range, many equal timestamps.
         */
        size_t count = random_rows(rows + n, ROWS, p % 2 ? 3 : 300, p * 2000, 5000);
        parts[p] = fixture_file(path_in(state, name), rows + n, count);
        n += count;
    }
    if (fixture_merge(path_in(state, "merged"), parts, PARTS, &options, &ph, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(ph.rows_count, n);
    assert_int_equal(merged, n);
    has_rows(path_in(state, "merged"), rows, n);
    for (int p = 0; p < PARTS; p++)
        file_part_free(parts[p]);
}

/* Blocks that nothing overlaps are copied: values.bin is the sources' bytes in the order of the series. */
static void copies_without_decoding(void **state)
{
    static struct sample_row a[3000], b[3000];
    for (int i = 0; i < 3000; i++) {
        a[i] = (struct sample_row){10, T0 + i * 1000, rand() % 100, 0};
        b[i] = (struct sample_row){20, T0 + i * 1000, rand() % 100, 0};
    }
    struct file_part *parts[] = {fixture_file(path_in(state, "b"), b, 3000),
                                 fixture_file(path_in(state, "a"), a, 3000)};
    struct part_header ph;
    struct error err;
    assert_int_equal(fixture_merge(path_in(state, "m"), parts, 2, NULL, &ph, &err), 0);
    struct file_part *m;
    assert_int_equal(file_part_open(&m, path_in(state, "m"), &err), 0);
    assert_int_equal(m->values.size, parts[0]->values.size + parts[1]->values.size);
    assert_memory_equal(m->values.data, parts[1]->values.data, parts[1]->values.size);
    assert_memory_equal(m->values.data + parts[1]->values.size, parts[0]->values.data, parts[0]->values.size);
    assert_int_equal(m->timestamps.size, parts[0]->timestamps.size); /* equal ones once */
    file_part_free(m);
    file_part_free(parts[0]);
    file_part_free(parts[1]);
}

static void equal_timestamps_keep_all_rows_in_order_of_parts(void **state)
{
    struct sample_row a[] = {{1, T0, 1, 0}, {1, T0, 2, 0}}, b[] = {{1, T0, 3, 0}, {1, T0 + 1, 4, 0}};
    struct file_part *parts[] = {fixture_file(path_in(state, "a"), a, 2),
                                 fixture_file(path_in(state, "b"), b, 2)};
    struct part_header ph;
    struct error err;
    assert_int_equal(fixture_merge(path_in(state, "m"), parts, 2, NULL, &ph, &err), 0);
    assert_int_equal(ph.blocks_count, 1);
    struct file_part *m;
    assert_int_equal(file_part_open(&m, path_in(state, "m"), &err), 0);
    size_t n;
    struct sample_row *rows = fixture_rows(m, &n);
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rows[i].mantissa, i + 1);
    free(rows);
    file_part_free(m);
    file_part_free(parts[0]);
    file_part_free(parts[1]);
}

static bool is_series_5(uint64_t metric_id, void *arg)
{
    (void)arg;
    return metric_id == fixture_tsid(5).metric_id;
}

static void leaves_out_what_is_deleted_or_too_old(void **state)
{
    /* Series 1 ends before the deadline; series 2 straddles it alone and is copied; series 3's blocks are
     * merged. */
    struct sample_row a[] = {{1, T0, 1, 0}, {2, T0, 2, 0},       {2, T0 + 100, 3, 0},
                             {3, T0, 4, 0}, {3, T0 + 100, 5, 0}, {5, T0 + 200, 6, 0}};
    struct sample_row b[] = {{1, T0 + 1, 7, 0}, {3, T0 + 10, 8, 0}, {3, T0 + 200, 9, 0}};
    struct sample_row want[] = {{2, T0, 2, 0}, {2, T0 + 100, 3, 0}, {3, T0 + 100, 5, 0}, {3, T0 + 200, 9, 0}};
    struct file_part *parts[] = {fixture_file(path_in(state, "a"), a, 6),
                                 fixture_file(path_in(state, "b"), b, 3)};
    _Atomic uint64_t too_old = 0, deleted = 0, merged = 0;
    const struct merge_options options = {.retention_deadline_ms = T0 + 50,
                                          .is_deleted = is_series_5,
                                          .rows_too_old = &too_old,
                                          .rows_deleted = &deleted,
                                          .rows_merged = &merged};
    struct part_header ph;
    struct error err;
    assert_int_equal(fixture_merge(path_in(state, "m"), parts, 2, &options, &ph, &err), 0);
    assert_int_equal(too_old, 4);
    assert_int_equal(deleted, 1);
    assert_int_equal(merged, 4);
    has_rows(path_in(state, "m"), want, 4);

    const struct merge_options all = {.retention_deadline_ms = T0 + 1000};
    assert_int_equal(fixture_merge(path_in(state, "none"), parts, 2, &all, &ph, &err), 0);
    assert_int_equal(ph.rows_count, 0);
    assert_false(fs_exists(path_in(state, "none/metaindex.bin")));
    file_part_free(parts[0]);
    file_part_free(parts[1]);
}

static void of_a_broken_part_nothing_is_made(void **state)
{
    struct sample_row a[] = {{1, T0, 1, 0}}, b[] = {{2, T0, 3, 0}, {3, T0 + 1, 4, 0}};
    struct file_part *parts[] = {fixture_file(path_in(state, "a"), a, 1),
                                 fixture_file(path_in(state, "b"), b, 2)};
    parts[1]->header.rows_count = 3; /* as if the metadata lied */
    struct part_header ph;
    struct error err = {0};
    assert_int_equal(fixture_merge(path_in(state, "m"), parts, 2, NULL, &ph, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, path_in(state, "b")));
    assert_false(fs_exists(path_in(state, "m/metaindex.bin")));
    file_part_free(parts[0]);
    file_part_free(parts[1]);
}

static atomic_bool stop;

static void stop_soon(void *arg)
{
    (void)arg;
    clock_sleep_ms(20);
    atomic_store(&stop, true);
}

/* Parts large enough that the merge would take longer than until it's told to stop. */
static void stops_when_told(void **state)
{
    enum { PARTS = 8, ROWS = 200000 };
    struct sample_row *rows = xcalloc(ROWS, sizeof *rows);
    struct file_part *parts[PARTS];
    for (int p = 0; p < PARTS; p++) {
        char name[8] = {'p', (char)('0' + p)};
        random_rows(rows, ROWS, 2000, p, 1000000);
        parts[p] = fixture_file(path_in(state, name), rows, ROWS);
    }
    free(rows);
    const struct merge_options options = {.stop = &stop};
    struct part_header ph;
    struct error err;
    struct thread t = {0};
    thread_start(&t, "stopper", stop_soon, NULL);
    int64_t start = clock_monotonic_ms();
    assert_int_equal(fixture_merge(path_in(state, "m"), parts, PARTS, &options, &ph, &err), ERR_CANCELLED);
    assert_true(clock_monotonic_ms() - start <
                1000); /* 120 on an idle machine; sanitizers and neighbours slow it */
    thread_join(&t);
    assert_false(fs_exists(path_in(state, "m/metaindex.bin")));
    for (int p = 0; p < PARTS; p++)
        file_part_free(parts[p]);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(keeps_every_row),
        WITH_DIR(copies_without_decoding),
        WITH_DIR(equal_timestamps_keep_all_rows_in_order_of_parts),
        WITH_DIR(leaves_out_what_is_deleted_or_too_old),
        WITH_DIR(of_a_broken_part_nothing_is_made),
        WITH_DIR(stops_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
