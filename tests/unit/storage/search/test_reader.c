/* Readers over a real store: two months, ids, ranges, days, and parts in memory beside files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define OCT(day) (INT64_C(1790812800000) + ((day)-1) * DAY_MS)
#define NOV(day) (INT64_C(1793491200000) + ((day)-1) * DAY_MS)

struct world {
    char *dir;
    struct storage *st;
    struct storage_writer *w;
};

static void start(struct world *world)
{
    world->st = open_store(world->dir, NULL, NULL);
    world->w = storage_writer_new(world->st);
}

static void stop(struct world *world)
{
    struct error error = {0};
    storage_writer_free(world->w);
    if (storage_close(world->st, &error) < 0)
        fail_msg("storage_close: %s", error.message);
}

static void flush(struct world *world)
{
    assert_int_equal(storage_flush(world->st, 60000, NULL), 0);
}

/* One row of metric{host=host}; between begin and end. */
static void add(struct world *world, const char *metric, const char *host, int64_t timestamp, double value)
{
    const struct metric_label labels[] = {{"__name__", 8, metric, (uint32_t)strlen(metric)},
                                          {"host", 4, host, (uint32_t)strlen(host)}};
    uint32_t series;
    const char *reason = "";
    if (storage_writer_series(world->w, labels, 2, timestamp, &series, &reason) < 0)
        fail_msg("%s", reason);
    assert_int_equal(storage_writer_add(world->w, series, timestamp, decimal_from_double(value)), ROW_ADDED);
}

static void put(struct world *world, const char *metric, const char *host, int64_t timestamp, double value)
{
    storage_writer_begin(world->w);
    add(world, metric, host, timestamp, value);
    storage_writer_end(world->w);
}

static int append_line(void *context, const struct series_rows *rows)
{
    struct buffer *text = context;
    struct metric_name name = {0};
    assert_int_equal(metric_name_parse(&name, rows->name, rows->name_len, NULL), 0);
    struct item host = metric_name_tag_value(&name, "host", 4);
    buffer_append(text, name.group.data, name.group.len);
    buffer_append_u8(text, '-');
    buffer_append(text, host.data, host.len);
    for (size_t i = 0; i < rows->count; i++) {
        buffer_printf(text, " %g", rows->values[i]);
        assert_true(i == 0 || rows->timestamps[i - 1] <= rows->timestamps[i]);
    }
    buffer_append_u8(text, '\n');
    metric_name_release(&name);
    return 0;
}

/* What an export (or a list of series) of these selectors shows; texts are separated by blanks, NULL: all. */
static void expect_of(struct reader *r, bool series, const char *selector, int64_t from, int64_t to,
                      const char *expected)
{
    struct buffer text = {0};
    struct selector *s = NULL;
    struct error error = {0};
    if (selector && selector_parse(&s, selector, &error) < 0)
        fail_msg("%s", error.message);
    int rc = series ? reader_series(r, &s, s ? 1 : 0, from, to, append_line, &text, &error)
                    : reader_export(r, &s, s ? 1 : 0, from, to, append_line, &text, &error);
    if (rc < 0)
        fail_msg("%s", error.message);
    assert_string_equal(buffer_cstr(&text), expected);
    selector_free(s);
    buffer_release(&text);
    reader_free(r);
}

static void expect(struct world *world, const char *selector, int64_t from, int64_t to, const char *expected)
{
    expect_of(reader_new(world->st), false, selector, from, to, expected);
}

static void expect_series(struct world *world, int64_t from, int64_t to, const char *expected)
{
    expect_of(reader_new(world->st), true, NULL, from, to, expected);
}

static struct reader *open_dir(const char *dir)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("reader_open_dir: %s", error.message);
    return r;
}

static void rows_of_two_months_are_one_series_and_ranges_are_clipped(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    for (int day = 20; day <= 31; day++)
        put(&world, "m", "a", OCT(day), day);
    put(&world, "m", "b", OCT(31) + DAY_MS - 1, 0.5);
    put(&world, "m", "a", NOV(1), 101);
    put(&world, "n", "a", NOV(2), 102);
    flush(&world);
    for (int i = 0; i < 2; i++) {
        expect(&world, NULL, 0, INT64_MAX / 2,
               "m-a 20 21 22 23 24 25 26 27 28 29 30 31 101\nm-b 0.5\nn-a 102\n");
        expect(&world, "m", OCT(30), NOV(1), "m-a 30 31 101\nm-b 0.5\n");
        expect(&world, "m", OCT(30), NOV(1) - 1, "m-a 30 31\nm-b 0.5\n");
        expect(&world, "m", OCT(30) + 1, OCT(31), "m-a 31\n");
        expect(&world, "m", OCT(30), OCT(30), "m-a 30\n");
        expect(&world, "m", OCT(30) + 1, OCT(31) - 1, "");
        expect(&world, "{host=\"a\"}", NOV(1), NOV(9), "m-a 101\nn-a 102\n");
        expect(&world, "{host=~\"a|b\",__name__!=\"n\"}", OCT(31), NOV(9), "m-a 31 101\nm-b 0.5\n");
        expect(&world, "{none=\"\",host!=\"a\"}", OCT(1), NOV(9), "m-b 0.5\n");
        expect(&world, "q", 0, INT64_MAX / 2, "");
        expect(&world, NULL, NOV(1), OCT(31), "");
        stop(&world);
        expect_of(open_dir(world.dir), false, "m", OCT(31), NOV(1), "m-a 31 101\nm-b 0.5\n");
        start(&world);
    }
    stop(&world);
    temp_dir_remove(world.dir);
}

