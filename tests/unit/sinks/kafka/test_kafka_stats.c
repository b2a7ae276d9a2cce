#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/kafka_stats.h"

/* Shortened from what librdkafka 2.0.2 prints. */
static const char sample[] = "{ \"name\": \"varve#consumer-1\", \"client_id\": \"va\\\"r}ve\", \"type\": "
                             "\"consumer\", \"replyq\":12, \"tx\":98, "
                             "\"rx_bytes\":123456789012, \"rxmsgs\":77, \"simple_cnt\":0, \"brokers\":{ "
                             "\"127.0.0.1:9092/bootstrap\": { "
                             "\"name\":\"127.0.0.1:9092/bootstrap\", \"nodeid\":-1, "
                             "\"nodename\":\"127.0.0.1:9092\", \"source\":\"configured\", "
                             "\"state\":\"UP\", \"rtt\": { \"min\":1, \"max\":2, \"avg\":1500, \"hist\": [1, "
                             "2] }, \"req\": { \"Fetch\":3 } } , "
                             "\"127.0.0.1:9092/1\": { \"name\":\"127.0.0.1:9092/1\", "
                             "\"nodename\":\"127.0.0.1:9092\", \"source\":\"learned\", "
                             "\"state\":\"INIT\", \"rtt\": { \"avg\":0 } } , \"k2:9092/2\": { "
                             "\"nodename\":\"k2:9092\", \"state\":\"DOWN\", "
                             "\"source\":\"learned\" } , \"GroupCoordinator\": { "
                             "\"nodename\":\"127.0.0.1:9092\", \"source\":\"logical\", "
                             "\"state\":\"UP\" } }, \"topics\":{ \"m\": { \"partitions\":{ \"0\": { "
                             "\"partition\":0, \"hi_offset\":-1001 } } } } , "
                             "\"cgrp\": { \"state\": \"up\" } }";

static void takes_what_it_needs(void **state)
{
    (void)state;
    struct kafka_stats stats = {0};
    for (int again = 0; again < 2; again++) {
        assert_true(kafka_stats_parse(sample, sizeof sample - 1, &stats));
        assert_int_equal(stats.queued, 12);
        assert_int_equal(stats.requests, 98);
        assert_int_equal(stats.rx_bytes, 123456789012);
        assert_int_equal(stats.rx_messages, 77);
        assert_int_equal(stats.brokers_count, 2);
        assert_string_equal(stats.brokers[0].name, "127.0.0.1:9092");
        assert_true(stats.brokers[0].up);
        assert_int_equal(stats.brokers[0].rtt_avg_us, 1500);
        assert_string_equal(stats.brokers[1].name, "k2:9092");
        assert_false(stats.brokers[1].up);
    }
    kafka_stats_release(&stats);
}

static bool moved(const char *coordinator, const char *broker)
{
    struct kafka_stats stats = {0};
    char json[1000];
    int len =
        snprintf(json, sizeof json,
                 "{\"brokers\":{\"a\":{\"nodeid\":-1,\"nodename\":\"old:9092\",\"source\":\"configured\","
                 "\"state\":\"DOWN\"},\"GroupCoordinator\":{%s,\"source\":\"logical\"},\"b\":{%s,"
                 "\"source\":\"learned\"}}}",
                 coordinator, broker);
    assert_true(kafka_stats_parse(json, (size_t)len, &stats));
    bool result = stats.coordinator_moved;
    kafka_stats_release(&stats);
    return result;
}

static void knows_a_coordinator_that_moved(void **state)
{
    (void)state;
    const char up[] = "\"nodeid\":1,\"nodename\":\"new:9092\",\"state\":\"UP\"";
    assert_true(moved("\"nodeid\":1,\"nodename\":\"old:9092\",\"state\":\"TRY_CONNECT\"", up));
    /* the address is the same; connected after all; another broker; none known; its broker is away, too */
    assert_false(moved("\"nodeid\":1,\"nodename\":\"new:9092\",\"state\":\"TRY_CONNECT\"", up));
    assert_false(moved("\"nodeid\":1,\"nodename\":\"old:9092\",\"state\":\"UP\"", up));
    assert_false(moved("\"nodeid\":2,\"nodename\":\"old:9092\",\"state\":\"DOWN\"", up));
    assert_false(moved("\"nodeid\":-1,\"nodename\":\"\",\"state\":\"INIT\"", up));
    assert_false(moved("\"nodeid\":1,\"nodename\":\"old:9092\",\"state\":\"DOWN\"",
                       "\"nodeid\":1,\"nodename\":\"new:9092\",\"state\":\"DOWN\""));
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct kafka_stats stats = {0};
    for (size_t len = 0; len < sizeof sample - 1; len++)
        assert_false(kafka_stats_parse(sample, len, &stats));
    kafka_stats_release(&stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_it_needs),
        cmocka_unit_test(knows_a_coordinator_that_moved),
        cmocka_unit_test(every_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
