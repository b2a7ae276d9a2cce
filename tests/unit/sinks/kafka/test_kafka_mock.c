/* The whole sink against librdkafka's mock cluster: what a real broker doesn't give on demand, and the
 * ordinary way of a message, without a JVM. What the truth is, tests/real/kafka says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "tests/doubles/batch_catcher.h"

struct fixture {
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
    struct batch_catcher catcher;
    struct sink *sink;
    const char *topic;           /* to subscribe to; NULL: "m" */
    struct label_set *label_set; /* given to the sink */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", why, sizeof why);
    (void)rd_kafka_conf_set(conf, "log_level", "2", why, sizeof why);
    (void)rd_kafka_conf_set(conf, "linger.ms", "1", why, sizeof why);
    f->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(f->producer);
    f->cluster = rd_kafka_handle_mock_cluster(f->producer);
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, "m", 2, 1), 0);
    batch_catcher_init(&f->catcher, "store-a");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    batch_catcher_release(&f->catcher);
    label_set_free(f->label_set);
    rd_kafka_destroy(f->producer);
    free(f);
    return 0;
}

static void start_with(struct fixture *f, const char *static_topic, enum kafka_start_from from)
{
    const char *const topics[] = {f->topic ? f->topic : "m"};
    const struct kafka_static_partition partitions[] = {{static_topic, 0}, {static_topic, 1}};
    const struct kafka_property properties[] = {{"statistics.interval.ms", "200"},
                                                {"fetch.wait.max.ms", "20"},
                                                {"reconnect.backoff.max.ms", "200"},
                                                {"session.timeout.ms", "6000"}};
    struct kafka_sink_options options = {
        .name = "plant",
        .node = "n1",
        .brokers = rd_kafka_mock_cluster_bootstraps(f->cluster),
        .topics = topics,
        .topics_count = static_topic ? 0 : 1,
        .partitions = partitions,
        .partitions_count = static_topic ? 2 : 0,
        .group = "g",
        .decoder = &catcher_decoder,
        .label_set = f->label_set,
        .start_from = from,
        .leave_on_stop = true, /* the mock cluster keeps static members for their session */
        .threads = 1,
        .queue_size = 16 << 20,
        .max_message_size = 100000,
        .properties = properties,
        .properties_count = 4,
    };
    struct error error = {0};
    if (kafka_sink_new(&f->sink, &options, &f->catcher.intake, &error) < 0 ||
        f->sink->ops->start(f->sink, &error) < 0)
        fail_msg("%s", error.message);
}

static void stop(struct fixture *f)
{
    int64_t begun = clock_monotonic_ms();
    f->sink->ops->stop_intake(f->sink);
    assert_true(clock_monotonic_ms() - begun < 1000);
    batch_catcher_commit(&f->catcher);
    f->sink->ops->acknowledge(f->sink);
    f->sink->ops->stop(f->sink);
    assert_true(clock_monotonic_ms() - begun < 5000);
    f->sink->ops->free(f->sink);
}

static void produce(struct fixture *f, int partition, const void *payload, size_t len)
{
    assert_int_equal(rd_kafka_producev(f->producer, RD_KAFKA_V_TOPIC("m"), RD_KAFKA_V_PARTITION(partition),
                                       RD_KAFKA_V_VALUE((void *)payload, len),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                     0);
}

static void produce_numbers(struct fixture *f, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        char text[32];
        produce(f, (int)(i % 2), text, (size_t)snprintf(text, sizeof text, "k%zu", i));
    }
    assert_int_equal(rd_kafka_flush(f->producer, 5000), 0);
}

static void assert_all(struct fixture *f, size_t n)
{
    size_t missing, extra;
    if (!batch_catcher_wait(&f->catcher, n, 30000))
        fail_msg("%zu rows of %zu", batch_catcher_count(&f->catcher), n);
    clock_sleep_ms(200);
    batch_catcher_compare(&f->catcher, "k", n, &missing, &extra);
    assert_int_equal(missing, 0);
    assert_int_equal(extra, 0);
}

static bool metrics_have(struct fixture *f, const char *text)
{
    struct buffer b = {0};
    f->sink->ops->metrics(f->sink, &b);
    bool found = strstr(buffer_cstr(&b), text) != NULL;
    buffer_release(&b);
    return found;
}

static bool wait_for_metric(struct fixture *f, const char *text)
{
    for (int i = 0; i < 300; i++) {
        if (metrics_have(f, text))
            return true;
        clock_sleep_ms(20);
    }
    return false;
}

