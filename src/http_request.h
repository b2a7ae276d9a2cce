/* A request as the server (http.c) and the replies (http_reply.c) share it. */
#ifndef VARVE_SRC_HTTP_REQUEST_H
#define VARVE_SRC_HTTP_REQUEST_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "src/base/buffer.h"
#include "src/base/mutex.h"
#include "src/http.h"
#include "src/http_connections.h"

struct http_argument {
    char *name;
    char *value;
};

struct http_request {
    struct http *server;
    struct MHD_Connection *connection;
    struct http_connection *state; /* of the connection */
    unsigned method;
    bool is_too_large; /* the body is, and what is left of it is dropped */
    bool has_too_many_arguments;
    struct http_argument *arguments;
    size_t arguments_count, arguments_capacity;
    size_t body_size;
    bool is_form;
    struct buffer body;     /* of a form */
    enum MHD_Result result; /* of queueing the reply */
    bool is_replied;
};

/* Streams at work, so that a stop can end them. */
struct http_streams {
    struct mutex lock;
    struct http_stream *active[4];
    unsigned starting; /* slots taken, active ones included */
    bool is_stopping;
};

void http_streams_init(struct http_streams *s);
/* Cancels those at work and refuses new ones. */
void http_streams_stop(struct http_streams *s);
void http_streams_destroy(struct http_streams *s);

struct http_streams *http_streams_of(struct http *h);
struct http_connections *http_connections_of(struct http *h);

/* Sends an empty or given body with an extra header. */
void http_reply_with_header(struct http_request *req, unsigned status, const char *name, const char *value,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
