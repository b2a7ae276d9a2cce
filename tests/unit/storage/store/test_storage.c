/* The store from rows to a directory and back. Two months: the messages cross a month's end. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 7

static bool exists_below(const char *dir, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    return fs_exists(path);
}

static void close_store(struct storage *st)
{
    struct error error = {0};
    if (storage_close(st, &error) < 0)
        fail_msg("storage_close: %s", error.message);
}

static struct reader *open_reader(const char *dir)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("reader_open_dir: %s", error.message);
    return r;
}

static void rows_are_seen_in_memory_then_on_disk_then_after_a_restart(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 100, SERIES);
    for (int i = 0; i < 50 && count_messages(reader_new(st), SERIES) < 100; i++)
        clock_sleep_ms(100); /* the 1 s flusher */
    expect_messages(reader_new(st), 100, SERIES);
    assert_int_equal(position_of(st), 100);
    assert_int_equal(durable_position_of(st), 0);

    assert_int_equal(storage_flush(st, 10000, NULL), 0);
    expect_messages(reader_new(st), 100, SERIES);
    assert_int_equal(durable_position_of(st), 100);
    assert_true(exists_below(dir, "restore-in-progress"));
    put_messages(w, 100, 130, SERIES);
    storage_writer_free(w); /* its rows stay, and are part of the last commit */
    close_store(st);
    assert_false(exists_below(dir, "restore-in-progress"));
    assert_false(exists_below(dir, "varve/journal"));
    expect_messages(open_reader(dir), 130, SERIES);

    st = open_store(dir, NULL, NULL);
    assert_int_equal(position_of(st), 130);
    w = storage_writer_new(st);
    put_messages(w, 130, 150, SERIES);
    assert_int_equal(storage_flush(st, 10000, NULL), 0);
    expect_messages(reader_new(st), 150, SERIES);
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_int_equal(stats.months_count, 2);
    assert_int_equal(stats.new_series_total, 0); /* found again in the index */
    storage_stats_release(&stats);
    storage_writer_free(w);
    close_store(st);
    temp_dir_remove(dir);
}

static void a_hand_over_is_refused_unless_it_goes_on_where_the_last_ended(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 3, SERIES);
    struct storage_position to = {.next = 9};
    struct error error;
    storage_writer_begin(w);
    assert_int_equal(storage_writer_hand_over(w, "src", 3, 2, &to, &error), ERR_INVALID);
    assert_int_equal(storage_writer_hand_over(w, "src", 3, 4, &to, &error), ERR_INVALID);
    storage_writer_end(w);
    assert_int_equal(position_of(st), 3);
    storage_writer_free(w);
    close_store(st);
    temp_dir_remove(dir);
}

static void rows_outside_the_time_limits_are_refused_and_make_no_partition(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    storage_writer_begin(w);
    struct decimal one = {1, 0};
    assert_int_equal(storage_writer_add(w, 0, 0, one), ROW_TOO_OLD);
    assert_int_equal(storage_writer_add(w, 0, NOW_MS - 401 * DAY_MS, one), ROW_TOO_OLD);
    assert_int_equal(storage_writer_add(w, 0, NOW_MS + 3 * DAY_MS, one), ROW_TOO_NEW);
    storage_writer_end(w);
    storage_writer_free(w);
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_int_equal(stats.months_count, 0);
    storage_stats_release(&stats);
    close_store(st);
    temp_dir_remove(dir);
}

static void many_commits_are_merged_and_the_journal_is_folded(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    for (uint64_t n = 0; n < 60; n++) {
        put_message(w, n * 2, SERIES);
        put_message(w, n * 2 + 1, SERIES);
        assert_int_equal(storage_flush(st, 10000, NULL), 0);
    }
    struct storage_stats stats = {0};
    for (int i = 0; i < 100; i++) {
        storage_stats(st, &stats);
        if (stats.merges_total > 0 && stats.merges_active == 0 && stats.months[0].small.parts < 20)
            break;
        storage_stats_release(&stats);
        clock_sleep_ms(50);
    }
    assert_true(stats.merges_total > 0);
    assert_true(stats.months[0].small.parts < 20);
    storage_stats_release(&stats);
    expect_messages(reader_new(st), 120, SERIES);
    storage_writer_free(w);
    close_store(st);
    uint64_t parts;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    expect_messages(open_reader(dir), 120, SERIES);
    temp_dir_remove(dir);
}

static void one_server_at_a_time(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL), *second;
    struct storage_options options = {.path = dir, .retention_ms = DAY_MS, .flush_interval_ms = 1000};
    struct error error = {0};
    assert_int_equal(storage_open(&second, &options, &error), ERR_BUSY);
    struct reader *r;
    assert_int_equal(reader_open_dir(&r, dir, &error), ERR_BUSY);
    close_store(st);
    temp_dir_remove(dir);
}

static void a_foreign_guard_is_an_unfinished_restore(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *guard = xasprintf("%s/restore-in-progress", dir);
    assert_int_equal(fs_write_file(&fs_posix, guard, "", 0, NULL), 0);
    struct storage *st;
    struct storage_options options = {.path = dir, .retention_ms = DAY_MS, .flush_interval_ms = 1000};
    struct error error = {0};
    assert_int_equal(storage_open(&st, &options, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "vmrestore"));
    temp_dir_remove(dir);
}

