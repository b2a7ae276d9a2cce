/*
 * Variable-length integers: `uv` (LEB128) and `sv` (zigzag, then LEB128) of format 1; lib/encoding/int.go.
 * Pure. Readers take non-minimal forms and at most 10 bytes, as VictoriaMetrics does.
 */
#ifndef VARVE_STORAGE_ENCODING_VARINT_H
#define VARVE_STORAGE_ENCODING_VARINT_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"

#define VARINT_MAX_BYTES 10

static inline uint64_t zigzag64(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag64(uint64_t u)
{
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

static inline uint16_t zigzag16(int16_t v)
{
    return (uint16_t)(((uint16_t)v << 1) ^ (uint16_t)(v >> 15));
}

static inline int16_t unzigzag16(uint16_t u)
{
    return (int16_t)((u >> 1) ^ -(u & 1));
}

/* Writes 1 to 10 bytes at p and returns the place after them. */
static inline uint8_t *varint_put_unsigned(uint8_t *p, uint64_t v)
{
    while (v > 0x7f) {
        *p++ = (uint8_t)v | 0x80;
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline uint8_t *varint_put_signed(uint8_t *p, int64_t v)
{
    return varint_put_unsigned(p, zigzag64(v));
}

/* Reads one integer from [p, end) and returns the place after it; NULL (and *ret untouched) when it runs past
 * the end, has more than 10 bytes, or doesn't fit 64 bits. */
static inline const uint8_t *varint_get_unsigned(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    if (p < end && *p < 0x80) { /* by far the most common length */
        *ret = *p;
        return p + 1;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (p >= end)
            return NULL;
        uint8_t c = *p++;
        if (shift == 63 && c > 1)
            return NULL;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *ret = v;
            return p;
        }
    }
    return NULL;
}

static inline const uint8_t *varint_get_signed(const uint8_t *p, const uint8_t *end, int64_t *ret)
{
    uint64_t u;
    p = varint_get_unsigned(p, end, &u);
    if (p)
        *ret = unzigzag64(u);
    return p;
}

static inline void buffer_append_varint(struct buffer *b, uint64_t v)
{
    uint8_t *p = buffer_reserve(b, VARINT_MAX_BYTES);
    b->len += (size_t)(varint_put_unsigned(p, v) - p);
}

#endif
