/* What a search or a merge reads from: a file part or a part in memory. Borrowed. */
#ifndef VARVE_STORAGE_MERGESET_ITEM_SOURCE_H
#define VARVE_STORAGE_MERGESET_ITEM_SOURCE_H

#include "storage/mergeset/item_part.h"

struct inmemory_item_part;

/* Exactly one of the two is set. */
struct item_source {
    struct item_part *part;
    const struct inmemory_item_part *memory;
};

uint64_t item_source_items_count(const struct item_source *source);
/* Size on disk, or bytes of items in memory. */
uint64_t item_source_size(const struct item_source *source);
/* As item_part_last_before. */
int item_source_last_before(const struct item_source *source, struct item key, struct buffer *ret_item,
                            struct error *reterr);

#endif
