/* Deduplication in a store: at a flush, at a merge, in answers, and afterwards when the interval was made
 * longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "storage/storage_impl.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES   3
#define INTERVAL (10 * SECOND_MS)
#define WAIT_MS  INT64_C(20000)

static struct storage *open_on(const char *dir, const struct fs *fs, int64_t dedup_interval_ms,
                               struct storage_hooks hooks)
{
    const struct storage_options options = {
        .path = dir,
        .fs = fs,
        .hooks = hooks,
        .retention_ms = 400 * DAY_MS,
        .dedup_interval_ms = dedup_interval_ms,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
    };
    struct storage *st;
    assert_int_equal(storage_open(&st, &options, NULL), 0);
    return st;
}

static struct storage *open_with(const char *dir, int64_t dedup_interval_ms)
{
    return open_on(dir, NULL, dedup_interval_ms, (struct storage_hooks){0});
}

/* Messages of [from, to), in a commit. */
static void commit(struct storage *st, uint64_t from, uint64_t to)
{
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, from, to, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
}

static int check_rows(void *context, const struct series_rows *rows)
{
    uint64_t *count = context;
    for (size_t i = 0; i < rows->count; i++) {
        int64_t n = (rows->timestamps[i] - T0) / SECOND_MS;
        assert_int_equal((int64_t)rows->values[i] / 1000, n);
    }
    *count += rows->count;
    return 0;
}

static uint64_t rows_of(struct reader *r)
{
    uint64_t count = 0;
    assert_int_equal(reader_export(r, NULL, 0, 0, INT64_MAX / 2, check_rows, &count, NULL), 0);
    reader_free(r);
    return count;
}

static uint64_t rows_of_dir(const char *dir)
{
    struct reader *r;
    assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
    return rows_of(r);
}

/* The least interval that a part in a month's data was made with; -1 without parts. */
static int64_t least_interval(struct storage *st)
{
    size_t count;
    int64_t least = -1;
    struct partition **partitions = table_partitions(&st->table, &count);
    for (size_t i = 0; i < count; i++) {
        struct part_list parts = {0};
        part_set_pin(&partitions[i]->data, &parts, NULL, NULL);
        for (size_t k = 0; k < parts.count; k++)
            if (parts.parts[k]->file &&
                (least < 0 || parts.parts[k]->file->header.min_dedup_interval < least))
                least = parts.parts[k]->file->header.min_dedup_interval;
        part_list_release(&parts);
    }
    free(partitions);
    return least;
}

static void a_flush_dedups_its_rows_and_says_so(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_with(dir, INTERVAL);
    commit(st, 0, 60); /* T0 is a minute, so windows hold messages 0; 1 to 10; ...; 51 to 59 */
    assert_int_equal(rows_of(reader_new(st)), 7 * SERIES);
    assert_int_equal(least_interval(st), INTERVAL);
    struct storage_stats stats;
    storage_stats(st, &stats);
    assert_int_equal(stats.removed.dedup_rows, 53 * SERIES);
    storage_stats_release(&stats);
    /* Two commits meet in one window: an answer shows one row, the directory both until they're merged. And
     * message 60, in November, lies in the last window of October: that only an answer sees. */
    commit(st, 60, 65);
    commit(st, 65, 70);
    assert_int_equal(rows_of(reader_new(st)), (7 + 1) * SERIES);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(rows_of_dir(dir), (7 + 3) * SERIES);
    st = open_with(dir, INTERVAL);
    assert_int_equal(storage_force_merge(st, "", NULL), 2);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(rows_of_dir(dir), (7 + 2) * SERIES);
    temp_dir_remove(dir);
}

static void months_are_deduped_finally(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_with(dir, 0);
    commit(st, 0, 60);  /* October */
    commit(st, 60, 90); /* November, the current month */
    assert_int_equal(storage_close(st, NULL), 0);
    st = open_with(dir, INTERVAL);
    assert_int_equal(least_interval(st), 0);
    assert_int_equal(rows_of(reader_new(st)), (7 + 3) * SERIES);
    storage_final_dedup(st);
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    struct storage_merge_progress p;
    do {
        assert_true(clock_monotonic_ms() < until);
        clock_sleep_ms(10);
        storage_force_merge_progress(st, &p);
    } while (!p.done_total);
    assert_int_equal(p.failed_total, 0);
    storage_final_dedup(st); /* there's nothing left to do */
    storage_force_merge_progress(st, &p);
    assert_true(!p.running && !p.waiting);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(rows_of_dir(dir), (7 + 30) * SERIES);
    temp_dir_remove(dir);
}

static void keep_code(void *context, const struct error *error)
{
    *(int *)context = error->code;
}

static void a_month_without_room_for_that_is_told(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_with(dir, 0);
    commit(st, 0, 60);
    assert_int_equal(storage_close(st, NULL), 0);
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    atomic_store(&fs.free_bytes, 10);
    int code = 0;
    st = open_on(dir, &fs.fs, INTERVAL,
                 (struct storage_hooks){.context = &code, .force_merge_failed = keep_code});
    storage_final_dedup(st);
    assert_int_equal(code, ERR_FULL);
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
        cmocka_unit_test(a_flush_dedups_its_rows_and_says_so),
        cmocka_unit_test(months_are_deduped_finally),
        cmocka_unit_test(a_month_without_room_for_that_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
