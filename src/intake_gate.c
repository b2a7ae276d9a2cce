#include "src/intake_gate.h"

#define DISK_HYSTERESIS_BYTES_MAX (UINT64_C(256) << 20)
/* File times and the clock may differ by a tick, and a clock is stepped by a little while it's disciplined.
 */
#define CLOCK_SLACK_MS INT64_C(5000)

uint64_t intake_gate_buffers_limit(uint64_t memory_limit_bytes, uint64_t queues_bytes, uint64_t caches_bytes)
{
    uint64_t least = memory_limit_bytes / 4, taken = queues_bytes + caches_bytes;
    uint64_t left = memory_limit_bytes > taken ? memory_limit_bytes - taken : 0;
    return left > least ? left : least;
}

void intake_gate_look(struct intake_gate *gate, uint64_t free_disk_bytes, uint64_t buffered_bytes,
                      int64_t now_ms)
{
    uint64_t disk_margin = gate->min_free_disk_bytes / 8;
    if (disk_margin > DISK_HYSTERESIS_BYTES_MAX)
        disk_margin = DISK_HYSTERESIS_BYTES_MAX;
    uint64_t disk_wanted = gate->min_free_disk_bytes + (gate->is_disk_low ? disk_margin : 0);
    gate->is_disk_low = free_disk_bytes < disk_wanted;

    uint64_t memory_allowed =
        gate->buffers_limit_bytes - (gate->is_memory_high ? gate->buffers_limit_bytes / 8 : 0);
    gate->is_memory_high = buffered_bytes > memory_allowed;

    gate->is_clock_behind = !gate->trust_clock && now_ms + CLOCK_SLACK_MS < gate->not_before_ms;
}
