#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "storage/clock_check.h"

#define COMMIT_MS INT64_C(1795509228179)
#define HOUR_MS   INT64_C(3600000)

static void a_new_store_has_nothing_to_compare_with(void **state)
{
    (void)state;
    struct clock_check c = {0};
    assert_int_equal(clock_check_at(&c, 1, 0, false), CLOCK_PLAUSIBLE);
}

static void a_clock_behind_the_last_commit_is_doubted(void **state)
{
    (void)state;
    struct clock_check c = {.commit_ms = COMMIT_MS};
    assert_int_equal(clock_check_at(&c, 0, HOUR_MS, false), CLOCK_BEHIND); /* a board that booted in 1970 */
    assert_int_equal(clock_check_at(&c, COMMIT_MS - 5001, HOUR_MS, false), CLOCK_BEHIND);
    assert_int_equal(clock_check_at(&c, COMMIT_MS - 5000, HOUR_MS, false), CLOCK_PLAUSIBLE);
    /* Somebody sets it right: then it's the last commit that was wrong. */
    assert_int_equal(clock_check_at(&c, 0, HOUR_MS, true), CLOCK_PLAUSIBLE);
    c.trust = true;
    assert_int_equal(clock_check_at(&c, 0, HOUR_MS, false), CLOCK_PLAUSIBLE);
}

static void a_clock_a_day_beyond_the_uptime_is_doubted(void **state)
{
    (void)state;
    struct clock_check c = {.commit_ms = COMMIT_MS};
    /* Committed before the machine started, or since: it's been up for an hour. */
    assert_int_equal(clock_check_at(&c, COMMIT_MS + DAY_MS + HOUR_MS, HOUR_MS, false), CLOCK_PLAUSIBLE);
    assert_int_equal(clock_check_at(&c, COMMIT_MS + DAY_MS + HOUR_MS + 1, HOUR_MS, false), CLOCK_AHEAD);
    assert_int_equal(clock_check_at(&c, COMMIT_MS + 1000 * DAY_MS, HOUR_MS, true), CLOCK_PLAUSIBLE);
    assert_int_equal(clock_check_at(&c, COMMIT_MS + 1000 * DAY_MS, 1000 * DAY_MS, false), CLOCK_PLAUSIBLE);
    /* Committed ten hours ago, by uptime. */
    c.uptime_ms = 40 * DAY_MS;
    int64_t uptime_ms = c.uptime_ms + 10 * HOUR_MS;
    assert_int_equal(clock_check_at(&c, COMMIT_MS + DAY_MS + 10 * HOUR_MS, uptime_ms, false),
                     CLOCK_PLAUSIBLE);
    assert_int_equal(clock_check_at(&c, COMMIT_MS + 2 * DAY_MS, uptime_ms, false), CLOCK_AHEAD);
}

static void a_doubted_time_is_a_range(void **state)
{
    (void)state;
    struct clock_check c = {.commit_ms = COMMIT_MS, .trust = false};
    int64_t earliest_ms, latest_ms;
    clock_set_fake_ms(COMMIT_MS + HOUR_MS);
    clock_check_range(&c, &earliest_ms, &latest_ms);
    assert_int_equal(earliest_ms, COMMIT_MS + HOUR_MS);
    assert_int_equal(latest_ms, COMMIT_MS + HOUR_MS);
    clock_set_fake_ms(1000);
    clock_check_range(&c, &earliest_ms, &latest_ms);
    assert_int_equal(earliest_ms, 1000);
    assert_int_equal(latest_ms, COMMIT_MS);
    clock_set_fake_ms(COMMIT_MS + 40000 * DAY_MS);
    clock_check_range(&c, &earliest_ms, &latest_ms);
    assert_int_equal(earliest_ms, COMMIT_MS);
    assert_int_equal(latest_ms, COMMIT_MS + 40000 * DAY_MS);
    c.trust = true;
    clock_check_range(&c, &earliest_ms, &latest_ms);
    assert_int_equal(earliest_ms, COMMIT_MS + 40000 * DAY_MS);
    clock_set_fake_ms(0);
}

static void a_doubted_time_is_not_committed(void **state)
{
    (void)state;
    struct clock_check c = {0};
    clock_set_fake_ms(COMMIT_MS);
    assert_int_equal(clock_check_commit_ms(&c), COMMIT_MS);
    clock_check_committed(&c, COMMIT_MS);
    clock_set_fake_ms(COMMIT_MS + 400 * DAY_MS);
    assert_int_equal(clock_check_now(&c), CLOCK_AHEAD);
    assert_int_equal(clock_check_commit_ms(&c), COMMIT_MS);
    clock_set_fake_ms(1000);
    assert_int_equal(clock_check_now(&c), CLOCK_BEHIND);
    assert_int_equal(clock_check_commit_ms(&c), COMMIT_MS);
    clock_set_fake_ms(COMMIT_MS + 1000);
    assert_int_equal(clock_check_commit_ms(&c), COMMIT_MS + 1000);
    clock_set_fake_ms(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_store_has_nothing_to_compare_with),
        cmocka_unit_test(a_clock_behind_the_last_commit_is_doubted),
        cmocka_unit_test(a_clock_a_day_beyond_the_uptime_is_doubted),
        cmocka_unit_test(a_doubted_time_is_a_range),
        cmocka_unit_test(a_doubted_time_is_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
