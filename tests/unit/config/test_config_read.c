/* Good configurations, and what they become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

#define STORAGE "storage: {path: /var/lib/varve}\n"

static struct config *read_text(const char *text)
{
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    if (config_read_text(&cfg, "t", text, strlen(text), NULL, &errors) < 0) {
        config_errors_print(&errors, stderr);
        fail();
    }
    assert_int_equal(errors.count, 0);
    return cfg;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *cfg = read_text(STORAGE);
    char host_name[256];
    assert_int_equal(gethostname(host_name, sizeof host_name), 0);
    assert_string_equal(cfg->node, host_name);
    assert_string_equal(cfg->storage.path, "/var/lib/varve");
    assert_int_equal(cfg->storage.retention_ms, 13 * INT64_C(31) * 86400000);
    assert_int_equal(cfg->storage.flush_interval_ms, 5000);
    assert_int_equal(cfg->storage.min_free_disk_bytes, 256 << 20);
    assert_int_equal(cfg->storage.memory_limit.percent, 60);
    assert_int_equal(cfg->storage.merge_workers_count, 0);
    assert_false(cfg->storage.trust_clock);
    assert_int_equal(cfg->sinks_count, 0);
    assert_string_equal(cfg->rejects.path, "/var/lib/varve/varve/rejects");
    assert_int_equal(cfg->rejects.max_size_bytes, 256 << 20);
    assert_int_equal(cfg->http.listen_count, 1);
    assert_string_equal(cfg->http.listen[0].text, "127.0.0.1:8475");
    assert_string_equal(cfg->http.listen[0].host, "127.0.0.1");
    assert_int_equal(cfg->http.listen[0].port, 8475);
    assert_string_equal(cfg->http.username, "");
    assert_string_equal(cfg->http.password, "");
    assert_int_equal(cfg->log.level, LOG_LEVEL_INFO);
    assert_int_equal(cfg->log.format, LOG_FORMAT_AUTO);
    config_free(cfg);
}

static void test_a_sink_s_defaults(void **state)
{
    (void)state;
    struct config *cfg = read_text(STORAGE "sinks:\n"
                                           "  - name: plant\n"
                                           "    type: kafka\n"
                                           "    brokers: [k1:9092, k2]\n"
                                           "    topics: [metrics, \"^edge\\\\.(.*)\"]\n"
                                           "    group: varve-plant\n"
                                           "    format: influx\n");
    assert_int_equal(cfg->sinks_count, 1);
    const struct config_sink *sink = &cfg->sinks[0];
    assert_string_equal(sink->name, "plant");
    assert_int_equal(sink->type, CONFIG_SINK_KAFKA);
    assert_int_equal(sink->brokers.count, 2);
    assert_string_equal(sink->brokers.items[0], "k1:9092");
    assert_string_equal(sink->brokers.items[1], "k2");
    assert_int_equal(sink->topics.count, 2);
    assert_string_equal(sink->topics.items[0], "metrics");
    assert_string_equal(sink->topics.items[1], "^edge\\.(.*)");
    assert_int_equal(sink->partitions_count, 0);
    assert_string_equal(sink->group, "varve-plant");
    assert_string_equal(sink->format, "influx");
    assert_int_equal(sink->start_from.at, CONFIG_START_EARLIEST);
    assert_int_equal(sink->on_topic_recreated, CONFIG_RECREATED_STOP);
    assert_int_equal(sink->on_out_of_range, CONFIG_OUT_OF_RANGE_EARLIEST);
    assert_false(sink->leave_on_stop);
    assert_false(sink->fenced_commits);
    assert_int_equal(sink->threads_count, 1);
    assert_int_equal(sink->queue_size_bytes, 64 << 20);
    assert_int_equal(sink->max_message_size_bytes, 16 << 20);
    assert_int_equal(sink->timestamp_from, CONFIG_TIMESTAMP_PAYLOAD);
    assert_int_equal(sink->precision, CONFIG_PRECISION_AUTO);
    assert_int_equal(sink->librdkafka_count, 0);
    config_free(cfg);
}

static void test_every_value(void **state)
{
    (void)state;
    struct config *cfg =
        read_text("node: Edge-1.site_2\n"
                  "storage:\n"
                  "  path: /data/store/\n"
                  "  retention: 1y\n"
                  "  flush_interval: 100ms\n"
                  "  min_free_disk: 0\n"
                  "  memory_limit: 2GiB\n"
                  "  merge_workers: 3\n"
                  "  trust_clock: true\n"
                  "sinks:\n"
                  "- name: a_1-b\n"
                  "  type: kafka\n"
                  "  brokers:\n"
                  "  - SASL_SSL://k1.example:9093\n"
                  "  - '[::1]:9092'\n"
                  "  partitions:\n"
                  "    metrics: [2, 0]\n"
                  "    'a.b': [7]\n"
                  "  group: g 1\n"
                  "  format: \"influx\"\n"
                  "  start_from: 2026-11-01T00:00:00Z\n"
                  "  on_topic_recreated: earliest\n"
                  "  on_out_of_range: stop\n"
                  "  leave_on_stop: true\n"
                  "  threads: 4\n"
                  "  queue_size: 128MiB\n"
                  "  max_message_size: 1MB\n"
                  "  timestamp: record\n"
                  "  precision: ns\n"
                  "  librdkafka:\n"
                  "    security.protocol: SASL_SSL\n"
                  "    socket.timeout.ms: 6000\n"
                  "    enable.ssl.certificate.verification: true\n"
                  "    client.rack: \"\"\n"
                  "- {name: b, type: kafka, brokers: [b], topics: [t], group: g2, format: influx, "
                  "start_from: latest, fenced_commits: true}\n"
                  "rejects: {path: /data/rejects, max_size: 1GiB}\n"
                  "http:\n"
                  "  listen: [\"[::]:80\", \"localhost:8475\"]\n"
                  "  auth: {username: admin, password: \"p:w\"}\n"
                  "log: {level: debug, format: json}\n");
    assert_string_equal(cfg->node, "Edge-1.site_2");
    assert_string_equal(cfg->storage.path, "/data/store/");
    assert_int_equal(cfg->storage.retention_ms, INT64_C(365) * 86400000);
    assert_int_equal(cfg->storage.flush_interval_ms, 100);
    assert_int_equal(cfg->storage.min_free_disk_bytes, 0);
    assert_int_equal(cfg->storage.memory_limit.percent, 0);
    assert_int_equal(cfg->storage.memory_limit.bytes, UINT64_C(2) << 30);
    assert_int_equal(cfg->storage.merge_workers_count, 3);
    assert_true(cfg->storage.trust_clock);
    assert_int_equal(cfg->sinks_count, 2);
    const struct config_sink *sink = &cfg->sinks[0];
    assert_string_equal(sink->name, "a_1-b");
    assert_string_equal(sink->brokers.items[1], "[::1]:9092");
    assert_int_equal(sink->topics.count, 0);
    assert_int_equal(sink->partitions_count, 2);
    assert_string_equal(sink->partitions[0].topic, "metrics");
    assert_int_equal(sink->partitions[0].count, 2);
    assert_int_equal(sink->partitions[0].partitions[0], 2);
    assert_int_equal(sink->partitions[0].partitions[1], 0);
    assert_string_equal(sink->partitions[1].topic, "a.b");
    assert_int_equal(sink->partitions[1].partitions[0], 7);
    assert_string_equal(sink->group, "g 1");
    assert_int_equal(sink->start_from.at, CONFIG_START_TIME);
    assert_int_equal(sink->start_from.time_ms, INT64_C(1793491200000));
    assert_int_equal(sink->on_topic_recreated, CONFIG_RECREATED_EARLIEST);
    assert_int_equal(sink->on_out_of_range, CONFIG_OUT_OF_RANGE_STOP);
    assert_true(sink->leave_on_stop);
    assert_false(sink->fenced_commits);
    assert_true(cfg->sinks[1].fenced_commits);
    assert_int_equal(sink->threads_count, 4);
    assert_int_equal(sink->queue_size_bytes, 128 << 20);
    assert_int_equal(sink->max_message_size_bytes, 1000000);
    assert_int_equal(sink->timestamp_from, CONFIG_TIMESTAMP_RECORD);
    assert_int_equal(sink->precision, CONFIG_PRECISION_NS);
    assert_int_equal(sink->librdkafka_count, 4);
    assert_string_equal(sink->librdkafka[1].key, "socket.timeout.ms");
    assert_string_equal(sink->librdkafka[1].value, "6000");
    assert_string_equal(sink->librdkafka[2].value, "true");
    assert_string_equal(sink->librdkafka[3].value, "");
    assert_int_equal(cfg->sinks[1].start_from.at, CONFIG_START_LATEST);
    assert_string_equal(cfg->rejects.path, "/data/rejects");
    assert_int_equal(cfg->rejects.max_size_bytes, 1 << 30);
    assert_int_equal(cfg->http.listen_count, 2);
    assert_string_equal(cfg->http.listen[0].host, "::");
    assert_int_equal(cfg->http.listen[0].port, 80);
    assert_string_equal(cfg->http.listen[1].host, "127.0.0.1");
    assert_string_equal(cfg->http.username, "admin");
    assert_string_equal(cfg->http.password, "p:w");
    assert_int_equal(cfg->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(cfg->log.format, LOG_FORMAT_JSON);
    config_free(cfg);
}

/* Mappings and lists whose content is commented out are as good as absent. */
static void test_empty_sections(void **state)
{
    (void)state;
    struct config *cfg = read_text(STORAGE "sinks:\nrejects:\nhttp:\n  listen: []\n  auth:\nlog: ~\n");
    assert_int_equal(cfg->sinks_count, 0);
    assert_int_equal(cfg->http.listen_count, 0);
    assert_string_equal(cfg->http.username, "");
    assert_int_equal(cfg->log.level, LOG_LEVEL_INFO);
    config_free(cfg);
    cfg = read_text(STORAGE "sinks: []\nhttp: {}\n");
    assert_int_equal(cfg->sinks_count, 0);
    assert_int_equal(cfg->http.listen_count, 1);
    config_free(cfg);
}

