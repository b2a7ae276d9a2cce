/* The inside of struct storage, for the files of storage/ that implement storage.h and search.h; nobody
 * outside includes it. */
#ifndef VARVE_STORAGE_STORAGE_IMPL_H
#define VARVE_STORAGE_STORAGE_IMPL_H

#include <stdatomic.h>

#include "src/base/mutex.h"
#include "src/base/thread.h"
#include "storage/clock_check.h"
#include "storage/commit/prepared.h"
#include "storage/commit/store_view.h"
#include "storage/force_merge.h"
#include "storage/merge_workers.h"
#include "storage/open_months.h"
#include "storage/partition/series_lookup.h"
#include "storage/partition/table.h"
#include "storage/storage.h"

/* A writer with this many rows doesn't wait for the second to be over: 12 MB. */
#define WRITER_ROWS_FLUSH (UINT64_C(512) << 10)
/* In-memory parts above this are committed before the interval is over: a backlog drained at millions of rows
 * a second mustn't fill the memory. Above twice as much, writers wait for the commit, a moment at a time. */
#define INMEMORY_BYTES_COMMIT (UINT64_C(24) << 20)
#define INMEMORY_BYTES_WAIT   (2 * INMEMORY_BYTES_COMMIT)
/* Index rows of new series are many and alike until they're sorted and joined: they don't wait either. */
#define INDEX_BYTES_FLUSH (UINT64_C(8) << 20)
/* Who adds them when there are so many makes the part itself. */
#define INDEX_BYTES_HELP (4 * INDEX_BYTES_FLUSH)

/* rawRows of one worker and month. */
struct month_shard {
    struct partition *pt;
    struct raw_rows rows;
};

struct deletion;
struct month_opener;

/* two_phase.c: the commit that waits for a verdict. The committer's own, in its turn. */
struct two_phase {
    bool open;
    bool found;        /* by storage_open: made by a process before this one */
    bool agreed;       /* the verdict is there, its record isn't yet (the disk was full) */
    bool may_be_found; /* the one before couldn't be written, and nobody was asked */
    struct prepared_record prepared;
    struct staged_parts staged;
    struct prepared_file file;
    /* Monotonic clock, of `open`; 0: there's none. Set back when what follows from the verdict is done. */
    _Atomic int64_t since_ms;
    _Atomic uint64_t discarded_total;
};

struct storage_writer {
    struct storage *st;
    struct mutex lock;           /* RANK_WRITER: held from begin to end, and by whoever takes the shards */
    struct storage_writer *next; /* changed with flush_lock and writers_lock, read with either */
    bool name_is_apart;          /* the owner's: see storage_writer_set_name_apart */
    int64_t last_begin_ms;       /* monotonic clock; the writer's own, as is: */
    double owed_ms;              /* waits too short to be made */
    /* rows_since_flush and oldest_arrival_ms as of the last end: to look at without the lock, for a message
     * may take its time. */
    _Atomic uint64_t rows_waiting;
    _Atomic int64_t oldest_waiting_ms;
    /* Locked: */
    struct month_shard *shards;
    size_t shards_count, shards_capacity;
    struct month_shard *current; /* the shard used last */
    int64_t min_ms, max_ms;      /* time limits of rows */
    uint64_t series_generation;  /* as of begin */
    uint64_t rows_since_flush;
    int64_t oldest_arrival_ms; /* monotonic clock; 0: no rows */
};

struct storage {
    struct table table; /* its env carries fs, root and counters */
    char *root;
    struct storage_hooks hooks;
    int64_t retention_ms, flush_interval_ms;
    struct clock_check clock;
    _Atomic int64_t accept_from_ms; /* rows before it belong to months that were dropped */
    struct merge_workers *merge_workers;
    struct force_merge *force_merge;
    struct month_opener *month_opener; /* of months that are opened in the background; NULL */
    int lock_fd;
    char id_text[STORAGE_ID_TEXT_SIZE];
    uint64_t reject_log_length_at_open, prepared_reject_log_length_at_open;
    struct series_registry *registry;
    struct series_lookup *lookup;

