#include "src/day_ahead.h"

#include "src/base/clock.h"

#define AHEAD_MS  (3600 * SECOND_MS)
#define SPREAD_MS (3300 * SECOND_MS)
#define STEP_MS   (4 * SECOND_MS)

uint64_t day_ahead_share(int64_t timestamp_ms, int64_t *first_ms, int64_t *last_ms)
{
    const int64_t steps = SPREAD_MS / STEP_MS;
    int64_t start = *last_ms + 1 - AHEAD_MS;
    if (timestamp_ms < start) {
        *last_ms = start - 1;
        return 0;
    }
    int64_t step = (timestamp_ms - start) / STEP_MS;
    if (step >= steps) {
        *first_ms = start + steps * STEP_MS;
        return DAY_AHEAD_ALL;
    }
    *first_ms = start + step * STEP_MS;
    *last_ms = *first_ms + STEP_MS - 1;
    return DAY_AHEAD_ALL * (uint64_t)(step + 1) / (uint64_t)steps;
}
