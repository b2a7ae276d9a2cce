#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/ingest.h"
#include "tests/doubles/fake_storage.h"

/* The key is "name"; a field becomes a label of its own. A field "broken" has no labels. */
static int fake_labels(const struct decode_options *options, struct span key, struct span field,
                       struct label_list *ret, const char **ret_reason)
{
    (void)options;
    if (field.len == 6 && memcmp(field.data, "broken", 6) == 0) {
        *ret_reason = "too_many_labels";
        return ERR_INVALID;
    }
    label_list_add(ret, span_of("__name__", 8), key);
    label_list_add(ret, span_of("field", 5), field);
    return 0;
}

static const struct decoder decoder = {.name = "fake", .labels = fake_labels};

struct fixture {
    struct storage st;
    struct ingest *ing;
    struct intake *in;
    struct intake_worker *w;
    struct sample_batch batch;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    fake_storage_init(&f->st);
    f->ing = ingest_new(&f->st, NULL, 0);
    f->in = ingest_intake(f->ing);
    f->w = f->in->ops->worker_new(f->in, "plant", &decoder, NULL);
}

static void tear_down(struct fixture *f)
{
    f->in->ops->worker_free(f->in, f->w);
    ingest_free(f->ing);
    fake_storage_release(&f->st);
    sample_batch_release(&f->batch);
}

static void add_group(struct sample_batch *b, const char *key)
{
    GROW(b->groups, b->groups_count, b->groups_capacity);
    b->groups[b->groups_count++] =
        (struct sample_group){.key = span_of(key, strlen(key)), .first_sample = b->samples_count};
}

static void add_sample(struct sample_batch *b, const char *field, int64_t timestamp_ms, int64_t value)
{
    GROW(b->samples, b->samples_count, b->samples_capacity);
    b->samples[b->samples_count++] =
        (struct sample){span_of(field, strlen(field)), timestamp_ms, {.mantissa = value}};
    b->groups[b->groups_count - 1].samples_count++;
}

static void deliver(struct fixture *f, int64_t record_time_ms)
{
    f->in->ops->begin(f->in, f->w);
    f->in->ops->deliver(f->in, f->w, &f->batch, record_time_ms, NULL);
    f->in->ops->end(f->in, f->w);
    sample_batch_clear(&f->batch);
}

static uint64_t dropped(struct fixture *f, const char *reason)
{
    struct intake_totals t = {0};
    uint64_t count = 0;
    intake_totals_collect(&t, ingest_counters(f->ing));
    for (size_t i = 0; i < t.dropped_count; i++) {
        if (strcmp(t.dropped[i].reason, reason) == 0)
            count = t.dropped[i].count;
    }
    intake_totals_release(&t);
    return count;
}

static uint64_t rows_total(struct fixture *f)
{
    struct intake_totals t = {0};
    intake_totals_collect(&t, ingest_counters(f->ing));
    uint64_t rows = t.rows;
    assert_int_equal(t.sinks_count, 1);
    assert_string_equal(t.sinks[0].sink_name, "plant");
    intake_totals_release(&t);
    return rows;
}

#define NOON (20000 * DAY_MS + DAY_MS / 2)

static void test_rows_reach_their_series(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    for (int64_t i = 0; i < 3; i++) {
        add_group(&f.batch, "a");
        add_sample(&f.batch, "x", NOON + i, i);
        add_sample(&f.batch, "y", NOON + i, 10 + i);
        add_group(&f.batch, "b");
        add_sample(&f.batch, "x", NOON + i, 20 + i);
        deliver(&f, 1);
    }
    assert_int_equal(f.st.series_calls, 3); /* once each, then from the cache */
    assert_int_equal(f.st.day_calls, 0);
    assert_int_equal(f.st.rows_count, 9);
    assert_string_equal(f.st.series[0], "__name__=a;field=x;");
    assert_string_equal(f.st.series[1], "__name__=a;field=y;");
    assert_string_equal(f.st.series[2], "__name__=b;field=x;");
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(f.st.rows[i].series, i % 3);
        assert_int_equal(f.st.rows[i].timestamp_ms, NOON + (int64_t)i / 3);
        assert_int_equal(f.st.rows[i].value.mantissa, (int64_t)(i % 3) * 10 + (int64_t)i / 3);
    }
    assert_int_equal(rows_total(&f), 9);
    tear_down(&f);
}

