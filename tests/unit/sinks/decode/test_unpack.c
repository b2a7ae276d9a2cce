#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "sinks/decode/unpack.h"
#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

#define XERIAL_HEADER "\x82SNAPPY\0\0\0\0\1\0\0\0\1"

static struct unpacker unpacker;

static int release(void **state)
{
    (void)state;
    unpacker_release(&unpacker);
    return 0;
}

/* --- packing --- */

typedef void pack_function(struct buffer *dst, const char *data, size_t size);

static void pack_gzip(struct buffer *dst, const char *data, size_t size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, size);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = buffer_reserve(dst, room);
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    dst->len += z.total_out;
    deflateEnd(&z);
}

static void pack_zstd(struct buffer *dst, const char *data, size_t size)
{
    size_t room = ZSTD_compressBound(size);
    dst->len += ZSTD_compress(buffer_reserve(dst, room), room, data, size, 3);
}

/* A frame that doesn't tell the size of its content. */
static void pack_zstd_stream(struct buffer *dst, const char *data, size_t size)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(size);
    ZSTD_inBuffer in = {data, size, 0}, none = {NULL, 0, 0};
    ZSTD_outBuffer out = {buffer_reserve(dst, room), room, 0};
    assert_false(ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush)));
    assert_int_equal(ZSTD_compressStream2(c, &out, &none, ZSTD_e_end), 0);
    dst->len += out.pos;
    ZSTD_freeCCtx(c);
}

static void pack_lz4(struct buffer *dst, const char *data, size_t size)
{
    size_t room = LZ4F_compressFrameBound(size, NULL);
    dst->len += LZ4F_compressFrame(buffer_reserve(dst, room), room, data, size, NULL);
}

static void append_block(struct buffer *dst, const char *data, size_t size)
{
    size_t room = snappy_max_compressed_length(size);
    assert_int_equal(snappy_compress(data, size, (char *)buffer_reserve(dst, room), &room), SNAPPY_OK);
    dst->len += room;
}

static void pack_xerial(struct buffer *dst, const char *data, size_t size)
{
    buffer_append(dst, XERIAL_HEADER, 16);
    for (size_t at = 0; at < size; at += 1000) {
        size_t length_at = dst->len;
        buffer_append(dst, "\0\0\0\0", 4);
        append_block(dst, data + at, size - at < 1000 ? size - at : 1000);
        put_be32(dst->data + length_at, (uint32_t)(dst->len - length_at - 4));
    }
}

/* Chunks of 1,000 bytes, every other one plain. */
static void pack_snappy_stream(struct buffer *dst, const char *data, size_t size)
{
    buffer_append(dst, "\xff\x06\0\0sNaPpY", 10);
    for (size_t at = 0; at < size; at += 1000) {
        size_t n = size - at < 1000 ? size - at : 1000, chunk_at = dst->len;
        bool is_plain = at / 1000 % 2;
        uint32_t crc = crc32c(0, data + at, n);
        buffer_append(dst, "\0\0\0\0\0\0\0\0", 8);
        if (is_plain)
            buffer_append(dst, data + at, n);
        else
            append_block(dst, data + at, n);
        uint32_t length = (uint32_t)(dst->len - chunk_at - 4);
        put_le32(dst->data + chunk_at, is_plain | length << 8);
        put_le32(dst->data + chunk_at + 4, (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8));
        buffer_append(dst, "\xfe\x03\0\0xyz", 7); /* padding, to be skipped */
    }
}

static pack_function *const packers[] = {pack_gzip, pack_zstd,   pack_zstd_stream,
                                         pack_lz4,  pack_xerial, pack_snappy_stream};
#define PACKERS (sizeof packers / sizeof packers[0])

/* --- unpacking --- */

/* NULL if it was unpacked to want, else the reason. Given in memory of exactly its size. */
static const char *try_unpack(const void *packed, size_t packed_size, size_t max, const char *want,
                              size_t size)
{
    char *tight = xmemdup(packed, packed_size);
    struct span content = {0};
    const char *reason = NULL;
    int r = unpack(&unpacker, span_of(tight, packed_size), max, &content, &reason);
    if (r == 0) {
        reason = NULL;
        assert_int_equal(content.len, size);
        assert_memory_equal(content.data, want, size);
    }
    free(tight);
    return reason;
}

static char *some_text(size_t size)
{
    char *text = xmalloc(size + 1);
    uint32_t random = 1;
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = (char)('a' + (random >> 28));
    }
    return text;
}

