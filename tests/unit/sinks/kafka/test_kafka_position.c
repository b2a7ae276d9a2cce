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

static void metadata_says_whose(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum kafka_group_owner owner;
    } cases[] = {
        {"", KAFKA_OWNER_NONE},
        {"v1;abc;7", KAFKA_OWNER_OURS},
        {"v1;abc;7;later fields", KAFKA_OWNER_OURS},
        {"v1;abcd;7", KAFKA_OWNER_OTHER_STORE},
        {"v1;ab;7", KAFKA_OWNER_OTHER_STORE},
        {"v1;;7", KAFKA_OWNER_FOREIGN},
        {"v1;abc", KAFKA_OWNER_FOREIGN},
        {"v2;abc;7", KAFKA_OWNER_FOREIGN},
        {"v1", KAFKA_OWNER_FOREIGN},
        {"connect-offset", KAFKA_OWNER_FOREIGN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(kafka_metadata_owner(cases[i].text, strlen(cases[i].text), "abc"), cases[i].owner);
    assert_int_equal(kafka_metadata_owner(NULL, 0, "abc"), KAFKA_OWNER_NONE);

    char text[KAFKA_METADATA_MAX];
    kafka_metadata_format(text, "abc", 42);
    assert_string_equal(text, "v1;abc;42");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_is_readable),        cmocka_unit_test(fingerprint_survives),
        cmocka_unit_test(no_fingerprint_is_none), cmocka_unit_test(fingerprint_tells_records_apart),
        cmocka_unit_test(metadata_says_whose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
