#include "src/daemon_internal.h"

#include <inttypes.h>

#include "src/base/log.h"
#include "src/process_stats.h"
#include "src/self_metrics.h"
#include "storage/delete_series.h"
#include "storage/search/search.h"
#include "storage/snapshot.h"

static bool is_ready(void *context, const char **ret_why)
{
    struct daemon *d = context;
    *ret_why = "starting or stopping";
    return atomic_load(&d->ready);
}

static void write_metrics(void *context, struct buffer *dst)
{
    struct daemon *d = context;
    struct intake_totals intake = {0};
    struct storage_stats storage = {0};
    struct reject_log_stats rejects = {0};
    intake_totals_collect(&intake, ingest_counters(d->ingest));
    storage_stats(d->storage, &storage);
    struct storage_merge_progress forced_merge;
    storage_force_merge_progress(d->storage, &forced_merge);
    reject_log_get_stats(d->reject_log, &rejects);
    struct self_metrics m = {
        .intake = &intake,
        .storage = &storage,
        .forced_merge = &forced_merge,
        .rejects = &rejects,
        .has_reject_topic = atomic_load(&d->reject_forward) != NULL,
        .rejects_forwarded = reject_forward_total(atomic_load(&d->reject_forward)),
        .sinks = d->sinks,
        .sinks_count = atomic_load(&d->ready) ? d->sinks_count : 0,
        .paused = ingest_paused(d->ingest),
        .buffered_bytes = storage_buffered_bytes(d->storage),
        .memory_used_bytes = process_memory_used(),
        .memory_limit_bytes = d->memory_limit_bytes,
        .free_disk_bytes = fs_posix.ops->free_bytes(&fs_posix, d->cfg->storage.path),
        .min_free_disk_bytes = d->cfg->storage.min_free_disk_bytes,
        .commit_number = storage_commit_number(d->storage),
    };
    self_metrics_write(&m, dst);
    storage_stats_release(&storage);
    intake_totals_release(&intake);
}

static int force_flush(void *context, int64_t timeout_ms, struct error *reterr)
{
    struct daemon *d = context;
    return storage_flush(d->storage, timeout_ms, reterr);
}

static int force_merge(void *context, const char *partition_prefix, struct error *reterr)
{
    struct daemon *d = context;
    return storage_force_merge_start(d->storage, partition_prefix, reterr);
}

static int run_query(void *context, const struct query *q, query_write write, void *write_context,
                     struct error *reterr)
{
    struct daemon *d = context;
    struct reader *r = reader_new_of_range(d->storage, q->start_ms, q->end_ms);
    int result = query_run(r, q, write, write_context, reterr);
    reader_free(r);
    return result;
}

static int delete_series(void *context, const struct query *q, int64_t timeout_ms, struct error *reterr)
{
    struct daemon *d = context;
    struct selector **selectors;
    uint64_t count = 0;
    int r = query_selectors(q, &selectors, reterr);
    if (r < 0)
        return r;
    r = storage_delete_series(d->storage, selectors, q->matches_count, timeout_ms, &count, reterr);
    query_selectors_free(selectors, q->matches_count);
    if (r == 0)
        log_info("%" PRIu64 " series were deleted, as %s%s asks", count, q->matches[0],
                 q->matches_count > 1 ? " and others" : "");
    return r;
}

static int create_snapshot(void *context, int64_t timeout_ms, char ret_name[HTTP_SNAPSHOT_NAME_SIZE],
                           struct error *reterr)
{
    struct daemon *d = context;
    _Static_assert(HTTP_SNAPSHOT_NAME_SIZE >= SNAPSHOT_NAME_SIZE, "room for a name");
    int r = storage_snapshot_create(d->storage, timeout_ms, ret_name, reterr);
    if (r == 0)
        log_info("snapshot %s was made", ret_name);
    return r;
}

static int list_snapshots(void *context, void (*add)(void *arg, const char *name), void *arg,
                          struct error *reterr)
{
    struct daemon *d = context;
    struct fs_list list;
    int r = storage_snapshot_list(d->storage, &list, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count; i++)
        add(arg, list.names[i]);
    fs_list_release(&list);
    return 0;
}

static int delete_all_snapshots(struct daemon *d, struct error *reterr)
{
    struct fs_list list;
    int r = storage_snapshot_list(d->storage, &list, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        r = storage_snapshot_delete(d->storage, list.names[i], reterr);
        if (r == ERR_NOT_FOUND) /* somebody else was faster */
            r = 0;
    }
    fs_list_release(&list);
    return r;
}

static int delete_snapshot(void *context, const char *name, struct error *reterr)
{
    struct daemon *d = context;
    return name ? storage_snapshot_delete(d->storage, name, reterr) : delete_all_snapshots(d, reterr);
}

struct http_api daemon_http_api(struct daemon *d)
{
    return (struct http_api){
        .context = d,
        .ready = is_ready,
        .metrics = write_metrics,
        .force_flush = force_flush,
        .delete_series = delete_series,
        .snapshot_create = create_snapshot,
        .snapshot_list = list_snapshots,
        .snapshot_delete = delete_snapshot,
        .force_merge = force_merge,
        .query = run_query,
    };
}
