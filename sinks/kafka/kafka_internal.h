/*
 * What the files of this folder share. A consumer's partitions are changed by its own thread only, under its
 * lock, so that metrics and stop_intake may look at them; the thread itself reads them without. The lock is
 * held while messages are delivered, and never across a call that may wait for a broker or a disk.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_INTERNAL_H
#define VARVE_SINKS_KAFKA_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <regex.h>
#include <stdatomic.h>

#include "sinks/decode/unpack.h"
#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_sink.h"
#include "sinks/kafka/kafka_start.h"
#include "sinks/kafka/kafka_stats.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

#define KAFKA_POLL_MS      100 /* consume_batch_queue waits that long for a full batch */
#define KAFKA_BATCH_MAX    1000
#define KAFKA_LOOKUP_MS    800   /* one question to a broker: a stop waits for it */
#define KAFKA_FLUSH_MS     10000 /* a revoke waits for the flush */
#define KAFKA_COMMIT_MS    3000  /* a revoke waits for the group's commit */
#define KAFKA_REBALANCE_MS (KAFKA_FLUSH_MS + KAFKA_COMMIT_MS + 2000)
#define KAFKA_STOP_MS      2000 /* a stop does */
#define KAFKA_DESTROY_MS   1000
#define KAFKA_MOVED_MS     4000      /* the coordinator's address is wrong for that long, then begin anew */
#define KAFKA_REOPEN_MS    60000     /* but not more often than that */
#define KAFKA_REJECT_HEAD  65536     /* kept of a message that is too large */
#define KAFKA_CHUNK_BYTES  (1 << 20) /* delivered between begin and end */
#define KAFKA_BATCH_BYTES  (8 << 20) /* aimed at for one poll: borrowed payloads pin whole fetch buffers */

struct kafka_partition {
    char *topic;
    int32_t partition;
    struct buffer key;   /* of the position */
    int64_t next;        /* handed over up to here */
    int64_t commit_sent; /* last given to the group, -1 for none */

    struct message surroundings; /* topic and captures of all its messages */
    struct span *captures;
    struct rendered_labels labels; /* where they are the same for all its messages */

    /* Compare the first record with what we read last time, until it has come. */
    bool check;
    struct kafka_fingerprint expected;

    /* kafka_check.c: records are dropped while any of these is set. */
    bool not_there;     /* the library says so; noted in its callback, for kafka_check_serve */
    const char *halted; /* why it stands still until it's assigned anew; NULL: it doesn't */
    bool range_unknown; /* the watermarks are to be asked for */
    bool recreated;     /* ... and then to be restarted as another topic */
    bool vanished;      /* ... and then to be compared with what was read, once it's there again */
    bool reattach;      /* left out of the assignment once, so that no old record is left in the queue */
    int64_t retry_ms;   /* monotonic: not to be asked for before */
    unsigned refusals;  /* hand-overs refused in a row */

    bool attached; /* in the library's assignment */
    bool dirty;    /* the library's assignment of it is out of date */

    /* Of the chunk being delivered. */
    bool touched;
    bool claimed; /* the store took this chunk's range */
    int64_t from;
    const rd_kafka_message_t *last;
};

enum kafka_pending { KAFKA_PENDING_NONE, KAFKA_PENDING_ASSIGN, KAFKA_PENDING_REVOKE };

struct kafka_selected {
    const rd_kafka_message_t *message;
    struct kafka_partition *partition;
};

/* Where the store knows a partition that has no position under our name and cluster. */
enum kafka_elsewhere { KAFKA_OTHER_CLUSTER, KAFKA_REMOVED_SINK, KAFKA_ELSEWHERE_COUNT };

struct kafka_consumer {
    struct kafka_sink *sink;
    unsigned index;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;        /* the consumer's */
    rd_kafka_queue_t *ack_queue;    /* answers to commits */
    rd_kafka_queue_t *fenced_queue; /* the same, of kafka_fenced.c */
    struct thread thread;
    bool ran;     /* the thread was started, and destroys the client */
    bool closing; /* rebalances are answered at once */

    struct mutex lock;
    struct kafka_partition **partitions; /* sorted by topic, partition */
    size_t partitions_count, partitions_capacity;
    struct kafka_stats stats;

    struct kafka_shown { /* kafka_metrics.c: what was shown last, for while `lock` is held by a long message
                          */
        struct mutex lock;
        struct buffer text;
        uint64_t assigned, bytes, requests, queued;
    } shown;

