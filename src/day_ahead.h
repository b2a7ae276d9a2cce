/*
 * In the last hour of a day, as its samples have it, the series that are seen are registered for the next day
 * as well, and be it the first of a month: a share of them that grows every few seconds, by a hash of the
 * series, so that midnight brings no burst of new rows in the index (VictoriaMetrics lib/storage/storage.go:
 * updatePerDateData, prefillNextIndexDB). The share is complete some minutes before, for series that come
 * seldom.
 */
#ifndef VARVE_SRC_DAY_AHEAD_H
#define VARVE_SRC_DAY_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

/* Of a hash of 32 bits: all series are due. */
#define DAY_AHEAD_ALL (UINT64_C(1) << 32)

/* The share, of DAY_AHEAD_ALL, that is due at timestamp_ms, which is in the day [*first_ms, *last_ms].
 * Narrows that down to the part around the timestamp in which the share stays the same. */
uint64_t day_ahead_share(int64_t timestamp_ms, int64_t *first_ms, int64_t *last_ms);

static inline bool day_ahead_is_due(uint32_t series, uint64_t share)
{
    return series * UINT32_C(0x9e3779b1) < share; /* Fibonacci hashing: handles are dense */
}

#endif
