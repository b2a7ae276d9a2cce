/*
 * The sink contract: a sink drains a broker into the store (Kafka Connect's notion), and never sees the
 * store.
 *
 *            sink thread(s)                                        program (src/ingest.c)
 *   poll -> decode -> begin, hand_over, deliver..., end -> storage rows
 *   acknowledge  <-  intake's durable positions, after the commit record's fsync   <- storage committer
 *
 * Positions are opaque to the store: a source key (bytes) and where to go on reading. A hand-over carries
 * [from, to) and is refused unless from equals the position stored.
 */
#ifndef VARVE_SINKS_SINK_H
#define VARVE_SINKS_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "sinks/decode/decode.h"
#include "sinks/label_set.h"
#include "src/base/buffer.h"
#include "src/base/error.h"

#define POSITION_MARK_MAX 64

/* Where a source is to be read on, and a fingerprint of the last record before it (the sink's own bytes). */
struct sink_position {
    uint64_t next;
    uint8_t mark[POSITION_MARK_MAX];
    uint8_t mark_len;
};

/* Why intake waits; a bit set, shown as varve_intake_paused{reason}. */
enum intake_pause {
    INTAKE_PAUSE_DISK = 1 << 0,
    INTAKE_PAUSE_MEMORY = 1 << 1,
    INTAKE_PAUSE_CLOCK = 1 << 2,
    INTAKE_PAUSE_STOPPING = 1 << 3,
    INTAKE_PAUSE_UNDECIDED = 1 << 4, /* a commit waits for a sink's verdict */
};

/* A message that can't be decoded, or a part of one. All borrowed. */
struct rejected {
    const char *where;  /* "topic/partition@offset", "topic@number"; then " line N" if it's a part */
    const char *reason; /* short, lower case, with _ */
    struct span payload;
    uint64_t full_size;     /* its real size; more than payload.len when that's only its head */
    struct span key;        /* of a Kafka record */
    int64_t record_time_ms; /* of the message; TIMESTAMP_NONE if unknown */
    int64_t rejected_ms;    /* when it was, the first time; 0: now */
};

/* How a sink reads the messages of a topic; borrowed from it, until the next call. */
struct topic_reading {
    const struct decoder *decoder;
    const struct decode_options *decode;
    const struct label_set *labels; /* NULL for none */
    const struct span *captures;
    size_t captures_count;
    struct span rest;
    bool timestamp_from_record;
    uint64_t max_message_size;
};

/* A commit that the store has prepared and not made: sink_ops.decide. All borrowed. */
struct sink_prepared_position {
    const void *key;
    uint32_t key_len;
    struct sink_position position;
};
struct sink_prepared {
    uint64_t n;
    uint64_t token; /* random: no other has it */
    bool is_found;  /* at the start; a process before this one may have acted on it */
    const struct sink_prepared_position *positions; /* of all sources that it moves */
    size_t count;
};
enum sink_verdict {
    SINK_COMMIT,
    SINK_DISCARD, /* it was never made: what isn't durable is dropped, as by intake_ops.discard */
    SINK_UNDECIDED,
};

struct intake_worker; /* one per sink thread; that thread alone uses it */

/* What the program gives a sink. Implemented in src/ingest.c; by a double (batch_catcher) in the sinks'
 * tests. All calls but the worker's own may come from any thread. */
struct intake {
    const struct intake_ops *ops;
};

struct intake_ops {
    /* decoder and options must outlive the worker: they make the labels of series that it sees first. */
    struct intake_worker *(*worker_new)(struct intake *in, const char *sink_name,
                                        const struct decoder *decoder, const struct decode_options *options);
    void (*worker_free)(struct intake *in, struct intake_worker *w);

    /* Between begin and end the worker's rows can't be cut: call begin, then for each source touched
     * hand_over (which claims the range) and deliver its messages, then end. Milliseconds (a batch of
     * messages), never across a poll. */
    void (*begin)(struct intake *in, struct intake_worker *w);
    /* Claims [from, to->next) of that source: all its messages are delivered (or rejected) before end. Called
     * BEFORE they are delivered, so that a range that was handed over elsewhere is never delivered twice:
     * ERR_INVALID if from isn't the position stored; then deliver nothing of it and stop or re-assign the
     * source. */
    int (*hand_over)(struct intake *in, struct intake_worker *w, const void *key, uint32_t key_len,
                     uint64_t from, const struct sink_position *to, struct error *reterr);
    /* Adds the samples of one message of a claimed range. record_time_ms replaces TIMESTAMP_NONE. extra (may
     * be NULL) goes to all of its series. Rows out of time limits are counted and dropped inside; the batch's
     * bad_lines are the sink's to reject, one by one (it alone knows where they stand). Never fails: storage
     * is memory here. */
    void (*deliver)(struct intake *in, struct intake_worker *w, const struct sample_batch *batch,
                    int64_t record_time_ms, const struct rendered_labels *extra);
    void (*end)(struct intake *in, struct intake_worker *w);

