/*
 * What one index block holds (format 3.4; lib/storage/metaindex_row.go), 56 bytes:
 *   0 TSID of its first header   24 u32 headers count   28 min timestamp (zigzag)   36 max timestamp (zigzag)
 *   44 u64 offset in index.bin   52 u32 compressed size
 * metaindex.bin is one zstd frame with the rows of all index blocks, in their order.
 */
#ifndef VARVE_STORAGE_BLOCK_METAINDEX_ROW_H
#define VARVE_STORAGE_BLOCK_METAINDEX_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/block/block_header.h"
#include "storage/block/tsid.h"

#define METAINDEX_ROW_SIZE 56

/* What readers accept: twice what writers make of an index block (810 headers at most, 65536 bytes). */
#define INDEX_BLOCK_HEADERS_READ_MAX 1620
#define INDEX_BLOCK_READ_MAX         131072

struct metaindex_row {
    struct tsid tsid;
    uint32_t headers_count;
    int64_t min_timestamp;
    int64_t max_timestamp;
    uint64_t index_offset;
    uint32_t index_size;
};

/* Writes METAINDEX_ROW_SIZE bytes. */
void metaindex_row_put(uint8_t *dst, const struct metaindex_row *mr);

/* Reads METAINDEX_ROW_SIZE bytes; ERR_CORRUPT for a row without headers, too large or with min > max. */
int metaindex_row_get(struct metaindex_row *ret, const uint8_t *src, struct error *reterr);

/* Reads the content of metaindex.bin: at least one row, ordered by TSID, index blocks back to back from
 * offset 0 up to index_bytes, the size of index.bin. The caller frees *ret. */
int metaindex_rows_decode(struct metaindex_row **ret, size_t *ret_count, const void *compressed, size_t size,
                          uint64_t index_bytes, struct error *reterr);

/* Decompresses the index block of mr (bytes of index.bin at mr->index_offset, mr->index_size of them) and
 * parses its headers into headers, which has room for mr->headers_count. Checks their count, their order, the
 * first TSID, and that their times lie within the row's. scratch is overwritten. */
int index_block_decode(struct block_header *headers, const struct metaindex_row *mr,
                       const uint8_t *compressed, struct buffer *scratch, struct error *reterr);

#endif
