/*
 * A growing run of bytes. A zeroed struct is an empty buffer; data is NULL until something is reserved.
 * Not thread-safe. Growth is geometric, so appending is O(1) amortised; buffer_clear keeps the memory.
 */
#ifndef VARVE_BASE_BUFFER_H
#define VARVE_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buffer {
    uint8_t *data;
    size_t len;
    size_t cap;
};

/* Frees the memory and leaves an empty buffer. */
void buffer_release(struct buffer *b);

/* Makes room for at least extra more bytes and returns where they go (data + len). */
uint8_t *buffer_reserve(struct buffer *b, size_t extra);

static inline void buffer_clear(struct buffer *b)
{
    b->len = 0;
}

static inline void buffer_append(struct buffer *b, const void *src, size_t n)
{
    if (!n)
        return;
    memcpy(buffer_reserve(b, n), src, n);
    b->len += n;
}

static inline void buffer_append_u8(struct buffer *b, uint8_t v)
{
    *buffer_reserve(b, 1) = v;
    b->len++;
}

static inline void buffer_append_str(struct buffer *b, const char *s)
{
    buffer_append(b, s, strlen(s));
}

/* Appends formatted text, without a terminating zero. */
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a zero after the last byte (not counted in len) and returns the text. */
const char *buffer_cstr(struct buffer *b);

#endif
