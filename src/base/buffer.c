#include "src/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/alloc.h"

void buffer_release(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

uint8_t *buffer_reserve(struct buffer *b, size_t extra)
{
    if (b->cap - b->len < extra || !b->data) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap - b->len < extra)
            cap *= 2;
        b->data = xreallocarray(b->data, cap, 1);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n <= 0)
        return;
    char *dst = (char *)buffer_reserve(b, (size_t)n + 1);
    va_start(args, format);
    vsnprintf(dst, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

const char *buffer_cstr(struct buffer *b)
{
    *buffer_reserve(b, 1) = '\0';
    return (const char *)b->data;
}
