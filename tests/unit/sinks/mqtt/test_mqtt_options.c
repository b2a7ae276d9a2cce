#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sinks/mqtt/mqtt_puback.h"
#include "sinks/mqtt/mqtt_sink.h"
#include "src/base/buffer.h"
#include "tests/doubles/batch_catcher.h"

static struct mqtt_subscription_options subscriptions[2];

static struct mqtt_sink_options good(void)
{
    subscriptions[0] =
        (struct mqtt_subscription_options){.filter = "a/+", .qos = 1, .decoder = &catcher_decoder};
    subscriptions[1] = (struct mqtt_subscription_options){.filter = "b/#", .decoder = &catcher_decoder};
    return (struct mqtt_sink_options){.name = "edge",
                                      .broker = "mqtt://127.0.0.1:1",
                                      .client_id = "varve",
                                      .version = MQTT_VERSION_5,
                                      .keepalive_s = 30,
                                      .receive_maximum = 1000,
                                      .session_expiry_s = 3600,
                                      .max_packet_size = 1 << 20,
                                      .spool_path = "/nonexistent/spool",
                                      .spool_max_bytes = 8 << 20,
                                      .subscriptions = subscriptions,
                                      .subscriptions_count = 2};
}

static void assert_refused(const struct mqtt_sink_options *o, const char *text)
{
    struct error error = {0};
    assert_int_equal(mqtt_options_check(o, &error), ERR_INVALID);
    if (!strstr(error.message, text))
        fail_msg("\"%s\" isn't in: %s", text, error.message);
}

static void test_checks(void **state)
{
    (void)state;
    struct mqtt_sink_options o = good();
    assert_int_equal(mqtt_options_check(&o, NULL), 0);
    o.broker = "tcp://x";
    assert_refused(&o, "mqtts://");
    o = good();
    subscriptions[0].qos = 2;
    if (mqtt_puback_is_held())
        assert_int_equal(mqtt_options_check(&o, NULL), 0);
    else
        assert_refused(&o, "static library");
    o.version = MQTT_VERSION_311;
    assert_refused(&o, "qos 2 is for version 5 only");
    subscriptions[0].qos = 3;
    assert_refused(&o, "qos is 0, 1 or 2");
    o = good();
    o.client_id = "";
    assert_refused(&o, "client_id");
    subscriptions[0].qos = 0;
    assert_int_equal(mqtt_options_check(&o, NULL), 0);
    o = good();
    subscriptions[1].filter = "a/#";
    assert_refused(&o, "overlap");
    o = good();
    subscriptions[1].filter = "a#";
    assert_refused(&o, "subscriptions");
    o = good();
    o.subscriptions_count = 0;
    assert_refused(&o, "subscriptions");
    o = good();
    o.spool_max_bytes = 2 << 20;
    assert_refused(&o, "max_size");
    o = good();
    o.keepalive_s = 0;
    assert_refused(&o, "keepalive");
    o = good();
    o.receive_maximum = 70000;
    assert_refused(&o, "receive_maximum");
    o = good();
    o.tls_ca = "/etc/passwd";
    assert_refused(&o, "mqtts://");
    o.broker = "mqtts://h";
    assert_int_equal(mqtt_options_check(&o, NULL), 0);
    o.tls_ca = "/nonexistent/ca.pem";
    assert_refused(&o, "tls.ca");
}

static void test_new_and_free(void **state)
{
    (void)state;
    struct batch_catcher catcher;
    struct mqtt_sink_options o = good();
    struct sink *sink = NULL;
    struct buffer text = {0};
    struct error error = {0};
    batch_catcher_init(&catcher, "store");
    assert_int_equal(mqtt_sink_new(&sink, &o, &catcher.intake, &error), 0);
    assert_string_equal(sink->name, "edge");
    assert_string_equal(sink->ops->type, "mqtt");
    sink->ops->metrics(sink, &text); /* also before it's started */
    assert_non_null(strstr(buffer_cstr(&text), "varve_mqtt_connected{sink=\"edge\"} 0\n"));
    assert_non_null(strstr(buffer_cstr(&text), "varve_spool_bytes{sink=\"edge\"} 0\n"));
    sink->ops->acknowledge(sink);
    sink->ops->stop_intake(sink);
    sink->ops->stop(sink);
    sink->ops->free(sink);
    buffer_release(&text);
    o.broker = "x";
    assert_int_equal(mqtt_sink_new(&sink, &o, &catcher.intake, &error), ERR_INVALID);
    batch_catcher_release(&catcher);
    assert_non_null(mqtt_puback_mode());
    assert_non_null(mqtt_library_version());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_checks), cmocka_unit_test(test_new_and_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