static void test_days_are_registered_once(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    static const int days[] = {0, 1, 0, 1, 1, 0, 2, 2};
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        add_group(&f.batch, "a");
        add_sample(&f.batch, "x", NOON + days[i] * DAY_MS, 1);
        deliver(&f, 1);
    }
    assert_int_equal(f.st.series_calls, 1);
    assert_int_equal(f.st.day_calls, 2);
    assert_int_equal(f.st.rows_count, 8);
    /* Both ends of a day, within one message. */
    add_group(&f.batch, "a");
    add_sample(&f.batch, "x", 20010 * DAY_MS, 1);
    add_sample(&f.batch, "x", 20010 * DAY_MS + DAY_MS - 1, 1);
    add_sample(&f.batch, "x", 20011 * DAY_MS, 1);
    deliver(&f, 1);
    assert_int_equal(f.st.day_calls, 4);
    tear_down(&f);
}

static void test_time_limits(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    f.st.min_ms = NOON;
    f.st.max_ms = NOON + DAY_MS;
    add_group(&f.batch, "a");
    static const int64_t times[] = {
        NOON - 1, NOON, NOON + DAY_MS, NOON + DAY_MS + 1, INT64_MIN + 1, INT64_MAX, -1, 0};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        add_sample(&f.batch, "x", times[i], 1);
    deliver(&f, 1);
    assert_int_equal(f.st.rows_count, 2);
    assert_int_equal(dropped(&f, "too_old"), 4);
    assert_int_equal(dropped(&f, "too_new"), 2);

    /* They move with the clock: what begin says holds. */
    f.st.min_ms = NOON + 10;
    add_group(&f.batch, "a");
    add_sample(&f.batch, "x", NOON, 1);
    deliver(&f, 1);
    assert_int_equal(f.st.rows_count, 2);
    assert_int_equal(dropped(&f, "too_old"), 5);
    tear_down(&f);
}

static void test_record_time(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    add_group(&f.batch, "a");
    add_sample(&f.batch, "x", TIMESTAMP_NONE, 1);
    add_sample(&f.batch, "y", NOON + 5, 1);
    f.batch.dropped_nan = 3;
    deliver(&f, NOON + 7);
    assert_int_equal(f.st.rows[0].timestamp_ms, NOON + 7);
    assert_int_equal(f.st.rows[1].timestamp_ms, NOON + 5);
    assert_int_equal(dropped(&f, "nan"), 3);
    tear_down(&f);
}

static void test_refused_series_cost_themselves_only(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    f.st.refuse_value = "huge";
    for (int i = 0; i < 5; i++) {
        add_group(&f.batch, "a");
        add_sample(&f.batch, "broken", NOON, 1);
        add_sample(&f.batch, "huge", NOON, 1);
        add_sample(&f.batch, "x", NOON, 1);
        deliver(&f, 1);
    }
    assert_int_equal(f.st.rows_count, 5);
    assert_int_equal(dropped(&f, "too_many_labels"), 5);
    assert_int_equal(dropped(&f, "too_long_label_value"), 5);
    assert_int_equal(f.st.series_calls, 2); /* refusals are remembered ... */
    f.st.refuse_value = NULL;
    add_group(&f.batch, "a");
    add_sample(&f.batch, "huge", NOON + DAY_MS, 1);
    deliver(&f, 1);
    assert_int_equal(f.st.rows_count, 6); /* ... for a day */
    tear_down(&f);
}

