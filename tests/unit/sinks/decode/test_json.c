/* JSON by a mapping: what isn't in the examples of config/json-mappings.md, limits and mistakes above all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"
#include "sinks/decode/json_mapping.h"

static struct json_mapping *compile(const struct json_mapping_text *text)
{
    struct json_mapping *mapping = NULL;
    const char *key = "";
    struct error error = {0};
    if (json_mapping_compile(&mapping, text, 2, &key, &error) < 0)
        fail_msg("%s: %s", key, error.message);
    return mapping;
}

/* One line a sample: name{labels} value time; then what was rejected. */
static void dump(const struct json_mapping *mapping, const char *payload, size_t size, struct buffer *ret)
{
    const struct decoder *json = decoder_find("json");
    const struct decode_options options = {.json = mapping};
    struct sample_batch batch = {0};
    struct label_list labels = {0};
    const char *reason = NULL;
    char *tight = malloc(size ? size : 1);
    memcpy(tight, payload, size);
    const struct message m = {.payload = span_of(tight, size), .topic = span_of("a/b/t", 5)};
    if (json->decode(&options, &m, &batch, &reason) == DECODE_REJECT) {
        assert_true(batch.samples_count == 0 && batch.groups_count == 0 && batch.bad_lines_count == 0);
        buffer_printf(ret, "reject %s\n", reason);
    }
    size_t samples = 0;
    for (size_t g = 0; g < batch.groups_count; g++) {
        const struct sample_group *group = &batch.groups[g];
        assert_true(group->samples_count > 0 && group->first_sample == samples);
        samples += group->samples_count;
        for (size_t i = group->first_sample; i < samples; i++) {
            const struct sample *s = &batch.samples[i];
            assert_int_equal(json->labels(&options, group->key, s->field, &labels, &reason), 0);
            const struct label *name = &labels.labels[labels.count - 1];
            buffer_append(ret, name->value.data, name->value.len);
            for (size_t l = 0; l + 1 < labels.count; l++)
                buffer_printf(ret, "{%.*s=%.*s}", (int)labels.labels[l].name.len, labels.labels[l].name.data,
                              (int)labels.labels[l].value.len, labels.labels[l].value.data);
            buffer_printf(ret, " %.17g", decimal_to_double(s->value.mantissa, s->value.exponent));
            if (s->timestamp_ms != TIMESTAMP_NONE)
                buffer_printf(ret, " %lld", (long long)s->timestamp_ms);
            buffer_append_u8(ret, '\n');
        }
    }
    assert_int_equal(samples, batch.samples_count);
    for (size_t i = 0; i < batch.bad_lines_count; i++)
        buffer_printf(ret, "bad %u %s <%.*s>\n", batch.bad_lines[i].line_number, batch.bad_lines[i].reason,
                      (int)batch.bad_lines[i].line.len, batch.bad_lines[i].line.data);
    if (batch.dropped_nan)
        buffer_printf(ret, "nan %llu\n", (unsigned long long)batch.dropped_nan);
    free(tight);
    sample_batch_release(&batch);
    label_list_release(&labels);
}

static void expect(const struct json_mapping_text *text, const char *payload, const char *want)
{
    struct json_mapping *mapping = compile(text);
    struct buffer got = {0};
    dump(mapping, payload, strlen(payload), &got);
    if (strcmp(buffer_cstr(&got), want) != 0)
        print_error("%s\n", payload);
    assert_string_equal(buffer_cstr(&got), want);
    buffer_release(&got);
    json_mapping_free(mapping);
}

