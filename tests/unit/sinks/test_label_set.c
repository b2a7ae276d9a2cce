#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/label_set.h"

static struct span text_span(const char *s)
{
    return span_of(s, strlen(s));
}

static bool find_header(const void *context, const char *name, struct span *ret_value)
{
    if (strcmp(name, "tenant") != 0 && strcmp(name, "a b") != 0)
        return false;
    *ret_value = text_span(context);
    return true;
}

static const struct message *example(void)
{
    static struct span captures[2];
    static struct message m;
    captures[0] = text_span("ulm");
    captures[1] = text_span("7");
    m = (struct message){
        .topic = text_span("plants/ulm/lines/7/oven.zone"),
        .key = text_span("dev-1"),
        .captures = captures,
        .captures_count = 2,
        .rest = text_span("oven.zone"),
        .header = find_header,
        .header_context = "acme",
    };
    return &m;
}

static struct label_set *compile_one(const char *value)
{
    struct label_set *set = NULL;
    struct error error = {0};
    const struct label_set_text text = {"l", value};
    if (label_set_compile(&set, &text, 1, 9, &error) < 0)
        fail_msg("%s: %s", value, error.message);
    return set;
}

static void expect(const char *value, const char *want)
{
    struct rendered_labels rendered = {0};
    struct label_set *set = compile_one(value);
    label_set_render(set, example(), &rendered);
    if (!*want) {
        assert_int_equal(rendered.count, 0);
    } else {
        assert_int_equal(rendered.count, 1);
        assert_int_equal(rendered.labels[0].name.len, 1);
        assert_int_equal(rendered.labels[0].value.len, strlen(want));
        assert_memory_equal(rendered.labels[0].value.data, want, strlen(want));
    }
    rendered_labels_release(&rendered);
    label_set_free(set);
}

static void test_references(void **state)
{
    (void)state;
    expect("plant1", "plant1");
    expect("$topic", "plants/ulm/lines/7/oven.zone");
    expect("$topic_last", "oven.zone");
    expect("$key", "dev-1");
    expect("$header:tenant", "acme");
    expect("${header:a b}", "acme");
    expect("$header:nobody", "");
    expect("$1-$2", "ulm-7");
    expect("$1$2", "ulm7");
    expect("${1}0", "ulm0");
    expect("$9", "");
    expect("$#", "oven.zone");
    expect("${#}", "oven.zone");
    expect("$$1 costs $$", "$1 costs $");
    expect("$topic_$1", "plants/ulm/lines/7/oven.zone_ulm");
    expect("${topic}s", "plants/ulm/lines/7/oven.zones");
    expect("<$header:tenant>", "<acme>");
    expect("", "");
}

static void test_topic_last(void **state)
{
    (void)state;
    struct message m = {.topic = text_span("edge.plant.temp")};
    struct rendered_labels rendered = {0};
    struct label_set *set = compile_one("$topic_last");
    label_set_render(set, &m, &rendered);
    assert_memory_equal(rendered.labels[0].value.data, "temp", 4);
    m.topic = text_span("metrics");
    label_set_render(set, &m, &rendered);
    assert_int_equal(rendered.labels[0].value.len, 7);
    m.topic = text_span("ends/");
    label_set_render(set, &m, &rendered);
    assert_int_equal(rendered.count, 0);
    rendered_labels_release(&rendered);
    label_set_free(set);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *value, *part;
    } cases[] = {
        {"$", "no reference"},
        {"$tpic", "$tpic is no reference; known are $topic"},
        {"$topics", "no reference"},
        {"$key1", "no reference"},
        {"$0", "$0 is not a group"},
        {"$3", "the last one is $2"},
        {"$99999999999999999999", "the last one is $2"},
        {"${topic", "no closing brace"},
        {"${nope}", "no reference"},
        {"${topic_x}", "no reference"},
        {"${$.a}", "a path can't be used here"},
        {"$header:", "has no name"},
        {"${header:}", "has no name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct label_set *set = NULL;
        struct error error = {0};
        const struct label_set_text text = {"site", cases[i].value};
        assert_int_equal(label_set_compile(&set, &text, 1, 2, &error), ERR_INVALID);
        assert_null(set);
        if (!strstr(error.message, cases[i].part) || strncmp(error.message, "label site: ", 12) != 0)
            fail_msg("%s: %s", cases[i].value, error.message);
    }
    struct label_set *set = NULL;
    struct error error = {0};
    const struct label_set_text twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    assert_int_equal(label_set_compile(&set, twice, 3, 0, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "label a: given twice"));
    const struct label_set_text nameless[] = {{"", "1"}};
    assert_int_equal(label_set_compile(&set, nameless, 1, 0, &error), ERR_INVALID);
    const struct label_set_text no_groups[] = {{"a", "$1"}};
    assert_int_equal(label_set_compile(&set, no_groups, 1, 0, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "the topics have none"));
}

