/*
 * A store's directory as a whole: who owns it, the guard against a half-published state, what a stock server
 * expects to find.
 */
#ifndef VARVE_STORAGE_STORE_DIR_H
#define VARVE_STORAGE_STORE_DIR_H

#include <stdbool.h>

#include "src/base/error.h"
#include "storage/commit/store_view.h"
#include "storage/fs/fs.h"

/* Takes flock.lock; *ret_fd holds it. ERR_BUSY if a server is running on the directory. shared: for readers,
 * who make no lock file. */
int store_dir_lock(const char *root, bool shared, int *ret_fd, struct error *reterr);

/* Locks the directory (made if missing), sets the guard, finishes an unclean stop, and fills a zeroed view
 * with what is there then: the first half of opening. A new store gets its id. On failure the lock is given
 * back. */
int store_dir_acquire(const struct fs *fs, const char *root, struct store_view *view, int *ret_lock_fd,
                      struct error *reterr);

/* Removes the guard and gives the lock back: the directory is then what a stock server expects. */
int store_dir_give_back(const struct fs *fs, const char *root, int lock_fd, struct error *reterr);

#endif
