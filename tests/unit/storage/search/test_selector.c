/* Selectors: what is read, what is refused and why, what matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/search/selector.h"

static struct selector *parse(const char *text)
{
    struct selector *s;
    struct error error = {0};
    if (selector_parse(&s, text, &error) < 0)
        fail_msg("%s", error.message);
    return s;
}

static void good_selectors_become_matchers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct {
            const char *label;
            enum matcher_op op;
            const char *value;
        } matchers[3];
    } table[] = {
        {"up", {{"__name__", MATCH_EQUAL, "up"}}},
        {" up { } ", {{"__name__", MATCH_EQUAL, "up"}}},
        {"a:b_9.c", {{"__name__", MATCH_EQUAL, "a:b_9.c"}}},
        {"\\9\\-x\\ y", {{"__name__", MATCH_EQUAL, "9-x y"}}},
        {"temperatur_\xc3\xa4", {{"__name__", MATCH_EQUAL, "temperatur_\xc3\xa4"}}},
        {"up{job=\"a\"}", {{"__name__", MATCH_EQUAL, "up"}, {"job", MATCH_EQUAL, "a"}}},
        {"{job!='a',}", {{"job", MATCH_NOT_EQUAL, "a"}}},
        {"{ job =~ \"a|b\" , host !~ `c\\d` }",
         {{"job", MATCH_REGEXP, "a|b"}, {"host", MATCH_NOT_REGEXP, "c\\d"}}},
        {"{job=\"\"}", {{"job", MATCH_EQUAL, ""}}},
        {"{\"metric.name\",a=\"b\"}", {{"__name__", MATCH_EQUAL, "metric.name"}, {"a", MATCH_EQUAL, "b"}}},
        {"{'a label'=\"b\"}", {{"a label", MATCH_EQUAL, "b"}}},
        {"{a=\"\\\"\\\\\\n\\t\\x41\\u00e4\\U0001f600\"}",
         {{"a", MATCH_EQUAL, "\"\\\n\tA\xc3\xa4\xf0\x9f\x98\x80"}}},
        {"{a='\\'\"'}", {{"a", MATCH_EQUAL, "'\""}}},
        {"{a=\"}\"}", {{"a", MATCH_EQUAL, "}"}}},
        {"up{a=\"1\",a=\"2\"}",
         {{"__name__", MATCH_EQUAL, "up"}, {"a", MATCH_EQUAL, "1"}, {"a", MATCH_EQUAL, "2"}}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct selector *s = parse(table[i].text);
        size_t count = 0;
        while (count < 3 && table[i].matchers[count].label)
            count++;
        assert_int_equal(s->count, count);
        for (size_t k = 0; k < count; k++) {
            assert_string_equal(s->matchers[k].label, table[i].matchers[k].label);
            assert_string_equal(s->matchers[k].value, table[i].matchers[k].value);
            assert_int_equal(s->matchers[k].value_len, strlen(table[i].matchers[k].value));
            assert_int_equal(s->matchers[k].op, table[i].matchers[k].op);
            assert_int_equal(s->matchers[k].regexp != NULL, s->matchers[k].op >= MATCH_REGEXP);
        }
        selector_free(s);
    }
    selector_free(NULL);
}

static void bad_selectors_are_refused_with_the_place_and_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int character; /* 0: none is named */
        const char *reason;
    } table[] = {
        {"", 1, "a name is missing"},
        {"{}", 3, "it names nothing; {__name__!=\"\"} selects all series"},
        {"9up", 1, "a name is missing"},
        {"up{", 4, "a name is missing"},
        {"up{job", 7, "one of = != =~ !~ is missing"},
        {"up{job=", 8, "a string in quotes is missing, as in label=\"value\""},
        {"up{job=a}", 8, "a string in quotes is missing"},
        {"up{job==\"a\"}", 8, "a string in quotes is missing"},
        {"up{job=\"a", 10, "the string doesn't end"},
        {"up{job=\"a\"", 11, "a comma or } is missing"},
        {"up{job=\"a\" b=\"c\"}", 12, "a comma or } is missing"},
        {"up{,}", 4, "a name is missing"},
        {"up{job=\"a\",,}", 12, "a name is missing"},
        {"up}", 3, "nothing may follow the selector"},
        {"up{} or down", 6, "nothing may follow the selector"},
        {"up[5m]", 3, "nothing may follow the selector"},
        {"up{job=\"\\q\"}", 10, "unknown escape; write \\\\ for a backslash"},
        {"up{job=\"\\", 10, "unknown escape"},
        {"up{job=\"\\x4\"}", 12, "a hexadecimal digit is missing"},
        {"up{job=\"\\U00110000\"}", 19, "no such character"},
        {"up{job=~\"(\"}", 0, "expression \"(\": character 2: missing closing parenthesis"},
        {"up{job=~\"a**\\\\C\"}", 0, "expression \"a**\\C\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct selector *s = NULL;
        struct error error = {0};
        char place[64] = "";
        if (table[i].character)
            snprintf(place, sizeof place, ": character %d: ", table[i].character);
        assert_int_equal(selector_parse(&s, table[i].text, &error), ERR_INVALID);
        if (!strstr(error.message, place) || !strstr(error.message, table[i].reason) ||
            !strstr(error.message, table[i].text))
            fail_msg("'%s' and '%s' are missing in: %s", place, table[i].reason, error.message);
        assert_null(s);
    }
}

