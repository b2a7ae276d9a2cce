#include "storage/commit/positions.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"

void position_table_release(struct position_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->entries[i].key);
    free(table->entries);
    *table = (struct position_table){0};
}

static int compare_keys(const void *a, uint32_t a_len, const void *b, uint32_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

/* Index of the key, or where it would stand; *ret_found says which. */
static size_t locate(const struct position_table *table, const void *key, uint32_t key_len, bool *ret_found)
{
    size_t lo = 0, hi = table->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_keys(table->entries[mid].key, table->entries[mid].key_len, key, key_len);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

const struct position_entry *position_table_find(const struct position_table *table, const void *key,
                                                 uint32_t key_len)
{
    bool found;
    size_t i = locate(table, key, key_len, &found);
    return found ? &table->entries[i] : NULL;
}

void position_table_set(struct position_table *table, const void *key, uint32_t key_len,
                        const struct storage_position *position)
{
    if (key_len > POSITION_KEY_MAX || position->mark_len > STORAGE_POSITION_MARK_MAX)
        abort();
    bool found;
    size_t i = locate(table, key, key_len, &found);
    if (!found) {
        GROW(table->entries, table->count, table->capacity);
        memmove(&table->entries[i + 1], &table->entries[i], (table->count - i) * sizeof *table->entries);
        table->count++;
        table->entries[i].key = xmemdup(key, key_len);
        table->entries[i].key_len = key_len;
    }
    table->entries[i].position = *position;
    table->entries[i].changed = true;
}

bool position_table_remove(struct position_table *table, const void *key, uint32_t key_len)
{
    bool found;
    size_t i = locate(table, key, key_len, &found);
    if (!found)
        return false;
    free(table->entries[i].key);
    table->count--;
    memmove(&table->entries[i], &table->entries[i + 1], (table->count - i) * sizeof *table->entries);
    return true;
}

void position_table_take_changes(struct position_table *table, struct position_table *ret_changes)
{
    for (size_t i = 0; i < table->count; i++) {
        struct position_entry *e = &table->entries[i];
        if (!e->changed)
            continue;
        e->changed = false;
        position_table_set(ret_changes, e->key, e->key_len, &e->position);
    }
}

void position_table_apply(struct position_table *table, const struct position_table *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct position_entry *e = &changes->entries[i];
        position_table_set(table, e->key, e->key_len, &e->position);
    }
}

void position_table_encode(const struct position_table *table, struct buffer *dst)
{
    put_le32(buffer_reserve(dst, 4), (uint32_t)table->count);
    dst->len += 4;
    for (size_t i = 0; i < table->count; i++) {
        const struct position_entry *e = &table->entries[i];
        put_le16(buffer_reserve(dst, 2), (uint16_t)e->key_len);
        dst->len += 2;
        buffer_append(dst, e->key, e->key_len);
        put_le64(buffer_reserve(dst, 8), e->position.next);
        dst->len += 8;
        buffer_append_u8(dst, e->position.mark_len);
        buffer_append(dst, e->position.mark, e->position.mark_len);
    }
}

int position_table_decode(struct position_table *table, const uint8_t *data, size_t size, size_t *offset,
                          struct error *reterr)
{
    size_t o = *offset;
    if (size < o || size - o < 4)
        return error_set(reterr, ERR_CORRUPT, "positions are cut short");
    uint32_t count = get_le32(data + o);
    o += 4;
    for (uint32_t i = 0; i < count; i++) {
        if (size - o < 2)
            return error_set(reterr, ERR_CORRUPT, "positions are cut short");
        uint32_t key_len = get_le16(data + o);
        o += 2;
        if (key_len > POSITION_KEY_MAX || size - o < (size_t)key_len + 9)
            return error_set(reterr, ERR_CORRUPT, "positions are cut short");
        const uint8_t *key = data + o;
        o += key_len;
        struct storage_position position = {.next = get_le64(data + o), .mark_len = data[o + 8]};
        o += 9;
        if (position.mark_len > STORAGE_POSITION_MARK_MAX || size - o < position.mark_len)
            return error_set(reterr, ERR_CORRUPT, "a position's mark is cut short or too long");
        memcpy(position.mark, data + o, position.mark_len);
        o += position.mark_len;
        position_table_set(table, key, key_len, &position);
    }
    *offset = o;
    return 0;
}
