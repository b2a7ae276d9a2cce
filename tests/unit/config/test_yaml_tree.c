#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "config/yaml_tree.h"
#include "src/base/buffer.h"

static struct yaml_tree *parse(const char *text)
{
    struct yaml_tree *tree = NULL;
    struct yaml_position at = {0, 0};
    struct error err = {0};
    if (yaml_tree_parse(&tree, text, strlen(text), &at, &err) < 0)
        fail_msg("%u:%u: %s", at.line, at.column, err.message);
    return tree;
}

static void expect_error(const char *text, size_t size, uint32_t line, uint32_t column, const char *part)
{
    struct yaml_tree *tree = NULL;
    struct yaml_position at = {77, 77};
    struct error err = {0};
    assert_int_equal(yaml_tree_parse(&tree, text, size, &at, &err), ERR_INVALID);
    assert_null(tree);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" isn't in \"%s\"", part, err.message);
    assert_int_equal(at.line, line);
    assert_int_equal(at.column, column);
}

static void expect_position(const struct yaml_node *node, uint32_t line, uint32_t column)
{
    assert_int_equal(node->position.line, line);
    assert_int_equal(node->position.column, column);
}

static void test_nodes_remember_where_they_stood(void **state)
{
    (void)state;
    struct yaml_tree *tree = parse("# comment\n"
                                   "a: 1\n"
                                   "b:\n"
                                   "  - \"x\\ty\"\n"
                                   "  - {k\xc3\xa4y: v, 'z': [p, q]}\n"
                                   "c: |\n"
                                   "  line\n");
    const struct yaml_node *root = tree->root;
    assert_int_equal(root->kind, YAML_KIND_MAPPING);
    assert_int_equal(root->count, 3);
    expect_position(root, 2, 1);
    const struct yaml_node *a = yaml_node_get(root, "a");
    assert_string_equal(a->text, "1");
    assert_true(a->plain);
    expect_position(a, 2, 4);
    const struct yaml_node *b = yaml_node_get(root, "b");
    assert_int_equal(b->kind, YAML_KIND_SEQUENCE);
    assert_int_equal(b->count, 2);
    assert_string_equal(b->items[0]->text, "x\ty");
    assert_false(b->items[0]->plain);
    expect_position(b->items[0], 4, 5);
    /* Columns count characters: the key before v has one of two bytes. */
    expect_position(yaml_node_get(b->items[1], "k\xc3\xa4y"), 5, 11);
    const struct yaml_node *z = yaml_node_get(b->items[1], "z");
    assert_string_equal(z->items[1]->text, "q");
    expect_position(z->items[1], 5, 23);
    assert_string_equal(yaml_node_get(root, "c")->text, "line\n");
    assert_null(yaml_node_get(root, "d"));
    assert_null(yaml_node_get(a, "d"));
    assert_null(yaml_node_get(NULL, "d"));
    yaml_tree_free(tree);
}

static void test_empty_documents(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only this\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct yaml_tree *tree = parse(texts[i]);
        assert_null(tree->root);
        yaml_tree_free(tree);
    }
    struct yaml_tree *tree = parse("---\n");
    assert_true(yaml_node_is_null(tree->root));
    yaml_tree_free(tree);
    yaml_tree_free(NULL);
}

static void test_nulls(void **state)
{
    (void)state;
    struct yaml_tree *tree = parse("[~, null, \"\", 'null', Null, [], {}]\n");
    static const bool nulls[] = {true, true, false, false, true, false, false};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(yaml_node_is_null(tree->root->items[i]), nulls[i]);
    assert_string_equal(yaml_node_kind_name(tree->root->items[0]), "nothing");
    assert_string_equal(yaml_node_kind_name(tree->root->items[2]), "a text");
    assert_string_equal(yaml_node_kind_name(tree->root->items[5]), "a list");
    assert_string_equal(yaml_node_kind_name(tree->root->items[6]), "a mapping");
    yaml_tree_free(tree);
}

static void test_byte_order_mark(void **state)
{
    (void)state;
    struct yaml_tree *tree = parse("\xef\xbb\xbf"
                                   "a: b\n");
    expect_position(yaml_node_get(tree->root, "a"), 1, 4);
    yaml_tree_free(tree);
    expect_error("\xff\xfe"
                 "a\0:\0 \0b\0",
                 10, 1, 1, "not text in UTF-8");
}

