/* What is out of retention goes: rows, parts, months; and nothing else, wherever the store is killed. */
#include <limits.h>
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

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/storage_impl.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES       3
#define RETENTION_MS (400 * DAY_MS)
#define NOVEMBER     60 /* the first message whose rows are in November */
/* The clock at which message n's rows are the first that are kept. */
#define NOW_KEEPING(n) (T0 + (n)*SECOND_MS + RETENTION_MS)
#define OPERATIONS_MAX 1000
#define WAIT_MS        INT64_C(20000)

#ifdef VARVE_SANITIZED
#define STRIDE 5
#else
#define STRIDE 1
#endif

static int open_at(struct storage **ret, const char *dir, const struct fs *fs, int64_t now_ms,
                   bool trust_clock)
{
    clock_set_fake_ms(now_ms);
    const struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = RETENTION_MS,
        .trust_clock = trust_clock,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
    };
    return storage_open(ret, &options, NULL);
}

static struct storage *must_open(const char *dir, int64_t now_ms, bool trust_clock)
{
    struct storage *st;
    assert_int_equal(open_at(&st, dir, NULL, now_ms, trust_clock), 0);
    return st;
}

struct seen {
    uint64_t rows;
    int64_t first_ms;
};

static int see_rows(void *context, const struct series_rows *rows)
{
    struct seen *seen = context;
    seen->rows += rows->count;
    if (rows->count && (!seen->first_ms || rows->timestamps[0] < seen->first_ms))
        seen->first_ms = rows->timestamps[0];
    return 0;
}

/* Takes over r. Expects the rows of messages [from, to), all series. */
static void expect_range(struct reader *r, uint64_t from, uint64_t to)
{
    struct seen seen = {0};
    assert_int_equal(reader_export(r, NULL, 0, 0, INT64_MAX / 2, see_rows, &seen, NULL), 0);
    assert_int_equal(seen.rows, (to - from) * SERIES);
    if (to > from)
        assert_int_equal(seen.first_ms, T0 + (int64_t)from * SECOND_MS);
    reader_free(r);
}

static struct reader *reader_of(const char *dir)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("%s", error.message);
    return r;
}

static bool has_month(const char *dir, const char *place, const char *month)
{
    _cleanup_free_ char *path = xasprintf("%s/data/%s/%s", dir, place, month);
    return fs_is_dir(path);
}

/* Messages [0, 50) of October, then [60, 70), [70, 80), [80, 90) in a commit each. */
static void make_store(const char *dir)
{
    static const uint64_t ranges[][2] = {{0, 50}, {50, 70}, {70, 80}, {80, 90}};
    struct storage *st = must_open(dir, NOW_MS, true);
    struct storage_writer *w = storage_writer_new(st);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        put_messages(w, ranges[i][0], ranges[i][1], SERIES);
        assert_int_equal(storage_flush(st, 5000, NULL), 0);
    }
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
}

static struct storage_stats stats_of(struct storage *st)
{
    struct storage_stats stats, numbers;
    storage_stats(st, &stats);
    numbers = stats;
    numbers.months = NULL;
    storage_stats_release(&stats);
    return numbers;
}

static void wait_for_months_dropped(struct storage *st, uint64_t months)
{
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    while (stats_of(st).removed.months < months) {
        assert_true(clock_monotonic_ms() < until);
        clock_sleep_ms(10);
    }
}

static void months_and_parts_go_at_the_start(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_store(dir);
    struct storage *st = must_open(dir, NOW_KEEPING(75), true);
    wait_for_months_dropped(st, 1);
    assert_int_equal(storage_remove_stale(st, NULL), 0);
    expect_range(reader_new(st), 75, 90);
    struct storage_stats stats = stats_of(st);
    assert_int_equal(stats.months_count, 1);
    assert_int_equal(stats.removed.months, 1);
    assert_int_equal(stats.removed.parts, 1);                    /* that of [60, 70) */
    assert_int_equal(stats.removed.retention_rows, 70 * SERIES); /* the rest waits for a merge */
    assert_false(has_month(dir, "small", "2026_10"));
    assert_false(has_month(dir, "indexdb", "2026_10"));
    assert_int_equal(storage_close(st, NULL), 0);
    expect_range(reader_of(dir), 70, 90); /* a directory has no retention: whole parts */
    st = must_open(dir, NOW_KEEPING(75), true);
    assert_int_equal(storage_force_merge(st, "", NULL), 1);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_range(reader_of(dir), 75, 90);
    temp_dir_remove(dir);
}