    struct intake_worker *worker;
    struct sample_batch batch;
    struct unpacker unpacker;
    struct rendered_labels labels; /* of one message, where they may differ */
    rd_kafka_message_t *messages[KAFKA_BATCH_MAX];
    size_t message_size; /* running upper estimate, bytes */
    struct kafka_partition **touched;
    size_t touched_count, touched_capacity;
    struct kafka_selected *selected; /* records of the chunk that are ours to store */
    size_t selected_count, selected_capacity;
    bool paused;

    /* A rebalance that the callback left for the loop to answer. */
    enum kafka_pending pending;
    rd_kafka_topic_partition_list_t *pending_list;
    rd_kafka_topic_partition_list_t *unanswered; /* assigned beside a revoke that is pending; NULL for none */
    int64_t pending_since_ms;
    bool pending_said;
    bool pending_joined;                  /* kafka_fenced_joined was told of it */
    bool pending_flushed;                 /* a revoke has waited for its flush */
    bool foreign_checked, rejoin_checked; /* kafka_rejoin.c: once after a start */
    bool rejoin_due;
    bool added_unknown;     /* whether there are partitions that were added meanwhile */
    int64_t added_retry_ms; /* monotonic: not to be looked for before */

    /* The cluster that its partitions are of; NULL until the first are begun. */
    char *cluster_id;
    int64_t cluster_checked_ms;
    unsigned brokers_lost_seen; /* of the sink's brokers_lost */

    struct { /* kafka_elsewhere.c: found and not said yet */
        unsigned count;
        char name[128]; /* one of the other clusters or sinks */
        char partition[280];
    } elsewhere[KAFKA_ELSEWHERE_COUNT];

    /* kafka_consumer.c, monotonic, 0 for none: since when statistics say that the group's coordinator has
     * another address, and the last time that the client was made anew. */
    int64_t coordinator_moved_ms, reopened_ms;

    /* kafka_fence.c, boot time. turned_ms: when the thread last turned, 0: it doesn't have to. */
    atomic_llong session_ms, turned_ms, waits_until_ms, doubt_until_ms;
    atomic_bool discarding; /* partitions were lost, and the store doesn't know it yet */
    bool discard_due;       /* kafka_discard.c: it knows, and has a commit to wait for */

    atomic_bool ack_due;
    unsigned commits_outstanding;
    bool commit_failing;
    rd_kafka_resp_err_t commit_error; /* of the last answer */

    /* kafka_generation.c, as the library tells it: other than steady; waiting for the answer to an
     * assignment; how many of those there were, and the number of the one that is pending; a revoke was given
     * up. */
    atomic_bool between_generations, is_offered;
    atomic_uint offers;
    unsigned pending_offer;
    atomic_bool revoke_overtaken;
    _Atomic(const rd_kafka_t *) told_by; /* the client that counts; another may still be ending */

    rd_kafka_resp_err_t last_error; /* of a topic, said once a minute */
    int64_t last_error_ms;
    atomic_llong log_said_ms[32]; /* by hash of the library's facility */
};

/* Of topics as they were when the sink first saw them: what isn't there appeared later. */
struct kafka_seen_topic {
    char *name;
    int32_t partitions;
    bool looked_up;    /* known_before is set */
    bool known_before; /* a position of it was known then */
};

/* Of a partition: who had it before (kafka_owners.h). */
struct kafka_history {
    char *topic;
    int32_t partition;
    struct buffer text;
};

/* kafka_fenced.c */
struct kafka_fenced {
    bool is_on;
    struct mutex client_lock; /* before a consumer's lock and the sink's; guards the rest, and the client's
                               * being there */
    /* Of the group as we last joined it. */
    char *cluster_id;         /* NULL: not yet */
    struct buffer membership; /* empty: not since we let go */
    uint64_t joined;          /* how often */
    struct kafka_history *histories;
    size_t histories_count, histories_capacity;
    /* Of the commit that was asked for last. */
    uint64_t token;
    bool has_token;
    bool sent, on_its_way, taken;
    bool is_over;            /* not sent any more: the group's offsets decide */
    uint64_t joined_at_send; /* `joined` then */
    rd_kafka_resp_err_t last_error;
    int64_t asked_ms, sent_us, said_ms; /* monotonic */

    atomic_ullong commits, refused, found, unknown, waited_us;
};

