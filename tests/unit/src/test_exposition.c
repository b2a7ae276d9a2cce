#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "src/exposition.h"

static void test_text(void **unused)
{
    (void)unused;
    static const struct metric_description descriptions[] = {
        {"lag", METRIC_GAUGE, "Records to come"},
        {"size", METRIC_GAUGE, "Bytes"},
    };
    struct exposition x = {.descriptions = descriptions, .descriptions_count = 2};
    struct buffer text = {0};
    static const char sink[] =
        "lag{topic=\"a\"} 1\nseen_total{sink=\"p\"} 5\n# TYPE lag gauge\n\nlag{topic=\"b\"} 2\n"
        "not a sample\n9x 1\nbare 3";
    exposition_add(&x, "size", 12345678901.0, NULL);
    exposition_add_text(&x, sink, sizeof sink - 1);
    exposition_add(&x, "seen_total", 0.1, METRIC_LABELS("sink", "q\"\\\n", "kind", ""));
    exposition_add(&x, "size", INFINITY, METRIC_LABELS("k", "v"));
    exposition_add(&x, "size", NAN, NULL);
    exposition_write(&x, &text);
    assert_string_equal(buffer_cstr(&text), "# HELP size Bytes\n"
                                            "# TYPE size gauge\n"
                                            "size 12345678901\n"
                                            "size{k=\"v\"} +Inf\n"
                                            "size NaN\n"
                                            "# HELP lag Records to come\n"
                                            "# TYPE lag gauge\n"
                                            "lag{topic=\"a\"} 1\n"
                                            "lag{topic=\"b\"} 2\n"
                                            "# TYPE seen_total counter\n"
                                            "seen_total{sink=\"p\"} 5\n"
                                            "seen_total{sink=\"q\\\"\\\\\\n\",kind=\"\"} 0.1\n"
                                            "# TYPE bare gauge\n"
                                            "bare 3\n");
    exposition_release(&x);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
