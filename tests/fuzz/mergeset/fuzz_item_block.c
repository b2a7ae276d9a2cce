/* Decodes one block of items. With bit 1 of the first byte set, the data is compressed first, so that changes
 * reach what lies behind zstd. What decodes must be sorted, and come back from encoding. u8 flags (0: zstd,
 * 1: compress), u8 prefix length, u16 first item's length, u16 items count, u16 items data's length, first
 * item, items data, lens data */
#include "storage/encoding/zstd_codec.h"
#include "storage/mergeset/item_block.h"
#include "tests/fuzz/mergeset/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_encodes(struct item_block_codec *codec, const struct items *items)
{
    struct buffer items_data = {0}, lens_data = {0};
    struct items again = {0};
    struct item_block_header header;
    item_block_encode(codec, items, -5, &items_data, &lens_data, &header);
    if (item_block_decode(codec, &again, &header, items_data.data, lens_data.data, NULL) < 0 ||
        again.count != items->count)
        abort();
    for (size_t i = 0; i < again.count; i++)
        if (!item_equal(items_get(&again, i), items_get(items, i)))
            abort();
    buffer_release(&items_data);
    buffer_release(&lens_data);
    items_release(&again);
}

static void compress(struct item *bytes)
{
    struct buffer frame = {0};
    zstd_compress(&frame, bytes->data, bytes->len, 1);
    free((void *)bytes->data);
    *bytes = (struct item){frame.data, frame.len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    uint32_t flags = fuzz_number(&in, 1), prefix_len = fuzz_number(&in, 1), first_len = fuzz_number(&in, 2);
    uint32_t count = fuzz_number(&in, 2), items_len = fuzz_number(&in, 2);
    struct item first = fuzz_bytes(&in, first_len), items_data = fuzz_bytes(&in, items_len);
    struct item lens_data = fuzz_bytes(&in, SIZE_MAX);
    if (flags & 2) {
        compress(&items_data);
        compress(&lens_data);
    }
    struct item_block_header header = {
        .common_prefix = {first.data, prefix_len < first.len ? prefix_len : first.len},
        .first_item = first,
        .marshal_type = flags & 1,
        .items_count = count,
        .items_size = (uint32_t)items_data.len,
        .lens_size = (uint32_t)lens_data.len,
    };
    struct item_block_codec codec = {0};
    struct items decoded = {0};
    if (item_block_decode(&codec, &decoded, &header, items_data.data, lens_data.data, NULL) == 0) {
        if (decoded.count != count || !items_is_sorted(&decoded))
            abort();
        check_encodes(&codec, &decoded);
    }
    /* And the header's own bytes. */
    struct buffer raw = {0};
    struct item_block_header again;
    size_t pos = 0;
    item_block_header_put(&raw, &header);
    (void)item_block_header_get(&again, raw.data, raw.len, &pos, NULL);
    pos = 0;
    while (item_block_header_get(&again, data, size, &pos, NULL) == 0)
        ;
    buffer_release(&raw);
    items_release(&decoded);
    item_block_codec_release(&codec);
    free((void *)first.data);
    free((void *)items_data.data);
    free((void *)lens_data.data);
    return 0;
}