static void every_message_once_over_restarts(void **state)
{
    struct fixture *f = *state;
    produce_numbers(f, 0, 500);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_all(f, 500);
    assert_true(wait_for_metric(f, "varve_kafka_lag{sink=\"plant\",topic=\"m\",partition=\"1\"} 0"));
    assert_true(metrics_have(f, "varve_sink_messages_total{sink=\"plant\"} 500"));
    assert_true(wait_for_metric(f, "varve_kafka_broker_up"));
    stop(f);
    produce_numbers(f, 500, 900);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_all(f, 900);
    stop(f);
}

static void a_crash_reads_again_what_was_not_durable(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 300);
    assert_all(f, 300);
    batch_catcher_commit(&f->catcher);
    produce_numbers(f, 300, 700);
    assert_all(f, 700);
    f->sink->ops->stop_intake(f->sink);
    f->sink->ops->stop(f->sink);
    f->sink->ops->free(f->sink);
    batch_catcher_crash(&f->catcher);
    assert_int_equal(batch_catcher_count(&f->catcher), 300);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_all(f, 700);
    stop(f);
}

static void bad_messages_cost_themselves_only(void **state)
{
    struct fixture *f = *state;
    char *large = xmalloc(200000);
    memset(large, 'x', 200000);
    produce(f, 0, "!not a metric", 13);
    produce(f, 0, NULL, 0); /* a tombstone */
    produce(f, 0, "", 0);
    produce(f, 0, large, 200000);
    produce(f, 0, "?a line of it", 13);
    produce_numbers(f, 0, 10);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_true(batch_catcher_wait(&f->catcher, 11, 15000));
    assert_true(wait_for_metric(f, "varve_sink_messages_total{sink=\"plant\"} 15"));
    stop(f);
    free(large);
    assert_int_equal(batch_catcher_count(&f->catcher), 11);
    assert_int_equal(f->catcher.rejects_count, 3);
    assert_string_equal(f->catcher.rejects[0].reason, "bad_message");
    assert_string_equal(f->catcher.rejects[0].where, "m/0@0");
    assert_string_equal(f->catcher.rejects[1].reason, "too_large");
    assert_string_equal(f->catcher.rejects[1].where, "m/0@3");
    assert_int_equal(f->catcher.rejects[1].size, 65536);
    assert_int_equal(f->catcher.rejects[1].full_size, 200000);
    assert_string_equal(f->catcher.rejects[2].where, "m/0@4 line 1");
}

static void static_partitions_need_no_subscription(void **state)
{
    struct fixture *f = *state;
    produce_numbers(f, 0, 200);
    start_with(f, "m", KAFKA_START_EARLIEST);
    assert_all(f, 200);
    stop(f);
    produce_numbers(f, 200, 300);
    start_with(f, "m", KAFKA_START_EARLIEST);
    assert_all(f, 300);
    stop(f);
}

static void latest_is_recorded_at_once(void **state)
{
    struct fixture *f = *state;
    struct sink_position position;
    produce_numbers(f, 0, 100);
    start_with(f, NULL, KAFKA_START_LATEST);
    assert_true(wait_for_metric(f, "varve_kafka_partitions_assigned{sink=\"plant\"} 2"));
    assert_true(batch_catcher_position(&f->catcher, "m", 0, false, &position));
    assert_int_equal(position.next, 50);
    stop(f);
    produce_numbers(f, 100, 140); /* while it's away: not to be skipped */
    start_with(f, NULL, KAFKA_START_LATEST);
    assert_true(batch_catcher_wait(&f->catcher, 40, 15000));
    stop(f);
    assert_int_equal(batch_catcher_count(&f->catcher), 40);
}

static void pauses_and_resumes(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 100);
    assert_all(f, 100);
    for (size_t round = 1; round <= 3; round++) {
        atomic_store(&f->catcher.pause_reasons, INTAKE_PAUSE_DISK);
        clock_sleep_ms(250);
        produce_numbers(f, round * 100, round * 100 + 100);
        clock_sleep_ms(400);
        assert_int_equal(batch_catcher_count(&f->catcher), round * 100);
        atomic_store(&f->catcher.pause_reasons, 0);
        assert_all(f, round * 100 + 100);
    }
    stop(f);
}

static void a_refused_hand_over_goes_on_from_the_stores_position(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    for (size_t i = 0; i < 100; i += 2) { /* one partition: the double can't tell sources apart */
        char text[32];
        produce(f, 0, text, (size_t)snprintf(text, sizeof text, "k%zu", i / 2));
        if (i == 50) {
            (void)rd_kafka_flush(f->producer, 5000);
            assert_true(batch_catcher_wait(&f->catcher, 26, 15000));
            atomic_store(&f->catcher.refuse_next, 1);
        }
    }
    (void)rd_kafka_flush(f->producer, 5000);
    assert_all(f, 50);
    assert_true(metrics_have(f, "varve_kafka_hand_overs_refused_total{sink=\"plant\"} 1"));
    stop(f);
}

