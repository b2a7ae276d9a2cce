/* inspect and verify on stopped, running, unclean and damaged stores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "tests/doubles/slow_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES 3

static char *make_store(uint64_t messages)
{
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, messages, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    return dir;
}

static void copy_tree(const char *from, const char *to)
{
    struct fs_list list;
    assert_int_equal(fs_make_dirs(&fs_posix, to, false, NULL), 0);
    assert_int_equal(fs_list_dir(&list, from, NULL), 0);
    for (size_t i = 0; i < list.count; i++) {
        _cleanup_free_ char *source = xasprintf("%s/%s", from, list.names[i]);
        _cleanup_free_ char *target = xasprintf("%s/%s", to, list.names[i]);
        if (fs_is_dir(source)) {
            copy_tree(source, target);
            continue;
        }
        struct buffer content = {0};
        assert_int_equal(fs_read_file(source, SIZE_MAX, &content, NULL), 0);
        assert_int_equal(fs_write_file(&fs_posix, target, content.data, content.len, NULL), 0);
        buffer_release(&content);
    }
    fs_list_release(&list);
}

static void a_stopped_store_shows_its_parts_and_positions(void **state)
{
    (void)state;
    char *dir = make_store(100); /* 60 in October, 40 in November */
    struct inspection in;
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    assert_true(in.clean);
    assert_true(in.view.state.n == 1);
    assert_true(position_table_find(&in.view.state.positions, "src", 3)->position.next == 100);
    assert_int_equal(in.parts_count, 4);
    uint64_t rows[2] = {0}, items = 0;
    for (size_t i = 0; i < in.parts_count; i++) {
        const struct inspected_part *p = &in.parts[i];
        bool november = strcmp(p->month, "2026_11") == 0;
        assert_true(november || strcmp(p->month, "2026_10") == 0);
        assert_true(p->bytes > 0 && p->blocks > 0 && p->commit == 0);
        assert_true(strstr(p->dir, p->name) && strstr(p->dir, p->month) && fs_is_dir(p->dir));
        if (p->place == PLACE_INDEX) {
            items += p->rows;
            continue;
        }
        rows[november] += p->rows;
        assert_int_equal(p->min_timestamp, november ? T0 + 60000 : T0);
        assert_int_equal(p->max_timestamp, november ? T0 + 99000 : T0 + 59000);
    }
    assert_int_equal(rows[0], 60 * SERIES);
    assert_int_equal(rows[1], 40 * SERIES);
    assert_true(items > 0);
    inspection_release(&in);
    temp_dir_remove(dir);
}

static void what_waits_for_merges_is_told(void **state)
{
    (void)state;
    enum { COMMITS = 10 };
    char *dir = TEMP_DIR();
    struct slow_fs fs;
    slow_fs_init(&fs, NULL);
    atomic_store(&fs.free_bytes, 100); /* no merge has the space */
    struct storage *st = open_store(dir, &fs.fs, NULL);
    struct storage_writer *w = storage_writer_new(st);
    for (uint64_t n = 0; n < COMMITS; n++) {
        put_messages(w, n * 5, n * 5 + 5, SERIES);
        assert_int_equal(storage_flush(st, 10000, NULL), 0);
    }
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    struct inspection in;
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    struct inspected_kind small = inspection_sum(&in, "2026_10", PLACE_SMALL);
    assert_int_equal(small.parts, COMMITS);
    assert_int_equal(small.rows, COMMITS * 5 * SERIES);
    assert_int_equal(small.blocks, COMMITS * SERIES);
    assert_true(small.bytes > 0);
    assert_int_equal(small.unlisted, 0);
    assert_in_range(small.merge_waits, 8, COMMITS);
    struct inspected_kind all = inspection_sum(&in, NULL, PLACE_SMALL);
    assert_memory_equal(&all, &small, sizeof all);
    assert_int_equal(inspection_sum(&in, "2026_11", PLACE_SMALL).parts, 0);
    assert_int_equal(inspection_sum(&in, NULL, PLACE_BIG).parts, 0);
    assert_true(inspection_sum(&in, NULL, PLACE_INDEX).rows > 0);
    inspection_release(&in);

    st = open_store(dir, NULL, NULL);
    assert_true(storage_force_merge(st, "", NULL) > 0);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    small = inspection_sum(&in, NULL, PLACE_SMALL);
    assert_int_equal(small.parts, 1);
    assert_int_equal(small.merge_waits, 0);
    inspection_release(&in);
    temp_dir_remove(dir);
}

static void a_running_store_is_busy(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct storage *st = open_store(dir, NULL, NULL);
    struct inspection in;
    uint64_t parts;
    struct error error = {0};
    assert_int_equal(inspection_open(&in, dir, &error), ERR_BUSY);
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, &error), ERR_BUSY);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, &error), 0);
    assert_int_equal(parts, 0);
    temp_dir_remove(dir);
    assert_int_equal(inspection_open(&in, "/nonexistent/store", &error), ERR_NOT_FOUND);
    assert_int_equal(store_verify("/nonexistent/store", NULL, NULL, &parts, &error), ERR_NOT_FOUND);
}

