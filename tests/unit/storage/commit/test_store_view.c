/*
 * What a directory holds, by its lists, its checkpoint and its journal. Parts are empty directories here: the
 * view doesn't look into them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/commit/store_view.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/commit/commit_fixture.h"

#define A "00000000000000A1"
#define B "00000000000000B2"
#define C "00000000000000C3"

static void put_checkpoint(const char *root, uint64_t n)
{
    struct checkpoint c = {.n = n};
    memcpy(c.store_id, store_id, STORE_ID_BYTES);
    set_position(&c.positions, "src", n, 3);
    set_position(&c.positions, "quiet", 1, 0);
    _cleanup_free_ char *path = xasprintf("%s/varve/checkpoint", root);
    make_dir(root, "varve");
    assert_int_equal(checkpoint_write(&c, &fs_posix, path, NULL), 0);
    checkpoint_release(&c);
}

static struct journal put_journal(const char *root, uint64_t base_n)
{
    struct journal j;
    _cleanup_free_ char *path = xasprintf("%s/varve/journal", root);
    assert_int_equal(journal_create(&j, &fs_posix, path, store_id, base_n, NULL), 0);
    return j;
}

static struct store_view load(const char *root)
{
    struct store_view view = {0};
    struct error error = {0};
    if (store_view_load(&view, root, &error) < 0)
        fail_msg("store_view_load: %s", error.message);
    return view;
}

/* Refused with this code, and a message that holds both texts. */
static void expect_refused(const char *root, int code, const char *text1, const char *text2)
{
    struct store_view view = {0};
    struct error error = {0};
    assert_int_equal(store_view_load(&view, root, &error), code);
    if (!strstr(error.message, text1) || !strstr(error.message, text2))
        fail_msg("'%s' and '%s' are missing in: %s", text1, text2, error.message);
    store_view_release(&view);
}

static const struct view_part *find(const struct store_view *view, enum part_place place, const char *name)
{
    for (size_t i = 0; i < view->months_count; i++)
        for (size_t k = 0; k < view->months[i].parts_count; k++)
            if (view->months[i].parts[k].place == place && strcmp(view->months[i].parts[k].name, name) == 0)
                return &view->months[i].parts[k];
    return NULL;
}

static void assert_dir(const struct view_part *part, const char *root, const char *path)
{
    _cleanup_free_ char *full = xasprintf("%s/%s", root, path);
    assert_string_equal(part->dir, full);
}

static void an_empty_directory_is_a_store_without_owner(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct store_view view = load(dir);
    assert_false(view.has_checkpoint);
    assert_false(view.has_journal);
    assert_int_equal(view.months_count, 0);
    store_view_release(&view);
    expect_refused("/nonexistent/store", ERR_NOT_FOUND, "/nonexistent/store", "no such directory");
    temp_dir_remove(dir);
}

static void parts_json_says_which_parts_there_are(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_file(dir, "data/small/2026_10/parts.json", "{\"Small\":[\"" A "\"],\"Big\":[\"" B "\"]}");
    make_file(dir, "data/indexdb/2026_10/parts.json", "[\"" C "\"]");
    make_dir(dir, "data/small/2026_10/" A);
    make_dir(dir, "data/small/2026_10/" C); /* not listed there */
    make_dir(dir, "data/big/2026_10/" B);
    make_dir(dir, "data/big/2026_10/" A);
    make_dir(dir, "data/indexdb/2026_10/" C);
    make_dir(dir, "data/small/2025_01");
    make_dir(dir, "data/small/snapshots");
    struct store_view view = load(dir);
    assert_int_equal(view.months_count, 2);
    assert_string_equal(view.months[0].month.name, "2025_01");
    assert_int_equal(view.months[0].parts_count, 0);
    assert_int_equal(view.months[1].parts_count, 3);
    assert_dir(find(&view, PLACE_SMALL, A), dir, "data/small/2026_10/" A);
    assert_dir(find(&view, PLACE_BIG, B), dir, "data/big/2026_10/" B);
    assert_dir(find(&view, PLACE_INDEX, C), dir, "data/indexdb/2026_10/" C);
    assert_null(find(&view, PLACE_SMALL, C));
    store_view_release(&view);
    temp_dir_remove(dir);
}