static void what_no_part_needs_any_more_goes_with_its_month(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_store(dir);
    struct storage *st = must_open(dir, NOW_KEEPING(100 * 86400), true);
    wait_for_months_dropped(st, 2);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_false(has_month(dir, "small", "2026_11"));
    expect_range(reader_of(dir), 0, 0);
    temp_dir_remove(dir);
}

static void a_doubtful_clock_deletes_nothing(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_store(dir);
    struct storage *st = must_open(dir, NOW_KEEPING(75), false); /* a year after its last commit */
    assert_int_equal(storage_clock(st), CLOCK_AHEAD);
    assert_int_equal(storage_remove_stale(st, NULL), 0);
    expect_range(reader_new(st), 0, 90);
    assert_int_equal(storage_close(st, NULL), 0);
    st = must_open(dir, NOW_MS, false); /* the time of the stop wasn't believed either */
    assert_int_equal(storage_clock(st), CLOCK_PLAUSIBLE);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static void readers_keep_what_they_have(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_store(dir);
    struct storage *st = must_open(dir, NOW_MS, true);
    struct reader *r = reader_new(st);
    clock_set_fake_ms(NOW_KEEPING(75));
    assert_int_equal(storage_remove_stale(st, NULL), 0);
    assert_false(has_month(dir, "small", "2026_10"));
    expect_range(r, 0, 90);
    expect_range(reader_new(st), 75, 90);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

/* Rows of a dropped month that aren't committed are left out and counted, and so are late ones; positions
 * advance over both. */
static void rows_of_a_dropped_month_are_left_out(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = must_open(dir, NOW_MS, true);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    put_messages(w, 50, 80, SERIES);
    clock_set_fake_ms(NOW_KEEPING(NOVEMBER));
    assert_int_equal(storage_remove_stale(st, NULL), 0);
    assert_int_equal(stats_of(st).removed.months, 1);
    assert_int_equal(stats_of(st).removed.uncommitted_rows, 10 * SERIES);
    /* The clock goes back: what is dropped stays so. */
    clock_set_fake_ms(NOW_MS);
    int64_t min_ms, max_ms;
    struct storage_position to = {.next = 81};
    storage_writer_begin(w);
    storage_writer_limits(w, &min_ms, &max_ms);
    assert_int_equal(min_ms, T0 + NOVEMBER * SECOND_MS);
    assert_int_equal(storage_writer_hand_over(w, "src", 3, 80, &to, NULL), 0);
    assert_int_equal(storage_writer_add(w, 0, min_ms - 1, decimal_from_double(1)), ROW_TOO_OLD);
    storage_writer_end(w);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_int_equal(durable_position_of(st), 81);
    storage_writer_free(w);
    expect_range(reader_new(st), NOVEMBER, 80);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_false(has_month(dir, "small", "2026_10"));
    assert_false(has_month(dir, "indexdb", "2026_10"));
    expect_range(reader_of(dir), NOVEMBER, 80);
    temp_dir_remove(dir);
}

/* Intake pauses while the clock is in doubt, but a little later than the clock is stepped. */
static void no_row_is_refused_by_a_doubted_clock(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = must_open(dir, NOW_MS, false);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    const int64_t clocks_ms[] = {DAY_MS, NOW_MS - DAY_MS / 2, NOW_MS + 4000 * DAY_MS};
    for (size_t i = 0; i < sizeof clocks_ms / sizeof *clocks_ms; i++) {
        clock_set_fake_ms(clocks_ms[i]);
        assert_int_not_equal(storage_clock(st), CLOCK_PLAUSIBLE);
        int64_t min_ms, max_ms;
        storage_writer_begin(w);
        storage_writer_limits(w, &min_ms, &max_ms);
        storage_writer_end(w);
        assert_true(min_ms <= T0);
        assert_true(max_ms >= NOW_MS);
        put_messages(w, 50 + 5 * i, 55 + 5 * i, SERIES);
    }
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    storage_writer_free(w);
    expect_range(reader_new(st), 0, 65);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

/* A full disk must not stand in the way of what makes room: a commit that waits to be listed holds up only
 * the months that it has rows of. */
static void a_month_goes_while_a_commit_of_others_waits_for_room(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct fault_fs f;
    struct storage *st;
    fault_fs_init(&f, FAULT_NONE, 0);
    assert_int_equal(open_at(&st, dir, &f.fs, NOW_MS, true), 0);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, NOVEMBER, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    f.at = LONG_MAX / 2;     /* until syncs_left says when */
    f.kind = FAULT_FULL_FOR; /* from the list of parts on that the next commit is published by */
    f.sync_of = FILE_PARTS_JSON ".tmp";
    f.renames_fit = true;
    f.length = OPERATIONS_MAX;
    f.syncs_left = 1;
    put_messages(w, NOVEMBER, NOVEMBER + 5, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), ERR_FULL);
    assert_true(storage_take_turn(st, -1));
    assert_true(st->unpublished.count > 0);
    storage_end_turn(st);
    clock_set_fake_ms(NOW_KEEPING(NOVEMBER));
    struct error error = {0};
    if (storage_remove_stale(st, &error) < 0)
        fail_msg("the month stays: %s", error.message);
    f.kind = FAULT_NONE;
    assert_int_equal(stats_of(st).removed.months, 1);
    assert_false(has_month(dir, "small", "2026_10"));
    assert_false(has_month(dir, "indexdb", "2026_10"));
    storage_writer_free(w);
    expect_range(reader_new(st), NOVEMBER, NOVEMBER + 5);
    while (storage_flush(st, 5000, NULL) < 0)
        clock_sleep_ms(10);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_range(reader_of(dir), NOVEMBER, NOVEMBER + 5);
    temp_dir_remove(dir);
}

/* A pass that ends at operation `at`; true if it came to its end instead. */
static bool pass_in_child(const char *dir, enum fault_kind kind, long at, long length)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct fault_fs f;
        struct storage *st;
        fault_fs_init(&f, kind, at);
        f.length = length;
        if (open_at(&st, dir, &f.fs, NOW_KEEPING(75), true) == 0) {
            int64_t until = clock_monotonic_ms() + 3000;
            while (!atomic_load(&st->failed) && storage_remove_stale(st, NULL) < 0 &&
                   clock_monotonic_ms() < until)
                clock_sleep_ms(10);
            (void)storage_close(st, NULL);
        }
        _exit(atomic_load(&f.operations) < at ? 0 : 137);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void break_at_every_operation(enum fault_kind kind, long length)
{
    bool done = false;
    long at = 1;
    for (; !done; at += STRIDE) {
        assert_true(at < OPERATIONS_MAX);
        char *dir = TEMP_DIR();
        make_store(dir);
        done = pass_in_child(dir, kind, at, length);
        /* What is found, also by those who know no retention, are whole parts; none of those to be kept is
         * missing. */
        struct seen seen = {0};
        struct reader *r = reader_of(dir);
        assert_int_equal(reader_export(r, NULL, 0, T0 + 70 * SECOND_MS, INT64_MAX / 2, see_rows, &seen, NULL),
                         0);
        reader_free(r);
        if (seen.rows != 20 * SERIES)
            fail_msg("kind %d at operation %ld: %llu rows of %d that are in retention", kind, at,
                     (unsigned long long)seen.rows, 20 * SERIES);
        /* Everything goes in the end. */
        struct storage *st = must_open(dir, NOW_KEEPING(75), true);
        int64_t until = clock_monotonic_ms() + WAIT_MS;
        while (storage_remove_stale(st, NULL) < 0 && clock_monotonic_ms() < until)
            clock_sleep_ms(10);
        expect_range(reader_new(st), 75, 90);
        assert_int_equal(storage_close(st, NULL), 0);
        assert_false(has_month(dir, "small", "2026_10"));
        assert_false(has_month(dir, "indexdb", "2026_10"));
        expect_range(reader_of(dir), 70, 90);
        temp_dir_remove(dir);
    }
    print_message("%ld operations\n", at - 1);
    assert_true(at > 20);
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    break_at_every_operation(FAULT_EXIT, 0);
}

static void an_io_error_at_every_operation(void **state)
{
    (void)state;
    break_at_every_operation(FAULT_IO, 0);
}

static void a_short_write_at_every_operation(void **state)
{
    (void)state;
    break_at_every_operation(FAULT_SHORT_WRITE, 0);
}

static void a_full_disk_at_every_operation(void **state)
{
    (void)state;
    break_at_every_operation(FAULT_FULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(months_and_parts_go_at_the_start),
        cmocka_unit_test(what_no_part_needs_any_more_goes_with_its_month),
        cmocka_unit_test(a_doubtful_clock_deletes_nothing),
        cmocka_unit_test(readers_keep_what_they_have),
        cmocka_unit_test(rows_of_a_dropped_month_are_left_out),
        cmocka_unit_test(no_row_is_refused_by_a_doubted_clock),
        cmocka_unit_test(a_month_goes_while_a_commit_of_others_waits_for_room),
        cmocka_unit_test(killed_at_every_operation),
        cmocka_unit_test(an_io_error_at_every_operation),
        cmocka_unit_test(a_short_write_at_every_operation),
        cmocka_unit_test(a_full_disk_at_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
