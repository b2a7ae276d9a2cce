#include "storage/series/series_registry.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "src/base/alloc.h"
#include "src/base/mutex.h"
#include "storage/series/tsid_generate.h"

/* Names lie in chunks of this size; a longer one gets a chunk of its own. */
#define NAME_CHUNK_BYTES ((size_t)1 << 20)

#define SLOTS_MIN 1024

struct series {
    const uint8_t *name;
    uint32_t name_len;
    uint32_t hash_high; /* to rebuild the table without reading the names */
    struct tsid tsid;
};

/* handle_plus_one 0: empty. tag: the hash's low half, of which the slot number takes the low bits and the
 * comparison all. */
struct slot {
    uint32_t tag;
    uint32_t handle_plus_one;
};

struct name_chunk {
    struct name_chunk *next;
    size_t used;
    uint8_t bytes[];
};

struct series_registry {
    struct mutex lock;
    struct slot *slots GUARDED_BY(lock);
    size_t slots_mask GUARDED_BY(lock);
    struct series *series GUARDED_BY(lock);
    size_t count GUARDED_BY(lock), capacity GUARDED_BY(lock);
    struct name_chunk *chunks GUARDED_BY(lock); /* the newest first */
    size_t chunk_bytes GUARDED_BY(lock);        /* memory of all chunks */
    size_t chunk_room GUARDED_BY(lock);         /* left in the first */
    uint64_t next_metric_id GUARDED_BY(lock);
    struct series_ranks_snapshot *ranks GUARDED_BY(lock);
};

struct series_registry *series_registry_new(uint64_t next_metric_id)
{
    struct series_registry *reg = xcalloc(1, sizeof *reg);
    mutex_init(&reg->lock, RANK_SERIES);
    reg->slots = xcalloc(SLOTS_MIN, sizeof *reg->slots);
    reg->slots_mask = SLOTS_MIN - 1;
    reg->next_metric_id = next_metric_id;
    static const struct series_ranks_snapshot none;
    reg->ranks = series_ranks_build(&none, NULL, 0);
    return reg;
}

void series_registry_free(struct series_registry *reg)
{
    if (!reg)
        return;
    (void)series_ranks_unref(reg->ranks);
    while (reg->chunks) {
        struct name_chunk *next = reg->chunks->next;
        free(reg->chunks);
        reg->chunks = next;
    }
    free(reg->series);
    free(reg->slots);
    mutex_destroy(&reg->lock);
    free(reg);
}

uint64_t series_name_hash(const uint8_t *name, size_t len)
{
    return XXH3_64bits(name, len);
}

/* The slot of this name, or the empty one where it belongs. */
static struct slot *find_slot(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash)
    REQUIRES(reg->lock)
{
    uint32_t tag = (uint32_t)hash, high = (uint32_t)(hash >> 32);
    for (size_t i = hash & reg->slots_mask;; i = (i + 1) & reg->slots_mask) {
        struct slot *slot = &reg->slots[i];
        if (slot->handle_plus_one == 0)
            return slot;
        if (slot->tag != tag)
            continue;
        const struct series *s = &reg->series[slot->handle_plus_one - 1];
        if (s->hash_high == high && s->name_len == len && memcmp(s->name, name, len) == 0)
            return slot;
    }
}

/* Doubles the table; the full hash of each entry is its tag and hash_high. */
static void grow_table(struct series_registry *reg) REQUIRES(reg->lock)
{
    size_t size = 2 * (reg->slots_mask + 1);
    struct slot *slots = xcalloc(size, sizeof *slots);
    for (size_t i = 0; i <= reg->slots_mask; i++) {
        struct slot old = reg->slots[i];
        if (old.handle_plus_one == 0)
            continue;
        uint64_t hash = (uint64_t)reg->series[old.handle_plus_one - 1].hash_high << 32 | old.tag;
        size_t k = hash & (size - 1);
        while (slots[k].handle_plus_one)
            k = (k + 1) & (size - 1);
        slots[k] = old;
    }
    free(reg->slots);
    reg->slots = slots;
    reg->slots_mask = size - 1;
}

static const uint8_t *keep_name(struct series_registry *reg, const uint8_t *name, size_t len)
    REQUIRES(reg->lock)
{
    if (!reg->chunks || reg->chunk_room < len) {
        size_t bytes = len > NAME_CHUNK_BYTES ? len : NAME_CHUNK_BYTES;
        struct name_chunk *chunk = xmalloc(sizeof *chunk + bytes);
        chunk->next = reg->chunks;
        chunk->used = 0;
        reg->chunks = chunk;
        reg->chunk_room = bytes;
        reg->chunk_bytes += sizeof *chunk + bytes;
    }
    uint8_t *p = reg->chunks->bytes + reg->chunks->used;
    if (len)
        memcpy(p, name, len);
    reg->chunks->used += len;
    reg->chunk_room -= len;
    return p;
}

bool series_registry_find(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                          uint32_t *ret_handle)
{
    mutex_lock(&reg->lock);
    uint32_t handle_plus_one = find_slot(reg, name, len, hash)->handle_plus_one;
    mutex_unlock(&reg->lock);
    if (handle_plus_one == 0)
        return false;
    *ret_handle = handle_plus_one - 1;
    return true;
}

