/*
 * `fenced_commits`: a commit of the store is made only if the group takes its offsets from us, as the member
 * and generation that its rows were read as. The group's offsets, all of one request in one record, are the
 * decision; their metadata says by which commit they came (kafka_owners.h). So rows of a partition that
 * another node has taken over meanwhile are stored once, there.
 *
 *   the store has prepared a commit -> OffsetCommit -> taken: it's made
 *                                                   -> refused, or no answer and then lost: the offsets that
 *                                                      the group has say what happened
 *
 * What a broker still has of ours in its hands may come true after a look at the offsets. So "it isn't there"
 * counts only once we've joined anew since: a static member that joins is given another id, or the group
 * another generation, and what was sent before is refused from then on. "It's there" counts always.
 *
 * librdkafka sends a commit with the generation that it has at that moment, perhaps later than it was asked
 * to. So partitions that were revoked are let go of (kafka_rebalance.c) only when no commit is on its way and
 * no row of theirs is waiting in memory: until then there's no other generation.
 *
 * The committer's thread asks for the decision; the consumer's own says when it has joined and lets go.
 * client_lock is held while the client is used from here, so that it isn't replaced meanwhile.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "sinks/kafka/kafka_owners.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

#define ANSWER_MS    1000  /* waited for at a time: the committer's turn is needed by others, too */
#define SAY_AGAIN_MS 30000 /* that a commit waits */
#define SAY_FIRST_MS 3000
/* A topic that isn't there for that long isn't taken over by anybody. */
#define TOPIC_GONE_MS INT64_C(10000)

static bool is_text(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

void kafka_fenced_init(struct kafka_fenced *f)
{
    /* Taken before a consumer's lock and the sink's. */
    mutex_init(&f->client_lock, (enum lock_rank)(RANK_SINK - 2));
}

static void forget_histories(struct kafka_fenced *f)
{
    for (size_t i = 0; i < f->histories_count; i++) {
        free(f->histories[i].topic);
        buffer_release(&f->histories[i].text);
    }
    f->histories_count = 0;
}

void kafka_fenced_release(struct kafka_fenced *f)
{
    forget_histories(f);
    free(f->histories);
    buffer_release(&f->membership);
    free(f->cluster_id);
    mutex_destroy(&f->client_lock);
}

/* --- the consumer's side --- */

/* Generation and member id, as bytes to compare. */
static void membership_of(rd_kafka_t *rk, struct buffer *ret)
{
    void *bytes = NULL;
    size_t size = 0;
    ret->len = 0;
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(rk);
    if (!metadata)
        return;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    if (error)
        rd_kafka_error_destroy(error);
    else
        buffer_append(ret, bytes, size);
    rd_kafka_mem_free(NULL, bytes);
    rd_kafka_consumer_group_metadata_destroy(metadata);
}

void kafka_fenced_joined(struct kafka_consumer *c)
{
    struct kafka_fenced *f = &c->sink->fenced;
    mutex_lock(&f->client_lock);
    membership_of(c->rk, &f->membership);
    forget_histories(f);
    free(f->cluster_id);
    f->cluster_id = xstrdup(c->cluster_id);
    f->joined++;
    mutex_unlock(&f->client_lock);
}

void kafka_fenced_assigned(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    struct kafka_fenced *f = &c->sink->fenced;
    const char *store_id = c->sink->intake->ops->store_id(c->sink->intake);
    mutex_lock(&f->client_lock);
    forget_histories(f);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        GROW(f->histories, f->histories_count, f->histories_capacity);
        struct kafka_history *h = &f->histories[f->histories_count++];
        *h = (struct kafka_history){.topic = xstrdup(e->topic), .partition = e->partition};
        kafka_owners_history(&h->text, e->offset >= 0, e->metadata, e->metadata_size, store_id);
    }
    mutex_unlock(&f->client_lock);
}

static void take_answer(struct kafka_consumer *c, int timeout_ms);