struct kafka_sink {
    struct sink base;
    struct kafka_fenced fenced;
    struct intake *intake;
    char *node, *brokers, *group;
    char **sink_names; /* of all sinks of the configuration */
    size_t sink_names_count;
    char **topics;
    size_t topics_count;
    struct kafka_static_partition *partitions;
    size_t partitions_count;
    struct kafka_property *properties;
    size_t properties_count;
    const struct decoder *decoder;
    struct decode_options decode;
    const struct label_set *label_set;
    enum label_scope label_scope;
    bool needs_headers;
    regex_t *expressions; /* one a topic; compiled where is_expression says so */
    bool *is_expression;
    enum kafka_start_from start_from;
    int64_t start_timestamp_ms;
    enum kafka_on_topic_recreated on_topic_recreated;
    enum kafka_on_out_of_range on_out_of_range;
    bool leave_on_stop, timestamp_from_record, group_commits;
    unsigned threads;
    uint64_t queue_size, max_message_size;

    struct kafka_consumer **consumers;
    unsigned consumers_count;
    struct kafka_partition *replayed; /* what the last reading_of borrows from */

    atomic_uint brokers_lost; /* how often one went away */
    atomic_bool stop_intake, stop;
    _Atomic(const char *) failed; /* the sink is stopped for good: "fenced" or "fatal" */

    struct mutex lock; /* guards the rest; never held together with a consumer's */
    struct cond stop_changed;
    struct kafka_seen_topic *seen;
    size_t seen_count;
    char *seen_cluster_id; /* that they are of; NULL: nothing was seen yet */
    char **away;           /* brokers said to be away, host:port */
    size_t away_count, away_capacity;
    bool all_away;
    char tls_reason[512]; /* why a certificate was refused last; "": none was */
    unsigned late;        /* clients that nobody waits for, and that aren't destroyed yet */
    bool orphaned;        /* freed by the program: the last of those frees it */

    atomic_ullong messages, tombstones, empty, gap_records, refused, stale, group_moved;
    atomic_ullong begun_known[KAFKA_ELSEWHERE_COUNT]; /* partitions, see kafka_elsewhere.c */
};

/* kafka_conf.c: the configuration of one consumer, callbacks included. */
int kafka_conf_new(rd_kafka_conf_t **ret, const struct kafka_sink *s, struct kafka_consumer *c,
                   unsigned thread_index, struct error *reterr);

/* kafka_tls.c */
bool kafka_uses_tls(const struct kafka_sink *s);
/* What the library's verification says of a certificate: false, and why, in words, if it's refused. */
bool kafka_certificate_accepted(const struct kafka_sink *s, const char *broker_name, int x509_error,
                                const char *der, size_t der_size, int depth, char *dst, size_t size);
/* The library's callback for each certificate of a chain; notes why one is refused. Any thread. */
int kafka_on_certificate(rd_kafka_t *rk, const char *broker_name, int32_t broker_id, int *x509_error,
                         int depth, const char *der, size_t der_size, char *errstr, size_t errstr_size,
                         void *opaque);
/* What to say after the library's text when the broker ended the handshake: "" or a hint. Static text. */
const char *kafka_tls_hint(const struct kafka_sink *s, const char *library_text);
/* The noted reason, if the library's text is about that. */
bool kafka_take_tls_reason(struct kafka_sink *s, const char *library_text, char *dst, size_t size);

/* kafka_labels.c: what the names of topics say. ERR_INVALID names the expression that isn't one. */
int kafka_expressions_compile(struct kafka_sink *s, struct error *reterr);
void kafka_expressions_release(struct kafka_sink *s);
/* Sets a new partition's surroundings, and its labels if they are the same for all messages of a topic. */
void kafka_partition_set_surroundings(const struct kafka_sink *s, struct kafka_partition *p);
void kafka_partition_release_surroundings(struct kafka_partition *p);
/* A message as decoders see it; borrowed from p and m. */
struct message kafka_message_of(const struct kafka_sink *s, const struct kafka_partition *p,
                                const rd_kafka_message_t *m);
/* The labels of a message, or NULL if none are configured; until the next call. Rendered only where they may
 * differ from message to message. */
const struct rendered_labels *kafka_labels_of(struct kafka_consumer *c, const struct kafka_partition *p,
                                              const struct message *m);

/* Whether the sink is configured to read the topic. */
bool kafka_topic_is_ours(const struct kafka_sink *s, const char *topic);
/* The sink's reading_of. */
bool kafka_reading_of(struct sink *base, struct span topic, struct topic_reading *ret);

