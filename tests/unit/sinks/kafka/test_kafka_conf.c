#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/kafka/kafka_sink.h"
#include "tests/doubles/batch_catcher.h"

static void owned_properties_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "group.id",
        "group.instance.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "bootstrap.servers",
        "metadata.broker.list",
        "check.crcs",
        "enable.partition.eof",
        "queued.max.messages.kbytes",
        "auto.commit.interval.ms",
        "enable.ssl.certificate.verification",
        "ssl.endpoint.identification.algorithm",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *reason = NULL;
        struct error error;
        assert_true(kafka_property_owned(keys[i], &reason));
        assert_true(strlen(reason) > 10);
        assert_int_equal(kafka_property_check(keys[i], "x", &error), ERR_INVALID);
        assert_non_null(strstr(error.message, reason));
    }
    const char *reason;
    assert_false(kafka_property_owned("security.protocol", &reason));
}

static void values_are_tried(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(kafka_property_check("security.protocol", "SASL_SSL", &error), 0);
    assert_int_equal(kafka_property_check("session.timeout.ms", "30000", &error), 0);
    assert_int_equal(kafka_property_check("security.protocol", "CARRIER_PIGEON", &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "security.protocol"));
    assert_int_equal(kafka_property_check("no.such.property", "1", &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "no.such.property"));
}

static const char *const topics[] = {"metrics", "^edge\\.(.*)"};

static struct kafka_sink_options options_of(const struct kafka_property *properties, size_t count)
{
    return (struct kafka_sink_options){
        .name = "plant",
        .node = "n1",
        .brokers = "127.0.0.1:1",
        .topics = topics,
        .topics_count = 2,
        .group = "g",
        .decoder = &catcher_decoder,
        .threads = 2,
        .queue_size = 64 << 20,
        .max_message_size = 16 << 20,
        .properties = properties,
        .properties_count = count,
    };
}

static void options_are_checked_as_a_whole(void **state)
{
    (void)state;
    struct error error = {0};
    struct kafka_sink_options options = options_of(NULL, 0);
    if (kafka_options_check(&options, &error) != 0)
        fail_msg("%s", error.message);

    const struct kafka_property certificate[] = {{"security.protocol", "ssl"},
                                                 {"ssl.ca.location", "/nonexistent/ca.pem"}};
    options = options_of(certificate, 2);
    assert_int_equal(kafka_options_check(&options, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "ssl.ca.location"));

    const struct kafka_property secret[] = {{"security.protocol", "ssl"},
                                            {"ssl.key.pem", "hunter2-isn't-a-key"}};
    options = options_of(secret, 2);
    assert_int_equal(kafka_options_check(&options, &error), ERR_INVALID);
    assert_null(strstr(error.message, "hunter2"));

    static const char *const bad_expression[] = {"^edge\\.("};
    options = options_of(NULL, 0);
    options.topics = bad_expression;
    options.topics_count = 1;
    assert_int_equal(kafka_options_check(&options, &error), ERR_INVALID);

    const struct kafka_property newer[] = {{"group.instance.id", "me"}};
    options = options_of(newer, 1);
    assert_int_equal(kafka_options_check(&options, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "group.instance.id"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owned_properties_are_refused_with_the_reason),
        cmocka_unit_test(values_are_tried),
        cmocka_unit_test(options_are_checked_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