bool kafka_fenced_let_go(struct kafka_consumer *c)
{
    struct kafka_fenced *f = &c->sink->fenced;
    mutex_lock(&f->client_lock);
    take_answer(c, 0);
    bool free_to_go = !f->on_its_way;
    if (free_to_go) {
        f->is_over = true; /* what was sent, if it was refused: no more of it */
        f->membership.len = 0;
    }
    mutex_unlock(&f->client_lock);
    return free_to_go;
}

void kafka_fenced_client_ends(struct kafka_consumer *c)
{
    struct kafka_fenced *f = &c->sink->fenced;
    f->is_over = true;
    f->on_its_way = f->taken = false;
    f->membership.len = 0;
}

/* --- the committer's side --- */

static bool is_fence(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || err == RD_KAFKA_RESP_ERR__FATAL;
}

static void take_answer(struct kafka_consumer *c, int timeout_ms)
{
    struct kafka_fenced *f = &c->sink->fenced;
    while (c->rk && f->on_its_way) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(c->fenced_queue, timeout_ms);
        if (!event)
            return;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
            f->on_its_way = false;
            f->last_error = rd_kafka_event_error(event);
            f->taken = !f->last_error;
            f->is_over |= is_fence(f->last_error);
        }
        rd_kafka_event_destroy(event);
    }
}

/* This sink's positions of the commit; NULL if the cluster isn't known yet. */
static rd_kafka_topic_partition_list_t *offsets_of(struct kafka_sink *s, const struct sink_prepared *p)
{
    const char *cluster_id = s->fenced.cluster_id;
    if (!cluster_id)
        return NULL;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)p->count);
    for (size_t i = 0; i < p->count; i++) {
        struct kafka_key_parts k;
        const struct sink_prepared_position *at = &p->positions[i];
        if (!kafka_position_parse_key(at->key, at->key_len, &k) || !is_text(k.sink, s->base.name) ||
            !is_text(k.cluster, cluster_id))
            continue;
        char topic[256]; /* Kafka's limit is 249 */
        if (k.topic.len >= sizeof topic)
            continue;
        memcpy(topic, k.topic.data, k.topic.len);
        topic[k.topic.len] = '\0';
        rd_kafka_topic_partition_list_add(list, topic, k.partition)->offset = (int64_t)at->position.next;
    }
    return list;
}

static const struct kafka_history *find_history(const struct kafka_fenced *f, const char *topic,
                                                int32_t partition)
{
    for (size_t i = 0; i < f->histories_count; i++)
        if (f->histories[i].partition == partition && strcmp(f->histories[i].topic, topic) == 0)
            return &f->histories[i];
    return NULL;
}

/* Whether we're still who we were when its rows were read. */
static bool is_member(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *offsets)
{
    struct kafka_fenced *f = &c->sink->fenced;
    if (!offsets->cnt || !f->membership.len || rd_kafka_assignment_lost(c->rk) ||
        atomic_load(&c->sink->failed))
        return false;
    for (int i = 0; i < offsets->cnt; i++)
        if (!find_history(f, offsets->elems[i].topic, offsets->elems[i].partition))
            return false;
    struct buffer now = {0};
    membership_of(c->rk, &now);
    bool same = now.len == f->membership.len && memcmp(now.data, f->membership.data, now.len) == 0;
    buffer_release(&now);
    return same;
}

static void send_commit(struct kafka_consumer *c, const struct sink_prepared *p,
                        rd_kafka_topic_partition_list_t *offsets)
{
    struct kafka_fenced *f = &c->sink->fenced;
    const char *store_id = c->sink->intake->ops->store_id(c->sink->intake);
    for (int i = 0; i < offsets->cnt; i++) {
        rd_kafka_topic_partition_t *e = &offsets->elems[i];
        struct buffer text = {0};
        const struct kafka_history *h = find_history(f, e->topic, e->partition);
        kafka_owners_format(&text, store_id, p->n, p->token, (const char *)h->text.data, h->text.len);
        e->metadata_size = text.len;
        e->metadata = xmemdup(text.data, text.len); /* freed with the list */
        buffer_release(&text);
    }
    FAULT_POINT("kafka_before_fenced_commit");
    if (!f->sent)
        f->sent_us = clock_monotonic_us();
    f->sent = true;
    f->joined_at_send = f->joined;
    f->last_error = rd_kafka_commit_queue(c->rk, offsets, c->fenced_queue, NULL, NULL);
    f->on_its_way = !f->last_error;
}

