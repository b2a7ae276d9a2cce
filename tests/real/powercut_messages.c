#include "tests/real/powercut_messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "storage/series/metric_name.h"

/* 2026-11-01T00:00:00Z; the programs' clock stands three days later. */
#define MONTH_END INT64_C(1793491200000)
#define NOW_MS    (MONTH_END + 3 * DAY_MS)

static int64_t timestamp_of(uint64_t n)
{
    int64_t distance = (int64_t)n * SECOND_MS;
    return n % 2 ? MONTH_END + distance : MONTH_END - SECOND_MS - distance;
}

struct storage_options message_store_options(const char *dir)
{
    clock_set_fake_ms(NOW_MS);
    return (struct storage_options){
        .path = dir,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
    };
}

static void refuse(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void put_row(struct storage_writer *w, const char *kind, uint64_t number, int64_t timestamp,
                    double value)
{
    char host[40];
    int len = snprintf(host, sizeof host, "%s-%" PRIu64, kind, number);
    struct metric_label labels[] = {{"__name__", 8, "cpu_load", 8}, {"host", 4, host, (uint32_t)len}};
    uint32_t series;
    const char *reason;
    if (storage_writer_series(w, labels, 2, timestamp, &series, &reason) < 0)
        refuse("series", reason);
    if (storage_writer_add(w, series, timestamp, decimal_from_double(value)) != ROW_ADDED)
        refuse("row", "refused");
}

static void hand_over(struct storage_writer *w, const char *key, uint32_t key_len, uint64_t from, uint64_t to)
{
    struct storage_position position = {.next = to, .mark = {(uint8_t)to}, .mark_len = 64};
    struct error error = {0};
    if (storage_writer_hand_over(w, key, key_len, from, &position, &error) < 0)
        refuse("hand_over", error.message);
}

static void padding_key(char key[PADDING_KEY_BYTES], unsigned i)
{
    memset(key, 'p', PADDING_KEY_BYTES);
    key[PADDING_KEY_BYTES - 2] = (char)('0' + i / 10);
    key[PADDING_KEY_BYTES - 1] = (char)('0' + i % 10);
}

void put_messages(struct storage_writer *w, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        storage_writer_begin(w);
        hand_over(w, MESSAGE_SOURCE, strlen(MESSAGE_SOURCE), n, n + 1);
        for (unsigned i = 0; i < PADDING_SOURCES && n + 1 == to; i++) {
            char key[PADDING_KEY_BYTES];
            padding_key(key, i);
            hand_over(w, key, PADDING_KEY_BYTES, from, to);
        }
        for (unsigned k = 0; k < MESSAGE_SERIES; k++)
            put_row(w, "host", k, timestamp_of(n), (double)(n * 1000 + k));
        put_row(w, "late", n / MESSAGES_PER_LATE_SERIES, timestamp_of(n), (double)(n * 1000 + 999));
        storage_writer_end(w);
    }
}

int position_in_table(const struct position_table *table, uint64_t *ret, struct error *reterr)
{
    const struct position_entry *e = position_table_find(table, MESSAGE_SOURCE, strlen(MESSAGE_SOURCE));
    *ret = e ? e->position.next : 0;
    if (table->count != (e ? 1 + PADDING_SOURCES : 0))
        return error_set(reterr, ERR_CORRUPT, "positions of %zu sources", table->count);
    for (unsigned i = 0; e && i < PADDING_SOURCES; i++) {
        char key[PADDING_KEY_BYTES];
        padding_key(key, i);
        const struct position_entry *p = position_table_find(table, key, PADDING_KEY_BYTES);
        if (!p || p->position.next != *ret)
            return error_set(reterr, ERR_CORRUPT, "position %" PRIu64 ", but %" PRIu64 " of source %u", *ret,
                             p ? p->position.next : 0, i);
    }
    return 0;
}

/* --- looking --- */

struct tally {
    uint64_t messages, rows;
    struct error *reterr;
};

/* What series host has of messages [0, messages): *ret_first and so many from there; and its values' end. */
static bool expected_of(const char *host, uint64_t messages, uint64_t *ret_first, uint64_t *ret_count,
                        unsigned *ret_value)
{
    char *end;
    unsigned long number = strlen(host) > 5 ? strtoul(host + 5, &end, 10) : 0;
    if (strncmp(host, "host-", 5) == 0 && number < MESSAGE_SERIES) {
        *ret_first = 0;
        *ret_count = messages;
        *ret_value = (unsigned)number;
        return true;
    }
    *ret_first = number * MESSAGES_PER_LATE_SERIES;
    if (strncmp(host, "late-", 5) != 0 || *ret_first >= messages)
        return false;
    uint64_t left = messages - *ret_first;
    *ret_count = left < MESSAGES_PER_LATE_SERIES ? left : MESSAGES_PER_LATE_SERIES;
    *ret_value = 999;
    return true;
}

static int tally_series(void *context, const struct series_rows *rows)
{
    struct tally *t = context;
    struct metric_name name = {0};
    int r = metric_name_parse(&name, rows->name, rows->name_len, t->reterr);
    if (r < 0)
        return r;
    struct item value = metric_name_tag_value(&name, "host", 4);
    char host[40] = {0};
    if (value.len < sizeof host)
        memcpy(host, value.data, value.len);
    metric_name_release(&name);
    uint64_t first, count;
    unsigned kind;
    if (!expected_of(host, t->messages, &first, &count, &kind))
        return error_set(t->reterr, ERR_CORRUPT, "a series \"%s\" at %" PRIu64 " messages", host,
                         t->messages);
    if (rows->count != count)
        return error_set(t->reterr, ERR_CORRUPT,
                         "%zu rows of %s instead of %" PRIu64 " at %" PRIu64 " messages", rows->count, host,
                         count, t->messages);
    for (size_t i = 0; i < rows->count; i++) {
        /* Distinct timestamps in rising order, each of a message of the range: then all are there. */
        uint64_t n = ((uint64_t)rows->values[i] - kind) / 1000;
        if (n < first || n >= first + count || rows->values[i] != (double)(n * 1000 + kind) ||
            rows->timestamps[i] != timestamp_of(n) || (i && rows->timestamps[i] <= rows->timestamps[i - 1]))
            return error_set(t->reterr, ERR_CORRUPT, "row %zu of %s: %g at %" PRId64, i, host,
                             rows->values[i], rows->timestamps[i]);
    }
    t->rows += rows->count;
    return 0;
}

int check_messages(struct reader *r, uint64_t messages, struct error *reterr)
{
    struct tally t = {.messages = messages, .reterr = reterr};
    int result = reader_export(r, NULL, 0, 0, INT64_MAX / 2, tally_series, &t, reterr);
    reader_free(r);
    /* No series comes twice, so the sum tells whether all were there. */
    if (result == 0 && t.rows != messages * (MESSAGE_SERIES + 1))
        return error_set(reterr, ERR_CORRUPT,
                         "%" PRIu64 " rows instead of %" PRIu64 " at %" PRIu64 " messages", t.rows,
                         messages * (MESSAGE_SERIES + 1), messages);
    return result;
}
