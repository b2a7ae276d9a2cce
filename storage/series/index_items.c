#include "storage/series/index_items.h"

#include <stdlib.h>

#include <xxhash.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"
#include "storage/encoding/varint.h"

/* A tag in a canonical name: esc(key) from start to value, esc(value) from there to end; separators included.
 */
struct name_tag {
    uint32_t start, value, end;
};

/* Finds the tags of w->name. *ret_group_len: of esc(group), without its separator. */
static int split_name(struct index_item_writer *w, size_t *ret_group_len, struct error *reterr)
{
    const uint8_t *name = w->name.data;
    size_t size = w->name.len, len;
    bool escapes;
    int r = metric_name_escaped_len(name, size, ret_group_len, &escapes, reterr);
    size_t pos = r == 0 ? *ret_group_len + 1 : 0;
    w->name_tags_count = 0;
    while (r == 0 && pos < size) {
        GROW(w->name_tags, w->name_tags_count, w->name_tags_capacity);
        struct name_tag *tag = &w->name_tags[w->name_tags_count++];
        tag->start = (uint32_t)pos;
        r = metric_name_escaped_len(name + pos, size - pos, &len, &escapes, reterr);
        if (r < 0)
            break;
        pos += len + 1;
        tag->value = (uint32_t)pos;
        r = metric_name_escaped_len(name + pos, size - pos, &len, &escapes, reterr);
        if (r < 0)
            break;
        pos += len + 1;
        tag->end = (uint32_t)pos;
    }
    return r;
}

/* The bytes appended to w->tags since the last call are one tag. */
static void end_tag(struct index_item_writer *w)
{
    if (w->tags_count == w->tags_capacity) {
        w->tags_capacity = 2 * w->tags_capacity + 16;
        w->tag_ends = xreallocarray(w->tag_ends, w->tags_capacity, sizeof *w->tag_ends);
        w->tag_hashes = xreallocarray(w->tag_hashes, w->tags_capacity, sizeof *w->tag_hashes);
    }
    size_t start = w->tags_count ? w->tag_ends[w->tags_count - 1] : 0;
    w->tag_ends[w->tags_count] = (uint32_t)w->tags.len;
    w->tag_hashes[w->tags_count++] = XXH3_64bits(w->tags.data + start, w->tags.len - start);
}

static void add_reversed_group(struct index_item_writer *w, size_t group_len)
{
    buffer_clear(&w->scratch);
    metric_name_unescape(&w->scratch, w->name.data, group_len);
    for (size_t i = 0, j = w->scratch.len - 1; i < j; i++, j--) {
        uint8_t c = w->scratch.data[i];
        w->scratch.data[i] = w->scratch.data[j];
        w->scratch.data[j] = c;
    }
    static const uint8_t key = INDEX_KEY_REVERSE_GROUP;
    metric_name_escape(&w->tags, &key, 1);
    metric_name_escape(&w->tags, w->scratch.data, w->scratch.len);
    end_tag(w);
}

/* esc(key) esc(value) of all tag rows. The name holds them escaped already, so they are pieces of it;
 * escaping works byte by byte, so that of a composite key is its pieces' as well. */
static void make_tags(struct index_item_writer *w, size_t group_len)
{
    const uint8_t *name = w->name.data;
    buffer_clear(&w->tags);
    w->tags_count = 0;
    metric_name_escape(&w->tags, NULL, 0);
    buffer_append(&w->tags, name, group_len + 1);
    end_tag(w);
    if (group_len && memchr(name, '.', group_len))
        add_reversed_group(w, group_len);
    for (size_t i = 0; i < w->name_tags_count; i++) {
        const struct name_tag *tag = &w->name_tags[i];
        buffer_append(&w->tags, name + tag->start, tag->end - tag->start);
        end_tag(w);
    }
    if (w->name_tags_count == 0)
        return;
    /* What all composite keys start with: esc(fe uv(group's length) group), without the separator. */
    buffer_clear(&w->scratch);
    metric_name_unescape(&w->scratch, name, group_len);
    uint8_t head[1 + VARINT_MAX_BYTES] = {INDEX_KEY_COMPOSITE};
    size_t head_len = (size_t)(varint_put_unsigned(head + 1, w->scratch.len) - head);
    buffer_clear(&w->scratch);
    metric_name_escape(&w->scratch, head, head_len);
    w->scratch.len--;
    buffer_append(&w->scratch, name, group_len);
    for (size_t i = 0; i < w->name_tags_count; i++) {
        const struct name_tag *tag = &w->name_tags[i];
        buffer_append(&w->tags, w->scratch.data, w->scratch.len);
        buffer_append(&w->tags, name + tag->start, tag->end - tag->start);
        end_tag(w);
    }
}