static void a_long_selector_is_refused_with_the_reason_all_the_same(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct selector *s;
    struct error error = {0};
    buffer_append_str(&text, "up{job=\"");
    while (text.len < 5000)
        buffer_append_u8(&text, 'x');
    assert_int_equal(selector_parse(&s, buffer_cstr(&text), &error), ERR_INVALID);
    assert_non_null(strstr(error.message, ": character 5001: the string doesn't end"));
    buffer_append_str(&text, "(\"}");
    text.data[7] = '~';
    memcpy(text.data + 6, "=~\"", 3);
    assert_int_equal(selector_parse(&s, buffer_cstr(&text), &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "missing closing parenthesis"));
    while (text.len <= 65536)
        buffer_append_u8(&text, 'x');
    assert_int_equal(selector_parse(&s, buffer_cstr(&text), &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "more than 65536 bytes"));
    buffer_release(&text);
}

/* cpu_load{host="web-1",path="/a\nb",raw="\xff\xfe"} */
static void assert_match(const char *text, bool expected)
{
    static const struct metric_label labels[] = {{"__name__", 8, "cpu_load", 8},
                                                 {"host", 4, "web-1", 5},
                                                 {"path", 4, "/a\nb", 4},
                                                 {"raw", 3, "\xff\xfe", 2}};
    struct buffer canonical = {0};
    struct metric_name name = {0};
    struct selector *s = parse(text);
    metric_name_canonical(&canonical, labels, 4);
    assert_int_equal(metric_name_parse(&name, canonical.data, canonical.len, NULL), 0);
    if (selector_matches(s, &name, NULL) != expected)
        fail_msg("%s: %s", text, expected ? "doesn't match" : "matches");
    selector_free(s);
    metric_name_release(&name);
    buffer_release(&canonical);
}

static void each_operator_matches_what_it_should(void **state)
{
    (void)state;
    static const char *const hits[] = {
        "cpu_load",
        "{__name__=~\"cpu.*\"}",
        "{__name__!=\"mem\"}",
        "{host=\"web-1\"}",
        "{host!=\"web-2\"}",
        "{host!=\"\"}",
        "{host=~\"web-[0-9]\"}",
        "{host=~\"web-1|web-2\"}",
        "{host=~\"(?i)WEB-1\"}",
        "{host=~\".+\"}",
        "{host!~\"web\"}",
        "{host!~\"eb-1\"}",
        "cpu_load{host=\"web-1\",path!=\"x\"}",
        "{path=\"/a\\nb\"}",
        "{path=~\"/a.b\"}",
        "{raw=\"\\xff\\xfe\"}",
        "{raw!=\"\"}",
        "{raw=~\"(?s).*\"}",
        /* A label that isn't there counts as "". */
        "{none=\"\"}",
        "{none!=\"a\"}",
        "{none=~\".*\"}",
        "{none=~\"|a\"}",
        "{none!~\".+\"}",
        "{host=~\".*\"}",
        "{__name__=\"cpu_load\",host=~\"web.*\",none=\"\"}",
    };
    static const char *const misses[] = {
        "cpu",
        "cpu_load_",
        "{__name__!=\"cpu_load\"}",
        "{host=\"web\"}",
        "{host=\"web-1 \"}",
        "{host=\"\"}",
        "{host!=\"web-1\"}",
        "{host=~\"web\"}",
        "{host=~\"eb-1\"}",
        "{host=~\"web-2|web-\"}",
        "{host=~\"\"}",
        "{host!~\"web-.\"}",
        "{host!~\".*\"}",
        "{none!=\"\"}",
        "{none=\"a\"}",
        "{none=~\".+\"}",
        "{none!~\"\"}",
        "{none!~\".*\"}",
        "cpu_load{host=\"web-2\"}",
        "mem{host=\"web-1\"}",
        "{host=\"web-1\",host=\"web-2\"}",
        "{path=\"/a\"}",
        "{raw=\"\\xff\"}",
        "{host=~\"web-1$.\"}",
    };
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        assert_match(hits[i], true);
    for (size_t i = 0; i < sizeof misses / sizeof *misses; i++)
        assert_match(misses[i], false);
}

