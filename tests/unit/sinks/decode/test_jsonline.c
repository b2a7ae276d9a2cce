#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/sinks/decode/decode_text.h"

static void expect(const char *payload, const char *want)
{
    expect_decoded("jsonline", span_of(payload, strlen(payload)), "", want);
}

static void test_plain(void **state)
{
    (void)state;
    expect("", "");
    expect("\n\r\n", "");
    expect("{\"metric\":{\"__name__\":\"up\",\"job\":\"node\"},\"values\":[1,-0.5,2e3],"
           "\"timestamps\":[1753800000000,1753800015000,-1]}\n",
           "[__name__|up][job|node] 1 1753800000000\n[__name__|up][job|node] -0.5 1753800015000\n"
           "[__name__|up][job|node] 2000 -1\n");
    expect(" { \"timestamps\" : [ 5 ] , \"x\":{\"y\":[1]}, \"values\":[ 7\t],\"metric\":{ \"a\" : \"b\" } } "
           "\r\n",
           "[a|b] 7 5\n");
}

static void test_specials(void **state)
{
    (void)state;
    expect("{\"metric\":{\"a\":\"b\"},\"values\":[null,\"Infinity\",\"-inf\",\"NaN\",nan,-Inf,+inf,\"-null\","
           "\"in\\u0066\"],"
           "\"timestamps\":[1,2,3,4,5,6,7,8,9]}",
           "[a|b] inf 2\n[a|b] -inf 3\n[a|b] -inf 6\n[a|b] inf 7\n[a|b] inf 9\nnan 4\n");
    expect("{\"metric\":{\"a\":\"b\"},\"values\":[null],\"timestamps\":[1]}", "nan 1\n");
}

static void test_labels(void **state)
{
    (void)state;
    expect("{\"metric\":{\"a\\\"b\":\"\\u00e9\\ud83d\\ude00\\n\",\"\":\"none\",\"e\":\"\",\"n\":1,\"o\":{"
           "\"x\":\"y\"},\"z\":\"1\"},"
           "\"values\":[1],\"timestamps\":[2]}",
           "[a\"b|\xc3\xa9\xf0\x9f\x98\x80\n][z|1] 1 2\n");
    expect("{\"metric\":{\"a\":\"\"},\"values\":[1],\"timestamps\":[2]}",
           " 1 2\n"); /* no labels: for the store */
}

static void test_members(void **state)
{
    (void)state;
    /* Of equal ones the first, and plainly spelled before escaped. */
    expect("{\"metric\":{\"a\":\"1\"},\"metric\":{\"a\":\"2\"},\"value\\u0073\":[3],\"values\":[4],"
           "\"values\":[5],\"timestamps\":[1]}",
           "[a|1] 4 1\n");
    expect("{\"m\\u0065tric\":{\"a\":\"1\"},\"value\\u0073\":[3],\"values\":[4],\"timestamps\":[1]}",
           "[a|1] 3 1\n");
    expect("{\"metric\":{\"a\":\"1\"},\"value\\u0073\":[3],\"timestamps\":[1]}", "[a|1] 3 1\n");
}

static void test_bad_lines(void **state)
{
    (void)state;
    expect("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[null,1,2],\"timestamps\":[1,2]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1,2]}\n"
           "{\"metric\":{},\"values\":[1],\"timestamps\":[1]}\n"
           "{\"metric\":{\"\":\"x\"},\"values\":[1],\"timestamps\":[1]}\n"
           "{\"metric\":[],\"values\":[1],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[\"x\"],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[+5],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[true],\"timestamps\":[1]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1.5]}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[9223372036854775808]}\n"
           "[1]\n"
           " \n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1]}}\n"
           "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1]",
           "[a|b] 1 1\nbad 2 values_timestamps_differ\nbad 3 values_timestamps_differ\nbad 4 missing_tags\n"
           "bad 5 missing_tags\nbad 6 missing_metric\nbad 7 missing_values\nbad 8 missing_timestamps\n"
           "bad 9 bad_value\nbad 10 bad_value\nbad 11 bad_value\nbad 12 bad_timestamp\nbad 13 bad_timestamp\n"
           "bad 14 missing_metric\nbad 15 bad_json\nbad 16 bad_json\nbad 17 bad_json\n");
    expect("{}\nx\n", "reject missing_metric\n");
}

static void test_depth(void **state)
{
    (void)state;
    struct buffer b = {0};
    for (int depth = 63; depth <= 64; depth++) {
        buffer_clear(&b);
        buffer_append_str(&b, "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1],\"x\":");
        for (int i = 0; i < depth; i++)
            buffer_append_u8(&b, '[');
        for (int i = 0; i < depth; i++)
            buffer_append_u8(&b, ']');
        buffer_append_u8(&b, '}');
        expect(buffer_cstr(&b), depth == 63 ? "[a|b] 1 1\n" : "reject json_too_deep\n");
    }
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_specials),  cmocka_unit_test(test_labels),
        cmocka_unit_test(test_members), cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
