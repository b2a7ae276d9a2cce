#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/thread.h"
#include "tests/unit/sinks/mqtt/spool_world.h"

static void test_append_commit_read(void **state)
{
    struct spool_world *w = *state;
    struct spool_stats stats;
    world_open(w);
    assert_int_equal(strlen(spool_id(w->spool)), 32);
    assert_false(spool_wait_appended(w->spool, 0));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(world_append(w, "m", i, 0), 0);
    assert_true(spool_wait_appended(w->spool, 0));
    assert_int_equal(world_read(w, 1, "m", 0), 0); /* only what is durable is read */
    world_commit(w);
    assert_int_equal(world_read(w, 1, "m", 0), 1000);
    assert_int_equal(world_read(w, 900, "m", 899), 101);
    assert_int_equal(world_append(w, "m", 1000, 100000), 0); /* more than one read's worth */
    world_commit(w);
    assert_int_equal(world_read(w, 1001, "m", 1000), 1);
    assert_int_equal(world_read(w, 1, "m", 0), 1001);
    spool_get_stats(w->spool, &stats);
    assert_int_equal(stats.next_lsn, 1002);
    assert_int_equal(stats.durable_lsn, 1002);
}

static void test_reopen(void **state)
{
    struct spool_world *w = *state;
    char id[SPOOL_ID_SIZE];
    world_open(w);
    snprintf(id, sizeof id, "%s", spool_id(w->spool));
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(world_append(w, "m", round * 10 + i, 0), 0);
        world_commit(w);
        assert_int_equal(world_append(w, "lost", 0, 0), 0); /* not committed: gone with the process */
        world_close(w);
        world_open(w);
        assert_string_equal(spool_id(w->spool), id);
        assert_int_equal(world_read(w, 1, "m", 0), round * 10 + 10);
    }
}

/* Cut anywhere, the spool keeps every whole record and goes on behind them. */
static void test_torn_anywhere(void **state)
{
    struct spool_world *w = *state;
    char name[64], path[160];
    struct stat st;
    uint8_t bytes[4096];
    world_open(w);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(world_append(w, "m", i, 20), 0);
    world_commit(w);
    world_close(w);
    assert_int_equal(world_files(w, ".spool", name), 1);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    int fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    size_t size = (size_t)st.st_size, record = (size - SPOOL_SEGMENT_HEADER_SIZE) / 5;
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), size);
    close(fd);
    for (size_t cut = 0; cut <= size; cut++) {
        while (world_files(w, ".spool", name)) { /* of the round before */
            char other[160];
            snprintf(other, sizeof other, "%s/%s", w->dir, name);
            assert_int_equal(unlink(other), 0);
        }
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, bytes, cut), cut);
        close(fd);
        unsigned whole =
            cut < SPOOL_SEGMENT_HEADER_SIZE ? 0 : (unsigned)((cut - SPOOL_SEGMENT_HEADER_SIZE) / record);
        struct spool_stats stats;
        world_open(w);
        spool_get_stats(w->spool, &stats);
        assert_int_equal(stats.next_lsn, 1 + whole);
        assert_int_equal(stats.torn_bytes, cut < SPOOL_SEGMENT_HEADER_SIZE
                                               ? cut
                                               : cut - SPOOL_SEGMENT_HEADER_SIZE - whole * record);
        assert_int_equal(world_append(w, "m", whole, 20), 0);
        world_commit(w);
        assert_int_equal(world_read(w, 1, "m", 0), whole + 1);
        world_close(w);
        world_open(w);
        assert_int_equal(world_read(w, 1, "m", 0), whole + 1);
        world_close(w);
    }
}

/* A power failure between the begin of a segment and the sync of the one before: nothing of the older one's
 * lost end was acknowledged, and its LSNs are used again. */
static void test_begun_too_early(void **state)
{
    struct spool_world *w = *state;
    char name[64], path[160];
    struct stat st;
    struct spool_stats stats;
    w->max_bytes = 1 << 20;
    world_open(w);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(world_append(w, "m", i, 1000), 0);
    world_commit(w); /* full: the next one is begun */
    world_close(w);
    assert_int_equal(world_files(w, ".spool", name), 2);
    snprintf(path, sizeof path, "%s/%016x.spool", w->dir, 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1500), 0);
    world_open(w);
    spool_get_stats(w->spool, &stats);
    assert_int_equal(stats.next_lsn, 1 + 68);
    assert_int_equal(world_files(w, ".spool", name), 1);
    assert_int_equal(world_append(w, "m", 68, 1000), 0);
    world_commit(w);
    assert_int_equal(world_read(w, 1, "m", 0), 69);
}

