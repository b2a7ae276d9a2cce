/* Part sets: what searches pin and flushes replace; references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/thread.h"
#include "tests/unit/storage/partition/partition_fixture.h"

static struct part *new_part(struct partition_world *world, uint64_t commit)
{
    uint32_t series = resolve(world, "m", "a", LAST_OF_OCTOBER);
    return part_new_inmemory(rows_part(world, series, LAST_OF_OCTOBER, 3), commit, 7);
}

static unsigned refs(struct part *p)
{
    return atomic_load(&p->refs);
}

static bool is_of_commit(const struct part *p, void *arg)
{
    return p->commit == *(const uint64_t *)arg;
}

static void a_part_knows_what_it_wraps(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    struct part *p = new_part(&world, 9);
    assert_true(part_is_inmemory(p) && p->inmemory && !p->published && !p->merging && !p->name);
    assert_int_equal(p->place, PLACE_SMALL);
    assert_int_equal(p->rows, 3);
    assert_int_equal(p->min_timestamp, LAST_OF_OCTOBER);
    assert_int_equal(p->max_timestamp, LAST_OF_OCTOBER + 2000);
    assert_int_equal(p->oldest_arrival_ms, 7);
    assert_null(part_unref(p));
    assert_null(part_unref(NULL));
    struct error error = {0};
    assert_int_equal(part_open(&p, PLACE_SMALL, "/nonexistent/part", "A1", 0, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/part"));
    assert_true(part_open(&p, PLACE_INDEX, "/nonexistent/part", "A1", 0, &error) < 0);
    world_close(&world);
}

static void pinned_parts_outlive_their_replacement(void **state)
{
    (void)state;
    struct partition_world world;
    struct part_set set;
    world_open(&world, &fs_posix);
    part_set_init(&set);
    struct part *a = new_part(&world, 1), *b = new_part(&world, 2), *c = new_part(&world, 2);
    part_set_add(&set, a);
    part_set_add(&set, b);
    struct part_list pinned = {0}, some = {0}, fresh = {0};
    part_set_pin(&set, &pinned, NULL, NULL);
    assert_int_equal(pinned.count, 2);
    uint64_t two = 2;
    part_set_pin(&set, &some, is_of_commit, &two);
    assert_int_equal(some.count, 1);
    assert_ptr_equal(some.parts[0], b);
    assert_int_equal(refs(b), 3);

    part_list_add(&fresh, c);
    part_set_replace(&set, &some, &fresh);
    assert_int_equal(refs(b), 2);
    assert_int_equal(refs(c), 2);
    part_list_release(&fresh);
    part_list_release(&some);
    part_set_pin(&set, &some, NULL, NULL);
    assert_int_equal(some.count, 2);
    assert_ptr_equal(some.parts[0], a);
    assert_ptr_equal(some.parts[1], c);
    part_list_release(&some);

    assert_int_equal(refs(b), 1);
    assert_int_equal(b->rows, 3); /* still there for who pinned it */
    part_set_mark_published(&set, c);
    assert_true(c->published);
    part_set_release(&set);
    assert_int_equal(refs(a), 1);
    part_list_release(&pinned);
    world_close(&world);
}

struct pinner {
    struct part_set *set;
    atomic_bool stop;
    uint64_t wrong;
};

/* One part at a time is in the set: no moment shows none or two. */
static void pin_all_the_time(void *arg)
{
    struct pinner *p = arg;
    while (!atomic_load(&p->stop)) {
        struct part_list list = {0};
        part_set_pin(p->set, &list, NULL, NULL);
        p->wrong += list.count != 1 || list.parts[0]->rows != 3;
        part_list_release(&list);
    }
}

static void a_replacement_is_seen_whole_by_other_threads(void **state)
{
    (void)state;
    struct partition_world world;
    struct part_set set;
    world_open(&world, &fs_posix);
    part_set_init(&set);
    part_set_add(&set, new_part(&world, 0));
    struct pinner pinner = {.set = &set};
    struct thread thread = {0};
    thread_start(&thread, "pinner", pin_all_the_time, &pinner);
    for (uint64_t i = 1; i < 2000; i++) {
        struct part_list old = {0}, fresh = {0};
        part_set_pin(&set, &old, NULL, NULL);
        part_list_add(&fresh, new_part(&world, i));
        part_set_replace(&set, &old, &fresh);
        part_list_release(&old);
        part_list_release(&fresh);
    }
    atomic_store(&pinner.stop, true);
    thread_join(&thread);
    assert_int_equal(pinner.wrong, 0);
    part_set_release(&set);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_knows_what_it_wraps),
        cmocka_unit_test(pinned_parts_outlive_their_replacement),
        cmocka_unit_test(a_replacement_is_seen_whole_by_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