int index_item_writer_set(struct index_item_writer *w, const uint8_t *canonical, size_t len,
                          struct error *reterr)
{
    if (len == 0)
        return error_set(reterr, ERR_CORRUPT, "metric name: empty");
    w->name = (struct item){canonical, len};
    size_t group_len;
    int r = split_name(w, &group_len, reterr);
    if (r == 0)
        make_tags(w, group_len);
    return r;
}

void index_item_writer_release(struct index_item_writer *w)
{
    buffer_release(&w->tags);
    buffer_release(&w->scratch);
    free(w->tag_ends);
    free(w->tag_hashes);
    free(w->name_tags);
    *w = (struct index_item_writer){0};
}

static void add_tag_rows(const struct index_item_writer *w, struct items *dst, const uint8_t *prefix,
                         size_t prefix_len, uint64_t metric_id)
{
    uint32_t start = 0;
    for (size_t i = 0; i < w->tags_count; i++) {
        size_t len = w->tag_ends[i] - start;
        uint8_t *p = items_reserve(dst, prefix_len + len + 8);
        memcpy(p, prefix, prefix_len);
        memcpy(p + prefix_len, w->tags.data + start, len);
        put_be64(p + prefix_len + len, metric_id);
        items_commit(dst, prefix_len + len + 8);
        start = w->tag_ends[i];
    }
}

void index_item_writer_add_series(const struct index_item_writer *w, struct items *dst,
                                  const struct tsid *tsid)
{
    static const uint8_t prefix = INDEX_TAG_IDS;
    index_item_add_name(dst, w->name, tsid->metric_id);
    index_item_add_tsid(dst, tsid);
    add_tag_rows(w, dst, &prefix, 1, tsid->metric_id);
}

void index_item_writer_add_date(const struct index_item_writer *w, struct items *dst, uint64_t date,
                                const struct tsid *tsid)
{
    uint8_t prefix[9] = {INDEX_DATE_TAG_IDS};
    put_be64(prefix + 1, date);
    index_item_add_date_id(dst, date, tsid->metric_id);
    index_item_add_date_name(dst, date, w->name, tsid);
    add_tag_rows(w, dst, prefix, sizeof prefix, tsid->metric_id);
}

/* --- single rows --- */

void index_item_add_tsid(struct items *dst, const struct tsid *tsid)
{
    uint8_t *p = items_reserve(dst, 9 + TSID_SIZE);
    p[0] = INDEX_ID_TSID;
    put_be64(p + 1, tsid->metric_id);
    tsid_put(p + 9, tsid);
    items_commit(dst, 9 + TSID_SIZE);
}

void index_item_add_name(struct items *dst, struct item name, uint64_t metric_id)
{
    uint8_t *p = items_reserve(dst, 9 + name.len);
    p[0] = INDEX_ID_NAME;
    put_be64(p + 1, metric_id);
    memcpy(p + 9, name.data, name.len);
    items_commit(dst, 9 + name.len);
}

void index_items_add_deleted(struct items *dst, uint64_t metric_id)
{
    uint8_t *p = items_reserve(dst, 9);
    p[0] = INDEX_DELETED_ID;
    put_be64(p + 1, metric_id);
    items_commit(dst, 9);
}

void index_item_add_date_id(struct items *dst, uint64_t date, uint64_t metric_id)
{
    uint8_t *p = items_reserve(dst, 17);
    p[0] = INDEX_DATE_ID;
    put_be64(p + 1, date);
    put_be64(p + 9, metric_id);
    items_commit(dst, 17);
}

void index_item_add_date_name(struct items *dst, uint64_t date, struct item name, const struct tsid *tsid)
{
    size_t len = 9 + name.len + 1 + TSID_SIZE;
    uint8_t *p = items_reserve(dst, len);
    p[0] = INDEX_DATE_NAME_TSID;
    put_be64(p + 1, date);
    memcpy(p + 9, name.data, name.len);
    p[9 + name.len] = INDEX_NAME_SEPARATOR;
    tsid_put(p + 10 + name.len, tsid);
    items_commit(dst, len);
}

/* --- ids --- */

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

size_t index_ids_sort(uint64_t *ids, size_t count)
{
    bool ascending = true;
    for (size_t i = 1; i < count && ascending; i++)
        ascending = ids[i - 1] < ids[i];
    if (ascending)
        return count;
    qsort(ids, count, sizeof *ids, compare_ids);
    size_t distinct = 1;
    for (size_t i = 1; i < count; i++)
        if (ids[i] != ids[distinct - 1])
            ids[distinct++] = ids[i];
    return distinct;
}
