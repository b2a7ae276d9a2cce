/* What a merge does besides merging: rows joined, nothing left, stopped, a disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_merge.h"
#include "storage/mergeset/item_part_header.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

struct fixture {
    char *dir, *part_dir;
    struct inmemory_item_part *imp;
    struct item_source source;
};

static void fixture_make(struct fixture *f, size_t items_count, int line)
{
    struct random random = {20};
    struct items items = {0};
    random_items(&random, &items, items_count, 60);
    f->dir = test_dir_make(__FILE__, line);
    f->part_dir = xasprintf("%s/part", f->dir);
    f->imp = inmemory_item_part_new(&items, NULL, NULL);
    f->source = (struct item_source){.memory = f->imp};
    items_release(&items);
}

static void fixture_release(struct fixture *f)
{
    inmemory_item_part_free(f->imp);
    free(f->part_dir);
    test_dir_remove(f->dir);
}

static void drop_all(void *context, struct items *block)
{
    ++*(size_t *)context;
    items_clear(block);
}

static void test_nothing_left(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, 5000, __LINE__);
    struct item_part_header ph = {0};
    struct error err;
    size_t blocks = 0;
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, drop_all, &blocks, NULL, &ph, &err), 0);
    assert_true(blocks > 1);
    assert_false(fs_exists(f.part_dir));
    assert_int_equal(item_merge(&fs_posix, f.part_dir, NULL, 0, NULL, NULL, NULL, &ph, &err), 0);
    fixture_release(&f);
}

static void keep_ends(void *context, struct items *block)
{
    (void)context;
    if (block->count < 3)
        return;
    struct items out = {0};
    struct item first = items_get(block, 0), last = items_get(block, block->count - 1);
    items_add(&out, first.data, first.len);
    items_add(&out, last.data, last.len);
    items_release(block);
    *block = out;
}

static void break_promise(void *context, struct items *block)
{
    (void)context;
    items_clear(block);
    items_add(block, "\xff\xff\xff", 3);
}

static void test_prepare(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, 5000, __LINE__);
    struct item_part_header ph = {0};
    struct error err;
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, keep_ends, NULL, NULL, &ph, &err), 1);
    assert_int_equal(ph.items_count, 2 * ph.blocks_count);
    assert_int_equal(item_part_verify(f.part_dir, &err), 0);
    item_part_header_release(&ph);
    /* The directory is somebody's already: not touched. */
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, NULL, NULL, NULL, &ph, &err),
                     ERR_INVALID);
    assert_int_equal(item_part_verify(f.part_dir, &err), 0);
    assert_int_equal(fs_remove_tree(&fs_posix, f.part_dir, &err), 0);
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, break_promise, NULL, NULL, &ph, &err),
                     ERR_INVALID);
    assert_false(fs_exists(f.part_dir));
    fixture_release(&f);
}

static void stop_now(void *context, struct items *block)
{
    (void)block;
    atomic_store((atomic_bool *)context, true);
}

static void test_stop(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, 20000, __LINE__);
    struct item_part_header ph = {0};
    struct error err;
    atomic_bool stop = false;
    struct item_merge_watch watch = {.stop = &stop};
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, stop_now, &stop, &watch, &ph, &err),
                     ERR_CANCELLED);
    assert_false(fs_exists(f.part_dir));
    fixture_release(&f);
}

struct progress {
    _Atomic uint64_t items, bytes;
    uint64_t last_items, last_bytes;
    size_t blocks, moves;
};

static void look_at_progress(void *context, struct items *block)
{
    (void)block;
    struct progress *p = context;
    p->moves += p->items > p->last_items && p->bytes > p->last_bytes;
    p->last_items = p->items;
    p->last_bytes = p->bytes;
    p->blocks++;
}

static void test_progress(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, 20000, __LINE__);
    struct item_part_header ph = {0};
    struct item_part *part;
    struct error err;
    assert_int_equal(item_merge(&fs_posix, f.part_dir, &f.source, 1, NULL, NULL, NULL, &ph, &err), 1);
    item_part_header_release(&ph);
    assert_int_equal(item_part_open(&part, f.part_dir, &err), 0);
    char *again = xasprintf("%s/again", f.dir);
    struct item_source source = {.part = part};
    struct progress p = {.items = 0};
    struct item_merge_watch watch = {.items_read = &p.items, .bytes_read = &p.bytes};
    assert_int_equal(item_merge(&fs_posix, again, &source, 1, look_at_progress, &p, &watch, &ph, &err), 1);
    assert_true(p.blocks > 5);
    if (p.moves + 1 < p.blocks) /* the first block that is read is reported before the first look */
        fail_msg("%zu blocks were written, but progress moved only %zu times", p.blocks, p.moves);
    assert_int_equal(p.items, item_part_items_count(part));
    assert_int_equal(p.bytes, item_part_size(part));
    item_part_header_release(&ph);
    item_part_free(part);
    free(again);
    fixture_release(&f);
}

/* --- a disk that fails at its n-th operation --- */

struct failing {
    int left;      /* operations until the failure */
    bool for_ever; /* or once */
};

static bool fails(const struct fs *fs)
{
    struct failing *failing = fs->context;
    if (failing->left > 0) {
        failing->left--;
        return false;
    }
    if (!failing->for_ever)
        failing->left = 1 << 30;
    return true;
}

