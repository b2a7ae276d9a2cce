#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/encoding/int_array.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/zstd_codec.h"

#define ITEMS_MAX 16384

static int64_t items[ITEMS_MAX], back[ITEMS_MAX];

static bool is_compressed(uint8_t type)
{
    return type == INT_ARRAY_ZSTD_NEAREST_DELTA || type == INT_ARRAY_ZSTD_NEAREST_DELTA2;
}

/* Format 4.5. */
static void worked_examples(void **state)
{
    (void)state;
    static const struct {
        int64_t items[5];
        size_t n;
        int type;
        const char *data;
        size_t size;
    } table[] = {
        {{425, 425, 425}, 3, 3, "", 0},
        {{1, 2, 3}, 3, 2, "\x02", 1},
        {{150, 225, -300}, 3, 6, "\x96\x01\x99\x08", 4},
        {{10, 20, 35, 55, 80}, 5, 5, "\x14\x0a\x0a\x0a", 4},
        {{1, 12345678, 0}, 3, 5, "\x9a\x85\xe3\x0b\xb5\x8a\xc6\x17", 8},
        {{0, 1000000000000000000}, 2, 2, "\x80\x80\xa0\xf6\xf4\xac\xdb\xe0\x1b", 9},
        {{100, 250, 3, 90, 200}, 5, 5, "\xac\x02\x99\x06\x9c\x05\x2e", 7},
        {{1, INT64_MAX - 1}, 2, 2, "\xfa\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
        {{2050, 2100, 2075}, 3, 6, "\x64\x31", 2},
        {{7}, 1, 3, "", 0},
    };
    struct buffer data = {0};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t type;
        int64_t first;
        buffer_clear(&data);
        int_array_encode(&data, table[i].items, table[i].n, &type, &first);
        assert_int_equal(type, table[i].type);
        assert_int_equal(first, table[i].items[0]);
        assert_int_equal(data.len, table[i].size);
        assert_memory_equal(data.data ? data.data : (uint8_t *)"", table[i].data, data.len);
    }
    buffer_release(&data);
}

static size_t read_hex(const char *hex, uint8_t *dst)
{
    size_t n = 0;
    unsigned byte;
    if (*hex != '-')
        for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
            dst[n++] = (uint8_t)byte;
    return n;
}

static void equals_vmwrite(void **state)
{
    (void)state;
    FILE *f = fopen(TABLE_DIR "/int_array_table.txt", "r");
    assert_non_null(f);
    static char hex[ITEMS_MAX];
    static uint8_t want[ITEMS_MAX];
    struct buffer data = {0}, raw = {0};
    struct error err;
    int want_type, lines = 0;
    int64_t want_first;
    size_t n;
    while (fscanf(f, "%d %" SCNd64 " %16383s %zu", &want_type, &want_first, hex, &n) == 4) {
        for (size_t i = 0; i < n; i++)
            assert_int_equal(fscanf(f, "%" SCNd64, &items[i]), 1);
        uint8_t type;
        int64_t first;
        buffer_clear(&data);
        int_array_encode(&data, items, n, &type, &first);
        assert_int_equal(type, want_type);
        assert_int_equal(first, want_first);
        buffer_clear(&raw);
        if (is_compressed(type))
            assert_int_equal(zstd_decompress(&raw, data.data, data.len, ITEMS_MAX, &err), 0);
        else
            buffer_append(&raw, data.data, data.len);
        assert_int_equal(raw.len, read_hex(hex, want));
        if (raw.len)
            assert_memory_equal(raw.data, want, raw.len);
        lines++;
    }
    fclose(f);
    buffer_release(&data);
    buffer_release(&raw);
    assert_true(lines > 200);
}

static size_t raw_bytes(struct buffer *raw, const struct buffer *data, uint8_t type)
{
    buffer_clear(raw);
    if (is_compressed(type))
        assert_int_equal(zstd_decompress(raw, data->data, data->len, ITEMS_MAX * 10, NULL), 0);
    else
        buffer_append(raw, data->data, data->len);
    return raw->len;
}

/* Series as machines have them, many blocks of each: the same types and bytes, at most 0.5% larger in all. */
static void less_effort_gives_the_same_bytes(void **state)
{
    (void)state;
    enum { KINDS = 7, BLOCKS = 200 };
    struct buffer data = {0}, light = {0}, raw = {0}, light_raw = {0};
    srand(8);
    for (int kind = 0; kind < KINDS; kind++) {
        struct int_array_effort effort = {0};
        size_t bytes = 0, light_bytes = 0;
        for (int block = 0; block < BLOCKS; block++) {
            size_t n = 300 + (size_t)rand() % 1500;
            int64_t v = rand() % 100000;
            for (size_t i = 0; i < n; i++) {
                v = kind == 0   ? v + rand() % 5000
                    : kind == 1 ? v + rand() % 41 - 20
                    : kind == 2 ? rand() % 1000
                    : kind == 3 ? rand() % 32 ? v : rand() % 100
                    : kind == 4 ? (int64_t)(1000 + i % 60 * 7 + (size_t)rand() % 2)
                    : kind == 5 ? rand() % (100 + 5 * block)    /* less and less worth compressing */
                                : rand() % (300 + rand() % 80); /* just about worth it, or just not */
                items[i] = v;
            }
            uint8_t type, light_type;
            int64_t first, light_first;
            buffer_clear(&data);
            buffer_clear(&light);
            int_array_encode(&data, items, n, &type, &first);
            int_array_encode_lightly(&light, items, n, &effort, &light_type, &light_first);
            if (type != light_type)
                fail_msg("kind %d, block %d: type %u, expected %u", kind, block, light_type, type);
            assert_int_equal(first, light_first);
            assert_int_equal(raw_bytes(&raw, &data, type), raw_bytes(&light_raw, &light, light_type));
            assert_memory_equal(raw.data, light_raw.data, raw.len);
            bytes += data.len;
            light_bytes += light.len;
        }
        if ((double)light_bytes > 1.005 * (double)bytes)
            fail_msg("kind %d: %zu bytes, expected about %zu", kind, light_bytes, bytes);
    }
    buffer_release(&data);
    buffer_release(&light);
    buffer_release(&raw);
    buffer_release(&light_raw);
}

