#include "tests/unit/storage/mergeset/item_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/fs/fs.h"

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t n)
{
    return random_next(random) % n;
}

void random_item(struct random *random, struct items *dst, size_t len_max)
{
    static const char *const starts[] = {"", "\x01host", "\x06\0\0\0\0\0\0\x51\x02",
                                         "\x06\0\0\0\0\0\0\x51\x03metric_group",
                                         "\x07\0\0\0\0\0\0\x51\x02temperature"};
    static const size_t start_lens[] = {0, 5, 9, 21, 20};
    size_t len = 1 + random_below(random, len_max);
    uint8_t *p = items_reserve(dst, len);
    size_t start = random_below(random, 5);
    for (size_t i = 0; i < len; i++) {
        uint64_t r = random_below(random, 8);
        if (i < start_lens[start])
            p[i] = (uint8_t)starts[start][i];
        else
            p[i] = (uint8_t)(r < 3 ? r : r < 6 ? 'a' + r : random_next(random));
    }
    items_commit(dst, len);
}

void random_items(struct random *random, struct items *dst, size_t count, size_t len_max)
{
    for (size_t i = 0; i < count; i++) {
        if (dst->count > 0 && random_below(random, 16) == 0) { /* the same again */
            struct item same = items_get(dst, random_below(random, dst->count));
            uint8_t *copy = xmemdup(same.data, same.len);
            items_add(dst, copy, same.len);
            free(copy);
        } else {
            random_item(random, dst, len_max);
        }
    }
}

static int compare_items(const void *a, const void *b)
{
    return item_compare(*(const struct item *)a, *(const struct item *)b);
}

void model_sort(struct items *items)
{
    struct item *sorted = xcalloc(items->count + 1, sizeof *sorted);
    for (size_t i = 0; i < items->count; i++)
        sorted[i] = items_get(items, i);
    qsort(sorted, items->count, sizeof *sorted, compare_items);
    struct items out = {0};
    for (size_t i = 0; i < items->count; i++)
        if (i == 0 || !item_equal(sorted[i - 1], sorted[i]))
            items_add(&out, sorted[i].data, sorted[i].len);
    free(sorted);
    items_release(items);
    *items = out;
}

void model_add_all(struct items *dst, const struct items *src)
{
    for (size_t i = 0; i < src->count; i++) {
        struct item item = items_get(src, i);
        items_add(dst, item.data, item.len);
    }
}

void assert_same_items(const struct items *got, const struct items *expected)
{
    for (size_t i = 0; i < got->count && i < expected->count; i++)
        if (!item_equal(items_get(got, i), items_get(expected, i)))
            fail_msg("item %zu of %zu differs", i, expected->count);
    assert_int_equal(got->count, expected->count);
}

char *test_dir_make(const char *file, int line)
{
    const char *tmp = getenv("TMPDIR");
    const char *slash = strrchr(file, '/');
    char *dir = xasprintf("%s/varve-%s-%d-XXXXXX", tmp ? tmp : "/tmp", slash ? slash + 1 : file, line);
    assert_non_null(mkdtemp(dir));
    return dir;
}

void test_dir_remove(char *dir)
{
    struct error err;
    if (fs_remove_tree(&fs_posix, dir, &err) < 0)
        fail_msg("%s", err.message);
    free(dir);
}
