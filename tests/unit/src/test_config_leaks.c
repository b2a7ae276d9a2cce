/* What is wrong with a configuration is said without its passwords, also where one was put in a wrong place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/config_describe.h"
#include "src/base/buffer.h"
#include "src/sink_factory.h"

#define SECRET "hunter2Geheim"

#define STORAGE "storage: {path: /s}\n"
#define MQTT(more) \
    STORAGE        \
    "sinks:\n- {name: a, type: mqtt, client_id: c, subscriptions: [{filter: x, format: json}], " more "}\n"
#define BROKER(more) MQTT("broker: mqtts://b:1, " more)
#define KAFKA(more)                                                                                       \
    STORAGE "sinks:\n- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx, " more \
            "}\n"
#define BLOCK(more)                                                                 \
    STORAGE "sinks:\n- name: a\n  type: mqtt\n  client_id: c\n  broker: mqtt://b\n" \
            "  subscriptions: [{filter: x, format: json}]\n" more

static const char *const wrong[] = {
    /* not a text */
    BROKER("password: [" SECRET "]"),
    BROKER("password: {" SECRET ": 1}"),
    BROKER("password: {x: " SECRET "}"),
    BROKER("tls: " SECRET),
    BROKER("tls: [" SECRET "]"),
    KAFKA("librdkafka: " SECRET),
    KAFKA("librdkafka: sasl.password=" SECRET),
    KAFKA("librdkafka: [sasl.password, " SECRET "]"),
    KAFKA("librdkafka: {sasl.password: [" SECRET "]}"),
    STORAGE "http: {auth: " SECRET "}\n",
    STORAGE "http: {auth: {username: a, password: [" SECRET "]}}\n",
    STORAGE "http: " SECRET "\n",
    /* a slip in the key, or in what is between key and value */
    BROKER("passwort: " SECRET),
    BROKER("pass: " SECRET),
    BROKER("password:" SECRET),
    BROKER("password=" SECRET),
    BROKER("\"password " SECRET "\": "),
    BROKER("tls: {password:" SECRET "}"),
    BROKER("tls: {key_password: " SECRET "}"),
    KAFKA("password: " SECRET),
    KAFKA("sasl.password: " SECRET),
    KAFKA("sasl.password:" SECRET),
    KAFKA("librdkafka: {sasl.pasword: " SECRET "}"),
    KAFKA("librdkafka: {sasl.password:" SECRET "}"),
    KAFKA("librdkafka: {sasl.password=" SECRET "}"),
    KAFKA("librdkafka: {\"sasl.password=" SECRET "\": x}"),
    KAFKA("librdkafka: {\"ssl.key.password " SECRET "\": x}"),
    KAFKA("librdkafka: {sasl.password: x, sasl.password: " SECRET "}"),
    STORAGE "http: {auth: {username: a, password:" SECRET "}}\n",
    BLOCK("  password:" SECRET "\n"),
    BLOCK("  password " SECRET "\n"),
    BLOCK("  password = " SECRET "\n"),
    BLOCK("  password=" SECRET ": x\n"),
    BLOCK("   password: " SECRET "\n"),
    BLOCK(" password: " SECRET "\n"),
    BLOCK("\tpassword: " SECRET "\n"),
    BLOCK("  - " SECRET "\n"),
    /* characters that YAML takes for its own */
    BLOCK("  password: \"" SECRET "\n"),
    BLOCK("  password: '" SECRET "\n"),
    BLOCK("  password: " SECRET ": x\n"),
    BLOCK("  password: \"" SECRET "\\q\"\n"),
    BLOCK("  password: \"" SECRET "\" x\n"),
    BLOCK("  password: *" SECRET "\n"),
    BLOCK("  password: &" SECRET "\n  password: x\n"),
    BLOCK("  password: !" SECRET "\n"),
    BLOCK("  password: !!" SECRET " x\n"),
    BLOCK("  password: @" SECRET "\n"),
    BLOCK("  password: `" SECRET "\n"),
    BLOCK("  password: %" SECRET "\n"),
    BLOCK("  password: {" SECRET "\n"),
    BLOCK("  password: [" SECRET "\n"),
    BLOCK("  password: |" SECRET "\n"),
    BLOCK("  password: >" SECRET "\n"),
    BLOCK("  password: \"" SECRET "\\0\"\n"),
    BLOCK("  password: \"" SECRET "\001\"\n"),
    BLOCK("  password: \"" SECRET "\377\"\n"),
    /* references that are none */
    BLOCK("  password: " SECRET "%{\n"),
    BLOCK("  password: " SECRET "%{X}\n"),
    BLOCK("  password: \"" SECRET "%{\"\n"),
    BLOCK("  password: \"" SECRET "%{NOT_SET_VARVE_TEST}\"\n"),
    BLOCK("  password: \"%{" SECRET "-}\"\n"),
    BLOCK("  password: \"" SECRET "%{file:x}\"\n"),
    BLOCK("  password: \"%{credential:/" SECRET "}\"\n"),
    /* in an address */
    MQTT("broker: \"mqtts://u:" SECRET "@b:1\""),
    MQTT("broker: \"mqtts://" SECRET "@b:1\""),
    MQTT("broker: \"http://u:" SECRET "@b:1\""),
    MQTT("broker: \"u:" SECRET "@b:1\""),
    MQTT("broker: \"mqtts:u:" SECRET "@b:1\""),
    MQTT("broker: \"mqtts://b:1\", broker: \"mqtts://u:" SECRET "@b\""),
    STORAGE "sinks:\n- {name: a, type: kafka, brokers: [\"u:" SECRET
            "@b:1\"], topics: [t], group: g, format: influx}\n",
    STORAGE "sinks:\n- {name: a, type: kafka, brokers: [\"SASL_SSL://u:" SECRET
            "@b:1\"], topics: [t], group: g, "
            "format: influx}\n",
    STORAGE "rejects: {kafka: {brokers: [b], topic: t, librdkafka: {sasl.password:" SECRET "}}}\n",
    STORAGE "rejects: {kafka: {brokers: [b], topic: t, librdkafka: {sasl.password: [" SECRET "]}}}\n",
    STORAGE "rejects: {kafka: {brokers: [b], topic: t, sasl.password: " SECRET "}}\n",
    STORAGE "http: {auth: {password: " SECRET "}}\n",
    STORAGE "http: {auth: {username: \"a:b\", password: " SECRET "}}\n",
    STORAGE "http: {listen: \"u:" SECRET "@127.0.0.1:1\"}\n",
    STORAGE "http: {listen: \"http://u:" SECRET "@h\"}\n",
    /* librdkafka's own words */
    KAFKA("librdkafka: {security.protocol: SSL, ssl.key.pem: " SECRET "}"),
    KAFKA("librdkafka: {sasl.oauthbearer.config: \"" SECRET "\", x: y}"),
    KAFKA("librdkafka: {security.protocol: SSL, ssl.key.password: " SECRET ", ssl.key.location: /nowhere}"),
    KAFKA("librdkafka: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.password: " SECRET "}"),
    KAFKA("librdkafka: {sasl.password: " SECRET ", nosuch: 1}"),
};

