/* Named threads. All signals but faults are blocked in them: the main thread takes signals. */
#ifndef VARVE_BASE_THREAD_H
#define VARVE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct thread {
    pthread_t native;
    bool started;
};

/* Runs fn(arg) in a new thread called name (15 characters count). Stops the program if none can be made. */
void thread_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg);
/* Waits for its end; nothing happens if it was never started. */
void thread_join(struct thread *t);

#endif
