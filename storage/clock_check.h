/*
 * Whether the wall clock can be right (architecture 4, "Clock"): a board may boot in 1970, or with whatever
 * its clock chip holds. While it's doubted, nothing may be refused or deleted because of its age.
 */
#ifndef VARVE_STORAGE_CLOCK_CHECK_H
#define VARVE_STORAGE_CLOCK_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum clock_verdict { CLOCK_PLAUSIBLE, CLOCK_BEHIND, CLOCK_AHEAD };

/* What is known of the time. Any thread. */
struct clock_check {
    bool trust;                /* the operator answers for it: always plausible */
    _Atomic int64_t commit_ms; /* wall clock at the last commit; 0: there's none, so there's no telling */
    _Atomic int64_t uptime_ms; /* uptime at that commit; 0: it was before we opened the store */
};

/* The clock is behind the last commit, or ahead of it by a day more than the machine has been up since (or at
 * all); unless it's synchronised. */
enum clock_verdict clock_check_at(const struct clock_check *c, int64_t now_ms, int64_t uptime_ms,
                                  bool is_synchronised);
/* The same, now. */
enum clock_verdict clock_check_now(const struct clock_check *c);

/* The times that it may be: the clock's, and while that is doubted, also the last commit's. */
void clock_check_range(const struct clock_check *c, int64_t *ret_earliest_ms, int64_t *ret_latest_ms);

/* The time to put into a commit: the clock's, or while that is doubted, the last commit's. */
int64_t clock_check_commit_ms(const struct clock_check *c);
/* A commit was made at that time, just now. */
void clock_check_committed(struct clock_check *c, int64_t commit_ms);

#endif
