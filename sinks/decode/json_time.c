#include "sinks/decode/json_time.h"

#include "sinks/sample_batch.h"

#define MANTISSA_DIGITS_MAX 18
#define DAYS_TO_1970        719468 /* from the first of March of the year 0 */

/* mantissa * 10^exponent */
struct scientific {
    int64_t mantissa;
    int exponent;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [+-]?digits[.digits][e[+-]digits], all of text. Digits beyond what fits are dropped. */
static bool parse_number(const char *p, const char *end, struct scientific *ret)
{
    bool negative = p < end && *p == '-';
    bool fraction = false;
    int digits = 0, significant = 0, exponent = 0;
    int64_t mantissa = 0;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end && (is_digit(*p) || (*p == '.' && !fraction)); p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        digits++;
        if (significant == MANTISSA_DIGITS_MAX) {
            exponent += !fraction;
            continue;
        }
        mantissa = mantissa * 10 + (*p - '0');
        significant += mantissa != 0;
        exponent -= fraction;
    }
    if (!digits || (fraction && !is_digit(p[-1])) || exponent > 400 || exponent < -400)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int e = 0;
        bool e_negative = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        if (p == end)
            return false;
        for (; p < end && is_digit(*p) && e < 1000; p++)
            e = e * 10 + (*p - '0');
        exponent += e_negative ? -e : e;
    }
    ret->mantissa = negative ? -mantissa : mantissa;
    ret->exponent = exponent;
    return p == end;
}

/* Cut off to a whole number; false if it's out of range. */
static bool to_integer(struct scientific n, int64_t *ret)
{
    for (; n.exponent < 0 && n.mantissa; n.exponent++)
        n.mantissa /= 10;
    for (; n.exponent > 0 && n.mantissa; n.exponent--)
        if (__builtin_mul_overflow(n.mantissa, 10, &n.mantissa))
            return false;
    *ret = n.mantissa;
    return true;
}

/* As timestamp_to_ms of influx.c has it. */
static enum json_time_format guess_unit(int64_t n)
{
    if (n >= INT64_C(100000000000000000))
        return JSON_TIME_NS;
    if (n >= INT64_C(100000000000000))
        return JSON_TIME_US;
    return n >= INT64_C(100000000000) ? JSON_TIME_MS : JSON_TIME_S;
}

static bool parse_count(const char *text, size_t len, enum json_time_format format, int64_t *ret_ms)
{
    struct scientific n;
    int64_t whole;
    if (!parse_number(text, text + len, &n) || !to_integer(n, &whole))
        return false;
    if (format == JSON_TIME_AUTO)
        format = guess_unit(whole);
    n.exponent += format == JSON_TIME_S ? 3 : format == JSON_TIME_US ? -3 : format == JSON_TIME_NS ? -6 : 0;
    int64_t ms;
    if (!to_integer(n, &ms))
        return false;
    *ret_ms = n.mantissa == 0 ? TIMESTAMP_NONE : ms;
    return true;
}

/* Days from 1970-01-01 in the Gregorian calendar, years counted from March, so that the leap day comes last.
 */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + of_year - DAYS_TO_1970;
}

static int month_length(int64_t year, int month)
{
    static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : lengths[month - 1];
}

/* Exactly count digits at *p, then the byte after (0: none in particular). */
static bool take(const char **p, const char *end, int count, char after, int *ret)
{
    int n = 0;
    if (end - *p < count + (after != 0))
        return false;
    for (int i = 0; i < count; i++, (*p)++) {
        if (!is_digit(**p))
            return false;
        n = n * 10 + (**p - '0');
    }
    *ret = n;
    return !after || *(*p)++ == after;
}

/* Z or +01:00: minutes east. */
static bool take_zone(const char **p, const char *end, int *ret_minutes)
{
    int hours, minutes;
    if (end - *p < 1)
        return false;
    char sign = *(*p)++;
    *ret_minutes = 0;
    if (sign == 'Z' || sign == 'z')
        return true;
    if ((sign != '+' && sign != '-') || !take(p, end, 2, ':', &hours) || !take(p, end, 2, 0, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_minutes = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
    return true;
}

static bool parse_rfc3339(const char *p, const char *end, int64_t *ret_ms)
{
    int year, month, day, hour, minute, second, zone, ms = 0;
    if (!take(&p, end, 4, '-', &year) || !take(&p, end, 2, '-', &month) || !take(&p, end, 2, 0, &day))
        return false;
    if (p == end || (*p != 'T' && *p != 't' && *p != ' '))
        return false;
    p++;
    if (!take(&p, end, 2, ':', &hour) || !take(&p, end, 2, ':', &minute) || !take(&p, end, 2, 0, &second))
        return false;
    if (p < end && *p == '.') {
        int scale = 100;
        if (++p == end || !is_digit(*p))
            return false;
        for (; p < end && is_digit(*p); p++, scale /= 10)
            ms += (*p - '0') * scale;
    }
    if (!take_zone(&p, end, &zone) || p != end)
        return false;
    if (!year || month < 1 || month > 12 || day < 1 || day > month_length(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    int64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - zone;
    *ret_ms = (minutes * 60 + second) * 1000 + ms;
    return true;
}

bool json_time_parse(const char *text, size_t len, enum json_time_format format, int64_t *ret_ms)
{
    if (format == JSON_TIME_RFC3339)
        return parse_rfc3339(text, text + len, ret_ms);
    if (parse_count(text, len, format, ret_ms))
        return true;
    return format == JSON_TIME_AUTO && parse_rfc3339(text, text + len, ret_ms);
}
