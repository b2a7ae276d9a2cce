#include "storage/mergeset/inmemory_item_part.h"

#include <stdlib.h>

#include "src/base/alloc.h"

/* How far ahead the arena is fetched: sorted items lie anywhere in it. */
#define PREFETCH_ITEMS 12

static void flush_block(struct items *dst, struct items *block, item_prepare_block_fn prepare, void *context)
{
    if (prepare && block->count)
        prepare(context, block);
    for (size_t i = 0; i < block->count; i++) {
        struct item item = items_get(block, i);
        items_add(dst, item.data, item.len);
    }
    items_clear(block);
}

struct inmemory_item_part *inmemory_item_part_new(struct items *items, item_prepare_block_fn prepare,
                                                  void *context)
{
    items_sort(items);
    struct items block = {0}, out = {0};
    struct item before = {0};
    for (size_t i = 0; i < items->count; i++) {
        if (i + PREFETCH_ITEMS < items->count)
            __builtin_prefetch(items->bytes.data + items->refs[i + PREFETCH_ITEMS].offset);
        struct item item = items_get(items, i);
        if (i > 0 && item_equal(item, before))
            continue;
        before = item;
        if (items_bytes(&block) + item.len > ITEM_BYTES_MAX)
            flush_block(&out, &block, prepare, context);
        items_add(&block, item.data, item.len);
    }
    flush_block(&out, &block, prepare, context);
    items_release(&block);
    items_clear(items);
    return inmemory_item_part_from_sorted(&out);
}

struct inmemory_item_part *inmemory_item_part_from_sorted(struct items *items)
{
    if (items->count == 0) {
        items_release(items);
        return NULL;
    }
    struct inmemory_item_part *imp = xcalloc(1, sizeof *imp);
    imp->items = *items;
    *items = (struct items){0};
    /* It lives unchanged from here on: give back what geometric growth took. */
    imp->items.refs = xreallocarray(imp->items.refs, imp->items.count, sizeof *imp->items.refs);
    imp->items.capacity = imp->items.count;
    if (imp->items.bytes.len) {
        imp->items.bytes.data = xreallocarray(imp->items.bytes.data, imp->items.bytes.len, 1);
        imp->items.bytes.cap = imp->items.bytes.len;
    }
    return imp;
}

void inmemory_item_part_free(struct inmemory_item_part *imp)
{
    if (!imp)
        return;
    items_release(&imp->items);
    free(imp);
}

uint64_t inmemory_item_part_size(const struct inmemory_item_part *imp)
{
    return items_bytes(&imp->items);
}

uint64_t inmemory_item_part_memory(const struct inmemory_item_part *imp)
{
    return sizeof *imp + items_memory(&imp->items);
}

uint64_t inmemory_item_part_items_count(const struct inmemory_item_part *imp)
{
    return imp->items.count;
}

int inmemory_item_part_last_before(const struct inmemory_item_part *imp, struct item key,
                                   struct item *ret_item)
{
    size_t i = items_lower_bound(&imp->items, key);
    if (i == 0)
        return 0;
    *ret_item = items_get(&imp->items, i - 1);
    return 1;
}
