/* Sinks of type mqtt, and what sources of all types have in common: labels and json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/config_describe.h"
#include "config/config_filter.h"

#define STORAGE "storage: {path: /s}\n"
/* One sink in lines 2 to 4, with more in line 3, and its subscriptions from line 5 on. */
#define MQTT(more, subscriptions)                                                         \
    STORAGE "sinks:\n- {name: e, type: mqtt, broker: mqtts://b, client_id: c, " more "\n" \
            "   subscriptions: [\n" subscriptions "]}\n"
#define SUBSCRIPTION "{filter: p/+/#, format: influx}"

/* Refuses what has "bad" in it. */
static int label_check(enum config_sink_type type, const struct config_label *label, size_t captures_max,
                       struct error *reterr)
{
    if (strstr(label->value, "bad"))
        return error_set(reterr, ERR_INVALID, "bad label of type %d with %zu captures", (int)type,
                         captures_max);
    return 0;
}

static int json_check(const struct config_json *json, size_t captures_max, const char **ret_key,
                      struct error *reterr)
{
    *ret_key = "time";
    if (strstr(json->time, "bad"))
        return error_set(reterr, ERR_INVALID, "bad path with %zu captures", captures_max);
    return 0;
}

static const struct config_hooks hooks = {.label_check = label_check, .json_check = json_check};

static char *errors_of(const char *text, struct config **ret)
{
    struct config_errors errors = {0};
    char *printed = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printed, &size);
    *ret = NULL;
    (void)config_read_text(ret, "t", text, strlen(text), &hooks, &errors);
    config_errors_print(&errors, f);
    fclose(f);
    config_errors_release(&errors);
    return printed;
}

static void expect_error(const char *text, const char *want)
{
    struct config *cfg;
    char *got = errors_of(text, &cfg);
    assert_null(cfg);
    if (strcmp(got, want) != 0)
        print_error("%s\n", text);
    assert_string_equal(got, want);
    free(got);
}

static struct config *read_good(const char *text)
{
    struct config *cfg;
    char *got = errors_of(text, &cfg);
    assert_string_equal(got, "");
    free(got);
    return cfg;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *cfg = read_good(STORAGE "sinks:\n"
                                           "- name: e\n"
                                           "  type: mqtt\n"
                                           "  broker: ws://[::1]:80/mqtt\n"
                                           "  subscriptions: [{filter: a/#, qos: 0, format: value}]\n");
    const struct config_sink *sink = &cfg->sinks[0];
    const struct config_mqtt *m = &sink->mqtt;
    assert_int_equal(sink->type, CONFIG_SINK_MQTT);
    assert_string_equal(m->client_id, "");
    assert_int_equal(m->version, CONFIG_MQTT_5);
    assert_int_equal(m->keepalive_ms, 30000);
    assert_int_equal(m->receive_maximum, 1000);
    assert_int_equal(m->session_expiry_ms, INT64_C(7) * 86400000);
    assert_int_equal(m->max_packet_size_bytes, 1 << 20);
    assert_int_equal(m->retained, CONFIG_RETAINED_TIMESTAMPED);
    assert_string_equal(m->spool_path, "/s/varve/spool/e");
    assert_int_equal(m->spool_max_size_bytes, 1 << 30);
    assert_string_equal(m->tls_ca, "");
    assert_string_equal(m->username, "");
    assert_int_equal(m->subscriptions_count, 1);
    const struct config_subscription *s = &m->subscriptions[0];
    assert_string_equal(s->filter, "a/#");
    assert_int_equal(s->qos, 0);
    assert_string_equal(s->format, "value");
    assert_int_equal(s->labels.count, 0);
    assert_string_equal(s->json.each, "$");
    assert_string_equal(s->json.name, "$topic_last");
    config_free(cfg);
}

