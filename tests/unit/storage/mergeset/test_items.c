#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/mergeset/items.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

static void drop_duplicates(struct items *items)
{
    struct items out = {0};
    for (size_t i = 0; i < items->count; i++)
        if (i == 0 || !item_equal(items_get(items, i - 1), items_get(items, i)))
            items_add(&out, items_get(items, i).data, items_get(items, i).len);
    items_release(items);
    *items = out;
}

static void test_sort_equals_model(void **state)
{
    (void)state;
    struct random random = {1};
    for (int round = 0; round < 300; round++) {
        struct items items = {0}, expected = {0};
        size_t count = random_below(&random, round % 10 == 0 ? 5000 : 60);
        random_items(&random, &items, count, 1 + random_below(&random, round % 7 == 0 ? 200 : 30));
        model_add_all(&expected, &items);
        model_sort(&expected);
        items_sort(&items);
        assert_true(items_is_sorted(&items));
        assert_int_equal(items_count(&items), count);
        drop_duplicates(&items);
        assert_same_items(&items, &expected);
        items_release(&items);
        items_release(&expected);
    }
}

/* Items that are prefixes of each other, told apart only by zeros, and long equal ones. */
static void test_sort_of_near_equals(void **state)
{
    (void)state;
    static const uint8_t zeros[40];
    struct items items = {0}, expected = {0};
    for (int copies = 0; copies < 3; copies++)
        for (size_t len = sizeof zeros + 1; len-- > 0;)
            items_add(&items, zeros, len);
    uint8_t *large = calloc(1, ITEM_BYTES_MAX);
    assert_non_null(large);
    for (int i = 0; i < 40; i++)
        items_add(&items, large, ITEM_BYTES_MAX - (size_t)(i % 3));
    free(large);
    model_add_all(&expected, &items);
    model_sort(&expected);
    items_sort(&items);
    assert_true(items_is_sorted(&items));
    drop_duplicates(&items);
    assert_same_items(&items, &expected);
    items_release(&items);
    items_release(&expected);
}

static void test_lower_bound(void **state)
{
    (void)state;
    struct random random = {2};
    struct items items = {0}, keys = {0};
    random_items(&random, &items, 500, 12);
    random_items(&random, &keys, 500, 12);
    model_sort(&items);
    for (size_t i = 0; i < keys.count; i++) {
        struct item key = items_get(&keys, i);
        size_t expected = 0;
        while (expected < items.count && item_compare(items_get(&items, expected), key) < 0)
            expected++;
        assert_int_equal(items_lower_bound(&items, key), expected);
    }
    items_release(&items);
    items_release(&keys);
}

static void test_clear_keeps_memory(void **state)
{
    (void)state;
    struct items items = {0};
    items_sort(&items); /* of nothing */
    items_add(&items, "b", 1);
    items_add(&items, "", 0);
    assert_int_equal(items_bytes(&items), 1);
    size_t memory = items_memory(&items);
    items_clear(&items);
    assert_int_equal(items_count(&items), 0);
    assert_int_equal(items_memory(&items), memory);
    items_release(&items);
    assert_int_equal(items_memory(&items), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort_equals_model),
        cmocka_unit_test(test_sort_of_near_equals),
        cmocka_unit_test(test_lower_bound),
        cmocka_unit_test(test_clear_keeps_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
