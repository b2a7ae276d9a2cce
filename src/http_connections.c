#include "src/http_connections.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"

void http_connections_init(struct http_connections *c)
{
    *c = (struct http_connections){0};
    mutex_init(&c->lock, RANK_LEAF);
    cond_init(&c->changed);
}

void http_connections_destroy(struct http_connections *c)
{
    free(c->fds);
    cond_destroy(&c->changed);
    mutex_destroy(&c->lock);
}

void http_connections_add(struct http_connections *c, int fd)
{
    mutex_lock(&c->lock);
    GROW(c->fds, c->count, c->capacity);
    c->fds[c->count++] = fd;
    mutex_unlock(&c->lock);
}

void http_connections_remove(struct http_connections *c, int fd)
{
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++) {
        if (c->fds[i] == fd) {
            c->fds[i] = c->fds[--c->count];
            break;
        }
    }
    cond_broadcast(&c->changed);
    mutex_unlock(&c->lock);
}

void http_connections_drain(struct http_connections *c, int64_t timeout_ms)
{
    int64_t until = clock_monotonic_ms() + timeout_ms, left;
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++)
        (void)shutdown(c->fds[i], SHUT_RD); /* a reply under way still goes out */
    while (c->count && (left = until - clock_monotonic_ms()) > 0)
        (void)cond_wait_ms(&c->changed, &c->lock, left);
    mutex_unlock(&c->lock);
}
