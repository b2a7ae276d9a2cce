#include "storage/mergeset/item_block_cache.h"

#include <stdlib.h>

#include "src/base/alloc.h"

void item_block_cache_init(struct item_block_cache *cache)
{
    *cache = (struct item_block_cache){0};
    mutex_init(&cache->lock, RANK_PART);
}

void item_block_cache_release(struct item_block_cache *cache)
{
    for (size_t i = 0; i < ITEM_BLOCK_CACHE_SLOTS; i++)
        cache->slots[i] = item_cached_block_unref(cache->slots[i]);
    mutex_destroy(&cache->lock);
}

struct item_cached_block *item_cached_block_new(uint64_t key)
{
    struct item_cached_block *block = xcalloc(1, sizeof *block);
    atomic_init(&block->refs, 1);
    block->key = key;
    return block;
}

struct item_cached_block *item_cached_block_unref(struct item_cached_block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    items_release(&block->items);
    buffer_release(&block->raw);
    free(block->headers);
    free(block);
    return NULL;
}

struct item_cached_block *item_block_cache_get(struct item_block_cache *cache, uint64_t key)
{
    struct item_cached_block *found = NULL;
    mutex_lock(&cache->lock);
    for (size_t i = 0; i < ITEM_BLOCK_CACHE_SLOTS && !found; i++) {
        if (!cache->slots[i] || cache->slots[i]->key != key)
            continue;
        found = cache->slots[i];
        cache->used[i] = true;
        atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
    }
    mutex_unlock(&cache->lock);
    return found;
}

void item_block_cache_put(struct item_block_cache *cache, struct item_cached_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    mutex_lock(&cache->lock);
    while (cache->used[cache->hand]) {
        cache->used[cache->hand] = false;
        cache->hand = (cache->hand + 1) % ITEM_BLOCK_CACHE_SLOTS;
    }
    struct item_cached_block *evicted = cache->slots[cache->hand];
    cache->slots[cache->hand] = block;
    cache->hand = (cache->hand + 1) % ITEM_BLOCK_CACHE_SLOTS;
    mutex_unlock(&cache->lock);
    (void)item_cached_block_unref(evicted);
}
