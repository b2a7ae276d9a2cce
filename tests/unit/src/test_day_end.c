/* Intake into a real store over midnight, which is also a month's end: how many series the index has to take
 * in each second, and that the rows made ahead show nothing that isn't there. */
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
#include "src/ingest.h"
#include "storage/search/search.h"
#include "tests/doubles/temp_dir.h"

/* 2026-11-01T00:00:00Z */
#define MONTH_END INT64_C(1793491200000)
#define FLEET     2000
#define PERIOD_MS (10 * SECOND_MS)
#define HOUR_MS   (3600 * SECOND_MS)

static int fleet_labels(const struct decode_options *options, struct span key, struct span field,
                        struct label_list *ret, const char **ret_reason)
{
    (void)options;
    (void)ret_reason;
    label_list_add(ret, span_of("__name__", 8), key);
    label_list_add(ret, span_of("host", 4), field);
    return 0;
}

static const struct decoder decoder = {.name = "fleet", .labels = fleet_labels};

struct world {
    char *dir;
    struct storage *st;
    struct ingest *ing;
    struct intake *in;
    struct intake_worker *w;
    struct sample_batch batch;
    char hosts[FLEET][24];
};

static void open_world(struct world *world)
{
    struct storage_options options = {
        .path = world->dir,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .open_in_background = true,
    };
    struct error error;
    if (storage_open(&world->st, &options, &error) < 0)
        fail_msg("storage_open: %s", error.message);
    world->ing = ingest_new(world->st, NULL, 0);
    world->in = ingest_intake(world->ing);
    world->w = world->in->ops->worker_new(world->in, "plant", &decoder, NULL);
}

static void close_world(struct world *world)
{
    struct error error;
    world->in->ops->worker_free(world->in, world->w);
    ingest_free(world->ing);
    if (storage_close(world->st, &error) < 0)
        fail_msg("storage_close: %s", error.message);
}

static int set_up(void **state)
{
    struct world *world = xcalloc(1, sizeof *world);
    world->dir = TEMP_DIR();
    for (int i = 0; i < FLEET; i++)
        snprintf(world->hosts[i], sizeof world->hosts[i], "host-%d", i);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    sample_batch_release(&world->batch);
    temp_dir_remove(world->dir);
    free(world);
    clock_set_fake_ms(0);
    return 0;
}

/* One second of a fleet of which each host sends every PERIOD_MS. */
static void put_second(struct world *world, int64_t now)
{
    struct sample_batch *b = &world->batch;
    int periods = (int)(PERIOD_MS / SECOND_MS);
    sample_batch_clear(b);
    GROW(b->groups, b->groups_count, b->groups_capacity);
    b->groups[b->groups_count++] = (struct sample_group){.key = span_of("load", 4)};
    for (int i = (int)(now / SECOND_MS % periods); i < FLEET; i += periods) {
        GROW(b->samples, b->samples_count, b->samples_capacity);
        b->samples[b->samples_count++] = (struct sample){
            span_of(world->hosts[i], strlen(world->hosts[i])), now + i % 1000, {.mantissa = i}};
        b->groups[0].samples_count++;
    }
    clock_set_fake_ms(now);
    world->in->ops->begin(world->in, world->w);
    world->in->ops->deliver(world->in, world->w, b, now, NULL);
    world->in->ops->end(world->in, world->w);
}

static struct storage_stats stats_of(struct world *world)
{
    struct storage_stats stats;
    storage_stats(world->st, &stats);
    struct storage_stats figures = stats;
    figures.months = NULL;
    storage_stats_release(&stats);
    return figures;
}

/* Returns how many series were registered; *ret_most: in the worst of the seconds. */
static uint64_t put_seconds(struct world *world, int64_t from, int64_t to, uint64_t *ret_most)
{
    uint64_t begin = stats_of(world).registrations_total, before = begin;
    *ret_most = 0;
    for (int64_t now = from; now < to; now += SECOND_MS) {
        put_second(world, now);
        uint64_t total = stats_of(world).registrations_total;
        *ret_most = total - before > *ret_most ? total - before : *ret_most;
        before = total;
    }
    return before - begin;
}