/* The name last, as Influx lines have it. */
static int fake_labels_name_last(const struct decode_options *options, struct span key, struct span field,
                                 struct label_list *ret, const char **ret_reason)
{
    (void)options;
    (void)ret_reason;
    label_list_add(ret, span_of("site", 4), key);
    label_list_add(ret, span_of("__name__", 8), field);
    return 0;
}

/* As stock's extra_label: after the payload's, whose labels of the same name stay (and count), and before a
 * name that is apart. */
static int refused_labels(const struct decode_options *options, struct span key, struct span field,
                          struct label_list *ret, const char **ret_reason)
{
    (void)options, (void)key, (void)field, (void)ret;
    *ret_reason = "too_many_labels";
    return ERR_INVALID;
}

/* A message of 16 MiB may have a key of 8 MiB and a million fields: each would be looked up with all of it.
 */
static void test_lookups_of_a_message_are_bounded(void **unused)
{
    (void)unused;
    static const struct decoder refusing = {.name = "fake", .labels = refused_labels};
    enum { KEY = 8 << 20, FIELDS = 400, LOOKED_UP = (1 << 30) / KEY };
    struct fixture f;
    set_up(&f);
    f.in->ops->worker_free(f.in, f.w);
    f.w = f.in->ops->worker_new(f.in, "plant", &refusing, NULL);
    char *key = xmalloc(KEY + 1), fields[FIELDS][16];
    memset(key, 'k', KEY);
    key[KEY] = '\0';
    add_group(&f.batch, key);
    for (int i = 0; i < FIELDS; i++) {
        snprintf(fields[i], sizeof fields[i], "f%d", i);
        add_sample(&f.batch, fields[i], NOON, i);
    }
    deliver(&f, 0);
    uint64_t looked_up = dropped(&f, "too_many_labels");
    assert_in_range(looked_up, LOOKED_UP - 1, LOOKED_UP + 1);
    assert_int_equal(dropped(&f, "series_names_too_large"), FIELDS - looked_up);
    /* The next message has its own. */
    add_group(&f.batch, "k");
    add_sample(&f.batch, "f", NOON, 1);
    deliver(&f, 0);
    assert_int_equal(dropped(&f, "too_many_labels"), looked_up + 1);
    free(key);
    tear_down(&f);
}

