/*
 * The pending block of a merge, with the rows of other blocks of its series gathered behind it (format 10.4,
 * step 5). Rows are put in order once, when they're needed: O(rows * log(blocks)) for many small blocks that
 * overlap, where merging them one by one moves all rows each time. The result is that of merging one by one.
 * One thread at a time.
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_GATHER_H
#define VARVE_STORAGE_BLOCK_BLOCK_GATHER_H

#include <stddef.h>
#include <stdint.h>

#include "storage/block/block.h"

/* Zeroed, it's empty. */
struct block_gather {
    /* rows_count and times hold at any time. Once rows were gathered they're in own memory: ordered up to
     * `ordered`, and behind that each run of rows is ordered in itself. */
    struct block block;
    size_t ordered;
    size_t *runs; /* where they begin */
    size_t runs_count, runs_capacity;
    int64_t *tmp_timestamps, *tmp_mantissas; /* twice as many rows as were ever put in order */
    size_t tmp_capacity;
};

void block_gather_release(struct block_gather *g);

/* Begins with the rows of b, borrowing what b borrows. */
void block_gather_begin(struct block_gather *g, const struct block *b);

/* Adds the rows of b, whose series is the same and whose first row isn't older than the first one gathered:
 * they're brought to one scale (format 10.5), and rows before deadline are dropped from both and counted in
 * *rows_deleted. Nothing may be left. ERR_CORRUPT if one can't be decoded. */
int block_gather_add(struct block_gather *g, struct block *b, int64_t deadline, uint64_t *rows_deleted,
                     struct error *reterr);

/* Puts what was gathered in order: g->block is as any other then. */
void block_gather_settle(struct block_gather *g);

/* Drops the first rows of a settled block in own memory; some are left. */
void block_gather_drop(struct block_gather *g, size_t rows);

#endif
