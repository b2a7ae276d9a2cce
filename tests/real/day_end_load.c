/*
 * day_end_load - a store that was stopped between the last hour of a month and its end.
 *
 *   day_end_load DIR SERIES MONTH_START_MS
 *
 * SERIES series with a row each in the last hour before MONTH_START_MS, all of them registered ahead for the
 * day that begins then (src/ingest.c), of which there are no rows yet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "storage/storage.h"

__attribute__((noreturn)) static void fail(const char *what, const char *why)
{
    fprintf(stderr, "day_end_load: %s: %s\n", what, why);
    exit(1);
}

static void add_series(struct storage_writer *w, unsigned i, int64_t month_start_ms)
{
    char host[16];
    int len = snprintf(host, sizeof host, "h%u", i);
    struct metric_label labels[] = {{"__name__", 8, "load", 4}, {"host", 4, host, (uint32_t)len}};
    int64_t when = month_start_ms - 1800 * SECOND_MS + i;
    uint32_t series;
    const char *reason = "";
    if (storage_writer_series(w, labels, 2, when, &series, &reason) < 0)
        fail("series", reason);
    storage_writer_register_day(w, series, month_start_ms);
    if (storage_writer_add(w, series, when, decimal_from_double(i)) != ROW_ADDED)
        fail("row", "outside of the time limits");
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: day_end_load DIR SERIES MONTH_START_MS\n");
        return 64;
    }
    struct storage_options options = {
        .path = argv[1], .retention_ms = 36500 * DAY_MS, .flush_interval_ms = 3600 * SECOND_MS};
    struct storage *st;
    struct error error;
    if (storage_open(&st, &options, &error) < 0)
        fail("open", error.message);
    struct storage_writer *w = storage_writer_new(st);
    storage_writer_begin(w);
    for (unsigned i = 0; i < strtoul(argv[2], NULL, 10); i++)
        add_series(w, i, strtoll(argv[3], NULL, 10));
    storage_writer_end(w);
    storage_writer_free(w);
    if (storage_close(st, &error) < 0)
        fail("close", error.message);
    return 0;
}
