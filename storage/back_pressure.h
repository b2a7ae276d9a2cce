/*
 * Writers are held up when commits or merges don't keep pace: a moment at a time, never a row dropped, and in
 * proportion to how far behind they are.
 */
#ifndef VARVE_STORAGE_BACK_PRESSURE_H
#define VARVE_STORAGE_BACK_PRESSURE_H

#include <stdint.h>

struct storage;
struct storage_writer;

/* Parts of one month that wait for merges. Up to the first number nothing is slowed; a month in which merges
 * keep pace has at most a third of that. From the second on a writer waits as long as it may. */
#define MERGE_DEBT_FREE 128
#define MERGE_DEBT_FULL 512
/* How long one hand-over may be held up for merges: far less than brokers wait for a client. */
#define MERGE_WAIT_MAX_MS 200

/* How long a writer that was busy for busy_ms waits with so many parts waiting, so that what it takes in
 * falls to the share that's left between the two numbers above. Pure. */
double back_pressure_wait_ms(uint64_t debt, int64_t busy_ms);

/* Counts the parts that wait: after a commit, and after a merge. Any thread. */
void back_pressure_measure(struct storage *st);

/* Holds a writer up if there's need. Without the writer's lock. */
void storage_throttle(struct storage_writer *w);

#endif