/* A damaged byte in what was durable costs its own record, and is counted. */
static void test_damage_in_the_middle(void **state)
{
    struct spool_world *w = *state;
    char name[64], path[160];
    w->max_bytes = 1 << 20; /* segments of 64 KiB */
    world_open(w);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(world_append(w, "m", i, 1000), 0);
        if (i % 10 == 9)
            world_commit(w);
    }
    assert_true(world_files(w, ".spool", name) > 2);
    snprintf(path, sizeof path, "%s/%016x.spool", w->dir, 1);
    int fd = open(path, O_RDWR);
    off_t third = SPOOL_SEGMENT_HEADER_SIZE + 2 * (SPOOL_RECORD_HEADER_SIZE + 3 + 1000);
    assert_int_equal(pwrite(fd, "X", 1, third + 500), 1);
    struct spool_reader r;
    unsigned count = 0;
    spool_reader_init(&r, w->spool, 1);
    while (spool_wait_durable(w->spool, r.next_lsn, 0))
        count += (unsigned)spool_reader_read(&r, 64 * 1024, NULL);
    assert_int_equal(count, 299);
    assert_int_equal(r.damaged_total, 1);
    spool_reader_release(&r);

    /* With its size gone the rest of that segment is, too; the next one is read. */
    assert_int_equal(pwrite(fd, "\1\0\0\0", 4, third), 4);
    count = 0;
    spool_reader_init(&r, w->spool, 1);
    while (spool_wait_durable(w->spool, r.next_lsn, 0))
        count += (unsigned)spool_reader_read(&r, 64 * 1024, NULL);
    assert_true(count < 299 && count > 200);
    assert_int_equal(count + r.damaged_total, 300);
    spool_reader_release(&r);
    close(fd);
}

static void test_bound_and_trim(void **state)
{
    struct spool_world *w = *state;
    struct spool_stats stats;
    char name[64];
    unsigned n = 0;
    w->max_bytes = 1 << 20;
    world_open(w);
    for (int r = 0; r == 0;) {
        r = world_append(w, "m", n, 1000);
        if (r == 0)
            n++;
        else
            assert_int_equal(r, ERR_FULL);
        if (n % 50 == 0)
            world_commit(w);
    }
    world_commit(w);
    spool_get_stats(w->spool, &stats);
    assert_true(stats.bytes <= w->max_bytes && stats.bytes > w->max_bytes - 2000);
    assert_false(spool_has_room(w->spool));
    assert_int_equal(world_read(w, 1, "m", 0), n);

    uint64_t lsn;
    struct spool_record forced = {.topic = span_of("t", 1), .payload = span_of("over", 4)};
    assert_int_equal(spool_append(w->spool, &forced, true, &lsn),
                     0); /* QoS 1 that was acknowledged already */
    world_commit(w);

    spool_trim(w->spool, 1);
    assert_false(spool_has_room(w->spool));
    spool_trim(w->spool, n / 2);
    assert_true(spool_has_room(w->spool));
    spool_get_stats(w->spool, &stats);
    assert_true(stats.first_lsn <= n / 2 && stats.first_lsn > n / 4);
    spool_trim(w->spool, UINT64_MAX); /* what is being written stays */
    assert_int_equal(world_files(w, ".spool", name), 1);
    world_close(w);
    world_open(w);
    spool_get_stats(w->spool, &stats);
    assert_int_equal(stats.next_lsn, n + 2);
    assert_int_equal(world_append(w, "m", n + 1, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, n + 2, "m", n + 1), 1);
}

/* The headers of segments that are begun later belong to what the bound allows: here one is full to the last
 * bytes, with records of any size, and nothing was written before. */
static void test_bound_counts_headers(void **state)
{
    struct spool_world *w = *state;
    w->max_bytes = 1 << 20;
    for (size_t size = 500; size < 600; size++) {
        struct spool_stats stats;
        unsigned n = 0;
        int r;
        world_open(w);
        while ((r = world_append(w, "m", n, size)) == 0)
            n++;
        assert_int_equal(r, ERR_FULL);
        world_commit(w);
        spool_get_stats(w->spool, &stats);
        if (stats.bytes > w->max_bytes)
            fail_msg("records of %zu: %u bytes, more than %u", size, (unsigned)stats.bytes,
                     (unsigned)w->max_bytes);
        spool_trim(w->spool, stats.next_lsn);
        world_close(w);
    }
}

