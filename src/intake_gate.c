#include "src/intake_gate.h"

#define DISK_HYSTERESIS_BYTES_MAX (UINT64_C(256) << 20)

uint64_t intake_gate_buffers_limit(uint64_t memory_limit_bytes, uint64_t queues_bytes, uint64_t caches_bytes)
{
    uint64_t least = memory_limit_bytes / 4, taken = queues_bytes + caches_bytes;
    uint64_t left = memory_limit_bytes > taken ? memory_limit_bytes - taken : 0;
    return left > least ? left : least;
}

/* Whether used is above the limit; once it is, an eighth of it must come back. */
static bool is_above(uint64_t used, uint64_t limit, bool was_above)
{
    return used > limit - (was_above ? limit / 8 : 0);
}

void intake_gate_look(struct intake_gate *gate, const struct intake_gate_sight *sight)
{
    uint64_t disk_margin = gate->min_free_disk_bytes / 8;
    if (disk_margin > DISK_HYSTERESIS_BYTES_MAX)
        disk_margin = DISK_HYSTERESIS_BYTES_MAX;
    uint64_t disk_wanted = gate->min_free_disk_bytes + (gate->is_disk_low ? disk_margin : 0);
    gate->is_disk_low = sight->free_disk_bytes < disk_wanted;

    bool was_high = gate->is_memory_high;
    gate->is_memory_high =
        is_above(sight->buffered_bytes, gate->buffers_limit_bytes, was_high) ||
        (gate->memory_limit_bytes && is_above(sight->memory_used_bytes, gate->memory_limit_bytes, was_high));
}