static void test_extra_labels(void **unused)
{
    (void)unused;
    static const struct decoder apart = {
        .name = "fake", .labels = fake_labels_name_last, .name_is_apart = true};
    static const struct decoder plain = {.name = "fake", .labels = fake_labels_name_last};
    const struct label_set_text texts[] = {{"site", "$topic"}, {"__name__", "n"}};
    struct rendered_labels extra = {0};
    struct label_set *set;
    assert_int_equal(label_set_compile(&set, texts, 2, 0, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        set_up(&f);
        struct intake_worker *w = f.in->ops->worker_new(f.in, "plant", i ? &apart : &plain, NULL);
        assert_int_equal(f.st.name_is_apart, i);
        f.in->ops->begin(f.in, w);
        for (size_t k = 0; k < 3; k++) { /* two topics, and the first again */
            const struct message m = {.topic = span_of(k == 1 ? "t2" : "t1", 2)};
            label_set_render(set, &m, &extra);
            add_group(&f.batch, "a");
            add_sample(&f.batch, "x", NOON, 1);
            f.in->ops->deliver(f.in, w, &f.batch, 1, &extra);
            sample_batch_clear(&f.batch);
        }
        f.in->ops->end(f.in, w);
        assert_int_equal(f.st.series_count, 2);
        assert_int_equal(f.st.series_calls, 2);
        assert_string_equal(f.st.series[0], i ? "site=a;site=t1;__name__=n;__name__=x;"
                                              : "site=a;__name__=x;site=t1;__name__=n;");
        assert_string_equal(f.st.series[1], i ? "site=a;site=t2;__name__=n;__name__=x;"
                                              : "site=a;__name__=x;site=t2;__name__=n;");
        f.in->ops->worker_free(f.in, w);
        tear_down(&f);
    }
    rendered_labels_release(&extra);
    label_set_free(set);
}

static void test_positions(void **unused)
{
    (void)unused;
    struct fixture f;
    struct error error;
    set_up(&f);
    const struct intake_ops *ops = f.in->ops;
    struct sink_position pos = {.next = 10, .mark = {1, 2, 3}, .mark_len = 3}, got;
    assert_false(ops->position(f.in, "k", 1, &got));
    ops->begin(f.in, f.w);
    assert_int_equal(ops->hand_over(f.in, f.w, "k", 1, 0, &pos, &error), 0);
    assert_int_equal(ops->hand_over(f.in, f.w, "k", 1, 9, &pos, &error), ERR_INVALID);
    ops->end(f.in, f.w);
    assert_true(ops->position(f.in, "k", 1, &got));
    assert_int_equal(got.next, 10);
    assert_int_equal(got.mark_len, 3);
    assert_memory_equal(got.mark, pos.mark, 3);
    assert_false(ops->durable_position(f.in, "k", 1, &got));
    assert_int_equal(ops->flush(f.in, 1000, &error), 0);
    assert_true(ops->durable_position(f.in, "k", 1, &got));
    assert_int_equal(ops->commit_number(f.in), 1);
    pos.next = 3;
    ops->set_position(f.in, "k", 1, &pos);
    assert_true(ops->position(f.in, "k", 1, &got));
    assert_int_equal(got.next, 3);
    f.st.flush_result = ERR_FULL; /* to a sink that's time that ran out */
    assert_int_equal(ops->flush(f.in, 1000, &error), ERR_CANCELLED);
    tear_down(&f);
}

static void test_pauses(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    assert_int_equal(f.in->ops->paused(f.in), 0);
    assert_true(ingest_set_paused(f.ing, INTAKE_PAUSE_DISK, true));
    assert_false(ingest_set_paused(f.ing, INTAKE_PAUSE_DISK, true));
    assert_true(ingest_set_paused(f.ing, INTAKE_PAUSE_MEMORY, true));
    assert_int_equal(f.in->ops->paused(f.in), INTAKE_PAUSE_DISK | INTAKE_PAUSE_MEMORY);
    assert_true(ingest_set_paused(f.ing, INTAKE_PAUSE_DISK, false));
    assert_int_equal(f.in->ops->paused(f.in), INTAKE_PAUSE_MEMORY);
    tear_down(&f);
}

static void test_counters_outlive_workers(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        add_group(&f.batch, "a");
        add_sample(&f.batch, "x", NOON, 1);
        deliver(&f, 1);
        f.in->ops->begin(f.in, f.w);
        f.in->ops->reject(
            f.in, f.w,
            &(struct rejected){.where = "t/0@1", .reason = "bad_line", .payload = span_of("x", 1)});
        f.in->ops->end(f.in, f.w);
        f.in->ops->worker_free(f.in, f.w);
        f.w = f.in->ops->worker_new(f.in, "plant", &decoder, NULL);
    }
    struct intake_worker *second = f.in->ops->worker_new(f.in, "plant", &decoder, NULL);
    assert_int_equal(rows_total(&f), 3);
    struct intake_totals t = {0};
    intake_totals_collect(&t, ingest_counters(f.ing));
    assert_int_equal(t.rejected_count, 1);
    assert_string_equal(t.rejected[0].reason, "bad_line");
    assert_string_equal(t.rejected[0].sink_name, "plant");
    assert_int_equal(t.rejected[0].count, 3);
    intake_totals_release(&t);
    f.in->ops->worker_free(f.in, second);
    tear_down(&f);
}