/* One group larger than all segments are meant to be: once it's delivered, there's room again. */
static void test_a_large_group_is_trimmed(void **state)
{
    struct spool_world *w = *state;
    unsigned n = 0;
    w->max_bytes = 1 << 20;
    world_open(w);
    while (world_append(w, "m", n, 1000) == 0)
        n++;
    world_commit(w);
    assert_false(spool_has_room(w->spool));
    assert_int_equal(world_read(w, 1, "m", 0), n);
    spool_trim(w->spool, n + 1);
    assert_true(spool_has_room(w->spool));
    world_close(w);
    world_open(w); /* the LSNs go on, though no record is left */
    assert_int_equal(spool_durable_lsn(w->spool), n + 1);
    assert_int_equal(world_append(w, "m", n, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, n + 1, "m", n), 1);
}

/* Once all of it is stored elsewhere, the disk gets back what a segment that isn't full has taken. */
static void test_what_is_stored_leaves_the_disk(void **state)
{
    struct spool_world *w = *state;
    struct spool_stats stats;
    char name[64];
    w->max_bytes = 64 << 20; /* segments of 4 MiB */
    world_open(w);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(world_append(w, "m", i, 1000), 0);
    world_commit(w);
    spool_trim(w->spool, 1000); /* one isn't */
    assert_false(spool_wait_appended(w->spool, 0));
    spool_trim(w->spool, 1001);
    assert_true(spool_wait_appended(w->spool, 0));
    world_commit(w);
    assert_false(spool_wait_appended(w->spool, 0));
    spool_get_stats(w->spool, &stats);
    assert_int_equal(stats.bytes, SPOOL_SEGMENT_HEADER_SIZE);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(world_files(w, ".spool", name), 1);

    for (unsigned i = 1000; i < 2000; i++) /* one comes in between */
        assert_int_equal(world_append(w, "m", i, 1000), 0);
    world_commit(w);
    spool_trim(w->spool, 2001);
    assert_int_equal(world_append(w, "m", 2000, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, 2001, "m", 2000), 1);
    spool_get_stats(w->spool, &stats);
    assert_true(stats.bytes < 1000);

    spool_trim(w->spool, 2002); /* a small rest isn't worth a new file */
    assert_false(spool_wait_appended(w->spool, 0));
    world_close(w);
    world_open(w);
    assert_int_equal(spool_durable_lsn(w->spool), 2002);
    assert_int_equal(world_read(w, 2001, "m", 2000), 1);
}

/* What isn't written yet is bounded, but the largest packet of MQTT gets in. */
static void test_a_large_message(void **state)
{
    struct spool_world *w = *state;
    w->max_bytes = 256 << 20;
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 40 << 20), 0);
    assert_int_equal(world_append(w, "m", 1, 0), ERR_FULL);
    world_commit(w);
    assert_int_equal(world_append(w, "m", 1, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, 1, "m", 0), 2);
}

static void test_skip_to(void **state)
{
    struct spool_world *w = *state;
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 0), 0);
    world_commit(w);
    spool_skip_to(w->spool, 1);
    assert_int_equal(spool_durable_lsn(w->spool), 2);
    spool_skip_to(w->spool, 100);
    assert_int_equal(world_append(w, "n", 0, 0), 0);
    world_commit(w);
    assert_int_equal(world_read(w, 100, "n", 0), 1);
    world_close(w);
    world_open(w);
    assert_int_equal(world_read(w, 100, "n", 0), 1);
    assert_int_equal(spool_durable_lsn(w->spool), 101);
}

