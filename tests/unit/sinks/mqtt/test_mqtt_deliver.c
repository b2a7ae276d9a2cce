/* From the spool to the intake: what the store refuses, or gives up again because of another source, is read
 * again from the store's position. No broker is there: the spool is filled beforehand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/buffer.h"
#include "src/base/clock.h"
#include "tests/doubles/batch_catcher.h"

#define MESSAGES    500
#define SPOOL_BYTES (1 << 20)
/* Long, so that the messages take several segments. */
#define TOPIC "a/a topic of two hundred bytes: " FORTY FORTY FORTY FORTY
#define FORTY "0123456789 0123456789 0123456789 0123456"

struct world {
    char dir[64];
    struct batch_catcher catcher;
    struct sink *sink;
};

/* Messages m0 .. m(count-1), durable, in several groups. */
static void fill(struct world *w, unsigned count)
{
    struct spool_options options = {.path = w->dir, .max_bytes = SPOOL_BYTES};
    struct spool *spool;
    struct error error = {0};
    if (spool_open(&spool, &options, &error) < 0)
        fail_msg("%s", error.message);
    for (unsigned i = 0; i < count; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "m%u", i);
        struct spool_record r = {.arrival_ms = 1000 + i,
                                 .packet_id = 1,
                                 .qos = 1,
                                 .topic = span_of(TOPIC, strlen(TOPIC)),
                                 .payload = span_of(text, len)};
        uint64_t lsn;
        assert_int_equal(spool_append(spool, &r, false, &lsn), 0);
        if (i % 50 == 49)
            assert_int_equal(spool_commit(spool, &error), 0);
    }
    assert_int_equal(spool_commit(spool, &error), 0);
    spool_close(spool);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct mqtt_subscription_options subscription = {.filter = "a/+", .qos = 1, .decoder = &catcher_decoder};
    struct mqtt_sink_options options = {.name = "edge",
                                        .broker = "mqtt://127.0.0.1:1",
                                        .client_id = "varve",
                                        .version = MQTT_VERSION_5,
                                        .keepalive_s = 30,
                                        .receive_maximum = 1000,
                                        .session_expiry_s = 3600,
                                        .max_packet_size = 64 << 10,
                                        .spool_path = w->dir,
                                        .spool_max_bytes = SPOOL_BYTES,
                                        .subscriptions = &subscription,
                                        .subscriptions_count = 1};
    struct error error = {0};
    snprintf(w->dir, sizeof w->dir, "/tmp/test_mqtt_deliver.XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    batch_catcher_init(&w->catcher, "store");
    if (mqtt_sink_new(&w->sink, &options, &w->catcher.intake, &error) < 0)
        return -1;
    fill(w, MESSAGES);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    w->sink->ops->stop_intake(w->sink);
    w->sink->ops->stop(w->sink);
    w->sink->ops->free(w->sink);
    batch_catcher_release(&w->catcher);
    DIR *d = opendir(w->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    int r = rmdir(w->dir);
    free(w);
    return r;
}

static void start(struct world *w)
{
    struct error error = {0};
    if (w->sink->ops->start(w->sink, &error) < 0)
        fail_msg("%s", error.message);
}

/* Each message is there, once. */
static void assert_all(struct world *w, int64_t timeout_ms)
{
    size_t missing, extra;
    (void)batch_catcher_wait(&w->catcher, MESSAGES, timeout_ms);
    batch_catcher_compare(&w->catcher, "m", MESSAGES, &missing, &extra);
    if (missing || extra)
        fail_msg("missing %zu, extra %zu of %d", missing, extra, MESSAGES);
}

static uint64_t refused(struct world *w)
{
    return atomic_load(&mqtt_sink_of(w->sink)->hand_overs_refused);
}

static void discard(struct world *w)
{
    struct error error = {0};
    assert_int_equal(w->catcher.intake.ops->discard(&w->catcher.intake, 1000, &error), 0);
}

static void test_refused_hand_over_is_read_again(void **state)
{
    struct world *w = *state;
    atomic_store(&w->catcher.refuse_next, 1);
    start(w);
    assert_all(w, 10000);
    assert_int_equal(refused(w), 1);
}

/* The intake gives up what isn't durable (a Kafka partition was lost), while no message comes: nothing but
 * the sink itself sees to it that the spool is read again. */
static void test_discarded_rows_are_read_again_at_rest(void **state)
{
    struct world *w = *state;
    struct sink_position p = {.next = 101};
    char key[64];
    start(w);
    assert_all(w, 10000);
    /* The first hundred are durable. */
    snprintf(key, sizeof key, "%s", mqtt_sink_of(w->sink)->key);
    w->catcher.intake.ops->set_position(&w->catcher.intake, key, (uint32_t)strlen(key), &p);
    batch_catcher_commit(&w->catcher);
    w->catcher.rows_durable = 100;
    discard(w);
    assert_int_equal(batch_catcher_count(&w->catcher), 100);
    assert_all(w, 10000);
}

/* As above, before the first commit: the store doesn't know the spool any longer. */
static void test_discarded_before_the_first_commit(void **state)
{
    struct world *w = *state;
    start(w);
    assert_all(w, 10000);
    discard(w);
    assert_int_equal(batch_catcher_count(&w->catcher), 0);
    assert_all(w, 10000);
}

/* Of a message that was too large for the spool there's only the head. */
static void test_a_cut_message_is_rejected(void **state)
{
    struct world *w = *state;
    struct spool_options options = {.path = w->dir, .max_bytes = SPOOL_BYTES};
    struct spool_record r = {.arrival_ms = 1,
                             .packet_id = 1,
                             .qos = 1,
                             .cut_from = 9000000,
                             .topic = span_of("a/x", 3),
                             .payload = span_of("head", 4)};
    struct spool *spool;
    uint64_t lsn;
    assert_int_equal(spool_open(&spool, &options, NULL), 0);
    assert_int_equal(spool_append(spool, &r, false, &lsn), 0);
    assert_int_equal(spool_commit(spool, NULL), 0);
    spool_close(spool);
    start(w);
    assert_all(w, 10000);
    for (int i = 0; i < 500 && atomic_load(&mqtt_sink_of(w->sink)->messages) <= MESSAGES; i++)
        clock_sleep_ms(10);
    w->sink->ops->stop_intake(w->sink);
    assert_int_equal(w->catcher.rejects_count, 1);
    assert_string_equal(w->catcher.rejects[0].reason, "too_large");
    assert_int_equal(w->catcher.rejects[0].size, 4);
    assert_int_equal(w->catcher.rejects[0].full_size, 9000000);
}

/* A spool put back from a copy, which went on differently: the store's position isn't about it. It's read
 * from its first message, and none goes before it's stored, though the store says for a while that it has
 * them. */
static void test_another_spool_of_that_id(void **state)
{
    struct world *w = *state;
    struct spool_options options = {.path = w->dir, .max_bytes = SPOOL_BYTES};
    struct sink_position p = {.next = 401, .mark = "another one", .mark_len = 12};
    struct mqtt_sink *s = mqtt_sink_of(w->sink);
    struct intake *in = &w->catcher.intake;
    struct spool_stats stats;
    struct spool *spool;
    char key[64];
    assert_int_equal(spool_open(&spool, &options, NULL), 0);
    int len = snprintf(key, sizeof key, "edge/mqtt/%s", spool_id(spool));
    spool_close(spool);
    in->ops->set_position(in, key, (uint32_t)len, &p);
    batch_catcher_commit(&w->catcher);
    w->sink->ops->acknowledge(w->sink); /* not started yet: nothing happens */
    atomic_store(&w->catcher.pause_reasons, INTAKE_PAUSE_DISK);
    start(w);
    w->sink->ops->acknowledge(w->sink);
    spool_get_stats(s->spool, &stats);
    assert_int_equal(stats.first_lsn, 1);
    atomic_store(&w->catcher.pause_reasons, 0);
    assert_all(w, 10000);
    batch_catcher_commit(&w->catcher);
    w->sink->ops->acknowledge(w->sink);
    spool_get_stats(s->spool, &stats);
    assert_true(stats.first_lsn > 1);
}

/* `varve offsets reset` leaves a number without a mark, or nothing at all. */
static void begin_at(struct world *w, uint64_t next)
{
    struct spool_options options = {.path = w->dir, .max_bytes = SPOOL_BYTES};
    struct intake *in = &w->catcher.intake;
    struct sink_position p = {.next = next};
    struct spool *spool;
    char key[64];
    assert_int_equal(spool_open(&spool, &options, NULL), 0);
    int len = snprintf(key, sizeof key, "edge/mqtt/%s", spool_id(spool));
    spool_close(spool);
    in->ops->set_position(in, key, (uint32_t)len, &p);
    batch_catcher_commit(&w->catcher);
    start(w);
}

static void assert_rows(struct world *w, size_t count, const char *first)
{
    (void)batch_catcher_wait(&w->catcher, count, 10000);
    clock_sleep_ms(200);
    assert_int_equal(batch_catcher_count(&w->catcher), count);
    assert_string_equal(w->catcher.rows[0].key, first);
}

static void test_an_operator_sets_the_position(void **state)
{
    struct world *w = *state;
    begin_at(w, 401);
    assert_rows(w, MESSAGES - 400, "m400");
}

/* Beyond what the spool holds: what comes is numbered from there on. */
static void test_an_operator_skips_the_spool(void **state)
{
    struct world *w = *state;
    struct spool_record r = {.arrival_ms = 1,
                             .packet_id = 1,
                             .qos = 1,
                             .topic = span_of("a/x", 3),
                             .payload = span_of("later", 5)};
    uint64_t lsn;
    begin_at(w, 100000);
    clock_sleep_ms(200);
    assert_int_equal(batch_catcher_count(&w->catcher), 0);
    assert_int_equal(spool_append(mqtt_sink_of(w->sink)->spool, &r, false, &lsn), 0);
    assert_int_equal(lsn, 100000);
    assert_rows(w, 1, "later");
}

/* Back to messages that were trimmed away: that's said, and the first one there is comes next. */
static void test_an_operator_goes_back_too_far(void **state)
{
    struct world *w = *state;
    struct spool_options options = {.path = w->dir, .max_bytes = SPOOL_BYTES};
    struct spool_stats stats;
    struct spool *spool;
    char first[16];
    assert_int_equal(spool_open(&spool, &options, NULL), 0);
    spool_trim(spool, 450);
    spool_get_stats(spool, &stats);
    spool_close(spool);
    assert_true(stats.first_lsn > 10 && stats.first_lsn <= 450);
    begin_at(w, 10);
    (void)snprintf(first, sizeof first, "m%u", (unsigned)stats.first_lsn - 1);
    assert_rows(w, MESSAGES - (stats.first_lsn - 1), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_hand_over_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discarded_rows_are_read_again_at_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discarded_before_the_first_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_spool_of_that_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_operator_sets_the_position, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_operator_skips_the_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_operator_goes_back_too_far, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cut_message_is_rejected, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