static void test_plain(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "",          "m a=1",    "\x1f\x8b", "\x1f\x8b\x07xxxxxxx", "(\xb5/\xfc....", "\xff\x06\0\0sNaPp",
        "\x82SNAPP", "{\"a\":1}"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        struct span content = {0}, payload = span_of(plain[i], strlen(plain[i]));
        const char *reason = NULL;
        assert_int_equal(unpack(&unpacker, payload, 1, &content, &reason), 0);
        assert_ptr_equal(content.data, plain[i]);
        assert_int_equal(content.len, payload.len);
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 20, 999, 1000, 5000, 65536, 300000};
    for (size_t p = 0; p < PACKERS; p++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i];
            char *text = some_text(size);
            struct buffer packed = {0};
            packers[p](&packed, text, size);
            assert_null(try_unpack(packed.data, packed.len, size, text, size));
            assert_string_equal(try_unpack(packed.data, packed.len, size - 1, "", 0), "unpacked_too_large");
            /* Several, one after another. */
            struct buffer twice = {0};
            buffer_append(&twice, packed.data, packed.len);
            buffer_append(&twice, packed.data, packed.len);
            char *both = xmalloc(2 * size);
            memcpy(both, text, size);
            memcpy(both + size, text, size);
            assert_null(try_unpack(twice.data, twice.len, 2 * size, both, 2 * size));
            assert_string_equal(try_unpack(twice.data, twice.len, 2 * size - 1, "", 0), "unpacked_too_large");
            free(both);
            free(text);
            buffer_release(&twice);
            buffer_release(&packed);
        }
    }
}

static void test_cut_short(void **state)
{
    (void)state;
    char *text = some_text(2500);
    for (size_t p = 0; p < PACKERS; p++) {
        struct buffer packed = {0};
        packers[p](&packed, text, 2500);
        bool is_snappy = p >= 4; /* whole chunks are a whole stream */
        for (size_t n = 11; n < packed.len; n++) {
            struct span content = {0};
            const char *reason = NULL;
            char *tight = xmemdup(packed.data, n);
            int r = unpack(&unpacker, span_of(tight, n), 1 << 20, &content, &reason);
            assert_true(is_snappy ? r == 0 || strcmp(reason, "bad_compression") == 0
                                  : r < 0 && strcmp(reason, "bad_compression") == 0);
            assert_true(r < 0 || content.len < 2500 || n + 7 >= packed.len);
            free(tight);
        }
        buffer_release(&packed);
    }
    free(text);
}

/* Each byte changed in turn: an error or something else, but no crash; where there's a checksum, an error. */
static void test_damaged(void **state)
{
    (void)state;
    char *text = some_text(1500);
    for (size_t p = 0; p < PACKERS; p++) {
        struct buffer packed = {0};
        packers[p](&packed, text, 1500);
        for (size_t i = 0; i < packed.len; i++) {
            struct span content = {0};
            const char *reason = NULL;
            packed.data[i] ^= 0x55;
            int r =
                unpack(&unpacker, span_of((const char *)packed.data, packed.len), 1 << 20, &content, &reason);
            assert_true(r == 0 || reason);
            packed.data[i] ^= 0x55;
        }
        buffer_release(&packed);
    }
    free(text);
    struct buffer packed = {0};
    pack_snappy_stream(&packed, "hello", 5);
    packed.data[14] ^= 1; /* of the checksum */
    assert_string_equal(try_unpack(packed.data, packed.len, 100, "", 0), "bad_compression");
    buffer_release(&packed);
}

static void test_bombs(void **state)
{
    (void)state;
    size_t size = 32 << 20;
    char *zeros = xcalloc(1, size);
    for (size_t p = 0; p < 4; p++) {
        struct buffer packed = {0};
        packers[p](&packed, zeros, size);
        assert_string_equal(try_unpack(packed.data, packed.len, 1 << 20, "", 0), "unpacked_too_large");
        assert_true(unpacker.buffer.cap <= 4 << 20);
        buffer_release(&packed);
    }
    free(zeros);
    /* Blocks that claim more than they hold. */
    assert_string_equal(try_unpack(XERIAL_HEADER "\0\0\0\5\xff\xff\xff\xff\x0f", 25, 1 << 20, "", 0),
                        "unpacked_too_large");
    assert_string_equal(try_unpack(XERIAL_HEADER "\xff\xff\xff\xf0xxxx", 24, 1 << 20, "", 0),
                        "bad_compression");
    assert_string_equal(try_unpack("\xff\x06\0\0sNaPpY\x02\x01\0\0x", 15, 100, "", 0), "bad_compression");
    assert_string_equal(try_unpack("\xff\x06\0\0sNaPpY\0\x01\0\0x", 15, 100, "", 0), "bad_compression");
}

static void test_limit(void **state)
{
    (void)state;
    assert_int_equal(unpack_limit(0), 64 << 20);
    assert_int_equal(unpack_limit(16 << 20), 64 << 20);
    assert_int_equal(unpack_limit(100 << 20), 400 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_round_trips), cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_bombs),       cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
