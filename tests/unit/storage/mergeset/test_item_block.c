#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/mergeset/item_block.h"
#include "storage/mergeset/item_metaindex.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

static void add_hex(struct items *dst, const char *hex)
{
    uint8_t *p = items_reserve(dst, strlen(hex));
    size_t len = 0;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        p[len++] = (uint8_t)byte;
        hex++;
    }
    items_commit(dst, len);
}

static void assert_hex(const uint8_t *data, size_t len, const char *hex)
{
    struct items expected = {0};
    add_hex(&expected, hex);
    assert_int_equal(len, expected.bytes.len);
    assert_memory_equal(data, expected.bytes.data, len);
    items_release(&expected);
}

#define TSID "ba2e567083a2b2e8 83041123 a1ba3fb2 18eae66d5ba96e9e"
#define ID   "18eae66d5ba96e9e"
#define DATE "0000000000005102"
#define NAME "6d01 6a6f62017801 696e7374616e6365017901"

/* Format 7.2: what VictoriaMetrics 1.79.5 writes for m{job="x",instance="y"}. */
static void test_worked_example(void **state)
{
    (void)state;
    struct items items = {0};
    static const char *const rows[] = {
        "00" NAME "02" TSID,
        "01 01 6d01" ID,
        "01 696e7374616e6365017901" ID,
        "01 6a6f62017801" ID,
        "01 fe00316d696e7374616e6365017901" ID,
        "01 fe00316d6a6f62017801" ID,
        "02" ID TSID,
        "03" ID NAME,
        "05" DATE ID,
        "06" DATE "01 6d01" ID,
        "06" DATE "696e7374616e6365017901" ID,
        "06" DATE "6a6f62017801" ID,
        "06" DATE "fe00316d696e7374616e6365017901" ID,
        "06" DATE "fe00316d6a6f62017801" ID,
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add_hex(&items, rows[i]);
    assert_int_equal(items.count, 14);
    assert_true(items_is_sorted(&items));
    assert_int_equal(items_get(&items, 0).len, 45);

    struct item_block_codec codec = {0};
    struct buffer items_data = {0}, lens_data = {0}, raw = {0};
    struct item_block_header header;
    item_block_encode(&codec, &items, item_compress_level(14), &items_data, &lens_data, &header);
    assert_int_equal(header.marshal_type, ITEM_MARSHAL_ZSTD);
    assert_int_equal(header.items_size, 0x8b); /* as long as libzstd's level -5 stays what it is */
    assert_int_equal(header.lens_size, 0x23);
    struct error err;
    assert_int_equal(zstd_decompress(&raw, lens_data.data, lens_data.len, 1000, &err), 0);
    assert_hex(raw.data, raw.len,
               "00 01 00 00 04 05 00 00 00 09 00 00 04 21 18 1b 17 0b 32 3d 0d 05 08 0b 37 3b");

    buffer_clear(&raw);
    item_block_header_put(&raw, &header);
    assert_hex(raw.data, raw.len,
               "00 2d 00" NAME "02" TSID "01 0000000e 0000000000000000 0000000000000000 0000008b 00000023");
    size_t pos = 0;
    struct item_block_header again;
    assert_int_equal(item_block_header_get(&again, raw.data, raw.len, &pos, &err), 0);
    assert_int_equal(pos, raw.len);

    buffer_clear(&raw);
    item_metaindex_row_put(&raw, &(struct item_metaindex_row){header.first_item, 1, 0, 0x4b});
    assert_hex(raw.data, raw.len, "2d 00" NAME "02" TSID "00000001 0000000000000000 0000004b");

    struct items decoded = {0};
    assert_int_equal(item_block_decode(&codec, &decoded, &header, items_data.data, lens_data.data, &err), 0);
    assert_same_items(&decoded, &items);
    items_release(&decoded);
    items_release(&items);
    item_block_codec_release(&codec);
    buffer_release(&items_data);
    buffer_release(&lens_data);
    buffer_release(&raw);
}

/* Sorted items of at most a block's size; compressible or not. */
static void random_block(struct random *random, struct items *dst)
{
    size_t count = 1 + random_below(random, random_below(random, 4) == 0 ? 800 : 20);
    if (random_below(random, 3) == 0) {
        for (size_t i = 0; i < count; i++) { /* noise, behind a common prefix */
            uint8_t *p = items_reserve(dst, 24);
            memset(p, 7, 8);
            for (size_t k = 8; k < 24; k++)
                p[k] = (uint8_t)random_next(random);
            items_commit(dst, 24);
        }
    } else {
        random_items(random, dst, count, 70);
    }
    model_sort(dst);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct random random = {3};
    struct item_block_codec codec = {0};
    struct buffer items_data = {0}, lens_data = {0};
    struct items decoded = {0};
    struct error err;
    int plain = 0, compressed = 0;
    for (int round = 0; round < 400; round++) {
        struct items items = {0};
        random_block(&random, &items);
        struct item_block_header header;
        item_block_encode(&codec, &items, round % 2 ? -5 : 3, &items_data, &lens_data, &header);
        assert_int_equal(header.items_count, items.count);
        assert_int_equal(header.items_size, items_data.len);
        *(header.marshal_type == ITEM_MARSHAL_PLAIN ? &plain : &compressed) += 1;
        if (items.count == 1)
            assert_int_equal(header.marshal_type, ITEM_MARSHAL_PLAIN);
        if (item_block_decode(&codec, &decoded, &header, items_data.data, lens_data.data, &err) < 0)
            fail_msg("%s", err.message);
        assert_same_items(&decoded, &items);
        items_release(&items);
    }
    assert_true(plain > 20 && compressed > 20);
    items_release(&decoded);
    item_block_codec_release(&codec);
    buffer_release(&items_data);
    buffer_release(&lens_data);
}

/* The old release gives a single item its whole self as common prefix. */
static void test_single_item_of_the_old_release(void **state)
{
    (void)state;
    struct item_block_header header = {.common_prefix = {(const uint8_t *)"item", 4},
                                       .first_item = {(const uint8_t *)"item", 4},
                                       .items_count = 1};
    struct item_block_codec codec = {0};
    struct items decoded = {0};
    struct error err;
    assert_int_equal(item_block_decode(&codec, &decoded, &header, NULL, NULL, &err), 0);
    assert_int_equal(decoded.count, 1);
    assert_memory_equal(items_get(&decoded, 0).data, "item", 4);
    header.marshal_type = ITEM_MARSHAL_ZSTD;
    assert_int_equal(item_block_decode(&codec, &decoded, &header, NULL, NULL, &err), ERR_CORRUPT);
    items_release(&decoded);
    item_block_codec_release(&codec);
}

/* Any byte changed, any length cut: an error or other items, never more than that. Buffers are exact, for
 * ASan. */
static void test_damage(void **state)
{
    (void)state;
    struct random random = {4};
    struct item_block_codec codec = {0};
    struct buffer items_data = {0}, lens_data = {0};
    struct items decoded = {0};
    for (int round = 0; round < 3000; round++) {
        struct items items = {0};
        random_block(&random, &items);
        struct item_block_header header;
        item_block_encode(&codec, &items, -5, &items_data, &lens_data, &header);
        uint8_t *a = xmemdup(items_data.data, items_data.len), *b = xmemdup(lens_data.data, lens_data.len);
        switch (random_below(&random, 4)) {
        case 0:
            if (items_data.len)
                a[random_below(&random, items_data.len)] ^= (uint8_t)(1 + random_below(&random, 255));
            break;
        case 1:
            if (lens_data.len)
                b[random_below(&random, lens_data.len)] ^= (uint8_t)(1 + random_below(&random, 255));
            break;
        case 2:
            header.items_size = (uint32_t)random_below(&random, items_data.len + 1);
            header.lens_size = (uint32_t)random_below(&random, lens_data.len + 1);
            break;
        default:
            header.items_count = (uint32_t)random_below(&random, 2 * items.count);
            header.common_prefix.len = random_below(&random, header.first_item.len + 1);
        }
        struct error err = {.code = 1};
        int r = item_block_decode(&codec, &decoded, &header, a, b, &err);
        if (r == 0)
            assert_true(items_is_sorted(&decoded));
        else
            assert_int_equal(r, ERR_CORRUPT);
        free(a);
        free(b);
        items_release(&items);
    }
    items_release(&decoded);
    item_block_codec_release(&codec);
    buffer_release(&items_data);
    buffer_release(&lens_data);
}

static void test_compress_level(void **state)
{
    (void)state;
    assert_int_equal(item_compress_level(0), -5);
    assert_int_equal(item_compress_level(1 << 16), -5);
    assert_int_equal(item_compress_level((1 << 16) + 1), -4);
    assert_int_equal(item_compress_level(1 << 20), -1);
    assert_int_equal(item_compress_level(1 << 22), 1);
    assert_int_equal(item_compress_level(1 << 25), 2);
    assert_int_equal(item_compress_level((1 << 25) + 1), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_single_item_of_the_old_release),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_compress_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
