/*
 * Deduplication (lib/storage/dedup.go; format 10.6): of the rows of one series in each window of
 * `interval_ms`, which ends at a multiple of it, the last one stays. Among rows with that same timestamp the
 * largest value stays, and a staleness marker only if there's nothing else. Pure.
 */
#ifndef VARVE_STORAGE_BLOCK_DEDUP_H
#define VARVE_STORAGE_BLOCK_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a window holds more than one row. Timestamps (ms, positive) in order. False if interval_ms is 0. */
bool dedup_is_needed(const int64_t *timestamps, size_t n, int64_t interval_ms);

/* Both work in place and return how many rows are left. Values as mantissas of one scale, as in a block; and
 * as doubles, as in an answer. */
size_t dedup_mantissas(int64_t *timestamps, int64_t *mantissas, size_t n, int64_t interval_ms);
size_t dedup_values(int64_t *timestamps, double *values, size_t n, int64_t interval_ms);

#endif
