/* A spool's file system that fails, writes short, or takes its time. Any thread. */
#ifndef VARVE_TESTS_UNIT_SINKS_MQTT_FAULTY_SPOOL_FS_H
#define VARVE_TESTS_UNIT_SINKS_MQTT_FAULTY_SPOOL_FS_H

#include <stdatomic.h>
#include <sys/types.h>

#include "sinks/mqtt/spool_fs.h"

struct faulty_spool_fs {
    struct spool_fs fs;      /* what the spool is given */
    atomic_int fail_at;      /* the n-th changing operation from now fails (1: the next); 0: none */
    atomic_int fail_errno;   /* with this */
    atomic_int fails_after;  /* so many more after it fail, too */
    atomic_int sync_fails;   /* that many syncs of data fail */
    atomic_int short_writes; /* each write takes at most this many bytes; 0: all */
    atomic_int writes_max;   /* larger ones find the disk full, after this much; 0: none do */
    atomic_int sync_ms;      /* each sync of data takes so long */
    atomic_int operations, syncs;
    atomic_int dirs_synced_count;
    ino_t dirs_synced[64]; /* directories synced so far, in this order */
};

void faulty_spool_fs_init(struct faulty_spool_fs *f);

#endif
