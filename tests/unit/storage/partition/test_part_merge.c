/* Publishing and merging one month's file parts: what is touched, and what a failure at any step leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/commit/store_view.h"
#include "tests/doubles/fault_fs.h"
#include "tests/unit/storage/partition/partition_fixture.h"

#define ROWS 5u

/* Stages a part of commit n with ROWS rows; it joins the set as the committer would have it. */
static void stage_part(struct partition_world *world, uint64_t n, struct staged_parts *staged)
{
    struct error error = {0};
    uint32_t series = resolve(world, "m", "a", LAST_OF_OCTOBER);
    struct partition *pt = create_partition(&world->table, LAST_OF_OCTOBER);
    int64_t from = LAST_OF_OCTOBER + (int64_t)n * 60 * SECOND_MS;
    partition_add_inmemory_part(pt, rows_part(world, series, from, ROWS), n, 0);
    if (partition_flush_inmemory_parts(pt, n, staged, &error) < 0)
        fail_msg("flush: %s", error.message);
    assert_int_equal(staged->count, 1);
    struct part_list fresh = {0};
    part_list_add(&fresh, part_ref(staged->items[0].part));
    part_set_replace(&pt->data, &staged->items[0].sources, &fresh);
    part_list_release(&fresh);
}

static void add_published(struct partition_world *world, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        struct staged_parts staged = {0};
        stage_part(world, n, &staged);
        assert_int_equal(partition_publish(&staged.items[0], n, NULL), 0);
        assert_true(staged.items[0].part->published);
        staged_parts_release(&staged);
    }
}

/* What another process would find; returns the number of parts, and their rows. Lists of what isn't there
 * fail. */
static size_t on_disk(struct partition_world *world, uint64_t *ret_rows)
{
    struct store_view view = {0};
    struct error error = {0};
    if (store_view_load(&view, world->dir, &error) < 0)
        fail_msg("store_view_load: %s", error.message);
    size_t parts = 0;
    *ret_rows = 0;
    for (size_t i = 0; i < view.months_count; i++) {
        for (size_t k = 0; k < view.months[i].parts_count; k++, parts++) {
            const struct view_part *vp = &view.months[i].parts[k];
            struct part *p;
            if (part_open(&p, vp->place, vp->dir, vp->name, 0, &error) < 0)
                fail_msg("part_open: %s", error.message);
            *ret_rows += p->rows;
            part_unref(p);
        }
    }
    store_view_release(&view);
    return parts;
}

static size_t in_memory(struct partition_world *world, uint64_t *ret_rows)
{
    struct part_list parts = {0};
    part_set_pin(&create_partition(&world->table, LAST_OF_OCTOBER)->data, &parts, NULL, NULL);
    size_t count = parts.count;
    *ret_rows = 0;
    for (size_t i = 0; i < parts.count; i++)
        *ret_rows += parts.parts[i]->rows;
    part_list_release(&parts);
    return count;
}

static int merge(struct partition_world *world)
{
    return partition_merge_parts(create_partition(&world->table, LAST_OF_OCTOBER), MERGE_SMALL, UINT64_MAX,
                                 NULL);
}

static void only_parts_that_a_record_calls_published_are_merged(void **state)
{
    (void)state;
    struct partition_world world;
    uint64_t rows;
    world_open(&world, &fs_posix);
    add_published(&world, 1, 20);
    assert_int_equal(merge(&world), 0); /* no record says so yet */
    assert_int_equal(on_disk(&world, &rows), 20);
    atomic_store(&world.table.env.published_durable, 7);
    assert_int_equal(merge(&world), 0); /* eight make a merge */
    atomic_store(&world.table.env.published_durable, 9);

    struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
    part_set_mark_published(&pt->data, pt->data.list.parts[0]);
    pt->data.list.parts[0]->published = false; /* commit 1 isn't listed, commit 2 is in another merge */
    pt->data.list.parts[1]->merging = true;
    assert_int_equal(merge(&world), 0);
    pt->data.list.parts[1]->merging = false;
    assert_int_equal(merge(&world), 1); /* 2 to 9 */
    pt->data.list.parts[0]->published = true;
    assert_int_equal(in_memory(&world, &rows), 13);
    assert_int_equal(rows, 20 * ROWS);
    for (size_t i = 0; i < pt->data.list.count; i++) {
        const struct part *p = pt->data.list.parts[i];
        bool merged = p->commit == 0;
        assert_true(merged || p->commit == 1 || p->commit > 9);
        assert_int_equal(p->rows, merged ? 8 * ROWS : ROWS);
        assert_true(p->published && !p->merging);
    }
    assert_int_equal(merge(&world), 0);
    world_close(&world);
}

