#include "storage/partition/table.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

void table_init(struct table *tb)
{
    *tb = (struct table){0};
    mutex_init(&tb->lock, RANK_TABLE);
    removals_init(&tb->env.removals);
}

void table_release(struct table *tb)
{
    for (size_t i = 0; i < tb->count; i++)
        partition_free(tb->partitions[i]);
    free(tb->partitions);
    for (size_t i = 0; i < tb->removed_count; i++)
        partition_free(tb->removed[i]);
    free(tb->removed);
    mutex_destroy(&tb->lock);
    removals_release(&tb->env.removals);
}

struct partition *create_partition(struct table *tb, int64_t timestamp_ms)
{
    struct partition *found = NULL;
    mutex_lock(&tb->lock);
    size_t i = 0;
    while (i < tb->count && tb->partitions[i]->month.max_ms < timestamp_ms)
        i++;
    if (i < tb->count && tb->partitions[i]->month.min_ms <= timestamp_ms) {
        found = tb->partitions[i];
    } else {
        struct month month = month_of(timestamp_ms);
        GROW(tb->partitions, tb->count, tb->capacity);
        memmove(&tb->partitions[i + 1], &tb->partitions[i], (tb->count - i) * sizeof(struct partition *));
        tb->partitions[i] = found = partition_new(&tb->env, &month);
        tb->count++;
    }
    mutex_unlock(&tb->lock);
    return found;
}

struct partition *table_find(struct table *tb, int64_t timestamp_ms)
{
    struct partition *found = NULL;
    mutex_lock(&tb->lock);
    for (size_t i = 0; i < tb->count && !found; i++) {
        const struct month *month = &tb->partitions[i]->month;
        if (month->min_ms <= timestamp_ms && timestamp_ms <= month->max_ms)
            found = tb->partitions[i];
    }
    mutex_unlock(&tb->lock);
    return found;
}

struct partition **table_partitions(struct table *tb, size_t *ret_count)
{
    mutex_lock(&tb->lock);
    struct partition **copy = xmemdup(tb->partitions, tb->count * sizeof(struct partition *));
    *ret_count = tb->count;
    mutex_unlock(&tb->lock);
    return copy;
}

void table_remove(struct table *tb, struct partition *pt)
{
    mutex_lock(&tb->lock);
    for (size_t i = 0; i < tb->count; i++) {
        if (tb->partitions[i] != pt)
            continue;
        memmove(&tb->partitions[i], &tb->partitions[i + 1], (tb->count - i - 1) * sizeof(struct partition *));
        tb->count--;
        GROW(tb->removed, tb->removed_count, tb->removed_capacity);
        tb->removed[tb->removed_count++] = pt;
        break;
    }
    mutex_unlock(&tb->lock);
}
