#include "storage/series/index_rows.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"

#define SLOTS_MIN 1024

/* A distinct tag of kind 1 or of one date of kind 6. */
struct tag_entry {
    uint64_t date_plus_one; /* 0: kind 1 */
    uint64_t offset;        /* of esc(key) esc(value) in rows->tags */
    uint32_t len;
    uint32_t ids_count;
    uint64_t hash;
};

/* entry_plus_one 0: empty. */
struct tag_slot {
    uint32_t hash;
    uint32_t entry_plus_one;
};

static uint64_t entry_hash(uint64_t tag_hash, uint64_t date_plus_one)
{
    uint64_t h = tag_hash ^ date_plus_one * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h * UINT64_C(0xbf58476d1ce4e5b9);
}

static void grow_slots(struct index_rows *rows)
{
    size_t count = rows->slots_count ? 2 * rows->slots_count : SLOTS_MIN;
    free(rows->slots);
    rows->slots = xcalloc(count, sizeof *rows->slots);
    rows->slots_count = count;
    for (size_t i = 0; i < rows->entries_count; i++) {
        uint64_t hash = rows->entries[i].hash;
        size_t k = hash & (count - 1);
        while (rows->slots[k].entry_plus_one)
            k = (k + 1) & (count - 1);
        rows->slots[k] = (struct tag_slot){(uint32_t)(hash >> 32), (uint32_t)i + 1};
    }
}

static uint32_t find_or_add_entry(struct index_rows *rows, uint64_t hash, uint64_t date_plus_one,
                                  const uint8_t *tag, size_t len)
{
    uint32_t high = (uint32_t)(hash >> 32);
    size_t mask = rows->slots_count - 1, k = hash & mask;
    for (; rows->slots[k].entry_plus_one; k = (k + 1) & mask) {
        if (rows->slots[k].hash != high)
            continue;
        const struct tag_entry *e = &rows->entries[rows->slots[k].entry_plus_one - 1];
        if (e->date_plus_one == date_plus_one && e->len == len &&
            memcmp(rows->tags.data + e->offset, tag, len) == 0)
            return rows->slots[k].entry_plus_one - 1;
    }
    GROW(rows->entries, rows->entries_count, rows->entries_capacity);
    rows->entries[rows->entries_count] = (struct tag_entry){
        .date_plus_one = date_plus_one, .offset = rows->tags.len, .len = (uint32_t)len, .hash = hash};
    buffer_append(&rows->tags, tag, len);
    rows->slots[k] = (struct tag_slot){high, (uint32_t)++rows->entries_count};
    return (uint32_t)rows->entries_count - 1;
}

static void reserve_postings(struct index_rows *rows, size_t count)
{
    if (rows->postings_count + count <= rows->postings_capacity)
        return;
    size_t capacity = 2 * rows->postings_capacity + count + 256;
    rows->posting_entries = xreallocarray(rows->posting_entries, capacity, sizeof *rows->posting_entries);
    rows->posting_ids = xreallocarray(rows->posting_ids, capacity, sizeof *rows->posting_ids);
    rows->postings_capacity = capacity;
}

static void add_tags(struct index_rows *rows, const struct index_item_writer *w, uint64_t date_plus_one,
                     uint64_t metric_id)
{
    reserve_postings(rows, w->tags_count);
    while (rows->entries_count + w->tags_count > rows->slots_count / 8 * 5)
        grow_slots(rows);
    /* The slots lie anywhere: ask for all of them before looking at the first. */
    for (size_t i = 0; i < w->tags_count; i++)
        __builtin_prefetch(
            &rows->slots[entry_hash(w->tag_hashes[i], date_plus_one) & (rows->slots_count - 1)]);
    uint32_t start = 0;
    for (size_t i = 0; i < w->tags_count; i++) {
        uint64_t hash = entry_hash(w->tag_hashes[i], date_plus_one);
        uint32_t entry =
            find_or_add_entry(rows, hash, date_plus_one, w->tags.data + start, w->tag_ends[i] - start);
        rows->entries[entry].ids_count++;
        rows->posting_entries[rows->postings_count] = entry;
        rows->posting_ids[rows->postings_count++] = metric_id;
        start = w->tag_ends[i];
    }
}

void index_rows_add_series(struct index_rows *rows, const struct index_item_writer *w,
                           const struct tsid *tsid)
{
    index_item_add_name(&rows->by_kind[INDEX_ID_NAME], w->name, tsid->metric_id);
    index_item_add_tsid(&rows->by_kind[INDEX_ID_TSID], tsid);
    add_tags(rows, w, 0, tsid->metric_id);
}

void index_rows_add_date(struct index_rows *rows, const struct index_item_writer *w, uint64_t date,
                         const struct tsid *tsid)
{
    index_item_add_date_id(&rows->by_kind[INDEX_DATE_ID], date, tsid->metric_id);
    index_item_add_date_name(&rows->by_kind[INDEX_DATE_NAME_TSID], date, w->name, tsid);
    add_tags(rows, w, date + 1, tsid->metric_id);
}

void index_rows_add_deleted(struct index_rows *rows, uint64_t metric_id)
{
    index_items_add_deleted(&rows->by_kind[INDEX_DELETED_ID], metric_id);
}

bool index_rows_empty(const struct index_rows *rows)
{
    for (size_t kind = 0; kind < INDEX_KINDS; kind++)
        if (rows->by_kind[kind].count)
            return false;
    return rows->entries_count == 0;
}

