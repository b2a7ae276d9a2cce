/*
 * Snapshots: the state of one commit over all months, in a stock server's own layout (format 12), which a
 * stock server starts from a copy of, and which vmbackup takes.
 *
 *   ROOT/snapshots/NAME/data/{small,big,indexdb}   symlinks to
 *   ROOT/data/{small,big,indexdb}/snapshots/NAME   parts.json and YYYY_MM/PART/, hard links to the files
 *   ROOT/snapshots/NAME/metadata/                  copied
 *   ROOT/snapshots/NAME/varve/checkpoint           the store's id and the positions of that commit: a Varve
 *                                                  that starts from a copy reads on from there
 *
 * ROOT/snapshots/NAME appears last, by rename, so that a half-made snapshot is never listed. What a crash
 * leaves of one is removed at the next open.
 */
#ifndef VARVE_STORAGE_SNAPSHOT_H
#define VARVE_STORAGE_SNAPSHOT_H

#include <stdbool.h>

#include "storage/fs/fs.h"
#include "storage/storage.h"

#define SNAPSHOT_NAME_SIZE 33 /* YYYYMMDDhhmmss-, at most 16 hex digits, a zero, and room */

/* Commits what was handed over before the call, and makes a snapshot of it; durable when it returns. Intake
 * goes on meanwhile; removing parts that were merged away waits. ERR_FULL, ERR_CANCELLED when the commit took
 * longer than timeout_ms (negative: no limit); nothing is left behind then. Any thread, not between begin and
 * end of a writer. */
int storage_snapshot_create(struct storage *st, int64_t timeout_ms, char ret_name[SNAPSHOT_NAME_SIZE],
                            struct error *reterr);

/* Names, oldest first; free with fs_list_release. Any thread. */
int storage_snapshot_list(struct storage *st, struct fs_list *ret, struct error *reterr);

/* ERR_NOT_FOUND for a name that isn't listed. Any thread. */
int storage_snapshot_delete(struct storage *st, const char *name, struct error *reterr);

/* Whether a stock server would take it for a snapshot: YYYYMMDDhhmmss-HEX. */
bool snapshot_name_is_valid(const char *name);

/* Removes what a crash left of snapshots that were being made or deleted. At open, with the lock held. */
int snapshots_clean_up(const struct fs *fs, const char *root, struct error *reterr);

#endif
