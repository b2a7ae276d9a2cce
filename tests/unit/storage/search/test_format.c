/* JSON as an export prints it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "src/base/decimal.h"
#include "storage/search/search.h"
#include "storage/series/metric_name.h"

static void assert_metric(const struct metric_label *labels, size_t count, const char *json)
{
    struct buffer canonical = {0}, text = {0};
    metric_name_canonical(&canonical, labels, count);
    buffer_append_str(&text, "before ");
    assert_int_equal(format_metric_json(&text, canonical.data, canonical.len, NULL), 0);
    assert_string_equal(buffer_cstr(&text) + 7, json);
    buffer_release(&canonical);
    buffer_release(&text);
}

#define LABEL(name, value)                             \
    {                                                  \
        name, sizeof name - 1, value, sizeof value - 1 \
    }

static void a_metric_is_its_labels(void **state)
{
    (void)state;
    const struct metric_label plain[] = {LABEL("__name__", "up"), LABEL("job", "a"), LABEL("zone", "b")};
    assert_metric(plain, 3, "{\"__name__\":\"up\",\"job\":\"a\",\"zone\":\"b\"}");
    assert_metric(plain, 1, "{\"__name__\":\"up\"}");
    assert_metric(plain + 1, 1, "{\"job\":\"a\"}");
    assert_metric(plain, 0, "{}");
    const struct metric_label odd[] = {LABEL("q\"", "a\"b\\c"), LABEL("w", "\n\r\t\b\x1f\x7f"),
                                       LABEL("z", "\xc3\xa4/<>&'")};
    assert_metric(
        odd, 3, "{\"q\\\"\":\"a\\\"b\\\\c\",\"w\":\"\\n\\r\\t\\u0008\\u001f\x7f\",\"z\":\"\xc3\xa4/<>&'\"}");
    const struct metric_label escaped[] = {LABEL("a", "x\x01y"), LABEL("b", "\x02")}; /* in canonical bytes */
    assert_metric(escaped, 2, "{\"a\":\"x\\u0001y\",\"b\":\"\\u0002\"}");
}

static void what_is_no_name_is_corrupt_and_appends_nothing(void **state)
{
    (void)state;
    struct buffer text = {0};
    const int64_t timestamp = 1;
    const double value = 1;
    struct series_rows rows = {(const uint8_t *)"up", 2, &timestamp, &value, 1};
    struct error error = {0};
    assert_int_equal(format_metric_json(&text, rows.name, rows.name_len, &error), ERR_CORRUPT);
    assert_int_equal(text.len, 0);
    buffer_append_str(&text, "kept");
    assert_int_equal(format_export_line(&text, &rows, &error), ERR_CORRUPT);
    assert_string_equal(buffer_cstr(&text), "kept");
    buffer_release(&text);
}

/* The text of one value, in a buffer of the caller's. */
static const char *value_text(double value, char *dst)
{
    struct buffer canonical = {0}, text = {0};
    const struct metric_label label = LABEL("__name__", "m");
    metric_name_canonical(&canonical, &label, 1);
    const int64_t timestamp = 0;
    const struct series_rows rows = {canonical.data, canonical.len, &timestamp, &value, 1};
    assert_int_equal(format_export_line(&text, &rows, NULL), 0);
    static const char before[] = "{\"metric\":{\"__name__\":\"m\"},\"values\":[",
                      behind[] = "],\"timestamps\":[0]}\n";
    assert_true(text.len > sizeof before + sizeof behind - 2);
    assert_memory_equal(text.data, before, sizeof before - 1);
    size_t len = text.len - (sizeof before - 1) - (sizeof behind - 1);
    assert_memory_equal(text.data + text.len - (sizeof behind - 1), behind, sizeof behind - 1);
    memcpy(dst, text.data + sizeof before - 1, len);
    dst[len] = '\0';
    buffer_release(&canonical);
    buffer_release(&text);
    return dst;
}

static void values_have_their_texts(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } table[] = {
        {0, "0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {-0.25, "-0.25"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {123456789.125, "123456789.125"},
        {999999999999999, "999999999999999"},
        {-123456789012345, "-123456789012345"},
        {1e300, "1e+300"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.5e-310, "1.5e-310"},
        {INFINITY, "\"Infinity\""},
        {-INFINITY, "\"-Infinity\""},
        {NAN, "null"},
    };
    char text[64];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(value_text(table[i].value, text), table[i].text);
    double stale;
    const uint64_t bits = STALE_NAN_BITS;
    memcpy(&stale, &bits, sizeof stale);
    assert_string_equal(value_text(stale, text), "null");
}

static void every_value_reads_back(void **state)
{
    (void)state;
    static const double edges[] = {
        1e15,
        1e15 + 2,
        1e15 - 1,
        9007199254740992,
        1.7976931348623157e308,
        2.2250738585072014e-308,
        4.9e-324,
        1e22,
        1e23,
        123456789012345680.0,
        -9.223372036854775807e18,
        0.1,
        1e-7,
        12345678.9,
    };
    char text[64], *end;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        assert_true(strtod(value_text(edges[i], text), &end) == edges[i]);
        assert_int_equal(*end, 0);
    }
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        double value;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(&value, &seed, sizeof value);
        if (i % 2) /* of ordinary size */
            value = (double)(int64_t)(seed % 2000000000000) / (double)(1 + i % 1000);
        if (!isfinite(value))
            continue;
        if (strtod(value_text(value, text), &end) != value || *end)
            fail_msg("%.17g was printed as %s", value, text);
    }
}

static void a_line_is_complete_json(void **state)
{
    (void)state;
    struct buffer canonical = {0}, text = {0};
    const struct metric_label labels[] = {LABEL("__name__", "m"), LABEL("a", "b")};
    metric_name_canonical(&canonical, labels, 2);
    const int64_t timestamps[] = {-1, 0, INT64_C(9222422399999)};
    const double values[] = {1, -INFINITY, 0.5};
    struct series_rows rows = {canonical.data, canonical.len, timestamps, values, 3};
    assert_int_equal(format_export_line(&text, &rows, NULL), 0);
    rows.count = 0;
    assert_int_equal(format_export_line(&text, &rows, NULL), 0);
    assert_string_equal(buffer_cstr(&text),
                        "{\"metric\":{\"__name__\":\"m\",\"a\":\"b\"},\"values\":[1,\"-Infinity\",0.5],"
                        "\"timestamps\":[-1,0,9222422399999]}\n"
                        "{\"metric\":{\"__name__\":\"m\",\"a\":\"b\"},\"values\":[],\"timestamps\":[]}\n");
    buffer_release(&canonical);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_metric_is_its_labels),
        cmocka_unit_test(what_is_no_name_is_corrupt_and_appends_nothing),
        cmocka_unit_test(values_have_their_texts),
        cmocka_unit_test(every_value_reads_back),
        cmocka_unit_test(a_line_is_complete_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
