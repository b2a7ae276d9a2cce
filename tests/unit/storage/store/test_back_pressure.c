/* Intake slows down as parts outrun the mergers, loses no row, and is itself again when they've caught up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "src/base/clock.h"
#include "storage/back_pressure.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 2u

static void waits_in_proportion(void **state)
{
    (void)state;
    assert_int_equal(back_pressure_wait_ms(0, 1000), 0);
    assert_int_equal(back_pressure_wait_ms(MERGE_DEBT_FREE, 1000), 0);
    assert_int_equal(back_pressure_wait_ms(MERGE_DEBT_FULL, 1), MERGE_WAIT_MAX_MS);
    assert_int_equal(back_pressure_wait_ms(UINT64_MAX, 1), MERGE_WAIT_MAX_MS);
    /* Half way: as long as it was busy; a quarter: a third of that. */
    assert_int_equal(lround(back_pressure_wait_ms((MERGE_DEBT_FREE + MERGE_DEBT_FULL) / 2, 60)), 60);
    assert_int_equal(
        lround(back_pressure_wait_ms(MERGE_DEBT_FREE + (MERGE_DEBT_FULL - MERGE_DEBT_FREE) / 4, 90)), 30);
    assert_int_equal(back_pressure_wait_ms(MERGE_DEBT_FULL - 1, 1000000), MERGE_WAIT_MAX_MS);
    double last = 0;
    for (uint64_t debt = 0; debt < 2 * MERGE_DEBT_FULL; debt++) {
        double wait = back_pressure_wait_ms(debt, 50);
        assert_true(wait >= last && wait <= MERGE_WAIT_MAX_MS);
        last = wait;
    }
}

static double slowed_seconds(struct storage *st, uint64_t *ret_waiting)
{
    struct storage_stats stats;
    storage_stats(st, &stats);
    *ret_waiting = stats.parts_waiting;
    double seconds = stats.intake_slowed_seconds_total;
    storage_stats_release(&stats);
    return seconds;
}

static void commit(struct storage *st, struct storage_writer *w, uint64_t n)
{
    put_message(w, n, SERIES);
    assert_int_equal(storage_flush(st, 20000, NULL), 0);
}

static void a_pile_of_parts_slows_intake(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    atomic_store(&fs.free_bytes, 1000); /* no merges */
    struct storage *st = open_store(dir, &fs.fs, NULL);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t n = 0, waiting;
    while (n < 60 + MERGE_DEBT_FREE) /* a minute goes into the month before */
        commit(st, w, n++);
    assert_true(slowed_seconds(st, &waiting) < 0.5);
    for (int i = 0; i < 300; i++) {
        commit(st, w, n++);
        clock_sleep_ms(1); /* busy */
    }
    double slowed = slowed_seconds(st, &waiting);
    assert_true(waiting > MERGE_DEBT_FREE + 200);
    if (slowed < 0.02)
        fail_msg("slowed for %.3f s with %llu parts waiting", slowed, (unsigned long long)waiting);
    int64_t start = clock_monotonic_ms();
    clock_sleep_ms(100);
    put_message(w, n++, SERIES);
    int64_t took = clock_monotonic_ms() - start;
    if (took < 150)
        fail_msg("%lld ms with %llu parts waiting; expected 100 and as much again", (long long)took,
                 (unsigned long long)waiting);

    atomic_store(&fs.free_bytes, 0); /* mergers, and the writer itself, catch up */
    int64_t until = clock_monotonic_ms() + 20000;
    do {
        commit(st, w, n++);
        clock_sleep_ms(5);
        slowed = slowed_seconds(st, &waiting);
    } while (waiting > MERGE_DEBT_FREE && clock_monotonic_ms() < until);
    assert_true(waiting <= MERGE_DEBT_FREE);
    for (int i = 0; i < 20; i++)
        commit(st, w, n++);
    assert_true(slowed_seconds(st, &waiting) - slowed < 0.5);
    storage_writer_free(w);
    expect_messages(reader_new(st), n, SERIES);
    assert_int_equal(position_of(st), n);
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
        cmocka_unit_test(waits_in_proportion),
        cmocka_unit_test(a_pile_of_parts_slows_intake),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
