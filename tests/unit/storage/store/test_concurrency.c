/*
 * Everything at once: writers with sources and series of their own and in common, new series all the time,
 * commits, merges and exports. At the end each row is there once, and so it is after a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
#include "storage/search/inspect.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define WRITERS     3u
#define MESSAGES    400u /* of each writer; T0 is 60 s before a month ends, so most lie in the second month */
#define SERIES      64u
#define PER_MESSAGE 12u

/* Message m of writer w has one row at T0 + m s + w ms for each of these series: eight that all writers
 * share, one of the writer's own, and those that come and go. */
static unsigned series_of(unsigned writer, unsigned message, unsigned k)
{
    if (k < 8)
        return k;
    return k == 8 ? 8 + writer : 11 + (message / 7 + k) % (SERIES - 11);
}

static double value_of(unsigned series, int64_t timestamp)
{
    return (double)(series * 1000000 + (unsigned)(timestamp - T0));
}

struct shared {
    struct storage *st;
    atomic_uint writers_left;
    atomic_uint errors;
    _Atomic uint64_t exports;
};

struct source {
    struct shared *shared;
    unsigned writer;
};

static void write_message(struct storage_writer *w, unsigned writer, unsigned message, unsigned *errors)
{
    char key[16];
    int key_len = snprintf(key, sizeof key, "source-%u", writer);
    const struct storage_position to = {.next = message + 1};
    int64_t timestamp = T0 + message * SECOND_MS + writer;
    storage_writer_begin(w);
    *errors += storage_writer_hand_over(w, key, (uint32_t)key_len, message, &to, NULL) < 0;
    for (unsigned k = 0; k < PER_MESSAGE; k++) {
        char name[16];
        unsigned s = series_of(writer, message, k);
        int len = snprintf(name, sizeof name, "s%u", s);
        const struct metric_label labels[] = {{"__name__", 8, "m", 1}, {"s", 1, name, (uint32_t)len}};
        uint32_t series;
        const char *reason;
        *errors += storage_writer_series(w, labels, 2, timestamp, &series, &reason) < 0;
        *errors += storage_writer_add(w, series, timestamp, decimal_from_double(value_of(s, timestamp))) !=
                   ROW_ADDED;
    }
    storage_writer_end(w);
}

static void write_all(void *arg)
{
    struct source *source = arg;
    unsigned errors = 0;
    struct storage_writer *w = storage_writer_new(source->shared->st);
    for (unsigned m = 0; m < MESSAGES; m++) {
        write_message(w, source->writer, m, &errors);
        if (m % 100 == 99) { /* a partition that goes to another worker */
            storage_writer_free(w);
            w = storage_writer_new(source->shared->st);
        }
        if (m % 4 == 0)
            clock_sleep_ms(5);
    }
    storage_writer_free(w);
    atomic_fetch_add(&source->shared->errors, errors);
    atomic_fetch_sub(&source->shared->writers_left, 1);
}

static void flush_all_the_time(void *arg)
{
    struct shared *shared = arg;
    while (atomic_load(&shared->writers_left)) {
        if (storage_flush(shared->st, 60000, NULL) < 0)
            atomic_fetch_add(&shared->errors, 1);
        clock_sleep_ms(3);
    }
}

/* No cmocka in here: other threads run it, too. */
struct seen {
    uint64_t rows;
    unsigned errors;
    uint8_t *found; /* [series][writer][message], or NULL */
};

static int look_at(void *context, const struct series_rows *rows)
{
    struct seen *seen = context;
    struct metric_name name = {0};
    if (metric_name_parse(&name, rows->name, rows->name_len, NULL) < 0) {
        seen->errors++;
        return 0;
    }
    struct item value = metric_name_tag_value(&name, "s", 1);
    char text[16] = "";
    memcpy(text, value.data + 1, value.len - 1);
    unsigned series = (unsigned)atoi(text);
    for (size_t i = 0; i < rows->count; i++) {
        seen->errors += i > 0 && rows->timestamps[i] <= rows->timestamps[i - 1]; /* none twice */
        seen->errors += rows->values[i] != value_of(series, rows->timestamps[i]);
        if (seen->found && series < SERIES) {
            unsigned at = (unsigned)(rows->timestamps[i] - T0);
            seen->found[(series * WRITERS + at % 1000) * MESSAGES + at / 1000]++;
        }
    }
    seen->rows += rows->count;
    metric_name_release(&name);
    return 0;
}

