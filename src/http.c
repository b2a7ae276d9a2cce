#include "src/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/http_access.h"
#include "src/http_connections.h"
#include "src/http_request.h"

enum {
    CONNECTIONS_MAX = HTTP_CONNECTIONS_KEPT + 64, /* of an address; the room is for those that are ending */
    HEADERS_BYTES_MAX = 64 * 1024,
    BODY_BYTES_MAX = 1024 * 1024,
    BODY_BYTES_DROPPED_MAX = 16 * 1024 * 1024, /* of one that is too large: read, so that the reply arrives */
    ARGUMENTS_MAX = 1024,
    IDLE_SECONDS_MAX = 60,
    TOO_LARGE = 413,         /* its name differs between versions of the library */
    DRAIN_TIMEOUT_MS = 1000, /* at the stop, for replies under way */
};

struct http {
    struct MHD_Daemon **daemons; /* one an address */
    uint16_t *ports;
    size_t daemons_count;
    const struct http_route *routes;
    size_t routes_count;
    void *context;
    char *username, *password, *node;
    struct http_streams streams;
    struct http_connections connections;
};

struct http_streams *http_streams_of(struct http *h)
{
    return &h->streams;
}

struct http_connections *http_connections_of(struct http *h)
{
    return &h->connections;
}

void http_get_stats(const struct http_request *req, struct http_connection_stats *ret)
{
    http_connections_get_stats(&req->server->connections, ret);
}

uint16_t http_port(const struct http *h, size_t index)
{
    return h->ports[index];
}

/* --- arguments --- */

static void append_argument(struct http_request *req, const char *name, const char *value, size_t len)
{
    if (req->arguments_count >= ARGUMENTS_MAX) {
        req->has_too_many_arguments = true;
        return;
    }
    GROW(req->arguments, req->arguments_count, req->arguments_capacity);
    req->arguments[req->arguments_count++] =
        (struct http_argument){.name = xstrdup(name), .value = len ? xstrndup(value, len) : xstrdup("")};
}

static enum MHD_Result on_query_argument(void *arg, enum MHD_ValueKind kind, const char *name,
                                         const char *value)
{
    (void)kind;
    append_argument(arg, name, value, value ? strlen(value) : 0);
    return MHD_YES;
}

/* Decoded text of a form: + is a space, %XX a byte. */
static char *form_text(const char *from, const char *to)
{
    char *text = xstrndup(from, (size_t)(to - from));
    for (char *c = text; *c; c++)
        *c = *c == '+' ? ' ' : *c;
    (void)MHD_http_unescape(text);
    return text;
}

/* A form as curl -d sends it: the library's own parser ends a value at a raw '=', which selectors are full
 * of. */
static void take_form(struct http_request *req)
{
    if (!req->body.len) /* then there may be no data either, and nothing to count from */
        return;
    const char *p = (const char *)req->body.data, *end = p + req->body.len;
    while (p < end) {
        const char *pair_end = memchr(p, '&', (size_t)(end - p));
        pair_end = pair_end ? pair_end : end;
        const char *equals = memchr(p, '=', (size_t)(pair_end - p));
        const char *name_end = equals ? equals : pair_end;
        char *name = form_text(p, name_end);
        char *value = equals ? form_text(equals + 1, pair_end) : xstrdup("");
        append_argument(req, name, value, strlen(value));
        free(name);
        free(value);
        p = pair_end + 1;
    }
}

const char *http_arg(const struct http_request *req, const char *name)
{
    const char *value = NULL;
    return http_args(req, name, &value, 1) ? value : NULL;
}

size_t http_args(const struct http_request *req, const char *name, const char **ret_values, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < req->arguments_count; i++) {
        if (strcmp(req->arguments[i].name, name) != 0)
            continue;
        if (count < max)
            ret_values[count] = req->arguments[i].value;
        count++;
    }
    return count;
}

static void free_request(struct http_request *req)
{
    buffer_release(&req->body);
    for (size_t i = 0; i < req->arguments_count; i++) {
        free(req->arguments[i].name);
        free(req->arguments[i].value);
    }
    free(req->arguments);
    free(req);
}

/* --- dispatch --- */

