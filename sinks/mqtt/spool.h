/*
 * A spool: the durable queue of one MQTT sink, a log of segment files in one directory (spool_segment.h).
 *
 *   spool_append (memory)  ->  spool_commit: write, fdatasync, durable LSN moves  ->  spool_reader  ->
 * spool_trim
 *
 * Records are numbered: an LSN is one more than the LSN before, from 1. The spool has a random id of its own
 * (file `spool-id`): positions name it, so that a spool begun anew isn't read on at an old one's position.
 *
 * After a failed write or fsync the spool is failed: it takes nothing more, and what wasn't durable is given
 * up by spool_recover, once nobody waits for it any longer. An fsync is never repeated on the same file, and
 * what an earlier process has written is read only, not gone on with.
 *
 * Threads: append from any; commit and recover from one thread at a time (they hold no lock over an fsync);
 * trim, stats and readers from any.
 */
#ifndef VARVE_SINKS_MQTT_SPOOL_H
#define VARVE_SINKS_MQTT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "sinks/mqtt/spool_fs.h"
#include "sinks/mqtt/spool_segment.h"
#include "src/base/error.h"

#define SPOOL_ID_SIZE 33 /* 32 hexadecimal digits and the NUL */

struct spool_options {
    const char *path; /* made if need be, with the directories above it */
    uint64_t max_bytes;
    /* The broker has forgotten a message before it's durable (no held PUBACK): records that couldn't be
     * written are kept in memory and tried again instead of being given up. */
    bool keep_unwritten;
    const struct spool_fs *fs; /* NULL: the real one */
};

struct spool_stats {
    uint64_t bytes;       /* of files, and of memory not yet written */
    uint64_t first_lsn;   /* of the oldest segment */
    uint64_t next_lsn;    /* of the next append */
    uint64_t durable_lsn; /* all below are durable */
    uint64_t segments;
    uint64_t commits_total;
    uint64_t failures_total;
    uint64_t discarded_total; /* records given up because a write or fsync failed */
    uint64_t torn_bytes;      /* cut from the end at open */
};

struct spool;

/* Opens or begins a spool: cuts a torn tail at the last whole record, fsyncs what it found. It's locked
 * as long as it's open: ERR_BUSY, another one has it. */
int spool_open(struct spool **ret, const struct spool_options *options, struct error *reterr);
/* Without a commit. spool may be NULL. */
void spool_close(struct spool *spool);

const char *spool_id(const struct spool *spool);
int spool_dir_fd(const struct spool *spool);
const struct spool_fs *spool_filesystem(const struct spool *spool);

/* Takes a record into memory; its lsn is set by the spool. Never waits for the disk. ERR_FULL at the bound
 * unless is_forced; ERR_IO while failed (with keep_unwritten and is_forced it's taken even then). */
int spool_append(struct spool *spool, const struct spool_record *record, bool is_forced, uint64_t *ret_lsn);

/* Writes what was appended to the page cache, without an fsync. */
int spool_write(struct spool *spool, struct error *reterr);

/* Waits until something is to be committed (records, or a new segment because the last one is to be trimmed),
 * at most timeout_ms. */
bool spool_wait_appended(struct spool *spool, int64_t timeout_ms);
/* Makes everything appended before the call durable. */
int spool_commit(struct spool *spool, struct error *reterr);

/* Whether a write or fsync failed and spool_recover is due. */
bool spool_has_failed(struct spool *spool);
/* Goes on after the durable LSN in a new segment. Nobody may still wait for records that weren't durable:
 * they are given up, and their LSNs used again. Fails as long as the disk does. */
int spool_recover(struct spool *spool, struct error *reterr);

/* All below are durable. */
uint64_t spool_durable_lsn(struct spool *spool);
/* Waits until lsn is durable, at most timeout_ms; also returns when spool_wake is called. */
bool spool_wait_durable(struct spool *spool, uint64_t lsn, int64_t timeout_ms);
void spool_wake(struct spool *spool);

/* LSNs below lsn were used elsewhere (the store knows a later position): appends go on at lsn. Before the
 * first append. */
void spool_skip_to(struct spool *spool, uint64_t lsn);

/* Removes segments all of whose records are below lsn; the last one, with the next commit, once nothing at
 * all is left above lsn, unless it's small. */
void spool_trim(struct spool *spool, uint64_t lsn);

/* Bytes that spool_trim would give back. */
uint64_t spool_trimmable(struct spool *spool, uint64_t lsn);

/* Whether it's below three quarters of its bound: room to go on after it was full. */
bool spool_has_room(struct spool *spool);

void spool_get_stats(struct spool *spool, struct spool_stats *ret);

/* For spool_reader: the segment that holds lsn, or the first one after it. *ret_end is the LSN at which it
 * ends: the next segment's first, or the durable LSN. False if nothing durable is at or after lsn. */
bool spool_find_segment(struct spool *spool, uint64_t lsn, uint64_t *ret_first, uint64_t *ret_end,
                        bool *ret_is_last);

#endif
