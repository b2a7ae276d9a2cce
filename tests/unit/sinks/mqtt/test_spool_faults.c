#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/sinks/mqtt/spool_world.h"

static void test_short_writes(void **state)
{
    struct spool_world *w = *state;
    atomic_store(&w->fs.short_writes, 7);
    world_open(w);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(world_append(w, "m", i, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, 1, "m", 0), 50);
}

/* Appends and commits until that fails or all is done, and remembers what was announced as durable. */
static unsigned run(struct spool_world *w, unsigned first, unsigned end)
{
    unsigned durable = first;
    for (unsigned i = first; i < end; i++) {
        if (world_append(w, "m", i, 1500) < 0)
            break;
        if (i % 5 == 4) {
            if (spool_commit(w->spool, NULL) < 0)
                break;
            durable = i + 1;
        }
    }
    return durable;
}

/* Whatever fails wherever: what was announced stays, what wasn't is given up, and the LSNs go on. */
static void fail_at(struct spool_world *w, int at, int errnum, int fails_after)
{
    atomic_store(&w->fs.fail_errno, errnum);
    atomic_store(&w->fs.fails_after, fails_after);
    atomic_store(&w->fs.fail_at, at);
    unsigned durable = run(w, 0, 200);
    if (spool_has_failed(w->spool)) {
        assert_int_equal(world_append(w, "m", durable, 0), ERR_IO);
        while (spool_recover(w->spool, NULL) < 0)
            ;
    }
    atomic_store(&w->fs.fail_at, 0);
    assert_int_equal(spool_durable_lsn(w->spool), durable + 1);
    assert_int_equal(world_read(w, 1, "m", 0), durable);
    durable = run(w, durable, 220 + 5 - durable % 5);
    assert_int_equal(world_read(w, 1, "m", 0), durable);
    world_close(w);
    world_open(w);
    assert_int_equal(world_read(w, 1, "m", 0), durable);
}

static void test_a_failure_anywhere(void **state)
{
    struct spool_world *w = *state;
    int errnums[] = {EIO, ENOSPC};
    for (int at = 1; at < 100; at++) {
        for (int i = 0; i < 2; i++) {
            void *inner = NULL;
            assert_int_equal(spool_world_setup(&inner), 0);
            struct spool_world *v = inner;
            v->max_bytes = 1 << 20;
            world_open(v);
            fail_at(v, at, errnums[i], i == 1 ? 3 : 0);
            assert_int_equal(spool_world_teardown(&inner), 0);
        }
    }
    (void)w;
}

/* Opening fails wherever, of a new spool and of one with a torn end: the next one opens it, whole. */
static void test_opening_fails_anywhere(void **state)
{
    (void)state;
    const int errnums[] = {EIO, ENOSPC};
    for (int i = 0; i < 4; i++) {
        bool is_new = i / 2;
        int at = 1;
        for (bool failed = true; failed; at++) {
            void *inner = NULL;
            assert_int_equal(spool_world_setup(&inner), 0);
            struct spool_world *w = inner;
            struct spool_options options = {.path = w->dir, .max_bytes = w->max_bytes, .fs = &w->fs.fs};
            if (!is_new) {
                world_open(w);
                assert_int_equal(run(w, 0, 10), 10);
                assert_int_equal(world_append(w, "torn", 0, 0), 0);
                atomic_store(&w->fs.fail_at, 1); /* half of it is written */
                assert_int_equal(spool_write(w->spool, NULL), ERR_IO);
                world_close(w);
            }
            atomic_store(&w->fs.fail_errno, errnums[i % 2]);
            atomic_store(&w->fs.fail_at, at);
            failed = spool_open(&w->spool, &options, NULL) < 0;
            assert_int_equal(failed, atomic_load(&w->fs.fail_at) == 0);
            atomic_store(&w->fs.fail_at, 0);
            if (failed)
                world_open(w);
            unsigned durable = is_new ? 0 : 10;
            assert_int_equal(world_read(w, 1, "m", 0), durable);
            assert_int_equal(run(w, durable, durable + 5), durable + 5);
            world_close(w);
            world_open(w);
            assert_int_equal(world_read(w, 1, "m", 0), durable + 5);
            assert_int_equal(spool_world_teardown(&inner), 0);
        }
        assert_true(at > 3);
    }
}

