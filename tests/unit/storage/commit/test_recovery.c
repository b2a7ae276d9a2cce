/*
 * Recovery: the directory is made to look like the view, whatever was cut off, also recovery itself. The
 * store: two months, commits 5 (moved, not listed), 6 (rows staged, index moved), 7 (all staged, a new
 * month).
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
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/commit/commit_fixture.h"

static void add(struct commit_record *record, enum part_place place, const char *month, const char *name)
{
    commit_record_add_part(record, place, month, name);
}

static void append(struct journal *j, struct commit_record *record)
{
    assert_int_equal(journal_append(j, record, NULL), 0);
    commit_record_release(record);
}

static void put_records(const char *dir)
{
    struct checkpoint c = {.n = 4};
    memcpy(c.store_id, store_id, STORE_ID_BYTES);
    _cleanup_free_ char *checkpoint = xasprintf("%s/varve/checkpoint", dir);
    _cleanup_free_ char *journal = xasprintf("%s/varve/journal", dir);
    assert_int_equal(checkpoint_write(&c, &fs_posix, checkpoint, NULL), 0);
    struct journal j;
    assert_int_equal(journal_create(&j, &fs_posix, journal, store_id, 4, NULL), 0);
    struct commit_record record = {0};
    fill_record(&record, 5, 4);
    add(&record, PLACE_SMALL, "2026_10", "0000000000000005");
    append(&j, &record);
    fill_record(&record, 6, 4);
    add(&record, PLACE_SMALL, "2026_10", "0000000000000006");
    add(&record, PLACE_BIG, "2026_10", "0000000000000007");
    add(&record, PLACE_INDEX, "2026_10", "0000000000000008");
    append(&j, &record);
    fill_record(&record, 7, 4);
    add(&record, PLACE_SMALL, "2026_11", "0000000000000009");
    add(&record, PLACE_INDEX, "2026_11", "000000000000000A");
    append(&j, &record);
    journal_release(&j);
}

static char *make_store(void)
{
    char *dir = TEMP_DIR();
    make_dir(dir, "varve");
    put_records(dir);
    make_dir(dir, "data/small/2026_10/0000000000000001"); /* listed */
    make_dir(dir, "data/small/2026_10/0000000000000002"); /* a merge that was cut off */
    make_file(dir, "data/small/2026_10/0000000000000002/values.bin", "half of it");
    make_file(dir, "data/small/2026_10/stray", "kept");
    make_file(dir, "data/small/2026_10/parts.json", "{\"Small\":[\"0000000000000001\"],\"Big\":[]}");
    make_dir(dir, "data/big/2026_10/0000000000000003"); /* not listed */
    make_dir(dir, "data/indexdb/2026_10/0000000000000004");
    make_dir(dir, "data/indexdb/2026_10/000000000000000B"); /* not listed */
    make_file(dir, "data/indexdb/2026_10/parts.json", "[\"0000000000000004\"]");
    make_dir(dir, "data/small/2026_10/0000000000000005");
    make_dir(dir, "data/indexdb/2026_10/0000000000000008");
    make_dir(dir, "varve/staging/6/small/2026_10/0000000000000006");
    make_dir(dir, "varve/staging/6/big/2026_10/0000000000000007");
    make_dir(dir, "varve/staging/7/small/2026_11/0000000000000009");
    make_dir(dir, "varve/staging/7/indexdb/2026_11/000000000000000A");
    make_dir(dir, "varve/staging/8/small/2026_11/000000000000000C"); /* of no record */
    make_dir(dir, "data/small/2025_01/000000000000000D");            /* a stock server's, without a list */
    return dir;
}

