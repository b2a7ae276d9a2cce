/*
 * Walks over the rows of given series in a time range, in one part (format 3.8; lib/storage/part_search.go).
 * One thread at a time; the part and the list of TSIDs must outlive the search.
 */
#ifndef VARVE_STORAGE_PART_PART_SEARCH_H
#define VARVE_STORAGE_PART_PART_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/block/block.h"
#include "storage/part/file_part.h"
#include "storage/part/inmemory_part.h"

struct part_search {
    /* The rows found last: borrowed, valid until the next call. Ordered by time, clipped to the range.
     * Consecutive results of one series may overlap in time (only a merge orders blocks of several parts). */
    struct tsid tsid;
    const int64_t *timestamps, *mantissas;
    size_t rows_count; /* at least 1 */
    int16_t scale;

    /* Private. */
    const struct file_part *part;
    const struct inmemory_part *inmemory_part;
    const struct tsid *tsids;
    size_t tsids_count, next_tsid;
    bool done;
    int64_t min_timestamp, max_timestamp;
    size_t next_row; /* metaindex row to read next; of an in-memory part, its next block */
    struct block_header *headers;
    size_t headers_count, headers_capacity, next_header;
    struct buffer scratch;
    struct block block;
};

/* tsids: ascending; NULL: all series. min and max (ms) are both included. */
void part_search_init_file(struct part_search *ps, const struct file_part *part, const struct tsid *tsids,
                           size_t tsids_count, int64_t min_timestamp, int64_t max_timestamp);
void part_search_init_inmemory(struct part_search *ps, const struct inmemory_part *mp,
                               const struct tsid *tsids, size_t tsids_count, int64_t min_timestamp,
                               int64_t max_timestamp);

/* 1: the next rows are there; 0: the end; ERR_CORRUPT names the part. */
int part_search_next(struct part_search *ps, struct error *reterr);

void part_search_release(struct part_search *ps);

#endif