static void without_it_every_directory_counts(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_dir(dir, "data/small/2026_10/" A);
    make_dir(dir, "data/small/2026_10/tmp");
    make_dir(dir, "data/small/2026_10/txn");
    make_file(dir, "data/small/2026_10/a-file", "");
    make_dir(dir, "data/big/2026_10/" B);
    make_dir(dir, "data/indexdb/2026_10/" C);
    struct store_view view = load(dir);
    assert_int_equal(view.months_count, 1);
    assert_int_equal(view.months[0].parts_count, 3);
    assert_non_null(find(&view, PLACE_SMALL, A));
    assert_non_null(find(&view, PLACE_BIG, B));
    assert_non_null(find(&view, PLACE_INDEX, C));
    store_view_release(&view);
    temp_dir_remove(dir);
}

static void a_listed_part_that_is_missing_is_damage(void **state)
{
    (void)state;
    static const struct {
        const char *list, *text, *part;
    } cases[] = {
        {"data/small/2026_10/parts.json", "{\"Small\":[\"" A "\"],\"Big\":[]}", "/data/small/2026_10/" A},
        {"data/small/2026_10/parts.json", "{\"Small\":[],\"Big\":[\"" A "\"]}", "/data/big/2026_10/" A},
        {"data/indexdb/2026_10/parts.json", "[\"" A "\"]", "/data/indexdb/2026_10/" A},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = TEMP_DIR();
        make_file(dir, cases[i].list, cases[i].text);
        expect_refused(dir, ERR_CORRUPT, cases[i].part, "isn't there");
        make_file(dir, cases[i].list, "{");
        expect_refused(dir, ERR_CORRUPT, cases[i].list, "");
        temp_dir_remove(dir);
    }
}

static void what_is_not_layout_p_is_refused(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_dir(dir, "data/small/lost+found");
    expect_refused(dir, ERR_INVALID, "lost+found", "isn't a month");
    temp_dir_remove(dir);

    dir = TEMP_DIR();
    make_dir(dir, "indexdb/16A0000000000001");
    make_dir(dir, "indexdb/snapshots");
    struct store_view view = load(dir); /* left by an older release without a series */
    store_view_release(&view);
    make_dir(dir, "indexdb/16A0000000000001/" A);
    expect_refused(dir, ERR_INVALID, "/indexdb/16A0000000000001", "before v1.133");
    temp_dir_remove(dir);
}

static void a_journal_needs_the_checkpoint_of_its_store(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    make_dir(dir, "varve");
    struct journal j = put_journal(dir, 0);
    journal_release(&j);
    expect_refused(dir, ERR_CORRUPT, "/varve/journal", "no checkpoint");
    put_checkpoint(dir, 0);
    struct store_view view = load(dir);
    assert_true(view.has_checkpoint && view.has_journal);
    store_view_release(&view);
    _cleanup_free_ char *path = xasprintf("%s/varve/journal", dir);
    assert_int_equal(journal_create(&j, &fs_posix, path, other_id, 0, NULL), 0);
    journal_release(&j);
    expect_refused(dir, ERR_CORRUPT, "/varve/journal", "another store");
    make_file(dir, "varve/checkpoint", "VARVEC01 not quite");
    expect_refused(dir, ERR_CORRUPT, "/varve/checkpoint", "");
    temp_dir_remove(dir);
}

