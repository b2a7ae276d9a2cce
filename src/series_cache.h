/*
 * What one worker knows of the series that it has seen: raw key bytes -> entry -> a slot per field.
 *
 * A line-protocol line, or a series of a remote write request, is looked up once. Producers send the same
 * keys in the same order again and again, and each entry remembers which one followed it: a key that is the
 * expected one costs a comparison; any other is hashed and looked up. Its fields are then walked in the order
 * in which they came last time. Each slot remembers which slot followed it, so any order that repeats (also
 * one that cycles through several lines of one key) is predicted after one pass; what isn't predicted is
 * searched for nearby, and in entries with many fields through a hash table, so that no payload makes it
 * quadratic.
 *
 *   table: hash, entry index    entries: key, slots [first, first + count)    slots: field, series, days
 *
 * Field names are stored once a cache, not once a slot: they stay in the processor's cache.
 * One thread. Memory is bounded: past the limit everything is dropped and filled again (series keep their
 * handles in the store, so that costs time only).
 */
#ifndef VARVE_SRC_SERIES_CACHE_H
#define VARVE_SRC_SERIES_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "sinks/sample_batch.h"
#include "src/base/buffer.h"

#define SERIES_CACHE_BYTES_MAX (UINT64_C(256) << 20)
/* Days for which a slot's series is known to be registered; more of them cost a call of the store's. */
#define SERIES_SLOT_DAYS 2
#define DAY_NONE         INT32_MIN
/* A series that the store or the decoder refused: reason holds the index of why, days[0] the day of it. Only
 * others are registered ahead of time. */
#define SERIES_REFUSED UINT32_MAX

struct series_slot {
    uint32_t field_offset; /* into the cache's bytes */
    uint32_t field_len;
    uint32_t series; /* the store's handle, or SERIES_REFUSED */
    uint32_t next;   /* the slot that followed this one last time, relative to its entry's first */
    int32_t days[SERIES_SLOT_DAYS]; /* days since 1970, latest registration first, or DAY_NONE */
    uint32_t field_id;
    union {
        uint32_t reason;
        int32_t day_ahead; /* registered before its first sample came, or DAY_NONE */
    };
};

struct series_entry {
    uint64_t key_offset;
    uint32_t key_len;
    uint32_t first; /* into slots */
    uint32_t count, capacity;
    uint32_t last;     /* the slot that was found last, relative to first */
    uint32_t follower; /* index + 1 of the entry that was looked up after this one last time; 0: none */
};

struct series_cache {
    struct series_table_cell {
        uint64_t hash;
        uint32_t entry; /* index + 1; 0: free */
        uint32_t key_len;
    } * table;
    uint32_t table_mask;
    struct series_entry *entries;
    size_t entries_count, entries_capacity;
    uint32_t latest, expected; /* index + 1 of the entry looked up last, and of its follower; 0: none */
    struct series_slot *slots;
    size_t slots_count, slots_capacity;
    struct buffer keys;   /* the bytes of keys */
    struct buffer fields; /* the bytes of field names, each once */

    /* Field names: hash -> id. */
    struct field_cell {
        uint64_t hash;
        uint32_t id; /* id + 1; 0: free */
    } * field_table;
    uint32_t field_mask;
    struct field_name {
        uint32_t offset, len;
    } * field_names;
    size_t field_names_count, field_names_capacity;

    /* Slots of large entries: (entry, field id) -> slot relative to first. */
    struct large_cell {
        uint32_t entry; /* index + 1; 0: free */
        uint32_t field_id;
        uint32_t slot;
    } * large_table;
    uint32_t large_mask;
    size_t large_count;

    uint64_t bytes_max;
    bool is_over;         /* over bytes_max: the next series_cache_entry empties it */
    uint64_t drops_total; /* how often the limit emptied it */
};

/* bytes_max 0: SERIES_CACHE_BYTES_MAX. */
void series_cache_init(struct series_cache *c, uint64_t bytes_max);
void series_cache_release(struct series_cache *c);
/* Forgets everything: at the limit, or when handles have become invalid. */
void series_cache_clear(struct series_cache *c);
/* Bytes allocated. */
uint64_t series_cache_bytes(const struct series_cache *c);

/* For series_cache_entry: a key that wasn't the expected one, and its hash. */
struct series_entry *series_cache_look_up(struct series_cache *c, struct span key, uint64_t key_hash,
                                          size_t fields_expected);
uint64_t series_cache_hash(struct span key);

/* The entry of a key, made if there's none, with room for fields_expected slots. It may empty the cache first
 * when that is over its limit. Valid until the next call. */
static inline struct series_entry *series_cache_entry(struct series_cache *c, struct span key,
                                                      size_t fields_expected)
{
    if (c->expected && !c->is_over) {
        struct series_entry *e = &c->entries[c->expected - 1];
        if (e->key_len == key.len && memcmp(c->keys.data + e->key_offset, key.data, key.len) == 0) {
            c->latest = c->expected;
            c->expected = e->follower;
            return e;
        }
    }
    return series_cache_look_up(c, key, series_cache_hash(key), fields_expected);
}

/* Adds a slot for a field that series_cache_slot didn't find; its days are DAY_NONE. Invalidates slot
 * pointers. */
struct series_slot *series_cache_add(struct series_cache *c, struct series_entry *e, struct span field,
                                     uint32_t series);

/* For series_cache_slot: a field that wasn't where it was expected. */
struct series_slot *series_cache_search(struct series_cache *c, struct series_entry *e, struct span field,
                                        uint32_t expected);

/* memcmp is a call, and field names are short. */
static inline bool bytes_equal_short(const char *a, const char *b, uint32_t len)
{
    uint64_t a0, a1, b0, b1;
    if (len > 16)
        return memcmp(a, b, len) == 0;
    if (len >= 8) {
        memcpy(&a0, a, 8);
        memcpy(&b0, b, 8);
        memcpy(&a1, a + len - 8, 8);
        memcpy(&b1, b + len - 8, 8);
        return ((a0 ^ b0) | (a1 ^ b1)) == 0;
    }
    if (len >= 4) {
        uint32_t c0, c1, d0, d1;
        memcpy(&c0, a, 4);
        memcpy(&d0, b, 4);
        memcpy(&c1, a + len - 4, 4);
        memcpy(&d1, b + len - 4, 4);
        return ((c0 ^ d0) | (c1 ^ d1)) == 0;
    }
    for (uint32_t i = 0; i < len; i++) {
        if (a[i] != b[i])
            return false;
    }
    return true;
}

static inline bool series_slot_is(const struct series_cache *c, const struct series_slot *slot,
                                  struct span field)
{
    return slot->field_len == field.len &&
           bytes_equal_short((const char *)c->fields.data + slot->field_offset, field.data, field.len);
}

/* The slot of a field, or NULL. Valid until the next series_cache_add or series_cache_entry. */
static inline struct series_slot *series_cache_slot(struct series_cache *c, struct series_entry *e,
                                                    struct span field)
{
    if (e->count == 0)
        return NULL;
    struct series_slot *slots = c->slots + e->first;
    uint32_t expected = slots[e->last].next;
    if (__builtin_expect(series_slot_is(c, &slots[expected], field), 1)) {
        e->last = expected;
        return &slots[expected];
    }
    return series_cache_search(c, e, field, expected);
}

static inline bool series_slot_has_day(const struct series_slot *slot, int32_t day)
{
    return slot->days[0] == day || slot->days[1] == day;
}

static inline void series_slot_set_day(struct series_slot *slot, int32_t day)
{
    slot->days[1] = slot->days[0];
    slot->days[0] = day;
}

#endif
