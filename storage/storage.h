/*
 * The store: rows in, a directory out that a stock VictoriaMetrics opens (layout P, format 11).
 *
 *   storage_writer (rawRows, one per worker, no lock per row)
 *     -> 1 s: in-memory parts, visible to search
 *     -> flush_interval: a cut over all writers and months; staged, recorded (the commit point), published
 *     -> merged into larger parts
 * The commit protocol is architecture.md section 3; storage/commit/ implements it. A position is opaque bytes
 * to the store: (source key, where to go on reading), recorded in the same commit as the rows read up to it.
 */
#ifndef VARVE_STORAGE_STORAGE_H
#define VARVE_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/decimal.h"
#include "src/base/error.h"
#include "storage/clock_check.h"
#include "storage/commit/positions.h" /* struct storage_position */
#include "storage/fs/fs.h"
#include "storage/series/metric_name.h" /* struct metric_label */

struct storage;
struct storage_writer;

#define STORAGE_ID_TEXT_SIZE 33 /* 32 hex digits and a zero */

/* A commit that is staged and written down, and that isn't made yet: its sources may have been taken over by
 * somebody else, and only the owner can find out. */
enum storage_verdict {
    STORAGE_COMMIT,  /* it's made */
    STORAGE_DISCARD, /* it never was: its rows go, and all others that aren't durable; sources are set back */
    STORAGE_UNDECIDED, /* nobody knows yet: asked again soon, nothing else is committed meanwhile */
};
struct storage_prepared {
    uint64_t n;     /* its number; may be given again to another one, if this one is discarded */
    uint64_t token; /* random: no other commit has it */
    bool is_found;  /* at open: a process before this one made it, and may have asked already */
    const struct position_table *positions; /* that it changes */
};

/* What the store tells its owner. Called from storage's threads without its locks held, unless it says
 * otherwise; must not block. */
struct storage_hooks {
    void *context;
    /* Commit record n is on disk: sources may be acknowledged up to storage_durable_position. */
    void (*durable)(void *context, uint64_t n);
    /* Whether a commit may be made now; asked before its cut and right before its record. false holds it
     * back, rows stay as they are, and it's asked again soon. May be NULL: always. */
    bool (*may_commit)(void *context);
    /* Whether a commit that changes the position of this source needs a verdict. NULL: none does. */
    bool (*needs_verdict)(void *context, const void *key, uint32_t key_len);
    /* Gives it; may wait a second or so. Asked until it isn't STORAGE_UNDECIDED, by this process or, after a
     * crash, the next one; STORAGE_COMMIT must be given to what anybody has been told of, and is final. NULL:
     * one that is found is made. */
    enum storage_verdict (*verdict)(void *context, const struct storage_prepared *prepared);
    /* Nothing can be written any more (EIO, a damaged journal): the process must end without acknowledging.
     */
    void (*fatal)(void *context, const struct error *error);
    /* Something is wrong that the store lives with (a merge met a damaged part): for the log. */
    void (*problem)(void *context, const struct error *error);
    /* A forced merge in the background wasn't done, for this reason: for the log. */
    void (*force_merge_failed)(void *context, const struct error *error);
    /* The disk is full (true), or has room again (false): intake must wait meanwhile. */
    void (*disk_full)(void *context, bool full, const struct error *error);
    /* Length of the reject log, read at the cut with all writers held; and its fsync before the record. May
     * be NULL. */
    uint64_t (*reject_log_length)(void *context);
    int (*reject_log_sync)(void *context, struct error *reterr);
    /* What wasn't durable is dropped, and its sources will be read again, so that rejects behind this length
     * of their log come again. Called with all writers held. */
    void (*discarded)(void *context, uint64_t reject_log_length);
};

struct storage_options {
    const char *path;
    const struct fs *fs;       /* NULL: &fs_posix */
    int64_t retention_ms;      /* rows, parts and whole months older than this go */
    int64_t dedup_interval_ms; /* of the rows of a series in each such interval one stays (dedup.h); 0: all */
    bool trust_clock;          /* retention doesn't wait when the clock looks wrong (clock_check.h) */
    int64_t flush_interval_ms;
    unsigned merge_workers;        /* for small parts, big parts and the index each; 0: one per core */
    uint64_t small_part_bytes_max; /* larger parts are big ones; 0: by the machine's memory */
    /* storage_open returns before all months are open; the rest is opened meanwhile, or when it's needed. A
     * damaged part is then told to hooks.fatal (ERR_CORRUPT). Else it opens them all. */
    bool open_in_background;
    struct storage_hooks hooks;
};

/* Opens or creates the store for writing: takes the lock, refuses foreign layouts, finishes an unclean stop,
 * sets the guard, starts the flushers and mergers. ERR_BUSY when another server owns it, ERR_CORRUPT naming a
 * damaged part, ERR_INVALID for a directory it must not touch (an unfinished vmrestore, an older release's
 * index). Frees nothing of the options; strings are copied. */
