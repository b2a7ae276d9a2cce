#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/kafka/kafka_position.h"
#include "src/position_text.h"

static const char *text_of(struct buffer *b, const char *key, uint64_t next)
{
    buffer_clear(b);
    struct storage_position p = {.next = next};
    position_append_text(b, (const uint8_t *)key, (uint32_t)strlen(key), &p);
    return buffer_cstr(b);
}

static const char *json_of(struct buffer *b, const char *key, uint64_t next)
{
    struct storage_position p = {.next = next, .mark = {0x01, 0xff}, .mark_len = 2};
    buffer_clear(b);
    position_append_json(b, (const uint8_t *)key, (uint32_t)strlen(key), &p);
    return buffer_cstr(b);
}

static void test_kafka(void **unused)
{
    (void)unused;
    struct buffer b = {0};
    assert_string_equal(text_of(&b, "plant/kafka/X_1-/metrics.v1/12", 17),
                        "plant: kafka topic metrics.v1 partition 12 at offset 17 (cluster X_1-)");
    assert_string_equal(
        json_of(&b, "plant/kafka/X/metrics/3", UINT64_MAX),
        "{\"key\":\"plant/kafka/X/metrics/3\",\"sink\":\"plant\",\"type\":\"kafka\",\"cluster\":\"X\","
        "\"topic\":\"metrics\",\"partition\":3,\"next\":18446744073709551615,\"mark\":\"01ff\"}");
    buffer_release(&b);
}

static const char *order_text(struct buffer *b, enum kafka_begin begin, int64_t value)
{
    static const char key[] = "p/kafka/X/m/0";
    struct sink_position order = kafka_position_order(begin, value);
    struct storage_position p = {.next = order.next, .mark_len = order.mark_len};
    memcpy(p.mark, order.mark, sizeof p.mark);
    buffer_clear(b);
    position_append_text(b, (const uint8_t *)key, sizeof key - 1, &p);
    buffer_append_u8(b, ' ');
    position_append_json(b, (const uint8_t *)key, sizeof key - 1, &p);
    return buffer_cstr(b);
}

static void test_orders(void **unused)
{
    (void)unused;
    struct buffer b = {0};
    assert_non_null(
        strstr(order_text(&b, KAFKA_BEGIN_EARLIEST, 0), "partition 0 at its earliest record (cluster X)"));
    assert_non_null(strstr(buffer_cstr(&b), "\"begin\":\"earliest\",\"next\":0,"));
    assert_non_null(strstr(order_text(&b, KAFKA_BEGIN_LATEST, 0), "at its end (cluster X)"));
    assert_non_null(strstr(order_text(&b, KAFKA_BEGIN_TIMESTAMP, 1793491200500),
                           "at its first record from "
                           "2026-11-01T00:00:00.500Z on"));
    assert_non_null(strstr(buffer_cstr(&b), "\"begin\":\"time\",\"begin_ms\":1793491200500,"));
    assert_non_null(strstr(order_text(&b, KAFKA_BEGIN_OFFSET, 90), "at offset 90 (cluster X)"));
    assert_non_null(strstr(buffer_cstr(&b), "\"begin\":\"offset\",\"next\":90,"));
    buffer_release(&b);
}

static void test_rejects(void **unused)
{
    (void)unused;
    struct buffer b = {0};
    assert_string_equal(text_of(&b, "plant/rejects", 17), "plant: rejects replayed up to byte 17");
    assert_string_equal(json_of(&b, "plant/rejects", 17),
                        "{\"key\":\"plant/rejects\",\"sink\":\"plant\",\"type\":"
                        "\"rejects\",\"next\":17,\"mark\":\"01ff\"}");
    buffer_release(&b);
}

static void test_rejects_sent_to_kafka(void **unused)
{
    (void)unused;
    struct buffer b = {0};
    assert_string_equal(text_of(&b, "rejects/topic/varve-rejects", 17),
                        "rejects sent to kafka topic varve-rejects up to byte 17");
    assert_string_equal(json_of(&b, "rejects/topic/varve-rejects", 17),
                        "{\"key\":\"rejects/topic/varve-rejects\",\"type\":\"reject_topic\","
                        "\"topic\":\"varve-rejects\",\"next\":17,\"mark\":\"01ff\"}");
    buffer_release(&b);
}

#define SPOOL "00112233445566778899aabbccddeeff"

static void test_mqtt(void **unused)
{
    (void)unused;
    struct buffer b = {0};
    assert_string_equal(text_of(&b, "field-1/mqtt/" SPOOL, 703),
                        "field-1: mqtt spool " SPOOL " at message 703");
    assert_string_equal(json_of(&b, "field-1/mqtt/" SPOOL, 703),
                        "{\"key\":\"field-1/mqtt/" SPOOL
                        "\",\"sink\":\"field-1\",\"type\":\"mqtt\",\"spool\":\"" SPOOL
                        "\",\"next\":703,\"mark\":\"01ff\"}");
    buffer_release(&b);
}

static void test_unknown(void **unused)
{
    (void)unused;
    static const char *const keys[] = {"a/b",
                                       "plant/mqtt/X/t/1",
                                       "plant/mqtt/0011",
                                       "plant/mqtt/",
                                       "plant/mqtt",
                                       "plant/mqtt/" SPOOL "/",
                                       "plant/mqtt/" SPOOL "0",
                                       "plant/amqp/" SPOOL,
                                       "plant/kafka/" SPOOL,
                                       "plant/kafka/X/t/1/",
                                       "/////////",
                                       "plant/kafka/X/t/",
                                       "plant/kafka/X/t/1x",
                                       "plant/kafka/X/t/1/2",
                                       "plant/kafka/X/t",
                                       "plant/kafka/X/t/12345678901",
                                       "rejects/topic/",
                                       "rejects/topic/a/b",
                                       "plant/topic/a",
                                       "/",
                                       ""};
    struct buffer b = {0};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_memory_equal(text_of(&b, keys[i], 5), "key ", 4);
        assert_memory_equal(json_of(&b, keys[i], 5), "{\"key_hex\":\"", 12);
    }
    assert_string_equal(text_of(&b, "a/b", 5), "key 612f62 at 5");
    assert_string_equal(json_of(&b, "a/b", 5), "{\"key_hex\":\"612f62\",\"next\":5,\"mark\":\"01ff\"}");
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kafka),
                                       cmocka_unit_test(test_mqtt),
                                       cmocka_unit_test(test_orders),
                                       cmocka_unit_test(test_rejects),
                                       cmocka_unit_test(test_rejects_sent_to_kafka),
                                       cmocka_unit_test(test_unknown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
