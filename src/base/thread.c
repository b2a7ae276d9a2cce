#include "src/base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

struct start {
    void (*fn)(void *);
    void *arg;
    char name[16];
};

static void *trampoline(void *p)
{
    struct start s = *(struct start *)p;
    free(p);
    (void)pthread_setname_np(pthread_self(), s.name);
    s.fn(s.arg);
    return NULL;
}

void thread_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg)
{
    struct start *s = xcalloc(1, sizeof *s);
    s->fn = fn;
    s->arg = arg;
    snprintf(s->name, sizeof s->name, "%s", name);

    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* a fault of the thread's own, whose handler names it */
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&t->native, NULL, trampoline, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        fprintf(stderr, "varve: cannot start thread %s: %s\n", name, strerror(r));
        abort();
    }
    t->started = true;
}

void thread_join(struct thread *t)
{
    if (!t->started)
        return;
    pthread_join(t->native, NULL);
    t->started = false;
}
