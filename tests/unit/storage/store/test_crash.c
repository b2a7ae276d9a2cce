/*
 * The store ends, or its disk fails, at every single operation in turn; what is found afterwards must be
 * exactly the rows of some commit, with the position to match, and no less than what was told to be durable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 3
/* More than any run below makes; a run that gets there without a fault ends the loop. */
#define OPERATIONS_MAX 5000

/* Sanitizers make a run many times as long: they try every so manyth operation. */
#ifdef VARVE_SANITIZED
#define STRIDE      7
#define FULL_STRIDE 14
#else
#define STRIDE      1
#define FULL_STRIDE 5
#endif

/* What the store told its owner; shared with the child. */
struct told {
    _Atomic uint64_t durable_messages;
    _Atomic uint64_t handed_over;
    atomic_int fatal, full;
    struct storage *st;
};

static void on_durable(void *context, uint64_t n)
{
    (void)n;
    struct told *told = context;
    if (told->st)
        told->durable_messages = durable_position_of(told->st);
}

static void on_fatal(void *context, const struct error *error)
{
    (void)error;
    ((struct told *)context)->fatal++;
}

static void on_full(void *context, bool full, const struct error *error)
{
    (void)error;
    ((struct told *)context)->full += full;
}

/* As intake does in the last hour of a month: November has index rows before it has rows. */
static void register_ahead(struct storage_writer *w)
{
    storage_writer_begin(w);
    for (int k = 0; k < SERIES; k++) {
        char host[16];
        const char *reason;
        uint32_t series;
        int len = snprintf(host, sizeof host, "host-%d", k);
        struct metric_label labels[] = {{"__name__", 8, "cpu_load", 8}, {"host", 4, host, (uint32_t)len}};
        if (storage_writer_series(w, labels, 2, T0, &series, &reason) == 0)
            storage_writer_register_day(w, series, T0 + 60 * SECOND_MS);
    }
    storage_writer_end(w);
}

/* Opens the store, if it can; goes on from its position; two commits over a month's end; a clean stop. */
static void run(const char *dir, const struct fs *fs, void *context)
{
    struct told *told = context;
    struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .open_in_background = true, /* as the service does */
        .hooks = {.context = told, .durable = on_durable, .fatal = on_fatal, .disk_full = on_full},
    };
    struct storage *st;
    struct error error = {0};
    if (storage_open(&st, &options, &error) < 0)
        return;
    told->st = st;
    struct storage_writer *w = storage_writer_new(st);
    uint64_t from = position_of(st);
    register_ahead(w);
    for (int i = 0; i < 2; i++, from += 50) {
        put_messages(w, from, from + 50, SERIES);
        told->handed_over = from + 50;
        (void)storage_flush(st, 5000, NULL);
    }
    storage_writer_free(w);
    told->st = NULL;
    if (storage_close(st, &error) == 0)
        told->durable_messages = from;
}

/* Reads through the journal, then recovers; both must show the same whole commit. */
static void check(const char *dir, const struct told *told, long at)
{
    struct reader *r;
    struct error error = {0};
    uint64_t before = 0;
    if (reader_open_dir(&r, dir, &error) == 0)
        before = count_messages(r, SERIES);
    struct storage *st = open_store(dir, NULL, NULL);
    uint64_t messages = count_messages(reader_new(st), SERIES);
    if (messages != before || messages != position_of(st) || messages % 50 != 0 ||
        messages < told->durable_messages || messages > told->handed_over)
        fail_msg("operation %ld: %llu messages read, %llu after recovery, position %llu, durable %llu, "
                 "handed over %llu",
                 at, (unsigned long long)before, (unsigned long long)messages,
                 (unsigned long long)position_of(st), (unsigned long long)told->durable_messages,
                 (unsigned long long)told->handed_over);
    assert_int_equal(storage_close(st, &error), 0);
    expect_messages_in(dir, messages, SERIES);
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    long at = 1;
    for (bool done = false; !done; at += STRIDE) {
        assert_true(at < OPERATIONS_MAX);
        char *dir = TEMP_DIR();
        struct told *told = map_shared(sizeof(struct told));
        done = run_in_child(dir, at, run, told);
        check(dir, told, at);
        munmap(told, sizeof *told);
        temp_dir_remove(dir);
    }
    print_message("%ld operations\n", at - 1);
}

