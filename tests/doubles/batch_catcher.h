/*
 * An intake that keeps in memory what a sink hands over: messages' keys, positions, rejects. It accepts and
 * refuses as the real one must, "commits" when told to, and can lose what wasn't committed, as a crash does.
 * Its decoder makes one sample of a message, with the whole payload as the key; a payload that starts with
 * '!' is rejected, one that starts with '?' has a bad line as well. Any thread, but for workers.
 */
#ifndef VARVE_TESTS_DOUBLES_BATCH_CATCHER_H
#define VARVE_TESTS_DOUBLES_BATCH_CATCHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/sink.h"
#include "src/base/mutex.h"

struct caught_row {
    char *key;
    int64_t time_ms;
    char *labels; /* the sink's, as name=value,...; NULL if it gave none */
};

struct caught_position {
    char *key;
    struct sink_position accepted, durable;
    bool has_accepted, has_durable;
};

struct caught_reject {
    char *where, *reason;
    size_t size;
    uint64_t full_size;
};

struct batch_catcher {
    struct intake intake;
    struct mutex lock;
    struct cond moved;       /* open_workers, cuts_waiting */
    unsigned open_workers;   /* between begin and end */
    unsigned cuts_waiting;   /* commits and crashes that wait for them */
    struct caught_row *rows; /* of accepted hand-overs, in order */
    size_t rows_count, rows_capacity, rows_durable;
    struct caught_position *positions;
    size_t positions_count, positions_capacity;
    struct caught_reject *rejects;
    size_t rejects_count, rejects_capacity;
    uint64_t commit_number;
    char store_id[40];
    atomic_uint pause_reasons;       /* set by tests */
    atomic_int refuse_next;          /* that many hand-overs are refused */
    atomic_int flush_fails;          /* flush waits its time and answers ERR_CANCELLED */
    atomic_bool is_commit_under_way; /* set by tests: a discard waits for batch_catcher_end_commit */
    atomic_bool is_discard_due;
    atomic_uint flushes, hand_overs, begins, ends;
};

void batch_catcher_init(struct batch_catcher *c, const char *store_id);
void batch_catcher_release(struct batch_catcher *c);
/* Everything accepted becomes durable. Waits, as the real one does, for workers between begin and end: a
 * position that became durable before its rows did would be rows lost. */
void batch_catcher_commit(struct batch_catcher *c);
/* What isn't durable is lost. No sink may be running. */
void batch_catcher_crash(struct batch_catcher *c);
/* The commit under way ends as none if a discard waits for it. */
void batch_catcher_end_commit(struct batch_catcher *c);
/* Rows accepted so far. */
size_t batch_catcher_count(struct batch_catcher *c);
/* How many of the keys PREFIX0 .. PREFIX(n-1) are missing, and how many rows there are beyond one of each. */
void batch_catcher_compare(struct batch_catcher *c, const char *prefix, size_t n, size_t *ret_missing,
                           size_t *ret_extra);
/* Position whose key ends with "/topic/partition"; false if there's none. */
bool batch_catcher_position(struct batch_catcher *c, const char *topic, int partition, bool durable,
                            struct sink_position *ret);
/* True as soon as at least n rows are there, false after timeout_ms. */
bool batch_catcher_wait(struct batch_catcher *c, size_t n, int64_t timeout_ms);

extern const struct decoder catcher_decoder;

#endif
