#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/kafka/kafka_position.h"

static void key_is_readable(void **state)
{
    (void)state;
    struct buffer key = {0};
    kafka_position_key(&key, "plant-1", "4L6g3nShT-eMCtK--X86sw", "edge.metrics_2", 17);
    assert_string_equal(buffer_cstr(&key), "plant-1/kafka/4L6g3nShT-eMCtK--X86sw/edge.metrics_2/17");
    buffer_release(&key);
}

static void fingerprint_survives(void **state)
{
    (void)state;
    static const struct kafka_fingerprint cases[] = {
        {0, 0, 0},
        {41, 1700000000123, 0xdeadbeef},
        {INT64_C(1) << 60, -1, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sink_position position = kafka_position_encode(cases[i].offset + 1, &cases[i]);
        struct kafka_fingerprint got;
        assert_true(position.mark_len <= POSITION_MARK_MAX);
        assert_int_equal(position.next, cases[i].offset + 1);
        assert_true(kafka_position_fingerprint(&position, &got));
        assert_true(kafka_fingerprint_equal(&got, &cases[i]));
    }
}

static void no_fingerprint_is_none(void **state)
{
    (void)state;
    struct kafka_fingerprint got, late = {.offset = 10};
    struct sink_position position = kafka_position_encode(5, NULL);
    assert_int_equal(position.mark_len, 0);
    assert_false(kafka_position_fingerprint(&position, &got));

    position = kafka_position_encode(10, &late); /* of a record that isn't before the position */
    assert_false(kafka_position_fingerprint(&position, &got));
    position = kafka_position_encode(11, &late);
    assert_true(kafka_position_fingerprint(&position, &got));
    position.mark[0] = 9; /* of a later version */
    assert_false(kafka_position_fingerprint(&position, &got));
    position.mark[0] = 1;
    position.mark_len = 20;
    assert_false(kafka_position_fingerprint(&position, &got));
}

static void fingerprint_tells_records_apart(void **state)
{
    (void)state;
    struct kafka_fingerprint a = kafka_fingerprint_of(7, 100, "k", 1, "value", 5);
    struct kafka_fingerprint others[] = {
        kafka_fingerprint_of(8, 100, "k", 1, "value", 5),
        kafka_fingerprint_of(7, 101, "k", 1, "value", 5),
        kafka_fingerprint_of(7, 100, "K", 1, "value", 5),
        kafka_fingerprint_of(7, 100, "k", 1, "valuE", 5),
        kafka_fingerprint_of(7, 100, "kv", 2, "alue", 4),
        kafka_fingerprint_of(7, 100, NULL, 0, "kvalue", 6),
        kafka_fingerprint_of(7, 100, "k", 1, NULL, 0),
        kafka_fingerprint_of(7, 100, "k", 1, "", 0),
        kafka_fingerprint_of(7, 100, "kvalue", 6, NULL, 0),
        kafka_fingerprint_of(7, 100, "kvalue", 6, "", 0),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(kafka_fingerprint_equal(&a, &others[i]));
        for (size_t j = 0; j < i; j++)
            assert_false(kafka_fingerprint_equal(&others[j], &others[i]));
    }
    struct kafka_fingerprint same = kafka_fingerprint_of(7, 100, "k", 1, "value", 5);
    assert_true(kafka_fingerprint_equal(&a, &same));
}

static void orders_survive(void **state)
{
    (void)state;
    static const struct {
        enum kafka_begin begin;
        int64_t value;
    } cases[] = {{KAFKA_BEGIN_EARLIEST, 0},
                 {KAFKA_BEGIN_LATEST, 0},
                 {KAFKA_BEGIN_TIMESTAMP, 1793491200123},
                 {KAFKA_BEGIN_OFFSET, 90}};
    struct kafka_fingerprint f = {.offset = 41};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sink_position p = kafka_position_order(cases[i].begin, cases[i].value);
        int64_t value = -1;
        assert_int_equal(kafka_position_begin(&p, &value), cases[i].begin);
        assert_int_equal(value, cases[i].value);
        assert_false(kafka_position_fingerprint(&p, &f));
        p.mark[1] = 9; /* of a later version */
        assert_int_equal(kafka_position_begin(&p, &value), KAFKA_BEGIN_NONE);
    }
    struct sink_position plain = kafka_position_encode(42, &f);
    int64_t value;
    assert_int_equal(kafka_position_begin(&plain, &value), KAFKA_BEGIN_NONE);
    plain = kafka_position_encode(42, NULL);
    assert_int_equal(kafka_position_begin(&plain, &value), KAFKA_BEGIN_NONE);
}

static void keys_are_taken_apart(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "a",
                                      "p/kafka/X/t",
                                      "p/kafka/X/t/",
                                      "p/kafka/X/t/1x",
                                      "p/kafka/X/t/1/",
                                      "p/mqtt/X/t/1",
                                      "p/kafka/X/t/12345678901",
                                      "p/kafka/X/t/2147483648",
                                      "p/kafka/X/t/-1"};
    struct kafka_key_parts k;
    struct buffer key = {0};
    kafka_position_key(&key, "plant-1", "4L6g3nShT-eMCtK--X86sw", "edge.metrics_2", 2147483647);
    assert_true(kafka_position_parse_key(key.data, (uint32_t)key.len, &k));
    buffer_append_u8(&key, 0); /* not part of it */
    assert_true(k.sink.len == 7 && !memcmp(k.sink.data, "plant-1", 7));
    assert_true(k.cluster.len == 22 && !memcmp(k.cluster.data, "4L6g3nShT-eMCtK--X86sw", 22));
    assert_true(k.topic.len == 14 && !memcmp(k.topic.data, "edge.metrics_2", 14));
    assert_int_equal(k.partition, 2147483647);
    buffer_release(&key);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(kafka_position_parse_key(bad[i], (uint32_t)strlen(bad[i]), &k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_is_readable),        cmocka_unit_test(fingerprint_survives),
        cmocka_unit_test(no_fingerprint_is_none), cmocka_unit_test(fingerprint_tells_records_apart),
        cmocka_unit_test(orders_survive),         cmocka_unit_test(keys_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