static const char *header(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

static bool may_change(struct http_request *req)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http_caller caller = {
        .peer = info ? info->client_addr : NULL,
        .host = header(req, MHD_HTTP_HEADER_HOST),
        .origin = header(req, MHD_HTTP_HEADER_ORIGIN),
        .fetch_site = header(req, "Sec-Fetch-Site"),
        .authorization = header(req, MHD_HTTP_HEADER_AUTHORIZATION),
    };
    const char *why = NULL;
    switch (http_may_change(&caller, req->server->username, req->server->password, req->server->node, &why)) {
    case HTTP_ACCESS_OK:
        return true;
    case HTTP_ACCESS_UNAUTHORIZED:
        http_reply_with_header(req, MHD_HTTP_UNAUTHORIZED, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                               "Basic realm=\"varve\", charset=\"UTF-8\"", "%s", why);
        return false;
    case HTTP_ACCESS_FORBIDDEN:
        break;
    }
    http_reply_error(req, MHD_HTTP_FORBIDDEN, "%s", why);
    return false;
}

static const struct http_route *find_route(const struct http *h, const char *path)
{
    for (size_t i = 0; i < h->routes_count; i++) {
        if (strcmp(h->routes[i].path, path) == 0)
            return &h->routes[i];
    }
    return NULL;
}

static void dispatch(struct http_request *req, const char *path)
{
    struct http *h = req->server;
    const struct http_route *route = find_route(h, path);
    if (!http_connections_begin(&h->connections, req->state, route && route->is_vital))
        http_reply_with_header(req, MHD_HTTP_SERVICE_UNAVAILABLE, MHD_HTTP_HEADER_RETRY_AFTER, "1",
                               "%d requests are at work, which is the limit; try again", HTTP_REQUESTS_MAX);
    else if (req->is_too_large)
        http_reply_error(req, TOO_LARGE, "a body may have %d bytes", BODY_BYTES_MAX);
    else if (req->has_too_many_arguments)
        http_reply_error(req, MHD_HTTP_BAD_REQUEST, "a request may have %d arguments", ARGUMENTS_MAX);
    else if (!route)
        http_reply_error(req, MHD_HTTP_NOT_FOUND, "unknown path %.200s", path);
    else if (!(route->methods & req->method))
        http_reply_with_header(req, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW,
                               route->methods & HTTP_POST
                                   ? (route->methods & HTTP_HEAD ? "GET, HEAD, POST" : "GET, POST")
                                   : "GET, HEAD",
                               "%s doesn't take this method", path);
    else if (!route->changes_state || may_change(req))
        route->handle(h->context, req);
    if (!req->is_replied)
        http_reply_error(req, MHD_HTTP_INTERNAL_SERVER_ERROR, "no reply");
    http_connections_set(&h->connections, req->state, HTTP_CONNECTION_SENDING);
}

static unsigned parse_method(const char *method)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0)
        return HTTP_GET;
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        return HTTP_POST;
    if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
        return HTTP_HEAD;
    return 0;
}

/* 0 if it's chunked. */
static unsigned long long announced_size(const struct http_request *req)
{
    const char *length = header(req, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

static struct http_connection *state_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The headers are there. */
static enum MHD_Result begin_request(struct http *h, struct MHD_Connection *connection, const char *method,
                                     struct http_request **ret)
{
    struct http_request *req = *ret = xcalloc(1, sizeof *req);
    *req = (struct http_request){
        .server = h, .connection = connection, .state = state_of(connection), .method = parse_method(method)};
    http_connections_set(&h->connections, req->state, HTTP_CONNECTION_RECEIVING);
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_query_argument, req);
    unsigned long long size = announced_size(req);
    if (size > BODY_BYTES_DROPPED_MAX || (size > BODY_BYTES_MAX && header(req, MHD_HTTP_HEADER_EXPECT))) {
        http_reply_error(req, TOO_LARGE, "a body may have %d bytes", BODY_BYTES_MAX);
        http_connections_set(&h->connections, req->state, HTTP_CONNECTION_SENDING);
        return req->result;
    }
    const char *type = header(req, MHD_HTTP_HEADER_CONTENT_TYPE);
    const char *form = MHD_HTTP_POST_ENCODING_FORM_URLENCODED;
    /* A body that isn't a form is read and ignored. */
    req->is_form = req->method == HTTP_POST && type && strncasecmp(type, form, strlen(form)) == 0;
    return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *req, const char *data, size_t size)
{
    req->body_size += size;
    req->is_too_large = req->body_size > BODY_BYTES_MAX;
    if (req->is_form && !req->is_too_large)
        buffer_append(&req->body, data, size);
    /* No reply can be sent before the end, which may be far away: hang up then. */
    return req->body_size > BODY_BYTES_DROPPED_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_size, void **request_context)
{
    (void)version;
    struct http_request *req = *request_context;
    if (!req) {
        enum MHD_Result result = begin_request(arg, connection, method, &req);
        *request_context = req;
        return result;
    }
    if (*upload_size) {
        enum MHD_Result result = take_body(req, upload_data, *upload_size);
        *upload_size = 0;
        return result;
    }
    if (!req->is_too_large)
        take_form(req);
    dispatch(req, url);
    return req->result;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct http *h = arg;
    struct http_request *req = *request_context;
    if (req) {
        http_connections_set(&h->connections, req->state, HTTP_CONNECTION_IDLE);
        free_request(req);
    }
    *request_context = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *h = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = http_connections_add(&h->connections, info->connect_fd);
    } else {
        http_connections_remove(&h->connections, *socket_context);
        *socket_context = NULL;
    }
}

