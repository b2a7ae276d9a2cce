/* Time. Wall-clock time is Unix milliseconds, UTC; monotonic time has no meaning but its differences. */
#ifndef VARVE_BASE_CLOCK_H
#define VARVE_BASE_CLOCK_H

#include <stdint.h>

#define SECOND_MS INT64_C(1000)
#define DAY_MS    INT64_C(86400000)

int64_t clock_now_ms(void);
uint64_t clock_now_ns(void);
int64_t clock_monotonic_ms(void);
/* The same, and it goes on while the machine sleeps. */
int64_t clock_boottime_ms(void);
void clock_sleep_ms(int64_t ms);

/* For tests: clock_now_ms and clock_now_ns return this until it's set to 0 again. Any thread. */
void clock_set_fake_ms(int64_t now_ms);

#endif