/* kafka_sink.c: frees a sink that nothing uses any more. */
void kafka_sink_release(struct kafka_sink *s);
/* Makes the client and subscribes. Without a client (rk NULL) if that fails. */
int kafka_client_open(struct kafka_consumer *c, struct error *reterr);
/* Subscribes, or has the static partitions begun. */
int kafka_subscribe(struct kafka_consumer *c, struct error *reterr);

/* kafka_consumer.c: the thread. */
void kafka_consumer_run(void *consumer);
/* Whether the thread should give up what it waits for. */
bool kafka_consumer_stopping(const struct kafka_consumer *c);

/* kafka_deliver.c: decodes and hands over messages[0..count), and gives them back to the library. */
void kafka_deliver(struct kafka_consumer *c, size_t count);

/* kafka_assignment.c: the partitions that a consumer has, and what the library is told of it. */
struct kafka_partition *kafka_partition_new(const struct kafka_consumer *c, const char *topic,
                                            int32_t partition);
void kafka_partition_free(struct kafka_partition *p);
struct kafka_partition *kafka_partition_find(const struct kafka_consumer *c, const char *topic,
                                             int32_t partition);
void kafka_partitions_add(struct kafka_consumer *c, struct kafka_partition *p);
void kafka_partitions_remove(struct kafka_consumer *c, const char *topic, int32_t partition);
void kafka_partitions_clear(struct kafka_consumer *c);
/* Brings the library's assignment in line: every partition at its own next offset, without the halted ones.
 */
void kafka_assignment_apply(struct kafka_consumer *c);
/* The same, with every partition begun anew. */
void kafka_assignment_reseat(struct kafka_consumer *c);
/* Pauses or resumes with the intake. */
void kafka_assignment_sync_pause(struct kafka_consumer *c);
/* Not halted, nor waiting for a decision. */
bool kafka_partition_wanted(const struct kafka_partition *p);
bool kafka_is_cooperative(const struct kafka_consumer *c);

/* kafka_rebalance.c */
void kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                        void *opaque);
/* kafka_pending.c */
/* Notes what a callback asks for, and what an assignment that wasn't answered has asked for before. */
void kafka_pending_note(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, bool is_assign,
                        bool is_cooperative);
/* What is pending is answered: another assignment may be the next. */
void kafka_pending_answered(struct kafka_consumer *c);
void kafka_pending_forget(struct kafka_consumer *c);

/* Answers the rebalance that is pending, or tries again in the next turn when no broker answers. */
void kafka_rebalance_serve(struct kafka_consumer *c);

/* kafka_discard.c */
/* Another node reads partitions of ours from what is durable: when this returns, nothing more becomes durable
 * of what is on its way. Ends c->discarding. Sets c->discard_due if there's something left to wait for. */
void kafka_discard_rows(struct kafka_consumer *c);
/* Goes on from the store's positions once that is done. */
void kafka_discard_serve(struct kafka_consumer *c);

/* kafka_generation.c */
/* Whether the library has to be made to tell how far it is with the group. */
bool kafka_generation_is_watched(const struct kafka_sink *s);
/* A line of the library's log; in its thread. */
void kafka_generation_note(struct kafka_consumer *c, const char *facility, const char *text);
/* The client ends: what it still says doesn't count. */
void kafka_generation_forget(struct kafka_consumer *c);
/* After an assignment was answered: whether the library had joined the group anew before, so that it's void.
 */
bool kafka_generation_overtook(struct kafka_consumer *c);

/* kafka_rejoin.c: after a start, by the consumer's thread. */
/* Takes partitions out of an assignment whose topics aren't the sink's any more. */
void kafka_rejoin_drop_foreign(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list);
/* It goes on where it was before a start: partitions may have been added meanwhile. */
void kafka_rejoin_restarted(struct kafka_consumer *c);
/* While no rebalance is pending. Looks for partitions that nobody seems to have read, until brokers answer;
 * leaves the group and joins it again if there are any, or some were taken out. */
void kafka_rejoin_serve(struct kafka_consumer *c);

/* kafka_elsewhere.c */
/* A partition begins without a position: looks whether the store knows it as another sink's, or another
 * cluster's. Returns the next offset there was in the other cluster, the greatest of several; -1 for none. */
int64_t kafka_elsewhere_note(struct kafka_consumer *c, const struct kafka_partition *p);
void kafka_elsewhere_clear(struct kafka_consumer *c);
/* Says what was found since it was cleared. */
void kafka_elsewhere_report(struct kafka_consumer *c);

/* kafka_lookup.c: questions to the brokers; each waits KAFKA_LOOKUP_MS at most, ERR_IO if there's no answer.
 */
