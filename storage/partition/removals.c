#include "storage/partition/removals.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/fault_point.h"

void removals_init(struct removals *r)
{
    *r = (struct removals){0};
    mutex_init(&r->held, RANK_REMOVAL);
    mutex_init(&r->list_lock, RANK_LEAF);
}

void removals_release(struct removals *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->dirs[i]);
    free(r->dirs);
    mutex_destroy(&r->held);
    mutex_destroy(&r->list_lock);
}

void removals_hold(struct removals *r)
{
    mutex_lock(&r->held);
}

void removals_resume(struct removals *r, const struct fs *fs)
{
    mutex_unlock(&r->held);
    removals_run(r, fs);
}

void removals_add(struct removals *r, const char *dir)
{
    mutex_lock(&r->list_lock);
    GROW(r->dirs, r->count, r->capacity);
    r->dirs[r->count++] = xstrdup(dir);
    mutex_unlock(&r->list_lock);
}

/* NULL if there's none. */
static char *next_dir(struct removals *r)
{
    mutex_lock(&r->list_lock);
    char *dir = r->count ? r->dirs[--r->count] : NULL;
    mutex_unlock(&r->list_lock);
    return dir;
}

static bool is_waiting(struct removals *r)
{
    mutex_lock(&r->list_lock);
    bool waiting = r->count > 0;
    mutex_unlock(&r->list_lock);
    return waiting;
}

void removals_run(struct removals *r, const struct fs *fs)
{
    /* Looked at again after the unlocking: who adds while another removes finds the lock taken and goes. */
    while (is_waiting(r) && mutex_trylock(&r->held)) {
        char *dir;
        while ((dir = next_dir(r))) {
            (void)fs_remove_tree(fs, dir, NULL);
            free(dir);
            FAULT_POINT("merge.source_removed");
        }
        mutex_unlock(&r->held);
    }
}
