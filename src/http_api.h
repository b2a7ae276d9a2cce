/*
 * The paths of the HTTP interface (interface.md). What they answer from comes in through functions, so that
 * the interface can be tested without a store.
 */
#ifndef VARVE_SRC_HTTP_API_H
#define VARVE_SRC_HTTP_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/http.h"
#include "src/query.h"

#define HTTP_SNAPSHOT_NAME_SIZE 64

/* All functions may be called from any thread, several at once. */
struct http_api {
    void *context;
    /* False, and why not (static text), while the service isn't ready. */
    bool (*ready)(void *context, const char **ret_why);
    void (*metrics)(void *context, struct buffer *dst);
    int (*force_flush)(void *context, int64_t timeout_ms, struct error *reterr);
    /* Deletes the series that match q, durably. */
    int (*delete_series)(void *context, const struct query *q, int64_t timeout_ms, struct error *reterr);
    /* Snapshots as in storage/snapshot.h. List calls add with each name; delete with NULL deletes all. */
    int (*snapshot_create)(void *context, int64_t timeout_ms, char ret_name[HTTP_SNAPSHOT_NAME_SIZE],
                           struct error *reterr);
    int (*snapshot_list)(void *context, void (*add)(void *arg, const char *name), void *arg,
                         struct error *reterr);
    int (*snapshot_delete)(void *context, const char *name, struct error *reterr);
    /* Begins it and returns. */
    int (*force_merge)(void *context, const char *partition_prefix, struct error *reterr);
    int (*query)(void *context, const struct query *q, query_write write, void *write_context,
                 struct error *reterr);
};

/* Routes for http_start; their handlers' context is a struct http_api. */
extern const struct http_route http_api_routes[];
extern const size_t http_api_routes_count;

#endif
