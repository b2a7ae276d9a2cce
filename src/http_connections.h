/*
 * The HTTP server's open connections, so that a stop can end them before the library's own.
 *
 * libmicrohttpd up to 0.9.75, Debian 12's, reads through a null pointer when it refuses a request by itself
 * (headers too large, not HTTP) while MHD_stop_daemon is at work: MHD_queue_response then says yes without
 * taking the reply. So nothing may be arriving any more when that is called.
 */
#ifndef VARVE_SRC_HTTP_CONNECTIONS_H
#define VARVE_SRC_HTTP_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/mutex.h"

struct http_connections {
    struct mutex lock; /* RANK_LEAF */
    struct cond changed;
    /* Locked: their sockets. */
    int *fds;
    size_t count, capacity;
};

void http_connections_init(struct http_connections *c);
void http_connections_destroy(struct http_connections *c);

/* From any thread. */
void http_connections_add(struct http_connections *c, int fd);
void http_connections_remove(struct http_connections *c, int fd);

/* Lets none of them read any more, and waits until they have ended; those that are busy after timeout_ms
 * stay. No new one may be accepted meanwhile. */
void http_connections_drain(struct http_connections *c, int64_t timeout_ms);

#endif
