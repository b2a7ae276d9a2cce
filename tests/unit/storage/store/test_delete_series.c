/* Deleting series: gone at once, after a restart, from the disk at the next merge, and never half. */
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

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/delete_series.h"
#include "storage/force_merge.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES         3
#define OPERATIONS_MAX 5000

#ifdef VARVE_SANITIZED
#define STRIDE 7
#else
#define STRIDE 1
#endif

static int delete_matching(struct storage *st, const char *text, uint64_t *ret_count)
{
    struct selector *s;
    struct error error = {0};
    assert_int_equal(selector_parse(&s, text, &error), 0);
    int r = storage_delete_series(st, &s, 1, 5000, ret_count, &error);
    selector_free(s);
    return r;
}

struct counts {
    uint64_t series, rows;
    double last;
};

static int count(void *context, const struct series_rows *rows)
{
    struct counts *c = context;
    c->series++;
    c->rows += rows->count;
    if (rows->count)
        c->last = rows->values[rows->count - 1];
    return 0;
}

/* What a selector (NULL: all) finds; takes over r. */
static struct counts found(struct reader *r, const char *text)
{
    struct counts c = {0};
    struct selector *s = NULL;
    if (text)
        assert_int_equal(selector_parse(&s, text, NULL), 0);
    assert_int_equal(reader_export(r, &s, s != NULL, 0, INT64_MAX, count, &c, NULL), 0);
    selector_free(s);
    reader_free(r);
    return c;
}

static struct counts found_in_dir(const char *dir, const char *text)
{
    struct reader *r;
    assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
    return found(r, text);
}

/* One of the fixture's series. */
#define ONE "{host=\"host-1\"}"

