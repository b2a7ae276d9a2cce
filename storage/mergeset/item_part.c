#include "storage/mergeset/item_part.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/mergeset/item_part_internal.h"
#include "storage/part/part_sums.h"

/* Two items of 65,536 bytes in hex, and the rest. */
#define METADATA_BYTES_MAX ((size_t)1 << 20)

static int parse_upper_levels(struct item_part *part, const struct item_part_bytes *bytes,
                              struct error *reterr)
{
    int r =
        item_part_header_parse(&part->ph, (const char *)bytes->metadata.data, bytes->metadata.len, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "%s/%s", part->dir, ITEM_PART_METADATA_FILE);
    r = zstd_decompress(&part->metaindex, bytes->metaindex.data, bytes->metaindex.len,
                        ITEM_METAINDEX_BYTES_MAX, reterr);
    if (r == 0)
        r = item_metaindex_parse(&part->rows, &part->rows_count, part->metaindex.data, part->metaindex.len,
                                 bytes->index.len, reterr);
    if (r == 0 && !item_equal(part->rows[0].first_item, item_part_first_item(part)))
        r = error_set(reterr, ERR_CORRUPT, "the first item isn't that of %s", ITEM_PART_METADATA_FILE);
    if (r == 0 && part->rows_count > part->ph.blocks_count)
        r = error_set(reterr, ERR_CORRUPT, "more rows than %s has blocks", ITEM_PART_METADATA_FILE);
    return r < 0 ? error_prefix(reterr, r, "%s/%s", part->dir, ITEM_PART_METAINDEX_FILE) : 0;
}

int item_part_open_bytes(struct item_part **ret_part, const char *dir, const struct item_part_bytes *bytes,
                         struct error *reterr)
{
    struct item_part *part = xcalloc(1, sizeof *part);
    item_block_cache_init(&part->index_blocks);
    item_block_cache_init(&part->blocks);
    part->dir = xstrdup(dir);
    part->index = bytes->index;
    part->items = bytes->items;
    part->lens = bytes->lens;
    part->size = (uint64_t)bytes->metaindex.len + bytes->index.len + bytes->items.len + bytes->lens.len;
    int r = parse_upper_levels(part, bytes, reterr);
    if (r < 0) {
        item_part_free(part);
        return r;
    }
    *ret_part = part;
    return 0;
}

static int map_file(struct fs_map *ret_map, struct item *ret_bytes, const char *dir, const char *name,
                    struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    int r = fs_map_file(ret_map, path, reterr);
    if (r == 0)
        *ret_bytes = (struct item){ret_map->data, ret_map->size};
    return r;
}

int item_part_open(struct item_part **ret_part, const char *dir, struct error *reterr)
{
    struct fs_map metadata_map = {0}, metaindex_map = {0}, index_map = {0}, items_map = {0}, lens_map = {0};
    struct item_part_bytes bytes = {0};
    int r = map_file(&metadata_map, &bytes.metadata, dir, ITEM_PART_METADATA_FILE, reterr);
    if (r == 0 && bytes.metadata.len > METADATA_BYTES_MAX)
        r = error_set(reterr, ERR_CORRUPT, "%s/%s: too large", dir, ITEM_PART_METADATA_FILE);
    if (r == 0)
        r = map_file(&metaindex_map, &bytes.metaindex, dir, ITEM_PART_METAINDEX_FILE, reterr);
    if (r == 0)
        r = map_file(&index_map, &bytes.index, dir, ITEM_PART_INDEX_FILE, reterr);
    if (r == 0)
        r = map_file(&items_map, &bytes.items, dir, ITEM_PART_ITEMS_FILE, reterr);
    if (r == 0)
        r = map_file(&lens_map, &bytes.lens, dir, ITEM_PART_LENS_FILE, reterr);
    if (r == 0)
        r = part_sums_check_at_open(dir, reterr);
    struct item_part *part = NULL;
    if (r == 0)
        r = item_part_open_bytes(&part, dir, &bytes, reterr);
    fs_map_release(&metadata_map);
    fs_map_release(&metaindex_map);
    if (r < 0) {
        fs_map_release(&index_map);
        fs_map_release(&items_map);
        fs_map_release(&lens_map);
        return r;
    }
    part->index_map = index_map;
    part->items_map = items_map;
    part->lens_map = lens_map;
    *ret_part = part;
    return 0;
}

void item_part_free(struct item_part *part)
{
    if (!part)
        return;
    item_block_cache_release(&part->blocks);
    item_block_cache_release(&part->index_blocks);
    fs_map_release(&part->index_map);
    fs_map_release(&part->items_map);
    fs_map_release(&part->lens_map);
    item_part_header_release(&part->ph);
    buffer_release(&part->metaindex);
    free(part->rows);
    free(part->dir);
    free(part);
}

const char *item_part_dir(const struct item_part *part)
{
    return part->dir;
}