static void an_unclean_store_is_read_through_its_journal(void **state)
{
    (void)state;
    char *dir = TEMP_DIR(), *copies = TEMP_DIR();
    _cleanup_free_ char *copy = xasprintf("%s/copy", copies);
    struct storage *st = open_store(dir, NULL, NULL);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 100, SERIES);
    assert_int_equal(storage_flush(st, 10000, NULL), 0);
    put_messages(w, 100, 110, SERIES); /* of no commit */
    copy_tree(dir, copy);              /* as a crash would leave it */
    struct inspection in;
    assert_int_equal(inspection_open(&in, copy, NULL), 0);
    assert_false(in.clean);
    assert_true(in.view.has_journal && in.view.state.n == 1);
    assert_true(position_table_find(&in.view.state.positions, "src", 3)->position.next == 100);
    uint64_t rows = 0;
    for (size_t i = 0; i < in.parts_count; i++)
        rows += in.parts[i].place == PLACE_INDEX ? 0 : in.parts[i].rows;
    assert_int_equal(rows, 100 * SERIES);
    inspection_release(&in);
    struct reader *r;
    assert_int_equal(reader_open_dir(&r, copy, NULL), 0);
    expect_messages(r, 100, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);

    uint64_t parts;
    assert_int_equal(store_verify(copy, NULL, NULL, &parts, NULL), 0);
    assert_int_equal(parts, 4);
    assert_int_equal(storage_recover(copy, NULL), 0);
    assert_int_equal(inspection_open(&in, copy, NULL), 0);
    assert_true(in.clean && in.view.state.n == 1);
    inspection_release(&in);
    temp_dir_remove(dir);
    temp_dir_remove(copies);
}

struct damage {
    const char *expected; /* the part */
    const char *file;
    unsigned calls;
    bool named;
};

static void on_damage(void *context, const char *part_dir, const struct error *error)
{
    struct damage *d = context;
    assert_string_equal(part_dir, d->expected);
    assert_true(error->code < 0);
    d->named |= strstr(error->message, d->file) != NULL;
    d->calls++;
}

/* Flips a byte at the start, in the middle and at the end of each file of a part. */
static void damage_part(const char *dir, const char *part)
{
    struct fs_list files;
    assert_int_equal(fs_list_dir(&files, part, NULL), 0);
    assert_true(files.count >= 6);
    for (size_t i = 0; i < files.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", part, files.names[i]);
        struct buffer content = {0};
        assert_int_equal(fs_read_file(path, SIZE_MAX, &content, NULL), 0);
        const size_t places[] = {0, content.len / 2, content.len - 1};
        for (size_t k = 0; content.len && k < 3; k++) {
            struct damage damage = {.expected = part, .file = files.names[i]};
            uint64_t parts = 0;
            content.data[places[k]] ^= 0x04;
            assert_int_equal(fs_replace_file(&fs_posix, path, content.data, content.len, NULL), 0);
            int bad = store_verify(dir, on_damage, &damage, &parts, NULL);
            if (bad != 1 || damage.calls != 1 || !damage.named)
                fail_msg("%s, byte %zu: %d damaged, named: %d", path, places[k], bad, damage.named);
            content.data[places[k]] ^= 0x04;
            assert_int_equal(parts, 4);
        }
        /* Cut short by one byte, then whole again. */
        if (content.len) {
            struct damage damage = {.expected = part, .file = files.names[i]};
            uint64_t parts;
            assert_int_equal(fs_replace_file(&fs_posix, path, content.data, content.len - 1, NULL), 0);
            if (store_verify(dir, on_damage, &damage, &parts, NULL) != 1)
                fail_msg("%s: cut short, and not found", path);
        }
        assert_int_equal(fs_replace_file(&fs_posix, path, content.data, content.len, NULL), 0);
        buffer_release(&content);
    }
    fs_list_release(&files);
}

static void verify_finds_a_flipped_byte_in_every_file(void **state)
{
    (void)state;
    char *dir = make_store(100);
    struct inspection in;
    uint64_t parts;
    assert_int_equal(inspection_open(&in, dir, NULL), 0);
    char *dirs[4];
    assert_int_equal(in.parts_count, 4);
    for (size_t i = 0; i < 4; i++)
        dirs[i] = xstrdup(in.parts[i].dir);
    inspection_release(&in);
    for (size_t i = 0; i < 4; i++)
        damage_part(dir, dirs[i]);
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        free(dirs[i]);
    temp_dir_remove(dir);
}

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_store_shows_its_parts_and_positions),
        cmocka_unit_test(what_waits_for_merges_is_told),
        cmocka_unit_test(a_running_store_is_busy),
        cmocka_unit_test(an_unclean_store_is_read_through_its_journal),
        cmocka_unit_test(verify_finds_a_flipped_byte_in_every_file),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