static int64_t random64(void)
{
    return (int64_t)((uint64_t)(uint32_t)rand() << 42 ^ (uint64_t)(uint32_t)rand() << 21 ^ (uint32_t)rand());
}

static void fill(size_t n, int kind)
{
    int64_t v = kind & 1 ? random64() : rand() % 1000, step = random64() >> (rand() % 64);
    for (size_t i = 0; i < n; i++) {
        switch (kind / 2) {
        case 0: /* const, then delta const */
            v = (int64_t)((uint64_t)v + (uint64_t)(kind & 1 ? step : 0));
            break;
        case 1: /* gauge */
            v = random64() >> (rand() % 64);
            break;
        case 2: /* counter with resets */
            v = rand() % 100 ? (int64_t)((uint64_t)v + (uint64_t)(rand() % 1000)) : 0;
            break;
        case 3: /* noise that doesn't compress */
            v = random64();
            break;
        case 4: /* specials */
            v = rand() % 2 ? INT64_MAX - rand() % 2 : INT64_MIN + rand() % 2;
            break;
        default: /* few values */
            v = rand() % 3;
        }
        items[i] = v;
    }
}

static void random_arrays_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 10, 64, 65, 300, 1025, 8192, 16384};
    struct buffer data = {0};
    struct error err;
    unsigned seen = 0;
    srand(1);
    for (int turn = 0; turn < 400; turn++) {
        size_t n = sizes[rand() % 10];
        fill(n, turn % 12);
        buffer_clear(&data);
        buffer_append_str(&data, "before");
        uint8_t type;
        int64_t first;
        int_array_encode(&data, items, n, &type, &first);
        seen |= 1u << type;
        assert_memory_equal(data.data, "before", 6);
        assert_int_equal(int_array_decode(back, n, type, first, data.data + 6, data.len - 6, &err), 0);
        assert_memory_equal(back, items, n * sizeof *items);
        /* Neither more items nor fewer are in the data. */
        if (type != INT_ARRAY_CONST && type != INT_ARRAY_DELTA_CONST) {
            assert_int_equal(int_array_decode(back, n - 1, type, first, data.data + 6, data.len - 6, &err),
                             ERR_CORRUPT);
            if (n < ITEMS_MAX)
                assert_int_equal(
                    int_array_decode(back, n + 1, type, first, data.data + 6, data.len - 6, &err),
                    ERR_CORRUPT);
        }
    }
    assert_int_equal(seen, 0x7e); /* types 1 to 6 */
    buffer_release(&data);
}

static void rejects(size_t n, uint8_t type, const char *data, size_t size)
{
    struct error err = {0};
    /* On the heap, so that ASan sees a read past the end. */
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    assert_int_equal(int_array_decode(back, n, type, 1, copy, size, &err), ERR_CORRUPT);
    assert_true(strlen(err.message) > 0);
    free(copy);
}

static void distrusts_its_input(void **state)
{
    (void)state;
    rejects(3, 0, "", 0);
    rejects(3, 7, "", 0);
    rejects(3, INT_ARRAY_CONST, "\x02", 1);
    rejects(3, INT_ARRAY_DELTA_CONST, "", 0);
    rejects(3, INT_ARRAY_DELTA_CONST, "\x02\x02", 2);
    rejects(3, INT_ARRAY_DELTA_CONST, "\x82", 1);
    rejects(3, INT_ARRAY_NEAREST_DELTA, "\x02", 1);
    rejects(3, INT_ARRAY_NEAREST_DELTA, "\x02\x02\x02", 3);
    rejects(3, INT_ARRAY_NEAREST_DELTA2, "\x02\x82", 2);
    rejects(1, INT_ARRAY_NEAREST_DELTA2, "", 0);
    rejects(3, INT_ARRAY_ZSTD_NEAREST_DELTA, "", 0);
    rejects(3, INT_ARRAY_ZSTD_NEAREST_DELTA2, "junk", 4);
    struct buffer bomb = {0};
    static uint8_t zeros[1 << 20];
    zstd_compress(&bomb, zeros, sizeof zeros, 1);
    rejects(3, INT_ARRAY_ZSTD_NEAREST_DELTA, (const char *)bomb.data, bomb.len);
    buffer_release(&bomb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(less_effort_gives_the_same_bytes),
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(equals_vmwrite),
        cmocka_unit_test(random_arrays_round_trip),
        cmocka_unit_test(distrusts_its_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