/* What is right with them is shown without as well. */
static const char *const right[] = {
    BROKER("username: u, password: " SECRET),
    BROKER("username: u, password: \"%{VARVE_TEST_PASSWORD}\""),
    BROKER("username: \"%{VARVE_TEST_PASSWORD}\", password: x"),
    KAFKA("librdkafka: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: u, "
          "sasl.password: " SECRET "}"),
    KAFKA("librdkafka: {ssl.keystore.password: " SECRET ", ssl.key.password: " SECRET "}"),
    KAFKA("librdkafka: {client.rack: \"%{VARVE_TEST_PASSWORD}\"}"),
    KAFKA("librdkafka: {client.rack: \"x%{VARVE_TEST_PASSWORD}y\"}"),
    KAFKA("labels: {l: \"%{VARVE_TEST_PASSWORD}\"}"),
    STORAGE "http: {auth: {username: a, password: " SECRET "}}\n",
    STORAGE "rejects: {kafka: {brokers: [b], topic: t, librdkafka: {sasl.username: u, sasl.password: " SECRET
            "}}}\n",
};

static void check(const char *text, bool is_right)
{
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    int r = config_read_text(&cfg, "t", text, strlen(text), &sink_factory_config_hooks, &errors);
    for (size_t i = 0; i < errors.count; i++) {
        if (strstr(errors.items[i].text, SECRET))
            fail_msg("%s\nis answered by\n%s", text, errors.items[i].text);
    }
    if (is_right != (r == 0))
        fail_msg("%s\n%s: %s", text, r == 0 ? "is taken" : "is refused",
                 errors.count ? errors.items[0].text : "");
    config_errors_release(&errors);
    if (r < 0)
        return;
    struct buffer shown = {0};
    config_describe(cfg, &shown);
    if (strstr(buffer_cstr(&shown), SECRET))
        fail_msg("%s\nis shown as\n%s", text, buffer_cstr(&shown));
    buffer_release(&shown);
    config_free(cfg);
}

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check(wrong[i], false);
}

static void test_descriptions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        check(right[i], true);
}

/* /proc/PID/environ shows what a variable held at the start, for as long as nobody writes over it. */
static void test_environment(void **state)
{
    (void)state;
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    const char *text = right[1];
    assert_int_equal(setenv("VARVE_TEST_OTHER", "as it is", 1), 0);
    assert_int_equal(config_read_text(&cfg, "t", text, strlen(text), &sink_factory_config_hooks, &errors), 0);
    config_wipe_environment(cfg);
    assert_string_equal(getenv("VARVE_TEST_PASSWORD"), "*************");
    assert_string_equal(getenv("VARVE_TEST_OTHER"), "as it is");
    assert_string_equal(cfg->sinks[0].mqtt.password, SECRET);
    config_free(cfg);
}

static int set_up(void **state)
{
    (void)state;
    return setenv("VARVE_TEST_PASSWORD", SECRET, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_errors, set_up),
        cmocka_unit_test_setup(test_descriptions, set_up),
        cmocka_unit_test_setup(test_environment, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
