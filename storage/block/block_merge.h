/*
 * Merges the blocks of several parts into one (format 10.4, verified there byte for byte;
 * lib/storage/merge.go, block_stream_merger.go).
 *
 * Blocks come in order of (TSID, min timestamp) out of a heap of readers. One block is pending. For each next
 * block B:
 *  1. B is of a deleted series, or ends before the retention deadline: it's left out.
 *  2. No pending block: B is pending.
 *  3. B is of another series: pending is written, B is pending.
 *  4. pending is full (8192 rows, or 65536 encoded bytes) and ends no later than B begins: the same.
 *  5. Else both are decoded and brought to one scale, rows before the retention deadline dropped, and merged
 * by time; rows with equal timestamps are all kept. Of more than 8192 rows the first 8192 are written, the
 * rest is pending. A block that was never decoded is written with its bytes unchanged.
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_MERGE_H
#define VARVE_STORAGE_BLOCK_BLOCK_MERGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/block_stream_reader.h"
#include "storage/block/block_stream_writer.h"
#include "storage/part/part_header.h"

struct merge_options {
    const atomic_bool *stop; /* may be NULL; looked at often: ERR_CANCELLED within 100 ms of its setting */
    int64_t retention_deadline_ms; /* rows before it needn't be kept; 0 keeps all */
    /* May be NULL: which series are deleted. Called for each block, from the merging thread. */
    bool (*is_deleted)(uint64_t metric_id, void *arg);
    void *is_deleted_arg;
    _Atomic uint64_t *rows_merged;  /* may be NULL; grows by the rows written, for metrics */
    _Atomic uint64_t *rows_too_old; /* may be NULL; grows by the rows that retention left out */
    _Atomic uint64_t *rows_deleted; /* may be NULL; grows by the rows left out of deleted series */
    _Atomic uint64_t *rows_deduped; /* may be NULL; grows by the rows that deduplication left out */
    int64_t dedup_interval_ms;      /* 0: none (dedup.h) */
    _Atomic uint64_t *bytes_read;   /* may be NULL; grows by the bytes of timestamps and values read */
};

/* Merges readers[0..n), freshly initialised, into bsw and finishes it; bsw is released in any case (after a
 * failure its directory stays, for the caller to remove). *ret_ph describes the result. When retention leaves
 * no row, nothing is finished: 0 is returned with ret_ph->rows_count 0, and the caller removes the directory.
 * Equal (TSID, min timestamp) of several readers are taken in the order of the readers. options may be NULL.
 */
int merge_block_streams(struct part_header *ret_ph, struct block_stream_writer *bsw,
                        struct block_stream_reader **readers, size_t n, const struct merge_options *options,
                        struct error *reterr);

#endif
