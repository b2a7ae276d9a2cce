#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "src/time_arg.h"

#define NOW INT64_C(1795509228179)

static void test_accepted(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0},
        {"1562529662", 1562529662000},
        {"1562529662.678", 1562529662678},
        {"1562529662.6786", 1562529662679},
        {"1562529662678", 1562529662678},
        {"1562529662678.5", 1562529662679},
        {"1562529662678901", 1562529662679},
        {"1562529662678901234", 1562529662679},
        {"1.562529662e9", 1562529662000},
        {"1.5625296625E9", 1562529662500},
        {"9223372036", 9223372036000},
        {"9223372037", 9223372037}, /* too many seconds: milliseconds */
        {"2019-07-07T20:01:02Z", 1562529662000},
        {"2019-07-07T20:01:02.678Z", 1562529662678},
        {"2019-07-07T23:01:02+03:00", 1562529662000},
        {"2019-07-07T16:31:02.5-03:30", 1562529662500},
        {"2019-07-07T20:01Z", 1562529660000},
        {"2019-07-07T20Z", 1562529600000},
        {"2019-07-07Z", 1562457600000},
        {"2019-07Z", 1561939200000},
        {"2019Z", 1546300800000},
        {"2019", 1546300800000}, /* without a zone: local time, which is UTC here */
        {"2019-07-07", 1562457600000},
        {"2019-07-07T20:01:02", 1562529662000},
        {"2019-07+02:00", 1561932000000},
        {"2020-02-29T00:00:00Z", 1582934400000},
        {"now", NOW},
        {"now-1h", NOW - 3600000},
        {"-1h30m", NOW - 5400000},
        {"5m", NOW - 300000},
        {"1.5d", NOW - 129600000},
        {"250ms", NOW - 250},
        {"now-1y", NOW - INT64_C(31536000000)},
        {"1969-12-31T23:59:59Z", 0},
        {"-292273086-05-16T16:47:06Z", 0},
        {"292277025-08-18T07:12:54.999999999Z", TIME_ARG_MAX_MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        struct error error;
        if (time_arg_parse(cases[i].text, NOW, &ms, &error) < 0)
            fail_msg("%s: %s", cases[i].text, error.message);
        if (ms != cases[i].ms)
            fail_msg("%s: %lld, not %lld", cases[i].text, (long long)ms, (long long)cases[i].ms);
    }
}

static void test_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        "x",
        "12x",
        "1.",
        ".5",
        "1e",
        "e5",
        "1e-5",
        "1e99",
        "--1h",
        "now-",
        "now-1",
        "1h5",
        "99999999999999999999",
        "1,5",
        "2019-",
        "2019-1",
        "2019-13Z",
        "2019-02-30Z",
        "2019-07-07T25Z",
        "2019-07-07T20:61Z",
        "2019-07-07 20:01:02Z",
        "2019-07-07T20:01:02.Z",
        "2019-07-07T20:01:02+3:00",
        "2019-07-07T20:01:02ZZ",
        "0x10",
        "inf",
        "nan",
        "-5",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = -1;
        struct error error;
        if (time_arg_parse(texts[i], NOW, &ms, &error) != ERR_INVALID)
            fail_msg("\"%s\" was taken for %lld", texts[i], (long long)ms);
        assert_int_equal(ms, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused)};
    (void)setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
