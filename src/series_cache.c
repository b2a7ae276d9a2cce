#include "src/series_cache.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/alloc.h"

enum {
    TABLE_CELLS_MIN = 1024, /* power of two */
    NEARBY_SLOTS = 16,      /* searched one by one; entries with more are in the large table */
};

/* Tables are at most half full. */
static bool table_is_full(size_t count, uint32_t mask)
{
    return count * 2 > mask;
}

static void start_empty(struct series_cache *c)
{
    c->table_mask = c->field_mask = c->large_mask = TABLE_CELLS_MIN - 1;
    c->table = xcalloc(TABLE_CELLS_MIN, sizeof *c->table);
    c->field_table = xcalloc(TABLE_CELLS_MIN, sizeof *c->field_table);
    c->large_table = xcalloc(TABLE_CELLS_MIN, sizeof *c->large_table);
    buffer_reserve(&c->keys, 1);
    buffer_reserve(&c->fields, 1);
}

static void free_memory(struct series_cache *c)
{
    free(c->table);
    free(c->entries);
    free(c->slots);
    free(c->field_table);
    free(c->field_names);
    free(c->large_table);
    buffer_release(&c->keys);
    buffer_release(&c->fields);
}

void series_cache_init(struct series_cache *c, uint64_t bytes_max)
{
    *c = (struct series_cache){.bytes_max = bytes_max ? bytes_max : SERIES_CACHE_BYTES_MAX};
    start_empty(c);
}

void series_cache_release(struct series_cache *c)
{
    free_memory(c);
    *c = (struct series_cache){0};
}

void series_cache_clear(struct series_cache *c)
{
    free_memory(c);
    *c = (struct series_cache){.bytes_max = c->bytes_max, .drops_total = c->drops_total + 1};
    start_empty(c);
}

uint64_t series_cache_bytes(const struct series_cache *c)
{
    return ((uint64_t)c->table_mask + 1) * sizeof *c->table + c->entries_capacity * sizeof *c->entries +
           c->slots_capacity * sizeof *c->slots + c->keys.cap + c->fields.cap +
           ((uint64_t)c->field_mask + 1) * sizeof *c->field_table +
           c->field_names_capacity * sizeof *c->field_names +
           ((uint64_t)c->large_mask + 1) * sizeof *c->large_table;
}

/* --- slots --- */

static void reserve_slots(struct series_cache *c, size_t extra)
{
    size_t wanted = c->slots_count + extra;
    if (wanted <= c->slots_capacity)
        return;
    size_t capacity = c->slots_capacity ? c->slots_capacity : 1024;
    while (capacity < wanted)
        capacity += capacity / 2;
    c->slots = xreallocarray(c->slots, capacity, sizeof *c->slots);
    c->slots_capacity = capacity;
}

/* Room for one more: in place if the entry is the last one, else at the end of the pool. */
static void grow_entry(struct series_cache *c, struct series_entry *e)
{
    uint32_t capacity = e->capacity < 4 ? 4 : e->capacity * 2;
    if ((size_t)e->first + e->capacity == c->slots_count) {
        reserve_slots(c, capacity - e->capacity);
        c->slots_count += capacity - e->capacity;
    } else {
        reserve_slots(c, capacity);
        memcpy(c->slots + c->slots_count, c->slots + e->first, e->count * sizeof *c->slots);
        e->first = (uint32_t)c->slots_count;
        c->slots_count += capacity;
    }
    e->capacity = capacity;
}

/* --- entries --- */

static void grow_table(struct series_cache *c)
{
    uint32_t mask = c->table_mask * 2 + 1;
    struct series_table_cell *table = xcalloc((size_t)mask + 1, sizeof *table);
    for (uint32_t i = 0; i <= c->table_mask; i++) {
        if (!c->table[i].entry)
            continue;
        uint32_t at = (uint32_t)c->table[i].hash & mask;
        while (table[at].entry)
            at = (at + 1) & mask;
        table[at] = c->table[i];
    }
    free(c->table);
    c->table = table;
    c->table_mask = mask;
}

