/*
 * Every on-disk name, in one place.
 *
 *   ROOT/flock.lock                       flock(2), taken before anything is touched
 *   ROOT/restore-in-progress              the guard: stock servers refuse to start while it's there
 *   ROOT/metadata/minTimestampForCompositeIndex
 *   ROOT/data/{small,big,indexdb}/YYYY_MM/{parts.json,PART/}   layout P, format 2.2
 *   ROOT/varve/checkpoint                 store id, commit number, positions
 *   ROOT/varve/journal                    commits since the checkpoint; absent after a clean stop
 *   ROOT/varve/prepared                   a commit that waits, or waited, for a verdict (commit/prepared.h)
 *   ROOT/varve/staging/N/{small,big,indexdb}/YYYY_MM/PART      parts of commit N, not yet published
 *   ROOT/varve/cache/largest_ids          series/largest_ids.h
 */
#ifndef VARVE_STORAGE_FS_FILE_NAMES_H
#define VARVE_STORAGE_FS_FILE_NAMES_H

#define FILE_LOCK        "flock.lock"
#define FILE_GUARD       "restore-in-progress"
#define FILE_GUARD_TEXT  "varve " /* then the store's id */
#define FILE_PARTS_JSON  "parts.json"
#define DIR_DATA         "data"
#define DIR_SMALL        "small"
#define DIR_BIG          "big"
#define DIR_INDEX        "indexdb"
#define DIR_SNAPSHOTS    "snapshots"
#define DIR_LEGACY_INDEX "indexdb"
#define DIR_METADATA     "metadata"
#define FILE_COMPOSITE   "metadata/minTimestampForCompositeIndex"
#define DIR_CACHE        "cache"
#define FILE_CACHE_RESET "cache/reset_cache_on_startup"
#define DIR_VARVE        "varve"
#define FILE_CHECKPOINT  "varve/checkpoint"
#define FILE_JOURNAL     "varve/journal"
#define FILE_PREPARED    "varve/prepared"
#define DIR_VARVE_CACHE  "varve/cache"
#define FILE_LARGEST_IDS "varve/cache/largest_ids"
#define DIR_STAGING      "varve/staging"
#define DIR_DROPPED      "varve/staging/dropped" /* months on their way out */

#define MONTH_TEXT_SIZE     8  /* YYYY_MM and a zero */
#define PART_NAME_TEXT_SIZE 17 /* 16 upper-case hex digits and a zero */

#endif
