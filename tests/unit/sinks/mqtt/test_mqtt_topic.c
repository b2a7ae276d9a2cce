#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sinks/mqtt/mqtt_sink.h"
#include "sinks/mqtt/mqtt_topic.h"

static bool match(const char *filter, const char *topic, struct mqtt_match *m)
{
    return mqtt_filter_match(filter, span_of(topic, strlen(topic)), m);
}

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

static void test_match(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a/b", "a/b", true},
        {"a/b", "a/b/c", false},
        {"a/b", "a", false},
        {"a/+", "a/b", true},
        {"a/+", "a/", true},
        {"a/+", "a", false},
        {"a/+", "a/b/c", false},
        {"+", "a", true},
        {"+/+", "/a", true},
        {"/+", "/a", true},
        {"+", "/a", false},
        {"#", "a/b/c", true},
        {"a/#", "a", true},
        {"a/#", "a/", true},
        {"a/#", "a/b/c", true},
        {"a/#", "ab", false},
        {"#", "$SYS/a", false},
        {"+/a", "$SYS/a", false},
        {"$SYS/#", "$SYS/a", true},
        {"a/+/c", "a/b/c", true},
        {"a/+/c", "a/b/d", false},
        {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},
        {"A", "a", false},
        {"$share/g/a/+", "a/b", true},
        {"$share/g/#", "a/b", true},
        {"$share/g/#", "$SYS/a", false},
        {"a", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (match(cases[i].filter, cases[i].topic, NULL) != cases[i].matches)
            fail_msg("%s on %s", cases[i].filter, cases[i].topic);
    }
}

static void test_captures(void **state)
{
    (void)state;
    struct mqtt_match m;
    assert_true(match("plants/+/lines/+/#", "plants/p1/lines/l2/x/y", &m));
    assert_int_equal(m.captures_count, 2);
    assert_span(m.captures[0], "p1");
    assert_span(m.captures[1], "l2");
    assert_span(m.rest, "x/y");
    assert_true(match("plants/+/lines/+/#", "plants/p1/lines/l2", &m));
    assert_span(m.rest, "");
    assert_true(match("$share/g/+/x", "/x", &m));
    assert_span(m.captures[0], "");
    assert_int_equal(mqtt_filter_captures("$share/g/+/x/+"), 2);
    assert_int_equal(mqtt_filter_captures("a/#"), 0);
}

static void test_check(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "/", "+", "#", "a/#", "+/+", "$share/g/a", "$SYS/#", "a b"};
    static const char *const bad[] = {"",         "a#",        "#/a",       "a+",         "+a/b",
                                      "$share/g", "$share//a", "$share/g/", "$share/+/a", "a\nb"};
    struct error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(mqtt_filter_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (mqtt_filter_check(bad[i], &error) != ERR_INVALID)
            fail_msg("%s is taken", bad[i]);
    }
    char many[256] = "+";
    for (int i = 0; i < MQTT_CAPTURES_MAX; i++)
        memcpy(many + 1 + 2 * i, "/+", 3);
    assert_int_equal(mqtt_filter_check(many, NULL), ERR_INVALID);
}

static void test_overlap(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool overlaps;
    } cases[] = {
        {"a", "a", true},        {"a", "b", false},      {"a/+", "a/b", true},   {"a/+", "+/b", true},
        {"a/#", "a", true},      {"a/#", "b/#", false},  {"#", "a/b", true},     {"#", "$SYS/#", false},
        {"a/+", "a/+/c", false}, {"a/+/#", "a/b", true}, {"a/+/+", "a/#", true}, {"$share/g/a", "a", true},
        {"a/b/c", "a/b", false}, {"+/#", "/", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (mqtt_filters_overlap(cases[i].a, cases[i].b) != cases[i].overlaps ||
            mqtt_filters_overlap(cases[i].b, cases[i].a) != cases[i].overlaps)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_captures),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
