#include "src/base/mutex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef VARVE_CHECK_LOCKS
#define HELD_MAX 64
static _Thread_local enum lock_rank held[HELD_MAX];
static _Thread_local int held_count;

static void rank_push(enum lock_rank rank)
{
    enum lock_rank top = 0;
    for (int i = 0; i < held_count; i++)
        if (held[i] > top)
            top = held[i];
    if (rank < top || (rank == top && rank != RANK_WRITER)) {
        fprintf(stderr, "varve: lock of rank %d taken while holding rank %d\n", rank, top);
        abort();
    }
    if (held_count == HELD_MAX)
        abort();
    held[held_count++] = rank;
}

static void rank_pop(enum lock_rank rank)
{
    for (int i = held_count - 1; i >= 0; i--) {
        if (held[i] == rank) {
            held[i] = held[--held_count];
            return;
        }
    }
    fprintf(stderr, "varve: lock of rank %d released but not held by this thread\n", rank);
    abort();
}
#else
#define rank_push(rank) ((void)(rank))
#define rank_pop(rank)  ((void)(rank))
#endif

static void must(int errnum, const char *what)
{
    if (errnum == 0)
        return;
    fprintf(stderr, "varve: %s: error %d\n", what, errnum);
    abort();
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    must(pthread_mutex_init(&m->native, NULL), "pthread_mutex_init");
    m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
    must(pthread_mutex_destroy(&m->native), "pthread_mutex_destroy");
}

void mutex_lock(struct mutex *m) TS_ATTR(no_thread_safety_analysis)
{
    rank_push(m->rank);
    must(pthread_mutex_lock(&m->native), "pthread_mutex_lock");
}

static struct timespec time_in(clockid_t clock, int64_t ms)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool mutex_lock_ms(struct mutex *m, int64_t timeout_ms) TS_ATTR(no_thread_safety_analysis)
{
    struct timespec until = time_in(CLOCK_REALTIME, timeout_ms); /* the one that TSan knows a wait for */
    int r = pthread_mutex_timedlock(&m->native, &until);
    if (r == ETIMEDOUT)
        return false;
    must(r, "pthread_mutex_timedlock");
    rank_push(m->rank);
    return true;
}

bool mutex_trylock(struct mutex *m) TS_ATTR(no_thread_safety_analysis)
{
    int r = pthread_mutex_trylock(&m->native);
    if (r == EBUSY)
        return false;
    must(r, "pthread_mutex_trylock");
    rank_push(m->rank);
    return true;
}

void mutex_unlock(struct mutex *m) TS_ATTR(no_thread_safety_analysis)
{
    must(pthread_mutex_unlock(&m->native), "pthread_mutex_unlock");
    rank_pop(m->rank);
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(&c->native, &attr), "pthread_cond_init");
    pthread_condattr_destroy(&attr);
}

void cond_destroy(struct cond *c)
{
    must(pthread_cond_destroy(&c->native), "pthread_cond_destroy");
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(&c->native), "pthread_cond_broadcast");
}

void cond_wait(struct cond *c, struct mutex *m)
{
    must(pthread_cond_wait(&c->native, &m->native), "pthread_cond_wait");
}

bool cond_wait_ms(struct cond *c, struct mutex *m, int64_t timeout_ms)
{
    struct timespec t = time_in(CLOCK_MONOTONIC, timeout_ms);
    int r = pthread_cond_timedwait(&c->native, &m->native, &t);
    if (r == ETIMEDOUT)
        return false;
    must(r, "pthread_cond_timedwait");
    return true;
}