static void parts_in_memory_and_of_the_other_place_are_left_alone(void **state)
{
    (void)state;
    struct partition_world world;
    uint64_t rows;
    world_open(&world, &fs_posix);
    atomic_store(&world.table.env.published_durable, 100);
    add_published(&world, 1, 7);
    struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
    uint32_t series = resolve(&world, "m", "a", LAST_OF_OCTOBER);
    for (uint64_t n = 8; n < 20; n++)
        partition_add_inmemory_part(pt, rows_part(&world, series, LAST_OF_OCTOBER, ROWS), n, 0);
    assert_int_equal(merge(&world), 0);
    assert_int_equal(partition_merge_parts(pt, MERGE_INDEX, UINT64_MAX, NULL), 0);
    assert_int_equal(in_memory(&world, &rows), 19);
    world_close(&world);
}

static void a_failed_publication_is_repeated(void **state)
{
    (void)state;
    int r = -1;
    for (long at = 1; r < 0; at++) {
        struct partition_world world;
        struct fault_fs ffs;
        uint64_t rows;
        fault_fs_init(&ffs, FAULT_IO, 0);
        world_open(&world, &ffs.fs);
        add_published(&world, 1, 1);
        struct staged_parts staged = {0};
        stage_part(&world, 2, &staged);
        ffs.at = atomic_load(&ffs.operations) + at;
        r = partition_publish(&staged.items[0], 2, NULL);
        assert_int_equal(r, atomic_load(&ffs.faults) ? ERR_IO : 0);
        assert_int_equal(staged.items[0].part->published, r == 0);
        if (r < 0)
            assert_int_equal(partition_publish(&staged.items[0], 2, NULL), 0);
        staged_parts_release(&staged);
        assert_int_equal(on_disk(&world, &rows), 2);
        assert_int_equal(rows, 2 * ROWS);
        world_close(&world);
    }
}

/* A process that ends right after it finds every row once. */
static void a_failed_merge_leaves_each_row_once(void **state)
{
    (void)state;
    int r = -1;
    long at = 1;
    for (; r < 0; at++) {
        struct partition_world world;
        struct fault_fs ffs;
        uint64_t rows;
        fault_fs_init(&ffs, FAULT_IO, 0);
        world_open(&world, &ffs.fs);
        add_published(&world, 1, 8);
        atomic_store(&world.table.env.published_durable, 8);
        ffs.at = atomic_load(&ffs.operations) + at;
        r = merge(&world);
        on_disk(&world, &rows);
        if (rows != 8 * ROWS)
            fail_msg("operation %ld: %d rows", at, (int)rows);
        in_memory(&world, &rows);
        assert_int_equal(rows, 8 * ROWS);
        if (r < 0) { /* and it goes on */
            add_published(&world, 9, 9);
            assert_int_equal(on_disk(&world, &rows), 9);
            assert_int_equal(rows, 9 * ROWS);
            assert_int_equal(merge(&world), 1);
            on_disk(&world, &rows);
            assert_int_equal(rows, 9 * ROWS);
        }
        world_close(&world);
    }
    assert_true(at > 15);
}

/* The same for the index; what is there twice does no harm in it. */
static void a_failed_merge_of_the_index_leaves_each_row(void **state)
{
    (void)state;
    int r = -1;
    for (long at = 1; r < 0; at++) {
        struct partition_world world;
        struct fault_fs ffs;
        uint64_t rows;
        fault_fs_init(&ffs, FAULT_IO, 0);
        world_open(&world, &ffs.fs);
        struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
        for (uint64_t n = 1; n <= 8; n++) {
            struct staged_parts staged = {0};
            struct part_list fresh = {0};
            const char host[] = {(char)('a' + n), 0};
            (void)resolve(&world, "m", host, LAST_OF_OCTOBER);
            assert_int_equal(partition_flush_inmemory_index(pt, n, &staged, NULL), 0);
            part_list_add(&fresh, part_ref(staged.items[0].part));
            part_set_replace(&pt->index, &staged.items[0].sources, &fresh);
            part_list_release(&fresh);
            assert_int_equal(partition_publish(&staged.items[0], n, NULL), 0);
            staged_parts_release(&staged);
        }
        atomic_store(&world.table.env.published_durable, 8);
        ffs.at = atomic_load(&ffs.operations) + at;
        r = partition_merge_parts(pt, MERGE_INDEX, UINT64_MAX, NULL);
        size_t parts = on_disk(&world, &rows);
        assert_true(parts == 8 || parts == 1);
        if (r < 0)
            assert_int_equal(partition_merge_parts(pt, MERGE_INDEX, UINT64_MAX, NULL), 1);
        assert_int_equal(on_disk(&world, &rows), 1);
        world_restart(&world);
        for (char c = 'b'; c <= 'i'; c++)
            (void)resolve(&world, "m", (const char[]){c, 0}, LAST_OF_OCTOBER);
        assert_int_equal(series_lookup_new_series(world.lookup), 0);
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_parts_that_a_record_calls_published_are_merged),
        cmocka_unit_test(parts_in_memory_and_of_the_other_place_are_left_alone),
        cmocka_unit_test(a_failed_publication_is_repeated),
        cmocka_unit_test(a_failed_merge_leaves_each_row_once),
        cmocka_unit_test(a_failed_merge_of_the_index_leaves_each_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
