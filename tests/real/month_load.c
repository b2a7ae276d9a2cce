/*
 * month_load - writes a month of rows through the storage API, and keeps its own account of each series.
 *
 *   month_load DIR TRUTH SERIES ROWS COMMITS START_MS SPAN_MS LATE_PERCENT SEED
 *
 * ROWS rows of SERIES series, spread evenly over [START_MS, START_MS + SPAN_MS), arrive in COMMITS commits in
 * order of time, but: LATE_PERCENT of them come later, most by up to 12 commits, a tenth of these by up to a
 * fifth of all commits; and in each commit series come in an order of its own, some with their newest row
 * first. Merges go on meanwhile as ever, and have their time at the end.
 *
 * Series i has the labels n="i" and rack, and one of four names: counters, gauges of two decimals, values of
 * very different size, and integers that seldom change. Values are thousandths, so that sums are exact.
 *
 * TRUTH gets, per series, eight int64_t in this machine's byte order: count, sum, min, max, time of the first
 * row, its value, time of the last row, its value. What it prints is JSON: rows, seconds, commits, the
 * parts of data and index at the end and at most, write amplification, peak RSS.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/storage.h"

#define MERGE_WAIT_MS 50
#define IDLE_LOOKS    6 /* one merge may ask for the next */
#define NAMES_COUNT   4

struct account {
    int64_t count, sum, min, max, first_ms, first, last_ms, last;
};

struct late_row {
    uint32_t series;
    int64_t timestamp, value;
};

struct late_rows {
    struct late_row *rows;
    size_t count, capacity;
};

struct series {
    uint32_t handle;
    int64_t day;   /* registered last */
    int64_t value; /* thousandths */
    int64_t phase; /* of its first row, from START_MS on */
    uint64_t next; /* number of its next row */
};

struct load {
    struct storage *st;
    struct storage_writer *w;
    uint64_t series_count, rows, commits, late_percent;
    int64_t start_ms, span_ms, step_ms;
    struct series *series;
    struct account *accounts;
    struct late_rows *late; /* per commit */
    uint64_t written;
    uint64_t data_parts_max, index_parts_max;
};

static uint64_t state;

