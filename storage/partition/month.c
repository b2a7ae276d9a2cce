#include "storage/partition/month.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"

static int64_t start_ms(int year, int month0)
{
    struct tm tm = {.tm_year = year - 1900 + month0 / 12, .tm_mon = month0 % 12, .tm_mday = 1};
    return (int64_t)timegm(&tm) * SECOND_MS;
}

static struct month make(int year, int month0)
{
    struct month m = {.min_ms = start_ms(year, month0), .max_ms = start_ms(year, month0 + 1) - 1};
    char text[32];
    snprintf(text, sizeof text, "%04d_%02d", year, month0 + 1);
    memcpy(m.name, text, sizeof m.name - 1);
    return m;
}

struct month month_of(int64_t timestamp_ms)
{
    time_t seconds = (time_t)(timestamp_ms / SECOND_MS);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return make(tm.tm_year + 1900, tm.tm_mon);
}

bool month_parse(struct month *ret, const char *name)
{
    int year, month;
    char rest;
    if (strlen(name) != MONTH_TEXT_SIZE - 1 || sscanf(name, "%4d_%2d%c", &year, &month, &rest) != 2 ||
        year < 1970 || month < 1 || month > 12)
        return false;
    *ret = make(year, month - 1);
    return strcmp(ret->name, name) == 0;
}
