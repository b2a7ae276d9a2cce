#include "storage/part/part_header.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/fs/fs.h"
#include "storage/part/json_object.h"
#include "storage/part/part_files.h"

#define METADATA_BYTES_MAX ((size_t)64 << 10)

void part_header_write_json(struct buffer *dst, const struct part_header *ph)
{
    buffer_printf(dst,
                  "{\"RowsCount\":%" PRIu64 ",\"BlocksCount\":%" PRIu64 ",\"MinTimestamp\":%" PRId64
                  ",\"MaxTimestamp\":%" PRId64 ",\"MinDedupInterval\":%" PRId64 "}",
                  ph->rows_count, ph->blocks_count, ph->min_timestamp, ph->max_timestamp,
                  ph->min_dedup_interval);
}

static int check_header(const struct part_header *ph, struct error *reterr)
{
    if (ph->min_timestamp > ph->max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "times from %" PRId64 " to %" PRId64, ph->min_timestamp,
                         ph->max_timestamp);
    if (!ph->blocks_count || ph->blocks_count > ph->rows_count)
        return error_set(reterr, ERR_CORRUPT, "%" PRIu64 " blocks with %" PRIu64 " rows", ph->blocks_count,
                         ph->rows_count);
    return 0;
}

/* Decimal digits and nothing else. */
static bool parse_unsigned(const char *p, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
            return false;
    *ret = v;
    return true;
}