static uint64_t chance(void)
{ /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

__attribute__((noreturn)) static void fail(const char *what, const char *why)
{
    fprintf(stderr, "month_load: %s: %s\n", what, why);
    exit(1);
}

static int64_t next_value(struct series *s, uint64_t number)
{
    uint64_t r = chance() >> 16;
    switch (number % NAMES_COUNT) {
    case 0:
        s->value += (int64_t)(r % 5000) * 1000;
        break;
    case 1:
        s->value += ((int64_t)(r % 41) - 20) * 10;
        break;
    case 2: { /* now and then whole thousands of millions: scales differ from block to block */
        static const int64_t units[] = {1, 1, 1, 1000, 1000000000};
        s->value = ((int64_t)(r % 20001) - 10000) * units[r / 20001 % 5];
        break;
    }
    default:
        if (r % 32 == 0)
            s->value = (int64_t)(r / 32 % 100) * 1000;
    }
    return s->value;
}

static void new_series(struct load *l, uint64_t i, int64_t timestamp)
{
    static const char *const names[NAMES_COUNT] = {"bytes_sent", "temperature", "flow", "queue_length"};
    const char *name = names[i % NAMES_COUNT], *reason = "";
    char number[24], rack[24];
    int number_len = snprintf(number, sizeof number, "%" PRIu64, i);
    int rack_len = snprintf(rack, sizeof rack, "%" PRIu64, i % 50);
    struct metric_label labels[] = {{"__name__", 8, name, (uint32_t)strlen(name)},
                                    {"n", 1, number, (uint32_t)number_len},
                                    {"rack", 4, rack, (uint32_t)rack_len}};
    if (storage_writer_series(l->w, labels, 3, timestamp, &l->series[i].handle, &reason) < 0)
        fail("series", reason);
}

static void account(struct account *a, int64_t timestamp, int64_t value)
{
    if (a->count == 0 || timestamp < a->first_ms) {
        a->first_ms = timestamp;
        a->first = value;
    }
    if (a->count == 0 || timestamp > a->last_ms) {
        a->last_ms = timestamp;
        a->last = value;
    }
    a->min = a->count == 0 || value < a->min ? value : a->min;
    a->max = a->count == 0 || value > a->max ? value : a->max;
    a->sum += value;
    a->count++;
}

/* Between begin and end. */
static void add(struct load *l, uint32_t i, int64_t timestamp, int64_t value)
{
    struct series *s = &l->series[i];
    int64_t day = timestamp / DAY_MS;
    if (s->day == 0)
        new_series(l, i, timestamp);
    else if (s->day != day)
        storage_writer_register_day(l->w, s->handle, timestamp);
    s->day = day;
    if (storage_writer_add(l->w, s->handle, timestamp, decimal_from_double((double)value / 1000)) !=
        ROW_ADDED)
        fail("row", "outside of the time limits");
    account(&l->accounts[i], timestamp, value);
    l->written++;
}

static void make_late(struct load *l, uint64_t commit, const struct late_row *row)
{
    uint64_t delay = 1 + chance() % 12;
    if (chance() % 10 == 0)
        delay = 1 + chance() % (l->commits / 5 + 1);
    uint64_t to = commit + delay < l->commits ? commit + delay : l->commits - 1;
    struct late_rows *late = &l->late[to];
    GROW(late->rows, late->count, late->capacity);
    late->rows[late->count++] = *row;
}

/* Its rows before end_ms; some with the newest first. */
static void add_series(struct load *l, uint64_t commit, uint32_t i, int64_t end_ms)
{
    struct series *s = &l->series[i];
    struct late_row rows[64];
    size_t count = 0;
    bool last = commit + 1 == l->commits;
    bool backwards = chance() % 8 == 0;
    for (;;) {
        int64_t timestamp = l->start_ms + s->phase + (int64_t)s->next * l->step_ms;
        bool more = timestamp < end_ms;
        if (more) {
            rows[count++] = (struct late_row){i, timestamp, next_value(s, i)};
            s->next++;
        }
        if (!more || count == sizeof rows / sizeof *rows) {
            for (size_t k = 0; k < count; k++) {
                const struct late_row *row = &rows[backwards ? count - 1 - k : k];
                if (!last && chance() % 100 < l->late_percent)
                    make_late(l, commit, row);
                else
                    add(l, row->series, row->timestamp, row->value);
            }
            count = 0;
        }
        if (!more)
            return;
    }
}

static void add_commit(struct load *l, uint64_t commit)
{
    int64_t end_ms = l->start_ms + (int64_t)((double)l->span_ms * (double)(commit + 1) / (double)l->commits);
    uint64_t first = chance() % l->series_count;
    struct late_rows *late = &l->late[commit];
    for (uint64_t k = 0; k < l->series_count; k++) {
        if (k % 1024 == 0) {
            if (k)
                storage_writer_end(l->w);
            storage_writer_begin(l->w);
        }
        add_series(l, commit, (uint32_t)((first + k) % l->series_count), end_ms);
    }
    for (size_t k = 0; k < late->count; k++)
        add(l, late->rows[k].series, late->rows[k].timestamp, late->rows[k].value);
    storage_writer_end(l->w);
    free(late->rows);
    *late = (struct late_rows){0};
}

static void flush(struct load *l)
{
    struct error error;
    if (storage_flush(l->st, -1, &error) < 0)
        fail("flush", error.message);
}

/* The most parts that any month has. */
static void look_at_parts(struct load *l, uint64_t *ret_data, uint64_t *ret_index)
{
    struct storage_stats stats;
    storage_stats(l->st, &stats);
    *ret_data = *ret_index = 0;
    for (size_t i = 0; i < stats.months_count; i++) {
        const struct storage_month_stats *m = &stats.months[i];
        uint64_t data = m->small.parts + m->big.parts;
        *ret_data = data > *ret_data ? data : *ret_data;
        *ret_index = m->index.parts > *ret_index ? m->index.parts : *ret_index;
    }
    l->data_parts_max = *ret_data > l->data_parts_max ? *ret_data : l->data_parts_max;
    l->index_parts_max = *ret_index > l->index_parts_max ? *ret_index : l->index_parts_max;
    storage_stats_release(&stats);
}

static void wait_for_merges(struct storage *st)
{
    struct storage_stats stats;
    for (unsigned idle = 0; idle < IDLE_LOOKS; idle = stats.merges_active ? 0 : idle + 1) {
        clock_sleep_ms(MERGE_WAIT_MS);
        storage_stats(st, &stats);
        storage_stats_release(&stats);
    }
}

static void write_truth(const struct load *l, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(l->accounts, sizeof *l->accounts, l->series_count, f) != l->series_count || fclose(f))
        fail(path, "can't be written");
}

