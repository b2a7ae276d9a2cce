#include "storage/block/metaindex_row.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/endian.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/zstd_codec.h"

/* The least that a zstd frame with content takes; bounds the rows that an index.bin can have. */
#define ZSTD_FRAME_BYTES_MIN 9

void metaindex_row_put(uint8_t *dst, const struct metaindex_row *mr)
{
    tsid_put(dst, &mr->tsid);
    put_be32(dst + 24, mr->headers_count);
    put_be64(dst + 28, zigzag64(mr->min_timestamp));
    put_be64(dst + 36, zigzag64(mr->max_timestamp));
    put_be64(dst + 44, mr->index_offset);
    put_be32(dst + 52, mr->index_size);
}

int metaindex_row_get(struct metaindex_row *ret, const uint8_t *src, struct error *reterr)
{
    struct metaindex_row mr;
    tsid_get(&mr.tsid, src);
    mr.headers_count = get_be32(src + 24);
    mr.min_timestamp = unzigzag64(get_be64(src + 28));
    mr.max_timestamp = unzigzag64(get_be64(src + 36));
    mr.index_offset = get_be64(src + 44);
    mr.index_size = get_be32(src + 52);
    if (mr.headers_count < 1 || mr.headers_count > INDEX_BLOCK_HEADERS_READ_MAX)
        return error_set(reterr, ERR_CORRUPT, "metaindex row with %u block headers", mr.headers_count);
    if (mr.index_size < 1 || mr.index_size > INDEX_BLOCK_READ_MAX)
        return error_set(reterr, ERR_CORRUPT, "metaindex row with an index block of %u bytes", mr.index_size);
    if (mr.min_timestamp > mr.max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "metaindex row with times from %lld to %lld",
                         (long long)mr.min_timestamp, (long long)mr.max_timestamp);
    *ret = mr;
    return 0;
}

static int parse_rows(struct metaindex_row *rows, size_t count, const uint8_t *raw, uint64_t index_bytes,
                      struct error *reterr)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        struct metaindex_row *mr = &rows[i];
        int r = metaindex_row_get(mr, raw + i * METAINDEX_ROW_SIZE, reterr);
        if (r < 0)
            return r;
        if (i > 0 && tsid_compare(&rows[i - 1].tsid, &mr->tsid) > 0)
            return error_set(reterr, ERR_CORRUPT, "metaindex rows out of order at row %zu", i);
        if (mr->index_offset != offset)
            return error_set(reterr, ERR_CORRUPT, "index block at offset %llu, want %llu",
                             (unsigned long long)mr->index_offset, (unsigned long long)offset);
        offset += mr->index_size;
    }
    if (offset != index_bytes)
        return error_set(reterr, ERR_CORRUPT, "index blocks take %llu bytes, but index.bin has %llu",
                         (unsigned long long)offset, (unsigned long long)index_bytes);
    return 0;
}

int metaindex_rows_decode(struct metaindex_row **ret, size_t *ret_count, const void *compressed, size_t size,
                          uint64_t index_bytes, struct error *reterr)
{
    const uint8_t *raw;
    size_t raw_size;
    size_t max = (index_bytes / ZSTD_FRAME_BYTES_MIN + 1) * METAINDEX_ROW_SIZE;
    int r = zstd_decompress_scratch(&raw, &raw_size, compressed, size, max, reterr);
    if (r < 0)
        return r;
    if (!raw_size || raw_size % METAINDEX_ROW_SIZE)
        return error_set(reterr, ERR_CORRUPT, "metaindex of %zu bytes isn't a number of rows", raw_size);
    size_t count = raw_size / METAINDEX_ROW_SIZE;
    _cleanup_free_ struct metaindex_row *rows = xreallocarray(NULL, count, sizeof *rows);
    r = parse_rows(rows, count, raw, index_bytes, reterr);
    if (r < 0)
        return r;
    *ret = TAKE(rows);
    *ret_count = count;
    return 0;
}

static int check_header(const struct block_header *bh, const struct block_header *prev,
                        const struct metaindex_row *mr, struct error *reterr)
{
    if (bh->min_timestamp < mr->min_timestamp || bh->max_timestamp > mr->max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "block header with times outside of its metaindex row's");
    if (!prev)
        return tsid_equal(&bh->tsid, &mr->tsid)
                   ? 0
                   : error_set(reterr, ERR_CORRUPT, "first block header isn't of the metaindex row's series");
    return block_header_check_order(prev, bh, reterr);
}

int index_block_decode(struct block_header *headers, const struct metaindex_row *mr,
                       const uint8_t *compressed, struct buffer *scratch, struct error *reterr)
{
    buffer_clear(scratch);
    size_t want = (size_t)mr->headers_count * BLOCK_HEADER_SIZE;
    int r = zstd_decompress(scratch, compressed, mr->index_size, want, reterr);
    if (r == 0 && scratch->len != want)
        r = error_set(reterr, ERR_CORRUPT, "%zu bytes for %u block headers", scratch->len, mr->headers_count);
    for (size_t i = 0; r == 0 && i < mr->headers_count; i++) {
        r = block_header_get(&headers[i], scratch->data + i * BLOCK_HEADER_SIZE, reterr);
        if (r == 0)
            r = check_header(&headers[i], i ? &headers[i - 1] : NULL, mr, reterr);
    }
    return r < 0 ? error_prefix(reterr, r, "index block at offset %llu", (unsigned long long)mr->index_offset)
                 : 0;
}