static void fenced_stops_the_sink(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 20);
    assert_all(f, 20);
    batch_catcher_commit(&f->catcher);
    produce_numbers(f, 20, 30);
    assert_all(f, 30);
    rd_kafka_mock_push_request_errors(f->cluster, 12 /* Heartbeat */, 1,
                                      RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
    assert_true(wait_for_metric(f, "varve_kafka_sink_failed{sink=\"plant\",reason=\"fenced\"} 1"));
    produce_numbers(f, 30, 40);
    clock_sleep_ms(500);
    /* Another process reads what wasn't durable: it must not become so here, too. */
    assert_int_equal(batch_catcher_count(&f->catcher), 20);
    assert_true(f->sink->ops->may_commit(f->sink));
    stop(f);
}

static void no_broker_at_start_nor_at_stop(void **state)
{
    struct fixture *f = *state;
    produce_numbers(f, 0, 20);
    rd_kafka_mock_broker_set_down(f->cluster, 1);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    clock_sleep_ms(1500);
    rd_kafka_mock_broker_set_up(f->cluster, 1);
    assert_all(f, 20);
    batch_catcher_commit(&f->catcher);
    rd_kafka_mock_broker_set_down(f->cluster, 1);
    clock_sleep_ms(300);
    stop(f);
    rd_kafka_mock_broker_set_up(f->cluster, 1);
}

static void transient_errors_lose_nothing(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    rd_kafka_mock_push_request_errors(
        f->cluster, 1 /* Fetch */, 4, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_UNKNOWN);
    rd_kafka_mock_push_request_errors(f->cluster, 8 /* OffsetCommit */, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    produce_numbers(f, 0, 400);
    assert_all(f, 400);
    batch_catcher_commit(&f->catcher);
    f->sink->ops->acknowledge(f->sink);
    produce_numbers(f, 400, 500);
    assert_all(f, 500);
    stop(f);
}

/* At a stop, or when partitions go to another node, there's no next commit that would say it. */
static void a_last_commit_is_tried_again_while_the_group_is_rebalanced(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 40);
    assert_all(f, 40);
    rd_kafka_mock_push_request_errors(
        f->cluster, 8 /* OffsetCommit */, 3, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    stop(f);
    batch_catcher_release(&f->catcher);
    batch_catcher_init(&f->catcher, "store-b"); /* it knows the group's offsets only */
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 40, 41);
    assert_true(batch_catcher_wait(&f->catcher, 1, 30000));
    clock_sleep_ms(500);
    assert_int_equal(batch_catcher_count(&f->catcher), 1);
    stop(f);
}

/* The group is rebalanced while a commit hangs in the disk: what that holds is dropped when it has ended, and
 * nothing is begun before, since positions go back. */
static void a_rebalance_while_a_commit_hangs(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 20);
    assert_all(f, 20);
    batch_catcher_commit(&f->catcher);
    produce_numbers(f, 20, 100);
    assert_all(f, 100);
    atomic_store(&f->catcher.flush_fails, 1);
    atomic_store(&f->catcher.is_commit_under_way, true);
    rd_kafka_mock_push_request_errors(f->cluster, 12 /* Heartbeat */, 1,
                                      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    for (int i = 0; i < 1000 && !atomic_load(&f->catcher.is_discard_due); i++)
        clock_sleep_ms(20);
    assert_true(atomic_load(&f->catcher.is_discard_due));
    produce_numbers(f, 100, 120);
    clock_sleep_ms(4000);
    assert_int_equal(batch_catcher_count(&f->catcher), 100);
    assert_true(f->sink->ops->may_commit(f->sink)); /* the store sees to it */
    atomic_store(&f->catcher.flush_fails, 0);
    batch_catcher_end_commit(&f->catcher);
    assert_all(f, 120);
    stop(f);
}

/* The library gives partitions up when the thread is about to end: nobody polls for the revoke any more. */
static void partitions_that_are_lost_at_a_stop(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 20);
    assert_all(f, 20);
    batch_catcher_commit(&f->catcher);
    produce_numbers(f, 20, 40);
    assert_all(f, 40);
    atomic_store(&((struct kafka_sink *)f->sink)->consumers[0]->discarding, true);
    f->sink->ops->stop_intake(f->sink);
    f->sink->ops->stop(f->sink);
    assert_int_equal(batch_catcher_count(&f->catcher), 20);
    f->sink->ops->free(f->sink);
}

