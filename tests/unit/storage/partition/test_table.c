/* The months of a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/base/thread.h"
#include "tests/unit/storage/partition/partition_fixture.h"

static void months_are_made_once_and_stand_in_order(void **state)
{
    (void)state;
    struct table tb;
    table_init(&tb);
    size_t count;
    struct partition **all = table_partitions(&tb, &count);
    assert_int_equal(count, 0);
    free(all);
    struct partition *november = create_partition(&tb, FIRST_OF_NOVEMBER);
    struct partition *october = create_partition(&tb, FIRST_OF_NOVEMBER - 1);
    struct partition *last = create_partition(&tb, INT64_C(9222422399999));
    struct partition *first = create_partition(&tb, DAY_MS);
    assert_ptr_equal(create_partition(&tb, LAST_OF_OCTOBER), october);
    assert_ptr_equal(create_partition(&tb, october->month.min_ms), october);
    assert_ptr_equal(create_partition(&tb, november->month.max_ms), november);
    assert_ptr_equal(create_partition(&tb, 0), first);
    all = table_partitions(&tb, &count);
    assert_int_equal(count, 4);
    assert_ptr_equal(all[0], first);
    assert_ptr_equal(all[1], october);
    assert_ptr_equal(all[2], november);
    assert_ptr_equal(all[3], last);
    free(all);
    assert_string_equal(october->month.name, "2026_10");
    table_release(&tb);
}

static void places_of_a_partition(void **state)
{
    (void)state;
    struct table tb;
    table_init(&tb);
    tb.env.root = "/r";
    atomic_store(&tb.env.next_part, 0xABCDEF);
    struct partition *pt = create_partition(&tb, LAST_OF_OCTOBER);
    assert_ptr_equal(partition_set(pt, PLACE_SMALL), &pt->data);
    assert_ptr_equal(partition_set(pt, PLACE_BIG), &pt->data);
    assert_ptr_equal(partition_set(pt, PLACE_INDEX), &pt->index);
    char *dir = partition_dir(pt, PLACE_INDEX);
    assert_string_equal(dir, "/r/data/indexdb/2026_10");
    free(dir);
    dir = staging_dir(&tb.env, UINT64_MAX, PLACE_BIG, &pt->month);
    assert_string_equal(dir, "/r/varve/staging/18446744073709551615/big/2026_10");
    free(dir);
    char name[PART_NAME_TEXT_SIZE];
    partition_env_name(&tb.env, name);
    assert_string_equal(name, "0000000000ABCDEF");
    partition_env_name(&tb.env, name);
    assert_string_equal(name, "0000000000ABCDF0");
    table_release(&tb);
}

struct maker {
    struct table *tb;
    struct partition *made[240];
    int step;
};

static void make_months(void *arg)
{
    struct maker *m = arg;
    for (int i = 0; i < 240; i++) {
        int at = i * m->step % 240; /* each in another order */
        m->made[at] = create_partition(m->tb, DAY_MS + at * 31 * DAY_MS);
    }
}

static void many_threads_get_the_same_months(void **state)
{
    (void)state;
    struct table tb;
    table_init(&tb);
    static struct maker makers[3];
    struct thread threads[3] = {0};
    for (int i = 0; i < 3; i++) {
        makers[i] = (struct maker){.tb = &tb, .step = (int[]){1, 7, 239}[i]};
        thread_start(&threads[i], "maker", make_months, &makers[i]);
    }
    for (int i = 0; i < 3; i++)
        thread_join(&threads[i]);
    for (int i = 0; i < 240; i++) {
        assert_ptr_equal(makers[0].made[i], makers[1].made[i]);
        assert_ptr_equal(makers[0].made[i], makers[2].made[i]);
    }
    size_t count;
    struct partition **all = table_partitions(&tb, &count);
    for (size_t i = 1; i < count; i++)
        assert_true(all[i - 1]->month.max_ms < all[i]->month.min_ms);
    free(all);
    table_release(&tb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(months_are_made_once_and_stand_in_order),
        cmocka_unit_test(places_of_a_partition),
        cmocka_unit_test(many_threads_get_the_same_months),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