static void a_damaged_part_is_named(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 10, SERIES);
    storage_writer_free(w);
    close_store(st);
    struct inspection in;
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    assert_true(in.clean);
    _cleanup_free_ char *part = NULL;
    for (size_t i = 0; i < in.parts_count; i++)
        if (in.parts[i].place == PLACE_SMALL)
            part = part ? part : xstrdup(in.parts[i].dir);
    inspection_release(&in);
    _cleanup_free_ char *values = xasprintf("%s/index.bin", part);
    assert_int_equal(truncate(values, 1), 0);
    struct storage_options options = {.path = dir, .retention_ms = DAY_MS, .flush_interval_ms = 1000};
    struct error error = {0};
    assert_int_equal(storage_open(&st, &options, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, part));
    temp_dir_remove(dir);
}

/* A sink's doubts: answers are counted, "no" from the given one on until it's told otherwise. */
struct doubt {
    atomic_int asked, no_from;
};

static bool may_commit(void *context)
{
    struct doubt *d = context;
    return atomic_fetch_add(&d->asked, 1) < atomic_load(&d->no_from);
}

static void a_commit_that_is_held_back_leaves_all_as_it_was(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct doubt d = {.no_from = INT_MAX};
    struct storage_hooks hooks = {.context = &d, .may_commit = may_commit};
    struct storage *st = open_store(dir, NULL, &hooks);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 40, SERIES);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    uint64_t n = storage_commit_number(st);

    /* Before the cut, between the cut and the record, and when the record is written. */
    for (int answers = 0; answers < 3; answers++) {
        put_messages(w, 40 + 10 * (unsigned)answers, 50 + 10 * (unsigned)answers, SERIES);
        atomic_store(&d.asked, 0);
        atomic_store(&d.no_from, answers);
        assert_int_equal(storage_flush(st, 300, NULL), ERR_CANCELLED);
        assert_true(atomic_load(&d.asked) > answers && atomic_load(&d.asked) < 40);
        assert_int_equal(storage_commit_number(st), n);
        assert_int_equal(durable_position_of(st), 40);
        assert_int_equal(position_of(st), 50 + 10 * answers);
    }
    expect_messages(reader_new(st), 70, SERIES);

    /* What was lost can be dropped meanwhile, and the rest goes on. */
    assert_int_equal(storage_discard_uncommitted(st, 1000, NULL), 0);
    assert_int_equal(position_of(st), 40);
    expect_messages(reader_new(st), 40, SERIES);
    put_messages(w, 40, 100, SERIES);
    atomic_store(&d.no_from, INT_MAX);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    assert_int_equal(durable_position_of(st), 100);
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_int_equal(stats.commit_failures_total, 0);
    storage_stats_release(&stats);
    /* A doubt that was wrong: the held commit's rows go into the next, with what came meanwhile. */
    put_messages(w, 100, 130, SERIES);
    atomic_store(&d.asked, 0);
    atomic_store(&d.no_from, 1);
    assert_int_equal(storage_flush(st, 200, NULL), ERR_CANCELLED);
    put_messages(w, 130, 160, SERIES);
    atomic_store(&d.no_from, INT_MAX);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    assert_int_equal(durable_position_of(st), 160);
    expect_messages(reader_new(st), 160, SERIES);
    storage_writer_free(w);
    close_store(st);
    st = open_store(dir, NULL, NULL);
    expect_messages(reader_new(st), 160, SERIES);
    close_store(st);
    temp_dir_remove(dir);
}

struct reject_log_double {
    _Atomic uint64_t length;
    atomic_bool fails;
    atomic_int fatal;
};

static uint64_t length_of_rejects(void *context)
{
    return ((struct reject_log_double *)context)->length;
}

static int sync_rejects(void *context, struct error *reterr)
{
    bool fails = ((struct reject_log_double *)context)->fails;
    return fails ? error_set(reterr, ERR_IO, "the reject log can't be synced") : 0;
}

static void on_fatal(void *context, const struct error *error)
{
    (void)error;
    atomic_fetch_add(&((struct reject_log_double *)context)->fatal, 1);
}

static void a_record_promises_no_rejects_that_are_not_durable(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct reject_log_double log = {.length = 70};
    const struct storage_hooks hooks = {.context = &log,
                                        .fatal = on_fatal,
                                        .reject_log_length = length_of_rejects,
                                        .reject_log_sync = sync_rejects};
    struct storage *st = open_store(dir, NULL, &hooks);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 40, SERIES);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    log.length = 90;
    log.fails = true;
    put_messages(w, 40, 60, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), ERR_IO);
    assert_int_equal(atomic_load(&log.fatal), 1);
    assert_int_equal(durable_position_of(st), 40);
    storage_writer_free(w);
    assert_true(storage_close(st, NULL) < 0);
    st = open_store(dir, NULL, NULL);
    assert_int_equal(storage_reject_log_length(st), 70);
    assert_int_equal(position_of(st), 40);
    expect_messages(reader_new(st), 40, SERIES);
    close_store(st);
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
        cmocka_unit_test(rows_are_seen_in_memory_then_on_disk_then_after_a_restart),
        cmocka_unit_test(a_hand_over_is_refused_unless_it_goes_on_where_the_last_ended),
        cmocka_unit_test(rows_outside_the_time_limits_are_refused_and_make_no_partition),
        cmocka_unit_test(many_commits_are_merged_and_the_journal_is_folded),
        cmocka_unit_test(one_server_at_a_time),
        cmocka_unit_test(a_foreign_guard_is_an_unfinished_restore),
        cmocka_unit_test(a_damaged_part_is_named),
        cmocka_unit_test(a_commit_that_is_held_back_leaves_all_as_it_was),
        cmocka_unit_test(a_record_promises_no_rejects_that_are_not_durable),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
