/*
 * zstd frames as VictoriaMetrics stores them: one complete frame, content size present, no checksum, no
 * dictionary (format 1). Any thread: each has contexts of its own, reused over calls and freed with the
 * thread.
 */
#ifndef VARVE_STORAGE_ENCODING_ZSTD_CODEC_H
#define VARVE_STORAGE_ENCODING_ZSTD_CODEC_H

#include <stddef.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

/* Appends one frame to dst. level is zstd's own, negative ones included. src must not lie in dst. */
void zstd_compress(struct buffer *dst, const void *src, size_t size, int level);

/* Appends the content of one or more whole frames to dst; frames without a content size are read too.
 * ERR_CORRUPT if the input isn't whole frames or their content has more than max bytes; dst then keeps its
 * old length. */
int zstd_decompress(struct buffer *dst, const void *src, size_t size, size_t max, struct error *reterr);

#endif
