#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

struct shared {
    struct mutex lock;
    struct cond changed;
    int count;
    bool go;
};

static void count_up(void *arg)
{
    struct shared *s = arg;
    mutex_lock(&s->lock);
    while (!s->go)
        cond_wait(&s->changed, &s->lock);
    mutex_unlock(&s->lock);
    for (int i = 0; i < 10000; i++) {
        mutex_lock(&s->lock);
        s->count++;
        mutex_unlock(&s->lock);
    }
}

static void excludes_and_wakes(void **state)
{
    (void)state;
    struct shared s = {0};
    struct thread threads[4] = {0};
    mutex_init(&s.lock, RANK_SINK);
    cond_init(&s.changed);
    for (int i = 0; i < 4; i++)
        thread_start(&threads[i], "counter", count_up, &s);
    mutex_lock(&s.lock);
    s.go = true;
    cond_broadcast(&s.changed);
    mutex_unlock(&s.lock);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    assert_int_equal(s.count, 40000);
    cond_destroy(&s.changed);
    mutex_destroy(&s.lock);
}

static void try_takes_it(void *arg)
{
    struct shared *s = arg;
    if (mutex_trylock(&s->lock)) {
        s->go = true;
        mutex_unlock(&s->lock);
    }
}

static void trying_does_not_wait(void **state)
{
    (void)state;
    struct shared s = {0};
    struct thread thread = {0};
    mutex_init(&s.lock, RANK_LEAF);
    mutex_lock(&s.lock);
    thread_start(&thread, "try", try_takes_it, &s);
    thread_join(&thread);
    assert_false(s.go);
    mutex_unlock(&s.lock);
    thread_start(&thread, "try", try_takes_it, &s);
    thread_join(&thread);
    assert_true(s.go);
    mutex_destroy(&s.lock);
}

static void waits_no_longer_than_told(void **state)
{
    (void)state;
    struct shared s = {0};
    mutex_init(&s.lock, RANK_SINK);
    cond_init(&s.changed);
    int64_t start = clock_monotonic_ms();
    mutex_lock(&s.lock);
    while (cond_wait_ms(&s.changed, &s.lock, 30)) /* true for a wake-up for no reason */
        ;
    mutex_unlock(&s.lock);
    assert_true(clock_monotonic_ms() - start >= 29);
    cond_destroy(&s.changed);
    mutex_destroy(&s.lock);
}

#ifdef VARVE_CHECK_LOCKS
static void take_in_order(enum lock_rank first, enum lock_rank second)
{
    struct mutex a, b;
    mutex_init(&a, first);
    mutex_init(&b, second);
    mutex_lock(&a);
    mutex_lock(&b);
    mutex_unlock(&b);
    mutex_unlock(&a);
}

/* In a child, as it may be stopped: the signal that ended it, 0 for none. */
static int signal_of(enum lock_rank first, enum lock_rank second)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)!freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        take_in_order(first, second);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void wrong_order_stops_the_program(void **state)
{
    (void)state;
    assert_int_equal(signal_of(RANK_SINK, RANK_PART), 0);
    assert_int_equal(signal_of(RANK_WRITER, RANK_WRITER), 0);
    assert_int_equal(signal_of(RANK_PART, RANK_SINK), SIGABRT);
    assert_int_equal(signal_of(RANK_PART, RANK_PART), SIGABRT);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(excludes_and_wakes),
        cmocka_unit_test(trying_does_not_wait),
        cmocka_unit_test(waits_no_longer_than_told),
#ifdef VARVE_CHECK_LOCKS
        cmocka_unit_test(wrong_order_stops_the_program),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
