/*
 * A discard while a commit hangs in the disk: it returns at once, and that commit, wherever it hangs, doesn't
 * become one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/base/thread.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 3

static void wait_for_gate(struct slow_fs *f)
{
    for (int i = 0; i < 2000 && !atomic_load(&f->waiting); i++)
        clock_sleep_ms(5);
    assert_true(atomic_load(&f->waiting) > 0);
}

/* Opens a store of 10 messages; ten more are in a commit that waits at the gate. */
static struct storage *open_stuck(const char *dir, struct slow_fs *f, const char *gated,
                                  struct storage_writer **ret_writer)
{
    slow_fs_init(f, gated);
    atomic_store(&f->is_open, true);
    struct storage *st = open_store(dir, &f->fs, NULL);
    *ret_writer = storage_writer_new(st);
    put_messages(*ret_writer, 0, 10, SERIES);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    atomic_store(&f->is_open, false);
    put_messages(*ret_writer, 10, 20, SERIES);
    assert_int_equal(storage_flush(st, 50, NULL), ERR_CANCELLED);
    wait_for_gate(f);
    return st;
}

static void a_commit_under_way_is_discarded(const char *gated)
{
    char *dir = TEMP_DIR();
    struct slow_fs f;
    struct storage_writer *w;
    struct storage *st = open_stuck(dir, &f, gated, &w);
    assert_int_equal(durable_position_of(st), 10);

    int64_t start = clock_monotonic_ms();
    assert_int_equal(storage_discard_uncommitted(st, 0, NULL), ERR_CANCELLED);
    assert_true(clock_monotonic_ms() - start < 1000);
    assert_true(storage_discard_is_due(st));
    put_messages(w, 20, 25, SERIES); /* nobody has told the source yet */
    atomic_store(&f.is_open, true);
    for (int i = 0; i < 2000 && storage_discard_is_due(st); i++)
        clock_sleep_ms(5);
    assert_false(storage_discard_is_due(st));
    assert_int_equal(durable_position_of(st), 10);
    assert_int_equal(position_of(st), 10);
    expect_messages(reader_new(st), 10, SERIES);

    put_messages(w, 10, 40, SERIES);
    assert_int_equal(storage_flush(st, -1, NULL), 0);
    assert_int_equal(durable_position_of(st), 40);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 40, SERIES);
    temp_dir_remove(dir);
}

static void while_parts_are_staged(void **state)
{
    (void)state;
    a_commit_under_way_is_discarded("/staging/");
}

static void while_the_record_is_written(void **state)
{
    (void)state;
    a_commit_under_way_is_discarded("/journal");
}

/* Sources wait for it: it comes right behind that commit, however long the flush interval is. */
static void right_behind_a_commit_that_was_made(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct slow_fs f;
    struct storage_writer *w;
    struct storage *st = open_stuck(dir, &f, "/parts.json", &w); /* behind its record */
    put_messages(w, 20, 25, SERIES);
    assert_int_equal(storage_discard_uncommitted(st, 0, NULL), ERR_CANCELLED);
    atomic_store(&f.is_open, true);
    for (int i = 0; i < 2000 && storage_discard_is_due(st); i++)
        clock_sleep_ms(5);
    assert_false(storage_discard_is_due(st));
    assert_int_equal(durable_position_of(st), 20);
    assert_int_equal(position_of(st), 20);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 20, SERIES);
    temp_dir_remove(dir);
}

static void open_gate(void *arg)
{
    struct slow_fs *f = arg;
    clock_sleep_ms(200);
    atomic_store(&f->is_open, true);
}

/* The stop's last commit holds nothing of it either. */
static void before_the_last_commit(void **state)
{
    (void)state;
    static const char *const gates[] = {"/staging/", "/journal"};
    for (size_t i = 0; i < sizeof gates / sizeof *gates; i++) {
        char *dir = TEMP_DIR();
        struct slow_fs f;
        struct storage_writer *w;
        struct storage *st = open_stuck(dir, &f, gates[i], &w);
        assert_int_equal(storage_discard_uncommitted(st, 0, NULL), ERR_CANCELLED);
        storage_writer_free(w);
        struct thread opener;
        thread_start(&opener, "gate", open_gate, &f);
        assert_int_equal(storage_close(st, NULL), 0);
        thread_join(&opener);
        expect_messages_in(dir, 10, SERIES);
        temp_dir_remove(dir);
    }
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
        cmocka_unit_test(while_parts_are_staged),
        cmocka_unit_test(while_the_record_is_written),
        cmocka_unit_test(right_behind_a_commit_that_was_made),
        cmocka_unit_test(before_the_last_commit),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
