#include "storage/encoding/zstd_codec.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "src/base/alloc.h"

/* Contexts hold megabytes of tables, so a thread makes each once. */
struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    struct buffer scratch;
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* only for its destructor; the pointer is looked up in own_contexts */
static __thread struct contexts *own_contexts;

static void contexts_free(void *arg)
{
    struct contexts *c = arg;
    ZSTD_freeCCtx(c->compress);
    ZSTD_freeDCtx(c->decompress);
    buffer_release(&c->scratch);
    free(c);
    own_contexts = NULL;
}

static void key_create(void)
{
    if (pthread_key_create(&key, contexts_free) != 0)
        abort();
}

static struct contexts *thread_contexts(void)
{
    if (own_contexts)
        return own_contexts;
    pthread_once(&key_once, key_create);
    struct contexts *c = xmalloc(sizeof *c);
    *c = (struct contexts){.compress = ZSTD_createCCtx(), .decompress = ZSTD_createDCtx()};
    if (!c->compress || !c->decompress || pthread_setspecific(key, c) != 0)
        abort(); /* as alloc.h does when memory is out */
    own_contexts = c;
    return c;
}

size_t zstd_compress_bound(size_t size)
{
    return ZSTD_compressBound(size);
}

size_t zstd_compress_into(uint8_t *dst, size_t capacity, const void *src, size_t size, int level)
{
    size_t n = ZSTD_compressCCtx(thread_contexts()->compress, dst, capacity, src, size, level);
    if (ZSTD_isError(n))
        abort(); /* can't fail with this capacity but for want of memory */
    return n;
}

void zstd_compress(struct buffer *dst, const void *src, size_t size, int level)
{
    size_t capacity = zstd_compress_bound(size);
    uint8_t *p = buffer_reserve(dst, capacity);
    dst->len += zstd_compress_into(p, capacity, src, size, level);
}

static int corrupt(struct error *reterr, size_t zstd_result)
{
    return error_set(reterr, ERR_CORRUPT, "damaged zstd data (%s)",
                     ZSTD_isError(zstd_result) ? ZSTD_getErrorName(zstd_result) : "it ends early");
}

/* Several frames, or one that doesn't say how long its content is. */
static int decompress_stream(struct buffer *dst, const void *src, size_t size, size_t max,
                             struct error *reterr)
{
    ZSTD_DCtx *ctx = thread_contexts()->decompress;
    ZSTD_DCtx_reset(ctx, ZSTD_reset_session_only);
    ZSTD_inBuffer in = {src, size, 0};
    size_t start = dst->len;
    size_t left_in_frame = 0;
    while (in.pos < in.size || left_in_frame) {
        size_t produced = dst->len - start;
        /* One byte more than allowed tells too much from just enough. */
        size_t room = max - produced < 65536 ? max - produced + 1 : 65536;
        ZSTD_outBuffer out = {buffer_reserve(dst, room), room, 0};
        size_t in_before = in.pos;
        left_in_frame = ZSTD_decompressStream(ctx, &out, &in);
        if (ZSTD_isError(left_in_frame)) {
            dst->len = start;
            return corrupt(reterr, left_in_frame);
        }
        dst->len += out.pos;
        if (dst->len - start > max) {
            dst->len = start;
            return error_set(reterr, ERR_CORRUPT, "damaged zstd data (more than %zu bytes of content)", max);
        }
        if (in.pos == in_before && out.pos == 0 && left_in_frame) { /* wants bytes that aren't there */
            dst->len = start;
            return corrupt(reterr, 0);
        }
    }
    return 0;
}

int zstd_decompress(struct buffer *dst, const void *src, size_t size, size_t max, struct error *reterr)
{
    if (!size)
        return corrupt(reterr, 0);
    unsigned long long content = ZSTD_getFrameContentSize(src, size);
    if (content == ZSTD_CONTENTSIZE_ERROR)
        return corrupt(reterr, ZSTD_findFrameCompressedSize(src, size));
    size_t frame = ZSTD_findFrameCompressedSize(src, size);
    if (ZSTD_isError(frame))
        return corrupt(reterr, frame);
    if (content == ZSTD_CONTENTSIZE_UNKNOWN || frame != size)
        return decompress_stream(dst, src, size, max, reterr);
    if (content > max)
        return error_set(reterr, ERR_CORRUPT,
                         "damaged zstd data (%llu bytes of content, at most %zu expected)", content, max);
    uint8_t *p = buffer_reserve(dst, content + 1);
    size_t n = ZSTD_decompressDCtx(thread_contexts()->decompress, p, content, src, size);
    if (ZSTD_isError(n))
        return corrupt(reterr, n);
    dst->len += n;
    return 0;
}

int zstd_decompress_scratch(const uint8_t **ret, size_t *ret_size, const void *src, size_t size, size_t max,
                            struct error *reterr)
{
    struct buffer *scratch = &thread_contexts()->scratch;
    buffer_clear(scratch);
    int r = zstd_decompress(scratch, src, size, max, reterr);
    if (r < 0)
        return r;
    *ret = scratch->data;
    *ret_size = scratch->len;
    return 0;
}
