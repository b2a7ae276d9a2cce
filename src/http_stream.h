/*
 * A long answer on its way: a thread of its own makes it, the connection's thread sends it, and a bounded
 * buffer lies between, so that a slow reader costs neither memory nor anybody else's time.
 *
 *   producer thread --http_stream_write--> ring --http_stream_read--> connection thread
 */
#ifndef VARVE_SRC_HTTP_STREAM_H
#define VARVE_SRC_HTTP_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "src/base/error.h"

struct http_stream;

/* Makes the whole answer by http_stream_write and returns 0 or an error. */
typedef int (*http_produce)(void *context, struct http_stream *stream, struct error *reterr);

#define HTTP_STREAM_BUFFER_BYTES (256 * 1024)

/* Starts the producer, which has search_ms until its first byte. context is given to free_context when it has
 * ended. */
struct http_stream *http_stream_start(http_produce produce, void *context,
                                      void (*free_context)(void *context), int64_t search_ms);
/* Tells the producer to stop, waits for it. */
void http_stream_free(struct http_stream *s);

/* Producer's thread: blocks while the buffer is full. ERR_CANCELLED when nobody reads any more, and when
 * nothing was written within search_ms of the start. size 0 asks just that. */
int http_stream_write(struct http_stream *s, const void *data, size_t size, struct error *reterr);

/* Waits until there's something to read or the producer has ended, at most timeout_ms: 1 if it's still to
 * come. Else 0, or the producer's error if it ended without having written anything. */
int http_stream_wait_first(struct http_stream *s, int64_t timeout_ms, struct error *reterr);

/* Takes at most max bytes, waiting for the first. 0 at the end; negative if the producer failed or
 * http_stream_cancel was called. */
ssize_t http_stream_read(struct http_stream *s, void *dst, size_t max);

/* Ends reading and writing at once. Any thread. */
void http_stream_cancel(struct http_stream *s);

#endif