static int add_locked(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                      const struct tsid *known, uint32_t *ret_handle, struct error *reterr)
    REQUIRES(reg->lock)
{
    struct slot *slot = find_slot(reg, name, len, hash);
    if (slot->handle_plus_one) {
        *ret_handle = slot->handle_plus_one - 1;
        return 0;
    }
    struct tsid tsid;
    if (known) {
        tsid = *known;
    } else {
        int r = tsid_generate(&tsid, name, len, reg->next_metric_id, reterr);
        if (r < 0)
            return r;
    }
    if (reg->count == UINT32_MAX)
        return error_set(reterr, ERR_INVALID, "%zu series: no more handles", reg->count);
    if (tsid.metric_id >= reg->next_metric_id)
        reg->next_metric_id = tsid.metric_id + 1;
    GROW(reg->series, reg->count, reg->capacity);
    reg->series[reg->count] = (struct series){
        .name = keep_name(reg, name, len),
        .name_len = (uint32_t)len,
        .hash_high = (uint32_t)(hash >> 32),
        .tsid = tsid,
    };
    *ret_handle = (uint32_t)reg->count;
    slot->tag = (uint32_t)hash;
    slot->handle_plus_one = (uint32_t)++reg->count;
    if (reg->count > (reg->slots_mask + 1) / 8 * 5)
        grow_table(reg);
    return 1;
}

int series_registry_add(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                        const struct tsid *known, uint32_t *ret_handle, struct error *reterr)
{
    mutex_lock(&reg->lock);
    int r = add_locked(reg, name, len, hash, known, ret_handle, reterr);
    mutex_unlock(&reg->lock);
    return r;
}

/* Linear probing leaves no holes: what was pushed over the emptied slot moves back. */
static void empty_slot(struct series_registry *reg, size_t hole) REQUIRES(reg->lock)
{
    size_t mask = reg->slots_mask;
    for (size_t i = (hole + 1) & mask; reg->slots[i].handle_plus_one; i = (i + 1) & mask) {
        uint32_t handle = reg->slots[i].handle_plus_one - 1;
        uint64_t hash = (uint64_t)reg->series[handle].hash_high << 32 | reg->slots[i].tag;
        size_t home = hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it lies between its home and here, behind the hole */
        reg->slots[hole] = reg->slots[i];
        hole = i;
    }
    reg->slots[hole] = (struct slot){0};
}

bool series_registry_forget(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                            uint32_t *ret_handle)
{
    mutex_lock(&reg->lock);
    struct slot *slot = find_slot(reg, name, len, hash);
    uint32_t handle_plus_one = slot->handle_plus_one;
    if (handle_plus_one)
        empty_slot(reg, (size_t)(slot - reg->slots));
    mutex_unlock(&reg->lock);
    if (!handle_plus_one)
        return false;
    *ret_handle = handle_plus_one - 1;
    return true;
}

struct item series_registry_name(struct series_registry *reg, uint32_t handle)
{
    mutex_lock(&reg->lock);
    struct item name = {reg->series[handle].name, reg->series[handle].name_len};
    mutex_unlock(&reg->lock);
    return name;
}

struct tsid series_registry_tsid(struct series_registry *reg, uint32_t handle)
{
    mutex_lock(&reg->lock);
    struct tsid tsid = reg->series[handle].tsid;
    mutex_unlock(&reg->lock);
    return tsid;
}

uint32_t series_registry_count(struct series_registry *reg)
{
    mutex_lock(&reg->lock);
    size_t count = reg->count;
    mutex_unlock(&reg->lock);
    return (uint32_t)count;
}

uint64_t series_registry_next_metric_id(struct series_registry *reg)
{
    mutex_lock(&reg->lock);
    uint64_t id = reg->next_metric_id;
    mutex_unlock(&reg->lock);
    return id;
}

size_t series_registry_memory(struct series_registry *reg)
{
    mutex_lock(&reg->lock);
    size_t bytes = sizeof *reg + (reg->slots_mask + 1) * sizeof *reg->slots +
                   reg->capacity * sizeof *reg->series + reg->chunk_bytes;
    mutex_unlock(&reg->lock);
    return bytes;
}

void series_registry_ranks(struct series_registry *reg, struct series_ranks_snapshot **ret_snapshot)
{
    mutex_lock(&reg->lock);
    struct series_ranks_snapshot *current = series_ranks_ref(reg->ranks);
    size_t added_count = reg->count - current->count;
    struct series_rank_entry *added = NULL;
    if (added_count) {
        added = xreallocarray(NULL, added_count, sizeof *added);
        for (size_t i = 0; i < added_count; i++) {
            size_t handle = current->count + i;
            added[i] = (struct series_rank_entry){reg->series[handle].tsid, (uint32_t)handle};
        }
    }
    mutex_unlock(&reg->lock);
    if (added_count) {
        /* Outside of the lock, as it may take milliseconds; whoever gets furthest leaves its snapshot. */
        struct series_ranks_snapshot *built = series_ranks_build(current, added, added_count);
        free(added);
        mutex_lock(&reg->lock);
        struct series_ranks_snapshot *unneeded = current;
        if (built->count > reg->ranks->count) {
            struct series_ranks_snapshot *replaced = reg->ranks;
            reg->ranks = series_ranks_ref(built);
            mutex_unlock(&reg->lock);
            (void)series_ranks_unref(replaced);
        } else {
            mutex_unlock(&reg->lock);
        }
        (void)series_ranks_unref(unneeded);
        current = built;
    }
    *ret_snapshot = current;
}
