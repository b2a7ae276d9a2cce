/*
 * A mutex that knows its place, and a condition to wait on.
 *
 * Ranks order all locks of the program: a thread takes locks in ascending rank only. In builds with
 * VARVE_CHECK_LOCKS (dev, asan, tsan) taking one out of order stops the program, naming both; two locks of
 * one rank may be held together only if the rank says so (RANK_WRITER: taken in the order of creation).
 */
#ifndef VARVE_BASE_MUTEX_H
#define VARVE_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    RANK_SINK = 10,        /* a sink's own state */
    RANK_REMOVAL = 15,     /* storage: parts leave the disk, or are linked into a snapshot */
    RANK_FLUSH = 20,       /* storage: rows leave the writers in one order */
    RANK_WRITER = 30,      /* storage: one worker's rawRows; several at once at a cut */
    RANK_POSITIONS = 40,   /* storage: position tables */
    RANK_LOOKUP = 45,      /* storage: which series is registered on which day */
    RANK_SERIES = 50,      /* storage: series registry */
    RANK_TABLE = 60,       /* storage: list of partitions */
    RANK_OPEN = 62,        /* storage: a partition's parts are being opened */
    RANK_PARTS_JSON = 65,  /* storage: one change of a partition's parts.json at a time */
    RANK_INDEX_FLUSH = 68, /* storage: index rows on their way from pending to a part */
    RANK_PARTITION = 70,   /* storage: a partition's part lists */
    RANK_INDEX = 80,       /* storage: a partition's pending index rows */
    RANK_PART = 90,        /* a part's caches, free chunks */
    RANK_REJECTS = 100,
    RANK_LEAF = 150, /* a lock under which no other is taken */
    RANK_LOG = 200,
};

#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define REQUIRES(lock) TS_ATTR(requires_capability(lock))
#if defined(__clang__) && __clang_major__ >= 19
#define GUARDED_BY(lock) __attribute__((guarded_by(&lock)))
#else
#define GUARDED_BY(lock)
#endif

struct TS_ATTR(capability("mutex")) mutex {
    pthread_mutex_t native;
    enum lock_rank rank;
};

struct cond {
    pthread_cond_t native;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m) TS_ATTR(acquire_capability(*m));
/* False if somebody has it for all of timeout_ms (of the wall clock: for waits that don't have to be exact).
 */
bool mutex_lock_ms(struct mutex *m, int64_t timeout_ms) TS_ATTR(try_acquire_capability(true, *m));
/* False at once if somebody has it. */
bool mutex_trylock(struct mutex *m) TS_ATTR(try_acquire_capability(true, *m));
void mutex_unlock(struct mutex *m) TS_ATTR(release_capability(*m));

void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
void cond_broadcast(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(*m);
/* Waits at most timeout_ms; false when the time ran out. */
bool cond_wait_ms(struct cond *c, struct mutex *m, int64_t timeout_ms) REQUIRES(*m);

#endif
