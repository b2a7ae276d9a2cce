/*
 * A list of items: byte strings in one arena, for index rows on their way to a part.
 *
 * Adding is a hot path (a new series writes dozens of rows): no allocation per item, growth is geometric.
 * A zeroed struct is an empty list. Not thread-safe. Views that items_get returns point into the arena and
 * end with the next add, join or release.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEMS_H
#define VARVE_STORAGE_MERGESET_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"

/* Longest item that the format can hold, and most bytes of items in a block (format 7.2). */
#define ITEM_BYTES_MAX 65536u

/* A borrowed item. */
struct item {
    const uint8_t *data;
    size_t len;
};

/* Where an item lies in the arena: 8 bytes, for there may be tens of millions of them. */
struct item_ref {
    uint64_t offset : 40;
    uint64_t len : 24;
};

struct items {
    struct buffer bytes;
    struct item_ref *refs;
    size_t count;
    size_t capacity;
};

/* Bytewise order; a prefix comes before what it starts. Negative, 0 or positive. */
static inline int item_compare(struct item a, struct item b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n ? memcmp(a.data, b.data, n) : 0;
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

static inline bool item_equal(struct item a, struct item b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline struct item items_get(const struct items *items, size_t i)
{
    struct item_ref ref = items->refs[i];
    return (struct item){.data = items->bytes.data + ref.offset, .len = ref.len};
}

/* Room for one item of at most max bytes, to be built in place and then added by items_commit. */
static inline uint8_t *items_reserve(struct items *items, size_t max)
{
    return buffer_reserve(&items->bytes, max);
}

/* The item that ends the arena and has len bytes written where items_reserve said. len <= ITEM_BYTES_MAX. */
static inline void items_commit(struct items *items, size_t len)
{
    if (items->count == items->capacity)
        GROW(items->refs, items->count, items->capacity);
    items->refs[items->count++] = (struct item_ref){.offset = items->bytes.len, .len = len};
    items->bytes.len += len;
}

/* Copies an item to the end. len <= ITEM_BYTES_MAX; longer ones are the caller's to refuse. */
static inline void items_add(struct items *items, const void *data, size_t len)
{
    uint8_t *p = items_reserve(items, len + 1); /* the arena exists even if all items are empty */
    if (len)
        memcpy(p, data, len);
    items_commit(items, len);
}

static inline size_t items_count(const struct items *items)
{
    return items->count;
}

/* Sum of the lengths of all items ever added since the last clear. */
static inline size_t items_bytes(const struct items *items)
{
    return items->bytes.len;
}

/* Memory held. */
static inline size_t items_memory(const struct items *items)
{
    return items->bytes.cap + items->capacity * sizeof *items->refs;
}

/* Called by those that write blocks of sorted items: may rewrite a block before it's written, to join rows
 * (series/index_items.h). The result must be sorted and lie between the first and the last item of the
 * original; it may be empty, and must not have more bytes than before. */
typedef void (*item_prepare_block_fn)(void *context, struct items *block);

/* Puts the items into byte order; the arena stays as it is. Equal items stay, in any order.
 * Caching multikey quicksort: eight bytes of each item beside its reference, refilled eight bytes further
 * on inside a run of equals; index rows share long prefixes, which plain comparison would read again and
 * again. O(n log n) comparisons of cached words. */
void items_sort(struct items *items);

bool items_is_sorted(const struct items *items);

/* Index of the first item >= key in a sorted list; count if there is none. */
size_t items_lower_bound(const struct items *items, struct item key);

/* Empties the list and keeps its memory. */
void items_clear(struct items *items);

/* Frees the memory and leaves an empty list. */
void items_release(struct items *items);

#endif
