/*
 * Forced merges: one part a month, refused for want of space with the figures, and killed at every operation
 * and at every named step without a row lost or doubled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES   3u
#define COMMITS  6u
#define PER_PART 20u /* messages; they go over the end of a month */
#define MESSAGES (COMMITS * PER_PART)

#ifdef VARVE_SANITIZED
#define STRIDE 5
#else
#define STRIDE 1
#endif

/* Series without rows, so that each commit makes a part of the index of both months. */
static void register_series(struct storage_writer *w, uint64_t n)
{
    char value[32];
    int len = snprintf(value, sizeof value, "extra-%u", (unsigned)n);
    struct metric_label labels[] = {{"__name__", 8, "unused", 6}, {"host", 4, value, (uint32_t)len}};
    uint32_t handle;
    const char *reason;
    storage_writer_begin(w);
    assert_int_equal(storage_writer_series(w, labels, 2, T0, &handle, &reason), 0);
    assert_int_equal(storage_writer_series(w, labels, 2, T0 + DAY_MS, &handle, &reason), 0);
    storage_writer_end(w);
}

static void fill(struct storage *st)
{
    struct storage_writer *w = storage_writer_new(st);
    for (uint64_t i = 0; i < COMMITS; i++) {
        put_messages(w, i * PER_PART, (i + 1) * PER_PART, SERIES);
        register_series(w, i);
        assert_int_equal(storage_flush(st, 20000, NULL), 0);
    }
    storage_writer_free(w);
}

static char *filled_store(void)
{
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    fill(st);
    assert_int_equal(storage_close(st, NULL), 0);
    return dir;
}

static void count_parts(struct storage *st, const char *month, uint64_t *ret_data, uint64_t *ret_index)
{
    struct storage_stats stats;
    storage_stats(st, &stats);
    *ret_data = *ret_index = 0;
    for (size_t i = 0; i < stats.months_count; i++) {
        if (month && strcmp(stats.months[i].month, month) != 0)
            continue;
        *ret_data += stats.months[i].small.parts + stats.months[i].big.parts + stats.months[i].inmemory.parts;
        *ret_index += stats.months[i].index.parts;
    }
    storage_stats_release(&stats);
}

static void expect_parts(struct storage *st, const char *month, uint64_t data, uint64_t index)
{
    uint64_t found_data, found_index;
    count_parts(st, month, &found_data, &found_index);
    if (found_data != data || found_index != index)
        fail_msg("%s: %llu parts, %llu of the index; expected %llu and %llu", month ? month : "all",
                 (unsigned long long)found_data, (unsigned long long)found_index, (unsigned long long)data,
                 (unsigned long long)index);
}

static void leaves_one_part_a_month(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct error error = {0};
    struct storage *st = open_store(dir, NULL, NULL);
    fill(st);
    uint64_t before, index_before, data, index;
    count_parts(st, "2026_11", &before, &index_before);
    assert_true(before > 1);
    assert_int_equal(storage_force_merge(st, "2026_10", &error), 1);
    expect_parts(st, "2026_10", 1, 1);
    count_parts(st, "2026_11", &data, &index);
    assert_int_equal(data, before);
    assert_int_equal(storage_force_merge(st, "2027", &error), 0);
    assert_int_equal(storage_force_merge(st, "2026_1", &error), 2);
    expect_parts(st, NULL, 2, 2);
    /* Rows that are in memory only are among those. */
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, MESSAGES, MESSAGES + 50, SERIES);
    assert_int_equal(storage_force_merge(st, "", &error), 2);
    expect_parts(st, NULL, 2, 2);
    storage_writer_free(w);
    expect_messages(reader_new(st), MESSAGES + 50, SERIES);

    struct storage_merge_progress p;
    storage_force_merge_progress(st, &p);
    assert_false(p.running);
    assert_int_equal(p.done_total, 4);
    assert_int_equal(p.failed_total, 0);
    assert_int_equal(p.months_count, 2);
    assert_int_equal(p.months_done, 2);
    assert_int_equal(p.rows_done, p.rows_total);
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_true(stats.merges[3].total >= 4);
    assert_int_equal(stats.merges[3].active, 0);
    storage_stats_release(&stats);
    assert_int_equal(storage_close(st, NULL), 0);
    uint64_t parts;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    assert_int_equal(parts, 4);
    temp_dir_remove(dir);
}

