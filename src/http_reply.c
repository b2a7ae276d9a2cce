#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/http_request.h"
#include "src/json.h"

#define STREAMS_MAX (sizeof((struct http_streams *)0)->active / sizeof(struct http_stream *))
/* Taken before a stream's own lock. */
#define RANK_HTTP_STREAMS ((enum lock_rank)(RANK_LEAF - 1))

static void queue(struct http_request *req, unsigned status, struct MHD_Response *response)
{
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    req->result = MHD_queue_response(req->connection, status, response);
    req->is_replied = true;
    MHD_destroy_response(response);
}

void http_reply(struct http_request *req, unsigned status, const char *content_type, const void *data,
                size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)data, MHD_RESPMEM_MUST_COPY);
    if (content_type)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    queue(req, status, response);
}

static struct MHD_Response *error_response(unsigned status, const char *format, va_list args)
{
    char message[1024];
    struct buffer body = {0};
    vsnprintf(message, sizeof message, format, args);
    buffer_printf(&body, "{\"status\":\"error\",\"errorType\":\"%u\",\"error\":", status);
    json_append_string(&body, message, strlen(message));
    buffer_append_str(&body, "}\n");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, body.data, MHD_RESPMEM_MUST_COPY);
    buffer_release(&body);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    return response;
}

void http_reply_error(struct http_request *req, unsigned status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct MHD_Response *response = error_response(status, format, args);
    va_end(args);
    queue(req, status, response);
}

void http_reply_with_header(struct http_request *req, unsigned status, const char *name, const char *value,
                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct MHD_Response *response = error_response(status, format, args);
    va_end(args);
    (void)MHD_add_response_header(response, name, value);
    queue(req, status, response);
}

/* --- streams --- */

struct stream_reply {
    struct http_streams *streams;
    struct http_stream *stream;
    struct http_connections *connections;
    struct http_connection *connection;
};

/* How often a client is looked after whose answer isn't there yet. */
#define LOOK_INTERVAL_MS 500

void http_streams_init(struct http_streams *s)
{
    *s = (struct http_streams){0};
    mutex_init(&s->lock, RANK_HTTP_STREAMS);
}

void http_streams_destroy(struct http_streams *s)
{
    mutex_destroy(&s->lock);
}

void http_streams_stop(struct http_streams *s)
{
    mutex_lock(&s->lock);
    s->is_stopping = true;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        if (s->active[i])
            http_stream_cancel(s->active[i]);
    }
    mutex_unlock(&s->lock);
}

static bool take_place(struct http_streams *s)
{
    mutex_lock(&s->lock);
    bool ok = !s->is_stopping && s->starting < STREAMS_MAX;
    if (ok)
        s->starting++;
    mutex_unlock(&s->lock);
    return ok;
}

static void register_stream(struct http_streams *s, struct http_stream *stream)
{
    mutex_lock(&s->lock);
    size_t i = 0;
    while (s->active[i])
        i++;
    s->active[i] = stream;
    if (s->is_stopping)
        http_stream_cancel(stream);
    mutex_unlock(&s->lock);
}

static void end_stream(struct http_streams *s, struct http_stream *stream)
{
    mutex_lock(&s->lock);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        if (s->active[i] == stream)
            s->active[i] = NULL;
    }
    mutex_unlock(&s->lock);
    http_stream_free(stream);
    mutex_lock(&s->lock);
    s->starting--;
    mutex_unlock(&s->lock);
}

static ssize_t read_stream(void *arg, uint64_t pos, char *dst, size_t max)
{
    (void)pos;
    struct stream_reply *reply = arg;
    /* What it waits for here isn't the client. */
    http_connections_set(reply->connections, reply->connection, HTTP_CONNECTION_WORKING);
    ssize_t n = http_stream_read(reply->stream, dst, max);
    http_connections_set(reply->connections, reply->connection, HTTP_CONNECTION_SENDING);
    return n > 0 ? n : n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_stream_reply(void *arg)
{
    struct stream_reply *reply = arg;
    end_stream(reply->streams, reply->stream);
    free(reply);
}

void http_reply_stream(struct http_request *req, const char *content_type, unsigned invalid_status,
                       http_produce produce, void *context, void (*free_context)(void *context))
{
    struct http_streams *streams = http_streams_of(req->server);
    if (!take_place(streams)) {
        if (free_context)
            free_context(context);
        http_reply_with_header(req, MHD_HTTP_SERVICE_UNAVAILABLE, MHD_HTTP_HEADER_RETRY_AFTER, "1",
                               "%zu queries are at work, which is the limit; try again", STREAMS_MAX);
        return;
    }
    struct http_connections *connections = http_connections_of(req->server);
    struct http_stream *stream =
        http_stream_start(produce, context, free_context, connections->limits.search_ms);
    register_stream(streams, stream);
    struct error error;
    int r;
    while ((r = http_stream_wait_first(stream, LOOK_INTERVAL_MS, &error)) == 1) {
        if (http_connections_is_gone(req->state))
            http_stream_cancel(stream);
    }
    if (r < 0) {
        unsigned status = r == ERR_INVALID     ? invalid_status
                          : r == ERR_CANCELLED ? MHD_HTTP_SERVICE_UNAVAILABLE
                                               : MHD_HTTP_INTERNAL_SERVER_ERROR;
        end_stream(streams, stream);
        http_reply_error(req, status, "%s", error.message);
        return;
    }
    struct stream_reply *reply = xmalloc(sizeof *reply);
    *reply = (struct stream_reply){streams, stream, connections, req->state};
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64 * 1024, read_stream, reply, free_stream_reply);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    queue(req, MHD_HTTP_OK, response);
}
