#include "storage/series/metric_id_set.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/series/index_row.h"

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void metric_id_set_add(struct metric_id_set *set, uint64_t id)
{
    GROW(set->ids, set->count, set->capacity);
    set->ids[set->count++] = id;
}

void metric_id_set_sort(struct metric_id_set *set)
{
    if (!set->count)
        return;
    qsort(set->ids, set->count, sizeof *set->ids, compare_ids);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++)
        if (set->ids[i] != set->ids[kept - 1])
            set->ids[kept++] = set->ids[i];
    set->count = kept;
}

bool metric_id_set_has(const struct metric_id_set *set, uint64_t id)
{
    return set->count && bsearch(&id, set->ids, set->count, sizeof *set->ids, compare_ids) != NULL;
}

void metric_id_set_release(struct metric_id_set *set)
{
    free(set->ids);
    *set = (struct metric_id_set){0};
}

int metric_id_set_load_deleted(struct metric_id_set *set, struct item_search *search, struct error *reterr)
{
    const uint8_t prefix = INDEX_DELETED_ID;
    int r = item_search_first_with_prefix(search, &prefix, 1, reterr);
    for (; r == 1 && search->item.data[0] == prefix; r = item_search_next(search, reterr)) {
        struct index_row row;
        r = index_row_parse(&row, search->item, reterr);
        if (r < 0)
            break;
        metric_id_set_add(set, row.metric_id);
    }
    metric_id_set_sort(set);
    return r < 0 ? r : 0;
}
