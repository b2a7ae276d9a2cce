/* Calendar months. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/partition/month.h"

static void the_month_of_a_timestamp(void **state)
{
    (void)state;
    static const struct {
        int64_t at;
        const char *name;
        int64_t min, max;
    } table[] = {
        {INT64_C(0), "1970_01", 0, INT64_C(2678399999)},
        {INT64_C(2678399999), "1970_01", 0, INT64_C(2678399999)},
        {INT64_C(2678400000), "1970_02", INT64_C(2678400000), INT64_C(5097599999)},
        {INT64_C(951782400000), "2000_02", INT64_C(949363200000), INT64_C(951868799999)}, /* the 29th */
        {INT64_C(1793491199999), "2026_10", INT64_C(1790812800000), INT64_C(1793491199999)},
        {INT64_C(1793491200000), "2026_11", INT64_C(1793491200000), INT64_C(1796083199999)},
        {INT64_C(1798761599999), "2026_12", INT64_C(1796083200000), INT64_C(1798761599999)},
        {INT64_C(4107542399999), "2100_02", INT64_C(4105123200000), INT64_C(4107542399999)}, /* no 29th */
        {INT64_C(9222422399999), "2262_03", INT64_C(9219744000000), INT64_C(9222422399999)}, /* the last */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct month m = month_of(table[i].at), again;
        assert_string_equal(m.name, table[i].name);
        assert_int_equal(m.min_ms, table[i].min);
        assert_int_equal(m.max_ms, table[i].max);
        assert_true(month_parse(&again, m.name));
        assert_memory_equal(&again, &m, sizeof m);
    }
}

static void months_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    struct month m = month_of(0);
    for (int i = 1; i < 12 * 292; i++) {
        struct month next = month_of(m.max_ms + 1);
        assert_int_equal(next.min_ms, m.max_ms + 1);
        assert_true(strcmp(m.name, next.name) < 0);
        m = next;
    }
    assert_string_equal(m.name, "2261_12");
}

static void other_names_are_no_months(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "2026_1",  "2026_010",  "2026_00", "2026_13", "2026-10",
                                      "1969_12", "0000_01", " 026_10",   "2026_+1", "2026_ 1", "+026_10",
                                      "2026_1a", "a026_10", "snapshots", "2026_-1", "0x7e_10"};
    struct month m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (month_parse(&m, bad[i]))
            fail_msg("'%s' counts as a month", bad[i]);
    assert_true(month_parse(&m, "9999_12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_month_of_a_timestamp),
        cmocka_unit_test(months_follow_each_other_without_a_gap),
        cmocka_unit_test(other_names_are_no_months),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