uint64_t item_part_size(const struct item_part *part)
{
    return part->size;
}

uint64_t item_part_items_count(const struct item_part *part)
{
    return part->ph.items_count;
}

uint64_t item_part_blocks_count(const struct item_part *part)
{
    return part->ph.blocks_count;
}

struct item item_part_first_item(const struct item_part *part)
{
    return (struct item){part->ph.first_item.data, part->ph.first_item.len};
}

struct item item_part_last_item(const struct item_part *part)
{
    return (struct item){part->ph.last_item.data, part->ph.last_item.len};
}

/* --- levels --- */

size_t item_part_seek_row(const struct item_part *part, struct item key)
{
    size_t low = 0, high = part->rows_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (item_compare(part->rows[middle].first_item, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : 0;
}

size_t item_part_seek_header(const struct item_cached_block *index_block, struct item key)
{
    size_t low = 0, high = index_block->headers_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (item_compare(index_block->headers[middle].first_item, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : 0;
}

int item_part_read_index_block(const struct item_part *part, size_t row_number, struct buffer *raw,
                               struct item_block_header **ret_headers, struct error *reterr)
{
    const struct item_metaindex_row *row = &part->rows[row_number];
    buffer_clear(raw);
    int r =
        zstd_decompress(raw, part->index.data + row->offset, row->size, ITEM_INDEX_BLOCK_SIZE_MAX, reterr);
    if (r == 0)
        r = item_index_block_parse(ret_headers, row, raw->data, raw->len, part->items.len, part->lens.len,
                                   reterr);
    return r < 0 ? error_prefix(reterr, r, "%s/%s at %llu", part->dir, ITEM_PART_INDEX_FILE,
                                (unsigned long long)row->offset)
                 : 0;
}

int item_part_read_block(const struct item_part *part, const struct item_block_header *header,
                         struct item_block_codec *codec, struct items *dst, struct error *reterr)
{
    /* Offsets of empty data may equal the file's size, and the file may be empty. */
    const uint8_t *items_data = part->items.data ? part->items.data + header->items_offset : NULL;
    const uint8_t *lens_data = part->lens.data ? part->lens.data + header->lens_offset : NULL;
    int r = item_block_decode(codec, dst, header, items_data, lens_data, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s/%s at %llu (%s at %llu)", part->dir, ITEM_PART_ITEMS_FILE,
                                (unsigned long long)header->items_offset, ITEM_PART_LENS_FILE,
                                (unsigned long long)header->lens_offset)
                 : 0;
}

int item_part_index_block(struct item_part *part, size_t row, struct item_cached_block **ret_block,
                          struct error *reterr)
{
    struct item_cached_block *block = item_block_cache_get(&part->index_blocks, row);
    if (!block) {
        block = item_cached_block_new(row);
        int r = item_part_read_index_block(part, row, &block->raw, &block->headers, reterr);
        if (r < 0) {
            (void)item_cached_block_unref(block);
            return r;
        }
        block->headers_count = part->rows[row].headers_count;
        item_block_cache_put(&part->index_blocks, block);
    }
    *ret_block = block;
    return 0;
}

int item_part_block(struct item_part *part, const struct item_block_header *header,
                    struct item_cached_block **ret_block, struct error *reterr)
{
    /* Single-item blocks have no bytes in either file, so an offset alone may belong to several. Those are
     * not worth caching: the header holds them. */
    bool cached = header->items_count > 1;
    struct item_cached_block *block =
        cached ? item_block_cache_get(&part->blocks, header->lens_offset) : NULL;
    if (!block) {
        block = item_cached_block_new(header->lens_offset);
        struct item_block_codec codec = {0};
        int r = item_part_read_block(part, header, &codec, &block->items, reterr);
        item_block_codec_release(&codec);
        if (r < 0) {
            (void)item_cached_block_unref(block);
            return r;
        }
        if (cached)
            item_block_cache_put(&part->blocks, block);
    }
    *ret_block = block;
    return 0;
}

int item_part_last_before(struct item_part *part, struct item key, struct buffer *ret_item,
                          struct error *reterr)
{
    if (item_compare(item_part_first_item(part), key) >= 0)
        return 0;
    struct item_cached_block *index_block = NULL, *block = NULL;
    int r = item_part_index_block(part, item_part_seek_row(part, key), &index_block, reterr);
    if (r == 0)
        r = item_part_block(part, &index_block->headers[item_part_seek_header(index_block, key)], &block,
                            reterr);
    if (r == 0) { /* its first item is < key: there is one */
        struct item item = items_get(&block->items, items_lower_bound(&block->items, key) - 1);
        buffer_clear(ret_item);
        buffer_append(ret_item, item.data, item.len);
        r = 1;
    }
    (void)item_cached_block_unref(block);
    (void)item_cached_block_unref(index_block);
    return r;
}
