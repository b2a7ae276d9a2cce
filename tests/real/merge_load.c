/*
 * merge_load - makes a store of many parts through the storage API, to be merged.
 *
 *   merge_load DIR SERIES SAMPLES FLUSHES STEP_MS START_MS LATE_PERCENT SEED
 *
 * SERIES series of SAMPLES samples each, every STEP_MS from START_MS on, in FLUSHES commits of equal length;
 * of the samples of a commit LATE_PERCENT come with the next one, so that parts overlap in time. Merges go on
 * meanwhile as ever; what they leave is what is there to merge. A quarter of the series are counters, a
 * quarter slow gauges with two decimals, a quarter fast gauges with one, a quarter integers that seldom
 * change, as in tests/bench/influx_load.c. Prints the number of samples.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/storage.h"

#define MERGE_WAIT_MS 50

static uint64_t state;

static uint64_t chance(void)
{ /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

struct late_row {
    uint32_t series;
    int64_t timestamp;
    struct decimal value;
};

struct load {
    struct storage *st;
    struct storage_writer *w;
    uint64_t series, samples, flushes, late_percent;
    int64_t step_ms, start_ms;
    uint32_t *handles;
    int64_t *values;
    int64_t registered_day;
    struct late_row *late;
    size_t late_count, late_capacity;
};

__attribute__((noreturn)) static void fail(const char *what, const char *why)
{
    fprintf(stderr, "merge_load: %s: %s\n", what, why);
    exit(1);
}

static struct decimal next_value(int64_t *value, uint64_t series)
{
    uint64_t r = chance();
    switch (series % 4) {
    case 0:
        *value += (int64_t)(r % 5000);
        return decimal_from_double((double)*value);
    case 1:
        *value += (int64_t)(r % 41) - 20;
        return decimal_from_double((double)*value / 100);
    case 2:
        return decimal_from_double((double)(r % 1000) / 10);
    default:
        if (r % 32 == 0)
            *value = (int64_t)(r >> 32) % 100;
        return decimal_from_double((double)*value);
    }
}

static void register_series(struct load *l, int64_t timestamp)
{
    for (uint64_t i = 0; i < l->series; i++) {
        if (l->registered_day) {
            storage_writer_register_day(l->w, l->handles[i], timestamp);
            continue;
        }
        static const char *const names[] = {"bytes_sent", "temperature", "usage_system", "queue_length"};
        char host[24], rack[24];
        const char *name = names[i % 4], *reason = "";
        int host_len = snprintf(host, sizeof host, "host_%" PRIu64, i / 4);
        int rack_len = snprintf(rack, sizeof rack, "%" PRIu64, i % 50);
        struct metric_label labels[] = {{"__name__", 8, name, (uint32_t)strlen(name)},
                                        {"host", 4, host, (uint32_t)host_len},
                                        {"rack", 4, rack, (uint32_t)rack_len}};
        if (storage_writer_series(l->w, labels, 3, timestamp, &l->handles[i], &reason) < 0)
            fail("series", reason);
    }
    l->registered_day = timestamp / DAY_MS;
}

static void add(struct load *l, uint32_t series, int64_t timestamp, struct decimal value)
{
    if (storage_writer_add(l->w, series, timestamp, value) != ROW_ADDED)
        fail("row", "outside of the time limits");
}

static void add_step(struct load *l, uint64_t step, bool may_be_late)
{
    int64_t timestamp = l->start_ms + (int64_t)step * l->step_ms;
    storage_writer_begin(l->w);
    if (timestamp / DAY_MS != l->registered_day)
        register_series(l, timestamp);
    for (uint64_t i = 0; i < l->series; i++) {
        struct decimal value = next_value(&l->values[i], i);
        int64_t when = timestamp + (int64_t)(i / 4 % 1000);
        if (may_be_late && chance() % 100 < l->late_percent) {
            GROW(l->late, l->late_count, l->late_capacity);
            l->late[l->late_count++] = (struct late_row){l->handles[i], when, value};
        } else {
            add(l, l->handles[i], when, value);
        }
    }
    storage_writer_end(l->w);
}

static void add_late_rows(struct load *l)
{
    storage_writer_begin(l->w);
    for (size_t i = 0; i < l->late_count; i++)
        add(l, l->late[i].series, l->late[i].timestamp, l->late[i].value);
    storage_writer_end(l->w);
    l->late_count = 0;
}

static void flush(struct load *l)
{
    struct error error;
    if (storage_flush(l->st, -1, &error) < 0)
        fail("flush", error.message);
}

static void wait_for_merges(struct storage *st)
{
    uint64_t active;
    do {
        struct storage_stats stats;
        clock_sleep_ms(MERGE_WAIT_MS);
        storage_stats(st, &stats);
        active = stats.merges_active;
        storage_stats_release(&stats);
    } while (active);
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: merge_load DIR SERIES SAMPLES FLUSHES STEP_MS START_MS LATE_PERCENT SEED\n");
        return 64;
    }
    struct load l = {
        .series = strtoull(argv[2], NULL, 10),
        .samples = strtoull(argv[3], NULL, 10),
        .flushes = strtoull(argv[4], NULL, 10),
        .step_ms = strtoll(argv[5], NULL, 10),
        .start_ms = strtoll(argv[6], NULL, 10),
        .late_percent = strtoull(argv[7], NULL, 10),
    };
    state = strtoull(argv[8], NULL, 10) * 2 + 1;
    struct storage_options options = {
        .path = argv[1], .retention_ms = 36500 * DAY_MS, .flush_interval_ms = 3600 * SECOND_MS};
    struct error error;
    if (storage_open(&l.st, &options, &error) < 0)
        fail("open", error.message);
    l.w = storage_writer_new(l.st);
    l.handles = xcalloc(l.series, sizeof *l.handles);
    l.values = xcalloc(l.series, sizeof *l.values);
    for (uint64_t i = 0; i < l.series; i++)
        l.values[i] = (int64_t)(chance() % 100000);
    uint64_t per_flush = l.samples / l.flushes ? l.samples / l.flushes : 1;
    for (uint64_t step = 0; step < l.samples; step++) {
        bool last = step + per_flush >= l.samples;
        add_step(&l, step, !last);
        if ((step + 1) % per_flush == 0) {
            flush(&l);
            add_late_rows(&l);
        }
    }
    add_late_rows(&l);
    flush(&l);
    flush(&l); /* a record calls the last parts published */
    wait_for_merges(l.st);
    storage_writer_free(l.w);
    if (storage_close(l.st, &error) < 0)
        fail("close", error.message);
    printf("%" PRIu64 "\n", l.series * l.samples);
    free(l.handles);
    free(l.values);
    free(l.late);
    return 0;
}
