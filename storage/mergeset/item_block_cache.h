/*
 * A few decoded blocks of one part, shared by the searches that look at them. Bounded: ITEM_BLOCK_CACHE_SLOTS
 * entries, replaced by the clock (second chance). Entries are counted: one that was evicted lives on until
 * its last user drops it. Thread-safe (RANK_PART).
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_BLOCK_CACHE_H
#define VARVE_STORAGE_MERGESET_ITEM_BLOCK_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/mutex.h"
#include "storage/mergeset/item_block.h"
#include "storage/mergeset/items.h"

#define ITEM_BLOCK_CACHE_SLOTS 8

/* Either the items of a block, or the headers of an index block. Immutable once it's in a cache. */
struct item_cached_block {
    atomic_uint refs;
    uint64_t key;
    struct items items;
    struct buffer raw;                 /* what the headers borrow from */
    struct item_block_header *headers; /* allocated */
    size_t headers_count;
};

struct item_block_cache {
    struct mutex lock;
    struct item_cached_block *slots[ITEM_BLOCK_CACHE_SLOTS] GUARDED_BY(lock);
    bool used[ITEM_BLOCK_CACHE_SLOTS] GUARDED_BY(lock);
    size_t hand GUARDED_BY(lock);
};

void item_block_cache_init(struct item_block_cache *cache);
/* Drops the cache's references. */
void item_block_cache_release(struct item_block_cache *cache);

/* An empty block with one reference, the caller's. */
struct item_cached_block *item_cached_block_new(uint64_t key);
/* NULL is fine; returns NULL. */
struct item_cached_block *item_cached_block_unref(struct item_cached_block *block);

/* A new reference to the block of this key, or NULL. */
struct item_cached_block *item_block_cache_get(struct item_block_cache *cache, uint64_t key);
/* Keeps the block, with a reference of the cache's own. */
void item_block_cache_put(struct item_block_cache *cache, struct item_cached_block *block);

#endif
