/* The one door to the disk: the real file system and the conveniences over it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"
#include "storage/fs/fs.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"

static void assert_mode(const char *path, mode_t mode)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void assert_content(const char *path, const void *data, size_t size)
{
    struct buffer content = {0};
    assert_int_equal(fs_read_file(path, size, &content, NULL), 0);
    assert_int_equal(content.len, size);
    if (size)
        assert_memory_equal(content.data, data, size);
    buffer_release(&content);
}

static void a_file_is_written_through_its_buffer_with_its_checksum(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/values.bin", dir);
    struct fs_file f;
    struct buffer expected = {0};
    assert_int_equal(fs_file_create(&f, &fs_posix, path, NULL), 0);
    for (unsigned i = 0; i < 3000; i++) { /* more than one buffer, in odd pieces */
        uint8_t piece[1009];
        memset(piece, (int)i, sizeof piece);
        size_t size = i % 7 ? i % sizeof piece : 0;
        assert_int_equal(fs_file_append(&f, piece, size, NULL), 0);
        buffer_append(&expected, piece, size);
        assert_int_equal(f.size, expected.len);
    }
    assert_int_equal(fs_file_append(&f, expected.data, expected.len, NULL), 0);
    size_t half = expected.len;
    buffer_reserve(&expected, half);
    buffer_append(&expected, expected.data, half);
    assert_int_equal(fs_file_finish(&f, NULL), 0);
    assert_int_equal(f.size, expected.len); /* still there to be asked for */
    assert_int_equal(f.crc, crc32c(0, expected.data, expected.len));
    assert_int_equal(fs_file_size(path), expected.len);
    assert_content(path, expected.data, expected.len);
    fs_file_abandon(&f); /* nothing left to do */
    buffer_release(&expected);

    struct error error = {0};
    assert_int_equal(fs_file_create(&f, &fs_posix, path, &error), ERR_IO); /* never over what is there */
    assert_non_null(strstr(error.message, path));
    fs_file_abandon(&f);
    temp_dir_remove(dir);
}

static void an_abandoned_file_keeps_what_was_written(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/f", dir);
    struct fs_file f = {0};
    fs_file_abandon(&f);
    assert_int_equal(fs_file_create(&f, &fs_posix, path, NULL), 0);
    assert_int_equal(fs_file_append(&f, "abc", 3, NULL), 0);
    fs_file_abandon(&f);
    assert_int_equal(fs_file_size(path), 0); /* it was only buffered */
    fs_file_abandon(&f);
    temp_dir_remove(dir);
}

static void a_file_that_fails_reports_it_and_lets_go(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    int r = -1;
    long at = 1;
    for (; r < 0; at++) {
        _cleanup_free_ char *path = xasprintf("%s/%ld", dir, at);
        struct fault_fs ffs;
        struct fs_file f;
        struct error error = {0};
        fault_fs_init(&ffs, FAULT_IO, at);
        r = fs_file_create(&f, &ffs.fs, path, &error);
        if (r == 0)
            r = fs_file_append(&f, "abc", 3, &error);
        if (r == 0)
            r = fs_file_finish(&f, &error);
        fs_file_abandon(&f);
        assert_int_equal(r, atomic_load(&ffs.faults) ? ERR_IO : 0);
        assert_true(r == 0 || strstr(error.message, path));
    }
    assert_int_equal(at, 6); /* create, write, sync and close may fail */
    temp_dir_remove(dir);
}

static void a_replaced_file_is_the_old_one_or_the_new_one(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/parts.json", dir);
    _cleanup_free_ char *tmp = xasprintf("%s/parts.json.tmp", dir);
    assert_int_equal(fs_replace_file(&fs_posix, path, "old", 3, NULL), 0);
    assert_content(path, "old", 3);
    int r = -1;
    for (long at = 1; r < 0; at++) {
        struct fault_fs ffs;
        assert_int_equal(fs_replace_file(&fs_posix, path, "old", 3, NULL), 0);
        fault_fs_init(&ffs, at % 2 ? FAULT_SHORT_WRITE : FAULT_IO, (at + 1) / 2);
        r = fs_replace_file(&ffs.fs, path, "newer", 5, NULL);
        assert_int_equal(r, atomic_load(&ffs.faults) ? ERR_IO : 0);
        int64_t size = fs_file_size(path);
        assert_true(size == 5 || (r < 0 && size == 3));
        assert_content(path, size == 3 ? "old" : "newer", (size_t)size);
    }
    /* What a crash left in the way. */
    assert_int_equal(fs_write_file(&fs_posix, tmp, "half", 4, NULL), 0);
    assert_int_equal(fs_replace_file(&fs_posix, path, "", 0, NULL), 0);
    assert_content(path, "", 0);
    assert_false(fs_exists(tmp));
    temp_dir_remove(dir);
}

