#include "storage/merge_workers.h"

#include <stdlib.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "storage/back_pressure.h"
#include "storage/partition/merge_task.h"
#include "storage/storage_impl.h"

/* A merge that found the disk full is tried again after this, if no new part asks for it before. */
#define FULL_RETRY_MS 10000

struct pool {
    struct merge_workers *workers;
    enum merge_kind kind;
    struct thread *threads;
    /* Locked: */
    size_t started, idle;
    bool wanted; /* somebody should look for work */
};

struct merge_workers {
    struct storage *st;
    size_t threads_max; /* of each pool */
    struct mutex lock;  /* RANK_LEAF */
    struct cond wake;
    bool stopping; /* locked */
    struct pool pools[MERGE_POOLS];
};

unsigned merge_workers_count(unsigned count)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return count ? count : cores > 0 ? (unsigned)cores : 1;
}

int merge_result(struct storage *st, struct partition *pt, int result, const struct error *error)
{
    if (result >= 0 || result == ERR_FULL || result == ERR_CANCELLED)
        return result;
    if (result == ERR_IO) {
        /* A write or fsync failed: what is on disk is unknown, as in a flush. */
        (void)storage_fail(st, error);
    } else if (!atomic_exchange(&pt->merge_suspended, true)) {
        /* A damaged part: said once; its rows stay where they are. */
        atomic_fetch_add(&st->table.env.merges_suspended, 1);
        if (st->hooks.problem)
            st->hooks.problem(st->hooks.context, error);
    }
    return 0;
}

/* The newest month first: it's the one that parts arrive in. */
static bool select_task(struct storage *st, enum merge_kind kind, uint64_t max_bytes, struct merge_task *ret,
                        bool *ret_big_wanted)
{
    size_t count;
    struct partition **partitions = table_partitions(&st->table, &count);
    bool found = false;
    *ret_big_wanted = false;
    for (size_t i = count; i-- > 0 && !found;) {
        bool big_wanted = false;
        if (!atomic_load(&partitions[i]->merge_suspended))
            found = merge_select(ret, partitions[i], kind, max_bytes, &big_wanted);
        *ret_big_wanted |= big_wanted;
    }
    free(partitions);
    return found;
}

int merge_once(struct storage *st, enum merge_kind kind, uint64_t max_bytes)
{
    struct merge_task task;
    bool big_wanted;
    bool found = select_task(st, kind, max_bytes, &task, &big_wanted);
    if (big_wanted)
        merge_workers_wake(st->merge_workers, MERGE_BIG);
    if (!found)
        return 0;
    merge_workers_wake(st->merge_workers, kind); /* there may be more */
    struct partition *pt = task.pt;
    struct error error = {0};
    int r = merge_run(&task, &error);
    back_pressure_measure(st);
    return r == 0 ? 1 : merge_result(st, pt, r, &error);
}

static void worker(void *arg)
{
    struct pool *pool = arg;
    struct merge_workers *mw = pool->workers;
    struct storage *st = mw->st;
    int last = 0;
    mutex_lock(&mw->lock);
    for (;;) {
        bool waited = true;
        while (!mw->stopping && !pool->wanted && waited) {
            pool->idle++;
            if (last == ERR_FULL)
                waited = cond_wait_ms(&mw->wake, &mw->lock, FULL_RETRY_MS);
            else
                cond_wait(&mw->wake, &mw->lock);
            pool->idle--;
        }
        if (mw->stopping)
            break;
        pool->wanted = false;
        mutex_unlock(&mw->lock);
        do
            last = atomic_load(&st->failed) ? 0 : merge_once(st, pool->kind, UINT64_MAX);
        while (last == 1);
        mutex_lock(&mw->lock);
    }
    mutex_unlock(&mw->lock);
}

void merge_workers_wake(struct merge_workers *mw, enum merge_kind kind)
{
    static const char *const names[MERGE_POOLS] = {"merge-small", "merge-big", "merge-index"};
    struct pool *pool = &mw->pools[kind];
    mutex_lock(&mw->lock);
    pool->wanted = true;
    if (pool->idle > 0)
        cond_broadcast(&mw->wake);
    else if (!mw->stopping && pool->started < mw->threads_max)
        thread_start(&pool->threads[pool->started++], names[kind], worker, pool);
    mutex_unlock(&mw->lock);
}

void merge_workers_wake_all(struct merge_workers *mw)
{
    for (size_t kind = 0; kind < MERGE_POOLS; kind++)
        merge_workers_wake(mw, (enum merge_kind)kind);
}

struct merge_workers *start_merge_workers(struct storage *st, unsigned count)
{
    struct merge_workers *mw = xcalloc(1, sizeof *mw);
    mw->st = st;
    mw->threads_max = merge_workers_count(count);
    mutex_init(&mw->lock, RANK_LEAF);
    cond_init(&mw->wake);
    for (size_t kind = 0; kind < MERGE_POOLS; kind++) {
        mw->pools[kind].workers = mw;
        mw->pools[kind].kind = (enum merge_kind)kind;
        mw->pools[kind].threads = xcalloc(mw->threads_max, sizeof(struct thread));
    }
    return mw;
}

void merge_workers_free(struct merge_workers *mw)
{
    if (!mw)
        return;
    mutex_lock(&mw->lock);
    mw->stopping = true;
    cond_broadcast(&mw->wake);
    mutex_unlock(&mw->lock);
    for (size_t kind = 0; kind < MERGE_POOLS; kind++) {
        for (size_t i = 0; i < mw->threads_max; i++)
            thread_join(&mw->pools[kind].threads[i]);
        free(mw->pools[kind].threads);
    }
    mutex_destroy(&mw->lock);
    cond_destroy(&mw->wake);
    free(mw);
}
