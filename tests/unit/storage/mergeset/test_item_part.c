/* File parts: merged from anything, searched, verified, damaged, read by an independent reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/thread.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_merge.h"
#include "storage/mergeset/item_search.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

#define SOURCES_MAX 17

/* Some sources, on disk and in memory, and what they hold together. */
struct table {
    char *dir;
    struct item_source sources[SOURCES_MAX];
    size_t count;
    struct items all; /* with duplicates across sources, sorted */
};

static int compare_items(const void *a, const void *b)
{
    return item_compare(*(const struct item *)a, *(const struct item *)b);
}

static struct item_part *open_part(const char *dir)
{
    struct item_part *part;
    struct error err;
    if (item_part_open(&part, dir, &err) < 0)
        fail_msg("%s", err.message);
    return part;
}

static struct item_part *write_part(const char *dir, const struct item_source *sources, size_t count)
{
    struct item_part_header ph = {0};
    struct error err;
    int r = item_merge(&fs_posix, dir, sources, count, NULL, NULL, NULL, &ph, &err);
    if (r != 1)
        fail_msg("merge: %d %s", r, r < 0 ? err.message : "nothing left");
    struct item_part *part = open_part(dir);
    assert_int_equal(item_part_items_count(part), ph.items_count);
    assert_int_equal(item_part_blocks_count(part), ph.blocks_count);
    item_part_header_release(&ph);
    if (item_part_verify(dir, &err) < 0)
        fail_msg("%s", err.message);
    return part;
}

static void table_make(struct table *t, struct random *random, const char *file, int line)
{
    *t = (struct table){.dir = test_dir_make(file, line), .count = 1 + random_below(random, SOURCES_MAX - 1)};
    struct items all = {0};
    for (size_t i = 0; i < t->count; i++) {
        struct items items = {0};
        random_items(random, &items, 1 + random_below(random, random_below(random, 5) ? 100 : 20000), 60);
        struct items model = {0};
        model_add_all(&model, &items);
        model_sort(&model);
        model_add_all(&all, &model);
        items_release(&model);
        struct inmemory_item_part *imp = inmemory_item_part_new(&items, NULL, NULL);
        items_release(&items);
        t->sources[i] = (struct item_source){.memory = imp};
        if (random_below(random, 2)) {
            char *dir = xasprintf("%s/source%zu", t->dir, i);
            t->sources[i] = (struct item_source){.part = write_part(dir, &t->sources[i], 1)};
            free(dir);
            inmemory_item_part_free(imp);
        }
    }
    /* model_sort drops duplicates, which a search doesn't. */
    struct item *sorted = xcalloc(all.count, sizeof *sorted);
    for (size_t i = 0; i < all.count; i++)
        sorted[i] = items_get(&all, i);
    qsort(sorted, all.count, sizeof *sorted, compare_items);
    for (size_t i = 0; i < all.count; i++)
        items_add(&t->all, sorted[i].data, sorted[i].len);
    free(sorted);
    items_release(&all);
}

static void table_release(struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        item_part_free(t->sources[i].part);
        inmemory_item_part_free((struct inmemory_item_part *)t->sources[i].memory);
    }
    items_release(&t->all);
    test_dir_remove(t->dir);
}

static void read_all(const struct item_source *sources, size_t count, struct items *ret_items)
{
    struct item_search s;
    struct error err;
    item_search_init(&s, sources, count);
    int r = item_search_seek(&s, NULL, 0, &err);
    while (r >= 0 && (r = item_search_next(&s, &err)) == 1)
        items_add(ret_items, s.item.data, s.item.len);
    if (r < 0)
        fail_msg("%s", err.message);
    item_search_release(&s);
}

static void test_merge_is_the_union(void **state)
{
    (void)state;
    struct random random = {10};
    for (int round = 0; round < 12; round++) {
        struct table t;
        table_make(&t, &random, __FILE__, __LINE__);
        struct items read = {0};
        read_all(t.sources, t.count, &read);
        assert_same_items(&read, &t.all);
        items_clear(&read);

        char *dir = xasprintf("%s/merged", t.dir);
        struct item_source merged = {.part = write_part(dir, t.sources, t.count)};
        read_all(&merged, 1, &read);
        model_sort(&t.all);
        assert_same_items(&read, &t.all);
        assert_true(item_equal(item_part_last_item(merged.part), items_get(&t.all, t.all.count - 1)));
        item_part_free(merged.part);
        free(dir);
        items_release(&read);
        table_release(&t);
    }
}