static void directories_and_files_have_their_permissions(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *deep = xasprintf("%s/a/b/c", dir);
    _cleanup_free_ char *a = xasprintf("%s/a", dir);
    _cleanup_free_ char *file = xasprintf("%s/a/file", dir);
    _cleanup_free_ char *below = xasprintf("%s/a/file/d", dir);
    mode_t old = umask(022);
    assert_int_equal(fs_make_dirs(&fs_posix, deep, true, NULL), 0);
    assert_int_equal(fs_make_dirs(&fs_posix, deep, true, NULL), 0);
    assert_int_equal(fs_write_file(&fs_posix, file, "x", 1, NULL), 0);
    umask(old);
    assert_mode(a, 0750);
    assert_mode(deep, 0750);
    assert_mode(file, 0640);
    assert_true(fs_is_dir(deep) && fs_exists(deep) && !fs_is_dir(file));
    assert_int_equal(fs_file_size(deep), -1);
    assert_int_equal(fs_make_dirs(&fs_posix, below, true, NULL), ERR_IO); /* a file in the way */
    assert_int_equal(fs_posix.ops->mkdir(&fs_posix, deep, NULL), 0);
    assert_int_equal(fs_posix.ops->mkdir(&fs_posix, file, NULL), ERR_IO);
    temp_dir_remove(dir);
}

static void new_directories_are_synced_with_their_parents(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *deep = xasprintf("%s/a/b/c", dir);
    struct fault_fs ffs;
    fault_fs_init(&ffs, FAULT_NONE, 0);
    assert_int_equal(fs_make_dirs(&ffs.fs, deep, true, NULL), 0);
    assert_int_equal(atomic_load(&ffs.operations), 6); /* mkdir and sync, three times */
    assert_int_equal(fs_make_dirs(&ffs.fs, deep, true, NULL), 0);
    assert_int_equal(atomic_load(&ffs.operations), 6);
    temp_dir_remove(dir);
}

static void a_tree_is_removed_but_not_what_links_point_to(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *tree = xasprintf("%s/tree", dir);
    _cleanup_free_ char *deep = xasprintf("%s/tree/a/b", dir);
    _cleanup_free_ char *file = xasprintf("%s/tree/a/f", dir);
    _cleanup_free_ char *kept = xasprintf("%s/kept", dir);
    _cleanup_free_ char *kept_file = xasprintf("%s/kept/f", dir);
    _cleanup_free_ char *link = xasprintf("%s/tree/a/link", dir);
    assert_int_equal(fs_make_dirs(&fs_posix, deep, false, NULL), 0);
    assert_int_equal(fs_make_dirs(&fs_posix, kept, false, NULL), 0);
    assert_int_equal(fs_write_file(&fs_posix, file, "x", 1, NULL), 0);
    assert_int_equal(fs_write_file(&fs_posix, kept_file, "x", 1, NULL), 0);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(fs_remove_tree(&fs_posix, tree, NULL), 0);
    assert_false(fs_exists(tree));
    assert_content(kept_file, "x", 1);
    assert_int_equal(fs_remove_tree(&fs_posix, tree, NULL), 0); /* a missing one is fine */
    assert_int_equal(fs_remove_tree(&fs_posix, kept_file, NULL), 0);
    assert_false(fs_exists(kept_file));
    temp_dir_remove(dir);
}

static void names_are_listed_in_order(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    static const char *const names[] = {"b", "a", ".hidden", "B", "\xc3\xa4", "aa"};
    static const char *const sorted[] = {".hidden", "B", "a", "aa", "b", "\xc3\xa4"};
    struct fs_list list;
    assert_int_equal(fs_list_dir(&list, dir, NULL), 0);
    assert_int_equal(list.count, 0);
    fs_list_release(&list);
    for (size_t i = 0; i < 6; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]);
        assert_int_equal(fs_write_file(&fs_posix, path, "", 0, NULL), 0);
    }
    assert_int_equal(fs_list_dir(&list, dir, NULL), 0);
    assert_int_equal(list.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(list.names[i], sorted[i]);
    fs_list_release(&list);
    assert_int_equal(fs_list_dir(&list, "/nonexistent", NULL), ERR_NOT_FOUND);
    temp_dir_remove(dir);
}

