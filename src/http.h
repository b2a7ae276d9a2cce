/*
 * The HTTP server: libmicrohttpd, a thread a connection, so that no request waits for another's slow reader.
 * Bounded, and beyond it refused with a reason: the size of a URL (414), of headers (431), of bodies (413),
 * the number of arguments (400), requests and streams at work (503), the time that a request takes to arrive
 * (408). Who doesn't take an answer is cut off, and so is who has been idle for the longest time when
 * connections become too many (http_connections.h). Routes marked vital are answered in any case.
 *
 * Handlers run on a connection's thread and end in exactly one http_reply... call.
 */
#ifndef VARVE_SRC_HTTP_H
#define VARVE_SRC_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "src/http_connections.h"
#include "src/http_stream.h"

struct http;
struct http_request;

enum { HTTP_GET = 1, HTTP_POST = 2, HTTP_HEAD = 4 };

struct http_route {
    const char *path;
    unsigned methods;
    bool changes_state; /* checked by http_may_change (http_access.h) */
    bool is_vital;      /* answered also when too many requests are at work */
    void (*handle)(void *context, struct http_request *req);
};

struct http_address {
    const char *host; /* numeric */
    uint16_t port;    /* 0: any free one */
};

struct http_options {
    const struct http_address *listen;
    size_t listen_count;
    const char *username, *password; /* "" or NULL: none */
    const char *node;
    const struct http_route *routes; /* must outlive the server */
    size_t routes_count;
    void *context; /* of handlers */
    struct http_limits limits;
};

/* Listens on all addresses, or on none and fails, naming the address. */
int http_start(struct http **ret, const struct http_options *options, struct error *reterr);
/* Ends streams, waits for handlers. NULL is fine. */
void http_stop(struct http *h);
/* The port of the index-th address. */
uint16_t http_port(const struct http *h, size_t index);

/* --- for handlers --- */

void http_get_stats(const struct http_request *req, struct http_connection_stats *ret);

/* An argument of the query or of a form body; NULL if it's absent. Lives as long as the request. */
const char *http_arg(const struct http_request *req, const char *name);
/* All of them with that name: fills at most max, returns how many there are. */
size_t http_args(const struct http_request *req, const char *name, const char **ret_values, size_t max);

void http_reply(struct http_request *req, unsigned status, const char *content_type, const void *data,
                size_t size);
/* {"status":"error","errorType":"STATUS","error":"..."}, as VictoriaMetrics words its errors. */
void http_reply_error(struct http_request *req, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends what a stream brings. If it fails before its first byte the reply is an error: invalid_status for
 * ERR_INVALID, else 500. 503 when too many are at work. Takes context over in any case. */
void http_reply_stream(struct http_request *req, const char *content_type, unsigned invalid_status,
                       http_produce produce, void *context, void (*free_context)(void *context));

#endif