static void check_search(struct item_search *s, const struct items *all, struct item key, size_t steps)
{
    struct error err;
    assert_int_equal(item_search_seek(s, key.data, key.len, &err), 0);
    size_t i = items_lower_bound(all, key);
    for (; steps > 0; steps--, i++) {
        int r = item_search_next(s, &err);
        assert_int_equal(r, i < all->count);
        if (r == 0)
            return;
        assert_true(item_equal(s->item, items_get(all, i)));
    }
}

static void check_last_before(const struct table *t, struct item key)
{
    struct buffer best = {0}, item = {0};
    struct error err;
    bool found = false;
    for (size_t i = 0; i < t->count; i++) {
        int r = item_source_last_before(&t->sources[i], key, &item, &err);
        assert_true(r >= 0);
        if (r == 1 && (!found || item_compare((struct item){item.data, item.len},
                                              (struct item){best.data, best.len}) > 0)) {
            buffer_clear(&best);
            buffer_append(&best, item.data, item.len);
            found = true;
        }
    }
    size_t i = items_lower_bound(&t->all, key);
    assert_int_equal(found, i > 0);
    if (found)
        assert_true(item_equal((struct item){best.data, best.len}, items_get(&t->all, i - 1)));
    buffer_release(&best);
    buffer_release(&item);
}

static void test_search_is_binary_search(void **state)
{
    (void)state;
    struct random random = {11};
    for (int round = 0; round < 6; round++) {
        struct table t;
        table_make(&t, &random, __FILE__, __LINE__);
        struct item_search s;
        item_search_init(&s, t.sources, t.count);
        struct items keys = {0};
        random_items(&random, &keys, 300, 60);
        for (size_t i = 0; i < keys.count; i++) {
            struct item key = items_get(&keys, i);
            if (random_below(&random, 2))
                key = items_get(&t.all, random_below(&random, t.all.count));
            check_search(&s, &t.all, key, random_below(&random, 20));
            check_last_before(&t, key);
        }
        check_search(&s, &t.all, items_get(&t.all, 0), t.all.count + 1);
        check_search(&s, &t.all, (struct item){(const uint8_t *)"\xff\xff\xff\xff", 4}, 3);
        items_release(&keys);
        item_search_release(&s);
        table_release(&t);
    }
}

struct searcher {
    const struct table *t;
    uint64_t seed;
};

static void search_much(void *arg)
{
    const struct searcher *searcher = arg;
    const struct items *all = &searcher->t->all;
    struct random random = {searcher->seed};
    struct item_search s;
    struct error err;
    item_search_init(&s, searcher->t->sources, searcher->t->count);
    for (int i = 0; i < 500; i++) {
        struct item key = items_get(all, random_below(&random, all->count));
        if (item_search_seek(&s, key.data, key.len, &err) < 0)
            abort();
        for (size_t k = items_lower_bound(all, key), end = k + 30; k < end && k < all->count; k++)
            if (item_search_next(&s, &err) != 1 || !item_equal(s.item, items_get(all, k)))
                abort();
    }
    item_search_release(&s);
}

/* Many threads in the same parts, whose caches are too small for all of their blocks. */
static void test_search_by_threads(void **state)
{
    (void)state;
    struct random random = {15};
    struct table t;
    do
        table_make(&t, &random, __FILE__, __LINE__);
    while (t.all.count < 30000 && (table_release(&t), true));
    struct thread threads[4] = {0};
    struct searcher searchers[4];
    for (size_t i = 0; i < 4; i++) {
        searchers[i] = (struct searcher){&t, i};
        thread_start(&threads[i], "search", search_much, &searchers[i]);
    }
    for (size_t i = 0; i < 4; i++)
        thread_join(&threads[i]);
    table_release(&t);
}

