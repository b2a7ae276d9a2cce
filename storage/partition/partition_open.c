#include "storage/partition/partition_open.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"
#include "storage/series/index_items.h"
#include "storage/series/largest_ids.h"

struct unopened_part {
    enum part_place place;
    char *dir, *name;
};

void partition_add_unopened(struct partition *pt, enum part_place place, const char *dir, const char *name)
{
    GROW(pt->to_open, pt->to_open_count, pt->to_open_capacity);
    pt->to_open[pt->to_open_count++] =
        (struct unopened_part){.place = place, .dir = xstrdup(dir), .name = xstrdup(name)};
    if (!atomic_exchange(&pt->unopened, true))
        atomic_fetch_add(&pt->env->unopened_months, 1);
}

void partition_release_unopened(struct partition *pt)
{
    for (size_t i = 0; i < pt->to_open_count; i++) {
        free(pt->to_open[i].dir);
        free(pt->to_open[i].name);
    }
    free(pt->to_open);
    pt->to_open = NULL;
    pt->to_open_count = pt->to_open_capacity = 0;
}

uint64_t partition_unopened_hash(const struct partition *pt)
{
    const char **names = xcalloc(pt->to_open_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < pt->to_open_count; i++)
        if (pt->to_open[i].place == PLACE_INDEX)
            names[count++] = pt->to_open[i].name;
    uint64_t hash = largest_ids_parts_hash(names, count);
    free(names);
    return hash;
}

/* Rows of kind 2 are in order of id. */
int part_largest_metric_id(const struct part *p, uint64_t *ret, struct error *reterr)
{
    struct item_source source = part_item_source(p);
    static const uint8_t behind = INDEX_ID_TSID + 1;
    struct buffer item = {0};
    int r = item_source_last_before(&source, (struct item){&behind, 1}, &item, reterr);
    if (r == 1 && item.len >= 9 && item.data[0] == INDEX_ID_TSID) {
        uint64_t id = get_be64(item.data + 1);
        *ret = id > *ret ? id : *ret;
    }
    buffer_release(&item);
    return r < 0 ? r : 0;
}

static int open_part(const struct unopened_part *from, struct part **ret, uint64_t *largest_id,
                     struct error *reterr)
{
    struct part *p = NULL;
    int r = part_open(&p, from->place, from->dir, from->name, 0, reterr);
    if (r == 0 && p->place == PLACE_INDEX && (r = part_largest_metric_id(p, largest_id, reterr)) < 0)
        (void)part_unref(p);
    if (r < 0)
        return error_prefix(reterr, r == ERR_NOT_FOUND ? ERR_CORRUPT : r, "damaged part %s", from->dir);
    p->published = true;
    *ret = p;
    return 0;
}

/* All or none, so that nobody takes some of a month's parts for all of them. */
static int open_parts(struct partition *pt, struct error *reterr)
{
    struct part_list parts = {0};
    uint64_t largest_id = 0;
    for (size_t i = 0; i < pt->to_open_count; i++) {
        struct part *p = NULL;
        int r = open_part(&pt->to_open[i], &p, &largest_id, reterr);
        if (r < 0) {
            part_list_release(&parts);
            return r;
        }
        part_list_add(&parts, p);
    }
    for (size_t i = 0; i < parts.count; i++)
        part_set_add(partition_set(pt, parts.parts[i]->place), part_ref(parts.parts[i]));
    part_list_release(&parts);
    pt->largest_metric_id = largest_id;
    return 0;
}

int partition_ensure_open(struct partition *pt, struct error *reterr)
{
    if (partition_is_open(pt))
        return 0;
    int r = 0;
    mutex_lock(&pt->open_lock);
    if (!partition_is_open(pt)) {
        r = open_parts(pt, reterr);
        if (r == 0) {
            partition_release_unopened(pt);
            atomic_store_explicit(&pt->unopened, false, memory_order_release);
            atomic_fetch_sub(&pt->env->unopened_months, 1);
        }
    }
    mutex_unlock(&pt->open_lock);
    return r;
}
