/* What the readers of a file part share: its open files and the levels above its blocks. For this folder
 * only. */
#ifndef VARVE_STORAGE_MERGESET_ITEM_PART_INTERNAL_H
#define VARVE_STORAGE_MERGESET_ITEM_PART_INTERNAL_H

#include "storage/fs/fs.h"
#include "storage/mergeset/item_block_cache.h"
#include "storage/mergeset/item_metaindex.h"
#include "storage/mergeset/item_part.h"

/* A part's files as bytes. */
struct item_part_bytes {
    struct item metadata, metaindex, index, items, lens;
};

struct item_part {
    char *dir;
    struct fs_map index_map, items_map, lens_map; /* empty when the bytes are somebody else's */
    struct item index, items, lens;
    struct item_part_header ph;
    uint64_t size;
    struct buffer metaindex; /* uncompressed; rows borrow from it */
    struct item_metaindex_row *rows;
    size_t rows_count;
    struct item_block_cache index_blocks; /* keyed by row number */
    struct item_block_cache blocks;       /* keyed by items offset and lens offset, see item_part_block */
};

/* As item_part_open on files that lie in memory; index, items and lens are borrowed until item_part_free. dir
 * is only a name. Used by fuzz targets, too. */
int item_part_open_bytes(struct item_part **ret_part, const char *dir, const struct item_part_bytes *bytes,
                         struct error *reterr);

/* Where the last row (or header) with a first item < key is; 0 if none is smaller: the place to start looking
 * for items
 * >= key, as equal items may end the block before. */
size_t item_part_seek_row(const struct item_part *part, struct item key);
size_t item_part_seek_header(const struct item_cached_block *index_block, struct item key);

/* The headers of index block number row: a reference, cached. ERR_CORRUPT names the file. */
int item_part_index_block(struct item_part *part, size_t row, struct item_cached_block **ret_block,
                          struct error *reterr);
/* The items of one block: a reference, cached. */
int item_part_block(struct item_part *part, const struct item_block_header *header,
                    struct item_cached_block **ret_block, struct error *reterr);

/* The same into memory of the caller's, past the cache. */
int item_part_read_index_block(const struct item_part *part, size_t row, struct buffer *raw,
                               struct item_block_header **ret_headers, struct error *reterr);
int item_part_read_block(const struct item_part *part, const struct item_block_header *header,
                         struct item_block_codec *codec, struct items *dst, struct error *reterr);

#endif
