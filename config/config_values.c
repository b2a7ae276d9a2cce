#include "config/config_values.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

#define KIB UINT64_C(1024)
#define KB  UINT64_C(1000)

/* Largest first: that's also the order in which a duration names them. */
static const struct unit duration_units[] = {
    {"y", UINT64_C(365) * 86400000},
    {"M", UINT64_C(31) * 86400000},
    {"w", UINT64_C(7) * 86400000},
    {"d", 86400000},
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};
#define DURATION_UNITS_COUNT (sizeof duration_units / sizeof duration_units[0])

/* The binary ones first, largest first: the formatter takes the first that divides. */
static const struct unit size_units[] = {
    {"TiB", KIB *KIB *KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"MiB", KIB *KIB},
    {"KiB", KIB},
    {"TB", KB *KB *KB *KB},
    {"GB", KB *KB *KB},
    {"MB", KB *KB},
    {"KB", KB},
    {"kB", KB},
    {"B", 1},
};
#define SIZE_UNITS_COUNT        (sizeof size_units / sizeof size_units[0])
#define SIZE_UNITS_BINARY_COUNT 4

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads digits at *p and moves behind them. False if there are none, or if they don't fit into 63 bits. */
static bool read_digits(const char **p, uint64_t *ret, bool *ret_overflow)
{
    uint64_t v = 0;
    const char *s = *p;
    *ret_overflow = false;
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); s++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v) ||
            v > INT64_MAX) {
            *ret_overflow = true;
            return false;
        }
    }
    *p = s;
    *ret = v;
    return true;
}

/* The index of the unit whose name is exactly the letters at s, or count. */
static size_t find_unit(const struct unit *units, size_t count, const char *s, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == length && !strncmp(units[i].name, s, length))
            return i;
    }
    return count;
}

int config_parse_duration_ms(const char *text, int64_t *ret_ms, struct error *reterr)
{
    static const char right[] =
        "write a number with a unit: ms, s, m (minute), h, d, w, M (31 days) or y, as in 5s, 90m or 13M";
    uint64_t total = 0;
    size_t next_unit = 0;
    const char *p = text;
    if (!strcmp(text, "0")) {
        *ret_ms = 0;
        return 0;
    }
    do {
        uint64_t number, product;
        bool overflow;
        if (*p == '-')
            return error_set(reterr, ERR_INVALID, "a negative duration; %s", right);
        if (!read_digits(&p, &number, &overflow)) {
            if (overflow)
                return error_set(reterr, ERR_INVALID,
                                 "a duration too long to count; at most 292 million years");
            return error_set(reterr, ERR_INVALID, "not a duration; %s", right);
        }
        if (*p == '.' || *p == ',')
            return error_set(reterr, ERR_INVALID,
                             "a fraction in a duration; write a whole number of a smaller unit, as in 90m "
                             "for an hour and a half");
        const char *unit = p;
        while (is_letter(*p))
            p++;
        if (p == unit && !*p)
            return error_set(reterr, ERR_INVALID, "a duration without a unit; %s", right);
        size_t i = find_unit(duration_units, DURATION_UNITS_COUNT, unit, (size_t)(p - unit));
        if (i == DURATION_UNITS_COUNT)
            return error_set(reterr, ERR_INVALID, "a duration with an unknown unit; %s", right);
        if (i < next_unit)
            return error_set(
                reterr, ERR_INVALID,
                "a duration with its units out of order; write the largest first, each once, as in 1h30m");
        next_unit = i + 1;
        if (__builtin_mul_overflow(number, duration_units[i].factor, &product) ||
            __builtin_add_overflow(total, product, &total) || total > INT64_MAX)
            return error_set(reterr, ERR_INVALID, "a duration too long to count; at most 292 million years");
    } while (*p);
    *ret_ms = (int64_t)total;
    return 0;
}

char *config_format_duration_ms(int64_t ms, char *dst)
{
    /* The largest unit that divides: 13M says more than 403d. */
    if (ms <= 0) {
        snprintf(dst, CONFIG_VALUE_TEXT_MAX, "0s");
        return dst;
    }
    uint64_t left = (uint64_t)ms;
    for (size_t i = 0; i < DURATION_UNITS_COUNT; i++) {
        if (left % duration_units[i].factor == 0) {
            snprintf(dst, CONFIG_VALUE_TEXT_MAX, "%" PRIu64 "%s", left / duration_units[i].factor,
                     duration_units[i].name);
            return dst;
        }
    }
    return dst;
}

int config_parse_size(const char *text, uint64_t *ret_bytes, struct error *reterr)
{
    static const char right[] = "write bytes or a number with a unit: KiB, MiB, GiB, TiB (of 1024), KB, MB, "
                                "GB, TB (of 1000), as in 64MiB";
    uint64_t number, bytes;
    bool overflow;
    const char *p = text;
    if (*p == '-')
        return error_set(reterr, ERR_INVALID, "a negative size; %s", right);
    if (!read_digits(&p, &number, &overflow)) {
        if (overflow)
            return error_set(reterr, ERR_INVALID, "a size too large to count; less than 8388608TiB");
        return error_set(reterr, ERR_INVALID, "not a size; %s", right);
    }
    if (*p == '.' || *p == ',')
        return error_set(reterr, ERR_INVALID,
                         "a fraction in a size; write a whole number of a smaller unit, as in 1536MiB for "
                         "one and a half GiB");
    uint64_t factor = 1;
    if (*p) {
        size_t i = find_unit(size_units, SIZE_UNITS_COUNT, p, strlen(p));
        if (i == SIZE_UNITS_COUNT)
            return error_set(reterr, ERR_INVALID, "a size with an unknown unit; %s", right);
        factor = size_units[i].factor;
    }
    if (__builtin_mul_overflow(number, factor, &bytes) || bytes > INT64_MAX)
        return error_set(reterr, ERR_INVALID, "a size too large to count; less than 8388608TiB");
    *ret_bytes = bytes;
    return 0;
}