static void test_many_reasons(void **unused)
{
    (void)unused;
    static char names[REASONS_MAX + 10][8];
    struct reason_counts r = {};
    for (uint32_t i = 0; i < REASONS_MAX + 10; i++) {
        snprintf(names[i], sizeof names[i], "r%u", i);
        assert_int_equal(reason_index(&r, names[i]), i < REASONS_MAX - 1 ? i : REASONS_MAX - 1);
    }
    assert_string_equal(r.reasons[REASONS_MAX - 1], "other");
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Not a check, a figure: what a known sample costs from the batch to the door of the store. */
static void test_cost_of_a_hit(void **unused)
{
    (void)unused;
    enum { HOSTS = 1000, FIELDS = 100, ROUNDS = 20 };
    struct fixture f;
    static char keys[HOSTS][64], fields[FIELDS][32];
    set_up(&f);
    f.st.keep_rows = false;
    for (int i = 0; i < HOSTS; i++)
        snprintf(keys[i], sizeof keys[i], "machine,host=host-%d,region=eu,rack=r%d", i, i % 40);
    for (int i = 0; i < FIELDS; i++)
        snprintf(fields[i], sizeof fields[i], "usage_field_%d", i);
    uint64_t spent = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < HOSTS; i++) {
            add_group(&f.batch, keys[i]);
            for (int k = 0; k < FIELDS; k++)
                add_sample(&f.batch, fields[k], NOON + round, k);
            if (i % 100 != 99)
                continue;
            uint64_t before = thread_cpu_ns();
            deliver(&f, 1);
            if (round > 0)
                spent += thread_cpu_ns() - before;
        }
    }
    print_message("%.1f ns a sample (cache hit, fake store)\n",
                  (double)spent / (HOSTS * FIELDS * (ROUNDS - 1.0)));
    tear_down(&f);
}

/* After a deletion the names have new handles: those in the cache aren't used any more. */
static void test_handles_of_an_older_generation_are_dropped(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            f.st.series_generation++;
        add_group(&f.batch, "cpu");
        add_sample(&f.batch, "idle", NOON + i, i);
        deliver(&f, 0);
    }
    assert_int_equal(f.st.series_calls, 2);
    assert_int_equal(rows_total(&f), 3);
    tear_down(&f);
}

/* --- the day's last hour --- */

#define MIDNIGHT (20001 * DAY_MS)
#define FLEET    1000

/* A sample of each of `count` series. */
static void put_fleet(struct fixture *f, int count, int64_t timestamp_ms)
{
    static char fields[FLEET][16];
    add_group(&f->batch, "fleet");
    for (int i = 0; i < count; i++) {
        snprintf(fields[i], sizeof fields[i], "f%d", i);
        add_sample(&f->batch, fields[i], timestamp_ms, i);
    }
    deliver(f, 1);
}

/* From `from` to `to`, every ten seconds. Returns the most registrations that ten seconds brought. */
static size_t put_fleet_during(struct fixture *f, int64_t from, int64_t to)
{
    size_t most = 0;
    for (int64_t now = from; now < to; now += 10 * SECOND_MS) {
        size_t before = f->st.day_calls;
        clock_set_fake_ms(now);
        put_fleet(f, FLEET, now);
        size_t calls = f->st.day_calls - before;
        most = calls > most ? calls : most;
    }
    return most;
}

static void test_the_next_day_is_registered_during_the_last_hour(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    assert_int_equal(put_fleet_during(&f, MIDNIGHT - 7200 * SECOND_MS, MIDNIGHT - 3600 * SECOND_MS), 0);
    size_t most = put_fleet_during(&f, MIDNIGHT - 3600 * SECOND_MS, MIDNIGHT - 280 * SECOND_MS);
    assert_int_equal(f.st.day_calls, FLEET); /* each once, and all of them some minutes before */
    if (most > 12)
        fail_msg("%zu of %d series in ten seconds, where 3 would be even", most, FLEET);
    assert_int_equal(put_fleet_during(&f, MIDNIGHT - 280 * SECOND_MS, MIDNIGHT + 600 * SECOND_MS), 0);
    /* What is a day late goes on as ever, also in the last hour. */
    size_t before = f.st.day_calls;
    for (int i = 0; i < 10; i++) {
        put_fleet(&f, 10, MIDNIGHT + DAY_MS - 60 * SECOND_MS + i);
        put_fleet(&f, 10, MIDNIGHT - 60 * SECOND_MS + i);
    }
    assert_int_equal(f.st.day_calls - before, 10); /* the day after the next */
    assert_int_equal(f.st.series_calls, FLEET);
    clock_set_fake_ms(0);
    tear_down(&f);
}

