/*
 * One month: its rows (data) and the index of its series, each a set of parts from memory to disk
 * (lib/storage/partition.go, and the partition index of v1.133+).
 *
 *   partition_add_inmemory_part      rows of about a second, sorted
 *   partition_lock_index_rows        where rows of new series go
 *   partition_flush_index_rows       makes them searchable
 *   partition_flush_inmemory_parts   a cut's parts -> staged file parts (part_flush.c)
 *   partition_merge_parts            file parts -> larger ones (merge_select.c, part_merge.c)
 */
#ifndef VARVE_STORAGE_PARTITION_PARTITION_H
#define VARVE_STORAGE_PARTITION_PARTITION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "src/base/error.h"
#include "storage/fs/fs.h"
#include "storage/partition/month.h"
#include "storage/partition/part_set.h"
#include "storage/partition/parts_json.h"
#include "storage/partition/removals.h"
#include "storage/series/index_rows.h"

enum merge_kind {
    MERGE_SMALL,  /* small parts into a small one */
    MERGE_BIG,    /* small and big parts into a big one */
    MERGE_INDEX,  /* parts of the index */
    MERGE_FORCED, /* what an operator asked for: all parts of a month */
    MERGE_KINDS
};

/* For metrics. */
struct merge_counters {
    _Atomic uint64_t active, done;
    _Atomic uint64_t rows;       /* written; of the index, items read */
    _Atomic uint64_t bytes_read; /* of source parts */
    _Atomic uint64_t bytes_written;
};

/* What all partitions of a store share. */
struct partition_env {
    const struct fs *fs;
    const char *root;           /* the store's directory */
    _Atomic uint64_t next_part; /* names count up from here; above all found at open */
    _Atomic uint64_t
        published_durable; /* commits up to this one are recorded as published: their parts may be merged */
    _Atomic int64_t retention_deadline_ms; /* rows before it may go; 0: none, the clock is in doubt */
    int64_t dedup_interval_ms;             /* of parts made from now on; 0: none */
    uint64_t small_part_bytes_max;         /* larger ones are big parts; 0: by the machine's memory */
    unsigned merge_workers;                /* of each kind: what is free is shared among so many */
    _Atomic uint64_t merge_reserved_bytes; /* that the results of merges at work may need */
    struct merge_counters merges[MERGE_KINDS];
    _Atomic uint64_t flushed_bytes, flushed_index_bytes; /* of parts made from memory */
    _Atomic uint64_t merges_suspended;    /* months whose parts aren't merged any more, as one is damaged */
    _Atomic uint64_t pending_index_bytes; /* of index rows not yet in a part, all months */
    atomic_bool stop_merges;
    _Atomic uint64_t unopened_months; /* see partition_open.h */
    struct {
        _Atomic uint64_t retention_rows;   /* that were on disk */
        _Atomic uint64_t deleted_rows;     /* of deleted series, at merges */
        _Atomic uint64_t dedup_rows;       /* at flushes and merges */
        _Atomic uint64_t uncommitted_rows; /* of dropped months, left out of commits */
        _Atomic uint64_t parts;            /* whole, without a merge */
        _Atomic uint64_t months;
    } removed;
    struct removals removals; /* of parts that were merged away */
};

struct partition {
    struct partition_env *env;
    struct month month;
    struct part_set data, index;

    struct mutex
        parts_json_lock; /* RANK_PARTS_JSON: held over the reading, changing and writing of one parts.json */

    struct mutex
        index_flush_lock; /* RANK_INDEX_FLUSH: from the taking of pending rows until their part is listed */
    struct mutex pending_lock; /* RANK_INDEX */
    /* Locked by pending_lock: */
    struct index_rows pending; /* index rows not yet in a part */
    size_t pending_bytes_before;

    struct mutex open_lock; /* RANK_OPEN: held while the month's parts are opened */
    atomic_bool unopened;   /* its parts on disk aren't in the sets yet */
    /* Locked by open_lock: */
    struct unopened_part *to_open;
    size_t to_open_count, to_open_capacity;
    uint64_t largest_metric_id; /* in the index parts that were opened */

