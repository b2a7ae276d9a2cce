/*
 * C11 threads over pthreads, for programs built with ThreadSanitizer that use Debian's librdkafka.
 *
 * That library calls glibc's thrd_create, mtx_* and cnd_*, which TSan doesn't intercept: a thread it doesn't
 * know of crashes in the first instrumented function. Defined in the executable, these win over glibc's, and
 * TSan sees the pthread calls. Linked into executables (not libraries) by the target varve_tsan_shim; export
 * them with -rdynamic.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(mtx_t), "glibc's mtx_t holds a pthread mutex");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(cnd_t), "glibc's cnd_t holds a pthread condition");

struct start {
    thrd_start_t fn;
    void *arg;
};

static void *trampoline(void *p)
{
    struct start s = *(struct start *)p;
    free(p);
    return (void *)(intptr_t)s.fn(s.arg);
}

static int result(int r)
{
    return r == 0           ? thrd_success
           : r == ETIMEDOUT ? thrd_timedout
           : r == EBUSY     ? thrd_busy
           : r == ENOMEM    ? thrd_nomem
                            : thrd_error;
}

int thrd_create(thrd_t *t, thrd_start_t fn, void *arg)
{
    struct start *s = malloc(sizeof *s);
    if (!s)
        return thrd_nomem;
    *s = (struct start){fn, arg};
    int r = pthread_create(t, NULL, trampoline, s);
    if (r)
        free(s);
    return result(r);
}

int thrd_join(thrd_t t, int *ret)
{
    void *value;
    int r = pthread_join(t, &value);
    if (!r && ret)
        *ret = (int)(intptr_t)value;
    return result(r);
}

int thrd_detach(thrd_t t)
{
    return result(pthread_detach(t));
}

thrd_t thrd_current(void)
{
    return pthread_self();
}

int thrd_equal(thrd_t a, thrd_t b)
{
    return pthread_equal(a, b);
}

_Noreturn void thrd_exit(int value)
{
    pthread_exit((void *)(intptr_t)value);
}

int mtx_init(mtx_t *m, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    int r = pthread_mutex_init((pthread_mutex_t *)m, &attr);
    pthread_mutexattr_destroy(&attr);
    return result(r);
}

int mtx_lock(mtx_t *m)
{
    return result(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_trylock(mtx_t *m)
{
    return result(pthread_mutex_trylock((pthread_mutex_t *)m));
}

int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict until)
{
    return result(pthread_mutex_timedlock((pthread_mutex_t *)m, until));
}

int mtx_unlock(mtx_t *m)
{
    return result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

void mtx_destroy(mtx_t *m)
{
    pthread_mutex_destroy((pthread_mutex_t *)m);
}

int cnd_init(cnd_t *c)
{
    return result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

int cnd_signal(cnd_t *c)
{
    return result(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
    return result(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
    return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until)
{
    return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

void cnd_destroy(cnd_t *c)
{
    pthread_cond_destroy((pthread_cond_t *)c);
}
