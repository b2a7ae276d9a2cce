/*
 * Directories of parts that were merged away, on their way off the disk. Whoever links what is in data/ (a
 * snapshot), or moves months out of it, holds removals back meanwhile; who merges doesn't wait for that, but
 * leaves the directories to the holder. Any thread.
 */
#ifndef VARVE_STORAGE_PARTITION_REMOVALS_H
#define VARVE_STORAGE_PARTITION_REMOVALS_H

#include <stddef.h>

#include "src/base/mutex.h"
#include "storage/fs/fs.h"

struct removals {
    struct mutex held;      /* RANK_REMOVAL: by who holds them back, and by who is removing */
    struct mutex list_lock; /* RANK_LEAF */
    /* Locked by list_lock: */
    char **dirs;
    size_t count, capacity;
};

void removals_init(struct removals *r);
/* What still waits stays on disk: no list of parts names it, so that the next open deletes it. */
void removals_release(struct removals *r);

/* From here on to removals_resume, which removes what came meanwhile, no directory goes. One holder at a
 * time; the others wait. */
void removals_hold(struct removals *r) TS_ATTR(acquire_capability(r->held));
void removals_resume(struct removals *r, const struct fs *fs) TS_ATTR(release_capability(r->held));

/* A directory to remove, copied: by the next removals_run. */
void removals_add(struct removals *r, const char *dir);
/* Removes what was added, unless somebody holds removals back or is at it: then that one does it. A directory
 * that can't be removed is left to the next open. */
void removals_run(struct removals *r, const struct fs *fs);

#endif
