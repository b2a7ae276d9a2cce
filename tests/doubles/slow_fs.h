/*
 * The real file system, but writes to paths that contain a text wait at a gate, and as much space is free as
 * the test says. Any thread.
 */
#ifndef VARVE_TESTS_DOUBLES_SLOW_FS_H
#define VARVE_TESTS_DOUBLES_SLOW_FS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/fs/fs.h"

struct slow_fs {
    struct fs fs; /* what the code under test is given */
    struct fs_ops ops;
    const char *gated;           /* NULL: none */
    atomic_bool is_open;         /* the gate */
    atomic_int waiting;          /* writes at the gate */
    _Atomic uint64_t free_bytes; /* 0: the real one's */
};

void slow_fs_init(struct slow_fs *f, const char *gated);

#endif