    /* Rows leave the writers under this lock only (RANK_FLUSH), so that a part belongs to one commit. */
    struct mutex flush_lock;
    struct mutex writers_lock; /* RANK_LEAF: of the list of writers, for those who only look */
    /* Locked by flush_lock: */
    struct storage_writer *writers;  /* in order of creation */
    uint64_t next_commit;            /* number of the cut that rows now belong to */
    struct month_shard *left_shards; /* rows of writers that were freed */
    size_t left_shards_count, left_shards_capacity;

    struct mutex positions_lock; /* RANK_POSITIONS */
    /* Locked by positions_lock: */
    struct position_table positions; /* accepted */
    struct position_table durable;   /* in the last durable record */
    bool discard_wanted;             /* nothing more becomes durable before it's done */

    /* The committer's own. */
    struct journal journal;
    struct position_table cut_positions;                       /* changed by cuts that aren't recorded yet */
    uint64_t cut_reject_log_length, durable_reject_log_length; /* of the last cut, of the last record */
    uint64_t published;                                        /* commits up to this one are listed */
    struct staged_parts unpublished; /* recorded, not listed yet (the disk was full) */
    uint64_t unpublished_commit;
    struct deletion *deletion; /* to be applied at the next cut; of whoever has the turn */
    uint64_t
        unsettled_commit; /* its record may be in the journal or not: its staged parts stay until then; 0 */
    struct two_phase two_phase;

    _Atomic uint64_t commit_number;  /* last durable record */
    _Atomic uint64_t buffered_bytes; /* of in-memory parts */
    _Atomic int64_t last_commit_ms;  /* monotonic clock */
    atomic_bool failed;              /* a fatal error: nothing is committed any more */
    atomic_bool disk_full;
    _Atomic uint64_t series_generation; /* of handles: those from before the last deletion may be dead */
    _Atomic uint64_t commits_total, commit_failures_total, rows_added_total;
    _Atomic uint64_t flush_ms_last, flush_ms_total;
    _Atomic uint64_t intake_slowed_ms; /* of all writers */
    _Atomic uint64_t merge_debt;       /* back_pressure.h */

    struct mutex wake_lock; /* RANK_LEAF */
    struct cond wake;       /* of all threads below and of storage_flush */
    /* Locked by wake_lock: */
    bool stopping;
    bool commit_running;           /* or a discard: one at a time */
    bool commit_wanted;            /* the next round doesn't wait for the flush interval */
    bool index_rows_pending_flush; /* the same for index rows of new series */
    bool rows_pending_flush;       /* a writer is full before the second is over */
    uint64_t flushes_wanted;       /* by storage_flush */
    uint64_t flushes_done;
    uint64_t flush_attempts; /* commits tried, failed ones included */
    struct thread raw_rows_flusher, committer, stale_parts_remover;
};

/* --- storage_writer.c --- */

/* Appends the rows of all writers to *ret (one shard a month) and empties them; *ret_oldest_arrival_ms as in
 * the writers. Call with flush_lock held. all_locked: the writers' locks are held by the caller. */
struct shard_list {
    struct month_shard *shards;
    size_t count, capacity;
    int64_t oldest_arrival_ms;
};
void storage_take_rows(struct storage *st, struct shard_list *ret, bool all_locked);
/* Makes in-memory parts of them, of commit n. Frees the list. flush_lock held. */
void storage_add_inmemory_parts(struct storage *st, struct shard_list *list, uint64_t commit);
/* Frees the list and its rows. */
void storage_release_rows(struct shard_list *list);
void storage_lock_writers(struct storage *st);
void storage_unlock_writers(struct storage *st);

/* --- flushers.c: the threads --- */

void start_raw_rows_flusher(struct storage *st);
void start_inmemory_parts_flusher(struct storage *st);
/* Wakes and joins all of them; running merges are cancelled. */
void storage_stop_threads(struct storage *st);
void storage_wake(struct storage *st);
/* Has the committer begin another round now, or right behind the one under way. Any thread. */
void storage_want_commit(struct storage *st);
/* Makes the index rows that wait, of all months, searchable. Any thread. */
void storage_flush_index_rows(struct storage *st);

