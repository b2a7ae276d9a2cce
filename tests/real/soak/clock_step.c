/*
 * LD_PRELOAD: a wall clock that a test can step while the program runs. The file that VARVE_TEST_CLOCK names
 * holds, as 64 bits of the machine's own order, the nanoseconds by which the clock is ahead. Monotonic clocks
 * stay. Waits until a time of the wall clock last as long as they would by the machine's, and the kernel is
 * said to have a clock that nothing keeps right.
 *
 *   cc -shared -fPIC -O2 -o clock_step.so clock_step.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

static const volatile int64_t *ahead_ns;

static int (*real_cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_cnd_timedwait)(cnd_t *, mtx_t *, const struct timespec *);
static int (*real_sem_timedwait)(sem_t *, const struct timespec *);
static int (*real_adjtimex)(struct timex *);

__attribute__((constructor)) static void begin(void)
{
    *(void **)&real_cond_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    *(void **)&real_cond_clockwait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    *(void **)&real_cnd_timedwait = dlsym(RTLD_NEXT, "cnd_timedwait");
    *(void **)&real_sem_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
    *(void **)&real_adjtimex = dlsym(RTLD_NEXT, "adjtimex");
    const char *path = getenv("VARVE_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        (void)fprintf(stderr, "clock_step: VARVE_TEST_CLOCK names no file of 8 bytes\n");
        _exit(127);
    }
    close(fd);
    ahead_ns = page;
}

static int64_t ahead(void)
{
    return ahead_ns ? *ahead_ns : 0;
}

static struct timespec shifted(const struct timespec *t, int64_t by_ns)
{
    int64_t ns = (int64_t)t->tv_sec * SECOND_NS + t->tv_nsec + by_ns;
    ns = ns < 0 ? 0 : ns;
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        *t = shifted(t, ahead());
    return r;
}

int timespec_get(struct timespec *t, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    int r = clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return r;
}

time_t time(time_t *ret)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

/* A condition variable knows which clock it was made for; glibc keeps that in this bit. */
static int is_monotonic(const pthread_cond_t *c)
{
    return c->__data.__wrefs & 2;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict until)
{
    struct timespec t = is_monotonic(c) ? *until : shifted(until, -ahead());
    return real_cond_timedwait(c, m, &t);
}

int pthread_cond_clockwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t id,
                           const struct timespec *restrict until)
{
    struct timespec t = id == CLOCK_REALTIME ? shifted(until, -ahead()) : *until;
    return real_cond_clockwait(c, m, id, &t);
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until)
{
    struct timespec t = shifted(until, -ahead());
    return real_cnd_timedwait(c, m, &t);
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict until)
{
    struct timespec t = shifted(until, -ahead());
    return real_sem_timedwait(s, &t);
}

int adjtimex(struct timex *t)
{
    int r = real_adjtimex(t);
    t->status |= STA_UNSYNC;
    return r < 0 ? r : TIME_ERROR;
}
