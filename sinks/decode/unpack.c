#include "sinks/decode/unpack.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"
#include "src/base/error.h"

#define REASON_TOO_LARGE "unpacked_too_large"
#define REASON_BROKEN    "bad_compression"

/* A buffer beyond this is given back when the messages have become small again. */
#define BUFFER_KEPT (4U << 20)
#define STEP        65536

#define SNAPPY_MAGIC_LEN  10
#define SNAPPY_CHUNK_MAX  65536 /* uncompressed bytes of one chunk, by the format */
#define XERIAL_MAGIC_LEN  8
#define XERIAL_HEADER_LEN 16 /* magic, version, oldest version that reads it */

struct unpacking {
    struct buffer *out;
    const uint8_t *p, *end;
    size_t max;
};

/* Room for more output: at least a byte beyond max, which tells too much from just enough. */
static uint8_t *reserve(struct unpacking *k, size_t *ret_room)
{
    size_t left = k->max + 1 - k->out->len;
    uint8_t *dst = buffer_reserve(k->out, left < STEP ? left : STEP);
    size_t room = k->out->cap - k->out->len;
    *ret_room = room < left ? room : left;
    return dst;
}

/* Counts n bytes that were written where reserve said. */
static bool produced(struct unpacking *k, size_t n)
{
    k->out->len += n;
    return k->out->len <= k->max;
}

static const char *unpack_gzip(struct unpacker *u, struct unpacking *k)
{
    if (!u->zlib) {
        u->zlib = xcalloc(1, sizeof(z_stream));
        if (inflateInit2((z_stream *)u->zlib, 15 + 16) != Z_OK) /* largest window, gzip's header only */
            abort();                                            /* as alloc.h does when memory is out */
    }
    z_stream *z = u->zlib;
    inflateReset(z);
    z->next_in = (Bytef *)(uintptr_t)k->p; /* not written to; the type is old */
    z->avail_in = (uInt)(k->end - k->p);
    for (;;) {
        size_t room;
        z->next_out = reserve(k, &room);
        z->avail_out = (uInt)room;
        int r = inflate(z, Z_NO_FLUSH);
        if (!produced(k, room - z->avail_out))
            return REASON_TOO_LARGE;
        if (r == Z_STREAM_END) {
            if (!z->avail_in)
                return NULL;
            inflateReset(z);
        } else if (r != Z_OK) { /* Z_BUF_ERROR: it wants bytes that aren't there */
            return REASON_BROKEN;
        }
    }
}

static const char *unpack_zstd(struct unpacker *u, struct unpacking *k)
{
    if (!u->zstd && !(u->zstd = ZSTD_createDCtx()))
        abort();
    ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
    size_t size = (size_t)(k->end - k->p);
    unsigned long long content = ZSTD_getFrameContentSize(k->p, size);
    if (content != ZSTD_CONTENTSIZE_UNKNOWN && content != ZSTD_CONTENTSIZE_ERROR) {
        if (content > k->max)
            return REASON_TOO_LARGE;
        if (ZSTD_findFrameCompressedSize(k->p, size) == size) { /* a single frame: no window needed */
            uint8_t *dst = buffer_reserve(k->out, (size_t)content + 1);
            size_t n = ZSTD_decompressDCtx(u->zstd, dst, (size_t)content, k->p, size);
            if (ZSTD_isError(n))
                return REASON_BROKEN;
            k->out->len += n;
            return NULL;
        }
    }
    ZSTD_inBuffer in = {k->p, size, 0};
    size_t left_in_frame = 1;
    while (in.pos < in.size || left_in_frame) {
        size_t room, in_before = in.pos;
        ZSTD_outBuffer out = {reserve(k, &room), room, 0};
        left_in_frame = ZSTD_decompressStream(u->zstd, &out, &in);
        if (ZSTD_isError(left_in_frame))
            return REASON_BROKEN;
        if (!produced(k, out.pos))
            return REASON_TOO_LARGE;
        if (in.pos == in_before && !out.pos && left_in_frame)
            return REASON_BROKEN;
    }
    return NULL;
}

static const char *unpack_lz4(struct unpacker *u, struct unpacking *k)
{
    if (!u->lz4) {
        LZ4F_dctx *made;
        if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)))
            abort();
        u->lz4 = made;
    }
    LZ4F_resetDecompressionContext(u->lz4);
    size_t hint = 1;
    while (k->p < k->end || hint) {
        size_t room, taken = (size_t)(k->end - k->p);
        uint8_t *dst = reserve(k, &room);
        hint = LZ4F_decompress(u->lz4, dst, &room, k->p, &taken, NULL);
        if (LZ4F_isError(hint))
            return REASON_BROKEN;
        k->p += taken;
        if (!produced(k, room))
            return REASON_TOO_LARGE;
        if (!taken && !room && hint)
            return REASON_BROKEN;
    }
    return NULL;
}