static void export_all_the_time(void *arg)
{
    struct shared *shared = arg;
    while (atomic_load(&shared->writers_left)) {
        struct seen seen = {0};
        struct storage_stats stats;
        uint64_t number = storage_commit_number(shared->st);
        struct reader *r = reader_new(shared->st);
        if (reader_export(r, NULL, 0, 0, INT64_MAX / 2, look_at, &seen, NULL) < 0)
            seen.errors++;
        reader_free(r);
        storage_stats(shared->st, &stats);
        seen.errors += stats.disk_full || storage_commit_number(shared->st) < number;
        storage_stats_release(&stats);
        (void)storage_buffered_bytes(shared->st);
        atomic_fetch_add(&shared->errors, seen.errors);
        atomic_fetch_add(&shared->exports, 1);
    }
}

/* Takes over r. */
static void expect_all_rows(struct reader *r)
{
    struct seen seen = {.found = xcalloc(SERIES * WRITERS, MESSAGES)};
    struct error error = {0};
    if (reader_export(r, NULL, 0, 0, INT64_MAX / 2, look_at, &seen, &error) < 0)
        fail_msg("reader_export: %s", error.message);
    reader_free(r);
    for (unsigned w = 0; w < WRITERS; w++)
        for (unsigned m = 0; m < MESSAGES; m++)
            for (unsigned k = 0; k < PER_MESSAGE; k++)
                if (seen.found[(series_of(w, m, k) * WRITERS + w) * MESSAGES + m] != 1)
                    fail_msg("series %u, writer %u, message %u", series_of(w, m, k), w, m);
    assert_int_equal(seen.rows, WRITERS * MESSAGES * PER_MESSAGE);
    assert_int_equal(seen.errors, 0);
    free(seen.found);
}

static void all_at_once(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    clock_set_fake_ms(NOW_MS);
    struct shared shared = {.st = open_store(dir, NULL, NULL), .writers_left = WRITERS};
    struct thread writers[WRITERS] = {0}, flusher = {0}, exporter = {0};
    struct source sources[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        sources[i] = (struct source){&shared, i};
        thread_start(&writers[i], "writer", write_all, &sources[i]);
    }
    thread_start(&flusher, "flusher", flush_all_the_time, &shared);
    thread_start(&exporter, "exporter", export_all_the_time, &shared);
    for (unsigned i = 0; i < WRITERS; i++)
        thread_join(&writers[i]);
    thread_join(&flusher);
    thread_join(&exporter);
    assert_int_equal(atomic_load(&shared.errors), 0);
    assert_true(atomic_load(&shared.exports) > 0);

    assert_int_equal(storage_flush(shared.st, 60000, NULL), 0);
    expect_all_rows(reader_new(shared.st));
    struct storage_stats stats;
    storage_stats(shared.st, &stats);
    assert_int_equal(stats.months_count, 2);
    assert_int_equal(stats.rows_added_total, WRITERS * MESSAGES * PER_MESSAGE);
    assert_int_equal(stats.new_series_total, SERIES);
    print_message("%llu commits, %llu merges\n", (unsigned long long)stats.commits_total,
                  (unsigned long long)stats.merges_total); /* how many depends on the machine */
    storage_stats_release(&stats);
    struct error error = {0};
    if (storage_close(shared.st, &error) < 0)
        fail_msg("storage_close: %s", error.message);

    uint64_t parts;
    struct reader *r;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    assert_int_equal(reader_open_dir(&r, dir, NULL), 0);
    expect_all_rows(r);
    shared.st = open_store(dir, NULL, NULL);
    for (unsigned i = 0; i < WRITERS; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "source-%u", i);
        struct storage_position position;
        assert_true(storage_durable_position(shared.st, key, (uint32_t)len, &position));
        assert_int_equal(position.next, MESSAGES);
    }
    expect_all_rows(reader_new(shared.st));
    assert_int_equal(storage_close(shared.st, NULL), 0);
    clock_set_fake_ms(0);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
