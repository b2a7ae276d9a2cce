/*
 * A file system that fails, or ends the process, at its n-th changing operation: put in front of the real
 * one. Any thread; operations are counted in the order in which they come.
 */
#ifndef VARVE_TESTS_DOUBLES_FAULT_FS_H
#define VARVE_TESTS_DOUBLES_FAULT_FS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/fs/fs.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_EXIT,     /* the process ends before the operation, as kill -9 would end it */
    FAULT_IO,       /* ERR_IO, this once */
    FAULT_FULL,     /* ERR_FULL, this once; of a write half got there */
    FAULT_FULL_FOR, /* ERR_FULL for everything that needs space, this time and the next `length` operations */
    FAULT_SHORT_WRITE, /* half of the bytes, then ERR_IO */
};

struct fault_fs {
    struct fs fs; /* what the code under test is given */
    _Atomic enum fault_kind kind;
    atomic_long at;     /* from 1 */
    atomic_long length; /* how many operations behind it fail, too */
    atomic_bool
        renames_fit; /* a full disk has room for renames and syncs of directories, as real ones mostly do */
    /* Another way to choose: the n-th sync of a file whose path ends so sets `at`. */
    const char *_Atomic sync_of; /* NULL: not used */
    atomic_long syncs_left;
    bool lose_write; /* a sync that fails takes the file's last write away, as the disk has it after a power
                        cut */
    long exit_after; /* operations after `at` the process ends; 0: never */
    atomic_long operations;
    atomic_long faults;
    /* The last write to a file of sync_of. */
    atomic_long last_offset, last_size;
};

void fault_fs_init(struct fault_fs *f, enum fault_kind kind, long at);

#endif