static void test_all_keys(void **state)
{
    (void)state;
    struct config *cfg = read_good(
        STORAGE
        "sinks:\n"
        "- name: e\n"
        "  type: mqtt\n"
        "  broker: wss://edge.example:8884/mqtt\n"
        "  client_id: c\n"
        "  version: 5\n"
        "  keepalive: 1m\n"
        "  receive_maximum: 20\n"
        "  session_expiry: 1h\n"
        "  max_packet_size: 2MiB\n"
        "  retained: drop\n"
        "  spool: {path: /spool/e, max_size: 8MiB}\n"
        "  tls: {server_name: other.example}\n"
        "  username: u\n"
        "  password: secret\n"
        "  subscriptions:\n"
        "  - filter: $share/g/plants/+/lines/+/#\n"
        "    qos: 1\n"
        "    format: json\n"
        "    timestamp: record\n"
        "    labels: {plant: \"$1\", line: \"$2\"}\n"
        "    json: {each: \"$.r[*]\", time: \"$.ts\", time_format: ms, name: m, labels: {d: \"$.d\"}, "
        "fields: [\"$.a as b\"]}\n"
        "  - {filter: other, format: json, json: {fields: []}}\n"
        "  - {filter: third, format: influx, precision: ms}\n");
    const struct config_mqtt *m = &cfg->sinks[0].mqtt;
    const struct config_subscription *s = &m->subscriptions[0];
    assert_int_equal(m->version, CONFIG_MQTT_5);
    assert_int_equal(m->receive_maximum, 20);
    assert_int_equal(m->session_expiry_ms, 3600000);
    assert_int_equal(m->retained, CONFIG_RETAINED_DROP);
    assert_string_equal(m->spool_path, "/spool/e");
    assert_int_equal(s->qos, 1);
    assert_int_equal(s->captures_max, 2);
    assert_int_equal(s->timestamp_from, CONFIG_TIMESTAMP_RECORD);
    assert_int_equal(m->subscriptions[2].precision, CONFIG_PRECISION_MS);
    assert_string_equal(s->labels.items[1].name, "line");
    assert_string_equal(s->labels.items[1].value, "$2");
    assert_string_equal(s->json.time_format, "ms");
    assert_string_equal(s->json.labels.items[0].value, "$.d");
    assert_string_equal(s->json.fields.items[0], "$.a as b");
    assert_int_equal(m->subscriptions[1].json.fields.count, 0);

    struct buffer text = {0};
    config_describe(cfg, &text);
    const char *shown = buffer_cstr(&text);
    assert_non_null(strstr(shown, "sink e: mqtt"));
    assert_non_null(strstr(shown, "1: shared, so at least once at best"));
    assert_non_null(strstr(shown, "plant = $1"));
    assert_non_null(strstr(shown, "$.a as b"));
    assert_null(strstr(shown, "secret"));
    buffer_release(&text);
    config_free(cfg);
}

static void test_version_3_1_1(void **state)
{
    (void)state;
    struct config *cfg = read_good(MQTT("version: 3.1.1, max_packet_size: 2MiB,", SUBSCRIPTION));
    assert_int_equal(cfg->sinks[0].mqtt.version, CONFIG_MQTT_3_1_1);
    config_free(cfg);
}

