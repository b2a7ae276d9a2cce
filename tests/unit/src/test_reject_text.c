#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "src/reject_text.h"

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static void for_people(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct reject_entry e = {
        .time_ms = 1795521600123,
        .sink = text("plant"),
        .position = text("m/0@17 line 3"),
        .reason = text("bad_line"),
        .payload = span_of("cpu\x1b[31m\n\\\x00\xff", 12),
        .full_size = 12,
    };
    reject_append_text(&b, &e, SIZE_MAX);
    assert_string_equal(buffer_cstr(&b), "2026-11-24T12:00:00.123Z plant m/0@17 line 3 bad_line 12 bytes: "
                                         "cpu\\x1b[31m\\n\\\\\\x00\\xff\n");
    buffer_clear(&b);
    reject_append_text(&b, &e, 3);
    assert_string_equal(buffer_cstr(&b),
                        "2026-11-24T12:00:00.123Z plant m/0@17 line 3 bad_line 12 bytes: cpu...\n");
    buffer_clear(&b);
    e.position = text("a\nb\x7f@1"); /* an MQTT topic is bytes of strangers, too */
    e.payload = text("");
    e.full_size = 0;
    reject_append_text(&b, &e, 3);
    assert_string_equal(buffer_cstr(&b), "2026-11-24T12:00:00.123Z plant a\\nb\\x7f@1 bad_line 0 bytes: \n");
    buffer_release(&b);
}

static const char *json(struct buffer *b, const char *payload, size_t len, const char *key)
{
    struct reject_entry e = {
        .time_ms = 7,
        .sink = text("plant"),
        .position = text("m/0@17"),
        .reason = text("bad_line"),
        .payload = span_of(payload, len),
        .full_size = 100,
        .record_time_ms = key ? 5 : 0,
        .key = text(key ? key : ""),
    };
    buffer_clear(b);
    reject_append_json(b, &e);
    return buffer_cstr(b);
}

#define HEAD "{\"time_ms\":7,\"sink\":\"plant\",\"position\":\"m/0@17\",\"reason\":\"bad_line\",\"size\":100,"

static void for_programs(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *shown;
    } cases[] = {
        {"", 0, "\"payload\":\"\""},
        {"a\"\n\xc3\xbc", 5, "\"payload\":\"a\\\"\\n\xc3\xbc\""},
        {"\0", 1, "\"payload\":\"\\u0000\""},
        {"\xff", 1, "\"payload_base64\":\"/w==\""},
        {"\xff\x00", 2, "\"payload_base64\":\"/wA=\""},
        {"\xff\x00\x10", 3, "\"payload_base64\":\"/wAQ\""},
        {"\xff\x00\x10z", 4, "\"payload_base64\":\"/wAQeg==\""},
    };
    struct buffer b = {0}, want = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer_clear(&want);
        buffer_printf(&want, HEAD "\"kept\":%zu,%s}\n", cases[i].len, cases[i].shown);
        assert_string_equal(json(&b, cases[i].bytes, cases[i].len, NULL), buffer_cstr(&want));
    }
    assert_string_equal(json(&b, "x", 1, "k"),
                        HEAD "\"kept\":1,\"record_time_ms\":5,\"key\":\"k\",\"payload\":\"x\"}\n");
    assert_string_equal(json(&b, "x", 1, "\xfe"),
                        HEAD "\"kept\":1,\"record_time_ms\":5,\"key_base64\":\"/g==\",\"payload\":\"x\"}\n");
    buffer_release(&b);
    buffer_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(for_people), cmocka_unit_test(for_programs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
