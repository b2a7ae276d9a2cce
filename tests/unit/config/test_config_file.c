/* config/varve.yaml says what the code does: it parses, names every key that works and no other, and its
 * commented-out values are the defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_keys.h"
#include "config/yaml_tree.h"
#include "src/base/buffer.h"

/* VARVE_YAML with the # of every setting taken away: one right before a key or a list's item. */
static void read_uncommented(struct buffer *dst)
{
    char line[1024];
    FILE *f = fopen(VARVE_YAML, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        size_t indent = strspn(line, " ");
        if (line[indent] == '#' && (islower((unsigned char)line[indent + 1]) || line[indent + 1] == '-')) {
            buffer_append(dst, line, indent);
            buffer_append_str(dst, line + indent + 1);
        } else {
            buffer_append_str(dst, line);
        }
    }
    fclose(f);
}

static struct yaml_tree *uncommented_tree(void)
{
    struct buffer text = {0};
    struct yaml_tree *tree = NULL;
    struct yaml_position at;
    struct error err = {0};
    read_uncommented(&text);
    if (yaml_tree_parse(&tree, (const char *)text.data, text.len, &at, &err) < 0)
        fail_msg("%s:%u:%u: %s", VARVE_YAML, at.line, at.column, err.message);
    buffer_release(&text);
    return tree;
}

static void test_it_passes_out_of_the_box(void **state)
{
    (void)state;
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    if (config_read_file(&cfg, VARVE_YAML, NULL, &errors) < 0) {
        config_errors_print(&errors, stderr);
        fail();
    }
    assert_string_equal(cfg->storage.path, "/var/lib/varve");
    assert_int_equal(cfg->sinks_count, 0);
    config_free(cfg);
}

static void test_its_examples_pass_too(void **state)
{
    (void)state;
    char directory[] = "/tmp/varve-test-credentials-XXXXXX";
    char path[128];
    assert_non_null(mkdtemp(directory));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
    snprintf(path, sizeof path, "%s/plant", directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);

    struct buffer text = {0};
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    read_uncommented(&text);
    int r = config_read_text(&cfg, "varve.yaml", (const char *)text.data, text.len, NULL, &errors);
    config_errors_print(&errors, stderr);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(r, 0);
    assert_int_equal(cfg->sinks_count, 3);
    config_free(cfg);
    buffer_release(&text);
}

/* Every key of a table that works stands in one of the count mappings, with its default if it has one. */
static void expect_keys(const struct config_key *keys, const struct yaml_node *const *mappings, size_t count,
                        const char *where)
{
    for (const struct config_key *key = keys; key->name; key++) {
        const struct yaml_node *value = NULL;
        for (size_t i = 0; i < count && !value; i++)
            value = yaml_node_get(mappings[i], key->name);
        if (key->flags & CONFIG_KEY_NOT_BUILT) {
            if (value)
                fail_msg("%s%s doesn't work yet but stands in varve.yaml", where, key->name);
            continue;
        }
        if (!value)
            fail_msg("%s%s works but isn't in varve.yaml", where, key->name);
        if (key->children && value->kind == YAML_KIND_SEQUENCE)
            expect_keys(key->children, (const struct yaml_node *const *)value->items, value->count,
                        key->name);
        else if (key->children)
            expect_keys(key->children, &value, 1, key->name);
        if (key->default_text) {
            assert_int_equal(value->kind, YAML_KIND_SCALAR);
            assert_string_equal(value->text, key->default_text);
        }
    }
}

static void test_keys_and_defaults_are_the_code_s(void **state)
{
    (void)state;
    struct yaml_tree *tree = uncommented_tree();
    const struct yaml_node *root = tree->root;
    expect_keys(config_root_keys, &root, 1, "");
    yaml_tree_free(tree);
}

/* Each bound and default in the table is something that the key itself would take. */
static void expect_sound_table(const struct config_key *keys)
{
    for (const struct config_key *key = keys; key->name; key++) {
        int64_t ms;
        uint64_t v;
        const char *bounds[] = {key->min_text, key->max_text};
        assert_true(!key->read == !!(key->flags & CONFIG_KEY_NOT_BUILT));
        if (key->read)
            assert_true(key->children || config_key_example(key));
        for (size_t i = 0; i < 2; i++) {
            if (!bounds[i])
                continue;
            if (key->read == config_read_duration)
                assert_int_equal(config_parse_duration_ms(bounds[i], &ms, NULL), 0);
            else if (key->read == config_read_count)
                assert_int_equal(config_parse_count(bounds[i], &v, NULL), 0);
            else
                assert_int_equal(config_parse_size(bounds[i], &v, NULL), 0);
        }
        if (key->children)
            expect_sound_table(key->children);
    }
}

static void test_table_is_sound(void **state)
{
    (void)state;
    expect_sound_table(config_root_keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_passes_out_of_the_box),
        cmocka_unit_test(test_its_examples_pass_too),
        cmocka_unit_test(test_keys_and_defaults_are_the_code_s),
        cmocka_unit_test(test_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
