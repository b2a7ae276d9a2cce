/*
 * The end of a month that is out of retention.
 *
 * Each of its directories leaves data/ by one rename, to where the next open deletes whatever it finds; so a
 * month is never seen half deleted, and a full disk is no obstacle. Rows go before their index. The small
 * parts' directory holds the list of the big ones: it goes first, and parts that no list names any more are
 * whole parts still.
 */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "storage/partition/partition.h"

static bool is_inmemory(const struct part *p, void *arg)
{
    (void)arg;
    return part_is_inmemory(p);
}

static void take_inmemory(struct partition *pt, struct part_set *set, uint64_t *ret_bytes)
{
    const struct part_list none = {0};
    struct part_list parts = {0};
    part_set_pin(set, &parts, is_inmemory, NULL);
    for (size_t i = 0; i < parts.count; i++) {
        if (!parts.parts[i]->inmemory)
            continue;
        *ret_bytes += parts.parts[i]->inmemory->memory_bytes;
        atomic_fetch_add(&pt->env->removed.uncommitted_rows, parts.parts[i]->rows);
    }
    part_set_replace(set, &parts, &none);
    part_list_release(&parts);
}

void partition_discard_inmemory(struct partition *pt, uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    mutex_lock(&pt->index_flush_lock);
    mutex_lock(&pt->pending_lock);
    struct index_rows pending = pt->pending;
    pt->pending = (struct index_rows){0};
    atomic_fetch_sub_explicit(&pt->env->pending_index_bytes, index_rows_memory(&pending),
                              memory_order_relaxed);
    mutex_unlock(&pt->pending_lock);
    take_inmemory(pt, &pt->index, ret_bytes);
    mutex_unlock(&pt->index_flush_lock);
    index_rows_release(&pending);
    take_inmemory(pt, &pt->data, ret_bytes);
}

/* Renames one directory out of data/; one that isn't there, or no more, is fine. */
static int move_out(struct partition *pt, enum part_place place, struct error *reterr)
{
    const struct fs *fs = pt->env->fs;
    _cleanup_free_ char *from = partition_dir(pt, place);
    _cleanup_free_ char *from_parent = xasprintf("%s/" DIR_DATA "/%s", pt->env->root, part_place_dir(place));
    _cleanup_free_ char *dropped = xasprintf("%s/" DIR_DROPPED, pt->env->root);
    _cleanup_free_ char *to = xasprintf("%s/%s-%s", dropped, part_place_dir(place), pt->month.name);
    int r = 0;
    if (fs_is_dir(from)) {
        if (fs_is_dir(to)) /* of a time before this one, whose deletion failed */
            r = fs_remove_tree(fs, to, reterr);
        if (r == 0)
            r = fs->ops->rename(fs, from, to, reterr);
    }
    if (r == 0)
        r = fs->ops->sync_dir(fs, from_parent, reterr);
    return r;
}

int partition_drop(struct partition *pt, struct error *reterr)
{
    static const enum part_place order[] = {PLACE_SMALL, PLACE_BIG, PLACE_INDEX};
    _cleanup_free_ char *dropped = xasprintf("%s/" DIR_DROPPED, pt->env->root);
    int r = fs_make_dirs(pt->env->fs, dropped, true, reterr);
    for (size_t i = 0; i < sizeof order / sizeof *order && r == 0; i++) {
        r = move_out(pt, order[i], reterr);
        FAULT_POINT("drop.moved");
    }
    if (r < 0)
        return r;
    struct part_list parts = {0};
    part_set_drain(&pt->data, &parts);
    for (size_t i = 0; i < parts.count; i++)
        atomic_fetch_add(&pt->env->removed.retention_rows, parts.parts[i]->rows);
    part_list_release(&parts);
    part_set_drain(&pt->index, &parts);
    part_list_release(&parts);
    atomic_fetch_add(&pt->env->removed.months, 1);
    return 0;
}
