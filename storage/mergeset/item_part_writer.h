/*
 * Writes the files of one index part, block by block (format 7.1; VictoriaMetrics
 * lib/mergeset/block_stream_writer.go). One thread. Between create and finish the directory is incomplete and
 * must not be published.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_PART_WRITER_H
#define VARVE_STORAGE_MERGESET_ITEM_PART_WRITER_H

#include "storage/fs/fs.h"
#include "storage/mergeset/item_block.h"
#include "storage/mergeset/item_part_header.h"

struct item_part_writer {
    const struct fs *fs;
    char *dir;
    int level;
    struct fs_file items, lens, index;
    struct item_part_header ph;
    struct item_block_codec codec;
    struct buffer items_data, lens_data; /* of the block at hand */
    struct buffer index_block;           /* headers not yet written */
    uint32_t index_block_headers;
    struct buffer index_block_first_item;
    struct buffer metaindex;
    struct buffer compressed;
};

/* Makes the directory, which must not exist, and its files. level: of zstd, for everything. On failure
 * nothing needs a release, but the directory may be there. */
int item_part_writer_create(struct item_part_writer *w, const struct fs *fs, const char *dir, int level,
                            struct error *reterr);
/* Appends a block of sorted items, at least one, at most ITEM_BLOCK_BYTES_MAX bytes, none smaller than the
 * last written. */
int item_part_writer_add(struct item_part_writer *w, const struct items *block, struct error *reterr);
/* Writes what is left, metadata and sums, syncs everything and the directory. *ret_ph is the caller's to
 * release. At least one block must have been added. The writer is released also on failure. */
int item_part_writer_finish(struct item_part_writer *w, struct item_part_header *ret_ph,
                            struct error *reterr);
/* Closes the files; the directory stays. A released writer is fine. */
void item_part_writer_abandon(struct item_part_writer *w);

#endif