int storage_open(struct storage **ret, const struct storage_options *options, struct error *reterr);

/* Clean stop: last cut, commit, publish, fold the journal into the checkpoint, remove the guard. Writers must
 * be freed before. Frees st whatever happens; an error means that the next open has to recover. */
int storage_close(struct storage *st, struct error *reterr);

/* Finishes an unclean stop and closes (varve recover). */
int storage_recover(const char *path, struct error *reterr);

/* Changes the positions of a store that isn't running: finishes an unclean stop, gives edit the whole table
 * to change, writes it durably, and closes. Nothing is written if edit fails. ERR_BUSY if a server runs on
 * it, or a commit waits for its verdict; ERR_NOT_FOUND where no Varve has been. */
int storage_edit_positions(const char *path,
                           int (*edit)(void *context, struct position_table *positions, struct error *reterr),
                           void *context, struct error *reterr);

/* --- rows --- */

struct storage_writer *storage_writer_new(struct storage *st);
/* Not between begin and end. Rows not yet cut stay and belong to the next cut. */
void storage_writer_free(struct storage_writer *w);

/* Between begin and end no cut happens: rows and positions handed over there are committed together. */
void storage_writer_begin(struct storage_writer *w);
void storage_writer_end(struct storage_writer *w);

/* Claims [from, to->next) of a source, between begin and end and before its rows are added. ERR_INVALID, and
 * nothing happens, if from isn't the source's position; a source without one takes any from. */
int storage_writer_hand_over(struct storage_writer *w, const void *key, uint32_t key_len, uint64_t from,
                             const struct storage_position *to, struct error *reterr);

enum storage_row_fate { ROW_ADDED, ROW_TOO_OLD, ROW_TOO_NEW };

/* The time limits of rows now: [min, max] in ms (format 10.6). Fixed by begin. While the clock is in doubt,
 * the limits of the last commit's time as well. */
void storage_writer_limits(const struct storage_writer *w, int64_t *ret_min_ms, int64_t *ret_max_ms);

/* Of series asked for from here on, the last label is the name and isn't one of those whose number is limited
 * (series/metric_name.h: name_is_apart). The owner's thread. */
void storage_writer_set_name_apart(struct storage_writer *w);

/* Changes when series were deleted: handles from before mustn't be used any more, as their names have new
 * ones. Fixed by begin. */
uint64_t storage_writer_series_generation(const struct storage_writer *w);

/* The series of these labels, registered in the index for the day of timestamp_ms, which must be within the
 * limits. *ret_series stays valid until the generation changes. ERR_INVALID with *ret_reason if they break a
 * limit. Takes a lock: called on a miss of the caller's own cache, that is for a new series or a new (series,
 * day). */
int storage_writer_series(struct storage_writer *w, const struct metric_label *labels, size_t labels_count,
                          int64_t timestamp_ms, uint32_t *ret_series, const char **ret_reason);
/* The same for a series known by its handle: makes sure of its index rows for that day. */
void storage_writer_register_day(struct storage_writer *w, uint32_t series, int64_t timestamp_ms);

/* Adds one row; between begin and end. The series must be registered for that day. No lock, no allocation per
 * row. */
enum storage_row_fate storage_writer_add(struct storage_writer *w, uint32_t series, int64_t timestamp_ms,
                                         struct decimal value);

/* --- positions and commits --- */

/* The position accepted so far / in the last durable record. False if there's none. */
bool storage_position(struct storage *st, const void *key, uint32_t key_len, struct storage_position *ret);
bool storage_durable_position(struct storage *st, const void *key, uint32_t key_len,
                              struct storage_position *ret);
/* Sets it without a claim: where a new source starts, or an operator's decision. Part of the next commit. */
void storage_set_position(struct storage *st, const void *key, uint32_t key_len,
                          const struct storage_position *pos);

/* Calls visit for each source that has a position accepted, under a lock: visit must not call the store. */
void storage_each_position(struct storage *st,
                           void (*visit)(void *context, const void *key, uint32_t key_len,
                                         const struct storage_position *pos),
                           void *context);

/* Commits all rows handed over before the call, and waits until the record is durable and published.
 * timeout_ms < 0: no limit. ERR_CANCELLED when the time ran out, ERR_FULL at once when the disk is full. Any
 * thread, not between begin and end. */
int storage_flush(struct storage *st, int64_t timeout_ms, struct error *reterr);

/* Drops every row that no durable record holds, and sets all positions back to the durable ones: hand-overs
 * that don't go on from there are refused then, so that each source reads on from where it's durable. For a
 * source that was lost to another owner while rows of it were on their way. Index rows stay. ERR_CANCELLED
 * when a commit under way doesn't end within timeout_ms: it's done when that has ended. In either case
 * nothing that isn't durable when this returns becomes so before it's handed over anew, also what such a
 * commit has already written. Any thread, not between begin and end. */
