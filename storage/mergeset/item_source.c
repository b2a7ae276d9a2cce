#include "storage/mergeset/item_source.h"

#include "storage/mergeset/inmemory_item_part.h"

uint64_t item_source_items_count(const struct item_source *source)
{
    return source->part ? item_part_items_count(source->part)
                        : inmemory_item_part_items_count(source->memory);
}

uint64_t item_source_size(const struct item_source *source)
{
    return source->part ? item_part_size(source->part) : inmemory_item_part_size(source->memory);
}

int item_source_last_before(const struct item_source *source, struct item key, struct buffer *ret_item,
                            struct error *reterr)
{
    if (source->part)
        return item_part_last_before(source->part, key, ret_item, reterr);
    struct item item;
    if (!inmemory_item_part_last_before(source->memory, key, &item))
        return 0;
    buffer_clear(ret_item);
    buffer_append(ret_item, item.data, item.len);
    return 1;
}