static void an_expression_without_end_ends(void **state)
{
    (void)state;
    struct buffer canonical = {0};
    struct metric_name name = {0};
    char value[201];
    memset(value, 'a', 200);
    value[200] = '!';
    const struct metric_label label = {"l", 1, value, 201};
    metric_name_canonical(&canonical, &label, 1);
    assert_int_equal(metric_name_parse(&name, canonical.data, canonical.len, NULL), 0);
    /* It's an error, and not "doesn't match": {l!~...} would select (and delete) what wasn't looked at. */
    static const char *const endless[] = {"{l=~\"(a+)+[bc]\"}", "{l!~\"(a+)+[bc]\"}",
                                          "{l=~\"(?:a|aa|a*)*[cd]\"}",
                                          "{x!=\"1\",l=~\"(.*)(.*)(.*)(.*)(.*)(.*)(.*)[bc]\"}"};
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct error error = {0};
        struct selector *s = parse(endless[i]);
        int64_t before_ms = clock_monotonic_ms();
        assert_int_equal(selector_matches(s, &name, &error), ERR_INVALID);
        assert_true(clock_monotonic_ms() - before_ms < 2000);
        assert_non_null(strstr(error.message, "of label l takes too long on a value of 201 bytes"));
        selector_free(s);
    }
    /* What is merely slow is answered. */
    struct selector *s = parse("{l=~\".*a.*a.*!\"}");
    assert_int_equal(selector_matches(s, &name, NULL), 1);
    selector_free(s);
    metric_name_release(&name);
    buffer_release(&canonical);
}

/* Many groups make each step of backtracking large: its memory has an end as well. */
static void an_expression_has_bounded_memory(void **state)
{
    (void)state;
    enum { GROUPS = 2000, LEN = 50000 };
    struct buffer text = {0}, canonical = {0};
    struct metric_name name = {0};
    char *value = xmalloc(LEN);
    memset(value, 'a', LEN);
    const struct metric_label label = {"l", 1, value, LEN};
    metric_name_canonical(&canonical, &label, 1);
    assert_int_equal(metric_name_parse(&name, canonical.data, canonical.len, NULL), 0);
    buffer_append_str(&text, "{l=~\"(?:a|b)*");
    for (int i = 0; i < GROUPS; i++)
        buffer_append_str(&text, "(c)?");
    buffer_append_str(&text, "d\"}");
    struct selector *s = parse(buffer_cstr(&text));
    struct error error = {0};
    assert_int_equal(selector_matches(s, &name, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "heap limit exceeded"));
    selector_free(s);
    metric_name_release(&name);
    buffer_release(&canonical);
    buffer_release(&text);
    free(value);
}

static void the_narrowest_matcher_is_the_names_equality(void **state)
{
    (void)state;
    static const struct {
        const char *text, *label;
    } table[] = {
        {"up{job=\"a\"}", "__name__"},
        {"{job=\"a\",host=\"b\"}", "job"},
        {"{job=\"\",host=\"b\"}", "host"},
        {"{job=\"a\",__name__=\"x\"}", "__name__"},
        {"{job=~\"a\"}", NULL},
        {"{job!=\"a\"}", NULL},
        {"{job=\"\"}", NULL},
        {"{__name__=\"\",job=\"a\"}", "job"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct selector *s = parse(table[i].text);
        const struct matcher *m = selector_narrowest(s);
        assert_int_equal(m != NULL, table[i].label != NULL);
        if (m)
            assert_string_equal(m->label, table[i].label);
        selector_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_selectors_become_matchers),
        cmocka_unit_test(bad_selectors_are_refused_with_the_place_and_the_reason),
        cmocka_unit_test(a_long_selector_is_refused_with_the_reason_all_the_same),
        cmocka_unit_test(each_operator_matches_what_it_should),
        cmocka_unit_test(an_expression_without_end_ends),
        cmocka_unit_test(an_expression_has_bounded_memory),
        cmocka_unit_test(the_narrowest_matcher_is_the_names_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