int storage_discard_uncommitted(struct storage *st, int64_t timeout_ms, struct error *reterr);
/* Whether that is still to be done. */
bool storage_discard_is_due(struct storage *st);

/* For how long a commit has been waiting for its verdict, ms; -1: none is. */
int64_t storage_undecided_ms(struct storage *st);

uint64_t storage_commit_number(struct storage *st);     /* last durable record */
const char *storage_id(struct storage *st);             /* 32 hex digits, random at creation */
uint64_t storage_reject_log_length(struct storage *st); /* as in the last record found at open */
/* The same of the commit that waits for its verdict, if there's one. */
uint64_t storage_prepared_reject_log_length(struct storage *st);
/* What waits in memory, in bytes: rawRows, in-memory parts of rows and of the index; and the known series. */
uint64_t storage_buffered_bytes(struct storage *st);

/* Whether the wall clock can be right. While it's in doubt, retention waits; and so should intake, as rows
 * would be refused for their time. */
enum clock_verdict storage_clock(struct storage *st);

/* --- forced merges --- */

/* Makes one part of each month whose name (YYYY_MM) begins with partition_prefix ("": all of them), and one
 * of its index: what was added before the call. Takes as long as it takes; rows may be added meanwhile.
 * Returns the number of months; ERR_FULL, with the figures, if there's too little space; ERR_CANCELLED when
 * the store is stopping, or by storage_force_merge_cancel. Any thread, not between begin and end; a second
 * caller waits.
 */
int storage_force_merge(struct storage *st, const char *partition_prefix, struct error *reterr);
/* The same in the background; ERR_FULL at once if there's too little space now. What fails later is told to
 * hooks.force_merge_failed. Requests are done one after another. */
int storage_force_merge_start(struct storage *st, const char *partition_prefix, struct error *reterr);
/* Ends a running one within 100 ms, and any later one: before storage_close. Any thread. */
void storage_force_merge_cancel(struct storage *st);

struct storage_merge_progress {
    bool running;
    size_t waiting;                    /* requests */
    uint64_t done_total, failed_total; /* requests */
    char month[8];                     /* YYYY_MM at work */
    size_t months_done, months_count;  /* of the request at work, or done last, as is what follows: */
    uint64_t rows_done, rows_total;    /* and index items */
    uint64_t bytes_done,
        bytes_total; /* of the parts to merge; more than the total if parts take two passes */
    int64_t started_ms, elapsed_ms, left_ms; /* monotonic clock; left: estimated, 0 if it can't be */
};
void storage_force_merge_progress(struct storage *st, struct storage_merge_progress *ret);

/* --- what metrics show --- */

struct storage_month_stats {
    char month[8]; /* YYYY_MM */
    struct {
        uint64_t parts, rows, bytes;
    } inmemory, small, big;
    struct {
        uint64_t parts, items, bytes;
    } index;
};

#define STORAGE_MERGE_KINDS 4

struct storage_stats {
    struct storage_month_stats *months;
    size_t months_count;
    uint64_t series_known, new_series_total;
    uint64_t registrations_total; /* of a series for a day: what the index grows by */
    uint64_t commits_total, commit_failures_total, rows_added_total;
    uint64_t merges_active, merges_total, merged_rows_total; /* of all kinds */
    struct storage_merge_stats {
        const char *kind; /* "small", "big", "index", "forced" */
        uint64_t active, total, rows_total, bytes_read_total, bytes_written_total;
    } merges[STORAGE_MERGE_KINDS];
    double write_amplification; /* bytes written by flushes and merges since the start, to those by flushes */
    uint64_t parts_waiting;     /* for merges: the most small parts, or parts of an index, that a month has */
    double intake_slowed_seconds_total;
    uint64_t merges_suspended; /* months not merged any more, as a part is damaged (hooks.problem named it) */
    double flush_duration_seconds_last, flush_duration_seconds_total;
    double commit_age_seconds;        /* since the last durable record (or open) */
    double oldest_unflushed_seconds;  /* age of the oldest row not in a durable record; 0 if none */
    double undecided_seconds;         /* that a commit has been waiting for its verdict; 0: none is */
    uint64_t commits_discarded_total; /* by a verdict */
    bool disk_full;
    struct {
        uint64_t dedup_rows;       /* left out by flushes and merges, as dedup_interval_ms says */
        uint64_t retention_rows;   /* on disk, deleted as they were out of retention */
        uint64_t deleted_rows;     /* on disk, of series that were deleted, left out by merges */
        uint64_t uncommitted_rows; /* in memory, of a month that was dropped: left out of a commit */
        uint64_t parts, months;    /* deleted whole */
    } removed;
};
void storage_stats(struct storage *st, struct storage_stats *ret);
void storage_stats_release(struct storage_stats *stats);

#endif
