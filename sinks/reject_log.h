/*
 * The reject log: messages and lines that couldn't be decoded, kept on disk for the operator.
 *
 * Append-only segment files in one directory, bounded: when max_size is reached the oldest segment goes,
 * counted. Entries carry checksums; a torn tail is cut at the last whole entry at open. The log's *logical
 * length* is the number of entry bytes ever appended: it only grows, also when old segments go. A commit
 * record carries it, and reject_log_cut brings the log back to it at start, and when rows are discarded, so
 * that messages read again aren't logged twice.
 *
 * Append writes to the page cache, without fsync. Nothing here stops the stream: a failed write is counted,
 * and the entry is lost. Functions are thread-safe (RANK_REJECTS, held for a write, not for an fsync) unless
 * they say otherwise. On-disk format: reject_segment.h; reading: reject_reader.h.
 */
#ifndef VARVE_SINKS_REJECT_LOG_H
#define VARVE_SINKS_REJECT_LOG_H

#include <stdint.h>

#include "sinks/sample_batch.h"
#include "src/base/error.h"

/* Of a larger payload the head is kept. */
#define REJECT_PAYLOAD_MAX (64 * 1024)
#define REJECT_KEY_MAX     (UINT16_MAX - 8)
/* A smaller max_size is taken for this. */
#define REJECT_LOG_SIZE_MIN (1024 * 1024)

struct reject_entry {
    uint64_t sequence; /* counts entries from 0; set by the log */
    int64_t time_ms;
    struct span sink;     /* at most 64 KiB each, or cut to it */
    struct span position; /* "topic/partition@offset" or the like */
    struct span reason;
    struct span payload;
    uint64_t full_size; /* of the message; more than payload.len when only its head is kept */
    /* What a replay needs beside it. */
    int64_t record_time_ms; /* of the message; 0: unknown */
    struct span key;        /* Kafka's; at most REJECT_KEY_MAX bytes are kept */
};

struct reject_log_stats {
    uint64_t length;     /* reject_log_length */
    uint64_t size_bytes; /* files on disk */
    uint64_t segments;
    uint64_t appended_total; /* entries, since open */
    uint64_t dropped_total;  /* entries that went with the oldest segments, since open */
    uint64_t failed_total;   /* entries lost because a write failed, since open */
    uint64_t torn_total;     /* tails and segments cut away because they were damaged, since open */
};

struct reject_log;

/* Creates dir (and nothing above it) if need be. Fails only if the directory can't be read or made. One
 * process and one reject_log a directory: the store's lock sees to it. */
int reject_log_open(const char *dir, uint64_t max_size, struct reject_log **ret, struct error *reterr);
/* Without a sync. log may be NULL. */
void reject_log_close(struct reject_log *log);

/* entry's spans are copied to the file before it returns. */
void reject_log_append(struct reject_log *log, const struct reject_entry *entry);

uint64_t reject_log_length(struct reject_log *log);

/* Makes everything appended before the call durable. On failure those bytes may be lost; a later call doesn't
 * try them again. */
int reject_log_sync(struct reject_log *log, struct error *reterr);

/* Forgets entries beyond length (the whole entry that length falls into, too, if it isn't at a boundary). If
 * the log is shorter (its bytes didn't survive), it goes on at length. */
int reject_log_cut(struct reject_log *log, uint64_t length, struct error *reterr);

/* Deletes the segments that end at offset or before: their entries have been dealt with. Never the last one.
 */
void reject_log_drop_before(struct reject_log *log, uint64_t offset);

/* From here on the log grows beyond max_size; the next one that opens it drops what is too much. */
void reject_log_keep_all(struct reject_log *log);

void reject_log_get_stats(struct reject_log *log, struct reject_log_stats *ret);

#endif
