/*
 * One part of a partition, whatever it's made of: rows or index rows, in memory or on disk; counted
 * references.
 *
 * A part's content is immutable. What changes (merging, place on disk) is guarded by the lock of the part_set
 * that lists it. The last reference closes it; files are removed by whoever replaced the part, which mappings
 * survive.
 */
#ifndef VARVE_STORAGE_PARTITION_PART_H
#define VARVE_STORAGE_PARTITION_PART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/commit/commit_record.h"
#include "storage/mergeset/item_source.h"
#include "storage/part/file_part.h"
#include "storage/part/inmemory_part.h"

struct part {
    atomic_uint refs;
    enum part_place place; /* where it is, or will be, listed */
    uint64_t commit; /* number of the commit that its rows belong to; 0: listed before we opened, or merged
                        since */
    uint64_t rows;   /* or index items */
    uint64_t bytes;  /* on disk, or in memory */
    int64_t min_timestamp, max_timestamp; /* of rows */
    int64_t oldest_arrival_ms;            /* monotonic clock; in-memory parts of rows */

    /* Locked: by the part_set. */
    bool merging;
    bool published; /* listed in parts.json */

    char *name; /* of its directory; NULL in memory. 16 hex digits, or an older release's five fields */

    /* Exactly one is set. */
    struct inmemory_part *inmemory;
    struct file_part *file;
    struct inmemory_item_part *inmemory_items;
    struct item_part *item_file;
};

/* Each takes ownership of what it wraps and returns one reference. */
struct part *part_new_inmemory(struct inmemory_part *mp, uint64_t commit, int64_t oldest_arrival_ms);
struct part *part_new_inmemory_items(struct inmemory_item_part *imp);
/* Opens the part in directory dir; name becomes its name. Errors name the file. */
int part_open(struct part **ret, enum part_place place, const char *dir, const char *name, uint64_t commit,
              struct error *reterr);

static inline bool part_is_inmemory(const struct part *p)
{
    return p->inmemory || p->inmemory_items;
}

struct item_source part_item_source(const struct part *p);

struct part *part_ref(struct part *p);
/* NULL is fine; returns NULL. */
struct part *part_unref(struct part *p);

#endif