static void test_alias_is_the_same_node(void **state)
{
    (void)state;
    struct yaml_tree *tree = parse("a: &x {k: v}\nb: *x\nc: [*x, *x]\nd: &x other\ne: *x\n");
    const struct yaml_node *a = yaml_node_get(tree->root, "a");
    assert_ptr_equal(yaml_node_get(tree->root, "b"), a);
    assert_ptr_equal(yaml_node_get(tree->root, "c")->items[1], a);
    assert_string_equal(yaml_node_get(tree->root, "e")->text, "other");
    yaml_tree_free(tree);
    expect_error("a: *x\nb: &x 1\n", 14, 1, 4, "without its anchor");
    expect_error("a: &x [1, [*x]]\n", 16, 1, 12, "inside the value");
}

/* Nine lists of nine aliases each: 9^9 nodes if written out. */
static void test_a_billion_laughs(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_append_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buffer_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            buffer_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        buffer_append_str(&text, "]\n");
    }
    expect_error((const char *)text.data, text.len, 5, 15, "more keys and values");
    buffer_release(&text);
}

static void test_limits(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buffer_append_u8(&text, '[');
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buffer_append_u8(&text, ']');
    yaml_tree_free(parse(buffer_cstr(&text)));
    buffer_clear(&text);
    for (int i = 0; i < 100000; i++)
        buffer_append_u8(&text, '[');
    expect_error((const char *)text.data, text.len, 1, YAML_DEPTH_MAX + 1, "nested deeper");
    buffer_clear(&text);
    for (int i = 0; i < 100000; i++)
        buffer_append_str(&text, "- ");
    expect_error((const char *)text.data, text.len, 1, 2 * YAML_DEPTH_MAX + 1, "nested deeper");

    buffer_clear(&text);
    for (int i = 0; i < YAML_NODES_MAX; i++)
        buffer_append_str(&text, "- a\n");
    expect_error((const char *)text.data, text.len, YAML_NODES_MAX, 3, "more keys and values");

    buffer_clear(&text);
    memset(buffer_reserve(&text, YAML_TEXT_MAX + 1), ' ', YAML_TEXT_MAX + 1);
    text.len = YAML_TEXT_MAX + 1;
    expect_error((const char *)text.data, text.len, 0, 0, "larger than 1 MiB");
    text.len = YAML_TEXT_MAX;
    struct yaml_tree *tree = NULL;
    struct yaml_position at;
    assert_int_equal(yaml_tree_parse(&tree, (const char *)text.data, text.len, &at, NULL), 0);
    yaml_tree_free(tree);
    buffer_release(&text);
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    expect_error("a: b\nc: \xff\n", 10, 2, 4, "not text in UTF-8");
    expect_error("a: \xc3", 4, 1, 4, "not text in UTF-8");
    expect_error("a: \xed\xa0\x80\n", 7, 1, 4, "not text in UTF-8");
    expect_error("a: b\0c\n", 7, 1, 5, "control character");
    expect_error("a: \"\\0\"\n", 8, 1, 4, "zero byte");
}

static void test_what_is_not_used_is_refused(void **state)
{
    (void)state;
    expect_error("a: 1\n--- \nb: 2\n", 15, 2, 1, "second document");
    expect_error("a: 1\n...\n---\nb: 2\n", 18, 3, 1, "second document");
    expect_error("a: !!int 1\n", 11, 1, 4, "tags");
    expect_error("a: !x [1]\n", 10, 1, 4, "tags");
    expect_error("a: !x {b: c}\n", 13, 1, 4, "tags");
    expect_error("? [a]\n: b\n", 10, 1, 3, "can't be a key");
    expect_error("? {a: b}\n: c\n", 13, 1, 3, "can't be a key");
    expect_error("x: &k [1]\n? *k\n: b\n", 19, 2, 3, "can't be a key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_remember_where_they_stood),
        cmocka_unit_test(test_empty_documents),
        cmocka_unit_test(test_nulls),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_alias_is_the_same_node),
        cmocka_unit_test(test_a_billion_laughs),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_what_is_not_used_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
