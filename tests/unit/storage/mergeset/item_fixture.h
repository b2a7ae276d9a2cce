/* What the tests of index parts share: random items, a naive model of a sorted set, a directory of their own.
 */
#ifndef VARVE_TESTS_MERGESET_ITEM_FIXTURE_H
#define VARVE_TESTS_MERGESET_ITEM_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mergeset/items.h"

/* A small generator of its own, so that a failure repeats from its seed. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
/* Below n. */
uint64_t random_below(struct random *random, uint64_t n);

/* Appends an item like index rows: a few common starts, some bytes of small and large values, zeros at ends.
 * len_max > 0. */
void random_item(struct random *random, struct items *dst, size_t len_max);
void random_items(struct random *random, struct items *dst, size_t count, size_t len_max);

/* Sorted by qsort and memcmp, exact duplicates dropped; the test's truth. */
void model_sort(struct items *items);
void model_add_all(struct items *dst, const struct items *src);
/* Fails the test, naming the first difference. */
void assert_same_items(const struct items *got, const struct items *expected);

/* A new directory named after the test's line; freed and removed by test_dir_remove. */
char *test_dir_make(const char *file, int line);
void test_dir_remove(char *dir);
#define TEST_DIR() test_dir_make(__FILE__, __LINE__)

#endif
