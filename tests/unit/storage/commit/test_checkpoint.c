/* The checkpoint file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/commit/commit_fixture.h"

static void fill(struct checkpoint *c, uint64_t n)
{
    memcpy(c->store_id, store_id, STORE_ID_BYTES);
    c->n = n;
    c->time_ms = -(int64_t)n;
    c->reject_log_length = UINT64_MAX;
    set_position(&c->positions, "src", n, STORAGE_POSITION_MARK_MAX);
    set_position(&c->positions, "", n, 0);
}

static void assert_same(const struct checkpoint *a, const struct checkpoint *b)
{
    assert_memory_equal(a->store_id, b->store_id, STORE_ID_BYTES);
    assert_true(a->n == b->n && a->time_ms == b->time_ms && a->reject_log_length == b->reject_log_length);
    assert_same_positions(&a->positions, &b->positions);
}

static void it_is_read_as_it_was_written(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/checkpoint", dir);
    struct checkpoint written = {0}, read = {0};
    assert_int_equal(checkpoint_read(&read, path, NULL), ERR_NOT_FOUND);
    assert_int_equal(checkpoint_write(&written, &fs_posix, path, NULL), 0); /* of an empty store */
    assert_int_equal(checkpoint_read(&read, path, NULL), 0);
    assert_same(&written, &read);
    checkpoint_release(&read);
    fill(&written, 77);
    assert_int_equal(checkpoint_write(&written, &fs_posix, path, NULL), 0);
    assert_int_equal(checkpoint_read(&read, path, NULL), 0);
    assert_same(&written, &read);
    checkpoint_release(&read);
    checkpoint_release(&written);
    temp_dir_remove(dir);
}

static void any_damage_is_found_and_the_file_named(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/checkpoint", dir);
    struct checkpoint c = {0}, read = {0};
    struct buffer bytes = {0};
    fill(&c, 77);
    assert_int_equal(checkpoint_write(&c, &fs_posix, path, NULL), 0);
    checkpoint_release(&c);
    assert_int_equal(fs_read_file(path, 65536, &bytes, NULL), 0);
    for (size_t i = 0; i < bytes.len * 8; i++) {
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(checkpoint_parse(&read, bytes.data, bytes.len, NULL), ERR_CORRUPT);
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size < bytes.len; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        memcpy(cut, bytes.data, size);
        assert_int_equal(checkpoint_parse(&read, cut, size, NULL), ERR_CORRUPT);
        free(cut);
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(checkpoint_parse(&read, bytes.data, bytes.len, NULL), ERR_CORRUPT);
    struct error error = {0};
    assert_int_equal(fs_replace_file(&fs_posix, path, bytes.data, bytes.len, NULL), 0);
    assert_int_equal(checkpoint_read(&read, path, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, path));
    assert_null(read.positions.entries);
    buffer_release(&bytes);
    temp_dir_remove(dir);
}

static void a_write_that_fails_leaves_the_old_one_or_the_new_one(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/checkpoint", dir);
    struct checkpoint old = {0}, new = {0}, read = {0};
    fill(&old, 1);
    fill(&new, 2);
    int r = ERR_IO;
    for (long at = 1; r < 0; at++) {
        struct fault_fs ffs;
        assert_int_equal(checkpoint_write(&old, &fs_posix, path, NULL), 0);
        fault_fs_init(&ffs, at % 2 ? FAULT_SHORT_WRITE : FAULT_IO, (at + 1) / 2);
        r = checkpoint_write(&new, &ffs.fs, path, NULL);
        assert_int_equal(r, atomic_load(&ffs.faults) ? ERR_IO : 0);
        assert_int_equal(checkpoint_read(&read, path, NULL), 0);
        assert_same(&read, read.n == 2 ? &new : &old);
        assert_true(r < 0 || read.n == 2);
        checkpoint_release(&read);
    }
    checkpoint_release(&old);
    checkpoint_release(&new);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_as_it_was_written),
        cmocka_unit_test(any_damage_is_found_and_the_file_named),
        cmocka_unit_test(a_write_that_fails_leaves_the_old_one_or_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