static void test_scopes(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum label_scope scope;
        bool headers;
    } cases[] = {
        {"plant", LABEL_SCOPE_STATIC, false},
        {"$$", LABEL_SCOPE_STATIC, false},
        {"$topic", LABEL_SCOPE_TOPIC, false},
        {"$1", LABEL_SCOPE_TOPIC, false},
        {"$#", LABEL_SCOPE_TOPIC, false},
        {"x$topic_last", LABEL_SCOPE_TOPIC, false},
        {"$key", LABEL_SCOPE_MESSAGE, false},
        {"$1 $key", LABEL_SCOPE_MESSAGE, false},
        {"$header:tenant", LABEL_SCOPE_MESSAGE, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct label_set *set = compile_one(cases[i].value);
        assert_int_equal(label_set_scope(set), cases[i].scope);
        assert_int_equal(label_set_needs_headers(set), cases[i].headers);
        label_set_free(set);
    }
    assert_int_equal(label_set_scope(NULL), LABEL_SCOPE_STATIC);
    assert_false(label_set_needs_headers(NULL));
}

/* Which labels there are, and which one is empty, is part of the combination's name. */
static void test_combinations(void **state)
{
    (void)state;
    const struct label_set_text texts[] = {{"a", "$1"}, {"b", "$2"}, {"site", "x"}};
    struct label_set *set = NULL;
    assert_int_equal(label_set_compile(&set, texts, 3, 2, NULL), 0);
    struct span captures[2] = {text_span("v"), {0}};
    struct message m = {.captures = captures, .captures_count = 2};
    struct rendered_labels one = {0}, other = {0};
    label_set_render(set, &m, &one);
    assert_int_equal(one.count, 2);
    assert_memory_equal(one.labels[1].name.data, "site", 4);
    label_set_render(set, &m, &other);
    assert_int_equal(one.bytes.len, other.bytes.len);
    assert_memory_equal(one.bytes.data, other.bytes.data, one.bytes.len);
    captures[1] = captures[0];
    captures[0] = (struct span){0};
    label_set_render(set, &m, &other);
    assert_true(one.bytes.len != other.bytes.len ||
                memcmp(one.bytes.data, other.bytes.data, one.bytes.len) != 0);
    assert_memory_equal(other.labels[0].name.data, "b", 1);

    label_set_render(NULL, &m, &one);
    assert_int_equal(one.count, 0);
    assert_int_equal(one.bytes.len, 0);
    rendered_labels_release(&one);
    rendered_labels_release(&other);
    label_set_free(set);
}

static void test_static_renders_once(void **state)
{
    (void)state;
    struct label_set *set = compile_one("plant");
    struct rendered_labels rendered = {0};
    label_set_render(set, example(), &rendered);
    rendered.bytes.data[0] ^= 1;
    uint8_t changed = rendered.bytes.data[0];
    label_set_render(set, example(), &rendered);
    assert_int_equal(rendered.bytes.data[0], changed);
    rendered_labels_release(&rendered);
    label_set_free(set);
    label_set_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),   cmocka_unit_test(test_topic_last),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_combinations), cmocka_unit_test(test_static_renders_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
