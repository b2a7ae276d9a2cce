/* What /metrics shows (names: interface.md). */
#ifndef VARVE_SRC_SELF_METRICS_H
#define VARVE_SRC_SELF_METRICS_H

#include "sinks/reject_log.h"
#include "sinks/sink.h"
#include "src/base/buffer.h"
#include "src/intake_counters.h"
#include "storage/storage.h"

/* All of it borrowed. */
struct self_metrics {
    const struct intake_totals *intake;
    const struct storage_stats *storage;
    const struct reject_log_stats *rejects; /* may be NULL */
    bool has_reject_topic;
    uint64_t rejects_forwarded;
    struct sink *const *sinks;
    size_t sinks_count;
    unsigned paused; /* enum intake_pause */
    uint64_t buffered_bytes, memory_limit_bytes;
    uint64_t commit_number;
};

/* Appends Prometheus text. Any thread. */
void self_metrics_write(const struct self_metrics *m, struct buffer *dst);

#endif
