#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/decode/json_reader.h"

/* Tokens as text: { } [ ] K:key S:string N:number T F 0 and E:reason@offset or nothing at the end. */
static void dump(const char *json, size_t len, struct buffer *ret)
{
    static const char *const marks[] = {"", "{", "}", "[", "]", "K:", "S:", "N:", "T", "F", "0"};
    struct json_reader r;
    enum json_token token;
    buffer_clear(ret);
    json_reader_init(&r, json, len);
    while ((token = json_reader_next(&r)) > JSON_END) {
        buffer_append_str(ret, marks[token]);
        if (token == JSON_KEY || token == JSON_STRING || token == JSON_NUMBER) {
            size_t start = ret->len;
            if (token == JSON_NUMBER)
                buffer_append(ret, r.text.data, r.text.len);
            else
                json_unescape(r.text, ret);
            if (token != JSON_NUMBER) {
                struct buffer meant = {0};
                buffer_append(&meant, ret->data + start, ret->len - start);
                assert_true(json_text_equals(r.text, r.escaped, buffer_cstr(&meant)));
                buffer_append_u8(&meant, 'x');
                assert_false(json_text_equals(r.text, r.escaped, buffer_cstr(&meant)));
                buffer_release(&meant);
            }
        }
        buffer_append_u8(ret, ' ');
    }
    if (token == JSON_ERROR)
        buffer_printf(ret, "E:%s@%zu", r.reason, json_reader_offset(&r));
    assert_int_equal(json_reader_next(&r), token);
}

static void expect(const char *json, const char *want)
{
    struct buffer got = {0};
    dump(json, strlen(json), &got);
    assert_string_equal(buffer_cstr(&got), want);
    buffer_release(&got);
}

static void test_documents(void **state)
{
    (void)state;
    expect("1", "N:1 ");
    expect(" \t\r\n\"x\" ", "S:x ");
    expect("{}", "{ } ");
    expect("[]", "[ ] ");
    expect("[true,false,null]", "[ T F 0 ] ");
    expect("{\"a\" : [1 , {\"b\":{}}],\"c\":\"d\"}", "{ K:a [ N:1 { K:b { } } ] K:c S:d } ");
    expect("[[],[[]]]", "[ [ ] [ [ ] ] ] ");
}

static void test_numbers(void **state)
{
    (void)state;
    expect("[-1.5e+3,.5,1.2.3,--,e]", "[ N:-1.5e+3 N:.5 N:1.2.3 N:-- N:e ] ");
    expect("[-]", "[ E:bad_json@1");
    expect("-", "N:- ");
    expect("[nan,NaN,NAN,inf,-Inf,+INF,-nan]", "[ N:nan N:NaN N:NAN N:inf N:-Inf N:+INF N:-nan ] ");
    expect("Infinity", "N:Inf E:bad_json@3");
    expect("nanx", "N:nan E:bad_json@3");
    expect("na", "E:bad_json@0");
    expect("--inf", "N:-- E:bad_json@2");
}

