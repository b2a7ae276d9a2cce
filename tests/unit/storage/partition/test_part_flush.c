/* A flush makes staged file parts of the in-memory parts of a cut, at most 15 into one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/fs/file_names.h"
#include "storage/part/merge_pick.h"
#include "tests/unit/storage/partition/partition_fixture.h"

#define ROWS   5u
#define PARTS  40u
#define COMMIT 3

static struct partition *make_inmemory_parts(struct partition_world *world, unsigned parts, uint64_t commit)
{
    uint32_t series = resolve(world, "m", "a", LAST_OF_OCTOBER);
    struct partition *pt = create_partition(&world->table, LAST_OF_OCTOBER);
    for (unsigned i = 0; i < parts; i++)
        partition_add_inmemory_part(
            pt, rows_part(world, series, LAST_OF_OCTOBER + (int64_t)i * 60 * SECOND_MS, ROWS), commit, 0);
    return pt;
}

static size_t entries_of(const char *dir)
{
    struct fs_list list;
    assert_int_equal(fs_list_dir(&list, dir, NULL), 0);
    size_t count = list.count;
    fs_list_release(&list);
    return count;
}

static void fifteen_parts_become_one(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    struct partition *pt = make_inmemory_parts(&world, PARTS, COMMIT);
    struct staged_parts staged = {0};
    struct error error = {0};
    if (partition_flush_inmemory_parts(pt, COMMIT, &staged, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(staged.count, (PARTS + MERGE_PARTS_MAX - 1) / MERGE_PARTS_MAX);
    size_t sources = 0;
    for (size_t i = 0; i < staged.count; i++) {
        const struct staged_part *s = &staged.items[i];
        assert_in_range(s->sources.count, 1, MERGE_PARTS_MAX);
        assert_int_equal(s->part->rows, s->sources.count * ROWS);
        assert_int_equal(s->part->commit, COMMIT);
        assert_false(s->part->published);
        sources += s->sources.count;
    }
    assert_int_equal(sources, PARTS); /* each in one of them */
    staged_parts_release(&staged);

    /* In the temporary directory of the commit, and nowhere else. */
    _cleanup_free_ char *dir = staging_dir(pt->env, COMMIT, PLACE_SMALL, &pt->month);
    assert_int_equal(entries_of(dir), (PARTS + MERGE_PARTS_MAX - 1) / MERGE_PARTS_MAX);
    _cleanup_free_ char *place = partition_dir(pt, PLACE_SMALL);
    assert_false(fs_exists(place));
    world_close(&world);
}

static void later_commits_wait(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    (void)make_inmemory_parts(&world, 2, COMMIT - 1); /* a commit that found the disk full */
    (void)make_inmemory_parts(&world, 2, COMMIT);
    struct partition *pt = make_inmemory_parts(&world, 2, COMMIT + 1);
    struct staged_parts staged = {0};
    assert_int_equal(partition_flush_inmemory_parts(pt, COMMIT, &staged, NULL), 0);
    assert_int_equal(staged.count, 1);
    assert_int_equal(staged.items[0].part->rows, 4 * ROWS);
    staged_parts_release(&staged);
    world_close(&world);
}

static void without_rows_nothing_is_made(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
    struct staged_parts staged = {0};
    assert_int_equal(partition_flush_inmemory_parts(pt, COMMIT, &staged, NULL), 0);
    assert_int_equal(staged.count, 0);
    assert_int_equal(entries_of(world.dir), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifteen_parts_become_one),
        cmocka_unit_test(later_commits_wait),
        cmocka_unit_test(without_rows_nothing_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
