/*
 * What intake counts: per worker, by its own thread alone, read by any.
 *
 * A counter has one writer, so counting is a plain load and store (relaxed atomics): no lock, no contended
 * line. Blocks live as long as their list, because a counter must not go back when a worker ends; the block
 * of one that ended is taken over by the next worker of that sink.
 */
#ifndef VARVE_SRC_INTAKE_COUNTERS_H
#define VARVE_SRC_INTAKE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REASONS_MAX 32 /* the last one is "other" */

/* Counts by reason. Reasons are static text. */
struct reason_counts {
    _Atomic(const char *) reasons[REASONS_MAX];
    _Atomic uint64_t counts[REASONS_MAX];
};

/* Index of a reason, entered if it's new. The writer's thread. */
uint32_t reason_index(struct reason_counts *r, const char *reason);

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void reason_add(struct reason_counts *r, uint32_t index, uint64_t n)
{
    counter_add(&r->counts[index], n);
}

struct intake_counters {
    struct intake_counters *next;
    char *sink_name;
    atomic_bool in_use;
    _Atomic uint64_t rows;
    _Atomic uint64_t cache_bytes;  /* a gauge: memory of the worker's series cache */
    struct reason_counts rejected; /* messages and lines that couldn't be decoded */
    struct reason_counts dropped;  /* rows */
};

/* Zeroed, it's empty. Adding is lock-free. */
struct intake_counters_list {
    _Atomic(struct intake_counters *) head;
};

/* A block that nobody uses, for a new worker of that sink. Any thread. */
struct intake_counters *intake_counters_take(struct intake_counters_list *list, const char *sink_name);
void intake_counters_give_back(struct intake_counters *c);
/* No worker may be left. */
void intake_counters_list_release(struct intake_counters_list *list);

/* --- sums over workers, for metrics --- */

struct reason_total {
    const char *sink_name; /* borrowed from the list; NULL for rows dropped */
    const char *reason;
    uint64_t count;
};

struct sink_total {
    const char *sink_name;
    uint64_t rows;
};

struct intake_totals {
    struct sink_total *sinks;
    size_t sinks_count, sinks_capacity;
    struct reason_total *rejected;
    size_t rejected_count, rejected_capacity;
    struct reason_total *dropped;
    size_t dropped_count, dropped_capacity;
    uint64_t rows, cache_bytes;
};

/* Fills a zeroed struct; its names borrow from the list. Any thread. */
void intake_totals_collect(struct intake_totals *ret, const struct intake_counters_list *list);
void intake_totals_release(struct intake_totals *t);

#endif
