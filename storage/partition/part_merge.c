/*
 * Merging file parts within one month: build under the final name, sync, replace parts.json, remove the
 * sources (architecture 3). Only parts that a durable record says are published are touched, so recovery
 * never looks for one that a merge took away.
 */
#include <stdlib.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/block/block_merge.h"
#include "storage/mergeset/item_merge.h"
#include "storage/part/merge_pick.h"
#include "storage/partition/partition.h"
#include "storage/series/index_items.h"

/* A merge may take a quarter of what is free: others run beside it (format 10.2). */
#define FREE_SPACE_SHARE 4
/* Parts above this go to big/: max(40% of memory / 15, 10 MB), as the reference has it. */
#define SMALL_PART_BYTES_FLOOR UINT64_C(10000000)

static uint64_t small_part_bytes_max(void)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    uint64_t share = memory / 10 * 4 / MERGE_PARTS_MAX;
    return share > SMALL_PART_BYTES_FLOOR ? share : SMALL_PART_BYTES_FLOOR;
}

/* Picks a group worth merging and marks it; references go to *ret. */
static void pick_sources(struct partition *pt, enum part_place place, struct part_list *ret)
{
    struct part_set *set = partition_set(pt, place);
    _cleanup_free_ char *data = xasprintf("%s/" DIR_DATA, pt->env->root);
    uint64_t max_out = pt->env->fs->ops->free_bytes(pt->env->fs, data) / FREE_SPACE_SHARE;
    uint64_t published = atomic_load(&pt->env->published_durable);

    mutex_lock(&set->lock);
    struct merge_candidate *candidates = xcalloc(set->list.count, sizeof *candidates);
    size_t *index = xcalloc(set->list.count, sizeof *index);
    size_t picked[MERGE_PARTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < set->list.count; i++) {
        const struct part *p = set->list.parts[i];
        if (part_is_inmemory(p) || p->place != place || !p->published || p->merging || p->commit > published)
            continue;
        candidates[n] = (struct merge_candidate){p->bytes, p->min_timestamp};
        index[n++] = i;
    }
    size_t count = merge_pick(candidates, n, MERGE_PARTS_MAX, max_out, place != PLACE_INDEX, picked);
    for (size_t i = 0; i < count; i++) {
        struct part *p = set->list.parts[index[picked[i]]];
        p->merging = true;
        part_list_add(ret, part_ref(p));
    }
    mutex_unlock(&set->lock);
    free(candidates);
    free(index);
}

/* 1: dir holds the merged part; 0: nothing was left of the sources; or an error, and dir may need removing.
 */
static int merge_rows(struct partition *pt, const struct part_list *sources, const char *dir,
                      struct error *reterr)
{
    struct partition_env *env = pt->env;
    struct block_stream_reader *readers = xcalloc(sources->count, sizeof *readers);
    struct block_stream_reader **pointers = xcalloc(sources->count, sizeof *pointers);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < sources->count; i++) {
        block_stream_reader_init_from_file_part(&readers[i], sources->parts[i]->file);
        pointers[i] = &readers[i];
        rows += sources->parts[i]->file->header.rows_count;
        blocks += sources->parts[i]->file->header.blocks_count;
    }
    struct merge_options options = {
        .stop = &env->stop_merges,
        .retention_deadline_ms = atomic_load(&env->retention_deadline_ms),
        .rows_merged = &env->merged_rows_total,
    };
    struct block_stream_writer bsw;
    struct part_header ph = {0};
    int r = block_stream_writer_init_from_file_part(&bsw, env->fs, dir, rows, blocks, reterr);
    if (r == 0)
        r = merge_block_streams(&ph, &bsw, pointers, sources->count, &options, reterr);
    for (size_t i = 0; i < sources->count; i++)
        block_stream_reader_release(&readers[i]);
    free(readers);
    free(pointers);
    return r < 0 ? r : ph.rows_count > 0;
}

static int merge_index_rows(struct partition *pt, const struct part_list *sources, const char *dir,
                            struct error *reterr)
{
    struct item_source *item_sources = xcalloc(sources->count, sizeof *item_sources);
    for (size_t i = 0; i < sources->count; i++)
        item_sources[i] = part_item_source(sources->parts[i]);
    struct item_part_header ph = {0};
    int r = item_merge(pt->env->fs, dir, item_sources, sources->count, index_items_merge_tag_rows, NULL,
                       &pt->env->stop_merges, &ph, reterr);
    item_part_header_release(&ph);
    free(item_sources);
    return r;
}

