#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/config_values.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *formatted;
    } good[] = {
        {"0", 0, "0s"},
        {"0s", 0, "0s"},
        {"200ms", 200, "200ms"},
        {"5s", 5000, "5s"},
        {"1500ms", 1500, "1500ms"},
        {"1m", MINUTE, "1m"},
        {"90m", 90 * MINUTE, "90m"},
        {"1h30m", 90 * MINUTE, "90m"},
        {"1h", HOUR, "1h"},
        {"24h", DAY, "1d"},
        {"7d", 7 * DAY, "1w"},
        {"2w", 14 * DAY, "2w"},
        {"1M", 31 * DAY, "1M"},
        {"13M", 403 * DAY, "13M"},
        {"1y", 365 * DAY, "1y"},
        {"1y2M3w4d5h6m7s8ms", (365 + 62 + 21 + 4) * DAY + 5 * HOUR + 6 * MINUTE + 7008, "39071167008ms"},
        {"007s", 7000, "7s"},
        {"9223372036854775807ms", INT64_MAX, "9223372036854775807ms"},
    };
    static const char *const bad[] = {
        "",
        "5",
        "s",
        "5 s",
        " 5s",
        "5s ",
        "+5s",
        "-5s",
        "1.5s",
        "5S",
        "5sec",
        "5min",
        "1s1h",
        "1s1s",
        "1d 2h",
        "1h5",
        "0x5s",
        "1e3s",
        "9223372036854775808ms",
        "292471209y",
        "18446744073709551616ms",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = -1, again = -1;
        char text[CONFIG_VALUE_TEXT_MAX];
        assert_int_equal(config_parse_duration_ms(good[i].text, &ms, NULL), 0);
        assert_int_equal(ms, good[i].ms);
        assert_string_equal(config_format_duration_ms(ms, text), good[i].formatted);
        assert_int_equal(config_parse_duration_ms(text, &again, NULL), 0);
        assert_int_equal(again, ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = -7;
        struct error err = {0};
        if (config_parse_duration_ms(bad[i], &ms, &err) != ERR_INVALID)
            fail_msg("\"%s\" was taken as %lld ms", bad[i], (long long)ms);
        assert_int_equal(ms, -7);
        assert_non_null(strstr(err.message, "; "));
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        const char *formatted;
    } good[] = {
        {"0", 0, "0B"},
        {"1", 1, "1B"},
        {"100B", 100, "100B"},
        {"4096", 4096, "4KiB"},
        {"256KiB", 262144, "256KiB"},
        {"64MiB", UINT64_C(64) << 20, "64MiB"},
        {"1024MiB", UINT64_C(1) << 30, "1GiB"},
        {"2TiB", UINT64_C(2) << 40, "2TiB"},
        {"1KB", 1000, "1000B"},
        {"1kB", 1000, "1000B"},
        {"5MB", 5000000, "5000000B"},
        {"1GB", 1000000000, "1000000000B"},
        {"2TB", UINT64_C(2000000000000), "1953125000KiB"},
        {"8388607TiB", UINT64_C(8388607) << 40, "8388607TiB"},
        {"9223372036854775807", INT64_MAX, "9223372036854775807B"},
    };
    static const char *const bad[] = {
        "",
        "MiB",
        "1.5GiB",
        "-1",
        "+1",
        " 1",
        "1 MiB",
        "1mib",
        "1Mib",
        "1M",
        "1K",
        "1PiB",
        "8388608TiB",
        "9223372036854775808",
        "99999999999999999999999",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 7, again = 7;
        char text[CONFIG_VALUE_TEXT_MAX];
        assert_int_equal(config_parse_size(good[i].text, &bytes, NULL), 0);
        assert_int_equal(bytes, good[i].bytes);
        assert_string_equal(config_format_size(bytes, text), good[i].formatted);
        assert_int_equal(config_parse_size(text, &again, NULL), 0);
        assert_int_equal(again, bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes = 7;
        struct error err = {0};
        if (config_parse_size(bad[i], &bytes, &err) != ERR_INVALID)
            fail_msg("\"%s\" was taken as %llu bytes", bad[i], (unsigned long long)bytes);
        assert_int_equal(bytes, 7);
        assert_non_null(strstr(err.message, "; "));
    }
}

static void test_percentages_or_sizes(void **state)
{
    static const char *const bad[] = {"0%",   "101%", "-1%",  "%", "60 %",
                                      "6.5%", "60%%", "most", "",  "4294967356%"};
    struct config_percent_or_size v = {0};
    char text[CONFIG_VALUE_TEXT_MAX];
    (void)state;
    assert_int_equal(config_parse_percent_or_size("60%", &v, NULL), 0);
    assert_int_equal(v.percent, 60);
    assert_int_equal(v.bytes, 0);
    assert_string_equal(config_format_percent_or_size(v, text), "60%");
    assert_int_equal(config_parse_percent_or_size("100%", &v, NULL), 0);
    assert_int_equal(v.percent, 100);
    assert_int_equal(config_parse_percent_or_size("8GiB", &v, NULL), 0);
    assert_int_equal(v.percent, 0);
    assert_int_equal(v.bytes, UINT64_C(8) << 30);
    assert_string_equal(config_format_percent_or_size(v, text), "8GiB");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(config_parse_percent_or_size(bad[i], &v, NULL), ERR_INVALID);
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *formatted;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
        {"2000-02-29T12:00:00Z", INT64_C(951825600000), "2000-02-29T12:00:00Z"},
        {"2026-11-01T00:00:00Z", INT64_C(1793491200000), "2026-11-01T00:00:00Z"},
        {"2026-11-01t00:00:00z", INT64_C(1793491200000), "2026-11-01T00:00:00Z"},
        {"2026-11-01T01:00:00.250+01:00", INT64_C(1793491200250), "2026-11-01T00:00:00.250Z"},
        {"2026-10-31T19:00:00-05:00", INT64_C(1793491200000), "2026-11-01T00:00:00Z"},
        {"2026-11-01T00:00:00.1234567Z", INT64_C(1793491200123), "2026-11-01T00:00:00.123Z"},
        {"2024-12-31T23:59:59.999Z", INT64_C(1735689599999), "2024-12-31T23:59:59.999Z"},
        {"2100-03-01T00:00:00Z", INT64_C(4107542400000), "2100-03-01T00:00:00Z"},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000), "9999-12-31T23:59:59Z"},
    };
    static const char *const bad[] = {
        "",
        "now",
        "2026-11-01",
        "2026-11-01T00:00Z",
        "2026-11-01T00:00:00",
        "2026-11-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T00:60:00Z",
        "2026-11-01T00:00:60Z",
        "2026-11-01T00:00:00.Z",
        "2026-11-01T00:00:00Z ",
        "2026-11-01T00:00:00+0100",
        "2026-11-01T00:00:00+25:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+01:00",
        "26-11-01T00:00:00Z",
        "1793491200",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = -1;
        char text[CONFIG_VALUE_TEXT_MAX];
        if (config_parse_time_ms(good[i].text, &ms, NULL) != 0)
            fail_msg("\"%s\" was refused", good[i].text);
        assert_int_equal(ms, good[i].ms);
        assert_string_equal(config_format_time_ms(ms, text), good[i].formatted);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = -7;
        if (config_parse_time_ms(bad[i], &ms, NULL) != ERR_INVALID)
            fail_msg("\"%s\" was taken as %lld", bad[i], (long long)ms);
        assert_int_equal(ms, -7);
    }
}

/* Every day of 1970 to 2400 once, in step with a calendar kept by hand. */
static void test_calendar(void **state)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = 0;
    (void)state;
    for (int year = 1970; year <= 2400; year++) {
        for (int month = 1; month <= 12; month++) {
            bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (int day = 1; day <= month_days[month - 1] + (month == 2 && leap); day++, days++) {
                char expected[48], text[CONFIG_VALUE_TEXT_MAX];
                int64_t ms;
                snprintf(expected, sizeof expected, "%04d-%02d-%02dT00:00:00Z", year, month, day);
                assert_string_equal(config_format_time_ms(days * DAY, text), expected);
                assert_int_equal(config_parse_time_ms(expected, &ms, NULL), 0);
                assert_int_equal(ms, days * DAY);
            }
        }
    }
}

static void test_counts(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "9223372036854775808"};
    uint64_t v = 7;
    (void)state;
    assert_int_equal(config_parse_count("0", &v, NULL), 0);
    assert_int_equal(v, 0);
    assert_int_equal(config_parse_count("0042", &v, NULL), 0);
    assert_int_equal(v, 42);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(config_parse_count(bad[i], &v, NULL), ERR_INVALID);
    assert_int_equal(v, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_percentages_or_sizes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
