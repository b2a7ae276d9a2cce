#include "storage/partition/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/partition/partition_open.h"
#include "storage/series/index_items.h"

struct partition *partition_new(struct partition_env *env, const struct month *month)
{
    struct partition *pt = xcalloc(1, sizeof *pt);
    pt->env = env;
    pt->month = *month;
    part_set_init(&pt->data);
    part_set_init(&pt->index);
    mutex_init(&pt->parts_json_lock, RANK_PARTS_JSON);
    mutex_init(&pt->index_flush_lock, RANK_INDEX_FLUSH);
    mutex_init(&pt->pending_lock, RANK_INDEX);
    mutex_init(&pt->open_lock, RANK_OPEN);
    return pt;
}

void partition_free(struct partition *pt)
{
    if (!pt)
        return;
    part_set_release(&pt->data);
    part_set_release(&pt->index);
    index_rows_release(&pt->pending);
    mutex_destroy(&pt->parts_json_lock);
    mutex_destroy(&pt->index_flush_lock);
    mutex_destroy(&pt->pending_lock);
    mutex_destroy(&pt->open_lock);
    partition_release_unopened(pt);
    free(pt);
}

struct part_set *partition_set(struct partition *pt, enum part_place place)
{
    return place == PLACE_INDEX ? &pt->index : &pt->data;
}

char *partition_dir(const struct partition *pt, enum part_place place)
{
    return xasprintf("%s/" DIR_DATA "/%s/%s", pt->env->root, part_place_dir(place), pt->month.name);
}

char *staging_dir(const struct partition_env *env, uint64_t commit, enum part_place place,
                  const struct month *month)
{
    return xasprintf("%s/" DIR_STAGING "/%" PRIu64 "/%s/%s", env->root, commit, part_place_dir(place),
                     month->name);
}

void partition_env_name(struct partition_env *env, char ret_name[PART_NAME_TEXT_SIZE])
{
    snprintf(ret_name, PART_NAME_TEXT_SIZE, "%016" PRIX64, atomic_fetch_add(&env->next_part, 1));
}

void partition_add_inmemory_part(struct partition *pt, struct inmemory_part *mp, uint64_t commit,
                                 int64_t oldest_arrival_ms)
{
    if (mp)
        part_set_add(&pt->data, part_new_inmemory(mp, commit, oldest_arrival_ms));
}

struct index_rows *partition_lock_index_rows(struct partition *pt) TS_ATTR(no_thread_safety_analysis)
{
    mutex_lock(&pt->pending_lock);
    pt->pending_bytes_before = index_rows_memory(&pt->pending);
    return &pt->pending;
}

void partition_unlock_index_rows(struct partition *pt) TS_ATTR(no_thread_safety_analysis)
{
    size_t added = index_rows_memory(&pt->pending) - pt->pending_bytes_before;
    atomic_fetch_add_explicit(&pt->env->pending_index_bytes, added, memory_order_relaxed);
    mutex_unlock(&pt->pending_lock);
}

void partition_flush_index_rows(struct partition *pt)
{
    struct index_rows taken = {0};
    /* A commit that came between the taking and the listing would record rows without their index rows. */
    mutex_lock(&pt->index_flush_lock);
    mutex_lock(&pt->pending_lock);
    taken = pt->pending;
    pt->pending = (struct index_rows){0};
    atomic_fetch_sub_explicit(&pt->env->pending_index_bytes, index_rows_memory(&taken), memory_order_relaxed);
    mutex_unlock(&pt->pending_lock);
    struct inmemory_item_part *imp = index_rows_build(&taken);
    index_rows_release(&taken);
    FAULT_POINT("index.built");
    if (imp)
        part_set_add(&pt->index, part_new_inmemory_items(imp));
    mutex_unlock(&pt->index_flush_lock);
}

static bool is_listed(const struct part *p, void *arg)
{
    (void)arg;
    return p->published;
}

static void add_name(struct name_list lists[PART_PLACES], const struct part *p)
{
    name_list_add(&lists[p->place], p->name);
}

int partition_write_parts_json(struct partition *pt, enum part_place place, const struct part_list *leaving,
                               const struct part *joining, struct error *reterr)
{
    struct part_list listed = {0};
    part_set_pin(partition_set(pt, place), &listed, is_listed, NULL);
    struct name_list lists[PART_PLACES] = {0};
    for (size_t i = 0; i < listed.count; i++) {
        bool leaves = false;
        for (size_t k = 0; leaving && k < leaving->count; k++)
            leaves |= leaving->parts[k] == listed.parts[i];
        if (!leaves)
            add_name(lists, listed.parts[i]);
    }
    if (joining)
        add_name(lists, joining);
    part_list_release(&listed);

    struct buffer text = {0};
    if (place == PLACE_INDEX)
        parts_json_print_index(&text, &lists[PLACE_INDEX]);
    else
        parts_json_print_data(&text, &lists[PLACE_SMALL], &lists[PLACE_BIG]);
    /* Big parts are listed in the file beside the small ones. */
    _cleanup_free_ char *dir = partition_dir(pt, place == PLACE_BIG ? PLACE_SMALL : place);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PARTS_JSON, dir);
    int r = fs_replace_file(pt->env->fs, path, text.data, text.len, reterr);
    buffer_release(&text);
    for (int i = 0; i < PART_PLACES; i++)
        name_list_release(&lists[i]);
    return r;
}

int partition_publish(struct staged_part *staged, uint64_t commit, struct error *reterr)
{
    struct partition *pt = staged->pt;
    const struct fs *fs = pt->env->fs;
    enum part_place place = staged->part->place;
    _cleanup_free_ char *from_dir = staging_dir(pt->env, commit, place, &pt->month);
    _cleanup_free_ char *to_dir = partition_dir(pt, place);
    _cleanup_free_ char *small_dir = partition_dir(pt, PLACE_SMALL);
    _cleanup_free_ char *from = xasprintf("%s/%s", from_dir, staged->part->name);
    _cleanup_free_ char *to = xasprintf("%s/%s", to_dir, staged->part->name);
    int r = partition_ensure_open(pt, reterr);
    if (r == 0)
        r = fs_make_dirs(fs, to_dir, true, reterr);
    if (r == 0 && place == PLACE_BIG)
        r = fs_make_dirs(fs, small_dir, true, reterr);
    if (r == 0 && fs_exists(from)) { /* else moved by a try before this one */
        r = fs->ops->rename(fs, from, to, reterr);
        if (r == 0)
            r = fs->ops->sync_dir(fs, to_dir, reterr);
        if (r == 0)
            r = fs->ops->sync_dir(fs, from_dir, reterr);
    }
    if (r < 0)
        return r;
    mutex_lock(&pt->parts_json_lock);
    r = partition_write_parts_json(pt, place, NULL, staged->part, reterr);
    if (r == 0)
        part_set_mark_published(partition_set(pt, place), staged->part);
    mutex_unlock(&pt->parts_json_lock);
    return r;
}