static int failed(struct error *reterr)
{
    return error_set(reterr, ERR_FULL, "test: no space");
}

static int failing_create(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr)
{
    return fails(fs) ? failed(reterr) : fs_posix.ops->create(fs, path, ret_fd, reterr);
}

static int failing_write(const struct fs *fs, int fd, const char *path, const void *data, size_t size,
                         uint64_t offset, struct error *reterr)
{
    return fails(fs) ? failed(reterr) : fs_posix.ops->write(fs, fd, path, data, size, offset, reterr);
}

static int failing_sync(const struct fs *fs, int fd, const char *path, struct error *reterr)
{
    return fails(fs) ? failed(reterr) : fs_posix.ops->sync(fs, fd, path, reterr);
}

static int failing_mkdir(const struct fs *fs, const char *path, struct error *reterr)
{
    return fails(fs) ? failed(reterr) : fs_posix.ops->mkdir(fs, path, reterr);
}

static int failing_sync_dir(const struct fs *fs, const char *path, struct error *reterr)
{
    return fails(fs) ? failed(reterr) : fs_posix.ops->sync_dir(fs, path, reterr);
}

static void test_failing_disk(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f, 30000, __LINE__);
    struct fs_ops ops = *fs_posix.ops;
    ops.create = failing_create;
    ops.write = failing_write;
    ops.sync = failing_sync;
    ops.mkdir = failing_mkdir;
    ops.sync_dir = failing_sync_dir;
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        int r = -1;
        for (int n = 0; r < 0; n++) {
            assert_true(n < 1000);
            struct failing failing = {.left = n, .for_ever = for_ever};
            struct fs fs = {.ops = &ops, .context = &failing};
            struct item_part_header ph = {0};
            struct error err;
            r = item_merge(&fs, f.part_dir, &f.source, 1, NULL, NULL, NULL, &ph, &err);
            if (r < 0) {
                assert_int_equal(r, ERR_FULL);
                assert_string_equal(err.message, "test: no space");
                assert_false(fs_exists(f.part_dir));
            }
            item_part_header_release(&ph);
        }
        struct error err;
        assert_int_equal(r, 1);
        assert_int_equal(item_part_verify(f.part_dir, &err), 0);
        assert_int_equal(fs_remove_tree(&fs_posix, f.part_dir, &err), 0);
    }
    fixture_release(&f);
}

/* --- metadata.json --- */

static int parse(struct item_part_header *ph, const char *text)
{
    struct error err;
    *ph = (struct item_part_header){0};
    return item_part_header_parse(ph, text, strlen(text), &err);
}

static void test_metadata(void **state)
{
    (void)state;
    struct item_part_header ph;
    struct buffer text = {0};
    assert_int_equal(
        parse(&ph, "{\"ItemsCount\":14,\"BlocksCount\":1,\"FirstItem\":\"006d\",\"LastItem\":\"07ff\"}"), 0);
    assert_int_equal(ph.items_count, 14);
    item_part_header_print(&ph, &text);
    assert_string_equal(buffer_cstr(&text),
                        "{\"ItemsCount\":14,\"BlocksCount\":1,\"FirstItem\":\"006d\",\"LastItem\":\"07ff\"}");
    item_part_header_release(&ph);
    buffer_release(&text);
    /* As 1.79.5 writes it, and keys of the future. */
    assert_int_equal(parse(&ph, "{\n\t\"ItemsCount\": 2,\n\t\"BlocksCount\": 1,\n\t\"FirstItem\": "
                                "\"0A\",\n\t\"LastItem\": \"0b\"\n}\n"),
                     0);
    assert_int_equal(ph.first_item.data[0], 10);
    item_part_header_release(&ph);
    assert_int_equal(
        parse(&ph,
              "{\"New\":{\"a\":[1,\"}\",{}]},\"B\":null,\"ItemsCount\":2,\"X\":-1.5e3 ,\"BlocksCount\":1,"
              "\"FirstItem\":\"\",\"LastItem\":\"00\",\"s\":\"\\\"\"}"),
        0);
    item_part_header_release(&ph);
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "{\"ItemsCount\":0,\"BlocksCount\":0}",
        "{\"ItemsCount\":1,\"BlocksCount\":2}",
        "{\"ItemsCount\":1,\"BlocksCount\":1}x",
        "{\"ItemsCount\":1,\"BlocksCount\":1,}",
        "{\"ItemsCount\":99999999999999999999,\"BlocksCount\":1}",
        "{\"ItemsCount\":2,\"BlocksCount\":1,\"FirstItem\":\"0\"}",
        "{\"ItemsCount\":2,\"BlocksCount\":1,\"FirstItem\":\"zz\"}",
        "{\"ItemsCount\":2,\"BlocksCount\":1,\"FirstItem\":\"01\",\"LastItem\":\"00\"}",
        "{\"ItemsCount\":2,\"BlocksCount\":1,\"X\":",
        "{\"ItemsCount\":2,\"BlocksCount\":1,\"X\":[1",
        "{\"ItemsCount",
        "{\"a\":\"\\",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(&ph, bad[i]), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_stop),         cmocka_unit_test(test_progress),
        cmocka_unit_test(test_failing_disk), cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