static int count(void *context, const struct series_rows *rows)
{
    (void)rows;
    ++*(size_t *)context;
    return 0;
}

/* Series registered, and series with rows, in [from, to). */
static void expect_series(struct world *world, int64_t from, int64_t to, size_t registered, size_t with_rows)
{
    struct error error;
    size_t series = 0, exported = 0;
    assert_int_equal(storage_flush(world->st, -1, &error), 0);
    struct reader *r = reader_new(world->st);
    assert_int_equal(reader_series(r, NULL, 0, from, to - 1, count, &series, &error), 0);
    assert_int_equal(reader_export(r, NULL, 0, from, to - 1, count, &exported, &error), 0);
    reader_free(r);
    assert_int_equal(series, registered);
    assert_int_equal(exported, with_rows);
}

static void over_an_end(struct world *world, int64_t midnight)
{
    uint64_t most;
    open_world(world);
    clock_set_fake_ms(midnight - HOUR_MS - 60 * SECOND_MS);
    (void)put_seconds(world, midnight - HOUR_MS - 60 * SECOND_MS, midnight - HOUR_MS, &most);
    expect_series(world, midnight, midnight + DAY_MS, 0, 0);
    uint64_t ahead = put_seconds(world, midnight - HOUR_MS, midnight, &most);
    print_message("%llu series registered ahead, at most %llu in a second\n", (unsigned long long)ahead,
                  (unsigned long long)most);
    assert_int_equal(ahead, FLEET);
    if (most > 12)
        fail_msg("%llu of %d series in a second, where 0.6 would be even", (unsigned long long)most, FLEET);
    /* The index has them, as a stock server's has what it made ahead; rows there are none. */
    expect_series(world, midnight, midnight + DAY_MS, FLEET, 0);
    expect_series(world, midnight - DAY_MS, midnight, FLEET, FLEET);
    assert_int_equal(put_seconds(world, midnight, midnight + 60 * SECOND_MS, &most), 0);
    expect_series(world, midnight, midnight + DAY_MS, FLEET, FLEET);
    expect_series(world, midnight + DAY_MS, midnight + 2 * DAY_MS, 0, 0);
    close_world(world);

    /* The next process finds them, each under the same id. */
    open_world(world);
    assert_int_equal(put_seconds(world, midnight + 60 * SECOND_MS, midnight + 80 * SECOND_MS, &most), 0);
    assert_int_equal(stats_of(world).new_series_total, 0);
    close_world(world);
}

static void over_midnight(void **state)
{
    over_an_end(*state, MONTH_END - 3 * DAY_MS);
}

static void over_the_end_of_a_month(void **state)
{
    over_an_end(*state, MONTH_END);
}

/* A stop before midnight leaves a month with an index and no rows; a deletion, one with rows of kind 4. */
static void a_month_without_rows(void **state)
{
    struct world *world = *state;
    uint64_t most;
    clock_set_fake_ms(MONTH_END - 60 * SECOND_MS);
    open_world(world);
    assert_int_equal(put_seconds(world, MONTH_END - 60 * SECOND_MS, MONTH_END - 40 * SECOND_MS, &most),
                     2 * FLEET);
    close_world(world);
    open_world(world);
    expect_series(world, MONTH_END, MONTH_END + DAY_MS, FLEET, 0);
    assert_int_equal(put_seconds(world, MONTH_END, MONTH_END + 20 * SECOND_MS, &most), 0);
    expect_series(world, MONTH_END, MONTH_END + DAY_MS, FLEET, FLEET);
    assert_int_equal(stats_of(world).new_series_total, 0);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(over_midnight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(over_the_end_of_a_month, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_month_without_rows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