char *config_format_size(uint64_t bytes, char *dst)
{
    for (size_t i = 0; bytes && i < SIZE_UNITS_BINARY_COUNT; i++) {
        if (bytes % size_units[i].factor == 0) {
            snprintf(dst, CONFIG_VALUE_TEXT_MAX, "%" PRIu64 "%s", bytes / size_units[i].factor,
                     size_units[i].name);
            return dst;
        }
    }
    snprintf(dst, CONFIG_VALUE_TEXT_MAX, "%" PRIu64 "B", bytes);
    return dst;
}

int config_parse_percent_or_size(const char *text, struct config_percent_or_size *ret, struct error *reterr)
{
    size_t length = strlen(text);
    if (!length || text[length - 1] != '%') {
        uint64_t bytes;
        int r = config_parse_size(text, &bytes, reterr);
        if (r < 0)
            return error_set(reterr, ERR_INVALID, "neither a percentage nor a size; write 60%% or 8GiB");
        *ret = (struct config_percent_or_size){.bytes = bytes};
        return 0;
    }
    uint64_t percent;
    bool overflow;
    const char *p = text;
    if (!read_digits(&p, &percent, &overflow) || p != text + length - 1 || percent < 1 || percent > 100)
        return error_set(reterr, ERR_INVALID, "not a percentage; write a whole number from 1%% to 100%%");
    *ret = (struct config_percent_or_size){.percent = (uint32_t)percent};
    return 0;
}

char *config_format_percent_or_size(struct config_percent_or_size value, char *dst)
{
    if (!value.percent)
        return config_format_size(value.bytes, dst);
    snprintf(dst, CONFIG_VALUE_TEXT_MAX, "%" PRIu32 "%%", value.percent);
    return dst;
}

/* Exactly count digits at *p, which moves behind them. */
static bool read_field(const char **p, int count, int *ret)
{
    int v = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (!is_digit(**p))
            return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return true;
}

static bool read_char(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

/* Days since 1970-01-01 of a Gregorian date, by counting leap days in whole years of March to February. */
static int64_t days_from_date(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int months_since_march = (month + 9) % 12;
    int64_t day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    return (int64_t)365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int year = (int)(1970 + days / 366);
    while (days_from_date(year + 1, 1, 1) <= days)
        year++;
    int month = 1;
    while (month < 12 && days_from_date(year, month + 1, 1) <= days)
        month++;
    *ret_year = year;
    *ret_month = month;
    *ret_day = (int)(days - days_from_date(year, month, 1)) + 1;
}

static bool read_date_and_time(const char **p, int64_t *ret_ms)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, millis = 0;
    if (!read_field(p, 4, &year) || !read_char(p, '-') || !read_field(p, 2, &month) || !read_char(p, '-') ||
        !read_field(p, 2, &day) || !(read_char(p, 'T') || read_char(p, 't')) || !read_field(p, 2, &hour) ||
        !read_char(p, ':') || !read_field(p, 2, &minute) || !read_char(p, ':') || !read_field(p, 2, &second))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > month_days[month - 1] + (month == 2 && leap))
        return false;
    if (read_char(p, '.')) {
        if (!is_digit(**p))
            return false;
        for (int scale = 100; is_digit(**p); (*p)++, scale /= 10)
            millis += (**p - '0') * scale;
    }
    *ret_ms = ((days_from_date(year, month, day) * 24 + hour) * 60 + minute) * 60000 + second * 1000 + millis;
    return true;
}

static bool read_offset(const char **p, int64_t *ret_ms)
{
    int hours, minutes;
    if (read_char(p, 'Z') || read_char(p, 'z')) {
        *ret_ms = 0;
        return true;
    }
    int sign = **p == '-' ? -1 : 1;
    if (**p != '-' && **p != '+')
        return false;
    (*p)++;
    if (!read_field(p, 2, &hours) || !read_char(p, ':') || !read_field(p, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *ret_ms = sign * (hours * INT64_C(60) + minutes) * 60000;
    return true;
}

int config_parse_time_ms(const char *text, int64_t *ret_ms, struct error *reterr)
{
    int64_t ms, offset_ms;
    const char *p = text;
    if (!read_date_and_time(&p, &ms) || !read_offset(&p, &offset_ms) || *p || ms - offset_ms < 0)
        return error_set(reterr, ERR_INVALID,
                         "not a time; write it as RFC 3339 does, from 1970 on: 2026-11-01T00:00:00Z");
    *ret_ms = ms - offset_ms;
    return 0;
}

char *config_format_time_ms(int64_t ms, char *dst)
{
    int year, month, day;
    date_from_days(ms / 86400000, &year, &month, &day);
    int in_day = (int)(ms % 86400000);
    int n = snprintf(dst, CONFIG_VALUE_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                     in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60);
    if (in_day % 1000)
        n += snprintf(dst + n, CONFIG_VALUE_TEXT_MAX - (size_t)n, ".%03d", in_day % 1000);
    snprintf(dst + n, CONFIG_VALUE_TEXT_MAX - (size_t)n, "Z");
    return dst;
}

int config_parse_count(const char *text, uint64_t *ret, struct error *reterr)
{
    uint64_t v;
    bool overflow;
    const char *p = text;
    if (!read_digits(&p, &v, &overflow) || *p) {
        if (!*text || *text == '-' || !overflow)
            return error_set(reterr, ERR_INVALID, "not a whole number; write digits only");
        return error_set(reterr, ERR_INVALID, "a number too large to count; write fewer digits");
    }
    *ret = v;
    return 0;
}
