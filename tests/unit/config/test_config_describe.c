#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config/config_describe.h"

static char *describe(const char *yaml)
{
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    struct buffer text = {0};
    if (config_read_text(&cfg, "t", yaml, strlen(yaml), NULL, &errors) < 0) {
        config_errors_print(&errors, stderr);
        fail();
    }
    config_describe(cfg, &text);
    config_free(cfg);
    buffer_cstr(&text);
    return (char *)text.data;
}

static void test_all_of_it(void **state)
{
    (void)state;
    assert_int_equal(setenv("VARVE_TEST_PASSWORD", "hunter2", 1), 0);
    char *text = describe(
        "node: edge-1\n"
        "storage: {path: /s, merge_workers: 2}\n"
        "sinks:\n"
        "- {name: plant, type: kafka, brokers: [k1:9092, k2:9092], topics: [metrics, \"^edge\\\\.(.*)\"],\n"
        "   group: g, format: influx, librdkafka: {sasl.username: u, sasl.password: "
        "\"%{VARVE_TEST_PASSWORD}\"}}\n"
        "- {name: edge, type: kafka, brokers: [k1:9092], partitions: {m: [0, 1], n: [2]}, group: h,\n"
        "   format: influx, start_from: 2026-11-01T00:00:00Z, on_topic_recreated: earliest,\n"
        "   on_out_of_range: stop, leave_on_stop: true, timestamp: record, precision: ms}\n"
        "http: {listen: [127.0.0.1:1, \"[::1]:2\"], auth: {username: admin, password: clear}}\n");
    static const char expected[] =
        "node edge-1\n"
        "store /s\n"
        "  retention           13M: older samples are refused, and deleted\n"
        "  flush_interval      5s: this often rows go to disk and offsets are committed\n"
        "  min_free_disk       256MiB: with less, intake pauses; queries go on\n"
        "  memory_limit        60% of the cgroup's or machine's memory: at it, intake pauses\n"
        "  merge_workers       2 for small parts, 2 for big ones\n"
        "  trust_clock         false: intake waits while the system clock is implausible\n"
        "\n"
        "sink plant: kafka\n"
        "  brokers             k1:9092, k2:9092\n"
        "  topics              metrics, ^edge\\.(.*) (expression)\n"
        "  group               g\n"
        "  format              influx\n"
        "  timestamp           payload: its own, or the record's if it has none\n"
        "  precision           auto: by a timestamp's digits\n"
        "  start_from          earliest, where no position is known\n"
        "  on_topic_recreated  stop: that partition stands still until someone decides\n"
        "  on_out_of_range     earliest: reading goes on there, the gap is counted\n"
        "  leave_on_stop       false: a restart moves no partition\n"
        "  threads             1\n"
        "  queue_size          64MiB fetched but not decoded\n"
        "  max_message_size    16MiB: larger messages go to the rejects\n"
        "  librdkafka          sasl.username = u\n"
        "                      sasl.password = ***\n"
        "\n"
        "sink edge: kafka\n"
        "  brokers             k1:9092\n"
        "  partitions          static: m [0, 1]; n [2]\n"
        "  group               h\n"
        "  format              influx\n"
        "  timestamp           record: Kafka's, whatever the payload says\n"
        "  precision           ms: timestamps are milliseconds\n"
        "  start_from          2026-11-01T00:00:00Z, where no position is known\n"
        "  on_topic_recreated  earliest: the new topic is read from its start\n"
        "  on_out_of_range     stop: that partition stands still until someone decides\n"
        "  leave_on_stop       true: a clean stop leaves the group, others take over at once\n"
        "  threads             1\n"
        "  queue_size          64MiB fetched but not decoded\n"
        "  max_message_size    16MiB: larger messages go to the rejects\n"
        "  librdkafka          no properties\n"
        "\n"
        "rejects\n"
        "  path                /s/varve/rejects\n"
        "  max_size            256MiB: beyond it the oldest go, and are counted\n"
        "\n"
        "http\n"
        "  listen              127.0.0.1:1\n"
        "                      [::1]:2\n"
        "  auth                user admin, password ***: needed to change state from other machines\n"
        "\n"
        "log\n"
        "  level               info\n"
        "  format              auto: the journal's fields under systemd, else text\n";
    assert_string_equal(text, expected);
    free(text);
}

static void test_little_of_it(void **state)
{
    (void)state;
    char *text = describe("storage: {path: /s, memory_limit: 1GiB}\nhttp: {listen: []}\n");
    assert_non_null(strstr(text, "\nno sinks: nothing is taken in\n"));
    assert_non_null(strstr(text, "\n  memory_limit        1GiB: at it, intake pauses\n"));
    assert_non_null(strstr(text, "\nhttp\n  listen              off\n\nlog\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_little_of_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
