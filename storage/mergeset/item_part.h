/*
 * A file part of an index table: an immutable directory of sorted items (format 7.1).
 *
 *   items.bin lens.bin   blocks back to back      metaindex.bin   one zstd frame of rows:
 *   index.bin            zstd index blocks, each      bytes firstItem · u32 headers count ·
 *                        a run of block headers       u64 offset in index.bin · u32 size
 *   metadata.json        item_part_header.h       varve.sums      only in parts that Varve wrote
 *
 * Opening maps the files and checks metadata, metaindex, sizes and, where there is a varve.sums, the sums of
 * the small files; blocks are checked as they are read. An open part may be used by any number of threads;
 * the cache of decoded blocks has its own lock (RANK_PART).
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_PART_H
#define VARVE_STORAGE_MERGESET_ITEM_PART_H

#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/mergeset/item_part_header.h"
#include "storage/mergeset/items.h"

#define ITEM_PART_METAINDEX_FILE "metaindex.bin"
#define ITEM_PART_INDEX_FILE     "index.bin"
#define ITEM_PART_ITEMS_FILE     "items.bin"
#define ITEM_PART_LENS_FILE      "lens.bin"
#define ITEM_PART_METADATA_FILE  "metadata.json"

struct item_part;

/* Opens the part in directory dir. ERR_CORRUPT names the file that breaks the format; ERR_NOT_FOUND for a
 * missing one. */
int item_part_open(struct item_part **ret_part, const char *dir, struct error *reterr);
/* NULL is fine. No search may be under way. */
void item_part_free(struct item_part *part);

const char *item_part_dir(const struct item_part *part);
/* Sum of the four .bin files: what merge policies weigh. */
uint64_t item_part_size(const struct item_part *part);
uint64_t item_part_items_count(const struct item_part *part);
uint64_t item_part_blocks_count(const struct item_part *part);
/* Borrowed from the part. */
struct item item_part_first_item(const struct item_part *part);
struct item item_part_last_item(const struct item_part *part);

/* The largest item < key: 1 and the item in *ret_item (cleared first), 0 if there is none, or an error. */
int item_part_last_before(struct item_part *part, struct item key, struct buffer *ret_item,
                          struct error *reterr);

/* Reads all of the part in dir and checks everything: structure, order, counts, first and last item, sizes,
 * and varve.sums if it's there. For `varve verify`. */
int item_part_verify(const char *dir, struct error *reterr);

#endif
