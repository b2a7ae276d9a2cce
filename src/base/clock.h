/* Time. Wall-clock time is Unix milliseconds, UTC; monotonic time has no meaning but its differences. */
#ifndef VARVE_BASE_CLOCK_H
#define VARVE_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define SECOND_MS INT64_C(1000)
#define DAY_MS    INT64_C(86400000)

int64_t clock_now_ms(void);
uint64_t clock_now_ns(void);
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
void clock_sleep_ms(int64_t ms);
/* Since the machine's start, suspended time included. */
int64_t clock_uptime_ms(void);
/* Whether something (NTP) keeps the wall clock right, as the kernel sees it. False under a test's clock. */
bool clock_is_synchronised(void);

/* For tests: clock_now_ms and clock_now_ns return this until it's set to 0 again. Any thread. */
void clock_set_fake_ms(int64_t now_ms);

#endif