static void test_prefix_search(void **state)
{
    (void)state;
    struct items items = {0};
    items_add(&items, "ab", 2);
    items_add(&items, "abc", 3);
    items_add(&items, "b", 1);
    struct inmemory_item_part *imp = inmemory_item_part_new(&items, NULL, NULL);
    struct item_source source = {.memory = imp};
    struct item_search s;
    struct error err;
    item_search_init(&s, &source, 1);
    assert_int_equal(item_search_first_with_prefix(&s, "ab", 2, &err), 1);
    assert_int_equal(s.item.len, 2);
    assert_int_equal(item_search_next(&s, &err), 1);
    assert_int_equal(s.item.len, 3);
    assert_int_equal(item_search_first_with_prefix(&s, "aa", 2, &err), 0);
    assert_int_equal(item_search_first_with_prefix(&s, "c", 1, &err), 0);
    item_search_release(&s);
    inmemory_item_part_free(imp);
    items_release(&items);
}

/* Blocks of a size, equal items over a block's end, single-item blocks of the largest items. */
static void test_block_edges(void **state)
{
    (void)state;
    struct random random = {12};
    char *dir = TEST_DIR();
    struct items items = {0}, expected = {0}, read = {0};
    for (size_t i = 0; i < 30; i++) {
        size_t len = ITEM_BYTES_MAX - i % 5 * 16000;
        uint8_t *p = items_reserve(&items, len);
        for (size_t k = 0; k < len; k++)
            p[k] = (uint8_t)random_next(&random);
        items_commit(&items, len);
    }
    model_add_all(&expected, &items);
    model_sort(&expected);
    struct inmemory_item_part *imp = inmemory_item_part_new(&items, NULL, NULL);
    struct item_source source = {.memory = imp};
    char *part_dir = xasprintf("%s/part", dir);
    struct item_source written = {.part = write_part(part_dir, &source, 1)};
    assert_true(item_part_blocks_count(written.part) > 15);
    read_all(&written, 1, &read);
    assert_same_items(&read, &expected);
    struct table t = {.sources = {written}, .count = 1, .all = expected};
    struct item_search s;
    item_search_init(&s, &written, 1);
    for (size_t i = 0; i < expected.count; i++) {
        check_search(&s, &expected, items_get(&expected, i), 3);
        check_last_before(&t, items_get(&expected, i));
    }
    item_search_release(&s);
    item_part_free(written.part);
    inmemory_item_part_free(imp);
    items_release(&items);
    items_release(&expected);
    items_release(&read);
    free(part_dir);
    test_dir_remove(dir);
}

/* --- an independent reader: tests/testbed/vmread.py --- */

static void test_vmread_agrees(void **state)
{
    (void)state;
    struct random random = {13};
    char *dir = TEST_DIR();
    struct items items = {0}, expected = {0}, read = {0};
    random_items(&random, &items, 60000, 90);
    model_add_all(&expected, &items);
    model_sort(&expected);
    struct inmemory_item_part *imp = inmemory_item_part_new(&items, NULL, NULL);
    struct item_source source = {.memory = imp};
    char *part_dir = xasprintf("%s/0123456789ABCDEF", dir);
    item_part_free(write_part(part_dir, &source, 1));

    char *command = xasprintf("python=$('%s/testbed/python.sh') && exec \"$python\" "
                              "'%s/unit/storage/mergeset/dump_index_part.py' '%s'",
                              VARVE_TESTS_DIR, VARVE_TESTS_DIR, part_dir);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    uint8_t head[4];
    while (fread(head, 1, 4, f) == 4) {
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        assert_int_equal(fread(items_reserve(&read, len), 1, len, f), len);
        items_commit(&read, len);
    }
    assert_int_equal(pclose(f), 0);
    assert_same_items(&read, &expected);
    free(command);
    free(part_dir);
    inmemory_item_part_free(imp);
    items_release(&items);
    items_release(&expected);
    items_release(&read);
    test_dir_remove(dir);
}

/* --- damage --- */

/* Not through storage/fs: it would sync, a thousand times. */
static void write_plainly(const char *path, const struct buffer *content)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (content->len)
        assert_int_equal(fwrite(content->data, 1, content->len, f), content->len);
    assert_int_equal(fclose(f), 0);
}

static void copy_damaged(const char *from, const char *to, const char *name, const struct buffer *bytes)
{
    static const char *const names[] = {ITEM_PART_METADATA_FILE, ITEM_PART_METAINDEX_FILE,
                                        ITEM_PART_INDEX_FILE, ITEM_PART_ITEMS_FILE, ITEM_PART_LENS_FILE};
    struct error err;
    assert_int_equal(fs_make_dirs(&fs_posix, to, false, &err), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buffer b = {0};
        char *source = xasprintf("%s/%s", from, names[i]), *target = xasprintf("%s/%s", to, names[i]);
        const struct buffer *content = bytes;
        if (strcmp(names[i], name) != 0) {
            assert_int_equal(fs_read_file(source, 1 << 20, &b, &err), 0);
            content = &b;
        }
        write_plainly(target, content);
        buffer_release(&b);
        free(source);
        free(target);
    }
}

