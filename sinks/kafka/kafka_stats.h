/* What Varve takes out of librdkafka's statistics (STATISTICS.md of the library): JSON, each
 * statistics.interval.ms. */
#ifndef VARVE_SINKS_KAFKA_KAFKA_STATS_H
#define VARVE_SINKS_KAFKA_KAFKA_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kafka_broker_stats {
    char name[128]; /* host:port */
    int64_t id;     /* -1: a bootstrap address whose broker isn't known yet */
    bool up;
    int64_t rtt_avg_us;
};

struct kafka_stats {
    uint64_t rx_bytes, rx_messages, requests;
    int64_t queued; /* messages and events waiting to be polled */
    struct kafka_broker_stats *brokers;
    size_t brokers_count, brokers_capacity;
    /* The library connects to the group coordinator at an address that its broker, which is up, no longer has
     * (librdkafka 2.0.2 keeps it for as long as the coordinator's id stays the same). */
    bool coordinator_moved;
};

/* Replaces *stats (zeroed at first). Anything that isn't there is left 0; false if json isn't an object.
 * Pure. */
bool kafka_stats_parse(const char *json, size_t len, struct kafka_stats *stats);
void kafka_stats_release(struct kafka_stats *stats);

#endif
