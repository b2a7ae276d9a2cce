#include "storage/mergeset/item_search.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_part_internal.h"

/* A place in one source. In a file part it holds references to the decoded index block and block that it's
 * in. */
struct item_cursor {
    struct item item; /* the one it stands at */
    struct item_source source;
    size_t i; /* of the item in its block, or in the list in memory */
    size_t row, header;
    struct item_cached_block *index_block, *block;
};

static void cursor_drop(struct item_cursor *c)
{
    c->block = item_cached_block_unref(c->block);
    c->index_block = item_cached_block_unref(c->index_block);
}

/* Loads block number header of index block number row. */
static int cursor_load(struct item_cursor *c, struct error *reterr)
{
    c->block = item_cached_block_unref(c->block);
    if (!c->index_block) {
        int r = item_part_index_block(c->source.part, c->row, &c->index_block, reterr);
        if (r < 0)
            return r;
    }
    return item_part_block(c->source.part, &c->index_block->headers[c->header], &c->block, reterr);
}

/* Takes the item at c->i, or the first of the next block. 1, 0 at the end of the source, or an error. */
static int cursor_settle(struct item_cursor *c, struct error *reterr)
{
    if (c->source.memory) {
        const struct items *items = &c->source.memory->items;
        if (c->i == items->count)
            return 0;
        c->item = items_get(items, c->i);
        return 1;
    }
    if (c->i == c->block->items.count) {
        c->i = 0;
        if (++c->header == c->index_block->headers_count) {
            c->header = 0;
            c->index_block = item_cached_block_unref(c->index_block);
            if (++c->row == c->source.part->rows_count) {
                cursor_drop(c);
                return 0;
            }
        }
        int r = cursor_load(c, reterr);
        if (r < 0)
            return r;
    }
    c->item = items_get(&c->block->items, c->i);
    return 1;
}

/* Whether the block at hand is sure to hold the first item >= key: its first item is smaller, its last isn't.
 */
static bool cursor_has(const struct item_cursor *c, struct item key)
{
    return c->block && item_compare(items_get(&c->block->items, 0), key) < 0 &&
           item_compare(items_get(&c->block->items, c->block->items.count - 1), key) >= 0;
}

static int cursor_seek(struct item_cursor *c, struct item key, struct error *reterr)
{
    if (c->source.memory) {
        c->i = items_lower_bound(&c->source.memory->items, key);
        return cursor_settle(c, reterr);
    }
    struct item_part *part = c->source.part;
    if (item_compare(item_part_last_item(part), key) < 0) {
        cursor_drop(c);
        return 0;
    }
    if (!cursor_has(c, key)) {
        cursor_drop(c);
        c->row = item_part_seek_row(part, key);
        int r = item_part_index_block(part, c->row, &c->index_block, reterr);
        if (r < 0)
            return r;
        c->header = item_part_seek_header(c->index_block, key);
        r = cursor_load(c, reterr);
        if (r < 0)
            return r;
    }
    c->i = items_lower_bound(&c->block->items, key);
    return cursor_settle(c, reterr);
}

/* --- the heap of cursors --- */

static void sift_down(struct item_search *s, size_t i)
{
    struct item_cursor *c = s->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && item_compare(s->heap[child + 1]->item, s->heap[child]->item) < 0)
            child++;
        if (item_compare(c->item, s->heap[child]->item) <= 0)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = c;
}

void item_search_init(struct item_search *s, const struct item_source *sources, size_t sources_count)
{
    *s = (struct item_search){.cursors_count = sources_count};
    if (!sources_count)
        return;
    s->cursors = xcalloc(sources_count, sizeof *s->cursors);
    s->heap = xcalloc(sources_count, sizeof(struct item_cursor *));
    for (size_t i = 0; i < sources_count; i++)
        s->cursors[i].source = sources[i];
}

int item_search_seek(struct item_search *s, const void *key, size_t key_len, struct error *reterr)
{
    s->heap_count = 0;
    s->started = false;
    for (size_t i = 0; i < s->cursors_count; i++) {
        int r = cursor_seek(&s->cursors[i], (struct item){key, key_len}, reterr);
        if (r < 0)
            return r;
        if (r > 0)
            s->heap[s->heap_count++] = &s->cursors[i];
    }
    for (size_t i = s->heap_count / 2; i-- > 0;)
        sift_down(s, i);
    return 0;
}

int item_search_next(struct item_search *s, struct error *reterr)
{
    if (s->heap_count == 0)
        return 0;
    if (s->started) {
        struct item_cursor *c = s->heap[0];
        c->i++;
        int r = cursor_settle(c, reterr);
        if (r < 0)
            return r;
        if (r == 0)
            s->heap[0] = s->heap[--s->heap_count];
        if (s->heap_count == 0)
            return 0;
        sift_down(s, 0);
    }
    s->started = true;
    s->item = s->heap[0]->item;
    return 1;
}

int item_search_first_with_prefix(struct item_search *s, const void *prefix, size_t prefix_len,
                                  struct error *reterr)
{
    int r = item_search_seek(s, prefix, prefix_len, reterr);
    if (r < 0)
        return r;
    r = item_search_next(s, reterr);
    if (r == 1 && (s->item.len < prefix_len || (prefix_len && memcmp(s->item.data, prefix, prefix_len) != 0)))
        return 0;
    return r;
}

void item_search_release(struct item_search *s)
{
    for (size_t i = 0; i < s->cursors_count; i++)
        cursor_drop(&s->cursors[i]);
    free(s->cursors);
    free(s->heap);
    *s = (struct item_search){0};
}
