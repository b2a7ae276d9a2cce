#include "src/query.h"

#include <stdbool.h>
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "storage/search/search.h"

/* Pieces of about this size are handed on. */
enum { PIECE_BYTES = 64 * 1024 };

void query_add_match(struct query *q, const char *selector)
{
    q->matches = xreallocarray(q->matches, q->matches_count + 1, sizeof *q->matches);
    q->matches[q->matches_count++] = xstrdup(selector);
}

void query_release(struct query *q)
{
    for (size_t i = 0; i < q->matches_count; i++)
        free(q->matches[i]);
    free(q->matches);
    *q = (struct query){0};
}

struct run {
    const struct query *query;
    query_write write;
    void *context;
    struct buffer pending;
    uint64_t series_count;
    bool is_done; /* the limit was reached */
    int result;   /* why the callback stopped, with its error */
    struct error error;
};

static int hand_on(struct run *run)
{
    run->result = run->write(run->context, run->pending.data, run->pending.len, &run->error);
    buffer_clear(&run->pending);
    return run->result;
}

static int on_export(void *arg, const struct series_rows *rows)
{
    struct run *run = arg;
    size_t step = run->query->max_rows_per_line ? run->query->max_rows_per_line : rows->count;
    for (size_t at = 0; at < rows->count; at += step) {
        struct series_rows line = *rows;
        line.timestamps += at;
        line.values += at;
        line.count = rows->count - at < step ? rows->count - at : step;
        run->result = format_export_line(&run->pending, &line, &run->error);
        if (run->result < 0)
            return run->result;
        if (run->pending.len >= PIECE_BYTES && hand_on(run) < 0)
            return run->result;
        if (step >= rows->count - at)
            break;
    }
    return 0;
}

static int on_series(void *arg, const struct series_rows *rows)
{
    struct run *run = arg;
    if (run->query->limit && run->series_count >= run->query->limit) {
        run->is_done = true;
        return ERR_CANCELLED;
    }
    if (run->series_count++)
        buffer_append_u8(&run->pending, ',');
    run->result = format_metric_json(&run->pending, rows->name, rows->name_len, &run->error);
    if (run->result < 0)
        return run->result;
    return run->pending.len >= PIECE_BYTES ? hand_on(run) : 0;
}

static int run_query(struct run *run, struct reader *r, struct selector *const *selectors,
                     struct error *reterr)
{
    const struct query *q = run->query;
    int result;
    if (q->kind == QUERY_EXPORT) {
        result =
            reader_export(r, selectors, q->matches_count, q->start_ms, q->end_ms, on_export, run, reterr);
    } else {
        buffer_append_str(&run->pending, "{\"status\":\"success\",\"data\":[");
        result =
            reader_series(r, selectors, q->matches_count, q->start_ms, q->end_ms, on_series, run, reterr);
        if (run->is_done)
            result = 0;
        buffer_append_str(&run->pending, "]}");
    }
    if (result >= 0 && run->pending.len)
        result = hand_on(run);
    if (run->result < 0) {
        result = run->result;
        if (reterr)
            *reterr = run->error;
    }
    return result < 0 ? result : 0;
}

int query_selectors(const struct query *q, struct selector ***ret, struct error *reterr)
{
    struct selector **selectors = xcalloc(q->matches_count + 1, sizeof *selectors);
    for (size_t i = 0; i < q->matches_count; i++) {
        int r = selector_parse(&selectors[i], q->matches[i], reterr);
        if (r < 0) {
            query_selectors_free(selectors, i);
            return r;
        }
    }
    *ret = selectors;
    return 0;
}

void query_selectors_free(struct selector **selectors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        selector_free(selectors[i]);
    free(selectors);
}

static int is_wanted(void *arg, struct error *reterr)
{
    struct run *run = arg;
    return run->write(run->context, "", 0, reterr);
}

int query_run(struct reader *r, const struct query *q, query_write write, void *context, struct error *reterr)
{
    struct selector **selectors;
    int result = query_selectors(q, &selectors, reterr);
    if (result < 0)
        return result;
    struct run run = {.query = q, .write = write, .context = context};
    reader_set_check(r, is_wanted, &run);
    result = run_query(&run, r, selectors, reterr);
    reader_set_check(r, NULL, NULL);
    buffer_release(&run.pending);
    query_selectors_free(selectors, q->matches_count);
    return result;
}
