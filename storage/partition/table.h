/* The months of a store (lib/storage/table.go). Any thread; partitions live as long as the table. */
#ifndef VARVE_STORAGE_PARTITION_TABLE_H
#define VARVE_STORAGE_PARTITION_TABLE_H

#include <stddef.h>

#include "src/base/mutex.h"
#include "storage/partition/partition.h"

struct table {
    struct partition_env env;
    struct mutex lock; /* RANK_TABLE */
    /* Locked: by month, ascending. */
    struct partition **partitions;
    size_t count, capacity;
    /* Locked: dropped months. */
    struct partition **removed;
    size_t removed_count, removed_capacity;
};

void table_init(struct table *tb);
void table_release(struct table *tb);

/* The partition of the month that holds timestamp_ms; made in memory if it's the first (its directories
 * appear with its first publication). */
struct partition *create_partition(struct table *tb, int64_t timestamp_ms);

/* The same if there is one, else NULL. */
struct partition *table_find(struct table *tb, int64_t timestamp_ms);

/* All partitions, oldest first; free the array. */
struct partition **table_partitions(struct table *tb, size_t *ret_count);

/* Takes it out; it lives on as long as the table, as others may hold it. */
void table_remove(struct table *tb, struct partition *pt);

#endif
