#include "src/http_api.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/exposition.h"
#include "src/http_snapshot.h"
#include "src/time_arg.h"

/* Less than the server's idle limit, or the answer would find the connection closed. */
#define FORCE_FLUSH_TIMEOUT_MS INT64_C(50000)
#define DELETE_TIMEOUT_MS      INT64_C(50000)
/* A stock server looks at the last 5 minutes for series when no start is given. */
#define SERIES_DEFAULT_RANGE_MS INT64_C(300000)

/* A request that names more selectors by hand is a mistake; each is held against each series. */
enum { MATCHES_MAX = 256 };

enum {
    HTTP_OK = 200,
    HTTP_NO_CONTENT = 204,
    HTTP_BAD_REQUEST = 400,
    HTTP_UNPROCESSABLE = 422,
    HTTP_INTERNAL_ERROR = 500,
    HTTP_UNAVAILABLE = 503
};

static void reply_text(struct http_request *req, unsigned status, const char *text)
{
    http_reply(req, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void on_health(void *context, struct http_request *req)
{
    (void)context;
    reply_text(req, HTTP_OK, "OK");
}

static void on_ready(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    const char *why = "";
    if (api->ready(api->context, &why))
        reply_text(req, HTTP_OK, "OK");
    else
        reply_text(req, HTTP_UNAVAILABLE, why);
}

static void append_own_metrics(const struct http_request *req, struct buffer *dst)
{
    static const struct metric_description descriptions[] = {
        {"varve_http_connections", METRIC_GAUGE, "Open connections of the HTTP server"},
        {"varve_http_requests_refused_total", METRIC_COUNTER, "Requests refused as too many were at work"},
        {"varve_http_connections_ended_total", METRIC_COUNTER,
         "Connections ended: a request that didn't arrive, an answer that wasn't taken, room for newer ones"},
    };
    static const char ended[] = "varve_http_connections_ended_total";
    struct exposition x = {.descriptions = descriptions, .descriptions_count = 3};
    struct http_connection_stats stats;
    http_get_stats(req, &stats);
    exposition_add(&x, "varve_http_connections", (double)stats.open, NULL);
    exposition_add(&x, "varve_http_requests_refused_total", (double)stats.refused, NULL);
    exposition_add(&x, ended, (double)stats.slow_requests, METRIC_LABELS("reason", "slow_request"));
    exposition_add(&x, ended, (double)stats.slow_answers, METRIC_LABELS("reason", "slow_answer"));
    exposition_add(&x, ended, (double)stats.made_room, METRIC_LABELS("reason", "made_room"));
    exposition_write(&x, dst);
    exposition_release(&x);
}

static void on_metrics(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    struct buffer text = {0};
    api->metrics(api->context, &text);
    append_own_metrics(req, &text);
    http_reply(req, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text.data, text.len);
    buffer_release(&text);
}

static void on_force_flush(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    struct error error;
    int r = api->force_flush(api->context, FORCE_FLUSH_TIMEOUT_MS, &error);
    if (r < 0)
        http_reply_error(req, r == ERR_FULL || r == ERR_CANCELLED ? HTTP_UNAVAILABLE : HTTP_INTERNAL_ERROR,
                         "%s", error.message);
    else
        http_reply(req, HTTP_OK, NULL, "", 0);
}

/* Answers at once, as a stock server does; the merge goes on in the background. */
static void on_force_merge(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    const char *prefix = http_arg(req, "partition_prefix");
    struct error error;
    int r = api->force_merge(api->context, prefix ? prefix : "", &error);
    if (r < 0)
        http_reply_error(req, r == ERR_FULL ? HTTP_UNAVAILABLE : HTTP_INTERNAL_ERROR, "%s", error.message);
    else
        http_reply(req, HTTP_OK, NULL, "", 0);
}

/* --- queries --- */

struct query_job {
    const struct http_api *api;
    struct query query;
};

static void free_job(void *arg)
{
    struct query_job *job = arg;
    query_release(&job->query);
    free(job);
}

static int write_to_stream(void *context, const void *data, size_t size, struct error *reterr)
{
    return http_stream_write(context, data, size, reterr);
}

static int produce_answer(void *arg, struct http_stream *stream, struct error *reterr)
{
    const struct query_job *job = arg;
    return job->api->query(job->api->context, &job->query, write_to_stream, stream, reterr);
}

/* An absent time is the default rounded down to a second, as a stock server does it. */
static int get_time(const struct http_request *req, const char *name, int64_t now_ms, int64_t default_ms,
                    int64_t *ret_ms, struct error *reterr)
{
    const char *text = http_arg(req, name);
    if (text && *text)
        return time_arg_parse(text, now_ms, ret_ms, reterr);
    *ret_ms = default_ms - default_ms % SECOND_MS;
    return 0;
}

static int get_times(struct query *q, const struct http_request *req, struct error *reterr)
{
    int64_t now_ms = clock_now_ms();
    int r = get_time(req, "start", now_ms, 0, &q->start_ms, reterr);
    if (r == 0)
        r = get_time(req, "end", now_ms, now_ms, &q->end_ms, reterr);
    if (r == 0 && q->end_ms < q->start_ms)
        q->end_ms = q->start_ms;
    return r;
}

static void add_matches_of(struct query *q, const struct http_request *req, const char *name)
{
    size_t count = http_args(req, name, NULL, 0);
    const char **values = xcalloc(count + 1, sizeof *values);
    (void)http_args(req, name, values, count);
    for (size_t i = 0; i < count; i++)
        query_add_match(q, values[i]);
    free(values);
}

static int add_matches(struct query *q, const struct http_request *req, struct error *reterr)
{
    add_matches_of(q, req, "match[]");
    add_matches_of(q, req, "match");
    if (!q->matches_count)
        return error_set(reterr, ERR_INVALID, "missing `match[]` arg");
    if (q->matches_count > MATCHES_MAX)
        return error_set(reterr, ERR_INVALID, "%zu selectors, and a request may have %d", q->matches_count,
                         MATCHES_MAX);
    return 0;
}

static uint64_t get_count(const struct http_request *req, const char *name)
{
    const char *text = http_arg(req, name);
    long long n = text ? strtoll(text, NULL, 10) : 0;
    return n > 0 ? (uint64_t)n : 0;
}

static void answer_query(const struct http_api *api, struct http_request *req, enum query_kind kind,
                         const char *content_type, unsigned invalid_status)
{
    struct query q = {.kind = kind};
    struct error error;
    int r = get_times(&q, req, &error);
    if (r == 0)
        r = add_matches(&q, req, &error);
    if (r < 0) {
        query_release(&q);
        http_reply_error(req, invalid_status, "%s", error.message);
        return;
    }
    if (kind == QUERY_SERIES && q.start_ms == 0)
        q.start_ms = q.end_ms > SERIES_DEFAULT_RANGE_MS ? q.end_ms - SERIES_DEFAULT_RANGE_MS : 0;
    q.max_rows_per_line = get_count(req, "max_rows_per_line");
    q.limit = get_count(req, "limit");
    struct query_job *job = xmalloc(sizeof *job);
    *job = (struct query_job){api, q};
    http_reply_stream(req, content_type, invalid_status, produce_answer, job, free_job);
}

static void on_export(void *context, struct http_request *req)
{
    const char *format = http_arg(req, "format");
    if (format && *format) {
        http_reply_error(req, HTTP_UNPROCESSABLE, "format=%.32s isn't built: only JSON lines are", format);
        return;
    }
    answer_query(context, req, QUERY_EXPORT, "application/stream+json; charset=utf-8", HTTP_UNPROCESSABLE);
}

static void on_series(void *context, struct http_request *req)
{
    answer_query(context, req, QUERY_SERIES, "application/json", HTTP_BAD_REQUEST);
}

static void on_delete_series(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    struct query q = {.kind = QUERY_SERIES};
    struct error error;
    int r = 0;
    if (http_arg(req, "start") || http_arg(req, "end"))
        r = error_set(&error, ERR_INVALID,
                      "series are deleted as a whole: start and end aren't taken (as in a stock server)");
    else
        r = add_matches(&q, req, &error);
    if (r == 0)
        r = api->delete_series(api->context, &q, DELETE_TIMEOUT_MS, &error);
    query_release(&q);
    if (r == 0)
        http_reply(req, HTTP_NO_CONTENT, NULL, "", 0);
    else if (r == ERR_FULL || r == ERR_CANCELLED)
        http_reply_error(req, HTTP_UNAVAILABLE, "%s", error.message);
    else
        http_reply_error(req, r == ERR_INVALID ? HTTP_BAD_REQUEST : HTTP_INTERNAL_ERROR, "%s", error.message);
}

const struct http_route http_api_routes[] = {
    {"/health", HTTP_GET | HTTP_HEAD, false, true, on_health},
    {"/ready", HTTP_GET | HTTP_HEAD, false, true, on_ready},
    {"/metrics", HTTP_GET | HTTP_HEAD, false, true, on_metrics},
    {"/internal/force_flush", HTTP_GET | HTTP_POST, true, false, on_force_flush},
    {"/api/v1/admin/tsdb/delete_series", HTTP_GET | HTTP_POST, true, false, on_delete_series},
    {"/snapshot/create", HTTP_GET | HTTP_POST, true, false, http_snapshot_create},
    {"/snapshot/list", HTTP_GET | HTTP_POST, false, false, http_snapshot_list},
    {"/snapshot/delete", HTTP_GET | HTTP_POST, true, false, http_snapshot_delete},
    {"/snapshot/delete_all", HTTP_GET | HTTP_POST, true, false, http_snapshot_delete_all},
    {"/api/v1/admin/tsdb/snapshot", HTTP_GET | HTTP_POST, true, false, http_snapshot_create_prometheus},
    {"/internal/force_merge", HTTP_GET | HTTP_POST, true, false, on_force_merge},
    {"/api/v1/export", HTTP_GET | HTTP_POST, false, false, on_export},
    {"/api/v1/series", HTTP_GET | HTTP_POST, false, false, on_series},
};
const size_t http_api_routes_count = sizeof http_api_routes / sizeof http_api_routes[0];
