/* Merge workers: what wakes them, and that no kind of merge waits for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES    20u
#define WAIT_MS   20000
#define SMALL_MAX 20000 /* bytes; a commit's part has about 1,000 */

enum { SMALL, BIG, INDEX, FORCED };

static struct storage *open_with(const char *dir, const struct fs *fs, uint64_t small_part_bytes_max)
{
    struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .small_part_bytes_max = small_part_bytes_max,
    };
    struct storage *st;
    struct error error = {0};
    if (storage_open(&st, &options, &error) < 0)
        fail_msg("storage_open: %s", error.message);
    return st;
}

/* Values that don't compress, so that parts grow as their rows do. */
static void put_noise(struct storage_writer *w, uint64_t n)
{
    storage_writer_begin(w);
    for (unsigned k = 0; k < SERIES; k++) {
        char value[16];
        int len = snprintf(value, sizeof value, "noise-%u", k);
        struct metric_label labels[] = {{"__name__", 8, "noise", 5}, {"host", 4, value, (uint32_t)len}};
        int64_t timestamp = T0 + DAY_MS + (int64_t)n * SECOND_MS;
        uint32_t series;
        const char *reason;
        assert_int_equal(storage_writer_series(w, labels, 2, timestamp, &series, &reason), 0);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(storage_writer_add(w, series, timestamp + i * 250,
                                                (struct decimal){(int64_t)rand() << 20 | rand(), 0}),
                             ROW_ADDED);
    }
    storage_writer_end(w);
}

static struct storage_stats stats_of(struct storage *st)
{
    struct storage_stats stats;
    storage_stats(st, &stats);
    return stats;
}

/* One commit a message: one small part each. */
static void commit(struct storage *st, struct storage_writer *w, uint64_t *next, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put_noise(w, (*next)++);
        struct error error = {0};
        if (storage_flush(st, WAIT_MS, &error) < 0)
            fail_msg("storage_flush: %s", error.message);
    }
}

static void expect_rows(struct storage *st, uint64_t commits)
{
    struct storage_stats stats = stats_of(st);
    uint64_t rows = 0;
    for (size_t i = 0; i < stats.months_count; i++)
        rows += stats.months[i].small.rows + stats.months[i].big.rows;
    storage_stats_release(&stats);
    assert_int_equal(rows, commits * SERIES * 4);
}

static uint64_t small_parts(struct storage *st)
{
    struct storage_stats stats = stats_of(st);
    uint64_t parts = 0;
    for (size_t i = 0; i < stats.months_count; i++)
        parts += stats.months[i].small.parts;
    storage_stats_release(&stats);
    return parts;
}

/* Until at most so many small parts are left; nothing but the commits before woke the workers. */
static void wait_small_parts(struct storage *st, uint64_t most)
{
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    while (small_parts(st) > most && clock_monotonic_ms() < until)
        clock_sleep_ms(10);
    if (small_parts(st) > most)
        fail_msg("%llu small parts, expected at most %llu", (unsigned long long)small_parts(st),
                 (unsigned long long)most);
}

static void a_stuck_big_merge_holds_up_no_small_one(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct slow_fs fs;
    slow_fs_init(&fs, "/data/big/");
    struct storage *st = open_with(dir, &fs.fs, SMALL_MAX);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t next = 0;
    for (int i = 0; i < 400 && !atomic_load(&fs.waiting); i++)
        commit(st, w, &next, 1);
    if (!atomic_load(&fs.waiting))
        fail_msg("no big merge began within 400 commits");
    struct storage_stats before = stats_of(st);
    assert_int_equal(before.merges[BIG].active, 1);
    commit(st, w, &next, 120);
    struct storage_stats after = stats_of(st);
    assert_int_equal(atomic_load(&fs.waiting), 1); /* it still is */
    assert_int_equal(after.merges[BIG].total, before.merges[BIG].total);
    assert_true(after.merges[INDEX].total >= before.merges[INDEX].total);
    storage_stats_release(&before);
    storage_stats_release(&after);
    wait_small_parts(st, 90); /* the sources of big merges among them */
    struct storage_stats merged = stats_of(st);
    if (merged.merges[SMALL].total < before.merges[SMALL].total + 4)
        fail_msg("%llu small merges after 120 commits",
                 (unsigned long long)(merged.merges[SMALL].total - before.merges[SMALL].total));
    storage_stats_release(&merged);

    atomic_store(&fs.is_open, true);
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    do {
        clock_sleep_ms(10);
        storage_stats_release(&after);
        after = stats_of(st);
    } while ((after.merges_active || !after.merges[BIG].total) && clock_monotonic_ms() < until);
    assert_true(after.merges[BIG].total > 0);
    assert_true(after.write_amplification > 1);
    uint64_t big = 0;
    for (size_t i = 0; i < after.months_count; i++)
        big += after.months[i].big.parts;
    assert_true(big > 0);
    storage_stats_release(&after);
    expect_rows(st, next);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    uint64_t parts;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    temp_dir_remove(dir);
}

/* No merge is begun that may not fit; the next part after space was freed wakes the workers. */
static void little_space_means_no_merges(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    atomic_store(&fs.free_bytes, 4000);
    struct storage *st = open_with(dir, &fs.fs, 0);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t next = 0;
    commit(st, w, &next, 40);
    clock_sleep_ms(200);
    struct storage_stats stats = stats_of(st);
    assert_int_equal(stats.merges[SMALL].total + stats.merges[BIG].total, 0);
    storage_stats_release(&stats);
    atomic_store(&fs.free_bytes, 0);
    commit(st, w, &next, 2);
    wait_small_parts(st, 15);
    storage_writer_free(w);
    expect_rows(st, next);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

/* A store that was stopped with many parts merges them when it's opened, without any commit. */
static void parts_found_at_open_are_merged(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    atomic_store(&fs.free_bytes, 4000);
    struct storage *st = open_with(dir, &fs.fs, 0);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t next = 0;
    commit(st, w, &next, 40);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    st = open_with(dir, NULL, 0);
    wait_small_parts(st, 15);
    expect_rows(st, next);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    srand(5);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stuck_big_merge_holds_up_no_small_one),
        cmocka_unit_test(little_space_means_no_merges),
        cmocka_unit_test(parts_found_at_open_are_merged),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
