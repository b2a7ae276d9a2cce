/*
 * Merging file parts within one month: build under the final name, sync, replace parts.json, remove the
 * sources (architecture 3). Only parts that a durable record says are published are touched, so recovery
 * never looks for one that a merge took away.
 */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "storage/block/block_merge.h"
#include "storage/mergeset/item_merge.h"
#include "storage/partition/merge_task.h"
#include "storage/series/index_items.h"
#include "storage/series/metric_id_set.h"

/* Merges of more than this leave the page cache to others: what they read goes, what they write is seldom
 * read.
 */
#define STREAMED_BYTES_MIN (UINT64_C(64) << 20)

static bool is_published(const struct part *p, void *arg)
{
    (void)arg;
    return !part_is_inmemory(p) && p->published;
}

/* The month's deleted ids, as far as a durable record says so: dropped rows don't come back. */
static int load_deleted(struct partition *pt, struct metric_id_set *ids, struct error *reterr)
{
    struct part_list parts = {0};
    struct item_search search;
    part_set_pin(&pt->index, &parts, is_published, NULL);
    struct item_source *sources = xcalloc(parts.count, sizeof *sources);
    for (size_t i = 0; i < parts.count; i++)
        sources[i] = part_item_source(parts.parts[i]);
    item_search_init(&search, sources, parts.count);
    int r = metric_id_set_load_deleted(ids, &search, reterr);
    item_search_release(&search);
    free(sources);
    part_list_release(&parts);
    return r;
}

static bool is_deleted(uint64_t metric_id, void *arg)
{
    return metric_id_set_has(arg, metric_id);
}

/* 1: dir holds the merged part; 0: nothing was left of the sources; or an error, and dir may need
 * removing. */
static int merge_rows(const struct merge_task *task, const char *dir, struct error *reterr)
{
    struct partition_env *env = task->pt->env;
    struct merge_counters *counters = &env->merges[task->kind];
    const struct part_list *sources = &task->sources;
    struct block_stream_reader *readers = xcalloc(sources->count, sizeof *readers);
    struct block_stream_reader **pointers = xcalloc(sources->count, sizeof *pointers);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < sources->count; i++) {
        block_stream_reader_init_from_file_part(&readers[i], sources->parts[i]->file);
        pointers[i] = &readers[i];
        if (task->bytes >= STREAMED_BYTES_MIN)
            block_stream_reader_set_streamed(&readers[i]);
        rows += sources->parts[i]->file->header.rows_count;
        blocks += sources->parts[i]->file->header.blocks_count;
    }
    struct merge_options options = {
        .stop = task->stop,
        .retention_deadline_ms = atomic_load(&env->retention_deadline_ms),
        .rows_merged = &counters->rows,
        .rows_too_old = &env->removed.retention_rows,
        .rows_deleted = &env->removed.deleted_rows,
        .rows_deduped = &env->removed.dedup_rows,
        .dedup_interval_ms = env->dedup_interval_ms,
        .bytes_read = &counters->bytes_read,
    };
    struct metric_id_set deleted = {0};
    struct block_stream_writer bsw = {0};
    struct part_header ph = {0};
    int r = load_deleted(task->pt, &deleted, reterr);
    if (deleted.count) {
        options.is_deleted = is_deleted;
        options.is_deleted_arg = &deleted;
    }
    if (r == 0)
        r = block_stream_writer_init_from_file_part(&bsw, env->fs, dir, rows, blocks, reterr);
    if (r == 0 && task->bytes >= STREAMED_BYTES_MIN)
        block_stream_writer_set_streamed(&bsw);
    if (r == 0)
        r = merge_block_streams(&ph, &bsw, pointers, sources->count, &options, reterr);
    for (size_t i = 0; i < sources->count; i++)
        block_stream_reader_release(&readers[i]);
    free(readers);
    free(pointers);
    metric_id_set_release(&deleted);
    return r < 0 ? r : ph.rows_count > 0;
}

static int merge_index_rows(const struct merge_task *task, const char *dir, struct error *reterr)
{
    const struct part_list *sources = &task->sources;
    struct merge_counters *counters = &task->pt->env->merges[task->kind];
    struct item_source *item_sources = xcalloc(sources->count, sizeof *item_sources);
    for (size_t i = 0; i < sources->count; i++)
        item_sources[i] = part_item_source(sources->parts[i]);
    struct item_merge_watch watch = {task->stop, &counters->rows, &counters->bytes_read};
    struct item_part_header ph = {0};
    int r = item_merge(task->pt->env->fs, dir, item_sources, sources->count, index_items_merge_tag_rows, NULL,
                       &watch, &ph, reterr);
    item_part_header_release(&ph);
    free(item_sources);
    return r;
}