static void test_defaults(void **state)
{
    (void)state;
    expect(NULL, "{\"a\":1,\"b\":{\"c\":-2.5,\"d\":[1e3,true]},\"e\":false,\"f\":null,\"g\":\"7\"}",
           "t_a 1\nt_b_c -2.5\nt_b_d_0 1000\nt_b_d_1 1\nt_e 0\n");
    expect(NULL, "[{\"a\":1},{\"b\":2}]", "t_a 1\nt_b 2\n");
    expect(NULL, "[[1,2],3]", "t_0 1\nt_1 2\nt 3\n");
    expect(NULL, " 21.5 ", "t 21.5\n");
    expect(NULL, "true", "t 1\n");
    expect(NULL, "\"text\"", "");
    expect(NULL, "{}", "");
    expect(NULL, "[]", "");
    expect(NULL, "", "");
    expect(NULL, "{\"a b\":1,\"x\\u00e9\\n\":{\"\\\"\":2},\"\":3}", "t_a b 1\nt_xé\n_\" 2\nt 3\n");
    expect(NULL, "{\"a\":NaN,\"b\":-inf,\"c\":1}", "t_b -inf\nt_c 1\nnan 1\n");
    expect(&(struct json_mapping_text){.name = ""}, "{\"a\":{\"b\":1}}", "a_b 1\n");
    expect(&(struct json_mapping_text){.name = ""}, "[1,{\"a\":1}]", "a 1\nbad 1 missing_name <1>\n");
    expect(&(struct json_mapping_text){.name = "${topic}-$$"}, "{\"a\":1}", "a/b/t-$_a 1\n");
}

static void test_broken_documents_are_rejected_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {"{",           "{\"a\":1", "{\"a\":1}}", "[1,]",
                                        "{\"a\" 1}",   "nonsense", "\"ab",       "{\"a\":1}x",
                                        "[{\"a\":1},", "{\"a\":}", "[1 2]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(NULL, texts[i], "reject bad_json\n");
    const struct json_label_text label = {"l", "$$.l"};
    expect(&(struct json_mapping_text){.labels = &label, .labels_count = 1}, "{\"l\":1", "reject bad_json\n");
}

static void test_labels(void **state)
{
    (void)state;
    const struct json_label_text labels[] = {{"id", "$.id"}, {"deep", "$.a['b c'][1]"}};
    const struct json_mapping_text text = {.labels = labels, .labels_count = 2};
    expect(&text, "{\"v\":1,\"id\":\"x\\u0041\",\"a\":{\"b c\":[0,true]}}",
           "t_v{id=xA}{deep=true} 1\nt_a_b c_0{id=xA}{deep=true} 0\n");
    expect(&text, "{\"v\":1,\"id\":1.50,\"a\":{\"b c\":[0,\"\"]}}", "t_v{id=1.50} 1\nt_a_b c_0{id=1.50} 0\n");
    /* The first of two counts; what is missing or no scalar costs its reading only. */
    expect(&text,
           "[{\"v\":1,\"id\":1,\"id\":2,\"a\":{\"b c\":[null,3]}},{\"v\":1},{\"id\":null,\"v\":1,\"a\":{\"b "
           "c\":[0,0]}},{\"v\":1,\"id\":[],\"a\":{\"b c\":[0,0]}}]",
           "t_v{id=1}{deep=3} 1\n"
           "bad 2 missing_label <{\"v\":1}>\n"
           "bad 3 missing_label <{\"id\":null,\"v\":1,\"a\":{\"b c\":[0,0]}}>\n"
           "bad 4 bad_label <{\"v\":1,\"id\":[],\"a\":{\"b c\":[0,0]}}>\n");
    expect(&text, "{\"v\":1}", "reject missing_label\n");
}

static void test_names(void **state)
{
    (void)state;
    const struct json_mapping_text text = {.name = "$topic_last.${$.type}/${$$.plant}"};
    expect(&text, "{\"plant\":\"ulm\",\"type\":\"oven\",\"v\":1}", "t.oven/ulm_v 1\n");
    expect(&text, "{\"type\":\"oven\",\"v\":1}", "reject missing_name\n");
    expect(&text, "{\"plant\":{},\"type\":\"oven\",\"v\":1}", "reject bad_name\n");
    /* "}" in a quoted name ends nothing. */
    expect(&(struct json_mapping_text){.name = "x${$['a}b']}"}, "{\"a}b\":\"y\",\"v\":1}", "xy_v 1\n");
}