static void records_say_where_parts_are_and_where_sources_stand(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    put_checkpoint(dir, 4);
    struct journal j = put_journal(dir, 4);
    append_commit(&j, 5, 4, A);
    append_commit(&j, 6, 4, B);
    append_commit(&j, 7, 4, C);
    journal_release(&j);
    make_dir(dir, "varve/staging/7/small/2026_10/" C); /* not moved yet */
    make_dir(dir, "data/small/2026_10/" B);            /* moved, not listed */
    make_dir(dir, "data/small/2026_10/" A);            /* published */
    make_file(dir, "data/small/2026_10/parts.json", "{\"Small\":[\"" A "\"],\"Big\":[]}");
    struct store_view view = load(dir);
    assert_true(view.state.n == 7);
    assert_int_equal(view.state.time_ms, 7000);
    assert_true(view.state.reject_log_length == 49);
    assert_true(position_table_find(&view.state.positions, "src", 3)->position.next == 7);
    assert_true(position_table_find(&view.state.positions, "quiet", 5)->position.next == 1);
    assert_int_equal(view.months[0].parts_count, 3);
    const struct view_part *a = find(&view, PLACE_SMALL, A);
    const struct view_part *b = find(&view, PLACE_SMALL, B);
    const struct view_part *c = find(&view, PLACE_SMALL, C);
    assert_dir(a, dir, "data/small/2026_10/" A);
    assert_dir(b, dir, "data/small/2026_10/" B);
    assert_dir(c, dir, "varve/staging/7/small/2026_10/" C);
    assert_true(a->commit == 0 && b->commit == 6 && c->commit == 7);
    assert_true(!a->staged && !b->staged && c->staged);
    assert_true(view.months[0].changed[PLACE_SMALL]);
    assert_false(view.months[0].changed[PLACE_INDEX]);
    store_view_release(&view);

    _cleanup_free_ char *staged = xasprintf("%s/varve/staging/7/small/2026_10/" C, dir);
    assert_int_equal(fs_remove_tree(&fs_posix, staged, NULL), 0);
    expect_refused(dir, ERR_CORRUPT, "/data/small/2026_10/" C, "commit 7");
    temp_dir_remove(dir);
}

static void what_was_published_is_not_looked_for(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    put_checkpoint(dir, 4);
    struct journal j = put_journal(dir, 2); /* older than the checkpoint: the fold was cut off */
    append_commit(&j, 3, 2, "0000000000000003");
    append_commit(&j, 4, 3, "0000000000000004");
    append_commit(&j, 5, 4, "0000000000000005");
    append_commit(&j, 6, 4, "0000000000000006");
    append_commit(&j, 6, 6, NULL);
    append_commit(&j, 7, 6, C);
    journal_release(&j);
    make_dir(dir, "data/small/2026_10/" A); /* merged of 3 to 6, which are gone */
    make_file(dir, "data/small/2026_10/parts.json", "{\"Small\":[\"" A "\"],\"Big\":[]}");
    make_dir(dir, "varve/staging/7/small/2026_10/" C);
    struct store_view view = load(dir);
    assert_true(view.state.n == 7);
    assert_int_equal(view.months[0].parts_count, 2);
    assert_non_null(find(&view, PLACE_SMALL, A));
    assert_non_null(find(&view, PLACE_SMALL, C));
    store_view_release(&view);
    temp_dir_remove(dir);
}

static void a_record_may_not_name_what_is_no_month(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    put_checkpoint(dir, 0);
    struct journal j = put_journal(dir, 0);
    struct commit_record record = {.n = 1};
    commit_record_add_part(&record, PLACE_BIG, "2026_13", A);
    assert_int_equal(journal_append(&j, &record, NULL), 0);
    commit_record_release(&record);
    journal_release(&j);
    expect_refused(dir, ERR_CORRUPT, "/varve/journal", "2026_13");
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_is_a_store_without_owner),
        cmocka_unit_test(parts_json_says_which_parts_there_are),
        cmocka_unit_test(without_it_every_directory_counts),
        cmocka_unit_test(a_listed_part_that_is_missing_is_damage),
        cmocka_unit_test(what_is_not_layout_p_is_refused),
        cmocka_unit_test(a_journal_needs_the_checkpoint_of_its_store),
        cmocka_unit_test(records_say_where_parts_are_and_where_sources_stand),
        cmocka_unit_test(what_was_published_is_not_looked_for),
        cmocka_unit_test(a_record_may_not_name_what_is_no_month),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
