#include "storage/clock_check.h"

#include "src/base/clock.h"

/* A clock is stepped by a little while it's disciplined. */
#define SLACK_MS INT64_C(5000)

enum clock_verdict clock_check_at(const struct clock_check *c, int64_t now_ms, int64_t uptime_ms,
                                  bool is_synchronised)
{
    int64_t commit_ms = atomic_load(&c->commit_ms);
    if (c->trust || !commit_ms || is_synchronised)
        return CLOCK_PLAUSIBLE;
    if (now_ms + SLACK_MS < commit_ms)
        return CLOCK_BEHIND;
    int64_t passed_ms = uptime_ms - atomic_load(&c->uptime_ms);
    return now_ms - commit_ms > passed_ms + DAY_MS ? CLOCK_AHEAD : CLOCK_PLAUSIBLE;
}

enum clock_verdict clock_check_now(const struct clock_check *c)
{
    return clock_check_at(c, clock_now_ms(), clock_uptime_ms(), clock_is_synchronised());
}

void clock_check_range(const struct clock_check *c, int64_t *ret_earliest_ms, int64_t *ret_latest_ms)
{
    int64_t now_ms = clock_now_ms(), commit_ms = atomic_load(&c->commit_ms);
    *ret_earliest_ms = *ret_latest_ms = now_ms;
    if (now_ms + SLACK_MS >= commit_ms && now_ms - commit_ms <= DAY_MS)
        return; /* plausible without a look at anything else; this is asked for each message */
    if (clock_check_at(c, now_ms, clock_uptime_ms(), clock_is_synchronised()) == CLOCK_PLAUSIBLE)
        return;
    *ret_earliest_ms = now_ms < commit_ms ? now_ms : commit_ms;
    *ret_latest_ms = now_ms > commit_ms ? now_ms : commit_ms;
}

int64_t clock_check_commit_ms(const struct clock_check *c)
{
    return clock_check_now(c) == CLOCK_PLAUSIBLE ? clock_now_ms() : atomic_load(&c->commit_ms);
}

void clock_check_committed(struct clock_check *c, int64_t commit_ms)
{
    /* A repeated time says nothing about when. */
    if (atomic_exchange(&c->commit_ms, commit_ms) != commit_ms)
        atomic_store(&c->uptime_ms, clock_uptime_ms());
}