/* One bare block, limit bytes of content at most. */
static const char *unpack_snappy_block(struct unpacking *k, const uint8_t *block, size_t size, size_t limit)
{
    size_t content;
    if (snappy_uncompressed_length((const char *)block, size, &content) != SNAPPY_OK || content > limit)
        return REASON_BROKEN;
    if (content > k->max - k->out->len)
        return REASON_TOO_LARGE;
    char *dst = (char *)buffer_reserve(k->out, content + 1);
    if (snappy_uncompress((const char *)block, size, dst, &content) != SNAPPY_OK)
        return REASON_BROKEN;
    k->out->len += content;
    return NULL;
}

static uint32_t mask_checksum(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

/* A chunk with data: its checksum, then the data, plain or as a block. */
static const char *unpack_snappy_chunk(struct unpacking *k, bool is_plain, const uint8_t *chunk, size_t size)
{
    size_t start = k->out->len;
    if (size < 4)
        return REASON_BROKEN;
    const char *reason = NULL;
    if (!is_plain)
        reason = unpack_snappy_block(k, chunk + 4, size - 4, SNAPPY_CHUNK_MAX);
    else if (size - 4 > SNAPPY_CHUNK_MAX)
        reason = REASON_BROKEN;
    else if (size - 4 > k->max - start)
        reason = REASON_TOO_LARGE;
    else
        buffer_append(k->out, chunk + 4, size - 4);
    if (reason)
        return reason;
    size_t content = k->out->len - start;
    uint32_t crc = content ? crc32c(0, k->out->data + start, content) : 0;
    return mask_checksum(crc) == get_le32(chunk) ? NULL : REASON_BROKEN;
}

static const char *unpack_snappy_stream(struct unpacking *k)
{
    while (k->p < k->end) {
        if (k->end - k->p < 4)
            return REASON_BROKEN;
        uint8_t type = k->p[0];
        size_t size = (size_t)k->p[1] | (size_t)k->p[2] << 8 | (size_t)k->p[3] << 16;
        const uint8_t *chunk = k->p + 4;
        if ((size_t)(k->end - chunk) < size)
            return REASON_BROKEN;
        k->p = chunk + size;
        const char *reason = NULL;
        if (type <= 0x01)
            reason = unpack_snappy_chunk(k, type == 0x01, chunk, size);
        else if (type < 0x80) /* reserved, not to be skipped */
            reason = REASON_BROKEN;
        else if (type == 0xff && (size != 6 || memcmp(chunk, "sNaPpY", 6) != 0))
            reason = REASON_BROKEN;
        if (reason)
            return reason;
    }
    return NULL;
}

static const char *unpack_snappy_xerial(struct unpacking *k)
{
    while (k->p < k->end) {
        size_t left = (size_t)(k->end - k->p);
        if (left >= XERIAL_MAGIC_LEN && memcmp(k->p, "\x82SNAPPY\x00", XERIAL_MAGIC_LEN) == 0) {
            if (left < XERIAL_HEADER_LEN)
                return REASON_BROKEN;
            k->p += XERIAL_HEADER_LEN; /* again where streams were joined; as a length it would be negative */
            continue;
        }
        uint32_t size = left >= 4 ? get_be32(k->p) : UINT32_MAX;
        if (left < 4 || size > left - 4)
            return REASON_BROKEN;
        const char *reason = unpack_snappy_block(k, k->p + 4, size, SIZE_MAX);
        if (reason)
            return reason;
        k->p += 4 + size;
    }
    return NULL;
}

int unpack_compressed(struct unpacker *u, struct span payload, size_t max, struct span *ret,
                      const char **ret_reason)
{
    const uint8_t *data = (const uint8_t *)payload.data;
    if (u->buffer.cap > BUFFER_KEPT && u->buffer.len < BUFFER_KEPT / 4)
        buffer_release(&u->buffer);
    buffer_clear(&u->buffer);
    if (max > UINT32_MAX - 1)
        max = UINT32_MAX - 1; /* a span holds no more */
    struct unpacking k = {.out = &u->buffer, .p = data, .end = data + payload.len, .max = max};
    const char *reason;
    switch (data[0]) {
    case 0x1f:
        reason = unpack_gzip(u, &k);
        break;
    case 0x28:
        reason = unpack_zstd(u, &k);
        break;
    case 0x04:
        reason = unpack_lz4(u, &k);
        break;
    case 0xff:
        reason = unpack_snappy_stream(&k);
        break;
    default:
        reason = unpack_snappy_xerial(&k);
        break;
    }
    if (reason) {
        *ret_reason = reason;
        return ERR_INVALID;
    }
    buffer_reserve(k.out, 1); /* something to point to */
    *ret = span_of((const char *)k.out->data, k.out->len);
    return 0;
}

void unpacker_release(struct unpacker *u)
{
    buffer_release(&u->buffer);
    ZSTD_freeDCtx(u->zstd);
    LZ4F_freeDecompressionContext(u->lz4);
    if (u->zlib)
        inflateEnd(u->zlib);
    free(u->zlib);
    *u = (struct unpacker){0};
}
