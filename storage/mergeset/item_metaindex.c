#include "storage/mergeset/item_metaindex.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/endian.h"
#include "storage/encoding/varint.h"

void item_metaindex_row_put(struct buffer *dst, const struct item_metaindex_row *row)
{
    buffer_append_varint(dst, row->first_item.len);
    buffer_append(dst, row->first_item.data, row->first_item.len);
    uint8_t *p = buffer_reserve(dst, 16);
    put_be32(p, row->headers_count);
    put_be64(p + 4, row->offset);
    put_be32(p + 12, row->size);
    dst->len += 16;
}

static int get_row(struct item_metaindex_row *ret_row, const uint8_t *raw, size_t size, size_t *pos,
                   struct error *reterr)
{
    const uint8_t *end = raw + size;
    uint64_t len;
    const uint8_t *p = varint_get_unsigned(raw + *pos, end, &len);
    if (!p || len > (uint64_t)(end - p) || (uint64_t)(end - p) - len < 16)
        return error_set(reterr, ERR_CORRUPT, "metaindex row: cut short");
    struct item_metaindex_row row = {
        .first_item = {p, (size_t)len},
        .headers_count = get_be32(p + len),
        .offset = get_be64(p + len + 4),
        .size = get_be32(p + len + 12),
    };
    if (row.headers_count == 0 || row.size > ITEM_INDEX_BLOCK_SIZE_MAX)
        return error_set(reterr, ERR_CORRUPT, "metaindex row: %u headers in %u bytes", row.headers_count,
                         row.size);
    *ret_row = row;
    *pos = (size_t)(p + len + 16 - raw);
    return 0;
}

int item_metaindex_parse(struct item_metaindex_row **ret_rows, size_t *ret_count, const uint8_t *raw,
                         size_t size, uint64_t index_size, struct error *reterr)
{
    _cleanup_free_ struct item_metaindex_row *rows = NULL;
    size_t count = 0, capacity = 0, pos = 0;
    uint64_t offset = 0;
    while (pos < size) {
        GROW(rows, count, capacity);
        int r = get_row(&rows[count], raw, size, &pos, reterr);
        if (r < 0)
            return r;
        if (rows[count].offset != offset)
            return error_set(reterr, ERR_CORRUPT, "metaindex row: index blocks don't follow each other");
        offset += rows[count].size;
        if (count > 0 && item_compare(rows[count - 1].first_item, rows[count].first_item) > 0)
            return error_set(reterr, ERR_CORRUPT, "metaindex row: out of order");
        count++;
    }
    if (count == 0)
        return error_set(reterr, ERR_CORRUPT, "metaindex: no rows");
    if (offset != index_size)
        return error_set(reterr, ERR_CORRUPT, "metaindex: covers %llu bytes of an index of %llu",
                         (unsigned long long)offset, (unsigned long long)index_size);
    *ret_rows = TAKE(rows);
    *ret_count = count;
    return 0;
}

/* Overflow-safe: is [offset, offset + size) inside a file of file_size bytes? */
static bool inside(uint64_t offset, uint32_t size, uint64_t file_size)
{
    return offset <= file_size && size <= file_size - offset;
}

int item_index_block_parse(struct item_block_header **ret_headers, const struct item_metaindex_row *row,
                           const uint8_t *raw, size_t size, uint64_t items_size, uint64_t lens_size,
                           struct error *reterr)
{
    if (row->headers_count > size) /* each takes 31 bytes and more: don't allocate for a lie */
        return error_set(reterr, ERR_CORRUPT, "index block: %u headers in %zu bytes", row->headers_count,
                         size);
    _cleanup_free_ struct item_block_header *headers =
        xreallocarray(NULL, row->headers_count, sizeof *headers);
    size_t pos = 0;
    for (size_t i = 0; i < row->headers_count; i++) {
        struct item_block_header *h = &headers[i];
        int r = item_block_header_get(h, raw, size, &pos, reterr);
        if (r < 0)
            return r;
        if (!inside(h->items_offset, h->items_size, items_size) ||
            !inside(h->lens_offset, h->lens_size, lens_size))
            return error_set(reterr, ERR_CORRUPT, "index block: block %zu lies outside of its files", i);
        if (i == 0 && !item_equal(h->first_item, row->first_item))
            return error_set(reterr, ERR_CORRUPT, "index block: another first item than its metaindex row");
        if (i > 0 && (item_compare(h[-1].first_item, h->first_item) > 0 ||
                      h->items_offset != h[-1].items_offset + h[-1].items_size ||
                      h->lens_offset != h[-1].lens_offset + h[-1].lens_size))
            return error_set(reterr, ERR_CORRUPT, "index block: block %zu doesn't follow the one before", i);
    }
    if (pos != size)
        return error_set(reterr, ERR_CORRUPT, "index block: %zu bytes too many", size - pos);
    *ret_headers = TAKE(headers);
    return 0;
}