static void files_are_read_and_mapped(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/f", dir);
    _cleanup_free_ char *empty = xasprintf("%s/empty", dir);
    assert_int_equal(fs_write_file(&fs_posix, path, "0123456789", 10, NULL), 0);
    assert_int_equal(fs_write_file(&fs_posix, empty, "", 0, NULL), 0);
    struct buffer content = {0};
    struct error error = {0};
    buffer_append_str(&content, "before");
    assert_int_equal(fs_read_file(path, 10, &content, NULL), 0);
    assert_string_equal(buffer_cstr(&content), "before0123456789");
    assert_int_equal(fs_read_file(path, 9, &content, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(fs_read_file(dir, 9999, &content, NULL), ERR_IO);
    assert_int_equal(fs_read_file("/nonexistent", 9, &content, NULL), ERR_NOT_FOUND);
    assert_int_equal(content.len, 16);
    buffer_release(&content);

    struct fs_map map = {0};
    assert_int_equal(fs_map_file(&map, path, NULL), 0);
    assert_int_equal(map.size, 10);
    assert_int_equal(fs_remove_tree(&fs_posix, path, NULL), 0);
    assert_memory_equal(map.data, "0123456789", 10); /* outlives the name */
    fs_map_release(&map);
    fs_map_release(&map);
    assert_int_equal(fs_map_file(&map, empty, NULL), 0);
    assert_true(map.size == 0 && !map.data);
    fs_map_release(&map);
    assert_int_equal(fs_map_file(&map, dir, NULL), ERR_CORRUPT);
    assert_int_equal(fs_map_file(&map, path, NULL), ERR_NOT_FOUND);
    temp_dir_remove(dir);
}

static void the_operations_do_what_they_say(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    const struct fs_ops *ops = fs_posix.ops;
    _cleanup_free_ char *a = xasprintf("%s/a", dir);
    _cleanup_free_ char *b = xasprintf("%s/b", dir);
    int fd;
    assert_int_equal(ops->create(&fs_posix, a, &fd, NULL), 0);
    assert_int_equal(ops->preallocate(&fs_posix, fd, a, 8, NULL), 0);
    assert_int_equal(ops->write(&fs_posix, fd, a, "xy", 2, 3, NULL), 0);
    assert_int_equal(ops->sync(&fs_posix, fd, a, NULL), 0);
    assert_int_equal(ops->close(&fs_posix, fd, a, NULL), 0);
    assert_content(a, "\0\0\0xy\0\0\0", 8);
    assert_int_equal(ops->open_append(&fs_posix, a, &fd, NULL), 0);
    assert_int_equal(ops->truncate(&fs_posix, fd, a, 4, NULL), 0);
    assert_int_equal(ops->close(&fs_posix, fd, a, NULL), 0);
    assert_content(a, "\0\0\0x", 4);
    assert_int_equal(ops->link(&fs_posix, a, b, NULL), 0);
    assert_int_equal(ops->link(&fs_posix, a, b, NULL), ERR_IO);
    assert_int_equal(ops->unlink(&fs_posix, a, NULL), 0);
    assert_int_equal(ops->unlink(&fs_posix, a, NULL), ERR_NOT_FOUND);
    assert_int_equal(ops->rename(&fs_posix, b, a, NULL), 0);
    assert_int_equal(ops->rename(&fs_posix, b, a, NULL), ERR_NOT_FOUND);
    assert_int_equal(ops->open_append(&fs_posix, b, &fd, NULL), ERR_NOT_FOUND);
    assert_int_equal(ops->sync_dir(&fs_posix, dir, NULL), 0);
    assert_int_equal(ops->sync_dir(&fs_posix, b, NULL), ERR_NOT_FOUND);
    assert_int_equal(ops->rmdir(&fs_posix, dir, NULL), ERR_IO); /* not empty */
    assert_true(ops->free_bytes(&fs_posix, dir) > 0);
    assert_int_equal(ops->free_bytes(&fs_posix, b), 0);
    temp_dir_remove(dir);
}

/* Streaming changes what is in the page cache, not what is in the file. */
static void a_streamed_file_holds_what_was_written(void **state)
{
    enum { PIECE = 1 << 20, PIECES = 21 };
    char *dir = TEMP_DIR();
    char *path = xasprintf("%s/large", dir);
    uint8_t *piece = xmalloc(PIECE);
    struct fs_file f;
    (void)state;
    assert_int_equal(fs_file_create(&f, &fs_posix, path, NULL), 0);
    f.is_streamed = true;
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i + 1, PIECE);
        assert_int_equal(fs_file_append(&f, piece, PIECE, NULL), 0);
    }
    assert_int_equal(fs_file_finish(&f, NULL), 0);
    struct fs_map m;
    assert_int_equal(fs_map_file(&m, path, NULL), 0);
    assert_int_equal(m.size, (uint64_t)PIECE * PIECES);
    fs_map_sequential(&m, true);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i + 1, PIECE);
        assert_memory_equal(m.data + (size_t)i * PIECE, piece, PIECE);
        fs_map_behind(&m, (uint64_t)i * PIECE, (uint64_t)(i + 1) * PIECE);
    }
    fs_map_sequential(&m, false);
    assert_int_equal(m.data[0], 1); /* it's still there */
    fs_map_release(&m);
    free(piece);
    free(path);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streamed_file_holds_what_was_written),
        cmocka_unit_test(a_file_is_written_through_its_buffer_with_its_checksum),
        cmocka_unit_test(an_abandoned_file_keeps_what_was_written),
        cmocka_unit_test(a_file_that_fails_reports_it_and_lets_go),
        cmocka_unit_test(a_replaced_file_is_the_old_one_or_the_new_one),
        cmocka_unit_test(directories_and_files_have_their_permissions),
        cmocka_unit_test(new_directories_are_synced_with_their_parents),
        cmocka_unit_test(a_tree_is_removed_but_not_what_links_point_to),
        cmocka_unit_test(names_are_listed_in_order),
        cmocka_unit_test(files_are_read_and_mapped),
        cmocka_unit_test(the_operations_do_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