static void report(struct load *l, int64_t begun_ms)
{
    struct storage_stats stats;
    struct rusage usage;
    uint64_t data, index;
    double seconds = (double)(clock_monotonic_ms() - begun_ms) / 1000;
    look_at_parts(l, &data, &index);
    storage_stats(l->st, &stats);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"rows\": %" PRIu64 ", \"seconds\": %.3f, \"commits\": %" PRIu64 ", \"merges\": %" PRIu64
           ", \"months\": %zu, \"data_parts\": %" PRIu64 ", \"index_parts\": %" PRIu64
           ", \"data_parts_max\": %" PRIu64 ", \"index_parts_max\": %" PRIu64
           ", \"write_amplification\": %.4f, \"slowed_seconds\": %.3f, \"rss_mib\": %ld, \"cpu_seconds\": "
           "%.3f}\n",
           l->written, seconds, stats.commits_total, stats.merges_total, stats.months_count, data, index,
           l->data_parts_max, l->index_parts_max, stats.write_amplification,
           stats.intake_slowed_seconds_total, usage.ru_maxrss / 1024,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    storage_stats_release(&stats);
}

static void init(struct load *l)
{
    l->series = xcalloc(l->series_count, sizeof *l->series);
    l->accounts = xcalloc(l->series_count, sizeof *l->accounts);
    l->late = xcalloc(l->commits, sizeof *l->late);
    l->step_ms = (int64_t)((double)l->span_ms * (double)l->series_count / (double)l->rows);
    if (l->step_ms < 1)
        fail("rows", "more than one a millisecond and series");
    for (uint64_t i = 0; i < l->series_count; i++)
        l->series[i] = (struct series){.value = (int64_t)(chance() % 100000) * 1000,
                                       .phase = (int64_t)(chance() % (uint64_t)l->step_ms)};
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr,
                "usage: month_load DIR TRUTH SERIES ROWS COMMITS START_MS SPAN_MS LATE_PERCENT SEED\n");
        return 64;
    }
    struct load l = {
        .series_count = strtoull(argv[3], NULL, 10),
        .rows = strtoull(argv[4], NULL, 10),
        .commits = strtoull(argv[5], NULL, 10),
        .start_ms = strtoll(argv[6], NULL, 10),
        .span_ms = strtoll(argv[7], NULL, 10),
        .late_percent = strtoull(argv[8], NULL, 10),
    };
    state = strtoull(argv[9], NULL, 10) * 2 + 1;
    struct storage_options options = {
        .path = argv[1], .retention_ms = 36500 * DAY_MS, .flush_interval_ms = 3600 * SECOND_MS};
    struct error error;
    int64_t begun_ms = clock_monotonic_ms();
    if (storage_open(&l.st, &options, &error) < 0)
        fail("open", error.message);
    l.w = storage_writer_new(l.st);
    init(&l);
    for (uint64_t commit = 0; commit < l.commits; commit++) {
        uint64_t data, index;
        add_commit(&l, commit);
        flush(&l);
        look_at_parts(&l, &data, &index);
    }
    flush(&l); /* a record calls the last parts published */
    wait_for_merges(l.st);
    report(&l, begun_ms);
    storage_writer_free(l.w);
    if (storage_close(l.st, &error) < 0)
        fail("close", error.message);
    write_truth(&l, argv[2]);
    free(l.series);
    free(l.accounts);
    free(l.late);
    return 0;
}