static struct series_entry *add_entry(struct series_cache *c, struct span key, uint64_t key_hash,
                                      size_t fields_expected)
{
    if (table_is_full(c->entries_count + 1, c->table_mask))
        grow_table(c);
    uint32_t capacity = fields_expected < 65536 ? (uint32_t)fields_expected : 65536;
    reserve_slots(c, capacity);
    GROW(c->entries, c->entries_count, c->entries_capacity);
    struct series_entry *e = &c->entries[c->entries_count++];
    *e = (struct series_entry){
        .key_offset = c->keys.len,
        .key_len = key.len,
        .first = (uint32_t)c->slots_count,
        .capacity = capacity,
    };
    c->slots_count += capacity;
    buffer_append(&c->keys, key.data, key.len);
    c->is_over = series_cache_bytes(c) > c->bytes_max;

    uint32_t at = (uint32_t)key_hash & c->table_mask;
    while (c->table[at].entry)
        at = (at + 1) & c->table_mask;
    c->table[at] = (struct series_table_cell){key_hash, (uint32_t)c->entries_count, key.len};
    return e;
}

uint64_t series_cache_hash(struct span key)
{
    return XXH3_64bits(key.data, key.len);
}

/* From now on it's expected after the one before it. */
static struct series_entry *follow(struct series_cache *c, struct series_entry *e)
{
    uint32_t number = (uint32_t)(e - c->entries) + 1;
    if (c->latest)
        c->entries[c->latest - 1].follower = number;
    c->latest = number;
    c->expected = e->follower;
    return e;
}

struct series_entry *series_cache_look_up(struct series_cache *c, struct span key, uint64_t key_hash,
                                          size_t fields_expected)
{
    if (__builtin_expect(c->is_over, 0))
        series_cache_clear(c);
    for (uint32_t at = (uint32_t)key_hash & c->table_mask;; at = (at + 1) & c->table_mask) {
        const struct series_table_cell *cell = &c->table[at];
        if (!cell->entry)
            break;
        if (cell->hash != key_hash || cell->key_len != key.len)
            continue;
        struct series_entry *e = &c->entries[cell->entry - 1];
        if (memcmp(c->keys.data + e->key_offset, key.data, key.len) == 0)
            return follow(c, e);
    }
    return follow(c, add_entry(c, key, key_hash, fields_expected));
}

/* --- field names --- */

static uint64_t hash_field(struct span field)
{
    return XXH3_64bits(field.data, field.len);
}

/* Cell where the name is, or where it belongs. */
static uint32_t find_field(const struct series_cache *c, struct span field, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & c->field_mask;
    for (; c->field_table[at].id; at = (at + 1) & c->field_mask) {
        const struct field_name *name = &c->field_names[c->field_table[at].id - 1];
        if (c->field_table[at].hash == hash && name->len == field.len &&
            memcmp(c->fields.data + name->offset, field.data, field.len) == 0)
            break;
    }
    return at;
}

static void grow_field_table(struct series_cache *c)
{
    uint32_t mask = c->field_mask * 2 + 1;
    struct field_cell *table = xcalloc((size_t)mask + 1, sizeof *table);
    for (uint32_t i = 0; i <= c->field_mask; i++) {
        if (!c->field_table[i].id)
            continue;
        uint32_t at = (uint32_t)c->field_table[i].hash & mask;
        while (table[at].id)
            at = (at + 1) & mask;
        table[at] = c->field_table[i];
    }
    free(c->field_table);
    c->field_table = table;
    c->field_mask = mask;
}

static uint32_t intern_field(struct series_cache *c, struct span field)
{
    uint64_t hash = hash_field(field);
    uint32_t at = find_field(c, field, hash);
    if (c->field_table[at].id)
        return c->field_table[at].id - 1;
    if (table_is_full(c->field_names_count + 1, c->field_mask)) {
        grow_field_table(c);
        at = find_field(c, field, hash);
    }
    GROW(c->field_names, c->field_names_count, c->field_names_capacity);
    c->field_names[c->field_names_count++] =
        (struct field_name){.offset = (uint32_t)c->fields.len, .len = field.len};
    buffer_append(&c->fields, field.data, field.len);
    c->field_table[at] = (struct field_cell){hash, (uint32_t)c->field_names_count};
    return (uint32_t)c->field_names_count - 1;
}

