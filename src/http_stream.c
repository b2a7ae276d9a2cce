#include "src/http_stream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

#define RANK_HTTP_STREAM RANK_LEAF

struct http_stream {
    struct mutex lock;
    struct cond changed;
    struct thread thread;
    http_produce produce;
    void *context;
    void (*free_context)(void *context);
    int64_t started_ms, search_ms;
    /* Locked: */
    size_t read_at, filled;
    bool is_started; /* something was written */
    bool has_ended;
    bool is_cancelled;
    int result;
    struct error error;
    uint8_t ring[HTTP_STREAM_BUFFER_BYTES];
};

static void run(void *arg)
{
    struct http_stream *s = arg;
    struct error error = {0};
    int r = s->produce(s->context, s, &error);
    mutex_lock(&s->lock);
    s->has_ended = true;
    s->result = r;
    s->error = error;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

struct http_stream *http_stream_start(http_produce produce, void *context,
                                      void (*free_context)(void *context), int64_t search_ms)
{
    struct http_stream *s = xmalloc(sizeof *s);
    memset(s, 0, offsetof(struct http_stream, ring));
    mutex_init(&s->lock, RANK_HTTP_STREAM);
    cond_init(&s->changed);
    s->produce = produce;
    s->context = context;
    s->free_context = free_context;
    s->search_ms = search_ms;
    s->started_ms = clock_monotonic_ms();
    thread_start(&s->thread, "http-stream", run, s);
    return s;
}

void http_stream_cancel(struct http_stream *s)
{
    mutex_lock(&s->lock);
    s->is_cancelled = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

void http_stream_free(struct http_stream *s)
{
    if (!s)
        return;
    http_stream_cancel(s);
    thread_join(&s->thread);
    if (s->free_context)
        s->free_context(s->context);
    cond_destroy(&s->changed);
    mutex_destroy(&s->lock);
    free(s);
}

static int check_wanted(const struct http_stream *s, struct error *reterr)
{
    if (s->is_cancelled)
        return error_set(reterr, ERR_CANCELLED, "the reader of the answer is gone");
    if (!s->is_started && clock_monotonic_ms() - s->started_ms > s->search_ms)
        return error_set(
            reterr, ERR_CANCELLED,
            "the search took more than %g s: ask for less time, or name a label that equals a value",
            (double)s->search_ms / 1e3);
    return 0;
}

int http_stream_write(struct http_stream *s, const void *data, size_t size, struct error *reterr)
{
    const uint8_t *src = data;
    mutex_lock(&s->lock);
    int r = check_wanted(s, reterr);
    while (size > 0 && r == 0) {
        while (s->filled == sizeof s->ring && !s->is_cancelled)
            cond_wait(&s->changed, &s->lock);
        if ((r = check_wanted(s, reterr)) < 0)
            break;
        size_t at = (s->read_at + s->filled) % sizeof s->ring;
        size_t n = sizeof s->ring - s->filled;
        if (n > sizeof s->ring - at)
            n = sizeof s->ring - at;
        if (n > size)
            n = size;
        memcpy(s->ring + at, src, n);
        if (s->filled == 0)
            cond_broadcast(&s->changed);
        s->filled += n;
        s->is_started = true;
        src += n;
        size -= n;
    }
    mutex_unlock(&s->lock);
    return r;
}

int http_stream_wait_first(struct http_stream *s, int64_t timeout_ms, struct error *reterr)
{
    int r = 0;
    int64_t until = clock_monotonic_ms() + timeout_ms, left;
    mutex_lock(&s->lock);
    while (!s->is_started && !s->has_ended && !s->is_cancelled && (left = until - clock_monotonic_ms()) > 0)
        (void)cond_wait_ms(&s->changed, &s->lock, left);
    if (!s->is_started && !s->has_ended && !s->is_cancelled) {
        r = 1;
    } else if (s->is_cancelled) {
        r = error_set(reterr, ERR_CANCELLED, "the server is stopping");
    } else if (!s->is_started && s->result < 0) {
        r = s->result;
        if (reterr)
            *reterr = s->error;
    }
    mutex_unlock(&s->lock);
    return r;
}

ssize_t http_stream_read(struct http_stream *s, void *dst, size_t max)
{
    mutex_lock(&s->lock);
    while (s->filled == 0 && !s->has_ended && !s->is_cancelled)
        cond_wait(&s->changed, &s->lock);
    ssize_t r;
    if (s->is_cancelled) {
        r = -1;
    } else if (s->filled == 0) {
        r = s->result < 0 ? -1 : 0;
    } else {
        size_t n = sizeof s->ring - s->read_at;
        if (n > s->filled)
            n = s->filled;
        if (n > max)
            n = max;
        memcpy(dst, s->ring + s->read_at, n);
        if (s->filled == sizeof s->ring)
            cond_broadcast(&s->changed);
        s->read_at = (s->read_at + n) % sizeof s->ring;
        s->filled -= n;
        r = (ssize_t)n;
    }
    mutex_unlock(&s->lock);
    return r;
}
