#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/sinks/decode/decode_text.h"

static void expect(const char *payload, const char *topic, const char *want)
{
    expect_decoded("value", span_of(payload, strlen(payload)), topic, want);
}

static void test_numbers(void **state)
{
    (void)state;
    expect("21.5", "plant/line1/temperature", "[__name__|temperature] 21.5 none\n");
    expect(" \t-5e-3\r\n", "t", "[__name__|t] -0.0050000000000000001 none\n");
    expect("+inf", "t", "[__name__|t] inf none\n");
    expect("-Infinity", "t", "[__name__|t] -inf none\n");
    expect("NaN", "t", "nan 1\n");
    expect_decoded("value", span_of("7\n\0\0", 4), "t", "[__name__|t] 7 none\n");
}

static void test_words(void **state)
{
    (void)state;
    expect("true", "t", "[__name__|t] 1 none\n");
    expect("ON\n", "t", "[__name__|t] 1 none\n");
    expect("False", "t", "[__name__|t] 0 none\n");
    expect("off", "t", "[__name__|t] 0 none\n");
}

static void test_rejects(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    " ",    "\n",    "21.5 C", "21,5",  "open", "{\"v\":1}",
                                      "1 2", "0x10", "1e",    "--1",    "12abc", "on1",  "t",
                                      "-",   ".",    "\"1\"", "+5",     "1.2.3", "\xff", "5i"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(bad[i], "t", "reject not_a_number\n");
    expect_decoded("value", span_of("1\0002", 3), "t", "reject not_a_number\n");
}

static void test_names(void **state)
{
    (void)state;
    expect("1", "a/b/c d", "[__name__|c d] 1 none\n");
    expect("1", "edge.line.temp", "[__name__|temp] 1 none\n");
    expect("1", "a/b.c", "[__name__|b.c] 1 none\n");
    expect("1", "a/b/", "[__name__|b] 1 none\n");
    expect("1", "a//", "[__name__|a] 1 none\n");
    expect("1", "///", "[__name__|value] 1 none\n");
    expect("1", "", "[__name__|value] 1 none\n");
    expect("1", "a.", "[__name__|a.] 1 none\n");
}

static void test_keys(void **state)
{
    (void)state;
    struct sample_batch batch = {0};
    const char *reason = NULL;
    struct message m = {.payload = span_of("1", 1), .topic = span_of("x/same", 6)};
    const struct decoder *value = decoder_find("value");
    assert_int_equal(value->decode(&(struct decode_options){0}, &m, &batch, &reason), DECODE_OK);
    assert_int_equal(batch.groups[0].key.len, 6);
    assert_memory_equal(batch.groups[0].key.data, "x/same", 6);
    sample_batch_release(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_words), cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
