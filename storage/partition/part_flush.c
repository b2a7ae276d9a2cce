/* A flush: in-memory parts of a cut become file parts in the staging directory of its commit. */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/block/block_merge.h"
#include "storage/mergeset/item_merge.h"
#include "storage/part/merge_pick.h"
#include "storage/partition/partition.h"
#include "storage/series/index_items.h"

void staged_parts_release(struct staged_parts *staged)
{
    for (size_t i = 0; i < staged->count; i++) {
        part_unref(staged->items[i].part);
        part_list_release(&staged->items[i].sources);
    }
    free(staged->items);
    *staged = (struct staged_parts){0};
}

static void add_staged(struct staged_parts *staged, struct partition *pt, struct part *part,
                       struct part_list *sources)
{
    GROW(staged->items, staged->count, staged->capacity);
    staged->items[staged->count++] = (struct staged_part){.pt = pt, .part = part, .sources = *sources};
    *sources = (struct part_list){0};
}

static bool is_inmemory_of_commit(const struct part *p, void *commit)
{
    return p->inmemory && p->commit <= *(const uint64_t *)commit;
}

static bool is_inmemory_items(const struct part *p, void *arg)
{
    (void)arg;
    return p->inmemory_items != NULL;
}

/* Merges in-memory parts of rows into one staged part. Takes over the sources on success. */
static int merge_parts(struct partition *pt, uint64_t commit, const char *month_dir,
                       struct part_list *sources, struct staged_parts *staged, struct error *reterr)
{
    char name[PART_NAME_TEXT_SIZE];
    partition_env_name(pt->env, name);
    _cleanup_free_ char *dir = xasprintf("%s/%s", month_dir, name);
    struct block_stream_reader *readers = xcalloc(sources->count, sizeof *readers);
    struct block_stream_reader **pointers = xcalloc(sources->count, sizeof *pointers);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < sources->count; i++) {
        block_stream_reader_init_from_inmemory_part(&readers[i], sources->parts[i]->inmemory);
        pointers[i] = &readers[i];
        rows += sources->parts[i]->inmemory->header.rows_count;
        blocks += sources->parts[i]->inmemory->header.blocks_count;
    }
    const struct merge_options options = {
        .rows_deduped = &pt->env->removed.dedup_rows,
        .dedup_interval_ms = pt->env->dedup_interval_ms,
    };
    struct block_stream_writer bsw;
    struct part_header ph = {0};
    int r = block_stream_writer_init_from_file_part(&bsw, pt->env->fs, dir, rows, blocks, reterr);
    if (r == 0)
        r = merge_block_streams(&ph, &bsw, pointers, sources->count, &options, reterr);
    for (size_t i = 0; i < sources->count; i++)
        block_stream_reader_release(&readers[i]);
    free(readers);
    free(pointers);
    if (r < 0)
        return r;
    struct part *part;
    r = part_open(&part, PLACE_SMALL, dir, name, commit, reterr);
    if (r < 0)
        return r;
    atomic_fetch_add(&pt->env->flushed_bytes, part->bytes);
    add_staged(staged, pt, part, sources);
    return 0;
}

/* Groups of at most 15, each merged into one part. */
static int merge_parts_optimal(struct partition *pt, uint64_t commit, const char *month_dir,
                               const struct part_list *parts, struct staged_parts *staged,
                               struct error *reterr)
{
    struct merge_candidate *candidates = xcalloc(parts->count, sizeof *candidates);
    size_t *group_of = xcalloc(parts->count, sizeof *group_of);
    for (size_t i = 0; i < parts->count; i++)
        candidates[i] = (struct merge_candidate){parts->parts[i]->bytes, parts->parts[i]->min_timestamp};
    size_t groups = merge_groups(candidates, parts->count, MERGE_PARTS_MAX, true, group_of);
    int r = 0;
    for (size_t g = 0; g < groups && r == 0; g++) {
        struct part_list sources = {0};
        for (size_t i = 0; i < parts->count; i++)
            if (group_of[i] == g)
                part_list_add(&sources, part_ref(parts->parts[i]));
        r = merge_parts(pt, commit, month_dir, &sources, staged, reterr);
        part_list_release(&sources);
    }
    free(candidates);
    free(group_of);
    return r;
}

int partition_flush_inmemory_parts(struct partition *pt, uint64_t commit, struct staged_parts *staged,
                                   struct error *reterr)
{
    struct part_list parts = {0};
    part_set_pin(&pt->data, &parts, is_inmemory_of_commit, &commit);
    if (!parts.count)
        return 0;
    _cleanup_free_ char *dir = staging_dir(pt->env, commit, PLACE_SMALL, &pt->month);
    int r = fs_make_dirs(pt->env->fs, dir, true, reterr);
    if (r == 0)
        r = merge_parts_optimal(pt, commit, dir, &parts, staged, reterr);
    if (r == 0)
        r = pt->env->fs->ops->sync_dir(pt->env->fs, dir, reterr);
    part_list_release(&parts);
    return r;
}

int partition_flush_inmemory_index(struct partition *pt, uint64_t commit, struct staged_parts *staged,
                                   struct error *reterr)
{
    partition_flush_index_rows(pt);
    struct part_list sources = {0};
    part_set_pin(&pt->index, &sources, is_inmemory_items, NULL);
    if (!sources.count)
        return 0;
    const struct fs *fs = pt->env->fs;
    char name[PART_NAME_TEXT_SIZE];
    partition_env_name(pt->env, name);
    _cleanup_free_ char *month_dir = staging_dir(pt->env, commit, PLACE_INDEX, &pt->month);
    _cleanup_free_ char *dir = xasprintf("%s/%s", month_dir, name);
    struct item_source *item_sources = xcalloc(sources.count, sizeof *item_sources);
    for (size_t i = 0; i < sources.count; i++)
        item_sources[i] = part_item_source(sources.parts[i]);
    struct item_part_header ph = {0};
    struct part *part = NULL;
    int r = fs_make_dirs(fs, month_dir, true, reterr);
    if (r == 0)
        r = item_merge(fs, dir, item_sources, sources.count, index_items_merge_tag_rows, NULL, NULL, &ph,
                       reterr);
    if (r > 0) {
        r = fs->ops->sync_dir(fs, month_dir, reterr);
        if (r == 0)
            r = part_open(&part, PLACE_INDEX, dir, name, commit, reterr);
    }
    item_part_header_release(&ph);
    free(item_sources);
    if (part) {
        atomic_fetch_add(&pt->env->flushed_index_bytes, part->bytes);
        add_staged(staged, pt, part, &sources);
    }
    part_list_release(&sources);
    return r;
}