/* Where a commit ends in the middle, so that the next open has something to recover. */
static const char *const unclean_points[] = {"commit.recorded", "publish.index", "commit.published"};
#define UNCLEAN_POINTS (sizeof unclean_points / sizeof *unclean_points)

static char *unclean_store(const char *point, struct told *told)
{
    char *dir = TEMP_DIR();
    setenv("VARVE_FAULT_POINT", point, 1);
    (void)run_in_child(dir, OPERATIONS_MAX, run, told);
    unsetenv("VARVE_FAULT_POINT");
    return dir;
}

/* A store with an unclean stop behind it: killed again at every operation of its recovery and of what
 * follows. */
static void killed_again_at_every_operation_of_the_recovery(void **state)
{
    (void)state;
    for (size_t p = 0; p < UNCLEAN_POINTS; p++) {
        struct told *told = map_shared(sizeof(struct told));
        char *unclean = unclean_store(unclean_points[p], told);
        uint64_t durable = told->durable_messages, handed_over = told->handed_over;
        for (long at = 1, done = 0; !done; at += STRIDE) {
            char *dir = temp_dir_copy(unclean);
            told->durable_messages = durable;
            told->handed_over = handed_over;
            done = run_in_child(dir, at, run, told);
            check(dir, told, at);
            temp_dir_remove(dir);
        }
        munmap(told, sizeof *told);
        temp_dir_remove(unclean);
    }
}

/* The disk fails, is full, or takes half of a write at every operation of a recovery and of the clean stop
 * behind it: nobody serves a half of it, and the next one recovers. */
static void every_operation_of_the_recovery_fails(void **state)
{
    (void)state;
    static const enum fault_kind kinds[UNCLEAN_POINTS] = {FAULT_IO, FAULT_FULL, FAULT_SHORT_WRITE};
    struct told *told = map_shared(sizeof(struct told));
    for (size_t i = 0; i < UNCLEAN_POINTS * UNCLEAN_POINTS; i++) {
        enum fault_kind kind = kinds[i % UNCLEAN_POINTS];
        char *unclean = unclean_store(unclean_points[i / UNCLEAN_POINTS], told);
        long failed = 0, at = 1;
        for (bool done = false; !done; at += STRIDE) {
            char *dir = temp_dir_copy(unclean);
            struct fault_fs f;
            fault_fs_init(&f, kind, at);
            struct storage_options options = {.path = dir,
                                              .fs = &f.fs,
                                              .retention_ms = 400 * DAY_MS,
                                              .flush_interval_ms = 3600 * SECOND_MS,
                                              .merge_workers = 1};
            struct storage *st;
            bool is_open = storage_open(&st, &options, NULL) == 0;
            if (is_open) {
                uint64_t messages = count_messages(reader_new(st), SERIES);
                if (messages != 50 || position_of(st) != 50)
                    fail_msg("operation %ld: %llu messages, position %llu", at, (unsigned long long)messages,
                             (unsigned long long)position_of(st));
            }
            failed += !is_open || storage_close(st, NULL) < 0;
            done = atomic_load(&f.operations) < at;
            check(dir, told, at);
            temp_dir_remove(dir);
        }
        print_message("%ld operations, %ld failed\n", at - 1, failed);
        assert_true(failed >= 31 / STRIDE);
        temp_dir_remove(unclean);
    }
    munmap(told, sizeof *told);
}

static void fail_every_operation(enum fault_kind kind, long length)
{
    long faults = 0;
    for (long at = 1;; at += STRIDE) {
        assert_true(at < OPERATIONS_MAX);
        char *dir = TEMP_DIR();
        struct told told = {0};
        struct fault_fs f;
        fault_fs_init(&f, kind, at);
        f.length = length;
        run(dir, &f.fs, &told);
        check(dir, &told, at);
        temp_dir_remove(dir);
        if (atomic_load(&f.operations) < at)
            break;
        faults += f.faults > 0;
        /* A full disk is a state: it must never be fatal. */
        if (kind == FAULT_FULL || kind == FAULT_FULL_FOR)
            assert_int_equal(told.fatal, 0);
    }
    print_message("%ld faults\n", faults);
    assert_true(faults > 10);
}