/* Lists the new part (NULL: none) instead of the sources, on disk and then in memory. */
static int swap_parts(struct partition *pt, enum part_place place, const struct part_list *sources,
                      struct part *merged, struct error *reterr)
{
    mutex_lock(&pt->parts_json_lock);
    int r = partition_write_parts_json(pt, place, sources, merged, reterr);
    if (r == 0) {
        struct part_list fresh = {0};
        if (merged) {
            merged->published = true;
            part_list_add(&fresh, part_ref(merged));
        }
        part_set_replace(partition_set(pt, place), sources, &fresh);
        part_list_release(&fresh);
    }
    mutex_unlock(&pt->parts_json_lock);
    return r;
}

static void remove_dirs(struct partition *pt, const struct part_list *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        _cleanup_free_ char *dir = partition_dir(pt, parts->parts[i]->place);
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, parts->parts[i]->name);
        /* Not listed any more: what stays is deleted at the next open. */
        (void)fs_remove_tree(pt->env->fs, path, NULL);
    }
}

/* Whether the parts.json that is there names this part: replacing it may fail after its rename. True if that
 * can't be told. */
static bool is_named(const struct partition *pt, enum part_place place, const char *name)
{
    bool index = place == PLACE_INDEX;
    _cleanup_free_ char *dir = partition_dir(pt, index ? PLACE_INDEX : PLACE_SMALL);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PARTS_JSON, dir);
    struct buffer text = {0};
    struct name_list lists[PART_PLACES] = {0};
    int r = fs_read_file(path, PARTS_JSON_BYTES_MAX, &text, NULL);
    if (r == 0)
        r = index ? parts_json_parse_index((const char *)text.data, text.len, &lists[PLACE_INDEX], NULL)
                  : parts_json_parse_data((const char *)text.data, text.len, &lists[PLACE_SMALL],
                                          &lists[PLACE_BIG], NULL);
    bool named = r < 0 || name_list_has(&lists[place], name);
    for (int i = 0; i < PART_PLACES; i++)
        name_list_release(&lists[i]);
    buffer_release(&text);
    return named;
}

static enum part_place destination(enum part_place place, const struct part_list *sources)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < sources->count; i++)
        bytes += sources->parts[i]->bytes;
    return place == PLACE_SMALL && bytes > small_part_bytes_max() ? PLACE_BIG : place;
}

static int merge_parts(struct partition *pt, enum part_place place, const struct part_list *sources,
                       struct error *reterr)
{
    const struct fs *fs = pt->env->fs;
    enum part_place to = destination(place, sources);
    char name[PART_NAME_TEXT_SIZE];
    partition_env_name(pt->env, name);
    _cleanup_free_ char *month_dir = partition_dir(pt, to);
    _cleanup_free_ char *dir = xasprintf("%s/%s", month_dir, name);
    struct part *merged = NULL;
    int r = fs_make_dirs(fs, month_dir, true, reterr);
    if (r == 0)
        r = place == PLACE_INDEX ? merge_index_rows(pt, sources, dir, reterr)
                                 : merge_rows(pt, sources, dir, reterr);
    if (r > 0) {
        r = fs->ops->sync_dir(fs, month_dir, reterr);
        if (r == 0)
            r = part_open(&merged, to, dir, name, 0, reterr);
    } else if (r == 0) {
        (void)fs_remove_tree(fs, dir, NULL);
    }
    if (r == 0)
        r = swap_parts(pt, place, sources, merged, reterr);
    part_unref(merged);
    if (r < 0) {
        /* The sources stay listed in memory, and so in the next parts.json; until then both must be there. */
        if (!is_named(pt, to, name))
            (void)fs_remove_tree(fs, dir, NULL);
        return r;
    }
    remove_dirs(pt, sources);
    return 0;
}

int partition_merge_parts(struct partition *pt, enum part_place place, struct error *reterr)
{
    struct part_list sources = {0};
    pick_sources(pt, place, &sources);
    if (!sources.count)
        return 0;
    atomic_fetch_add(&pt->env->merges_active, 1);
    int r = merge_parts(pt, place, &sources, reterr);
    atomic_fetch_sub(&pt->env->merges_active, 1);
    if (r < 0)
        part_set_unmark_merging(partition_set(pt, place), &sources);
    else
        atomic_fetch_add(&pt->env->merges_total, 1);
    part_list_release(&sources);
    return r < 0 ? r : 1;
}