static void series_of_part_of_a_month_go_by_their_days(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    put(&world, "m", "a", OCT(20) + 5, 1);
    put(&world, "m", "b", OCT(22), 2);
    put(&world, "m", "c", OCT(24) + DAY_MS - 1, 3);
    put(&world, "m", "a", NOV(2), 4);
    flush(&world);
    expect_series(&world, OCT(1), NOV(1) - 1, "m-a\nm-b\nm-c\n");
    expect_series(&world, OCT(1), OCT(19), "");
    expect_series(&world, OCT(1), OCT(22) - 1, "m-a\n");
    expect_series(&world, OCT(20) + 6, OCT(20) + 7, "m-a\n"); /* days, not rows */
    expect_series(&world, OCT(21), OCT(22), "m-b\n");
    expect_series(&world, OCT(24), NOV(3), "m-a\nm-c\n");
    expect_series(&world, OCT(25), NOV(1), "");
    expect_series(&world, 0, INT64_MAX / 2, "m-a\nm-b\nm-c\n");
    stop(&world);
    temp_dir_remove(world.dir);
}

static void several_ids_of_one_name_are_joined(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    put(&world, "m", "a", OCT(20), 1);
    put(&world, "m", "b", OCT(24), 2);
    stop(&world);
    start(&world); /* looks at the 24th and the 28th, and doesn't find a */
    put(&world, "m", "a", OCT(28), 4);
    put(&world, "m", "a", OCT(22), 3);
    struct storage_stats stats;
    storage_stats(world.st, &stats);
    assert_int_equal(stats.new_series_total, 1);
    storage_stats_release(&stats);
    flush(&world);
    expect(&world, NULL, 0, INT64_MAX / 2, "m-a 1 3 4\nm-b 2\n");
    expect(&world, "m{host=\"a\"}", OCT(20), OCT(22), "m-a 1 3\n");
    expect_series(&world, OCT(1), NOV(1) - 1, "m-a\nm-b\n");
    expect_series(&world, OCT(19), OCT(29), "m-a\nm-b\n");
    stop(&world);
    expect_of(open_dir(world.dir), false, "m{host=\"a\"}", 0, INT64_MAX / 2, "m-a 1 3 4\n");
    temp_dir_remove(world.dir);
}

static void wait_until_in_memory(struct world *world, uint64_t rows)
{
    struct storage_stats stats = {0};
    uint64_t seen = 0;
    for (int i = 0; i < 200 && seen < rows; i++) {
        clock_sleep_ms(20);
        storage_stats(world->st, &stats);
        seen = 0;
        for (size_t k = 0; k < stats.months_count; k++)
            seen += stats.months[k].inmemory.rows;
        storage_stats_release(&stats);
    }
    assert_int_equal(seen, rows);
}

static void parts_in_memory_and_files_are_read_together(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    put(&world, "m", "a", OCT(31), 1);
    put(&world, "m", "a", OCT(31) + 2, 3);
    flush(&world);
    struct reader *before = reader_new(world.st);
    put(&world, "m", "a", OCT(31) + 1, 2);
    put(&world, "m", "b", NOV(1), 9);
    wait_until_in_memory(&world, 2);
    expect(&world, NULL, 0, INT64_MAX / 2, "m-a 1 2 3\nm-b 9\n");
    struct reader *between = reader_new(world.st);
    flush(&world);
    put(&world, "m", "a", OCT(31) + 3, 4);
    wait_until_in_memory(&world, 1);
    expect(&world, NULL, 0, INT64_MAX / 2, "m-a 1 2 3 4\nm-b 9\n");
    expect(&world, "m", OCT(31) + 2, OCT(31) + 3, "m-a 3 4\n");
    /* Readers show the moment of their making. */
    expect_of(before, false, NULL, 0, INT64_MAX / 2, "m-a 1 3\n");
    expect_of(between, false, NULL, 0, INT64_MAX / 2, "m-a 1 2 3\nm-b 9\n");
    stop(&world);
    temp_dir_remove(world.dir);
}

