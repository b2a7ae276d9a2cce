/* Sets of metric ids, and which ids an index says are deleted (rows of kind 4, format 8.6). A zeroed set is
 * empty. Not thread-safe. */
#ifndef VARVE_STORAGE_SERIES_METRIC_ID_SET_H
#define VARVE_STORAGE_SERIES_METRIC_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/mergeset/item_search.h"

struct metric_id_set {
    uint64_t *ids; /* ascending, each once, after metric_id_set_sort */
    size_t count, capacity;
};

/* Appends; to be sorted before it's asked. */
void metric_id_set_add(struct metric_id_set *set, uint64_t id);
void metric_id_set_sort(struct metric_id_set *set);
/* Of a sorted set. */
bool metric_id_set_has(const struct metric_id_set *set, uint64_t id);
void metric_id_set_release(struct metric_id_set *set);

/* Adds the deleted ids of the index that is searched, and sorts. ERR_CORRUPT names the part. */
int metric_id_set_load_deleted(struct metric_id_set *set, struct item_search *search, struct error *reterr);

#endif