static void unknown_member_rejoins(void **state)
{
    struct fixture *f = *state;
    start_with(f, NULL, KAFKA_START_EARLIEST);
    produce_numbers(f, 0, 50);
    assert_all(f, 50);
    rd_kafka_mock_push_request_errors(f->cluster, 12 /* Heartbeat */, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    clock_sleep_ms(4000); /* the assignment is lost, and comes again when the mock has forgotten the member */
    produce_numbers(f, 50, 100);
    assert_all(f, 100);
    stop(f);
}

static void produce_with(struct fixture *f, const char *payload, const char *key, const char *tenant)
{
    assert_int_equal(rd_kafka_producev(f->producer, RD_KAFKA_V_TOPIC("m"), RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_VALUE((void *)payload, strlen(payload)),
                                       RD_KAFKA_V_KEY((void *)key, key ? strlen(key) : 0),
                                       RD_KAFKA_V_HEADER("tenant", tenant, -1),
                                       RD_KAFKA_V_HEADER("other", "x", -1),
                                       RD_KAFKA_V_TIMESTAMP(INT64_C(1753800000123)),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                     0);
}

static void use_labels(struct fixture *f, const struct label_set_text *texts, size_t count)
{
    struct error error = {0};
    if (label_set_compile(&f->label_set, texts, count, 2, &error) < 0)
        fail_msg("%s", error.message);
}

static void labels_of_key_and_headers_differ_by_message(void **state)
{
    struct fixture *f = *state;
    const struct label_set_text texts[] = {
        {"site", "plant"}, {"all", "<$topic>"}, {"g", "$1"}, {"dev", "$key"}, {"t", "$header:tenant"}};
    use_labels(f, texts, 5);
    f->topic = "^(m+)(x)?$";
    produce_with(f, "k0", "d1", "acme");
    produce_with(f, "k1", NULL, "foo");
    produce(f, 0, "k2", 2);
    rd_kafka_flush(f->producer, 5000);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_all(f, 3);
    stop(f);
    assert_string_equal(f->catcher.rows[0].labels, "site=plant,all=<m>,g=m,dev=d1,t=acme");
    assert_string_equal(f->catcher.rows[1].labels, "site=plant,all=<m>,g=m,t=foo");
    assert_string_equal(f->catcher.rows[2].labels, "site=plant,all=<m>,g=m");
    assert_true(f->catcher.rows[0].time_ms == INT64_C(1753800000123));
}

static void labels_of_the_topic_hold_for_a_partition(void **state)
{
    struct fixture *f = *state;
    const struct label_set_text texts[] = {{"site", "plant"}, {"topic", "$topic"}, {"g", "$1"}, {"h", "$2"}};
    use_labels(f, texts, 4);
    produce_numbers(f, 0, 4);
    start_with(f, NULL, KAFKA_START_EARLIEST);
    assert_all(f, 4);
    stop(f);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(f->catcher.rows[i].labels, "site=plant,topic=m");
}

/* Nearly all of this is waiting for groups to form: "test_kafka_mock 2 4" runs the second fourth, so that the
 * parts can wait at the same time. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(every_message_once_over_restarts),
        TEST(a_crash_reads_again_what_was_not_durable),
        TEST(bad_messages_cost_themselves_only),
        TEST(static_partitions_need_no_subscription),
        TEST(latest_is_recorded_at_once),
        TEST(pauses_and_resumes),
        TEST(a_refused_hand_over_goes_on_from_the_stores_position),
        TEST(fenced_stops_the_sink),
        TEST(no_broker_at_start_nor_at_stop),
        TEST(transient_errors_lose_nothing),
        TEST(labels_of_key_and_headers_differ_by_message),
        TEST(labels_of_the_topic_hold_for_a_partition),
        TEST(unknown_member_rejoins),
        TEST(a_last_commit_is_tried_again_while_the_group_is_rebalanced),
        TEST(a_rebalance_while_a_commit_hangs),
        TEST(partitions_that_are_lost_at_a_stop),
    };
    size_t part = argc == 3 ? strtoul(argv[1], NULL, 10) : 1;
    size_t parts = argc == 3 ? strtoul(argv[2], NULL, 10) : 1;
    if (part < 1 || part > parts)
        return 64;
    struct CMUnitTest mine[sizeof tests / sizeof tests[0]];
    size_t count = 0;
    for (size_t i = part - 1; i < sizeof tests / sizeof tests[0]; i += parts)
        mine[count++] = tests[i];
    return _cmocka_run_group_tests("kafka_mock", mine, count, NULL, NULL);
}