/* Which cluster it is; ERR_IO, too, if it isn't the one that the consumer's partitions are of. */
int kafka_lookup_cluster(struct kafka_consumer *c, struct error *reterr);
/* Whether it's still that one, by an answer that is asked for now. */
bool kafka_lookup_is_same_cluster(struct kafka_consumer *c);
/* The same by what the library was told last: no question, at most once a second. */
bool kafka_cluster_is_another(struct kafka_consumer *c);
int kafka_lookup_committed(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                           struct error *reterr);
/* Each element's offset is a timestamp in ms, or -1 for the end, -2 for the beginning; replaced by the
 * offset. */
int kafka_lookup_offsets(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                         struct error *reterr);
/* Fills appeared_later of each partition of the list (bool array). */
int kafka_lookup_appeared_later(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list,
                                bool *ret_later, struct error *reterr);

/* Under the sink's lock, or alone. */
void kafka_forget_seen(struct kafka_sink *s);

/* Whether one of the topic's partitions isn't assigned to us, and neither the group nor the store knows it.
 */
int kafka_lookup_unread(struct kafka_consumer *c, const char *topic, int32_t partitions, bool *ret_unread,
                        struct error *reterr);

/* kafka_check.c */
/* The first record of a partition that is to be compared; false: drop it. Under the consumer's lock. */
bool kafka_check_record(struct kafka_partition *p, const rd_kafka_message_t *m);
struct kafka_fingerprint kafka_fingerprint_of_message(const rd_kafka_message_t *m);
/* An error that the library delivered among the messages. Under the consumer's lock. */
void kafka_check_error(struct kafka_consumer *c, const rd_kafka_message_t *m);
/* The library's error about a topic or partition that isn't there, by its text. From its callback. */
void kafka_check_not_there(struct kafka_consumer *c, const char *reason);
/* Somebody else may hold the log from now on: each partition is begun anew at the record before its next one.
 */
void kafka_check_all(struct kafka_consumer *c);
/* Acts on what was found: leaves partitions out of the assignment, asks for watermarks, restarts, revives. */
void kafka_check_serve(struct kafka_consumer *c);
/* reason: static text, the metric's label. Under the consumer's lock. */
void kafka_halt(struct kafka_consumer *c, struct kafka_partition *p, const char *reason, const char *why);

/* kafka_ack.c: the group's offsets. */
void kafka_ack_serve(struct kafka_consumer *c);
/* Commits what is durable of all partitions and waits at most timeout_ms for the answer. */
void kafka_ack_now(struct kafka_consumer *c, int64_t timeout_ms);

/* kafka_fence.c */
void kafka_fence_open(struct kafka_consumer *c);
/* The thread goes round; or waits for commits, for that long at most; or ends. */
void kafka_fence_turned(struct kafka_consumer *c);
void kafka_fence_wait(struct kafka_consumer *c, int64_t ms);
void kafka_fence_leave(struct kafka_consumer *c);
/* The sink's may_commit. */
bool kafka_may_commit(struct sink *base);

/* kafka_fenced.c: of a sink with fenced_commits, whose first consumer is its only one. */
void kafka_fenced_init(struct kafka_fenced *f);
void kafka_fenced_release(struct kafka_fenced *f);
/* An assignment has come: whatever was sent before is refused from now on. */
void kafka_fenced_joined(struct kafka_consumer *c);
/* And with these offsets and metadata of the group's. */
void kafka_fenced_assigned(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list);
/* Before partitions are let go: false while a commit is on its way. */
bool kafka_fenced_let_go(struct kafka_consumer *c);
/* The client is about to be destroyed. With client_lock held. */
void kafka_fenced_client_ends(struct kafka_consumer *c);
/* The sink's decides and decide. */
bool kafka_decides(struct sink *base, const void *key, uint32_t key_len);
enum sink_verdict kafka_decide(struct sink *base, const struct sink_prepared *p);

/* kafka_log.c */
void kafka_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque);
void kafka_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);
int kafka_on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque);
/* The library gave up for good: says why, and stops the sink. No commit is made until kafka_discard_rows. */
void kafka_fatal(struct kafka_consumer *c);
bool kafka_all_away(struct kafka_sink *s);
/* A broker has answered: they aren't all away, which the statistics say seconds later. */
void kafka_note_answer(struct kafka_sink *s);

/* kafka_metrics.c */
void kafka_metrics(struct sink *base, struct buffer *dst);

#endif
