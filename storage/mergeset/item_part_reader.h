/*
 * Reads a file part's blocks one after the other, for merges and checks. Verifies on the way all that opening
 * the part doesn't: that blocks lie back to back over the whole files, in order, with the counts, first and
 * last item of metadata.json. One thread; past the part's cache.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_PART_READER_H
#define VARVE_STORAGE_MERGESET_ITEM_PART_READER_H

#include "storage/mergeset/item_block.h"
#include "storage/mergeset/item_part.h"
#include "storage/mergeset/items.h"

struct item_part_reader {
    const struct item_part *part;
    struct items block; /* the current one */
    struct item_block_codec codec;
    struct buffer raw;
    struct item_block_header *headers; /* of the current index block */
    size_t row;                        /* number of the next index block */
    size_t header, headers_count;
    uint64_t items_offset, lens_offset; /* where the next block has to start */
    uint64_t items_count, blocks_count;
    struct buffer last_item; /* of the block before */
};

/* The part must stay open until the release. */
void item_part_reader_init(struct item_part_reader *reader, const struct item_part *part);
/* Decodes the next block into reader->block, which stays valid until the next call: 1, 0 at the end, or an
 * error. */
int item_part_reader_next(struct item_part_reader *reader, struct error *reterr);
/* What was read of items.bin and lens.bin. */
uint64_t item_part_reader_bytes(const struct item_part_reader *reader);
void item_part_reader_release(struct item_part_reader *reader);

#endif
