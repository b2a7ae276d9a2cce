/*
 * What orders series on disk (format 5; lib/storage/tsid.go), 24 bytes big endian:
 *   0 u64 MetricGroupID   8 u32 JobID   12 u32 InstanceID   16 u64 MetricID
 * Comparing the fields in this order equals comparing the bytes. One MetricID has one TSID everywhere.
 */
#ifndef VARVE_STORAGE_BLOCK_TSID_H
#define VARVE_STORAGE_BLOCK_TSID_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/endian.h"

#define TSID_SIZE 24

struct tsid {
    uint64_t metric_group_id;
    uint32_t job_id, instance_id;
    uint64_t metric_id;
};

/* Negative, 0 or positive, as memcmp. */
static inline int tsid_compare(const struct tsid *a, const struct tsid *b)
{
    if (a->metric_group_id != b->metric_group_id)
        return a->metric_group_id < b->metric_group_id ? -1 : 1;
    if (a->job_id != b->job_id)
        return a->job_id < b->job_id ? -1 : 1;
    if (a->instance_id != b->instance_id)
        return a->instance_id < b->instance_id ? -1 : 1;
    return (a->metric_id > b->metric_id) - (a->metric_id < b->metric_id);
}

static inline bool tsid_equal(const struct tsid *a, const struct tsid *b)
{
    return a->metric_id == b->metric_id && tsid_compare(a, b) == 0;
}

/* Writes TSID_SIZE bytes. */
static inline void tsid_put(uint8_t *dst, const struct tsid *t)
{
    put_be64(dst, t->metric_group_id);
    put_be32(dst + 8, t->job_id);
    put_be32(dst + 12, t->instance_id);
    put_be64(dst + 16, t->metric_id);
}

/* Reads TSID_SIZE bytes. */
static inline void tsid_get(struct tsid *ret, const uint8_t *src)
{
    *ret = (struct tsid){get_be64(src), get_be32(src + 8), get_be32(src + 12), get_be64(src + 16)};
}

#endif
