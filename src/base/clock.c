#include "src/base/clock.h"

#include <stdatomic.h>
#include <sys/timex.h>
#include <time.h>

static _Atomic int64_t fake_ms;

static uint64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    int64_t fake = atomic_load(&fake_ms);
    return fake ? (uint64_t)fake * 1000000u : read_ns(CLOCK_REALTIME);
}

int64_t clock_now_ms(void)
{
    return (int64_t)(clock_now_ns() / 1000000u);
}

int64_t clock_monotonic_us(void)
{
    return (int64_t)(read_ns(CLOCK_MONOTONIC) / 1000u);
}

int64_t clock_monotonic_ms(void)
{
    return (int64_t)(read_ns(CLOCK_MONOTONIC) / 1000000u);
}

int64_t clock_uptime_ms(void)
{
    return (int64_t)(read_ns(CLOCK_BOOTTIME) / 1000000u);
}

bool clock_is_synchronised(void)
{
    struct timex look = {.modes = 0};
    return !atomic_load(&fake_ms) && adjtimex(&look) >= 0 && !(look.status & STA_UNSYNC);
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0)
        ;
}

void clock_set_fake_ms(int64_t now_ms)
{
    atomic_store(&fake_ms, now_ms);
}