static void refuses_with_the_figures(void **state)
{
    (void)state;
    char *dir = filled_store();
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    struct storage *st = open_store(dir, &fs.fs, NULL);
    uint64_t data, index;
    count_parts(st, NULL, &data, &index);
    struct error error = {0};
    atomic_store(&fs.free_bytes, 100);
    assert_int_equal(storage_force_merge(st, "", &error), ERR_FULL);
    if (!strstr(error.message, "100 are free") || !strstr(error.message, "more are needed"))
        fail_msg("the message says no figures: %s", error.message);
    assert_int_equal(storage_force_merge_start(st, "", &error), ERR_FULL);
    assert_non_null(strstr(error.message, "100 are free"));
    expect_parts(st, NULL, data, index);
    struct storage_merge_progress p;
    storage_force_merge_progress(st, &p);
    assert_int_equal(p.failed_total, 1);
    atomic_store(&fs.free_bytes, 0);
    assert_int_equal(storage_force_merge(st, "", &error), 2);
    expect_parts(st, NULL, 2, 2);
    expect_messages(reader_new(st), MESSAGES, SERIES);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static void runs_in_the_background_and_stops_with_the_store(void **state)
{
    (void)state;
    char *dir = filled_store();
    struct slow_fs fs;
    slow_fs_init(&fs, "/values.bin");
    atomic_store(&fs.is_open, true);
    struct storage *st = open_store(dir, &fs.fs, NULL);
    assert_int_equal(storage_force_merge_start(st, "2026_10", NULL), 0);
    assert_int_equal(storage_force_merge_start(st, "2026_11", NULL), 0);
    struct storage_merge_progress p;
    int64_t until = clock_monotonic_ms() + 20000;
    do {
        clock_sleep_ms(5);
        storage_force_merge_progress(st, &p);
    } while (p.done_total < 2 && clock_monotonic_ms() < until);
    assert_int_equal(p.done_total, 2);
    expect_parts(st, NULL, 2, 2);

    /* One that is stuck in a write is cancelled as soon as that ends; what waits is dropped. */
    atomic_store(&fs.is_open, false);
    assert_int_equal(storage_force_merge_start(st, "2026_10", NULL), 0);
    assert_int_equal(storage_force_merge_start(st, "2026_11", NULL), 0);
    while (!atomic_load(&fs.waiting) && clock_monotonic_ms() < until)
        clock_sleep_ms(5);
    storage_force_merge_progress(st, &p);
    assert_true(p.running);
    assert_string_equal(p.month, "2026_10");
    assert_int_equal(p.waiting, 1);
    storage_force_merge_cancel(st);
    atomic_store(&fs.is_open, true);
    expect_messages(reader_new(st), MESSAGES, SERIES);
    assert_int_equal(storage_close(st, NULL), 0);
    struct reader *r;
    assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
    expect_messages(r, MESSAGES, SERIES);
    temp_dir_remove(dir);
}

/* --- killed --- */

/* In a child. True if the forced merge was done and the store closed. */
static bool merge_in_child(const char *dir, long at)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct fault_fs f;
        fault_fs_init(&f, FAULT_EXIT, at);
        struct storage_options options = {
            .path = dir, .fs = &f.fs, .retention_ms = 400 * DAY_MS, .flush_interval_ms = 3600 * SECOND_MS};
        struct storage *st;
        if (storage_open(&st, &options, NULL) < 0)
            _exit(2);
        int r = storage_force_merge(st, "", NULL);
        _exit(storage_close(st, NULL) == 0 && r == 2 ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 2 || WEXITSTATUS(status) == 3))
        fail_msg("operation %ld: exit %d", at, WEXITSTATUS(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void check(const char *dir, const char *when, long at)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("%s %ld: %s", when, at, error.message);
    expect_messages(r, MESSAGES, SERIES);
    struct storage *st = open_store(dir, NULL, NULL);
    expect_messages(reader_new(st), MESSAGES, SERIES);
    assert_int_equal(position_of(st), MESSAGES);
    assert_int_equal(storage_force_merge(st, "", &error), 2);
    expect_parts(st, NULL, 2, 2);
    expect_messages(reader_new(st), MESSAGES, SERIES);
    assert_int_equal(storage_close(st, NULL), 0);
    uint64_t parts;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    assert_int_equal(parts, 4); /* nothing unlisted is left behind */
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    char *filled = filled_store();
    long at = 1;
    for (bool done = false; !done; at += STRIDE) {
        assert_true(at < 2000);
        char *dir = temp_dir_copy(filled);
        done = merge_in_child(dir, at);
        check(dir, "operation", at);
        temp_dir_remove(dir);
    }
    temp_dir_remove(filled);
    print_message("%ld operations\n", at - 1);
    assert_true(at > 50);
}

/* A disk that fails, is full, or takes half of a write: an open store that can't merge has all rows all the
 * same, and the next one merges. */
static void every_operation_fails(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_IO, FAULT_FULL, FAULT_SHORT_WRITE};
    char *filled = filled_store();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        long failed = 0, at = 1;
        for (bool done = false; !done; at += STRIDE) {
            assert_true(at < 2000);
            char *dir = temp_dir_copy(filled);
            struct fault_fs f;
            fault_fs_init(&f, kinds[k], at);
            struct storage_options options = {.path = dir,
                                              .fs = &f.fs,
                                              .retention_ms = 400 * DAY_MS,
                                              .flush_interval_ms = 3600 * SECOND_MS};
            struct storage *st;
            bool is_open = storage_open(&st, &options, NULL) == 0;
            int r = is_open ? storage_force_merge(st, "", NULL) : -1;
            if (is_open)
                expect_messages(reader_new(st), MESSAGES, SERIES);
            done = atomic_load(&f.operations) < at;
            if (done && r != 2)
                fail_msg("%d months merged without a fault", r);
            failed += r < 0;
            if (is_open)
                (void)storage_close(st, NULL);
            check(dir, "operation", at);
            temp_dir_remove(dir);
        }
        print_message("%ld operations, %ld failed\n", at - 1, failed);
        assert_true(failed > 10);
    }
    temp_dir_remove(filled);
}

#ifdef VARVE_FAULT_POINTS
static void killed_at_every_step(void **state)
{
    (void)state;
    static const char *const steps[] = {"merge.selected", "merge.begun",  "merge.built",
                                        "merge.synced",   "merge.listed", "merge.source_removed",
                                        "merge.done"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (int turn = 1; turn <= 4; turn++) { /* data and index of two months */
            char *dir = filled_store(), point[64];
            snprintf(point, sizeof point, "%s:%d", steps[i], turn);
            setenv("VARVE_FAULT_POINT", point, 1);
            bool done = merge_in_child(dir, 0);
            unsetenv("VARVE_FAULT_POINT");
            if (done)
                fail_msg("%s wasn't reached", point);
            check(dir, point, 0);
            temp_dir_remove(dir);
        }
    }
}
#endif

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_one_part_a_month),
        cmocka_unit_test(refuses_with_the_figures),
        cmocka_unit_test(runs_in_the_background_and_stops_with_the_store),
        cmocka_unit_test(killed_at_every_operation),
        cmocka_unit_test(every_operation_fails),
#ifdef VARVE_FAULT_POINTS
        cmocka_unit_test(killed_at_every_step),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