    /* Keeps a message (or a line of one) that can't be decoded. Counts varve_rejected_total{sink,reason}.
     * Call it between begin and end. */
    void (*reject)(struct intake *in, struct intake_worker *w, const struct rejected *r);

    /* The position accepted so far (durable or about to be) of a source; false if there's none. */
    bool (*position)(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret);
    /* The position in the last durable commit record; false if there's none. */
    bool (*durable_position)(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret);
    /* Records where a source starts, or restarts after a decision of the operator's (start_from, topic
     * recreated, out of range). Part of the next commit. */
    void (*set_position)(struct intake *in, const void *key, uint32_t key_len,
                         const struct sink_position *pos);

    /* Calls visit for each source that has a position accepted. The key is borrowed for the call; visit must
     * not call back into the intake. */
    void (*each_position)(struct intake *in,
                          void (*visit)(void *context, const void *key, uint32_t key_len,
                                        const struct sink_position *position),
                          void *context);

    /* Cuts, commits, and waits at most timeout_ms for the record to be durable. 0, or ERR_CANCELLED when the
     * time ran out or intake is paused (then nothing is lost; the commit goes on). Not between begin and end.
     */
    int (*flush)(struct intake *in, int64_t timeout_ms, struct error *reterr);
    /* Drops all rows that aren't durable and sets every source's position back to its durable one: for
     * partitions that were lost to another node while rows of theirs were on their way. All sources are read
     * again from there: their next hand-over is refused. ERR_CANCELLED when a commit under way doesn't end in
     * time: it's done when that has ended. In either case nothing that isn't durable when it returns becomes
     * so. Not between begin and end. */
    int (*discard)(struct intake *in, int64_t timeout_ms, struct error *reterr);
    /* Whether that is still to be done. */
    bool (*discard_is_due)(struct intake *in);
    /* Number of the last durable commit record, and the store's id (hex text): for the group's metadata. */
    uint64_t (*commit_number)(struct intake *in);
    const char *(*store_id)(struct intake *in);
    /* Whether a commit waits for a verdict. */
    bool (*is_undecided)(struct intake *in);
    /* Reasons to pause, 0 for none. Cheap: sinks look at it at each poll. */
    unsigned (*paused)(struct intake *in);
};

struct sink;

struct sink_ops {
    const char *type; /* "kafka", "mqtt" */
    /* Starts the threads and returns at once; brokers may be away. Fails only on what no retry mends. */
    int (*start)(struct sink *s, struct error *reterr);
    /* A commit record became durable: look up durable_position of own sources and acknowledge them,
     * asynchronously. Called from the committer thread; must not block. */
    void (*acknowledge)(struct sink *s);
    /* First half of a stop: no more messages are delivered once it returns (a second at most). */
    void (*stop_intake)(struct sink *s);
    /* Second half, after the last commit: acknowledge what is durable (3 s at most), leave, join the threads.
     */
    void (*stop)(struct sink *s);
    void (*free)(struct sink *s);
    /* Whether what was delivered is, as far as the sink knows, still its own to store: else no commit is made
     * for now. Any thread. NULL: always. */
    bool (*may_commit)(struct sink *s);
    /* Whether a commit that moves this position is made is for this sink to say; and its word (storage.h:
     * hooks.verdict): asked by one thread at a time, again and again while it's SINK_UNDECIDED; may take a
     * second or so. Before start and after stop as well: nothing new is agreed to then. Both NULL: for none.
     */
    bool (*decides)(struct sink *s, const void *key, uint32_t key_len);
    enum sink_verdict (*decide)(struct sink *s, const struct sink_prepared *prepared);
    /* How messages of that topic are read; false if it's none of the sink's. One thread, and the sink isn't
     * started: for replays of what was rejected. */
    bool (*reading_of)(struct sink *s, struct span topic, struct topic_reading *ret);
    /* Appends the sink's own metrics in Prometheus text, each line complete, sink label included. Any thread.
     */
    void (*metrics)(struct sink *s, struct buffer *dst);
};

struct sink {
    const struct sink_ops *ops;
    char *name;
    void *made_with; /* of whoever made it: what it borrows */
};

#endif
