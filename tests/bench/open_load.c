/*
 * open_load - a store of many series and parts, made through the storage API, and how long opening it takes.
 *
 *   open_load make DIR SERIES MONTHS COMMITS OLD_SERIES DAY_START_MS
 *   open_load open DIR SERIES DAY_START_MS
 *
 * make: COMMITS commits, each of which adds a part of rows and one of the index to each of MONTHS months: the
 * month of DAY_START_MS and those before it. The newest has SERIES series on that day, the others OLD_SERIES
 * of them in their middle. Prints the number of rows.
 *
 * open: prints how long storage_open takes, how long after it the first row of a known series is stored, and
 * what a worker that starts with an empty cache sees when it meets all series again at once: the time of all
 * of them, and the longest that one of them took (ms). Fails when a known series becomes a new one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/partition/month.h"
#include "storage/storage.h"

/* Of its series a worker meets one in so many first, in an order that isn't the index's. */
#define STRIDE UINT64_C(7919)

__attribute__((noreturn)) static void fail(const char *what, const char *why)
{
    fprintf(stderr, "open_load: %s: %s\n", what, why);
    exit(1);
}

static struct storage *open_store(const char *path)
{
    struct storage_options options = {
        .path = path, .retention_ms = 36500 * DAY_MS, .flush_interval_ms = 3600 * SECOND_MS};
    struct storage *st;
    struct error error;
    if (storage_open(&st, &options, &error) < 0)
        fail("open", error.message);
    return st;
}

static void close_store(struct storage *st)
{
    struct error error;
    if (storage_close(st, &error) < 0)
        fail("close", error.message);
}

static uint32_t series_of(struct storage_writer *w, uint64_t i, int64_t timestamp_ms)
{
    static const char *const names[] = {"cpu_usage_user", "cpu_usage_system", "disk_used",  "disk_free",
                                        "mem_available",  "net_bytes_sent",   "net_errors", "swap_used",
                                        "system_load1",   "system_uptime"};
    char host[24], rack[24], service[24];
    const char *name = names[i % 10], *reason = "";
    int host_len = snprintf(host, sizeof host, "host_%" PRIu64, i / 10);
    int rack_len = snprintf(rack, sizeof rack, "%" PRIu64, i / 10 % 100);
    int service_len = snprintf(service, sizeof service, "service-%" PRIu64, i / 10 % 20);
    struct metric_label labels[] = {{"__name__", 8, name, (uint32_t)strlen(name)},
                                    {"host", 4, host, (uint32_t)host_len},
                                    {"rack", 4, rack, (uint32_t)rack_len},
                                    {"region", 6, "eu-central-1", 12},
                                    {"service", 7, service, (uint32_t)service_len}};
    uint32_t series;
    if (storage_writer_series(w, labels, 5, timestamp_ms, &series, &reason) < 0)
        fail("series", reason);
    return series;
}

static void add_row(struct storage_writer *w, uint64_t i, int64_t timestamp_ms)
{
    storage_writer_begin(w);
    uint32_t series = series_of(w, i, timestamp_ms);
    if (storage_writer_add(w, series, timestamp_ms, decimal_from_double((double)(i % 1000))) != ROW_ADDED)
        fail("row", "outside of the time limits");
    storage_writer_end(w);
}

/* --- make --- */

/* The middle of the month that is `months` before the one of day_start_ms. */
static int64_t middle_of_month(int64_t day_start_ms, uint64_t months)
{
    struct month month = month_of(day_start_ms);
    for (uint64_t i = 0; i < months; i++)
        month = month_of(month.min_ms - 1);
    return month.min_ms + 14 * DAY_MS;
}

static void make(const char *path, uint64_t series, uint64_t months, uint64_t commits, uint64_t old_series,
                 int64_t day_start_ms)
{
    struct storage *st = open_store(path);
    struct storage_writer *w = storage_writer_new(st);
    uint64_t rows = 0;
    for (uint64_t c = 0; c < commits; c++) {
        for (uint64_t m = months; m-- > 0;) {
            uint64_t count = m ? old_series : series;
            int64_t day = m ? middle_of_month(day_start_ms, m) : day_start_ms;
            for (uint64_t i = c * count / commits; i < (c + 1) * count / commits; i++, rows++)
                add_row(w, i, day + (int64_t)(i % 60000));
        }
        struct error error;
        if (storage_flush(st, -1, &error) < 0)
            fail("flush", error.message);
    }
    storage_writer_free(w);
    close_store(st);
    printf("%" PRIu64 "\n", rows);
}

/* --- open --- */

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1e9;
}

static void open_and_measure(const char *path, uint64_t series, int64_t day_start_ms)
{
    int64_t when = day_start_ms + 3600 * SECOND_MS;
    uint64_t start = now_ns();
    struct storage *st = open_store(path);
    printf("open_s: %.4f\n", seconds_since(start));
    struct storage_writer *w = storage_writer_new(st);
    start = now_ns();
    add_row(w, series / 2, when);
    printf("first_row_s: %.4f\n", seconds_since(start));
    double longest = 0;
    uint64_t all = start, at = 0;
    for (uint64_t n = 0; n < series; n++) {
        start = now_ns();
        add_row(w, at, when);
        double took = seconds_since(start);
        longest = took > longest ? took : longest;
        at = (at + STRIDE) % series; /* all of them, as STRIDE is prime */
    }
    printf("all_series_s: %.4f\nlongest_stall_s: %.4f\n", seconds_since(all), longest);
    struct storage_stats stats;
    storage_stats(st, &stats);
    if (stats.new_series_total)
        fail("series", "known ones became new ones");
    storage_stats_release(&stats);
    storage_writer_free(w);
    close_store(st);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "make") == 0) {
        make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10),
             strtoull(argv[6], NULL, 10), strtoll(argv[7], NULL, 10));
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "open") == 0) {
        open_and_measure(argv[2], strtoull(argv[3], NULL, 10), strtoll(argv[4], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: open_load make DIR SERIES MONTHS COMMITS OLD_SERIES DAY_START_MS\n"
                    "       open_load open DIR SERIES DAY_START_MS\n");
    return 64;
}