/* Lists the new part (NULL: none) instead of the sources, on disk and then in memory. */
static int swap_parts(const struct merge_task *task, struct part *merged, struct error *reterr)
{
    struct partition *pt = task->pt;
    enum part_place place = task->to;
    const struct part_list *sources = &task->sources;
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

/* Not listed any more: what stays is deleted at the next open. */
static void remove_dirs(struct partition *pt, const struct part_list *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        _cleanup_free_ char *dir = partition_dir(pt, parts->parts[i]->place);
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, parts->parts[i]->name);
        removals_add(&pt->env->removals, path);
    }
    removals_run(&pt->env->removals, pt->env->fs);
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

static int build(struct merge_task *task, const char *month_dir, const char *dir, const char *name,
                 struct part **ret_merged, struct error *reterr)
{
    const struct fs *fs = task->pt->env->fs;
    int r = fs_make_dirs(fs, month_dir, true, reterr);
    FAULT_POINT("merge.begun");
    if (r == 0)
        r = task->to == PLACE_INDEX ? merge_index_rows(task, dir, reterr) : merge_rows(task, dir, reterr);
    FAULT_POINT("merge.built");
    if (r == 0)
        (void)fs_remove_tree(fs, dir, NULL);
    if (r <= 0)
        return r;
    r = fs->ops->sync_dir(fs, month_dir, reterr);
    FAULT_POINT("merge.synced");
    return r < 0 ? r : part_open(ret_merged, task->to, dir, name, 0, reterr);
}

static int merge_parts(struct merge_task *task, struct error *reterr)
{
    struct partition *pt = task->pt;
    char name[PART_NAME_TEXT_SIZE];
    partition_env_name(pt->env, name);
    _cleanup_free_ char *month_dir = partition_dir(pt, task->to);
    _cleanup_free_ char *dir = xasprintf("%s/%s", month_dir, name);
    struct part *merged = NULL;
    int r = build(task, month_dir, dir, name, &merged, reterr);
    if (r == 0)
        r = swap_parts(task, merged, reterr);
    FAULT_POINT("merge.listed");
    uint64_t written = merged ? merged->bytes : 0;
    part_unref(merged);
    if (r < 0) {
        /* The sources stay listed in memory, and so in the next parts.json; until then both must be there. */
        if (!is_named(pt, task->to, name))
            (void)fs_remove_tree(pt->env->fs, dir, NULL);
        return r;
    }
    atomic_fetch_add(&pt->env->merges[task->kind].bytes_written, written);
    remove_dirs(pt, &task->sources);
    FAULT_POINT("merge.done");
    return 0;
}

int merge_remove(struct merge_task *task, struct error *reterr)
{
    struct partition_env *env = task->pt->env;
    int r = swap_parts(task, NULL, reterr);
    FAULT_POINT("stale.unlisted");
    if (r < 0) {
        part_set_unmark_merging(partition_set(task->pt, task->to), &task->sources);
    } else {
        remove_dirs(task->pt, &task->sources);
        for (size_t i = 0; i < task->sources.count; i++)
            atomic_fetch_add(&env->removed.retention_rows, task->sources.parts[i]->rows);
        atomic_fetch_add(&env->removed.parts, task->sources.count);
    }
    part_list_release(&task->sources);
    return r;
}

int merge_run(struct merge_task *task, struct error *reterr)
{
    struct partition_env *env = task->pt->env;
    struct merge_counters *counters = &env->merges[task->kind];
    FAULT_POINT("merge.selected");
    atomic_fetch_add(&counters->active, 1);
    int r = merge_parts(task, reterr);
    atomic_fetch_sub(&counters->active, 1);
    atomic_fetch_sub(&env->merge_reserved_bytes, task->bytes);
    if (r < 0)
        part_set_unmark_merging(partition_set(task->pt, task->to), &task->sources);
    else
        atomic_fetch_add(&counters->done, 1);
    part_list_release(&task->sources);
    return r;
}

int partition_merge_parts(struct partition *pt, enum merge_kind kind, uint64_t max_bytes,
                          struct error *reterr)
{
    struct merge_task task;
    if (!merge_select(&task, pt, kind, max_bytes, NULL))
        return 0;
    int r = merge_run(&task, reterr);
    return r < 0 ? r : 1;
}
