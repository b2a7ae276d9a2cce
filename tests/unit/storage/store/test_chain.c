/* The way of rows from a writer to a merged part, which they go by themselves: nobody flushes or merges here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/fs/fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES            3
#define MESSAGES          20 /* before the month's end */
#define FLUSH_INTERVAL_MS 3000
#define SLACK_MS          INT64_C(20000) /* on a busy machine; early is what must not be */

static struct storage *open_with_interval(const char *dir, int64_t flush_interval_ms)
{
    const struct storage_options options = {.path = dir,
                                            .retention_ms = 400 * DAY_MS,
                                            .flush_interval_ms = flush_interval_ms,
                                            .merge_workers = 1};
    struct storage *st;
    struct error error = {0};
    if (storage_open(&st, &options, &error) < 0)
        fail_msg("%s", error.message);
    return st;
}

static bool is_thread_of_ours(const char *name)
{
    struct fs_list list;
    bool found = false;
    assert_int_equal(fs_list_dir(&list, "/proc/self/task", NULL), 0);
    for (size_t i = 0; i < list.count && !found; i++) {
        _cleanup_free_ char *path = xasprintf("/proc/self/task/%s/comm", list.names[i]);
        char text[32] = "";
        FILE *f = fopen(path, "r");
        found = f && fgets(text, sizeof text, f) && strncmp(text, name, strlen(name)) == 0;
        if (f)
            fclose(f);
    }
    fs_list_release(&list);
    return found;
}

/* A thread that was just started takes a moment to say who it is. */
static bool has_thread(const char *name)
{
    int64_t until = clock_monotonic_ms() + SLACK_MS;
    while (!is_thread_of_ours(name) && clock_monotonic_ms() < until)
        clock_sleep_ms(1);
    return is_thread_of_ours(name);
}

static struct storage_month_stats month_of_stats(struct storage *st)
{
    struct storage_stats stats;
    struct storage_month_stats month = {0};
    storage_stats(st, &stats);
    assert_true(stats.months_count <= 1);
    if (stats.months_count)
        month = stats.months[0];
    storage_stats_release(&stats);
    return month;
}

/* Until it has parts in memory, or on disk; ms since `begun`. */
static int64_t wait_for_parts(struct storage *st, bool on_disk, int64_t begun,
                              struct storage_month_stats *ret)
{
    for (;;) {
        *ret = month_of_stats(st);
        int64_t elapsed = clock_monotonic_ms() - begun;
        if (ret->small.parts || (ret->inmemory.parts && !on_disk))
            return elapsed;
        if (elapsed > SLACK_MS)
            fail_msg("no part %s after %lld ms", on_disk ? "on disk" : "in memory", (long long)elapsed);
        clock_sleep_ms(5);
    }
}

static void rows_reach_memory_after_a_second_and_the_disk_after_the_interval(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage_month_stats month;
    struct storage *st = open_with_interval(dir, FLUSH_INTERVAL_MS);
    int64_t begun = clock_monotonic_ms();
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, MESSAGES, SERIES);
    month = month_of_stats(st);
    assert_string_equal(month.month, "2026_10"); /* the first row made it */
    bool in_time = clock_monotonic_ms() - begun < 500;
    if (in_time) { /* else the machine is too busy to tell */
        assert_int_equal(month.inmemory.parts, 0);
        expect_messages(reader_new(st), 0, SERIES);
    }
    int64_t memory_ms = wait_for_parts(st, false, begun, &month);
    print_message("in memory after %lld ms\n", (long long)memory_ms);
    if (in_time)
        assert_true(memory_ms > 500);
    uint64_t durable = durable_position_of(st);
    /* The index rows come a moment after the rows. */
    int64_t shown_by = clock_monotonic_ms() + SLACK_MS;
    while (count_messages(reader_new(st), SERIES) != MESSAGES && clock_monotonic_ms() < shown_by)
        clock_sleep_ms(5);
    expect_messages(reader_new(st), MESSAGES, SERIES);
    if (clock_monotonic_ms() - begun < FLUSH_INTERVAL_MS - 500) {
        assert_int_equal(month.inmemory.rows, MESSAGES * SERIES);
        assert_int_equal(month.small.parts, 0);
        assert_int_equal(durable, 0);
    }

    int64_t disk_ms = wait_for_parts(st, true, begun, &month);
    print_message("on disk after %lld ms\n", (long long)disk_ms);
    assert_true(disk_ms > FLUSH_INTERVAL_MS - 500);
    assert_int_equal(month.small.rows, MESSAGES * SERIES);
    assert_int_equal(month.inmemory.rows, 0);
    assert_true(has_thread("rows-flusher"));
    assert_true(has_thread("committer"));
    assert_true(has_thread("stale-remover"));
    for (int64_t until = clock_monotonic_ms() + SLACK_MS; durable_position_of(st) != MESSAGES;) {
        assert_true(clock_monotonic_ms() < until);
        clock_sleep_ms(5);
    }
    expect_messages(reader_new(st), MESSAGES, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static void eight_parts_of_like_size_are_merged(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage_stats stats = {0};
    struct storage *st = open_with_interval(dir, 50);
    struct storage_writer *w = storage_writer_new(st);
    int64_t until = clock_monotonic_ms() + SLACK_MS;
    for (uint64_t n = 0; n < 50; n++) {
        put_message(w, n, SERIES);
        while (durable_position_of(st) <= n) {
            assert_true(clock_monotonic_ms() < until);
            clock_sleep_ms(2);
        }
    }
    do {
        assert_true(clock_monotonic_ms() < until);
        clock_sleep_ms(10);
        storage_stats_release(&stats);
        storage_stats(st, &stats);
    } while (stats.merges[0].total == 0 || stats.merges_active > 0);
    assert_string_equal(stats.merges[0].kind, "small");
    assert_true(has_thread("merge-small"));
    assert_true(stats.months[0].small.parts + stats.months[0].big.parts < 30);
    assert_true(stats.write_amplification > 1);
    storage_stats_release(&stats);
    expect_messages(reader_new(st), 50, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_reach_memory_after_a_second_and_the_disk_after_the_interval),
        cmocka_unit_test(eight_parts_of_like_size_are_merged),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