    atomic_bool dropped;         /* out of retention: rows still in memory are left out of commits */
    atomic_bool merge_suspended; /* a merge failed on damage: reported once, then left alone */
};

struct partition *partition_new(struct partition_env *env, const struct month *month);
void partition_free(struct partition *pt);

/* The set that lists parts of a place. */
struct part_set *partition_set(struct partition *pt, enum part_place place);
/* ROOT/data/<place>/YYYY_MM, to be freed. */
char *partition_dir(const struct partition *pt, enum part_place place);
/* A new unique part name. */
void partition_env_name(struct partition_env *env, char ret_name[PART_NAME_TEXT_SIZE]);

/* --- memory --- */

/* Takes over mp (NULL is fine). */
void partition_add_inmemory_part(struct partition *pt, struct inmemory_part *mp, uint64_t commit,
                                 int64_t oldest_arrival_ms);
/* The pending index rows, to append to; locked until the matching unlock. */
struct index_rows *partition_lock_index_rows(struct partition *pt);
void partition_unlock_index_rows(struct partition *pt);
/* Makes a searchable part of what is pending. When it returns, all rows that were pending before the call are
 * in a listed part, also those that another thread was making a part of. */
void partition_flush_index_rows(struct partition *pt);

/* --- flush: memory -> staged parts of one commit --- */

/* A staged part and the in-memory parts that it replaces once the commit is recorded. */
struct staged_part {
    struct partition *pt;
    struct part *part; /* open in the staging directory */
    struct part_list sources;
};

struct staged_parts {
    struct staged_part *items;
    size_t count, capacity;
};
void staged_parts_release(struct staged_parts *staged);

/* ROOT/varve/staging/N/<place>/YYYY_MM, to be freed. */
char *staging_dir(const struct partition_env *env, uint64_t commit, enum part_place place,
                  const struct month *month);

/* Merges the in-memory parts of rows of commits up to `commit` into staged parts: merge_groups of at most 15,
 * each by merge_parts. Appends to *staged. Files and directories are synced up to and including the staging
 * month directory. */
int partition_flush_inmemory_parts(struct partition *pt, uint64_t commit, struct staged_parts *staged,
                                   struct error *reterr);
/* The same for index rows, all that is in memory. */
int partition_flush_inmemory_index(struct partition *pt, uint64_t commit, struct staged_parts *staged,
                                   struct error *reterr);

/* --- publish --- */

/* Moves one staged part to its month's directory (made if it's the first) and lists it in parts.json. May be
 * called again after a failure. */
int partition_publish(struct staged_part *staged, uint64_t commit, struct error *reterr);

/* --- the end of a month (partition_drop.c) --- */

/* Leaves out what is in memory: counts its rows, returns its bytes in *ret_bytes. With no writer at work and
 * no commit under way; rows that come later are the caller's to refuse. */
void partition_discard_inmemory(struct partition *pt, uint64_t *ret_bytes);
/* Takes the month's directories out of data/, rows before index, and then its parts out of memory. Readers
 * keep what they have pinned. No merge is at work on it, and all of it is published, as a durable record
 * says. ERR_FULL, ERR_IO: some of it may still be there; call again. */
int partition_drop(struct partition *pt, struct error *reterr);

/* --- merge --- */

/* Merges one group of published file parts of at most max_bytes in all, if format 10.3 finds one worth it
 * (merge_task.h). 1: merged; 0: nothing to do; ERR_CANCELLED, ERR_FULL (nothing changed), or another error
 * (nothing changed; don't try again). */
int partition_merge_parts(struct partition *pt, enum merge_kind kind, uint64_t max_bytes,
                          struct error *reterr);

/* parts.json of the place as the set is now, without `leaving` and with `joining` (each may be NULL). Call
 * with parts_json_lock held. */
int partition_write_parts_json(struct partition *pt, enum part_place place, const struct part_list *leaving,
                               const struct part *joining, struct error *reterr);

#endif
