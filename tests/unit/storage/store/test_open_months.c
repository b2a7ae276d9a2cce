/* A store that takes rows before all of its months are open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "storage/series/largest_ids.h"
#include "storage/storage_impl.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 5

struct told {
    atomic_int fatal;
    struct error error;
};

static void on_fatal(void *context, const struct error *error)
{
    struct told *told = context;
    told->error = *error;
    told->fatal++;
}

static int try_open(struct storage **ret, const char *dir, struct told *told, struct error *reterr)
{
    struct storage_options options = {
        .path = dir,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .trust_clock = true,
        .open_in_background = true,
        .hooks = {.context = told, .fatal = on_fatal},
    };
    return storage_open(ret, &options, reterr);
}

static struct storage *open_in_background(const char *dir)
{
    struct storage *st;
    struct error error = {0};
    if (try_open(&st, dir, NULL, &error) < 0)
        fail_msg("storage_open: %s", error.message);
    return st;
}

static void close_store(struct storage *st)
{
    struct error error = {0};
    if (storage_close(st, &error) < 0)
        fail_msg("storage_close: %s", error.message);
}

/* Messages 0 to 100, over a month's end; a clean stop. */
static char *make_store(void)
{
    char *dir = TEMP_DIR();
    clock_set_fake_ms(NOW_MS);
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 100, SERIES);
    storage_writer_free(w);
    close_store(st);
    return dir;
}

static uint64_t new_series(struct storage *st)
{
    struct storage_stats stats;
    storage_stats(st, &stats);
    uint64_t count = stats.new_series_total;
    storage_stats_release(&stats);
    return count;
}

static uint64_t id_of(struct storage *st, const char *host)
{
    struct storage_writer *w = storage_writer_new(st);
    struct metric_label labels[] = {{"__name__", 8, "cpu_load", 8},
                                    {"host", 4, host, (uint32_t)strlen(host)}};
    uint32_t series;
    const char *reason;
    storage_writer_begin(w);
    assert_int_equal(storage_writer_series(w, labels, 2, T0, &series, &reason), 0);
    storage_writer_end(w);
    storage_writer_free(w);
    return series_registry_tsid(st->registry, series).metric_id;
}

static void searches_and_late_rows_wait_for_their_month(void **state)
{
    (void)state;
    char *dir = make_store();
    for (int round = 0; round < 20; round++) {
        struct storage *st = open_in_background(dir);
        assert_true(atomic_load(&st->table.env.unopened_months) <= 2);
        if (round % 3 == 0)
            expect_messages(reader_new(st), 100, SERIES);
        if (round % 3 == 1) {
            assert_true(id_of(st, "host-1") != id_of(st, "host-2"));
            assert_int_equal(new_series(st), 0);
        }
        close_store(st); /* whatever is open by now */
    }
    temp_dir_remove(dir);
}

static void rows_are_committed_and_listed_beside_those_of_before(void **state)
{
    (void)state;
    char *dir = make_store();
    for (uint64_t from = 100; from < 200; from += 20) {
        struct storage *st = open_in_background(dir);
        struct storage_writer *w = storage_writer_new(st);
        put_messages(w, from, from + 20, SERIES);
        if (from % 40)
            assert_int_equal(storage_flush(st, 10000, NULL), 0);
        storage_writer_free(w);
        if (from % 40 == 0)
            expect_messages(reader_new_of_range(st, INT64_MIN, INT64_MAX), from, SERIES);
        assert_int_equal(new_series(st), 0);
        close_store(st);
        struct reader *r;
        assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
        expect_messages(r, from + 20, SERIES);
    }
    temp_dir_remove(dir);
}

static void forced_merges_snapshots_and_deletes_find_all_months(void **state)
{
    (void)state;
    char *dir = make_store();
    struct storage *st = open_in_background(dir);
    assert_int_equal(storage_force_merge(st, "", NULL), 2);
    close_store(st);
    st = open_in_background(dir);
    expect_messages(reader_new(st), 100, SERIES);
    close_store(st);
    temp_dir_remove(dir);
}

/* --- ids --- */

