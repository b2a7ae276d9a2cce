/* unpack over any bytes; and what zlib, zstd, lz4 and snappy make of the same bytes unpacks to them. */
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "sinks/decode/unpack.h"
#include "src/base/endian.h"

#define MAX (1U << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct unpacker unpacker;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_unpack: %s\n", what);
        abort();
    }
}

static void expect(const void *packed, size_t packed_size, const unsigned char *data, size_t size)
{
    struct span content = {0};
    const char *reason = "none";
    require(unpack_wanted(span_of(packed, packed_size)), "a magic is recognised");
    require(unpack(&unpacker, span_of(packed, packed_size), MAX, &content, &reason) == 0, reason);
    require(content.len == size && (!size || memcmp(content.data, data, size) == 0),
            "the content is what was packed");
    if (!size)
        return;
    require(unpack(&unpacker, span_of(packed, packed_size), size - 1, &content, &reason) < 0 &&
                strcmp(reason, "unpacked_too_large") == 0,
            "a byte more than allowed is too large");
    require(unpack(&unpacker, span_of(packed, packed_size - 1), MAX, &content, &reason) < 0 &&
                strcmp(reason, "bad_compression") == 0,
            "cut short is broken");
}

static void round_trips(const unsigned char *data, size_t size)
{
    static unsigned char packed[MAX + (MAX >> 2)];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
                  .avail_in = (uInt)size,
                  .next_out = packed,
                  .avail_out = sizeof packed};
    require(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK, "deflateInit2");
    require(deflate(&z, Z_FINISH) == Z_STREAM_END, "deflate");
    expect(packed, sizeof packed - z.avail_out, data, size);
    deflateEnd(&z);

    expect(packed, ZSTD_compress(packed, sizeof packed, data, size, 1), data, size);
    expect(packed, LZ4F_compressFrame(packed, sizeof packed, data, size, NULL), data, size);

    memcpy(packed, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
    size_t n = sizeof packed - 20;
    if (snappy_compress((const char *)data, size, (char *)packed + 20, &n) == SNAPPY_OK && size) {
        put_be32(packed + 16, (uint32_t)n);
        expect(packed, 20 + n, data, size);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span content = {0};
    const char *reason = NULL;
    struct span payload = span_of((const char *)data, size);
    int r = unpack(&unpacker, payload, MAX, &content, &reason);
    require(r == 0 ? content.len <= MAX || content.data == payload.data : reason != NULL,
            "within the limit, or a reason");
    if (r == 0 && !unpack_wanted(payload))
        require(content.data == payload.data && content.len == payload.len, "the rest is borrowed");
    if (size < MAX / 2)
        round_trips(data, size);
    return 0;
}