static void test_aliases_share_a_value(void **state)
{
    (void)state;
    struct config *cfg = read_text(STORAGE "sinks:\n"
                                           "- {name: a, type: kafka, brokers: &brokers [b], topics: [t], "
                                           "group: g1, format: influx, librdkafka: &tls "
                                           "{security.protocol: SSL}}\n"
                                           "- {name: b, type: kafka, brokers: *brokers, topics: [t], group: "
                                           "g2, format: influx, librdkafka: *tls}\n");
    assert_string_equal(cfg->sinks[1].brokers.items[0], "b");
    assert_string_equal(cfg->sinks[1].librdkafka[0].value, "SSL");
    config_free(cfg);
}

static void test_secrets(void **state)
{
    (void)state;
    assert_int_equal(setenv("VARVE_TEST_PASSWORD", "hunter2", 1), 0);
    assert_int_equal(setenv("VARVE_TEST_INTERVAL", "7s", 1), 0);
    assert_int_equal(setenv("VARVE_TEST_THREADS", "3", 1), 0);
    struct config *cfg = read_text(
        "node: \"n-%{VARVE_TEST_THREADS}\"\n"
        "storage: {path: \"/s/%{VARVE_TEST_THREADS}\", flush_interval: \"%{VARVE_TEST_INTERVAL}\"}\n"
        "sinks:\n"
        "- {name: a, type: kafka, brokers: [\"%{VARVE_TEST_PASSWORD}\"], topics: [t], group: g, format: "
        "influx,\n"
        "   threads: \"%{VARVE_TEST_THREADS}\", librdkafka: {sasl.username: u, sasl.password: "
        "\"%{VARVE_TEST_PASSWORD}\", ssl.key.password: clear, client.rack: \"%%{x}\"}}\n"
        "http: {auth: {username: u, password: clear}}\n");
    assert_string_equal(cfg->node, "n-3");
    assert_string_equal(config_shown(cfg, cfg->node), "***");
    assert_int_equal(cfg->storage.flush_interval_ms, 7000);
    assert_string_equal(cfg->rejects.path, "/s/3/varve/rejects");
    assert_string_equal(config_shown(cfg, cfg->rejects.path), "***");
    const struct config_sink *sink = &cfg->sinks[0];
    assert_int_equal(sink->threads_count, 3);
    assert_string_equal(sink->brokers.items[0], "hunter2");
    assert_string_equal(config_shown(cfg, sink->brokers.items[0]), "***");
    assert_string_equal(config_shown(cfg, sink->name), "a");
    assert_string_equal(config_shown(cfg, sink->librdkafka[0].value), "u");
    assert_string_equal(sink->librdkafka[1].value, "hunter2");
    assert_string_equal(config_shown(cfg, sink->librdkafka[1].value), "***");
    /* Passwords are never shown, even if they stand in the file. */
    assert_string_equal(config_shown(cfg, sink->librdkafka[2].value), "***");
    assert_string_equal(sink->librdkafka[3].value, "%{x}");
    assert_string_equal(config_shown(cfg, sink->librdkafka[3].value), "%{x}");
    assert_string_equal(cfg->http.password, "clear");
    assert_string_equal(config_shown(cfg, cfg->http.password), "***");
    config_free(cfg);
    config_free(NULL);
}

static int hook_calls;

static bool own_nothing(const char *key, const char **ret_reason)
{
    (void)key;
    (void)ret_reason;
    hook_calls++;
    return false;
}

static int check_value(const char *key, const char *value, struct error *reterr)
{
    assert_string_equal(key, "client.rack");
    assert_string_equal(value, "r");
    (void)reterr;
    hook_calls++;
    return 0;
}

static void test_hooks_are_asked(void **state)
{
    (void)state;
    static const struct config_hooks hooks = {.kafka_property_owned = own_nothing,
                                              .kafka_property_check = check_value};
    static const char text[] =
        STORAGE "sinks: [{name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx, "
                "librdkafka: {client.rack: r}}]\n";
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    assert_int_equal(config_read_text(&cfg, "t", text, strlen(text), &hooks, &errors), 0);
    assert_int_equal(hook_calls, 2);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_a_sink_s_defaults),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_empty_sections),
        cmocka_unit_test(test_aliases_share_a_value),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_hooks_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
