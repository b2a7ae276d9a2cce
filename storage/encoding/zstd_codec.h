/*
 * zstd frames as VictoriaMetrics stores them: one complete frame, content size present, no checksum, no
 * dictionary (format 1). Any thread: each has contexts of its own, reused over calls and freed with the
 * thread.
 */
#ifndef VARVE_STORAGE_ENCODING_ZSTD_CODEC_H
#define VARVE_STORAGE_ENCODING_ZSTD_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

/* Appends one frame to dst. level is zstd's own, negative ones included. src must not lie in dst. */
void zstd_compress(struct buffer *dst, const void *src, size_t size, int level);

/* The same into memory of the caller's, of at least zstd_compress_bound(size) bytes; returns the frame's
 * size. */
size_t zstd_compress_into(uint8_t *dst, size_t capacity, const void *src, size_t size, int level);
size_t zstd_compress_bound(size_t size);

/* Appends the content of one or more whole frames to dst; frames without a content size are read too.
 * ERR_CORRUPT if the input isn't whole frames or their content has more than max bytes; dst then keeps its
 * old length. */
int zstd_decompress(struct buffer *dst, const void *src, size_t size, size_t max, struct error *reterr);

/* The same into memory of the thread's: *ret is valid until the thread's next call of this function. */
int zstd_decompress_scratch(const uint8_t **ret, size_t *ret_size, const void *src, size_t size, size_t max,
                            struct error *reterr);

#endif