static void test_refused_directories(void **state)
{
    struct spool_world *w = *state;
    char path[160];
    struct error error = {0};
    struct spool *spool;
    struct spool_options options = {.path = path, .max_bytes = 1 << 20};
    world_open(w);
    assert_int_equal(world_append(w, "m", 0, 0), 0);
    world_commit(w);
    world_close(w);
    snprintf(path, sizeof path, "%s", w->dir);
    int fd = open(w->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(renameat(fd, "spool-id", fd, "kept"), 0);
    assert_int_equal(spool_open(&spool, &options, &error), ERR_CORRUPT); /* records without an id */
    assert_non_null(strstr(error.message, w->dir));
    assert_int_equal(renameat(fd, "kept", fd, "spool-id"), 0);
    int id = openat(fd, "spool-id", O_WRONLY | O_TRUNC);
    close(id);
    assert_int_equal(spool_open(&spool, &options, &error), ERR_CORRUPT);
    close(fd);
    snprintf(path, sizeof path, "%s/spool-id/below", w->dir);
    assert_true(spool_open(&spool, &options, &error) < 0);
}

static void test_one_at_a_time(void **state)
{
    struct spool_world *w = *state;
    struct spool_options options = {.path = w->dir, .max_bytes = 1 << 20};
    struct spool *second;
    struct error error = {0};
    world_open(w);
    assert_int_equal(spool_open(&second, &options, &error), ERR_BUSY);
    assert_non_null(strstr(error.message, w->dir));
    world_close(w);
    assert_int_equal(spool_open(&second, &options, &error), 0);
    spool_close(second);
}

struct traffic {
    struct spool_world *w;
    unsigned count;
    uint64_t read;
};

static void append_all(void *arg)
{
    struct traffic *t = arg;
    for (unsigned i = 0; i < t->count; i++) {
        while (world_append(t->w, "m", i, 0) != 0)
            ;
    }
}

static void read_all(void *arg)
{
    struct traffic *t = arg;
    struct spool_reader r;
    spool_reader_init(&r, t->w->spool, 1);
    while (t->read < t->count) {
        if (!spool_wait_durable(t->w->spool, r.next_lsn, 1000))
            continue;
        int n = spool_reader_read(&r, 64 * 1024, NULL);
        t->read += n > 0 ? (uint64_t)n : 0;
        spool_trim(t->w->spool, r.next_lsn);
    }
    spool_reader_release(&r);
}

/* A new spool's name is durable, with those of the directories made above it, before there's an id: one that
 * is opened again has an id, and may rely on them. */
static void test_directories_are_synced(void **state)
{
    struct spool_world *w = *state;
    char path[4][96];
    struct stat st;
    struct spool_options options = {.path = path[3], .max_bytes = 1 << 20, .fs = &w->fs.fs};
    struct spool *spool;
    snprintf(path[0], sizeof path[0], "%s", w->dir);
    snprintf(path[1], sizeof path[1], "%s/a", w->dir);
    snprintf(path[2], sizeof path[2], "%s/a/b", w->dir);
    snprintf(path[3], sizeof path[3], "%s/a/b/c/", w->dir);
    for (int attempt = 0; attempt < 2; attempt++) {
        /* The first one is cut short at its first change: what it has made may not be durable. */
        atomic_store(&w->fs.fail_at, attempt == 0);
        atomic_store(&w->fs.dirs_synced_count, 0);
        assert_int_equal(spool_open(&spool, &options, NULL), attempt == 0 ? ERR_IO : 0);
    }
    spool_close(spool);
    for (int i = 0; i < 3; i++) {
        bool is_synced = false;
        assert_int_equal(stat(path[i], &st), 0);
        for (int k = 0; k < atomic_load(&w->fs.dirs_synced_count); k++)
            is_synced |= w->fs.dirs_synced[k] == st.st_ino;
        if (!is_synced)
            fail_msg("%s was not synced", path[i]);
    }
    snprintf(path[0], sizeof path[0], "rm -r %s/a", w->dir);
    assert_int_equal(system(path[0]), 0);
}

/* Callbacks append, the commit thread writes, the reader reads and trims, all at once. */
static void test_threads(void **state)
{
    struct spool_world *w = *state;
    struct traffic t = {w, 20000, 0};
    struct thread appender, reader;
    w->max_bytes = 1 << 20;
    world_open(w);
    thread_start(&appender, "append", append_all, &t);
    thread_start(&reader, "read", read_all, &t);
    while (spool_durable_lsn(w->spool) <= t.count) {
        if (spool_wait_appended(w->spool, 10))
            world_commit(w);
    }
    thread_join(&appender);
    thread_join(&reader);
    assert_int_equal(t.read, t.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_commit_read, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_reopen, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_torn_anywhere, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_bound_and_trim, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_bound_counts_headers, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_a_large_group_is_trimmed, spool_world_setup,
                                        spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_stored_leaves_the_disk, spool_world_setup,
                                        spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_begun_too_early, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_a_large_message, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_skip_to, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_refused_directories, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_one_at_a_time, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_directories_are_synced, spool_world_setup, spool_world_teardown),
        cmocka_unit_test_setup_teardown(test_threads, spool_world_setup, spool_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