static void an_io_error_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_IO, 0);
}

static void a_short_write_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_SHORT_WRITE, 0);
}

static void a_full_disk_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_FULL, 0);
}

static void a_full_disk_empties_again(void **state)
{
    (void)state;
    /* The store is open when it happens; all rows are there in the end, without a restart. */
    for (long at = 68; at < 208; at += FULL_STRIDE) {
        char *dir = TEMP_DIR();
        struct told told = {0};
        struct fault_fs f;
        fault_fs_init(&f, FAULT_FULL_FOR, at);
        f.length = 9;
        const struct storage_hooks hooks = {
            .context = &told, .durable = on_durable, .fatal = on_fatal, .disk_full = on_full};
        struct storage *st = open_store(dir, &f.fs, &hooks);
        struct storage_writer *w = storage_writer_new(st);
        told.st = st;
        put_messages(w, 0, 100, SERIES);
        told.handed_over = 100;
        for (int i = 0; i < 500 && durable_position_of(st) < 100; i++) {
            (void)storage_flush(st, 1000, NULL);
            clock_sleep_ms(20);
        }
        assert_int_equal(durable_position_of(st), 100);
        assert_int_equal(told.fatal, 0);
        storage_writer_free(w);
        expect_messages(reader_new(st), 100, SERIES);
        /* The disk may be full just then: what was committed is found all the same. */
        int r = storage_close(st, NULL);
        assert_true(r == 0 || r == ERR_FULL);
        check(dir, &told, at);
        temp_dir_remove(dir);
    }
}

/* A commit that comes while the 1 s flusher makes a part of index rows waits for them: rows without their
 * index rows would be on disk, and invisible. */
static void index_rows_in_flight_are_committed(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("VARVE_FAULT_POINT", "index.built:sleep", 1);
        struct storage *st = open_store(dir, NULL, NULL);
        struct storage_writer *w = storage_writer_new(st);
        put_messages(w, 0, 50, SERIES);
        clock_sleep_ms(
            1150); /* the flusher has taken the rows of the index and sleeps before it lists them */
        _exit(storage_flush(st, 5000, NULL) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    expect_messages_in(dir, 50, SERIES);
    temp_dir_remove(dir);
}

static void count_call(void *context, uint64_t reject_log_length)
{
    (void)reject_log_length;
    ++*(int *)context;
}

static void discarded_rows_are_gone_and_their_positions_back(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    int told = 0;
    const struct storage_hooks hooks = {.context = &told, .discarded = count_call};
    struct storage *st = open_store(dir, NULL, &hooks);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 10, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    put_messages(w, 10, 20, SERIES);
    clock_sleep_ms(1200); /* in-memory parts */
    put_messages(w, 20, 25, SERIES);
    assert_int_equal(storage_discard_uncommitted(st, 1000, NULL), 0);
    assert_int_equal(told, 1);
    assert_int_equal(position_of(st), 10);
    expect_messages(reader_new(st), 10, SERIES);
    struct storage_position to = {.next = 26};
    storage_writer_begin(w);
    assert_int_equal(storage_writer_hand_over(w, "src", 3, 25, &to, NULL), ERR_INVALID);
    storage_writer_end(w);
    put_messages(w, 10, 30, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 30, SERIES);
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
        cmocka_unit_test(killed_at_every_operation),
#ifdef VARVE_FAULT_POINTS
        cmocka_unit_test(killed_again_at_every_operation_of_the_recovery),
        cmocka_unit_test(every_operation_of_the_recovery_fails),
        cmocka_unit_test(index_rows_in_flight_are_committed),
#endif
        cmocka_unit_test(discarded_rows_are_gone_and_their_positions_back),
        cmocka_unit_test(an_io_error_at_every_operation),
        cmocka_unit_test(a_short_write_at_every_operation),
        cmocka_unit_test(a_full_disk_at_every_operation),
        cmocka_unit_test(a_full_disk_empties_again),
    };
    (void)killed_again_at_every_operation_of_the_recovery;
    (void)every_operation_of_the_recovery_fails;
    (void)index_rows_in_flight_are_committed;
    return cmocka_run_group_tests(tests, set_up, NULL);
}