static bool parse_signed(const char *p, size_t len, int64_t *ret)
{
    uint64_t v;
    bool negative = len && *p == '-';
    if (!parse_unsigned(p + negative, len - negative, &v) || v > (uint64_t)INT64_MAX)
        return false;
    *ret = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

/* Go matches the names of keys without regard to case. */
static bool is_key(const struct json_member *m, const char *name)
{
    return m->key_len == strlen(name) && strncasecmp(m->key, name, m->key_len) == 0;
}

int part_header_read_json(struct part_header *ret, const void *text, size_t size, struct error *reterr)
{
    struct part_header ph = {0};
    struct json_object_reader j;
    struct json_member m;
    unsigned seen = 0;
    int r;
    json_object_reader_init(&j, text, size);
    while ((r = json_object_reader_next(&j, &m)) > 0) {
        bool ok = true;
        if (is_key(&m, "RowsCount"))
            seen |= 1, ok = parse_unsigned(m.value, m.value_len, &ph.rows_count);
        else if (is_key(&m, "BlocksCount"))
            seen |= 2, ok = parse_unsigned(m.value, m.value_len, &ph.blocks_count);
        else if (is_key(&m, "MinTimestamp"))
            seen |= 4, ok = parse_signed(m.value, m.value_len, &ph.min_timestamp);
        else if (is_key(&m, "MaxTimestamp"))
            seen |= 8, ok = parse_signed(m.value, m.value_len, &ph.max_timestamp);
        else if (is_key(&m, "MinDedupInterval"))
            ok = parse_signed(m.value, m.value_len, &ph.min_dedup_interval);
        if (!ok)
            return error_set(reterr, ERR_CORRUPT, "%.*s isn't a whole number", (int)m.key_len, m.key);
    }
    if (r < 0)
        return error_set(reterr, ERR_CORRUPT, "not a JSON object");
    if (seen != 15)
        return error_set(reterr, ERR_CORRUPT, "a count or a time is missing");
    r = check_header(&ph, reterr);
    if (r == 0)
        *ret = ph;
    return r;
}

/* Days since the epoch of a date of the proleptic Gregorian calendar. */
static int64_t days_since_epoch(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static unsigned days_of_month(uint64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* YYYYMMDDhhmmss.mmm, UTC. */
static bool parse_time(const char *p, size_t len, int64_t *ret)
{
    uint64_t year, month, day, hour, minute, second, ms;
    if (len != 18 || p[14] != '.' || !parse_unsigned(p, 4, &year) || !parse_unsigned(p + 4, 2, &month) ||
        !parse_unsigned(p + 6, 2, &day) || !parse_unsigned(p + 8, 2, &hour) ||
        !parse_unsigned(p + 10, 2, &minute) || !parse_unsigned(p + 12, 2, &second) ||
        !parse_unsigned(p + 15, 3, &ms))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, (unsigned)month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    int64_t days = days_since_epoch((int64_t)year, (unsigned)month, (unsigned)day);
    *ret = (((days * 24 + (int64_t)hour) * 60 + (int64_t)minute) * 60 + (int64_t)second) * 1000 + (int64_t)ms;
    return true;
}

int part_header_read_name(struct part_header *ret, const char *name, struct error *reterr)
{
    const char *field[5];
    size_t len[5];
    size_t n = 0;
    for (const char *p = name;;) {
        const char *end = strchrnul(p, '_');
        if (n == 5)
            n++;
        if (n > 5)
            break;
        field[n] = p;
        len[n++] = (size_t)(end - p);
        if (!*end)
            break;
        p = end + 1;
    }
    struct part_header ph = {0};
    if (n != 5 || !parse_unsigned(field[0], len[0], &ph.rows_count) ||
        !parse_unsigned(field[1], len[1], &ph.blocks_count) ||
        !parse_time(field[2], len[2], &ph.min_timestamp) || !parse_time(field[3], len[3], &ph.max_timestamp))
        return error_set(reterr, ERR_CORRUPT, "the part's name isn't ROWS_BLOCKS_MIN_MAX_SUFFIX");
    int r = check_header(&ph, reterr);
    if (r == 0)
        *ret = ph;
    return r;
}

/* A duration as Go prints it: numbers with units h, m, s, ms. */
static bool parse_duration(const char *p, size_t len, int64_t *ret_ms)
{
    const char *end = p + len;
    double total = 0;
    while (p < end) {
        double number = 0, unit = 1;
        const char *start = p;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            number = number * 10 + (*p - '0');
        if (p < end && *p == '.')
            for (p++; p < end && *p >= '0' && *p <= '9'; p++)
                number += (*p - '0') * (unit /= 10);
        if (p == start || p == end)
            return false;
        if (end - p >= 2 && p[0] == 'm' && p[1] == 's')
            p += 2;
        else if (*p == 's')
            number *= 1e3, p++;
        else if (*p == 'm')
            number *= 60e3, p++;
        else if (*p == 'h')
            number *= 3600e3, p++;
        else
            return false;
        total += number;
    }
    if (!len || total > 1e15)
        return false;
    *ret_ms = (int64_t)total;
    return true;
}

static int read_dedup_interval(struct part_header *ph, const char *dir, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, PART_MIN_DEDUP_INTERVAL_FILE);
    if (!fs_exists(path))
        return 0;
    struct buffer text = {0};
    int r = fs_read_file(path, METADATA_BYTES_MAX, &text, reterr);
    if (r == 0 && !parse_duration((const char *)text.data, text.len, &ph->min_dedup_interval))
        r = error_set(reterr, ERR_CORRUPT, "%s: damaged file (not a duration)", path);
    buffer_release(&text);
    return r;
}

static int read_from_name(struct part_header *ret, const char *dir, struct error *reterr)
{
    size_t len = strlen(dir);
    while (len && dir[len - 1] == '/')
        len--;
    const char *start = memrchr(dir, '/', len);
    start = start ? start + 1 : dir;
    _cleanup_free_ char *name = xstrndup(start, (size_t)(dir + len - start));
    struct part_header ph;
    int r = part_header_read_name(&ph, name, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "%s: damaged part: %s is missing", dir, PART_METADATA_FILE);
    r = read_dedup_interval(&ph, dir, reterr);
    if (r == 0)
        *ret = ph;
    return r;
}

int part_header_read(struct part_header *ret, const char *dir, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, PART_METADATA_FILE);
    if (!fs_exists(path))
        return read_from_name(ret, dir, reterr);
    struct buffer text = {0};
    int r = fs_read_file(path, METADATA_BYTES_MAX, &text, reterr);
    if (r == ERR_INVALID)
        r = error_set(reterr, ERR_CORRUPT, "%s: damaged file (too large)", path);
    if (r == 0) {
        r = part_header_read_json(ret, text.data, text.len, reterr);
        if (r < 0)
            error_prefix(reterr, r, "%s: damaged file", path);
    }
    buffer_release(&text);
    return r;
}
