/* Joins the tag rows of a block that is about to be written (format 7.3). */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"
#include "storage/series/index_items.h"

struct joiner {
    struct items out;
    struct item prefix; /* of the pending ids: a row up to its ids, borrowed from the block */
    uint64_t *ids;      /* pending */
    size_t ids_count, ids_capacity;
};

/* Length of the row up to its ids; 0 if it isn't a tag row of this kind. Escaped text holds no separator, so
 * the second one ends the tag. */
static size_t prefix_len(struct item row, enum index_kind kind)
{
    size_t pos = kind == INDEX_DATE_TAG_IDS ? 9 : 1;
    for (int i = 0; i < 2; i++) {
        if (pos >= row.len)
            return 0;
        const uint8_t *end = memchr(row.data + pos, 0x01, row.len - pos);
        if (!end)
            return 0;
        pos = (size_t)(end + 1 - row.data);
    }
    return pos < row.len && (row.len - pos) % 8 == 0 ? pos : 0;
}

static void flush_ids(struct joiner *j)
{
    if (j->ids_count == 0)
        return;
    size_t count = index_ids_sort(j->ids, j->ids_count);
    size_t len = j->prefix.len + 8 * count;
    uint8_t *p = items_reserve(&j->out, len);
    memcpy(p, j->prefix.data, j->prefix.len);
    for (size_t i = 0; i < count; i++)
        put_be64(p + j->prefix.len + 8 * i, j->ids[i]);
    items_commit(&j->out, len);
    j->ids_count = 0;
}

static void add_ids(struct joiner *j, const uint8_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        GROW(j->ids, j->ids_count, j->ids_capacity);
        j->ids[j->ids_count++] = get_be64(ids + 8 * i);
    }
}

static void keep(struct joiner *j, struct item item)
{
    flush_ids(j);
    items_add(&j->out, item.data, item.len);
}

/* false: a row doesn't parse, leave the block alone. */
static bool join_rows(struct joiner *j, const struct items *block, enum index_kind kind)
{
    for (size_t i = 0; i < block->count; i++) {
        struct item row = items_get(block, i);
        /* The first and the last row stay, so that the order of neighbouring blocks does. */
        if (row.len == 0 || row.data[0] != kind || i == 0 || i == block->count - 1) {
            keep(j, row);
            continue;
        }
        size_t len = prefix_len(row, kind);
        if (len == 0)
            return false;
        size_t count = (row.len - len) / 8;
        if (count >= INDEX_IDS_PER_ROW_MAX) {
            keep(j, row);
            continue;
        }
        struct item prefix = {row.data, len};
        if (!item_equal(prefix, j->prefix))
            flush_ids(j);
        j->prefix = prefix;
        add_ids(j, row.data + len, count);
        if (j->ids_count >= INDEX_IDS_PER_ROW_MAX)
            flush_ids(j);
    }
    return true;
}

static void merge_kind(struct joiner *j, struct items *block, enum index_kind kind)
{
    if (block->count <= 2)
        return;
    struct item first = items_get(block, 0), last = items_get(block, block->count - 1);
    if ((first.len && first.data[0] > kind) || (last.len && last.data[0] < kind))
        return;
    items_clear(&j->out);
    j->prefix = (struct item){0};
    j->ids_count = 0;
    if (!join_rows(j, block, kind) || !items_is_sorted(&j->out))
        return; /* not sorted: the same id in several rows; a later merge may have more luck */
    struct items joined = j->out;
    j->out = *block;
    *block = joined;
}

void index_items_merge_tag_rows(void *context, struct items *block)
{
    (void)context;
    struct joiner j = {0};
    merge_kind(&j, block, INDEX_TAG_IDS);
    merge_kind(&j, block, INDEX_DATE_TAG_IDS);
    items_release(&j.out);
    free(j.ids);
}
