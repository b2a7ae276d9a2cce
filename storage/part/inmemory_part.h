/*
 * Rows of about a second, sorted and cut into blocks: what a query sees first, and what a flush merges into a
 * file part (lib/storage/inmemory_part.go). Immutable once made. Timestamps and mantissas stay plain arrays:
 * they're encoded once, when they're flushed.
 */
#ifndef VARVE_STORAGE_PART_INMEMORY_PART_H
#define VARVE_STORAGE_PART_INMEMORY_PART_H

#include <stddef.h>
#include <stdint.h>

#include "storage/block/tsid.h"
#include "storage/part/part_header.h"
#include "storage/part/raw_rows.h"

/* The caller's snapshot of the series registry: what a handle's place in TSID order is. */
struct series_ranks {
    const uint32_t
        *rank_by_series; /* indexed by raw_row.series; every handle that the rows use, < count each */
    const struct tsid *tsid_by_rank; /* ascending */
    size_t count;                    /* of tsid_by_rank */
};

/* Rows [first_row, first_row + rows_count) of the part, at most BLOCK_ROWS_MAX, of one series and one scale.
 */
struct inmemory_block {
    struct tsid tsid;
    size_t first_row;
    uint32_t rows_count;
    int16_t scale;
};

struct inmemory_part {
    struct part_header header;
    struct inmemory_block *blocks; /* by TSID, then time */
    size_t blocks_count;
    int64_t *timestamps, *mantissas; /* header.rows_count each */
    size_t memory_bytes;             /* all of it */
};

/* Sorts the rows of all shards by series, then time, into a new part; rows with equal (series, timestamp)
 * keep the order in which they arrived (an earlier shard's first). The shards stay as they are. NULL if they
 * hold no row. Any thread; free with inmemory_part_free. */
struct inmemory_part *inmemory_part_new(struct raw_rows *const *shards, size_t shards_count,
                                        const struct series_ranks *ranks);

/* NULL is fine. */
void inmemory_part_free(struct inmemory_part *mp);

#endif
