/*
 * Merges index parts, on disk or in memory, into one new file part (format 7.3; VictoriaMetrics
 * lib/mergeset/merge.go): k-way by byte order, blocks filled up to 65,536 bytes, exact duplicates dropped.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_MERGE_H
#define VARVE_STORAGE_MERGESET_ITEM_MERGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/fs/fs.h"
#include "storage/mergeset/item_part_header.h"
#include "storage/mergeset/item_source.h"
#include "storage/mergeset/items.h"

/* What others see and say of a merge that is under way; each may be NULL. */
struct item_merge_watch {
    const atomic_bool *stop; /* looked at between blocks: ERR_CANCELLED */
    /* Raised block by block by what was read of file parts; when all is merged, by their counts and sizes. */
    _Atomic uint64_t *items_read, *bytes_read;
};

/* Builds the part in directory dir, which must not exist; its parent must. All files and dir itself are
 * synced, the parent is not. Returns 1 and fills *ret_ph (zeroed by the caller; release it), or 0 if no item
 * is left: then there is no directory either. On failure what was made is removed as far as possible. prepare
 * and watch may be NULL. */
int item_merge(const struct fs *fs, const char *dir, const struct item_source *sources, size_t sources_count,
               item_prepare_block_fn prepare, void *context, const struct item_merge_watch *watch,
               struct item_part_header *ret_ph, struct error *reterr);

#endif