static void test_texts(void **state)
{
    (void)state;
    expect("\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"", "S:a\"b\\/\b\f\n\r\t ");
    expect("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "S:A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ");
    /* What is no escape stays. */
    expect("\"\\x\\u12\"", "S:\\x\\u12 ");
    expect("\"\\u12g4\"", "S:\\u12g4 ");
    expect("\"\\ud800\"", "S:\\ud800 ");
    expect("\"\\ud800\\n\"", "S:\\ud800\n ");
    expect("\"\\ud800\\u0041\"", "S:\xef\xbf\xbd ");
    expect("\"\\udc00\\ud800\"", "S:\xef\xbf\xbd ");
    expect("\"a\nb\xff\"", "S:a\nb\xff ");
    expect("\"0123456789abcdef0123456789\\\"abcdef\"", "S:0123456789abcdef0123456789\"abcdef ");
    expect("\"\\\\\"", "S:\\ ");
    expect("{\"k\\u0065y\":1}", "{ K:key N:1 } ");
}

static void test_errors(void **state)
{
    (void)state;
    expect("", "E:bad_json@0");
    expect("  ", "E:bad_json@2");
    expect("1 2", "N:1 E:bad_json@2");
    expect("{", "{ E:bad_json@1");
    expect("[", "[ E:bad_json@1");
    expect("[1", "[ N:1 E:bad_json@2");
    expect("[1,", "[ N:1 E:bad_json@3");
    expect("[1,]", "[ N:1 E:bad_json@3");
    expect("[,1]", "[ E:bad_json@1");
    expect("[1 2]", "[ N:1 E:bad_json@3");
    expect("{\"a\"}", "{ K:a E:bad_json@4");
    expect("{\"a\":}", "{ K:a E:bad_json@5");
    expect("{\"a\":1,}", "{ K:a N:1 E:bad_json@7");
    expect("{a:1}", "{ E:bad_json@1");
    expect("{1:1}", "{ E:bad_json@1");
    expect("[}", "[ E:bad_json@1");
    expect("{]", "{ E:bad_json@1");
    expect("\"abc", "E:bad_json@0");
    expect("\"abc\\", "E:bad_json@0");
    expect("\"abc\\\"", "E:bad_json@0");
    expect("tru", "E:bad_json@0");
    expect("x", "E:bad_json@0");
    expect("}", "E:bad_json@0");
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 3];
    struct json_reader r;
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    json_reader_init(&r, text, 2 * JSON_DEPTH_MAX);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        assert_int_equal(json_reader_next(&r), JSON_ARRAY_START);
    assert_int_equal(r.depth, JSON_DEPTH_MAX);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        assert_int_equal(json_reader_next(&r), JSON_ARRAY_END);
    assert_int_equal(json_reader_next(&r), JSON_END);

    memset(text, '[', JSON_DEPTH_MAX + 1);
    json_reader_init(&r, text, JSON_DEPTH_MAX + 1);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        assert_int_equal(json_reader_next(&r), JSON_ARRAY_START);
    assert_int_equal(json_reader_next(&r), JSON_ERROR);
    assert_string_equal(r.reason, "json_too_deep");
}

static void test_skip(void **state)
{
    (void)state;
    static const char json[] = "{\"a\":[1,{\"b\":\"]}\"}],\"c\":2,\"d\":{\"e\":{}}}";
    struct json_reader r;
    json_reader_init(&r, json, sizeof json - 1);
    assert_int_equal(json_reader_next(&r), JSON_OBJECT_START);
    assert_int_equal(json_reader_next(&r), JSON_KEY);
    assert_true(json_reader_skip_value(&r)); /* an array */
    assert_int_equal(json_reader_next(&r), JSON_KEY);
    assert_true(json_reader_skip_value(&r)); /* a number */
    assert_int_equal(json_reader_next(&r), JSON_KEY);
    assert_int_equal(json_reader_next(&r), JSON_OBJECT_START);
    struct json_reader bookmark = r;
    assert_true(json_reader_skip_value(&r)); /* the rest of an object */
    assert_int_equal(json_reader_next(&r), JSON_OBJECT_END);
    assert_true(json_reader_skip_value(&r)); /* nothing */
    assert_int_equal(json_reader_next(&r), JSON_END);
    assert_int_equal(json_reader_next(&bookmark), JSON_KEY);
    assert_true(json_text_equals(bookmark.text, bookmark.escaped, "e"));

    json_reader_init(&r, "[1,", 3);
    assert_int_equal(json_reader_next(&r), JSON_ARRAY_START);
    assert_false(json_reader_skip_value(&r));
    assert_int_equal(json_reader_next(&r), JSON_ERROR);
    assert_false(json_reader_skip_value(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents), cmocka_unit_test(test_numbers), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_depth),   cmocka_unit_test(test_skip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