/* --- entries with many fields --- */

static uint32_t large_place(uint32_t entry, uint32_t field_id)
{
    uint64_t x = ((uint64_t)entry << 32 | field_id) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32);
}

static void put_large(struct large_cell *table, uint32_t mask, struct large_cell cell)
{
    uint32_t at = large_place(cell.entry, cell.field_id) & mask;
    while (table[at].entry)
        at = (at + 1) & mask;
    table[at] = cell;
}

static void add_large(struct series_cache *c, uint32_t entry, uint32_t field_id, uint32_t slot)
{
    if (table_is_full(c->large_count + 1, c->large_mask)) {
        uint32_t mask = c->large_mask * 2 + 1;
        struct large_cell *table = xcalloc((size_t)mask + 1, sizeof *table);
        for (uint32_t i = 0; i <= c->large_mask; i++) {
            if (c->large_table[i].entry)
                put_large(table, mask, c->large_table[i]);
        }
        free(c->large_table);
        c->large_table = table;
        c->large_mask = mask;
    }
    put_large(c->large_table, c->large_mask, (struct large_cell){entry, field_id, slot});
    c->large_count++;
}

static struct series_slot *find_large(struct series_cache *c, const struct series_entry *e, struct span field)
{
    uint32_t cell = find_field(c, field, hash_field(field));
    if (!c->field_table[cell].id)
        return NULL;
    uint32_t field_id = c->field_table[cell].id - 1;
    uint32_t entry = (uint32_t)(e - c->entries) + 1;
    for (uint32_t at = large_place(entry, field_id) & c->large_mask; c->large_table[at].entry;
         at = (at + 1) & c->large_mask) {
        if (c->large_table[at].entry == entry && c->large_table[at].field_id == field_id)
            return &c->slots[e->first + c->large_table[at].slot];
    }
    return NULL;
}

/* --- slots of an entry --- */

struct series_slot *series_cache_search(struct series_cache *c, struct series_entry *e, struct span field,
                                        uint32_t expected)
{
    struct series_slot *slots = c->slots + e->first, *found = NULL;
    uint32_t tries = e->count < NEARBY_SLOTS ? e->count : NEARBY_SLOTS;
    uint32_t at = expected;
    for (uint32_t i = 1; i < tries && !found; i++) {
        if (++at == e->count)
            at = 0;
        if (series_slot_is(c, &slots[at], field))
            found = &slots[at];
    }
    if (!found && e->count > NEARBY_SLOTS)
        found = find_large(c, e, field);
    if (!found)
        return NULL;
    uint32_t index = (uint32_t)(found - slots);
    slots[e->last].next = index;
    e->last = index;
    return found;
}

struct series_slot *series_cache_add(struct series_cache *c, struct series_entry *e, struct span field,
                                     uint32_t series)
{
    if (e->count == e->capacity)
        grow_entry(c, e);
    uint32_t field_id = intern_field(c, field);
    struct series_slot *slots = c->slots + e->first;
    uint32_t index = e->count++;
    slots[index] = (struct series_slot){
        .field_offset = c->field_names[field_id].offset,
        .field_len = field.len,
        .series = series,
        .next = 0,
        .days = {DAY_NONE, DAY_NONE},
        .field_id = field_id,
        .day_ahead = DAY_NONE,
    };
    slots[e->last].next = index;
    e->last = index;
    if (index == 0)
        slots[0].next = 0;

    uint32_t entry = (uint32_t)(e - c->entries) + 1;
    if (e->count == NEARBY_SLOTS + 1) {
        for (uint32_t i = 0; i < e->count; i++)
            add_large(c, entry, slots[i].field_id, i);
    } else if (e->count > NEARBY_SLOTS + 1) {
        add_large(c, entry, field_id, index);
    }
    c->is_over = series_cache_bytes(c) > c->bytes_max;
    return &slots[index];
}