static void assert_recovered(const char *dir)
{
    static const char *const present[] = {
        "data/small/2026_10/0000000000000001",
        "data/small/2026_10/0000000000000005",
        "data/small/2026_10/0000000000000006",
        "data/big/2026_10/0000000000000007",
        "data/indexdb/2026_10/0000000000000004",
        "data/indexdb/2026_10/0000000000000008",
        "data/small/2026_11/0000000000000009",
        "data/indexdb/2026_11/000000000000000A",
        "data/small/2025_01/000000000000000D",
        "varve/checkpoint",
        "data/small/2026_10/stray",
    };
    static const char *const absent[] = {
        "data/small/2026_10/0000000000000002",
        "data/big/2026_10/0000000000000003",
        "data/indexdb/2026_10/000000000000000B",
        "varve/journal",
        "varve/staging",
    };
    for (size_t i = 0; i < sizeof present / sizeof *present; i++)
        if (!exists(dir, present[i]))
            fail_msg("%s is missing", present[i]);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (exists(dir, absent[i]))
            fail_msg("%s is there", absent[i]);
    assert_text(dir, "data/small/2026_10/parts.json",
                "{\"Small\":[\"0000000000000001\",\"0000000000000005\",\"0000000000000006\"],"
                "\"Big\":[\"0000000000000007\"]}");
    assert_text(dir, "data/indexdb/2026_10/parts.json", "[\"0000000000000004\",\"0000000000000008\"]");
    assert_text(dir, "data/small/2026_11/parts.json", "{\"Small\":[\"0000000000000009\"],\"Big\":[]}");
    assert_text(dir, "data/indexdb/2026_11/parts.json", "[\"000000000000000A\"]");
    /* Without a list, a merge that is cut off would count as a part. */
    assert_text(dir, "data/small/2025_01/parts.json", "{\"Small\":[\"000000000000000D\"],\"Big\":[]}");
    assert_text(dir, "data/small/2026_10/stray", "kept");
    struct checkpoint c = {0};
    _cleanup_free_ char *checkpoint = xasprintf("%s/varve/checkpoint", dir);
    assert_int_equal(checkpoint_read(&c, checkpoint, NULL), 0);
    assert_true(c.n == 7);
    assert_true(position_table_find(&c.positions, "src", 3)->position.next == 7);
    checkpoint_release(&c);
}

static void assert_view_is_settled(const struct store_view *view)
{
    assert_false(view->has_journal);
    assert_true(view->state.n == 7);
    assert_int_equal(view->months_count, 3);
    for (size_t i = 0; i < view->months_count; i++) {
        for (int place = 0; place < PART_PLACES; place++)
            assert_false(view->months[i].changed[place]);
        for (size_t k = 0; k < view->months[i].parts_count; k++) {
            const struct view_part *part = &view->months[i].parts[k];
            assert_true(part->commit == 0 && !part->staged);
            assert_true(fs_is_dir(part->dir));
        }
    }
}

/* Loads and recovers; the code of the first that fails. */
static int recover(const char *dir, const struct fs *fs)
{
    struct store_view view = {0};
    struct error error = {0};
    int r = store_view_load(&view, dir, &error);
    if (r < 0)
        fail_msg("store_view_load: %s", error.message);
    r = store_view_recover(&view, fs, &error);
    if (r == 0)
        assert_view_is_settled(&view);
    store_view_release(&view);
    return r;
}

static void an_unclean_stop_is_finished(void **state)
{
    (void)state;
    char *dir = make_store();
    assert_int_equal(recover(dir, &fs_posix), 0);
    assert_recovered(dir);
    assert_int_equal(recover(dir, &fs_posix), 0); /* nothing left to do */
    assert_recovered(dir);
    temp_dir_remove(dir);
}

static void it_may_fail_at_any_step_and_be_repeated(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        static const enum fault_kind kinds[] = {FAULT_IO, FAULT_SHORT_WRITE, FAULT_FULL};
        int r = -1;
        long at = 1;
        for (; r < 0 || at < 10; at++) {
            char *dir = make_store();
            struct fault_fs ffs;
            fault_fs_init(&ffs, kinds[kind], at);
            r = recover(dir, &ffs.fs);
            if (r < 0)
                assert_int_equal(recover(dir, &fs_posix), 0);
            assert_recovered(dir);
            temp_dir_remove(dir);
            if (kinds[kind] == FAULT_FULL && at < 60)
                r = -1; /* a full disk doesn't refuse every step */
        }
        assert_true(at > 20);
    }
}

static void a_part_that_vanished_stops_it_before_anything_is_changed(void **state)
{
    (void)state;
    char *dir = make_store();
    _cleanup_free_ char *lost = xasprintf("%s/varve/staging/7/indexdb/2026_11/000000000000000A", dir);
    assert_int_equal(fs_remove_tree(&fs_posix, lost, NULL), 0);
    struct store_view view = {0};
    struct error error = {0};
    assert_int_equal(store_view_load(&view, dir, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "000000000000000A"));
    store_view_release(&view);
    assert_true(exists(dir, "varve/staging/6/small/2026_10/0000000000000006"));
    assert_true(exists(dir, "varve/journal"));
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unclean_stop_is_finished),
        cmocka_unit_test(it_may_fail_at_any_step_and_be_repeated),
        cmocka_unit_test(a_part_that_vanished_stops_it_before_anything_is_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