static void test_times(void **state)
{
    (void)state;
    const struct json_mapping_text any = {.time = "$.t"}, s = {.time = "$.t", .time_format = "s"},
                                   rfc = {.time = "$.t", .time_format = "rfc3339"};
    static const struct {
        const char *time, *ms;
    } cases[] = {
        {"1785328800", "1785328800000"},
        {"1785328800.25", "1785328800250"},
        {"1.7853288e9", "1785328800000"},
        {"1785328800123", "1785328800123"},
        {"1785328800123456", "1785328800123"},
        {"1785328800123456789", "1785328800123"},
        {"\"1785328800123\"", "1785328800123"},
        {"-5", "-5000"},
        {"\"2026-07-29T12:40:00Z\"", "1785328800000"},
        {"\"2026-07-29 14:40:00.1239+02:00\"", "1785328800123"},
        {"\"2026-07-29t07:10:00.5-05:30\"", "1785328800500"},
        {"\"2024-02-29T00:00:00\\u005a\"", "1709164800000"},
        {"\"1969-12-31T23:59:59Z\"", "-1000"},
    };
    char payload[128], want[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(payload, sizeof payload, "{\"t\":%s,\"v\":1}", cases[i].time);
        snprintf(want, sizeof want, "t_v 1 %s\n", cases[i].ms);
        expect(&any, payload, want);
    }
    expect(&s, "{\"t\":1785328800123,\"v\":1}", "t_v 1 1785328800123000\n");
    expect(&any, "{\"v\":1}", "t_v 1\n");
    expect(&any, "{\"t\":null,\"v\":1}", "t_v 1\n");
    expect(&any, "{\"t\":0,\"v\":1}", "t_v 1\n");
    static const char *const wrong[] = {"true",
                                        "[]",
                                        "1-2",
                                        "\"\"",
                                        "\"now\"",
                                        "\"2026-07-29T12:40:00\"",
                                        "\"2026-02-29T12:40:00Z\"",
                                        "\"2026-13-01T12:40:00Z\"",
                                        "\"2026-07-29T24:40:00Z\"",
                                        "\"2026-07-29T12:40:00.Z\"",
                                        "\"2026-07-29T12:40:00+0200\"",
                                        "\"2026-07-29\"",
                                        "1e30",
                                        "9999999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(payload, sizeof payload, "{\"t\":%s,\"v\":1}", wrong[i]);
        expect(&any, payload, "reject bad_time\n");
    }
    expect(&rfc, "{\"t\":1785328800,\"v\":1}", "reject bad_time\n");
}

static void test_fields(void **state)
{
    (void)state;
    const char *const fields[] = {"$.a", "$.b as x", "$.c.*", "$.d as y", "$.e[1]", "$.a.deep as z"};
    const struct json_mapping_text text = {.fields = fields, .fields_count = 6};
    expect(&text,
           "{\"a\":{\"one\":1,\"s\":\"5\",\"deep\":2},\"b\":\"-1.5e1\",\"c\":{\"k\":{\"l\":3}},\"d\":[4,[5]],"
           "\"e\":[6,7],\"f\":8}",
           "t_a_one 1\nt_z 2\nt_x -15\nt_k_l 3\nt_y_0 4\nt_y_1_0 5\nt_e_1 7\n");
    expect(&text, "{\"f\":8}", "reject missing_fields\n");
    expect(&text, "{\"b\":\"on\"}", "reject bad_field\n");
    expect(&text, "{\"b\":\"\"}", "reject bad_field\n");
    expect(&text, "{\"b\":null,\"e\":[0,1]}", "t_e_1 1\n");
    expect(&text, "{\"c\":5,\"e\":[0,1]}", "t_e_1 1\n"); /* nothing is below a number */
    expect(NULL, "{\"v\":1-2}", "reject bad_number\n");
    /* A path of labels or time that is named is both. */
    const char *const id[] = {"$.id"};
    const struct json_label_text label = {"id", "$.id"};
    expect(&(struct json_mapping_text){.labels = &label, .labels_count = 1, .fields = id, .fields_count = 1},
           "{\"id\":7}", "t_id{id=7} 7\n");
    const char *const all[] = {"$.*"};
    expect(&(struct json_mapping_text){.labels = &label, .labels_count = 1, .fields = all, .fields_count = 1},
           "{\"id\":7,\"v\":1}", "t_v{id=7} 1\n");
}