/* --- retention.c --- */

void start_stale_parts_remover(struct storage *st);
/* What the thread does each minute: whole months and parts that are out of retention go. Returns a negative
 * code if something has to wait (ERR_FULL, ERR_BUSY: a merge or a commit is in the way). */
int storage_remove_stale(struct storage *st, struct error *reterr);
/* Asks for forced merges of the months, other than the current one, that hold parts made with a shorter
 * dedup interval than ours (lib/storage/table.go:historicalMergeWatcher). The thread does it each hour. */
void storage_final_dedup(struct storage *st);
/* Rows before it are out of retention; 0 while the clock is in doubt. */
int64_t storage_retention_deadline(struct storage *st);

/* --- delete_series.c --- */

/* At the cut, with flush_lock and all writers locked. */
void storage_apply_deletion(struct storage *st, struct deletion *d);

/* --- commit/commit.c --- */

/* In a turn: makes sure that a durable record calls all of this month that was committed published. ERR_BUSY
 * if there's more to do for that (the disk was full); ERR_FULL; other errors are fatal. */
int storage_record_published(struct storage *st, const struct partition *pt, struct error *reterr);

/* Whether a commit may be made now: ERR_CANCELLED if not. */
int storage_check_may_commit(struct storage *st, struct error *reterr);
/* Makes the record of a commit durable whose verdict is there. */
int storage_append_agreed(struct storage *st, const struct commit_record *record, struct error *reterr);
/* What a cut added, for its record. */
void storage_fill_record(struct storage *st, struct commit_record *record, uint64_t n,
                         const struct staged_parts *staged);
/* Its record is durable: takes over the parts, tells the owner, publishes them. */
int storage_adopt_commit(struct storage *st, uint64_t n, struct staged_parts *staged, struct error *reterr);
void storage_remove_staging(struct storage *st, uint64_t n);
/* In a turn: what storage_discard_uncommitted does. */
void storage_drop_uncommitted(struct storage *st);

/* --- commit/two_phase.c --- */

/* Whether the positions of the cut that isn't recorded yet need a verdict. */
bool two_phase_is_needed(const struct storage *st);
/* Prepares the staged commit n and asks for the verdict. Takes the parts over on success, and also when it
 * returns ERR_CANCELLED: the verdict isn't there yet (two_phase_settle), or it was to discard. */
int two_phase_commit(struct storage *st, uint64_t n, struct staged_parts *staged, struct error *reterr);
/* Asks for the verdict of the commit that is open, and carries it out. ERR_CANCELLED as above. */
int two_phase_settle(struct storage *st, struct error *reterr);
/* What an open one has in memory is dropped; it's whole on disk. Its positions are added to *positions. */
void two_phase_drop_memory(struct storage *st, struct position_table *positions);
/* Takes up the one that the view found. */
int two_phase_open(struct storage *st, struct store_view *view, uint64_t *largest_id, struct error *reterr);
/* Whether it has parts of the month. */
bool two_phase_holds(const struct storage *st, const struct partition *pt);
void two_phase_release(struct storage *st);

/* --- commit/commit.c --- */

/* One round: publish what waits, cut, stage, record, publish, fold the journal. ERR_FULL: the disk is full,
 * nothing is lost, try again. Other errors are fatal and have been told to hooks.fatal. The committer thread,
 * or storage_close after its end. */
int storage_commit(struct storage *st, struct error *reterr);
/* Commits, discards and the pinning of a snapshot take turns. False when the turn didn't come within
 * timeout_ms (negative: no limit). */
bool storage_take_turn(struct storage *st, int64_t timeout_ms);
void storage_end_turn(struct storage *st);
/* What storage_commit does in its turn; for who has the turn already. */
int storage_commit_round(struct storage *st, struct error *reterr);
/* Folds the journal into the checkpoint; the journal is left fresh, or, at a clean stop, deleted. */
int storage_fold_journal(struct storage *st, bool stop, struct error *reterr);
/* Tells hooks.fatal, once, and stops commits. */
int storage_fail(struct storage *st, const struct error *error);

#endif