static void gone_at_once_and_after_a_restart(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t n = 0;
    put_messages(w, 0, 40, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    put_messages(w, 40, 70, SERIES); /* rows on their way, and over a month's end */
    assert_int_equal(delete_matching(st, ONE, &n), 0);
    assert_int_equal(n, 1); /* one id in two months */
    assert_int_equal(durable_position_of(st), 70);
    assert_int_equal(found(reader_new(st), NULL).rows, 70 * (SERIES - 1));
    assert_int_equal(found(reader_new(st), ONE).series, 0);
    assert_int_equal(delete_matching(st, ONE, &n), 0);
    assert_int_equal(n, 0);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(found_in_dir(dir, ONE).series, 0);

    st = open_store(dir, NULL, NULL);
    w = storage_writer_new(st);
    put_messages(w, 70, 80, SERIES); /* a new series of the same name */
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(found_in_dir(dir, ONE).rows, 10);
    assert_int_equal(found_in_dir(dir, NULL).rows, 80 * SERIES - 70);
    temp_dir_remove(dir);
}

static void later_samples_make_a_new_series(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t n;
    put_messages(w, 0, 50, SERIES);
    storage_writer_begin(w);
    uint64_t generation = storage_writer_series_generation(w);
    storage_writer_end(w);
    assert_int_equal(delete_matching(st, ONE, &n), 0);
    storage_writer_begin(w);
    assert_int_not_equal(storage_writer_series_generation(w), generation);
    storage_writer_end(w);
    put_messages(w, 50, 90, SERIES);
    assert_int_equal(found(reader_new(st), ONE).series, 0); /* not yet in a part */
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_int_equal(found(reader_new(st), ONE).rows, 40);
    assert_int_equal(delete_matching(st, ONE, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(delete_matching(st, "{__name__!=\"\"}", &n), 0);
    assert_int_equal(n, SERIES - 1);
    put_messages(w, 90, 100, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(found_in_dir(dir, NULL).rows, 10 * SERIES);
    temp_dir_remove(dir);
}

static uint64_t rows_on_disk(struct storage *st)
{
    struct storage_stats stats;
    uint64_t rows = 0;
    storage_stats(st, &stats);
    for (size_t i = 0; i < stats.months_count; i++)
        rows += stats.months[i].small.rows + stats.months[i].big.rows;
    storage_stats_release(&stats);
    return rows;
}

static void gone_from_the_disk_after_a_merge(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t n;
    for (uint64_t i = 0; i < 3; i++) {
        put_messages(w, i * 20, i * 20 + 20, SERIES);
        assert_int_equal(storage_flush(st, 5000, NULL), 0);
    }
    assert_int_equal(delete_matching(st, ONE, &n), 0);
    assert_true(storage_force_merge(st, "", NULL) > 0);
    assert_int_equal(rows_on_disk(st), 60 * (SERIES - 1));
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_int_equal(stats.removed.deleted_rows, 60);
    assert_int_equal(stats.removed.retention_rows, 0);
    storage_stats_release(&stats);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(found_in_dir(dir, NULL).rows, 60 * (SERIES - 1));
    temp_dir_remove(dir);
}

static void nothing_is_deleted_without_a_selector(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    uint64_t n;
    assert_int_equal(storage_delete_series(st, NULL, 0, 1000, &n, NULL), ERR_INVALID);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

/* --- the disk fails, or the process ends, at every operation --- */

struct told {
    atomic_bool deleted;
};

/* Messages 0 to 69, of which some wait in memory; then the deletion. */
static void fill_and_delete(const char *dir, struct fault_fs *f, enum fault_kind kind, long at,
                            struct told *told)
{
    fault_fs_init(f, kind, OPERATIONS_MAX);
    struct storage *st = open_store(dir, &f->fs, NULL);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t n;
    put_messages(w, 0, 40, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    put_messages(w, 40, 70, SERIES);
    f->at = atomic_load(&f->operations) + at;
    told->deleted = delete_matching(st, ONE, &n) == 0;
    storage_writer_free(w);
    (void)storage_close(st, NULL);
}

/* All of it or nothing; what comes again from the position on is a new series only if it was deleted. */
static void expect_whole_or_none(const char *dir, const struct told *told, long at)
{
    struct storage *st = open_store(dir, NULL, NULL);
    uint64_t position = position_of(st);
    uint64_t rows = found(reader_new(st), ONE).rows;
    bool is_gone = position == 70 && rows == 0;
    if (!is_gone && (told->deleted || rows != position))
        fail_msg("operation %ld: position %llu, but %llu rows of the series; it was told to be %s", at,
                 (unsigned long long)position, (unsigned long long)rows, told->deleted ? "deleted" : "there");
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, position, 100, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(found_in_dir(dir, ONE).rows, is_gone ? 30 : 100);
    assert_int_equal(found_in_dir(dir, "{host!=\"host-1\"}").rows, 100 * (SERIES - 1));
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    long at = 1;
    for (bool done = false; !done; at += STRIDE) {
        assert_true(at < OPERATIONS_MAX);
        char *dir = TEMP_DIR();
        told->deleted = false;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fs f;
            fill_and_delete(dir, &f, FAULT_EXIT, at, told);
            _exit(atomic_load(&f.operations) < f.at ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        expect_whole_or_none(dir, told, at);
        temp_dir_remove(dir);
    }
    print_message("%ld operations\n", at - 1);
    munmap(told, sizeof *told);
}

static void every_operation_fails(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_FULL, FAULT_IO, FAULT_SHORT_WRITE};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (long at = 1;; at += STRIDE) {
            assert_true(at < OPERATIONS_MAX);
            char *dir = TEMP_DIR();
            struct told told = {0};
            struct fault_fs f;
            fill_and_delete(dir, &f, kinds[k], at, &told);
            expect_whole_or_none(dir, &told, at);
            temp_dir_remove(dir);
            if (atomic_load(&f.operations) < f.at)
                break;
        }
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
        cmocka_unit_test(gone_at_once_and_after_a_restart),
        cmocka_unit_test(later_samples_make_a_new_series),
        cmocka_unit_test(gone_from_the_disk_after_a_merge),
        cmocka_unit_test(nothing_is_deleted_without_a_selector),
        cmocka_unit_test(killed_at_every_operation),
        cmocka_unit_test(every_operation_fails),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
