/*
 * The sync of the commit record fails, and then the power is cut: at once, or while the store settles the
 * matter, or later. The record may have reached the disk or not. Either way whole commits are found, and none
 * that was told to be durable is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES     3
#define COMMITS    3
#define PER_COMMIT 10
/* Exits as the daemon does when the store tells it that it can't go on. */
#define FATAL_EXIT 3

/* Operations that settle the matter: each is a place to cut; then few. */
#define SETTLING 12
#define STRIDE   40
#define CUTS     20

struct told {
    _Atomic uint64_t durable_messages;
    struct storage *st;
    bool fatal_expected;
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
    struct told *told = context;
    if (!told->fatal_expected)
        fprintf(stderr, "fatal: %s\n", error->message);
    _exit(FATAL_EXIT);
}

static void run(const char *dir, const struct fs *fs, struct told *told)
{
    const struct storage_hooks hooks = {.context = told, .durable = on_durable, .fatal = on_fatal};
    struct storage *st = open_store(dir, fs, &hooks);
    told->st = st;
    struct storage_writer *w = storage_writer_new(st);
    for (uint64_t i = 0; i < COMMITS; i++) {
        put_messages(w, i * PER_COMMIT, (i + 1) * PER_COMMIT, SERIES);
        for (int k = 0; k < 500 && storage_flush(st, 5000, NULL) < 0; k++)
            clock_sleep_ms(20);
    }
    storage_writer_free(w);
    told->st = NULL;
    if (storage_close(st, NULL) == 0)
        told->durable_messages = COMMITS * PER_COMMIT;
}

/* A run whose power is cut `after` operations behind the fault. */
struct cut {
    long after;
    char *dir;
    struct told *told;
    pid_t pid;
};

static void start(struct cut *c, struct fault_fs *f)
{
    c->dir = TEMP_DIR();
    c->told = mmap(NULL, sizeof *c->told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(c->told != MAP_FAILED);
    c->told->fatal_expected = f->kind == FAULT_IO;
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        f->exit_after = c->after;
        run(c->dir, &f->fs, c->told);
        _exit(0);
    }
}

/* The exit code. */
static int finish(struct cut *c)
{
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check(const char *dir, const struct told *told, const char *what)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("%s: %s", what, error.message);
    uint64_t before = count_messages(r, SERIES);
    struct storage *st = open_store(dir, NULL, NULL);
    uint64_t messages = count_messages(reader_new(st), SERIES);
    if (messages != before || messages != position_of(st) || messages % PER_COMMIT != 0 ||
        messages < told->durable_messages)
        fail_msg("%s: %llu messages read, %llu after recovery, position %llu, durable %llu", what,
                 (unsigned long long)before, (unsigned long long)messages,
                 (unsigned long long)position_of(st), (unsigned long long)told->durable_messages);
    assert_int_equal(storage_close(st, &error), 0);
}

/* Power cuts in many places after the failed sync of the n-th record, side by side: a full disk is tried
 * again a second later. */
static void cut_power_after(enum fault_kind kind, long length, long n, bool lose_write)
{
    struct cut cuts[CUTS];
    bool cut = false, ended = false;
    for (size_t i = 0; i < CUTS; i++) {
        struct fault_fs f;
        fault_fs_init(&f, kind, INT32_MAX);
        f.length = length;
        f.sync_of = "/varve/journal";
        f.syncs_left = n;
        f.lose_write = lose_write;
        cuts[i].after = i < SETTLING ? (long)i + 1 : (long)(SETTLING + (i - SETTLING + 1) * STRIDE);
        start(&cuts[i], &f);
    }
    for (size_t i = 0; i < CUTS; i++) {
        char what[128];
        int code = finish(&cuts[i]);
        snprintf(what, sizeof what, "sync %ld, kind %d, for %ld, %s, power cut %ld operations later: exit %d",
                 n, kind, length, lose_write ? "record not on disk" : "record on disk", cuts[i].after, code);
        cut |= code == 137;
        ended |= code == (kind == FAULT_IO ? FATAL_EXIT : 0);
        /* A full disk is a state: it must never be fatal. */
        if (code != 137 && code != (kind == FAULT_IO ? FATAL_EXIT : 0))
            fail_msg("%s", what);
        check(cuts[i].dir, cuts[i].told, what);
        munmap(cuts[i].told, sizeof *cuts[i].told);
        temp_dir_remove(cuts[i].dir);
    }
    assert_true(cut && ended);
}

static void the_record_is_on_disk(void **state)
{
    (void)state;
    cut_power_after(FAULT_IO, 0, 2, false);
    cut_power_after(FAULT_IO, 7, 2, false);
    cut_power_after(FAULT_FULL, 0, 2, false);
    cut_power_after(FAULT_FULL_FOR, 7, 2, false);
}

static void the_record_is_not_on_disk(void **state)
{
    (void)state;
    cut_power_after(FAULT_IO, 0, 2, true);
    cut_power_after(FAULT_IO, 7, 2, true);
    cut_power_after(FAULT_FULL, 0, 2, true);
    cut_power_after(FAULT_FULL_FOR, 7, 2, true);
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
        cmocka_unit_test(the_record_is_on_disk),
        cmocka_unit_test(the_record_is_not_on_disk),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
