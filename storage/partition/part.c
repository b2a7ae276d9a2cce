#include "storage/partition/part.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/mergeset/inmemory_item_part.h"

static struct part *part_alloc(enum part_place place, uint64_t commit)
{
    struct part *p = xcalloc(1, sizeof *p);
    atomic_init(&p->refs, 1);
    p->place = place;
    p->commit = commit;
    return p;
}

struct part *part_new_inmemory(struct inmemory_part *mp, uint64_t commit, int64_t oldest_arrival_ms)
{
    struct part *p = part_alloc(PLACE_SMALL, commit);
    p->inmemory = mp;
    p->rows = mp->header.rows_count;
    p->bytes = mp->memory_bytes;
    p->min_timestamp = mp->header.min_timestamp;
    p->max_timestamp = mp->header.max_timestamp;
    p->oldest_arrival_ms = oldest_arrival_ms;
    return p;
}

struct part *part_new_inmemory_items(struct inmemory_item_part *imp)
{
    struct part *p = part_alloc(PLACE_INDEX, 0);
    p->inmemory_items = imp;
    p->rows = inmemory_item_part_items_count(imp);
    p->bytes = inmemory_item_part_size(imp);
    return p;
}

int part_open(struct part **ret, enum part_place place, const char *dir, const char *name, uint64_t commit,
              struct error *reterr)
{
    struct part *p = part_alloc(place, commit);
    p->name = xstrdup(name);
    int r;
    if (place == PLACE_INDEX) {
        r = item_part_open(&p->item_file, dir, reterr);
        if (r == 0) {
            p->rows = item_part_items_count(p->item_file);
            p->bytes = item_part_size(p->item_file);
        }
    } else {
        r = file_part_open(&p->file, dir, reterr);
        if (r == 0) {
            p->rows = p->file->header.rows_count;
            p->bytes = p->file->size_bytes;
            p->min_timestamp = p->file->header.min_timestamp;
            p->max_timestamp = p->file->header.max_timestamp;
        }
    }
    if (r < 0) {
        free(p->name);
        free(p);
        return r;
    }
    *ret = p;
    return 0;
}

struct item_source part_item_source(const struct part *p)
{
    return (struct item_source){.part = p->item_file, .memory = p->inmemory_items};
}

struct part *part_ref(struct part *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

struct part *part_unref(struct part *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
        inmemory_part_free(p->inmemory);
        file_part_free(p->file);
        inmemory_item_part_free(p->inmemory_items);
        item_part_free(p->item_file);
        free(p->name);
        free(p);
    }
    return NULL;
}