static void test_each(void **state)
{
    (void)state;
    const struct json_label_text labels[] = {{"g", "$$.g"}, {"id", "$.id"}};
    struct json_mapping_text text = {.each = "$.r[*]", .labels = labels, .labels_count = 2};
    expect(&text, "{\"r\":[{\"id\":1,\"v\":1},{\"v\":2},{\"id\":3,\"v\":3}],\"g\":\"x\"}",
           "t_v{g=x}{id=1} 1\nt_v{g=x}{id=3} 3\nbad 2 missing_label <{\"v\":2}>\n");
    expect(&text, "{\"r\":{\"k\":{\"id\":1,\"v\":1}},\"g\":\"x\"}", "t_v{g=x}{id=1} 1\n");
    expect(&text, "{\"r\":[],\"g\":\"x\"}", "");
    expect(&text, "{\"r\":7,\"g\":\"x\"}", "reject no_readings\n");
    expect(&text, "{\"g\":\"x\"}", "reject no_readings\n");
    expect(&text, "[]", "reject no_readings\n");
    text = (struct json_mapping_text){.each = "$[*].a[1]['b']"};
    expect(&text, "[{\"a\":[0,{\"b\":{\"v\":1}}]},{\"a\":[0]},{\"a\":[0,{\"b\":2}]}]", "t_v 1\nt 2\n");
    text = (struct json_mapping_text){.each = "$.*.*"};
    expect(&text, "{\"a\":[1,\"x\"],\"b\":{\"c\":true}}", "t 1\nt 1\n");
}

static void test_limits(void **state)
{
    (void)state;
    struct json_mapping *mapping = compile(NULL);
    struct buffer payload = {0}, got = {0};
    for (int i = 0; i < 65; i++)
        buffer_append_str(&payload, "[");
    dump(mapping, (const char *)payload.data, payload.len, &got);
    assert_string_equal(buffer_cstr(&got), "reject json_too_deep\n");

    /* A name of 1024 bytes is one, of 1025 isn't. */
    for (int extra = 0; extra < 2; extra++) {
        buffer_clear(&payload);
        buffer_clear(&got);
        buffer_append_str(&payload, "[{\"");
        for (int i = 0; i < 1024 + extra; i++)
            buffer_append_u8(&payload, 'n');
        buffer_append_str(&payload, "\":1},{\"v\":1}]");
        dump(mapping, (const char *)payload.data, payload.len, &got);
        assert_int_equal(strstr(buffer_cstr(&got), "field_name_too_long") != NULL, extra);
        assert_non_null(strstr(buffer_cstr(&got), "t_v 1\n"));
    }

    /* A long key above many values: refused before it eats memory. */
    buffer_clear(&payload);
    buffer_clear(&got);
    buffer_append_str(&payload, "{\"");
    for (int i = 0; i < 1000; i++)
        buffer_append_u8(&payload, 'n');
    buffer_append_str(&payload, "\":[1");
    for (int i = 0; i < 70000; i++)
        buffer_append_str(&payload, ",1");
    buffer_append_str(&payload, "]}");
    dump(mapping, (const char *)payload.data, payload.len, &got);
    assert_string_equal(buffer_cstr(&got), "reject names_too_large\n");
    buffer_release(&payload);
    buffer_release(&got);
    json_mapping_free(mapping);
}

static void test_bad_keys_have_no_labels(void **state)
{
    (void)state;
    const struct json_label_text label = {"id", "$.id"};
    struct json_mapping *mapping = compile(&(struct json_mapping_text){.labels = &label, .labels_count = 1});
    const struct decode_options options = {.json = mapping};
    struct label_list labels = {0};
    const char *reason = NULL;
    static const char *const keys[] = {"", "\1\0\0", "\4\0\0\0abc", "\1\0\0\0a\2\0\0\0b"};
    static const size_t sizes[] = {0, 3, 7, 10};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(decoder_find("json")->labels(&options, span_of(keys[i], sizes[i]), span_of("f", 1),
                                                      &labels, &reason),
                         ERR_INVALID);
    label_list_release(&labels);
    json_mapping_free(mapping);
}