/* Names and ways of writing that other programs have. */
static void test_slips(void **state)
{
    (void)state;
    static const struct {
        const char *text, *errors;
    } cases[] = {
        {MQTT("version: 3.1.1, receive_maximum: 20, session_expiry: 1h,", SUBSCRIPTION),
         "t:3:91: sinks[0].receive_maximum: given with version 3.1.1, which can't tell it to the broker; "
         "leave it "
         "out: the broker's own settings count\n"
         "t:3:111: sinks[0].session_expiry: given with version 3.1.1, which can't tell it to the broker; "
         "leave it "
         "out: the broker's own settings count\n"},
        {MQTT("user: u,", SUBSCRIPTION), "t:3:58: sinks[0].user: unknown key; here that is username\n"},
        {MQTT("clean_session: false,", SUBSCRIPTION),
         "t:3:58: sinks[0].clean_session: unknown key; here that is session_expiry\n"},
        {MQTT("tls: {verify: false, ca_file: /x},", SUBSCRIPTION),
         "t:3:64: sinks[0].tls.verify: unknown key; certificates are always verified; name the CA that "
         "signed the "
         "broker's in tls.ca\n"
         "t:3:79: sinks[0].tls.ca_file: unknown key; here that is ca\n"},
        {MQTT("format: json, qos: 1,", SUBSCRIPTION),
         "t:3:58: sinks[0].format: not a key of this type of sink; it belongs to each of the subscriptions\n"
         "t:3:72: sinks[0].qos: unknown key; it belongs to each of the subscriptions\n"},
        {MQTT("spool: /var/spool/x,", SUBSCRIPTION),
         "t:3:65: sinks[0].spool: a text where a mapping belongs; write keys below it, as in spool: {path: "
         "...}\n"},
        {MQTT("", ""),
         "t:4:19: sinks[0].subscriptions: the list is empty; start each subscription with \"- filter: \"\n"},
        {MQTT("", "{topic: p, format: influx}"),
         "t:5:1: sinks[0].subscriptions[0].filter: missing; write filter: plants/+/lines/+/#\n"
         "t:5:2: sinks[0].subscriptions[0].topic: unknown key; here that is filter\n"},
        {STORAGE "sinks: [{name: e, type: mqtt, broker: mqtt://b, client_id: c, subscriptions: [\n"
                 "{filter: #\n, format: influx}]}]\n",
         "t:4:1: sinks[0].subscriptions[0].filter: has no value (a # that isn't quoted begins a comment); "
         "write "
         "filter: plants/+/lines/+/#, or leave the key out\n"},
        {MQTT("", "{filter: p/+, format: influx, labels: {a: $$#, b: x$#, c: '${#}'}}"),
         "t:5:51: sinks[0].subscriptions[0].labels.b: $# is what # of the filter matches, and this filter "
         "has "
         "none; write $topic for all of the topic\n"
         "t:5:59: sinks[0].subscriptions[0].labels.c: $# is what # of the filter matches, and this filter "
         "has "
         "none; write $topic for all of the topic\n"},
        {MQTT("", "{filter: p, format: json, precision: ms, json: {timestamp: $.ts}}"),
         "t:5:38: sinks[0].subscriptions[0].precision: given with format json, which doesn't look at it; "
         "write "
         "json: {time_format: ...}\n"
         "t:5:49: sinks[0].subscriptions[0].json.timestamp: unknown key; here that is time\n"},
        {MQTT("", "{filter: p, format: value, precision: s}"),
         "t:5:39: sinks[0].subscriptions[0].precision: given with format value, which doesn't look at it; "
         "leave "
         "it out\n"},
        {STORAGE
         "sinks:\n"
         "- {name: e, type: mqtt, broker: mqtt://b, client_id: c, subscriptions: [" SUBSCRIPTION "]}\n"
         "- {name: e, type: mqtt, broker: mqtt://b, client_id: d, subscriptions: [" SUBSCRIPTION "]}\n",
         "t:4:10: sinks[1].name: \"e\" is the name of sinks[0] too (line 3); give each sink its own\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_error(cases[i].text, cases[i].errors);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *errors;
    } cases[] = {
        {MQTT("session_expiry: 0,", SUBSCRIPTION),
         "t:3:74: sinks[0].session_expiry: at 0 the broker forgets what it holds for us at each disconnect, "
         "messages of QoS 1 included; write how long Varve may be away, as in 7d\n"},
        {MQTT("keepalive: 1500ms,", SUBSCRIPTION),
         "t:3:69: sinks[0].keepalive: isn't a number of whole seconds; write it as in 30s\n"},
        {MQTT("password: x, version: 3.1.1,", SUBSCRIPTION),
         "t:3:68: sinks[0].password: given without username, which MQTT 3.1.1 doesn't allow; write both, or "
         "version: 5\n"},
        {MQTT("tls: {ca: /nonexistent/ca.pem},", SUBSCRIPTION),
         "t:3:68: sinks[0].tls.ca: /nonexistent/ca.pem can't be read: No such file or directory; name a file "
         "that Varve's user may read\n"},
        {MQTT("tls: {cert: /dev/null},", SUBSCRIPTION),
         "t:3:63: sinks[0].tls.key: missing; a client's certificate and its private key go together: write "
         "both or none\n"},
        {MQTT("spool: {max_size: 3MiB},", SUBSCRIPTION),
         "t:3:76: sinks[0].spool.max_size: 3MiB is less than four times max_packet_size; write 4MiB or more, "
         "or lower max_packet_size\n"},
        {MQTT("spool: {path: /s/data/x},", SUBSCRIPTION),
         "t:3:72: sinks[0].spool.path: lies among the store's own files; write a path below /s/varve/, or "
         "outside storage.path\n"},
        {MQTT("spool: {path: /s/varve/rejects},", SUBSCRIPTION),
         "t:3:72: sinks[0].spool.path: lies in one place with rejects.path; give each its own directory\n"},
        {MQTT("brokers: [x],", SUBSCRIPTION),
         "t:3:58: sinks[0].brokers: not a key of this type of sink; did you mean broker?\n"},
        {MQTT("version: 3.1.1,", "{filter: p, qos: 2, format: influx}"),
         "t:5:18: sinks[0].subscriptions[0].qos: 2 is for version 5: with 3.1.1 the broker forgets a message "
         "before we have it; write 1, or version: 5\n"},
        {MQTT("", "{filter: p/#/x, format: influx}"),
         "t:5:10: sinks[0].subscriptions[0].filter: \"p/#/x\" has # before its end; # is the last level, as "
         "in plants/#\n"},
        {MQTT("", "{filter: p/a+, format: influx}"),
         "t:5:10: sinks[0].subscriptions[0].filter: \"p/a+\" has + or # among other characters of a level; "
         "each is a level of its own, as in plants/+/lines/#\n"},
        {MQTT("", "{filter: $share/g, format: influx}"),
         "t:5:10: sinks[0].subscriptions[0].filter: \"$share/g\" is no shared filter; write $share/, a group "
         "without + and #, and the filter, as in $share/varve/plants/#\n"},
        {MQTT("", "{filter: p/+/x, format: influx},\n{filter: p/a/#, format: influx}"),
         "t:6:10: sinks[0].subscriptions[1].filter: \"p/a/#\" and subscriptions[0] (line 5) match the same "
         "topics, which brokers then send twice; write filters that don't overlap\n"},
        {MQTT("", "{filter: p, format: influx, json: {each: $}}"),
         "t:5:35: sinks[0].subscriptions[0].json: given with format influx, which doesn't look at it; write "
         "format: json, or leave it out\n"},
        {MQTT("", "{filter: p/+/+, format: json, labels: {a: bad}, json: {time: bad}}"),
         "t:5:43: sinks[0].subscriptions[0].labels.a: bad label of type 1 with 2 captures\n"
         "t:5:62: sinks[0].subscriptions[0].json.time: bad path with 2 captures\n"},
        {MQTT("", "{filter: p, format: json, json: {pth: x, time_format: min, labels: [a], fields: a}}"),
         "t:5:34: sinks[0].subscriptions[0].json.pth: unknown key; known here: each, time, time_format, "
         "name, "
         "labels, fields\n"
         "t:5:55: sinks[0].subscriptions[0].json.time_format: \"min\" is not known here; write auto, "
         "rfc3339, s, "
         "ms, us or ns\n"
         "t:5:68: sinks[0].subscriptions[0].json.labels: a list where a mapping belongs; write it as in "
         "labels: "
         "{device: \"$.device.id\"}\n"
         "t:5:81: sinks[0].subscriptions[0].json.fields: a text where a list belongs; write it as in fields: "
         "[\"$.temp as temperature\"]\n"},
        {MQTT("", "{format: influx}, x"),
         "t:5:1: sinks[0].subscriptions[0].filter: missing; write filter: plants/+/lines/+/#\n"
         "t:5:19: sinks[0].subscriptions[1]: a text where a mapping belongs; write - filter: plants/#, and "
         "the "
         "other keys below\n"},
        {STORAGE "sinks: [{name: e, type: mqtt, broker: mqtt://b, subscriptions: [" SUBSCRIPTION "]}]\n",
         "t:2:9: sinks[0].client_id: missing, and it names the session that keeps messages of QoS 1 for us; "
         "write client_id: varve-edge\n"},
        {STORAGE "sinks: [{name: e, type: mqtt, broker: mqtt://b, tls: {server_name: x}, client_id: c, "
                 "subscriptions: [" SUBSCRIPTION "]}]\n",
         "t:2:68: sinks[0].tls.server_name: given for a broker without TLS; write mqtts:// or wss:// for it, "
         "or leave tls out\n"},
        {STORAGE "sinks: [{name: e, type: mqtt, broker: \"mqtt://u:p@b\", client_id: c, "
                 "subscriptions: [" SUBSCRIPTION "]}]\n",
         "t:2:39: sinks[0].broker: holds an @; credentials go into username and password\n"},
        {STORAGE
         "sinks:\n"
         "- {name: e, type: mqtt, broker: mqtt://b, client_id: c, subscriptions: [" SUBSCRIPTION "]}\n"
         "- {name: f, type: mqtt, broker: mqtt://b, client_id: c, subscriptions: [" SUBSCRIPTION "]}\n",
         "t:4:54: sinks[1].client_id: \"c\" is the client_id of sinks[0] at the same broker (line 3); give "
         "each "
         "its own, or they throw each other out\n"},
        {STORAGE
         "sinks:\n"
         "- {name: a, type: kafka, brokers: [b], topics: [t, '^(a)(b)', '^c'], group: g, format: json,\n"
         "   labels: {x: bad}, json: {time: bad}}\n",
         "t:4:16: sinks[0].labels.x: bad label of type 0 with 2 captures\n"
         "t:4:35: sinks[0].json.time: bad path with 2 captures\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_error(cases[i].text, cases[i].errors);
}

static void test_brokers(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } cases[] = {
        {"mqtt://h", true},        {"MQTT://h:1883", true},
        {"mqtts://h:8883/", true}, {"ws://h/mqtt", true},
        {"wss://h:1/a/b", true},   {"mqtt://[fe80::1]:1", true},
        {"mqtt://h/path", false},  {"mqtt://", false},
        {"tcp://h:1883", false},   {"h:1883", false},
        {"mqtt://h:0", false},     {"mqtt://h:65536", false},
        {"mqtt://h:", false},      {"mqtt://h:123456789", false},
        {"mqtt://[::1", false},    {"mqtt://a b", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct config *cfg;
        snprintf(text, sizeof text,
                 STORAGE "sinks: [{name: e, type: mqtt, broker: \"%s\", client_id: c, "
                         "subscriptions: [" SUBSCRIPTION "]}]\n",
                 cases[i].url);
        char *got = errors_of(text, &cfg);
        if (cases[i].good != (cfg != NULL))
            fail_msg("%s: %s", cases[i].url, got);
        free(got);
        config_free(cfg);
    }
}

static void test_filters(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool overlap;
    } cases[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a/b", "a", false},
        {"a/#", "a", true},
        {"a/#", "a/b/c", true},
        {"a/+", "a", false},
        {"a/+", "a/b", true},
        {"a/+/c", "a/b/+", true},
        {"a/+/c", "a/b/d", false},
        {"#", "x/y", true},
        {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false},
        {"$SYS/#", "$SYS/+", true},
        {"a/+/#", "a", false},
        {"a/+/#", "a/b", true},
        {"a/", "a", false},
        {"a//b", "a/+/b", true},
        {"$share/g/a/#", "a/b", true},
        {"$share/g/a", "$share/h/b", false},
        {"+", "#", true},
        {"a/b/#", "a/+", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (config_filter_overlap(cases[i].a, cases[i].b) != cases[i].overlap ||
            config_filter_overlap(cases[i].b, cases[i].a) != cases[i].overlap)
            fail_msg("%s %s", cases[i].a, cases[i].b);
    }
    assert_int_equal(config_filter_captures("$share/g/+/a/+/#"), 2);
    assert_string_equal(config_filter_unshared("$share/g/a"), "a");
    assert_int_equal(config_filter_check("/", NULL), 0);
    assert_int_equal(config_filter_check("$share//a", NULL), ERR_INVALID);
    assert_int_equal(config_filter_check("$share/g+/a", NULL), ERR_INVALID);
    assert_int_equal(config_filter_check("$share/g/", NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_version_3_1_1), cmocka_unit_test(test_slips),
        cmocka_unit_test(test_mistakes),      cmocka_unit_test(test_brokers),
        cmocka_unit_test(test_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