/* New ids lie above those of all months, although the clock was put back and not all months are open. */
static void expect_ids_above(const char *dir, bool must_open_all)
{
    struct reader *r = NULL;
    uint64_t largest = 0;
    clock_set_fake_ms(NOW_MS - 30 * DAY_MS);
    struct storage *st = open_in_background(dir);
    if (must_open_all)
        assert_int_equal(atomic_load(&st->table.env.unopened_months), 0);
    uint64_t first_new = id_of(st, "never seen before");
    for (unsigned k = 0; k < SERIES; k++) {
        char host[16];
        snprintf(host, sizeof host, "host-%u", k);
        uint64_t id = id_of(st, host);
        largest = id > largest ? id : largest;
    }
    assert_int_equal(new_series(st), 1);
    if (first_new <= largest)
        fail_msg("a new id, %llu, isn't above %llu", (unsigned long long)first_new,
                 (unsigned long long)largest);
    close_store(st);
    assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
    expect_messages(r, 100, SERIES);
    clock_set_fake_ms(NOW_MS);
}

static void new_ids_lie_above_those_of_months_that_are_not_open(void **state)
{
    (void)state;
    char *dir = make_store();
    expect_ids_above(dir, false);
    temp_dir_remove(dir);
}

static void a_list_of_largest_ids_that_does_not_fit_is_dropped(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        char *dir = make_store();
        _cleanup_free_ char *path = xasprintf("%s/" FILE_LARGEST_IDS, dir);
        assert_true(fs_exists(path));
        struct storage *st = open_in_background(dir);
        struct largest_ids ids = {.commit = kind == 2 ? UINT64_MAX : 0};
        memcpy(ids.store_id, storage_id(st), sizeof ids.store_id);
        close_store(st);
        largest_ids_add(&ids, "2026_10", 1, 0); /* of other parts, and far too small */
        largest_ids_add(&ids, "2026_11", 1, 0);
        if (kind == 0)
            assert_int_equal(unlink(path), 0);
        else if (kind == 1)
            assert_int_equal(truncate(path, 60), 0);
        else
            assert_int_equal(largest_ids_write(&ids, &fs_posix, dir, NULL), 0);
        largest_ids_release(&ids);
        expect_ids_above(dir, true);
        temp_dir_remove(dir);
    }
}

/* --- damage --- */

static void damage(const char *dir, const char *month)
{
    struct inspection in;
    _cleanup_free_ char *below = xasprintf("/small/%s/", month);
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    bool done = false;
    for (size_t i = 0; i < in.parts_count; i++) {
        if (!strstr(in.parts[i].dir, below))
            continue;
        _cleanup_free_ char *path = xasprintf("%s/index.bin", in.parts[i].dir);
        assert_int_equal(truncate(path, 1), 0);
        done = true;
    }
    inspection_release(&in);
    assert_true(done);
}

static void a_damaged_part_of_a_month_ends_the_store_and_is_named(void **state)
{
    (void)state;
    char *dir = make_store();
    damage(dir, "2026_10");
    struct told told = {0};
    struct storage *st;
    struct error error = {0};
    assert_int_equal(try_open(&st, dir, &told, &error), 0);
    for (int i = 0; i < 10000 && !told.fatal; i++)
        clock_sleep_ms(1);
    assert_int_equal(told.fatal, 1);
    assert_int_equal(told.error.code, ERR_CORRUPT);
    assert_non_null(strstr(told.error.message, "/small/2026_10/"));
    assert_true(storage_close(st, &error) < 0);

    /* Who asks for the months to be open is told at once. */
    struct storage_options options = {.path = dir, .retention_ms = DAY_MS, .flush_interval_ms = 1000};
    assert_int_equal(storage_open(&st, &options, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "/small/2026_10/"));
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_and_late_rows_wait_for_their_month),
        cmocka_unit_test(rows_are_committed_and_listed_beside_those_of_before),
        cmocka_unit_test(forced_merges_snapshots_and_deletes_find_all_months),
        cmocka_unit_test(new_ids_lie_above_those_of_months_that_are_not_open),
        cmocka_unit_test(a_list_of_largest_ids_that_does_not_fit_is_dropped),
        cmocka_unit_test(a_damaged_part_of_a_month_ends_the_store_and_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
