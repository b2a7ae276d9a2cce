/*
 * Payloads that come compressed, whatever their format: recognised by their magic, unpacked before decoding.
 *
 *   gzip           1f 8b 08                        RFC 1952; several members
 *   zstd           28 b5 2f fd                     RFC 8878; several frames
 *   lz4            04 22 4d 18                     lz4_Frame_format.md; several frames
 *   snappy stream  ff 06 00 00 "sNaPpY"            google/snappy framing_format.txt; checksums are checked
 *   snappy xerial  82 "SNAPPY" 00                  snappy-java's SnappyOutputStream, Kafka producers'
 * "snappy"
 *
 * A bare snappy block has no magic, so it's the format's own business (remote_write.h). No valid snappy block
 * starts with one of these magics either: read as a block, each begins with a copy from before its start.
 *
 * One thread per unpacker.
 */
#ifndef VARVE_SINKS_DECODE_UNPACK_H
#define VARVE_SINKS_DECODE_UNPACK_H

#include <stdbool.h>
#include <string.h>

#include "sinks/sample_batch.h"

/* What one message may unpack to, at most, where messages of max_message_size are let in: four times that,
 * but no less than 64 MiB, which is above stock's own limits (32 MiB of remote write). */
#define UNPACK_MAX_LEAST ((size_t)64 << 20)
static inline size_t unpack_limit(size_t max_message_size)
{
    return max_message_size > UNPACK_MAX_LEAST / 4 ? max_message_size * 4 : UNPACK_MAX_LEAST;
}

/* Contexts and buffer, kept from message to message. Starts zeroed. */
struct unpacker {
    struct buffer buffer;
    void *zstd; /* ZSTD_DCtx */
    void *lz4;  /* LZ4F_dctx */
    void *zlib; /* z_stream */
};
void unpacker_release(struct unpacker *u);

/* Whether the payload starts with one of the magics; nothing else is looked at. */
static inline bool unpack_wanted(struct span payload)
{
    if (payload.len < 4)
        return false;
    switch ((unsigned char)payload.data[0]) {
    case 0x1f:
        return memcmp(payload.data, "\x1f\x8b\x08", 3) == 0;
    case 0x28:
        return memcmp(payload.data, "\x28\xb5\x2f\xfd", 4) == 0;
    case 0x04:
        return memcmp(payload.data, "\x04\x22\x4d\x18", 4) == 0;
    case 0xff:
        return payload.len >= 10 && memcmp(payload.data, "\xff\x06\x00\x00sNaPpY", 10) == 0;
    case 0x82:
        return payload.len >= 8 && memcmp(payload.data, "\x82SNAPPY\x00", 8) == 0;
    default:
        return false;
    }
}

/* The part of unpack that does it: of payloads that unpack_wanted is true of. */
int unpack_compressed(struct unpacker *u, struct span payload, size_t max, struct span *ret,
                      const char **ret_reason);

/*
 * *ret is the payload itself if it isn't compressed, else what it unpacks to, in u's buffer until the next
 * call. Once only: what is compressed twice is for the decoder to refuse.
 *
 * ERR_INVALID with *ret_reason "unpacked_too_large" (more than max bytes; at most one more is ever written)
 * or "bad_compression" (broken, cut short, or bytes after its end).
 */
static inline int unpack(struct unpacker *u, struct span payload, size_t max, struct span *ret,
                         const char **ret_reason)
{
    if (__builtin_expect(unpack_wanted(payload), 0))
        return unpack_compressed(u, payload, max, ret, ret_reason);
    *ret = payload;
    return 0;
}

#endif
