#include "src/daemon_internal.h"
#include "src/self_metrics.h"
#include "storage/search/search.h"

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
    reject_log_get_stats(d->reject_log, &rejects);
    struct self_metrics m = {
        .intake = &intake,
        .storage = &storage,
        .rejects = &rejects,
        .has_reject_topic = atomic_load(&d->reject_forward) != NULL,
        .rejects_forwarded = reject_forward_total(atomic_load(&d->reject_forward)),
        .sinks = d->sinks,
        .sinks_count = atomic_load(&d->ready) ? d->sinks_count : 0,
        .paused = ingest_paused(d->ingest),
        .buffered_bytes = storage_buffered_bytes(d->storage),
        .memory_limit_bytes = d->memory_limit_bytes,
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

static int run_query(void *context, const struct query *q, query_write write, void *write_context,
                     struct error *reterr)
{
    struct daemon *d = context;
    struct reader *r = reader_new(d->storage);
    int result = query_run(r, q, write, write_context, reterr);
    reader_free(r);
    return result;
}

struct http_api daemon_http_api(struct daemon *d)
{
    return (struct http_api){
        .context = d,
        .ready = is_ready,
        .metrics = write_metrics,
        .force_flush = force_flush,
        .query = run_query,
    };
}
