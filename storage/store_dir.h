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
 * with what is there then: the first half of opening (*ret_new_guard: the directory was at rest, so that the
 * guard may go again if the second half fails). A new store gets its id. On failure the lock is given back.
 */
int store_dir_acquire(const struct fs *fs, const char *root, struct store_view *view, int *ret_lock_fd,
                      bool *ret_new_guard, struct error *reterr);

/* Whether a store or a snapshot is there at all: what only looks mustn't take a mistyped name for an empty
 * store. */
bool store_dir_is_store(const char *root);

/* Removes the guard and gives the lock back: the directory is then what a stock server expects. */
int store_dir_give_back(const struct fs *fs, const char *root, int lock_fd, struct error *reterr);

#endif