static void test_mistakes_name_their_key(void **state)
{
    (void)state;
    const struct json_label_text twice[] = {{"a", "$.b"}, {"a", "$.c"}}, relative = {"a", "b"},
                                 reference = {"a", "$1"}, all = {"a", "$.b[*]"};
    const char *const fields[][2] = {{"$.a as", NULL},  {"$.a b", NULL},      {"$.a", "$.a as b"},
                                     {"$", NULL},       {"$.a[*].b", NULL},   {"$$.a", NULL},
                                     {"a", NULL},       {"$.a as b c", NULL}, {"$..a", NULL},
                                     {"$.a[-1]", NULL}, {"$.a['b]", NULL},    {"$.a[?(@.b)]", NULL}};
    const struct {
        const char *key, *part;
        struct json_mapping_text text;
    } cases[] = {
        {"each", "a path starts with $", {.each = "readings"}},
        {"each", "$$ is of use below", {.each = "$$.a"}},
        {"each", "white space", {.each = "$.a b"}},
        {"each",
         "more than 32 steps",
         {.each = "$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"}},
        {"labels", "a: given twice", {.labels = twice, .labels_count = 2}},
        {"labels", "a: a path starts with $", {.labels = &relative, .labels_count = 1}},
        {"labels", "a: [*] finds several", {.labels = &all, .labels_count = 1}},
        {"labels",
         "a: a path starts with $, as in $.device.id; a fixed text goes into the labels beside format",
         {.labels = &relative, .labels_count = 1}},
        {"labels", "references such as $1 aren't read here", {.labels = &reference, .labels_count = 1}},
        {"name", "stands in braces here, as in ${$.type}", {.name = "x_$.type"}},
        {"name", "stands in braces here", {.name = "$['type']"}},
        {"name", "no reference", {.name = "$nothing"}},
        {"name", "key can't be used here", {.name = "$key"}},
        {"name", "the last one is $2", {.name = "$3"}},
        {"name", ".. (anywhere below)", {.name = "${$..a}"}},
        {"time", "a point without a name", {.time = "$."}},
        {"time_format", "\"min\" is not known", {.time = "$.t", .time_format = "min"}},
        {"fields", "one name belongs after as", {.fields = fields[0], .fields_count = 1}},
        {"fields", "after the path", {.fields = fields[1], .fields_count = 1}},
        {"fields", "given twice", {.fields = fields[2], .fields_count = 2}},
        {"fields", "leave `fields` out", {.fields = fields[3], .fields_count = 1}},
        {"fields", "[*] finds several", {.fields = fields[4], .fields_count = 1}},
        {"fields", "of one reading", {.fields = fields[5], .fields_count = 1}},
        {"fields", "starts with $", {.fields = fields[6], .fields_count = 1}},
        {"fields", "one name belongs after as", {.fields = fields[7], .fields_count = 1}},
        {"fields", ".. (anywhere below)", {.fields = fields[8], .fields_count = 1}},
        {"fields", "a bracket holds", {.fields = fields[9], .fields_count = 1}},
        {"fields", "isn't ended by", {.fields = fields[10], .fields_count = 1}},
        {"fields", "a bracket holds", {.fields = fields[11], .fields_count = 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_mapping *mapping = NULL;
        const char *key = "";
        struct error error = {0};
        assert_int_equal(json_mapping_compile(&mapping, &cases[i].text, 2, &key, &error), ERR_INVALID);
        assert_null(mapping);
        if (strcmp(key, cases[i].key) != 0 || !strstr(error.message, cases[i].part))
            fail_msg("%zu: %s: %s", i, key, error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_broken_documents_are_rejected_whole),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bad_keys_have_no_labels),
        cmocka_unit_test(test_mistakes_name_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
