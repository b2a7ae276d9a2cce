#include "src/http_connections.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"

#define REQUEST_MS (10 * SECOND_MS)
#define ANSWER_MS  (60 * SECOND_MS)
#define IDLE_MS    (75 * SECOND_MS)
#define SEARCH_MS  (50 * SECOND_MS) /* less than IDLE_SECONDS_MAX in http.c, or the answer comes too late */
/* The shortest limit is looked at so many times. */
#define LOOKS 10

/* --- ending one; with the lock --- */

/* The library has nothing to say to a request that isn't there yet, so the reply goes out beside it. */
static void say(const struct http_connection *connection, const char *status, const char *why)
{
    char text[512], body[256];
    int len = snprintf(body, sizeof body, "{\"status\":\"error\",\"errorType\":\"%.3s\",\"error\":\"%s\"}\n",
                       status, why);
    len = snprintf(text, sizeof text,
                   "HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "
                   "%d\r\n\r\n%s",
                   status, len, body);
    (void)send(connection->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Its thread notices, and has the library close it. */
static void end(struct http_connection *connection)
{
    connection->is_ended = true;
    (void)shutdown(connection->fd, SHUT_RDWR);
}

static void end_if_late(struct http_connections *c, struct http_connection *connection, int64_t now_ms)
{
    int64_t waited_ms = now_ms - connection->since_ms;
    if (connection->is_ended)
        return;
    switch (connection->state) {
    case HTTP_CONNECTION_RECEIVING:
        if (waited_ms < c->limits.request_ms)
            return;
        say(connection, "408 Request Timeout", "the request didn't arrive in time");
        c->stats.slow_requests++;
        break;
    case HTTP_CONNECTION_SENDING:
        if (waited_ms < c->limits.answer_ms)
            return;
        c->stats.slow_answers++;
        break;
    case HTTP_CONNECTION_IDLE:
        if (waited_ms < c->limits.idle_ms)
            return;
        break;
    case HTTP_CONNECTION_WORKING:
        return;
    }
    end(connection);
}

/* Who has waited longest of those that have least to lose. */
static struct http_connection *find_dispensable(const struct http_connections *c)
{
    static const enum http_connection_state order[] = {HTTP_CONNECTION_IDLE, HTTP_CONNECTION_RECEIVING,
                                                       HTTP_CONNECTION_SENDING};
    for (size_t s = 0; s < sizeof order / sizeof *order; s++) {
        struct http_connection *oldest = NULL;
        for (size_t i = 0; i < c->count; i++) {
            struct http_connection *at = c->items[i];
            if (!at->is_ended && at->state == order[s] && (!oldest || at->since_ms < oldest->since_ms))
                oldest = at;
        }
        if (oldest)
            return oldest;
    }
    return NULL;
}

static void make_room(struct http_connections *c)
{
    size_t alive = 0;
    for (size_t i = 0; i < c->count; i++)
        alive += !c->items[i]->is_ended;
    struct http_connection *one = alive >= HTTP_CONNECTIONS_KEPT ? find_dispensable(c) : NULL;
    if (!one)
        return;
    if (one->state == HTTP_CONNECTION_RECEIVING)
        say(one, "503 Service Unavailable", "too many connections: newer ones need the place");
    c->stats.made_room++;
    end(one);
}

static void watch(void *arg)
{
    struct http_connections *c = arg;
    const struct http_limits *l = &c->limits;
    int64_t shortest_ms = l->request_ms < l->answer_ms ? l->request_ms : l->answer_ms;
    shortest_ms = shortest_ms < l->idle_ms ? shortest_ms : l->idle_ms;
    int64_t interval_ms = shortest_ms / LOOKS + 1;
    mutex_lock(&c->lock);
    while (!c->is_stopping) {
        int64_t now_ms = clock_monotonic_ms();
        for (size_t i = 0; i < c->count; i++)
            end_if_late(c, c->items[i], now_ms);
        int64_t until_ms = now_ms + interval_ms, left_ms;
        while (!c->is_stopping && (left_ms = until_ms - clock_monotonic_ms()) > 0)
            (void)cond_wait_ms(&c->changed, &c->lock, left_ms);
    }
    mutex_unlock(&c->lock);
}

/* --- */

static void set_default(int64_t *limit_ms, int64_t default_ms)
{
    *limit_ms = *limit_ms ? *limit_ms : default_ms;
}

void http_connections_init(struct http_connections *c, const struct http_limits *limits)
{
    *c = (struct http_connections){.limits = *limits};
    set_default(&c->limits.request_ms, REQUEST_MS);
    set_default(&c->limits.answer_ms, ANSWER_MS);
    set_default(&c->limits.idle_ms, IDLE_MS);
    set_default(&c->limits.search_ms, SEARCH_MS);
    mutex_init(&c->lock, RANK_LEAF);
    cond_init(&c->changed);
    thread_start(&c->watcher, "http-watch", watch, c);
}

void http_connections_destroy(struct http_connections *c)
{
    mutex_lock(&c->lock);
    c->is_stopping = true;
    cond_broadcast(&c->changed);
    mutex_unlock(&c->lock);
    thread_join(&c->watcher);
    free(c->items);
    cond_destroy(&c->changed);
    mutex_destroy(&c->lock);
}

struct http_connection *http_connections_add(struct http_connections *c, int fd)
{
    struct http_connection *connection = xmalloc(sizeof *connection);
    *connection = (struct http_connection){.fd = fd, .since_ms = clock_monotonic_ms()};
    mutex_lock(&c->lock);
    make_room(c);
    GROW(c->items, c->count, c->capacity);
    c->items[c->count++] = connection;
    mutex_unlock(&c->lock);
    return connection;
}

void http_connections_remove(struct http_connections *c, struct http_connection *connection)
{
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i] == connection) {
            c->items[i] = c->items[--c->count];
            break;
        }
    }
    cond_broadcast(&c->changed);
    mutex_unlock(&c->lock);
    free(connection);
}

void http_connections_set(struct http_connections *c, struct http_connection *connection,
                          enum http_connection_state state)
{
    mutex_lock(&c->lock);
    connection->state = state;
    connection->since_ms = clock_monotonic_ms();
    mutex_unlock(&c->lock);
}

bool http_connections_begin(struct http_connections *c, struct http_connection *connection, bool is_vital)
{
    size_t busy = 0;
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++)
        busy +=
            c->items[i]->state == HTTP_CONNECTION_WORKING || c->items[i]->state == HTTP_CONNECTION_SENDING;
    bool ok = is_vital || busy < HTTP_REQUESTS_MAX;
    c->stats.refused += !ok;
    connection->state = HTTP_CONNECTION_WORKING;
    connection->since_ms = clock_monotonic_ms();
    mutex_unlock(&c->lock);
    return ok;
}

bool http_connections_is_gone(const struct http_connection *connection)
{
    struct pollfd p = {.fd = connection->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void http_connections_get_stats(struct http_connections *c, struct http_connection_stats *ret)
{
    mutex_lock(&c->lock);
    *ret = c->stats;
    ret->open = c->count;
    mutex_unlock(&c->lock);
}

void http_connections_drain(struct http_connections *c, int64_t timeout_ms)
{
    int64_t until = clock_monotonic_ms() + timeout_ms, left;
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++)
        (void)shutdown(c->items[i]->fd, SHUT_RD); /* a reply under way still goes out */
    while (c->count && (left = until - clock_monotonic_ms()) > 0)
        (void)cond_wait_ms(&c->changed, &c->lock, left);
    mutex_unlock(&c->lock);
}
