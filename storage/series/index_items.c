#include "storage/series/index_items.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"
#include "storage/encoding/varint.h"

static void end_tag(struct index_item_writer *w)
{
    GROW(w->tag_ends, w->tag_ends_count, w->tag_ends_capacity);
    w->tag_ends[w->tag_ends_count++] = (uint32_t)w->tags.len;
}

static void add_tag(struct index_item_writer *w, struct item key, struct item value)
{
    metric_name_escape(&w->tags, key.data, key.len);
    metric_name_escape(&w->tags, value.data, value.len);
    end_tag(w);
}

/* esc(key) esc(value) of all tag rows, once for both prefixes. */
static void make_tags(struct index_item_writer *w)
{
    const struct metric_name *mn = &w->parsed;
    struct item group = mn->group;
    buffer_clear(&w->tags);
    w->tag_ends_count = 0;
    add_tag(w, (struct item){0}, group);
    if (group.len && memchr(group.data, '.', group.len)) {
        static const uint8_t key = INDEX_KEY_REVERSE_GROUP;
        buffer_clear(&w->scratch);
        uint8_t *p = buffer_reserve(&w->scratch, group.len);
        for (size_t i = 0; i < group.len; i++)
            p[i] = group.data[group.len - 1 - i];
        add_tag(w, (struct item){&key, 1}, (struct item){p, group.len});
    }
    for (size_t i = 0; i < mn->tags_count; i++)
        add_tag(w, mn->tags[i].key, mn->tags[i].value);

    buffer_clear(&w->scratch);
    buffer_append_u8(&w->scratch, INDEX_KEY_COMPOSITE);
    buffer_append_varint(&w->scratch, group.len);
    buffer_append(&w->scratch, group.data, group.len);
    size_t composite = w->scratch.len;
    for (size_t i = 0; i < mn->tags_count; i++) {
        w->scratch.len = composite;
        buffer_append(&w->scratch, mn->tags[i].key.data, mn->tags[i].key.len);
        add_tag(w, (struct item){w->scratch.data, w->scratch.len}, mn->tags[i].value);
    }
}

int index_item_writer_set(struct index_item_writer *w, const uint8_t *canonical, size_t len,
                          struct error *reterr)
{
    int r = metric_name_parse(&w->parsed, canonical, len, reterr);
    if (r < 0)
        return r;
    w->name = (struct item){canonical, len};
    make_tags(w);
    return 0;
}

void index_item_writer_release(struct index_item_writer *w)
{
    metric_name_release(&w->parsed);
    buffer_release(&w->tags);
    buffer_release(&w->scratch);
    free(w->tag_ends);
    *w = (struct index_item_writer){0};
}

static void add_tag_rows(const struct index_item_writer *w, struct items *dst, const uint8_t *prefix,
                         size_t prefix_len, uint64_t metric_id)
{
    uint32_t start = 0;
    for (size_t i = 0; i < w->tag_ends_count; i++) {
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
    uint8_t *p = items_reserve(dst, 9 + w->name.len);
    p[0] = INDEX_ID_NAME;
    put_be64(p + 1, tsid->metric_id);
    memcpy(p + 9, w->name.data, w->name.len);
    items_commit(dst, 9 + w->name.len);

    p = items_reserve(dst, 9 + TSID_SIZE);
    p[0] = INDEX_ID_TSID;
    put_be64(p + 1, tsid->metric_id);
    tsid_put(p + 9, tsid);
    items_commit(dst, 9 + TSID_SIZE);

    static const uint8_t prefix = INDEX_TAG_IDS;
    add_tag_rows(w, dst, &prefix, 1, tsid->metric_id);
}

void index_item_writer_add_date(const struct index_item_writer *w, struct items *dst, uint64_t date,
                                const struct tsid *tsid)
{
    uint8_t *p = items_reserve(dst, 17);
    p[0] = INDEX_DATE_ID;
    put_be64(p + 1, date);
    put_be64(p + 9, tsid->metric_id);
    items_commit(dst, 17);

    size_t len = 9 + w->name.len + 1 + TSID_SIZE;
    p = items_reserve(dst, len);
    p[0] = INDEX_DATE_NAME_TSID;
    put_be64(p + 1, date);
    memcpy(p + 9, w->name.data, w->name.len);
    p[9 + w->name.len] = INDEX_NAME_SEPARATOR;
    tsid_put(p + 10 + w->name.len, tsid);
    items_commit(dst, len);

    uint8_t prefix[9] = {INDEX_DATE_TAG_IDS};
    put_be64(prefix + 1, date);
    add_tag_rows(w, dst, prefix, sizeof prefix, tsid->metric_id);
}

void index_items_add_deleted(struct items *dst, uint64_t metric_id)
{
    uint8_t *p = items_reserve(dst, 9);
    p[0] = INDEX_DELETED_ID;
    put_be64(p + 1, metric_id);
    items_commit(dst, 9);
}