/* An fsync that failed isn't repeated on the same file: a new one is begun. */
static void test_failed_fsync_begins_a_new_segment(void **state)
{
    struct spool_world *w = *state;
    char before[64], after[64];
    struct spool_stats stats;
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 0), 0);
    world_commit(w);
    (void)world_files(w, ".spool", before);
    assert_int_equal(world_append(w, "never acknowledged", 1, 0), 0);
    atomic_store(&w->fs.sync_fails, 1);
    struct error error = {0};
    assert_int_equal(spool_commit(w->spool, &error), ERR_IO);
    int syncs = atomic_load(&w->fs.syncs);
    assert_true(spool_commit(w->spool, NULL) < 0);
    assert_int_equal(atomic_load(&w->fs.syncs), syncs);
    assert_int_equal(spool_recover(w->spool, NULL), 0);
    assert_int_equal(world_append(w, "m", 1, 0), 0);
    world_commit(w);
    assert_int_equal(world_files(w, ".spool", after), 2);
    assert_string_not_equal(before, after);
    assert_int_equal(world_read(w, 1, "m", 0), 2); /* the other one is behind its segment's end */
    spool_get_stats(w->spool, &stats);
    assert_int_equal(stats.discarded_total, 1);
    assert_int_equal(stats.failures_total, 1);
    world_close(w);
    world_open(w);
    assert_int_equal(world_read(w, 1, "m", 0), 2);
}

/* A process that ended while its fsync had failed leaves a segment whose end is only in the page cache,
 * though an fsync of it succeeds now. What comes later survives the loss of that end. */
static void test_a_failed_fsync_before_the_restart(void **state)
{
    struct spool_world *w = *state;
    char path[160];
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 0), 0);
    world_commit(w);
    assert_int_equal(world_append(w, "m", 1, 0), 0);
    atomic_store(&w->fs.sync_fails, 1);
    assert_int_equal(spool_commit(w->spool, NULL), ERR_IO);
    world_close(w);
    world_open(w);
    assert_int_equal(world_read(w, 1, "m", 0), 2);
    assert_int_equal(world_append(w, "m", 2, 0), 0);
    world_commit(w);
    world_close(w);

    const size_t record = SPOOL_RECORD_HEADER_SIZE + 3 + 2; /* "t/x" and "m0" */
    const uint8_t zeros[SPOOL_RECORD_HEADER_SIZE + 3 + 2] = {0};
    snprintf(path, sizeof path, "%s/%016x.spool", w->dir, 1);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, zeros, record, (off_t)(SPOOL_SEGMENT_HEADER_SIZE + record)), record);
    close(fd);
    world_open(w);
    assert_int_equal(spool_durable_lsn(w->spool), 4);
    assert_int_equal(world_read(w, 3, "m", 2), 1);
}

/* Where the broker has forgotten a message before it's on disk, it's kept in memory over a full disk. */
static void test_unwritten_is_kept(void **state)
{
    struct spool_world *w = *state;
    uint64_t lsn;
    struct spool_record r = {.arrival_ms = 1001, .topic = span_of("t", 1), .payload = span_of("m1", 2)};
    w->keep_unwritten = true;
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 0), 0);
    atomic_store(&w->fs.fail_errno, ENOSPC);
    atomic_store(&w->fs.fails_after, 10);
    atomic_store(&w->fs.fail_at, 1);
    assert_true(spool_write(w->spool, NULL) < 0);
    assert_int_equal(spool_append(w->spool, &r, true, &lsn), 0);
    assert_int_equal(lsn, 2);
    while (spool_recover(w->spool, NULL) < 0)
        ;
    world_commit(w);
    assert_int_equal(world_read(w, 1, "m", 0), 2);
    world_close(w);
    world_open(w);
    assert_int_equal(world_read(w, 1, "m", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_short_writes, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_anywhere, spool_world_setup, spool_world_teardown),
        cmocka_unit_test(test_opening_fails_anywhere),
        cmocka_unit_test_setup_teardown(test_failed_fsync_begins_a_new_segment, spool_world_setup,
                                        spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_fsync_before_the_restart, spool_world_setup,
                                        spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_unwritten_is_kept, spool_world_setup, spool_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
