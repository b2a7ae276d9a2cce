/*
 * A cursor over the union of several parts, in byte order (format 7.4; VictoriaMetrics
 * lib/mergeset/table_search.go). An item that several parts hold comes once for each.
 *
 *   struct item_search s;
 *   item_search_init(&s, sources, n);
 *   r = item_search_seek(&s, key, key_len, &err);
 *   while (r >= 0 && (r = item_search_next(&s, &err)) == 1)
 *       ... s.item ...
 *   item_search_release(&s);
 *
 * A search belongs to one thread; the parts must stay open until its release.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_SEARCH_H
#define VARVE_STORAGE_MERGESET_ITEM_SEARCH_H

#include <stddef.h>

#include "src/base/error.h"
#include "storage/mergeset/item_source.h"
#include "storage/mergeset/items.h"

struct item_cursor;

struct item_search {
    struct item item; /* the current one; valid until the next call */
    struct item_cursor *cursors;
    size_t cursors_count;
    struct item_cursor **heap; /* those that aren't at their end, smallest item first */
    size_t heap_count;
    bool started; /* heap[0]'s item was handed out */
};

void item_search_init(struct item_search *s, const struct item_source *sources, size_t sources_count);
/* Moves to before the first item >= key; may be called again and again, in any direction. 0 or an error. */
int item_search_seek(struct item_search *s, const void *key, size_t key_len, struct error *reterr);
/* The next item into s->item: 1, or 0 at the end, or an error (the search must then be released). */
int item_search_next(struct item_search *s, struct error *reterr);
void item_search_release(struct item_search *s);

/* Seek, then next: the first item that starts with the given bytes. 1, 0 if there is none, or an error. */
int item_search_first_with_prefix(struct item_search *s, const void *prefix, size_t prefix_len,
                                  struct error *reterr);

#endif