size_t index_rows_memory(const struct index_rows *rows)
{
    size_t bytes = rows->tags.cap + rows->entries_capacity * sizeof *rows->entries +
                   rows->slots_count * sizeof *rows->slots +
                   rows->postings_capacity * (sizeof *rows->posting_entries + sizeof *rows->posting_ids);
    for (size_t kind = 0; kind < INDEX_KINDS; kind++)
        bytes += items_memory(&rows->by_kind[kind]);
    return bytes;
}

static void clear(struct index_rows *rows)
{
    for (size_t kind = 0; kind < INDEX_KINDS; kind++)
        items_clear(&rows->by_kind[kind]);
    buffer_clear(&rows->tags);
    rows->entries_count = 0;
    rows->postings_count = 0;
    if (rows->slots)
        memset(rows->slots, 0, rows->slots_count * sizeof *rows->slots);
}

void index_rows_release(struct index_rows *rows)
{
    for (size_t kind = 0; kind < INDEX_KINDS; kind++)
        items_release(&rows->by_kind[kind]);
    buffer_release(&rows->tags);
    free(rows->entries);
    free(rows->slots);
    free(rows->posting_entries);
    free(rows->posting_ids);
    *rows = (struct index_rows){0};
}

/* --- building --- */

/* The ids of all entries, entry by entry (a counting sort of the pairs). *ret_ends[i] is where entry i's ids
 * end. */
static uint64_t *group_ids(const struct index_rows *rows, size_t **ret_ends)
{
    uint64_t *ids = xreallocarray(NULL, rows->postings_count + 1, sizeof *ids);
    size_t *ends = xreallocarray(NULL, rows->entries_count + 1, sizeof *ends);
    size_t total = 0;
    for (size_t i = 0; i < rows->entries_count; i++) {
        ends[i] = total;
        total += rows->entries[i].ids_count;
    }
    for (size_t i = 0; i < rows->postings_count; i++)
        ids[ends[rows->posting_entries[i]]++] = rows->posting_ids[i];
    *ret_ends = ends;
    return ids;
}

/* The rows' starts, each followed by its entry's number: no start begins another (each ends with its second
 * separator), so the numbers don't disturb the order. */
static void sorted_starts(const struct index_rows *rows, bool with_date, struct items *ret_starts)
{
    for (size_t i = 0; i < rows->entries_count; i++) {
        const struct tag_entry *e = &rows->entries[i];
        if ((e->date_plus_one > 0) != with_date)
            continue;
        size_t head = with_date ? 9 : 1;
        uint8_t *p = items_reserve(ret_starts, head + e->len + 4);
        p[0] = with_date ? INDEX_DATE_TAG_IDS : INDEX_TAG_IDS;
        if (with_date)
            put_be64(p + 1, e->date_plus_one - 1);
        memcpy(p + head, rows->tags.data + e->offset, e->len);
        put_be32(p + head + e->len, (uint32_t)i);
        items_commit(ret_starts, head + e->len + 4);
    }
    items_sort(ret_starts);
}

static void append_tag_rows(const struct index_rows *rows, bool with_date, uint64_t *ids, const size_t *ends,
                            struct items *out)
{
    struct items starts = {0};
    sorted_starts(rows, with_date, &starts);
    for (size_t i = 0; i < starts.count; i++) {
        struct item start = items_get(&starts, i);
        size_t start_len = start.len - 4;
        uint32_t entry = get_be32(start.data + start_len);
        size_t count = rows->entries[entry].ids_count;
        uint64_t *own = ids + ends[entry] - count;
        count = index_ids_sort(own, count);
        for (size_t k = 0; k < count; k += INDEX_IDS_PER_ROW_MAX) {
            size_t n = count - k < INDEX_IDS_PER_ROW_MAX ? count - k : INDEX_IDS_PER_ROW_MAX;
            uint8_t *p = items_reserve(out, start_len + 8 * n);
            memcpy(p, start.data, start_len);
            for (size_t j = 0; j < n; j++)
                put_be64(p + start_len + 8 * j, own[k + j]);
            items_commit(out, start_len + 8 * n);
        }
    }
    items_release(&starts);
}

static void append_rows(struct items *rows, struct items *out)
{
    if (!items_is_sorted(rows))
        items_sort(rows);
    for (size_t i = 0; i < rows->count; i++) {
        struct item row = items_get(rows, i);
        if (i > 0 && item_equal(items_get(rows, i - 1), row))
            continue;
        items_add(out, row.data, row.len);
    }
}

struct inmemory_item_part *index_rows_build(struct index_rows *rows)
{
    if (index_rows_empty(rows))
        return NULL;
    struct items out = {0};
    size_t *ends;
    uint64_t *ids = group_ids(rows, &ends);
    /* The first byte of a row is its kind, so kind by kind is the order of all. */
    for (size_t kind = 0; kind < INDEX_KINDS; kind++) {
        if (kind == INDEX_TAG_IDS || kind == INDEX_DATE_TAG_IDS)
            append_tag_rows(rows, kind == INDEX_DATE_TAG_IDS, ids, ends, &out);
        else
            append_rows(&rows->by_kind[kind], &out);
    }
    free(ids);
    free(ends);
    clear(rows);
    return inmemory_item_part_from_sorted(&out);
}