/* Opening, searching and verifying survive any change of one byte, and any cut; without varve.sums, as in a
 * stock server's part. What opens and verifies holds sorted items. */
static void damage_file(const char *part_dir, const char *copy_dir, const char *name, struct random *random)
{
    struct buffer original = {0};
    struct error err;
    char *path = xasprintf("%s/%s", part_dir, name);
    assert_int_equal(fs_read_file(path, 1 << 20, &original, &err), 0);
    free(path);
    size_t step = original.len > 150 ? original.len / 150 : 1;
    int refused = 0;
    for (size_t i = 0; i < original.len; i += step) {
        struct buffer changed = {0};
        bool cut = random_below(random, 5) == 0;
        buffer_append(&changed, original.data, cut ? i : original.len);
        if (!cut)
            changed.data[i] ^= (uint8_t)(1u << random_below(random, 8));
        copy_damaged(part_dir, copy_dir, name, &changed);
        int r = item_part_verify(copy_dir, &err);
        if (r < 0) {
            assert_int_equal(r, ERR_CORRUPT);
            assert_non_null(strstr(err.message, copy_dir));
            refused++;
        }
        struct item_part *part;
        if (item_part_open(&part, copy_dir, &err) == 0) {
            struct item_source source = {.part = part};
            struct item_search s;
            item_search_init(&s, &source, 1);
            r = item_search_seek(&s, "\x06", 1, &err);
            while (r >= 0 && (r = item_search_next(&s, &err)) == 1)
                ;
            item_search_release(&s);
            struct buffer last = {0};
            (void)item_part_last_before(part, (struct item){(const uint8_t *)"\x06", 1}, &last, &err);
            buffer_release(&last);
            item_part_free(part);
        }
        buffer_release(&changed);
        assert_int_equal(fs_remove_tree(&fs_posix, copy_dir, &err), 0);
    }
    assert_true(refused > 0);
    buffer_release(&original);
}

static void test_damage(void **state)
{
    (void)state;
    struct random random = {14};
    char *dir = TEST_DIR();
    struct items items = {0};
    random_items(&random, &items, 6000, 60);
    struct inmemory_item_part *imp = inmemory_item_part_new(&items, NULL, NULL);
    struct item_source source = {.memory = imp};
    char *part_dir = xasprintf("%s/part", dir), *copy_dir = xasprintf("%s/copy", dir);
    item_part_free(write_part(part_dir, &source, 1));
    damage_file(part_dir, copy_dir, ITEM_PART_METADATA_FILE, &random);
    damage_file(part_dir, copy_dir, ITEM_PART_METAINDEX_FILE, &random);
    damage_file(part_dir, copy_dir, ITEM_PART_INDEX_FILE, &random);
    damage_file(part_dir, copy_dir, ITEM_PART_ITEMS_FILE, &random);
    damage_file(part_dir, copy_dir, ITEM_PART_LENS_FILE, &random);

    /* With its sums, one bit is enough, wherever it is. */
    struct error err;
    char *path = xasprintf("%s/%s", part_dir, ITEM_PART_ITEMS_FILE);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    fclose(f);
    assert_int_equal(item_part_verify(part_dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, ITEM_PART_ITEMS_FILE));
    /* A missing file is named. */
    assert_int_equal(fs_posix.ops->unlink(&fs_posix, path, &err), 0);
    struct item_part *part;
    assert_int_equal(item_part_open(&part, part_dir, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, ITEM_PART_ITEMS_FILE));
    free(path);
    free(part_dir);
    free(copy_dir);
    inmemory_item_part_free(imp);
    items_release(&items);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_is_the_union),
        cmocka_unit_test(test_search_is_binary_search),
        cmocka_unit_test(test_search_by_threads),
        cmocka_unit_test(test_prefix_search),
        cmocka_unit_test(test_block_edges),
        cmocka_unit_test(test_vmread_agrees),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