static void test_no_day_is_registered_that_must_not_be(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    f.st.max_ms = MIDNIGHT - 1; /* the fake store checks */
    clock_set_fake_ms(MIDNIGHT - 2 * DAY_MS);
    put_fleet(&f, FLEET, MIDNIGHT - 10);
    put_fleet(&f, FLEET, MIDNIGHT - 1);
    assert_int_equal(f.st.day_calls, 0);
    f.st.max_ms = MIDNIGHT;
    put_fleet(&f, FLEET, MIDNIGHT - 1);
    assert_int_equal(f.st.day_calls, FLEET);
    /* Days long past: of such a stream the last day would be followed by one without samples. */
    clock_set_fake_ms(MIDNIGHT + 1);
    put_fleet(&f, FLEET, MIDNIGHT - DAY_MS - 10); /* the first that isn't past */
    clock_set_fake_ms(MIDNIGHT + DAY_MS + 1);
    size_t before = f.st.day_calls;
    for (int i = 0; i < 3; i++)
        put_fleet(&f, FLEET, MIDNIGHT - 2 * DAY_MS - 10 + i);
    assert_int_equal(f.st.day_calls - before, FLEET); /* that day itself */
    clock_set_fake_ms(0);
    tear_down(&f);
}

static void test_refused_and_deleted_series_in_the_last_hour(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    clock_set_fake_ms(MIDNIGHT - 10);
    for (int i = 0; i < 3; i++) {
        add_group(&f.batch, "cpu");
        add_sample(&f.batch, "idle", MIDNIGHT - 10 + i, i);
        add_sample(&f.batch, "broken", MIDNIGHT - 10 + i, i);
        if (i == 2)
            f.st.series_generation++;
        deliver(&f, 0);
    }
    assert_int_equal(f.st.series_calls, 2);
    assert_int_equal(f.st.day_calls, 2); /* the new handle's as well */
    assert_int_equal(rows_total(&f), 3);
    assert_int_equal(dropped(&f, "too_many_labels"), 3);
    add_group(&f.batch, "cpu");
    add_sample(&f.batch, "idle", MIDNIGHT, 3);
    add_sample(&f.batch, "broken", MIDNIGHT, 3);
    deliver(&f, 0);
    assert_int_equal(f.st.day_calls, 2);
    assert_int_equal(dropped(&f, "too_many_labels"), 4);
    clock_set_fake_ms(0);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_reach_their_series),
        cmocka_unit_test(test_days_are_registered_once),
        cmocka_unit_test(test_time_limits),
        cmocka_unit_test(test_record_time),
        cmocka_unit_test(test_refused_series_cost_themselves_only),
        cmocka_unit_test(test_lookups_of_a_message_are_bounded),
        cmocka_unit_test(test_extra_labels),
        cmocka_unit_test(test_handles_of_an_older_generation_are_dropped),
        cmocka_unit_test(test_the_next_day_is_registered_during_the_last_hour),
        cmocka_unit_test(test_no_day_is_registered_that_must_not_be),
        cmocka_unit_test(test_refused_and_deleted_series_in_the_last_hour),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_counters_outlive_workers),
        cmocka_unit_test(test_many_reasons),
        cmocka_unit_test(test_cost_of_a_hit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