__attribute__((format(printf, 2, 0))) static void on_library_log(void *arg, const char *format, va_list args)
{
    (void)arg;
    char message[512];
    vsnprintf(message, sizeof message, format, args);
    message[strcspn(message, "\n")] = '\0';
    log_debug("http: %s", message);
}

/* --- start, stop --- */

static int listen_on(const struct http_address *address, int *ret_fd, uint16_t *ret_port,
                     struct error *reterr)
{
    char service[8];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%u", address->port);
    int r = getaddrinfo(address->host && *address->host ? address->host : NULL, service, &hints, &found);
    if (r != 0)
        return error_set(reterr, ERR_INVALID, "http.listen: %s is not an address: %s", address->host,
                         gai_strerror(r));
    _cleanup_close_ int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1, zero = 0;
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (found->ai_family == AF_INET6) /* [::] takes IPv4 as well */
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    }
    bool ok = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 128) == 0 &&
              getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0;
    int saved = errno;
    freeaddrinfo(found);
    if (!ok)
        return error_set_errno(reterr, saved, "http.listen: cannot listen on %s port %u",
                               address->host ? address->host : "", address->port);
    struct sockaddr_in in;
    memcpy(&in, &bound, sizeof in); /* the port lies at the same place in both families */
    *ret_port = ntohs(in.sin_port);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int start_daemon(struct http *h, const struct http_address *address, struct error *reterr)
{
    int fd = -1;
    int r = listen_on(address, &fd, &h->ports[h->daemons_count], reterr);
    if (r < 0)
        return r;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_library_log, NULL},
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, h},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h},
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADERS_BYTES_MAX, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
                             MHD_USE_ITC | MHD_USE_ERROR_LOG,
                         0, NULL, NULL, on_request, h, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (!d) {
        (void)close(fd);
        return error_set(reterr, ERR_IO, "http: cannot start the server on %s port %u", address->host,
                         address->port);
    }
    h->daemons[h->daemons_count++] = d;
    return 0;
}

int http_start(struct http **ret, const struct http_options *options, struct error *reterr)
{
    struct http *h = xcalloc(1, sizeof *h);
    h->routes = options->routes;
    h->routes_count = options->routes_count;
    h->context = options->context;
    h->username = xstrdup(options->username ? options->username : "");
    h->password = xstrdup(options->password ? options->password : "");
    h->node = xstrdup(options->node ? options->node : "");
    h->daemons = xcalloc(options->listen_count, sizeof(struct MHD_Daemon *));
    h->ports = xcalloc(options->listen_count, sizeof *h->ports);
    http_streams_init(&h->streams);
    http_connections_init(&h->connections, &options->limits);
    for (size_t i = 0; i < options->listen_count; i++) {
        int r = start_daemon(h, &options->listen[i], reterr);
        if (r < 0) {
            http_stop(h);
            return r;
        }
    }
    *ret = h;
    return 0;
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    http_streams_stop(&h->streams);
    for (size_t i = 0; i < h->daemons_count; i++) {
        int fd = MHD_quiesce_daemon(h->daemons[i]); /* the listening socket is ours again */
        if (fd >= 0)
            (void)close(fd);
    }
    http_connections_drain(&h->connections, DRAIN_TIMEOUT_MS);
    for (size_t i = 0; i < h->daemons_count; i++)
        MHD_stop_daemon(h->daemons[i]);
    http_streams_destroy(&h->streams);
    http_connections_destroy(&h->connections);
    free(h->daemons);
    free(h->ports);
    free(h->username);
    free(h->password);
    free(h->node);
    free(h);
}
