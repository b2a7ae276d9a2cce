#include "src/time_arg.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What Prometheus' own client sends for "from the beginning" and "to the end". */
static const char prometheus_min_time[] = "-292273086-05-16T16:47:06Z";
static const char prometheus_max_time[] = "292277025-08-18T07:12:54.999999999Z";

#define NS_MAX INT64_MAX

static int refuse(const char *text, struct error *reterr)
{
    return error_set(reterr, ERR_INVALID,
                     "cannot parse the time \"%.64s\": give Unix seconds or milliseconds, RFC 3339 "
                     "(2026-11-01T00:00:00Z) or a distance from now (-1h)",
                     text);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* --- numbers --- */

/* Nanoseconds in the unit that a whole number of that size must have. */
static int64_t unit_of(int64_t n)
{
    if (n <= NS_MAX / 1000000000 && n >= -(NS_MAX / 1000000000))
        return 1000000000;
    if (n <= NS_MAX / 1000000 && n >= -(NS_MAX / 1000000))
        return 1000000;
    if (n <= NS_MAX / 1000 && n >= -(NS_MAX / 1000))
        return 1000;
    return 1;
}

static bool parse_unix(const char *s, int64_t *ret_ns)
{
    if (strpbrk(s, "eE")) {
        char *end;
        if (!is_digit(*s) || strchr(s, '-'))
            return false;
        double v = strtod(s, &end);
        if (*end || !(fabs(v) < 9.2e18))
            return false;
        int64_t whole = (int64_t)v, unit = unit_of(whole);
        double ns = v * (double)unit;
        if (!(fabs(ns) < 9.2e18))
            return false;
        *ret_ns = unit == 1 ? whole : (int64_t)ns;
        return true;
    }
    int64_t n = 0;
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); s++) {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n))
            return false;
    }
    int64_t unit = unit_of(n), ns = n * unit;
    if (*s == '.') {
        if (!is_digit(*++s))
            return false;
        for (int64_t scale = unit / 10; is_digit(*s); s++, scale /= 10)
            if (__builtin_add_overflow(ns, (*s - '0') * scale, &ns))
                return false;
    }
    *ret_ns = ns;
    return *s == '\0';
}

/* "1h30m", "1.5d": units as MetricsQL has them. */
static bool parse_distance(const char *s, double *ret_ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"ms", 1e6},    {"s", 1e9},         {"m", 60e9},         {"h", 3600e9},
                 {"d", 86400e9}, {"w", 7 * 86400e9}, {"y", 365 * 86400e9}};
    double sum = 0;
    if (*s == '-' || *s == '+')
        s++;
    if (!*s)
        return false;
    while (*s) {
        char *end;
        if (!is_digit(*s))
            return false;
        double n = strtod(s, &end);
        size_t i = 0;
        while (i < sizeof units / sizeof units[0] && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
            i++;
        if (i == sizeof units / sizeof units[0])
            return false;
        sum += n * units[i].ns;
        s = end + strlen(units[i].unit);
    }
    *ret_ns = sum;
    return sum < 9.2e18;
}

/* --- calendar --- */

static bool two_digits(const char **s, char before, int *ret)
{
    if (**s != before || !is_digit((*s)[1]) || !is_digit((*s)[2]))
        return false;
    *ret = ((*s)[1] - '0') * 10 + (*s)[2] - '0';
    *s += 3;
    return true;
}

static bool parse_calendar(const char *s, int64_t *ret_ns)
{
    struct tm tm = {.tm_mday = 1};
    int year = 0, month = 1, hours, minutes;
    for (int i = 0; i < 4; i++, s++) {
        if (!is_digit(*s))
            return false;
        year = year * 10 + *s - '0';
    }
    bool has_time = false, has_month = two_digits(&s, '-', &month);
    if (has_month && two_digits(&s, '-', &tm.tm_mday) && two_digits(&s, 'T', &tm.tm_hour)) {
        has_time = true;
        if (two_digits(&s, ':', &tm.tm_min))
            (void)two_digits(&s, ':', &tm.tm_sec);
    }
    int64_t fraction_ns = 0;
    if (has_time && *s == '.') {
        if (!is_digit(*++s))
            return false;
        for (int64_t scale = 100000000; is_digit(*s); s++, scale /= 10)
            fraction_ns += (*s - '0') * scale;
    }
    if (month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 59)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    int day = tm.tm_mday;

    time_t seconds;
    if (*s == '\0' && has_month) { /* no zone: local time, but for a lone year */
        tm.tm_isdst = -1;
        seconds = mktime(&tm);
    } else {
        seconds = timegm(&tm);
        char sign = *s;
        if (!sign || (sign == 'Z' && s[1] == '\0'))
            ;
        else if ((sign == '+' || sign == '-') && two_digits(&s, sign, &hours) &&
                 two_digits(&s, ':', &minutes) && *s == '\0')
            seconds -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
        else
            return false;
    }
    if (tm.tm_mday != day) /* the 31st of a shorter month */
        return false;
    if (seconds > NS_MAX / 1000000000 - 1 || seconds < -(NS_MAX / 1000000000 - 1))
        return false;
    *ret_ns = (int64_t)seconds * 1000000000 + fraction_ns;
    return true;
}

/* --- all of it --- */

static bool parse(const char *s, int64_t now_ms, int64_t *ret_ns)
{
    size_t len = strlen(s);
    if (len == 0)
        return false;
    bool from_now = strncmp(s, "now", 3) == 0;
    char last = s[len - 1];
    if (from_now || *s == '-' || (last > '9' && last != 'Z')) {
        double ns = 0;
        if (from_now)
            s += 3;
        if (*s && !parse_distance(s, &ns))
            return false;
        *ret_ns = now_ms * 1000000 - (int64_t)ns;
        return true;
    }
    size_t year_len = last == 'Z' ? len - 1 : len;
    if ((year_len == 4 && !strchr(s, '.')) || strchr(s, '-') || strchr(s, ':'))
        return parse_calendar(s, ret_ns);
    return parse_unix(s, ret_ns);
}

int time_arg_parse(const char *text, int64_t now_ms, int64_t *ret_ms, struct error *reterr)
{
    if (strcmp(text, prometheus_min_time) == 0) {
        *ret_ms = 0;
        return 0;
    }
    if (strcmp(text, prometheus_max_time) == 0) {
        *ret_ms = TIME_ARG_MAX_MS;
        return 0;
    }
    int64_t ns;
    if (!parse(text, now_ms, &ns))
        return refuse(text, reterr);
    double ms = round((double)ns / 1e6);
    *ret_ms = ms < 0 ? 0 : ms > (double)TIME_ARG_MAX_MS ? TIME_ARG_MAX_MS : (int64_t)ms;
    return 0;
}
