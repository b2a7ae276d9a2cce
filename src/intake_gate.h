/*
 * When intake waits, and goes on by itself: little free disk, much memory.
 *
 * Looked at a few times a second by the main thread, over numbers that are given to it: policy without I/O.
 */
#ifndef VARVE_SRC_INTAKE_GATE_H
#define VARVE_SRC_INTAKE_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct intake_gate {
    uint64_t min_free_disk_bytes;
    uint64_t buffers_limit_bytes; /* what rows in memory may take: intake_gate_buffers_limit */
    uint64_t memory_limit_bytes;  /* what the process may take in all; 0: not looked at */

    bool is_disk_low, is_memory_high; /* as of the last look */
};

/* What of memory_limit_bytes is left for rows, when queues and caches take theirs; at least a quarter of it.
 */
uint64_t intake_gate_buffers_limit(uint64_t memory_limit_bytes, uint64_t queues_bytes, uint64_t caches_bytes);

/* What the look is at. */
struct intake_gate_sight {
    uint64_t free_disk_bytes;
    uint64_t buffered_bytes;    /* rows in memory, as counted */
    uint64_t memory_used_bytes; /* by the whole process, as the kernel sees it: whatever isn't counted, too */
};

/* Sets both states. Once entered, the disk's is left at an eighth (at most 256 MiB) above its limit,
 * memory's an eighth below, so that it doesn't flap. */
void intake_gate_look(struct intake_gate *gate, const struct intake_gate_sight *sight);

#endif
