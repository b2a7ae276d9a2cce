/*
 * The HTTP server's open connections, and how long each of them may take.
 *
 * Each connection has a thread of the library's, so what has to be rationed is connections: a client that
 * sends its request a byte at a time, or doesn't read its answer, must not keep others from theirs. A watcher
 * ends those that are over time, and when there are too many, those that have done nothing for the longest
 * time, so that a new one always finds a place. Requests at work are counted too, to refuse more of them with
 * 503 while there are still threads to say it.
 *
 * It's also what lets a stop end connections before the library's own: libmicrohttpd up to 0.9.75, Debian
 * 12's, reads through a null pointer when it refuses a request by itself (headers too large, not HTTP) while
 * MHD_stop_daemon is at work: MHD_queue_response then says yes without taking the reply. So nothing may be
 * arriving any more when that is called.
 */
#ifndef VARVE_SRC_HTTP_CONNECTIONS_H
#define VARVE_SRC_HTTP_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/mutex.h"
#include "src/base/thread.h"

enum http_connection_state {
    HTTP_CONNECTION_RECEIVING, /* its request isn't all there */
    HTTP_CONNECTION_WORKING,   /* an answer is made */
    HTTP_CONNECTION_SENDING,   /* the client takes it */
    HTTP_CONNECTION_IDLE,      /* kept for a next request */
};

struct http_connection {
    int fd;
    enum http_connection_state state;
    int64_t since_ms; /* in that state, or since the last piece was sent */
    bool is_ended;    /* nothing more is expected of it */
};

/* Each at most; 0: the default. */
struct http_limits {
    int64_t request_ms; /* from a connection's start, or a request's headers, to the request's end: 10 s */
    int64_t answer_ms;  /* until the client has taken the next piece of an answer: 60 s */
    int64_t idle_ms;    /* from an answer's end to the next request's headers: 75 s */
    int64_t search_ms;  /* of a query, until the first byte of its answer: 50 s */
};

/* Counters since the start. */
struct http_connection_stats {
    uint64_t open;
    uint64_t slow_requests; /* ended as the request didn't come, with 408 */
    uint64_t slow_answers;  /* ended as the answer wasn't taken */
    uint64_t made_room;     /* ended for newer ones */
    uint64_t refused;       /* requests with 503 */
};

struct http_connections {
    struct mutex lock; /* RANK_LEAF */
    struct cond changed;
    struct http_limits limits;
    struct thread watcher;
    /* Locked: */
    struct http_connection **items;
    size_t count, capacity;
    struct http_connection_stats stats;
    bool is_stopping;
};

/* What is open beyond this makes room. */
enum { HTTP_CONNECTIONS_KEPT = 96, HTTP_REQUESTS_MAX = 48 };

/* Starts the watcher. */
void http_connections_init(struct http_connections *c, const struct http_limits *limits);
/* After all connections have been removed. */
void http_connections_destroy(struct http_connections *c);

/* All from any thread. A connection begins in RECEIVING. */
struct http_connection *http_connections_add(struct http_connections *c, int fd);
/* Before fd is closed. Frees it. */
void http_connections_remove(struct http_connections *c, struct http_connection *connection);
void http_connections_set(struct http_connections *c, struct http_connection *connection,
                          enum http_connection_state state);
/* Moves a connection whose request is all there to WORKING. False, and counted as refused, if
 * HTTP_REQUESTS_MAX others are at work or on their way out and it isn't vital. */
bool http_connections_begin(struct http_connections *c, struct http_connection *connection, bool is_vital);
/* Whether the client has hung up. */
bool http_connections_is_gone(const struct http_connection *connection);
void http_connections_get_stats(struct http_connections *c, struct http_connection_stats *ret);

/* Lets none of them read any more, and waits until they have ended; those that are busy after timeout_ms
 * stay. No new one may be accepted meanwhile. */
void http_connections_drain(struct http_connections *c, int64_t timeout_ms);

#endif