#define MANY_SERIES 21000u
#define MANY_ROWS   100u

struct many {
    unsigned series;
    uint64_t rows;
    char last[16];
};

static int count_many(void *context, const struct series_rows *rows)
{
    struct many *many = context;
    struct metric_name name = {0};
    char host[16] = "";
    assert_int_equal(metric_name_parse(&name, rows->name, rows->name_len, NULL), 0);
    struct item value = metric_name_tag_value(&name, "host", 4);
    memcpy(host, value.data, value.len);
    assert_true(strcmp(many->last, host) < 0); /* in order, over the batches */
    memcpy(many->last, host, sizeof host);
    unsigned k = (unsigned)atoi(host);
    for (size_t i = 0; i < rows->count; i++)
        if (rows->values[i] != k * 100.0 + (double)i || rows->timestamps[i] != OCT(31) + (int64_t)i)
            fail_msg("series %u, row %zu", k, i);
    many->series++;
    many->rows += rows->count;
    metric_name_release(&name);
    return 0;
}

static int stop_at_third(void *context, const struct series_rows *rows)
{
    (void)rows;
    return ++*(int *)context == 3 ? ERR_CANCELLED : 0;
}

/* More rows than an export takes at once, and more ids than are looked up one by one. */
static void many_series_are_read_in_batches(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    uint32_t *series = xcalloc(MANY_SERIES, sizeof *series);
    storage_writer_begin(world.w);
    for (unsigned k = 0; k < MANY_SERIES; k++) {
        char host[16];
        const char *reason;
        int n = snprintf(host, sizeof host, "%05u", k);
        const struct metric_label labels[] = {{"__name__", 8, "m", 1}, {"host", 4, host, (uint32_t)n}};
        assert_int_equal(storage_writer_series(world.w, labels, 2, OCT(31), &series[k], &reason), 0);
    }
    for (unsigned i = 0; i < MANY_ROWS; i++)
        for (unsigned k = 0; k < MANY_SERIES; k++)
            (void)storage_writer_add(world.w, series[k], OCT(31) + i, (struct decimal){k * 100 + i, 0});
    storage_writer_end(world.w);
    free(series);
    flush(&world);
    static const char *const selectors[] = {NULL, "m", "{host=~\".*\"}"};
    struct error error = {0};
    struct reader *r = reader_new(world.st);
    for (int i = 0; i < 3; i++) {
        struct selector *s = NULL;
        struct many many = {0};
        if (selectors[i])
            assert_int_equal(selector_parse(&s, selectors[i], NULL), 0);
        assert_int_equal(reader_export(r, &s, s ? 1 : 0, 0, INT64_MAX / 2, count_many, &many, &error), 0);
        if (many.series != MANY_SERIES)
            fail_msg("%s: %u series", selectors[i] ? selectors[i] : "all", many.series);
        assert_int_equal(many.rows, MANY_SERIES * MANY_ROWS);
        selector_free(s);
    }
    int calls = 0;
    assert_int_equal(reader_export(r, NULL, 0, 0, INT64_MAX / 2, stop_at_third, &calls, &error),
                     ERR_CANCELLED);
    assert_int_equal(calls, 3);
    reader_free(r);
    expect(&world, "m{host=\"00042\"}", OCT(31) + 98, OCT(31) + 200, "m-00042 4298 4299\n");
    stop(&world);
    temp_dir_remove(world.dir);
}

static void what_is_no_store_is_refused(void **state)
{
    (void)state;
    struct reader *r;
    struct error error = {0};
    assert_int_equal(reader_open_dir(&r, "/nonexistent/store", &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/store"));
    reader_free(NULL);
}

static void a_new_store_is_empty(void **state)
{
    (void)state;
    struct world world = {.dir = TEMP_DIR()};
    start(&world);
    expect(&world, NULL, 0, INT64_MAX / 2, "");
    expect_series(&world, 0, INT64_MAX / 2, "");
    stop(&world);
    expect_of(open_dir(world.dir), false, NULL, 0, INT64_MAX / 2, "");
    temp_dir_remove(world.dir);
}

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_two_months_are_one_series_and_ranges_are_clipped),
        cmocka_unit_test(series_of_part_of_a_month_go_by_their_days),
        cmocka_unit_test(several_ids_of_one_name_are_joined),
        cmocka_unit_test(parts_in_memory_and_files_are_read_together),
        cmocka_unit_test(many_series_are_read_in_batches),
        cmocka_unit_test(what_is_no_store_is_refused),
        cmocka_unit_test(a_new_store_is_empty),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