/* What the offsets that the group has say of it. */
static enum kafka_owners_answer look(struct kafka_consumer *c, const struct sink_prepared *p,
                                     rd_kafka_topic_partition_list_t *offsets, struct error *reterr)
{
    const char *store_id = c->sink->intake->ops->store_id(c->sink->intake);
    for (int i = 0; i < offsets->cnt; i++)
        offsets->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
    if (kafka_lookup_committed(c, offsets, reterr) < 0)
        return KAFKA_COMMIT_UNKNOWN;
    reterr->code = 0;
    enum kafka_owners_answer answer = KAFKA_COMMIT_UNKNOWN;
    for (int i = 0; i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &offsets->elems[i];
        enum kafka_owners_answer one =
            kafka_owners_look(e->offset >= 0, e->metadata, e->metadata_size, store_id, p->token);
        /* All came in one request, or none: the surest word counts. */
        if (one < answer)
            answer = one;
    }
    return answer;
}

static bool is_topic_unknown(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

static void say_waits(struct kafka_sink *s, const struct sink_prepared *p, const char *why)
{
    struct kafka_fenced *f = &s->fenced;
    int64_t now = clock_monotonic_ms();
    if (now - f->asked_ms < SAY_FIRST_MS || (f->said_ms && now - f->said_ms < SAY_AGAIN_MS))
        return;
    f->said_ms = now;
    log_warning("sink %s: commit %" PRIu64
                " of the store waits for group %s to decide whether it's made, and "
                "intake waits with it: %s; trying on",
                s->base.name, p->n, s->group, why);
}

static enum sink_verdict refused(struct kafka_sink *s, const struct sink_prepared *p, const char *why)
{
    atomic_fetch_add(&s->fenced.refused, 1);
    log_warning("sink %s: commit %" PRIu64 " of the store isn't made (%s): its rows are dropped, here, and "
                "all sources are read again from what is durable",
                s->base.name, p->n, why);
    return SINK_DISCARD;
}

static enum sink_verdict decide_by_offsets(struct kafka_consumer *c, const struct sink_prepared *p,
                                           rd_kafka_topic_partition_list_t *offsets)
{
    struct kafka_sink *s = c->sink;
    struct kafka_fenced *f = &s->fenced;
    struct error error = {0};
    if (!offsets->cnt) {
        say_waits(s, p,
                  "its partitions are of another cluster (if that's gone for good, a start without "
                  "fenced_commits makes it)");
        return SINK_UNDECIDED;
    }
    enum kafka_owners_answer answer = look(c, p, offsets, &error);
    bool final = f->joined > f->joined_at_send;
    if (error.code < 0) {
        say_waits(s, p, error.message);
        return SINK_UNDECIDED;
    }
    if (answer == KAFKA_COMMIT_THERE) {
        atomic_fetch_add(&f->found, 1);
        log_info("sink %s: group %s has commit %" PRIu64 " of the store, so it's made", s->base.name,
                 s->group, p->n);
        return SINK_COMMIT;
    }
    if (!final) {
        say_waits(s, p, "this node isn't a member of the group again yet");
        return SINK_UNDECIDED;
    }
    if (answer == KAFKA_COMMIT_NOT_THERE)
        return refused(s, p,
                       f->sent ? "the group refused it, as others may have the partitions by now"
                               : "the group hasn't got it: this node ended before it was asked");
    atomic_fetch_add(&f->unknown, 1);
    log_warning(
        "sink %s: commit %" PRIu64 " of the store is made, but the offsets of group %s don't say whether "
        "they hold it (set by another program, or by a node without fenced_commits): rows of it may be "
        "in another node's store, too",
        s->base.name, p->n, s->group);
    return SINK_COMMIT;
}

/* A topic that was deleted takes its offsets along: the group can't take them any more, nor can anybody take
 * over what it held. */
static bool all_topics_are_gone(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *offsets)
{
    const struct kafka_fenced *f = &c->sink->fenced;
    return is_topic_unknown(f->last_error) && offsets->cnt &&
           clock_monotonic_us() - f->sent_us > TOPIC_GONE_MS * 1000;
}

static enum sink_verdict decide(struct kafka_consumer *c, const struct sink_prepared *p,
                                rd_kafka_topic_partition_list_t *offsets)
{
    struct kafka_sink *s = c->sink;
    struct kafka_fenced *f = &s->fenced;
    take_answer(c, 0);
    if (!f->is_over && !f->taken && !f->on_its_way) {
        if (is_member(c, offsets))
            send_commit(c, p, offsets);
        else if (f->sent)
            f->is_over = true;
        else
            return refused(s, p, "this node isn't a member of the group any more");
    }
    take_answer(c, ANSWER_MS);
    if (f->taken) {
        FAULT_POINT("kafka_fenced_commit_taken");
        atomic_fetch_add(&f->commits, 1);
        atomic_fetch_add(&f->waited_us, (uint64_t)(clock_monotonic_us() - f->sent_us));
        return SINK_COMMIT;
    }
    if (f->on_its_way) {
        say_waits(s, p, "its coordinator doesn't answer");
        return SINK_UNDECIDED;
    }
    if (f->is_over)
        return decide_by_offsets(c, p, offsets);
    /* Some of them may have been taken; the others never will. */
    struct error error = {0};
    if (is_topic_unknown(f->last_error) && look(c, p, offsets, &error) == KAFKA_COMMIT_THERE)
        return SINK_COMMIT;
    if (all_topics_are_gone(c, offsets)) {
        log_warning("sink %s: the topics of commit %" PRIu64 " of the store aren't there any more; it's made "
                    "without the group",
                    s->base.name, p->n);
        return SINK_COMMIT;
    }
    say_waits(s, p, rd_kafka_err2str(f->last_error));
    return SINK_UNDECIDED;
}

static void begin(struct kafka_fenced *f, const struct sink_prepared *p)
{
    f->token = p->token;
    f->has_token = true;
    f->sent = f->on_its_way = f->taken = false;
    f->is_over = p->is_found;
    f->joined_at_send = 0; /* of a process before this one: any joining of ours comes after it */
    f->asked_ms = clock_monotonic_ms();
    f->said_ms = 0;
}

bool kafka_decides(struct sink *base, const void *key, uint32_t key_len)
{
    struct kafka_sink *s = (struct kafka_sink *)base;
    struct kafka_key_parts k;
    return s->fenced.is_on && kafka_position_parse_key(key, key_len, &k) && is_text(k.sink, s->base.name);
}

enum sink_verdict kafka_decide(struct sink *base, const struct sink_prepared *p)
{
    struct kafka_sink *s = (struct kafka_sink *)base;
    struct kafka_fenced *f = &s->fenced;
    struct kafka_consumer *c = s->consumers[0];
    enum sink_verdict verdict;
    mutex_lock(&f->client_lock);
    if (!f->has_token || f->token != p->token)
        begin(f, p);
    rd_kafka_topic_partition_list_t *offsets = c->rk ? offsets_of(s, p) : NULL;
    if (offsets && (f->joined || f->sent)) {
        verdict = decide(c, p, offsets);
    } else if (p->is_found || f->sent) {
        say_waits(s, p, c->rk ? "this node isn't a member of the group yet" : "the sink is stopped");
        verdict = SINK_UNDECIDED;
    } else {
        verdict = refused(s, p, "the sink is stopped");
    }
    if (offsets)
        rd_kafka_topic_partition_list_destroy(offsets);
    mutex_unlock(&f->client_lock);
    return verdict;
}
