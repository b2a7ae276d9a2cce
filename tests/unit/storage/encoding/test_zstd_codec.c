#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "src/base/thread.h"
#include "storage/encoding/zstd_codec.h"

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rand() % 7);
}

static void round_trips_at_every_level(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65536, 300000};
    static uint8_t data[300000];
    fill(data, sizeof data);
    struct buffer packed = {0}, back = {0};
    struct error err;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int level = -5; level <= 5; level++) {
            buffer_clear(&packed);
            buffer_clear(&back);
            buffer_append_str(&back, "kept");
            zstd_compress(&packed, data, sizes[s], level);
            assert_int_equal(zstd_decompress(&back, packed.data, packed.len, sizes[s], &err), 0);
            assert_int_equal(back.len, 4 + sizes[s]);
            assert_memory_equal(back.data, "kept", 4);
            assert_memory_equal(back.data + 4, data, sizes[s]);
        }
    }
    buffer_release(&packed);
    buffer_release(&back);
}

/* Single segment, content size present, no checksum, no dictionary: bits of the frame header descriptor. */
static void frames_look_as_the_format_says(void **state)
{
    (void)state;
    struct buffer packed = {0};
    zstd_compress(&packed, "0123456789", 10, 1);
    assert_memory_equal(packed.data, "\x28\xb5\x2f\xfd\x20\x0a", 6);
    buffer_release(&packed);
}

static void distrusts_its_input(void **state)
{
    (void)state;
    static uint8_t data[5000];
    fill(data, sizeof data);
    struct buffer packed = {0}, back = {0};
    struct error err;
    zstd_compress(&packed, data, sizeof data, 1);
    assert_int_equal(zstd_decompress(&back, packed.data, packed.len, sizeof data - 1, &err), ERR_CORRUPT);
    assert_int_equal(zstd_decompress(&back, "", 0, 100, &err), ERR_CORRUPT);
    for (size_t cut = 0; cut < packed.len; cut++)
        assert_int_equal(zstd_decompress(&back, packed.data, cut, sizeof data, &err), ERR_CORRUPT);
    assert_int_equal(back.len, 0);
    for (size_t i = 0; i < packed.len;
         i++) { /* an error, or other content of the same bound; never a crash */
        packed.data[i] ^= 0x55;
        buffer_clear(&back);
        int r = zstd_decompress(&back, packed.data, packed.len, sizeof data, &err);
        assert_true(r == 0 || r == ERR_CORRUPT);
        assert_true(back.len <= sizeof data);
        packed.data[i] ^= 0x55;
    }
    buffer_append_str(&packed, "tail");
    assert_int_equal(zstd_decompress(&back, packed.data, packed.len, sizeof data, &err), ERR_CORRUPT);
    buffer_release(&packed);
    buffer_release(&back);
}

/* Frames that other programs may write: several in a row; one without its content size, as a stream writes
 * it. */
static void reads_several_frames_and_streamed_ones(void **state)
{
    (void)state;
    struct buffer packed = {0}, back = {0};
    struct error err;
    zstd_compress(&packed, "abc", 3, 1);
    zstd_compress(&packed, "defg", 4, 1);
    assert_int_equal(zstd_decompress(&back, packed.data, packed.len, 7, &err), 0);
    assert_int_equal(back.len, 7);
    assert_memory_equal(back.data, "abcdefg", 7);
    assert_int_equal(zstd_decompress(&back, packed.data, packed.len, 6, &err), ERR_CORRUPT);
    assert_int_equal(back.len, 7);

    static const uint8_t streamed[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x19, 0x00, 0x00, 'x', 'y', 'z'};
    buffer_clear(&back);
    assert_int_equal(zstd_decompress(&back, streamed, sizeof streamed, 3, &err), 0);
    assert_int_equal(back.len, 3);
    assert_memory_equal(back.data, "xyz", 3);
    assert_int_equal(zstd_decompress(&back, streamed, sizeof streamed, 2, &err), ERR_CORRUPT);
    assert_int_equal(zstd_decompress(&back, streamed, sizeof streamed - 1, 3, &err), ERR_CORRUPT);
    buffer_release(&packed);
    buffer_release(&back);
}

static void in_a_thread(void *arg)
{
    (void)arg;
    struct buffer packed = {0};
    struct error err;
    zstd_compress(&packed, "thread", 6, 3);
    const uint8_t *back;
    size_t size;
    assert_int_equal(zstd_decompress_scratch(&back, &size, packed.data, packed.len, 6, &err), 0);
    assert_int_equal(size, 6);
    assert_memory_equal(back, "thread", 6);
    buffer_release(&packed);
}

/* Contexts end with their thread; ASan would tell. */
static void threads_have_their_own(void **state)
{
    (void)state;
    struct thread threads[4] = {0};
    for (int i = 0; i < 4; i++)
        thread_start(&threads[i], "zstd", in_a_thread, NULL);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_at_every_level),
        cmocka_unit_test(frames_look_as_the_format_says),
        cmocka_unit_test(distrusts_its_input),
        cmocka_unit_test(reads_several_frames_and_streamed_ones),
        cmocka_unit_test(threads_have_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
