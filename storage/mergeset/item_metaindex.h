/*
 * The two upper levels of an index part (format 7.1; VictoriaMetrics lib/mergeset/metaindex_row.go,
 * block_header.go): metaindex rows, one for each index block, and the index blocks' headers. Pure parsing;
 * nothing is trusted.
 *
 *   metaindex row   bytes firstItem   of the index block's first block
 *                   u32 headers count > 0
 *                   u64 offset        of the index block in index.bin
 *                   u32 size          compressed, <= 262,144
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_METAINDEX_H
#define VARVE_STORAGE_MERGESET_ITEM_METAINDEX_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/mergeset/item_block.h"

/* Raw size at which a writer closes an index block; a single header may be larger. */
#define ITEM_INDEX_BLOCK_BYTES_MAX 65536u
/* What readers accept, compressed and raw. */
#define ITEM_INDEX_BLOCK_SIZE_MAX 262144u
/* Far beyond any real part (its blocks would hold 10^11 items); bounds what a damaged file can make us
 * allocate. */
#define ITEM_METAINDEX_BYTES_MAX ((size_t)256 << 20)

struct item_metaindex_row {
    struct item first_item; /* borrowed */
    uint32_t headers_count;
    uint64_t offset;
    uint32_t size;
};

void item_metaindex_row_put(struct buffer *dst, const struct item_metaindex_row *row);

/* All rows of the uncompressed metaindex: at least one, ordered, covering index.bin's index_size bytes
 * without gaps. *ret_rows is allocated (free it) and borrows from raw. */
int item_metaindex_parse(struct item_metaindex_row **ret_rows, size_t *ret_count, const uint8_t *raw,
                         size_t size, uint64_t index_size, struct error *reterr);

/* The headers of an uncompressed index block: as many as its row says, ordered, the first with the row's
 * first item, inside items.bin and lens.bin of the given sizes, each starting where the one before ended. */
int item_index_block_parse(struct item_block_header **ret_headers, const struct item_metaindex_row *row,
                           const uint8_t *raw, size_t size, uint64_t items_size, uint64_t lens_size,
                           struct error *reterr);

#endif
