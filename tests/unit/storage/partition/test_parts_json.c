/* parts.json, read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/partition/parts_json.h"

/* Names joined by commas; the text is the caller's to free. */
static char *joined(const struct name_list *list)
{
    struct buffer text = {0};
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(&text, "%s%s", i ? "," : "", list->names[i]);
    (void)buffer_cstr(&text);
    return (char *)text.data;
}

static void assert_names(struct name_list *list, const char *names)
{
    char *text = joined(list);
    assert_string_equal(text, names);
    free(text);
    name_list_release(list);
}

#define NAME255                                                                                        \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static void good_texts_of_rows(void **state)
{
    (void)state;
    static const struct {
        const char *text, *small, *big;
    } table[] = {
        {"{\"Small\":[],\"Big\":[]}", "", ""},
        {"{\"Small\":[\"A1\",\"B2\"],\"Big\":[\"C3\"]}", "A1,B2", "C3"},
        {"{\"Big\":[\"C3\"],\"Small\":[\"A1\"]}", "A1", "C3"},
        {"{\"Small\":null,\"Big\":null}", "", ""}, /* as Go prints a nil slice */
        {"{\"Small\":[\"A1\"]}", "A1", ""},
        {"{}", "", ""},
        {" \t\r\n{ \"Small\" : [ \"A1\" , \"B2\" ] , \"Big\" : [ ] } \n", "A1,B2", ""},
        {"{\"Small\":[\"A1\",\"A1\"],\"Big\":[\"A1\"]}", "A1", "A1"},
        {"{\"Small\":[\"1_2_20261001000000.000_20261001000001.000_17F2A\"],\"Big\":[]}",
         "1_2_20261001000000.000_20261001000001.000_17F2A", ""},
        {"{\"Small\":[\"" NAME255 "\"],\"Big\":[]}", NAME255, ""},
        {"{\"Small\":[\"\xc3\xa4 ...\"],\"Big\":[]}", "\xc3\xa4 ...", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct name_list small = {0}, big = {0};
        struct error error = {0};
        if (parts_json_parse_data(table[i].text, strlen(table[i].text), &small, &big, &error) < 0)
            fail_msg("%s: %s", table[i].text, error.message);
        assert_names(&small, table[i].small);
        assert_names(&big, table[i].big);
    }
}

static void good_texts_of_an_index(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names;
    } table[] = {{"[]", ""}, {"null", ""}, {"[\"B2\",\"A1\"]", "B2,A1"}, {" [ \"A1\" ] \n", "A1"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct name_list names = {0};
        assert_int_equal(parts_json_parse_index(table[i].text, strlen(table[i].text), &names, NULL), 0);
        assert_names(&names, table[i].names);
    }
}

static void bad_texts_are_corrupt(void **state)
{
    (void)state;
    /* Of both kinds: none is good for either, but those that start like the other kind. */
    static const char *const bad[] = {
        "",
        " ",
        "\"A1\"",
        "[",
        "{",
        "[\"A1\"",
        "[\"A1",
        "[\"A1\",]",
        "[,]",
        "[A1]",
        "[\"A1\" \"B2\"]",
        "[1]",
        "[null]",
        "[[\"A1\"]]",
        "[\"A1\"]]",
        "[\"\"]",
        "[\".\"]",
        "[\"..\"]",
        "[\"a/b\"]",
        "[\"../../etc\"]",
        "[\"a\\u0041\"]",
        "[\"a\\n\"]",
        "[\"a\nb\"]",
        "nul",
        "nulll",
        "[\"" NAME255 "f\"]",
        "{\"Small\"}",
        "{\"Small\":}",
        "{\"Small\":[]",
        "{\"Small\":[],}",
        "{\"Small\":[],,}",
        "{\"Small\":{}}",
        "{\"Small\" []}",
        "{\"Small\":[\"a/b\"]}",
        "{\"Small\":[\"..\"],\"Big\":[]}",
        "{\"small\":[]}",
        "{\"Medium\":[]}",
        "{Small:[]}",
        "{\"Small\":[]}x",
        "{\"Small\":[]}{}",
        "{\"Small\":\"A1\"}",
        "{\"\":[]}",
        "{\"AVeryLongKeyWithoutAnEnd\":[]}",
        "{\"Small\":[],\"Big\":[\"A1\",]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct name_list small = {0}, big = {0};
        struct error error = {0};
        char *copy = xmemdup(bad[i], strlen(bad[i])); /* no zero behind it */
        if (parts_json_parse_data(copy, strlen(bad[i]), &small, &big, &error) != ERR_CORRUPT)
            fail_msg("rows: '%s' was taken", bad[i]);
        assert_true(error.message[0] && !small.names && !big.names);
        if (parts_json_parse_index(copy, strlen(bad[i]), &small, &error) != ERR_CORRUPT)
            fail_msg("index: '%s' was taken", bad[i]);
        assert_null(small.names);
        free(copy);
    }
    struct name_list names = {0};
    assert_int_equal(parts_json_parse_index("[\"a\0b\"]", 7, &names, NULL), ERR_CORRUPT);
    assert_int_equal(parts_json_parse_index("[]\0", 3, &names, NULL), ERR_CORRUPT);
}

static void what_is_written_is_sorted_and_read_again(void **state)
{
    (void)state;
    struct name_list small = {0}, big = {0}, names = {0};
    struct buffer text = {0};
    parts_json_print_data(&text, &small, &big);
    assert_string_equal(buffer_cstr(&text), "{\"Small\":[],\"Big\":[]}");
    buffer_clear(&text);
    name_list_add(&small, "B2");
    name_list_add(&small, "A1");
    name_list_add(&small, "B2");
    name_list_add(&big, "C3");
    assert_true(name_list_has(&small, "A1"));
    assert_false(name_list_has(&small, "C3"));
    parts_json_print_data(&text, &small, &big);
    assert_string_equal(buffer_cstr(&text), "{\"Small\":[\"A1\",\"B2\"],\"Big\":[\"C3\"]}");
    struct name_list small2 = {0}, big2 = {0};
    assert_int_equal(parts_json_parse_data((const char *)text.data, text.len, &small2, &big2, NULL), 0);
    assert_names(&small2, "A1,B2");
    assert_names(&big2, "C3");
    buffer_clear(&text);
    parts_json_print_index(&text, &small);
    assert_string_equal(buffer_cstr(&text), "[\"A1\",\"B2\"]");
    assert_int_equal(parts_json_parse_index((const char *)text.data, text.len, &names, NULL), 0);
    assert_names(&names, "A1,B2");
    name_list_release(&small);
    name_list_release(&big);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_of_rows),
        cmocka_unit_test(good_texts_of_an_index),
        cmocka_unit_test(bad_texts_are_corrupt),
        cmocka_unit_test(what_is_written_is_sorted_and_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
