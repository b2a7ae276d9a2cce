#include "storage/mergeset/item_block.h"

#include <stdlib.h>

#include "src/base/endian.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/zstd_codec.h"

/* Below this many bytes a block stays plain: compressing costs more than it saves. */
#define PLAIN_BYTES_MAX 64

void item_block_codec_release(struct item_block_codec *codec)
{
    buffer_release(&codec->items);
    buffer_release(&codec->lens);
    buffer_release(&codec->more_lens);
    free(codec->numbers);
    *codec = (struct item_block_codec){0};
}

int item_compress_level(uint64_t items_count)
{
    static const struct {
        uint64_t items_max;
        int level;
    } steps[] = {
        {UINT64_C(1) << 16, -5}, {UINT64_C(1) << 17, -4}, {UINT64_C(1) << 18, -3}, {UINT64_C(1) << 19, -2},
        {UINT64_C(1) << 20, -1}, {UINT64_C(1) << 22, 1},  {UINT64_C(1) << 25, 2},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (items_count <= steps[i].items_max)
            return steps[i].level;
    return 3;
}

static size_t common_prefix_len(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t difference = get_be64(a + i) ^ get_be64(b + i);
        if (difference)
            return i + (size_t)__builtin_clzll(difference) / 8;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* --- encoding --- */

static void encode_plain(const struct items *items, size_t prefix, struct buffer *items_data,
                         struct buffer *lens_data)
{
    buffer_clear(items_data);
    buffer_clear(lens_data);
    for (size_t i = 1; i < items->count; i++) {
        struct item item = items_get(items, i);
        buffer_append(items_data, item.data + prefix, item.len - prefix);
        put_be64(buffer_reserve(lens_data, 8), item.len - prefix);
        lens_data->len += 8;
    }
}

static void encode_zstd(struct item_block_codec *codec, const struct items *items, size_t prefix, int level,
                        struct buffer *items_data, struct buffer *lens_data)
{
    buffer_clear(&codec->items);
    buffer_clear(&codec->lens);
    buffer_clear(&codec->more_lens);
    struct item before = items_get(items, 0);
    size_t shared_before = 0;
    for (size_t i = 1; i < items->count; i++) {
        struct item item = items_get(items, i);
        size_t shared = common_prefix_len(before.data + prefix, before.len - prefix, item.data + prefix,
                                          item.len - prefix);
        buffer_append(&codec->items, item.data + prefix + shared, item.len - prefix - shared);
        buffer_append_varint(&codec->lens, shared ^ shared_before);
        buffer_append_varint(&codec->more_lens, (item.len - prefix) ^ (before.len - prefix));
        shared_before = shared;
        before = item;
    }
    buffer_append(&codec->lens, codec->more_lens.data, codec->more_lens.len);
    zstd_compress(items_data, codec->items.data, codec->items.len, level);
    zstd_compress(lens_data, codec->lens.data, codec->lens.len, level);
}

void item_block_encode(struct item_block_codec *codec, const struct items *items, int level,
                       struct buffer *items_data, struct buffer *lens_data,
                       struct item_block_header *ret_header)
{
    size_t n = items->count;
    struct item first = items_get(items, 0);
    struct item last = items_get(items, n - 1);
    size_t prefix = n > 1 ? common_prefix_len(first.data, first.len, last.data, last.len) : 0;
    size_t rests = 0;
    for (size_t i = 0; i < n; i++)
        rests += items->refs[i].len - prefix;

    bool plain = rests < PLAIN_BYTES_MAX || n < 2;
    buffer_clear(items_data);
    buffer_clear(lens_data);
    if (!plain) {
        encode_zstd(codec, items, prefix, level, items_data, lens_data);
        plain = (double)items_data->len > 0.9 * (double)rests;
    }
    if (plain)
        encode_plain(items, prefix, items_data, lens_data);
    *ret_header = (struct item_block_header){
        .common_prefix = {first.data, prefix},
        .first_item = first,
        .marshal_type = plain ? ITEM_MARSHAL_PLAIN : ITEM_MARSHAL_ZSTD,
        .items_count = (uint32_t)n,
        .items_size = (uint32_t)items_data->len,
        .lens_size = (uint32_t)lens_data->len,
    };
}

/* --- decoding --- */

static int bad_item_length(struct error *reterr, size_t i)
{
    return error_set(reterr, ERR_CORRUPT, "item block: impossible length of item %zu", i);
}

/* Reserves the arena for all items, so that views stay valid while it fills. */
static int reserve_items(struct items *dst, const struct item_block_header *header, const uint32_t *lens,
                         struct error *reterr)
{
    size_t prefix = header->common_prefix.len;
    size_t total = header->first_item.len;
    for (size_t i = 1; i < header->items_count; i++) {
        size_t len = prefix + lens[i];
        total += len;
        if (len > ITEM_BYTES_MAX || total > ITEM_BLOCK_DECODED_MAX)
            return bad_item_length(reterr, i);
    }
    (void)buffer_reserve(&dst->bytes, total);
    items_add(dst, header->first_item.data, header->first_item.len);
    return 0;
}

/* The item is common prefix, shared bytes of the item before, then suffix. Refuses one that is smaller than
 * the item before. */
static int append_item(struct items *dst, const struct item_block_header *header, size_t shared,
                       const uint8_t *suffix, size_t suffix_len, struct error *reterr)
{
    size_t prefix = header->common_prefix.len;
    struct item before = items_get(dst, dst->count - 1);
    size_t len = prefix + shared + suffix_len;
    uint8_t *p = items_reserve(dst, len);
    if (prefix + shared) /* the item before starts with the common prefix, too */
        memcpy(p, before.data, prefix + shared);
    if (suffix_len)
        memcpy(p + prefix + shared, suffix, suffix_len);
    struct item before_rest = {before.data + prefix + shared, before.len - prefix - shared};
    if (item_compare(before_rest, (struct item){suffix, suffix_len}) > 0)
        return error_set(reterr, ERR_CORRUPT, "item block: item %zu is smaller than the one before",
                         dst->count);
    items_commit(dst, len);
    return 0;
}

static int decode_plain(struct item_block_codec *codec, struct items *dst,
                        const struct item_block_header *header, const uint8_t *items_data,
                        const uint8_t *lens_data, struct error *reterr)
{
    size_t n = header->items_count;
    if (header->lens_size != 8 * (n - 1))
        return error_set(reterr, ERR_CORRUPT, "item block: %u bytes of lengths for %zu items",
                         header->lens_size, n);
    uint32_t *lens = codec->numbers;
    for (size_t i = 1; i < n; i++) {
        uint64_t len = get_be64(lens_data + 8 * (i - 1));
        if (len > ITEM_BYTES_MAX)
            return bad_item_length(reterr, i);
        lens[i] = (uint32_t)len;
    }
    int r = reserve_items(dst, header, lens, reterr);
    size_t pos = 0;
    for (size_t i = 1; i < n && r == 0; i++) {
        if (lens[i] > header->items_size - pos)
            return bad_item_length(reterr, i);
        r = append_item(dst, header, 0, items_data + pos, lens[i], reterr);
        pos += lens[i];
    }
    if (r == 0 && pos != header->items_size)
        return error_set(reterr, ERR_CORRUPT, "item block: %zu bytes too many", header->items_size - pos);
    return r;
}

/* n - 1 numbers, each the XOR of a varint and the number before; numbers[0] is given. */
static const uint8_t *get_xor_chain(uint32_t *numbers, size_t n, const uint8_t *p, const uint8_t *end)
{
    for (size_t i = 1; i < n && p; i++) {
        uint64_t difference;
        p = varint_get_unsigned(p, end, &difference);
        if (!p || difference > UINT32_MAX)
            return NULL;
        numbers[i] = (uint32_t)difference ^ numbers[i - 1];
        if (numbers[i] > ITEM_BYTES_MAX)
            return NULL;
    }
    return p;
}

static int decode_zstd(struct item_block_codec *codec, struct items *dst,
                       const struct item_block_header *header, const uint8_t *items_data,
                       const uint8_t *lens_data, struct error *reterr)
{
    size_t n = header->items_count;
    buffer_clear(&codec->lens);
    buffer_clear(&codec->items);
    (void)buffer_reserve(&codec->lens, 1); /* there, even for empty frames */
    (void)buffer_reserve(&codec->items, 1);
    int r = zstd_decompress(&codec->lens, lens_data, header->lens_size, 2 * n * VARINT_MAX_BYTES, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "lengths of an item block");
    r = zstd_decompress(&codec->items, items_data, header->items_size, ITEM_BLOCK_DECODED_MAX, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "items of an item block");

    uint32_t *shared = codec->numbers, *lens = codec->numbers + n;
    shared[0] = 0;
    lens[0] = (uint32_t)(header->first_item.len - header->common_prefix.len);
    const uint8_t *end = codec->lens.data + codec->lens.len;
    const uint8_t *p = get_xor_chain(shared, n, codec->lens.data, end);
    if (p)
        p = get_xor_chain(lens, n, p, end);
    if (!p || p != end)
        return error_set(reterr, ERR_CORRUPT, "item block: lengths of %zu items don't fill their data", n);
    r = reserve_items(dst, header, lens, reterr);
    size_t pos = 0;
    for (size_t i = 1; i < n && r == 0; i++) {
        if (shared[i] > lens[i] || shared[i] > lens[i - 1])
            return bad_item_length(reterr, i);
        size_t suffix = lens[i] - shared[i];
        if (suffix > codec->items.len - pos)
            return bad_item_length(reterr, i);
        r = append_item(dst, header, shared[i], codec->items.data + pos, suffix, reterr);
        pos += suffix;
    }
    if (r == 0 && pos != codec->items.len)
        return error_set(reterr, ERR_CORRUPT, "item block: %zu bytes too many", codec->items.len - pos);
    return r;
}

static int check_header(const struct item_block_header *header, struct error *reterr)
{
    struct item prefix = header->common_prefix, first = header->first_item;
    if (header->items_count == 0 || header->items_count > ITEM_BLOCK_COUNT_MAX)
        return error_set(reterr, ERR_CORRUPT, "item block header: %u items", header->items_count);
    if (header->marshal_type > ITEM_MARSHAL_ZSTD)
        return error_set(reterr, ERR_CORRUPT, "item block header: marshal type %u", header->marshal_type);
    if (header->items_size > ITEM_BLOCK_ITEMS_SIZE_MAX || header->lens_size > ITEM_BLOCK_LENS_SIZE_MAX)
        return error_set(reterr, ERR_CORRUPT, "item block header: sizes %u and %u", header->items_size,
                         header->lens_size);
    if (first.len > ITEM_BYTES_MAX || prefix.len > first.len ||
        (prefix.len && memcmp(prefix.data, first.data, prefix.len) != 0))
        return error_set(reterr, ERR_CORRUPT, "item block header: the first item hasn't the common prefix");
    if (header->items_count == 1 &&
        (header->marshal_type != ITEM_MARSHAL_PLAIN || header->items_size || header->lens_size))
        return error_set(reterr, ERR_CORRUPT, "item block header: a single item must be plain");
    return 0;
}

int item_block_decode(struct item_block_codec *codec, struct items *dst,
                      const struct item_block_header *header, const uint8_t *items_data,
                      const uint8_t *lens_data, struct error *reterr)
{
    items_clear(dst);
    int r = check_header(header, reterr);
    if (r < 0)
        return r;
    size_t numbers = 2 * (size_t)header->items_count;
    if (numbers > codec->numbers_capacity) {
        codec->numbers = xreallocarray(codec->numbers, numbers, sizeof *codec->numbers);
        codec->numbers_capacity = numbers;
    }
    static const uint8_t nothing; /* an empty file has no address */
    if (!items_data)
        items_data = &nothing;
    if (!lens_data)
        lens_data = &nothing;
    if (header->marshal_type == ITEM_MARSHAL_PLAIN)
        return decode_plain(codec, dst, header, items_data, lens_data, reterr);
    return decode_zstd(codec, dst, header, items_data, lens_data, reterr);
}

/* --- headers --- */

void item_block_header_put(struct buffer *dst, const struct item_block_header *header)
{
    buffer_append_varint(dst, header->common_prefix.len);
    buffer_append(dst, header->common_prefix.data, header->common_prefix.len);
    buffer_append_varint(dst, header->first_item.len);
    buffer_append(dst, header->first_item.data, header->first_item.len);
    uint8_t *p = buffer_reserve(dst, 29);
    p[0] = header->marshal_type;
    put_be32(p + 1, header->items_count);
    put_be64(p + 5, header->items_offset);
    put_be64(p + 13, header->lens_offset);
    put_be32(p + 21, header->items_size);
    put_be32(p + 25, header->lens_size);
    dst->len += 29;
}

int item_block_header_get(struct item_block_header *ret_header, const uint8_t *raw, size_t size, size_t *pos,
                          struct error *reterr)
{
    const uint8_t *p = raw + *pos, *end = raw + size;
    struct item strings[2];
    for (int i = 0; i < 2; i++) {
        uint64_t len;
        p = varint_get_unsigned(p, end, &len);
        if (!p || len > (uint64_t)(end - p))
            return error_set(reterr, ERR_CORRUPT, "item block header: cut short");
        strings[i] = (struct item){p, (size_t)len};
        p += len;
    }
    if (end - p < 29)
        return error_set(reterr, ERR_CORRUPT, "item block header: cut short");
    struct item_block_header header = {
        .common_prefix = strings[0],
        .first_item = strings[1],
        .marshal_type = p[0],
        .items_count = get_be32(p + 1),
        .items_offset = get_be64(p + 5),
        .lens_offset = get_be64(p + 13),
        .items_size = get_be32(p + 21),
        .lens_size = get_be32(p + 25),
    };
    int r = check_header(&header, reterr);
    if (r < 0)
        return r;
    *ret_header = header;
    *pos = (size_t)(p + 29 - raw);
    return 0;
}
