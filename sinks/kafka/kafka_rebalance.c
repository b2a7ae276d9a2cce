/*
 * Assignments come and go.
 *
 * The library calls back from inside consume_batch_queue, when it has collected messages that nobody has seen
 * yet. So the callback only notes what is asked, and the loop answers when the call has returned: first those
 * messages are delivered (revoke) or dropped (there can be none before an assign), then the store is flushed,
 * then partitions are let go. The group waits for the answer; no message of the next assignment can get mixed
 * with those of this one.
 *
 * Around a rebalance the library pauses the partitions that stay, and on 2.0.2 forgets messages that it had
 * collected but counted as handed out: the records behind them would come next. So with a cooperative
 * protocol what stays is begun anew at our own positions, too.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/log.h"

/* Static partitions don't need the group: after that long its offsets are taken as unknown. */
#define GROUP_PATIENCE_MS (10 * SECOND_MS)
/* A new position's commit is waited for that long at a time; the assignment is answered once it's durable. */
#define RECORD_MS (2 * SECOND_MS)

static void unassign(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    if (!kafka_is_cooperative(c)) {
        (void)rd_kafka_assign(c->rk, NULL);
        return;
    }
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(c->rk, list);
    if (error) {
        log_warning("sink %s: can't let partitions go: %s", c->sink->base.name, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

void kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                        void *opaque)
{
    struct kafka_consumer *c = opaque;
    if (c->closing ||
        (err != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
        if (!c->closing)
            log_warning("sink %s: rebalance: %s", c->sink->base.name, rd_kafka_err2str(err));
        if (c->closing && err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && kafka_is_cooperative(c))
            return;
        unassign(c, list);
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && rd_kafka_assignment_lost(rk))
        atomic_store(&c->discarding, true);
    c->pending_offer = atomic_load(&c->offers);
    kafka_pending_note(c, list, err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, kafka_is_cooperative(c));
}

/* True if all rows of the partitions are durable. */
static bool flush(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    struct error error = {0};
    /* At a stop the store goes on until all sinks have ended. */
    if (s->intake->ops->paused(s->intake) & ~(unsigned)INTAKE_PAUSE_STOPPING) {
        log_warning("sink %s: intake is paused, so partitions are let go without a flush", s->base.name);
        return false;
    }
    if (s->intake->ops->flush(s->intake, KAFKA_FLUSH_MS, &error) < 0) {
        log_warning("sink %s: partitions are let go before their rows are durable: %s", s->base.name,
                    error.message);
        return false;
    }
    return true;
}

static void serve_revoke(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = c->pending_list;
    bool overtaken = atomic_load(&c->revoke_overtaken),
         lost = overtaken || rd_kafka_assignment_lost(c->rk) != 0;
    if (!c->pending_flushed) {
        log_info("sink %s: %s %d partition(s)", c->sink->base.name,
                 overtaken ? "the group is divided anew without waiting: dropping"
                 : lost    ? "lost"
                           : "giving up",
                 list->cnt);
        /* What isn't durable is out of the question before the group is told what is. */
        if (list->cnt && (lost || !flush(c)))
            kafka_discard_rows(c);
        c->pending_flushed = true;
    }
    if (c->sink->fenced.is_on && !kafka_fenced_let_go(c)) {
        kafka_check_all(c); /* what comes until they're let go isn't ours to store */
        return;             /* again in the next turn */
    }
    if (list->cnt && !lost)
        kafka_ack_now(c, KAFKA_COMMIT_MS);

    /* Incrementally, only what the library has: a halted partition isn't there. */
    rd_kafka_topic_partition_list_t *attached = rd_kafka_topic_partition_list_new(list->cnt);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        const struct kafka_partition *p = kafka_partition_find(c, e->topic, e->partition);
        if (p && p->attached)
            rd_kafka_topic_partition_list_add(attached, e->topic, e->partition);
    }
    for (int i = 0; i < list->cnt; i++)
        kafka_partitions_remove(c, list->elems[i].topic, list->elems[i].partition);
    if (!kafka_is_cooperative(c))
        kafka_partitions_clear(c);
    unassign(c, attached);
    rd_kafka_topic_partition_list_destroy(attached);
    if (atomic_exchange(&c->revoke_overtaken, false) && atomic_load(&c->discarding))
        kafka_discard_rows(c); /* it came while they were flushed */
    kafka_pending_answered(c);
    if (c->partitions_count)
        kafka_assignment_reseat(c);
}

struct start {
    struct kafka_partition *p;
    struct kafka_start_decision decision;
    struct sink_position own;
    int64_t group;        /* the group's offset */
    int64_t timestamp_ms; /* of FROM_TIMESTAMP */
    bool group_is_stray;
    bool is_ordered;  /* by `varve offsets reset` */
    bool is_restated; /* our own, which the group is to have as well */
};

static int ask_group(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list, struct error *reterr)
{
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
    if (!c->sink->group_commits)
        return 0;
    int r = kafka_lookup_committed(c, list, reterr);
    if (r < 0 && c->sink->partitions_count &&
        clock_monotonic_ms() - c->pending_since_ms > GROUP_PATIENCE_MS) {
        log_warning("sink %s: going on without the group's offsets: %s", c->sink->base.name, reterr->message);
        for (int i = 0; i < list->cnt; i++)
            list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
        return 0;
    }
    return r;
}

/* Replaces FROM_EARLIEST, FROM_LATEST and FROM_TIMESTAMP by offsets. */
static int ask_offsets(struct kafka_consumer *c, struct start *starts, size_t count, struct error *reterr)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        enum kafka_start_source source = starts[i].decision.source;
        if (source < KAFKA_FROM_EARLIEST)
            continue;
        rd_kafka_topic_partition_list_add(list, starts[i].p->topic, starts[i].p->partition)->offset =
            source == KAFKA_FROM_EARLIEST ? RD_KAFKA_OFFSET_BEGINNING
            : source == KAFKA_FROM_LATEST ? RD_KAFKA_OFFSET_END
                                          : starts[i].timestamp_ms;
    }
    int r = kafka_lookup_offsets(c, list, reterr);
    /* A time after the last record: its end. */
    for (int i = 0; r == 0 && i < list->cnt; i++) {
        if (list->elems[i].offset < 0)
            rd_kafka_topic_partition_list_add(ends, list->elems[i].topic, list->elems[i].partition)->offset =
                RD_KAFKA_OFFSET_END;
    }
    if (r == 0)
        r = kafka_lookup_offsets(c, ends, reterr);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct kafka_start_decision *d = &starts[i].decision;
        if (d->source < KAFKA_FROM_EARLIEST)
            continue;
        const rd_kafka_topic_partition_t *e =
            rd_kafka_topic_partition_list_find(list, starts[i].p->topic, starts[i].p->partition);
        if (e && e->offset < 0)
            e = rd_kafka_topic_partition_list_find(ends, starts[i].p->topic, starts[i].p->partition);
        if (!e || e->offset < 0)
            r = error_set(reterr, ERR_IO, "no offset to start at for %s/%" PRId32, starts[i].p->topic,
                          starts[i].p->partition);
        else
            d->offset = e->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_partition_list_destroy(ends);
    return r;
}

/* An operator's order for the partition, until another position is durable. */
static enum kafka_begin order_of(const struct kafka_sink *s, const struct kafka_partition *p,
                                 int64_t *ret_value)
{
    struct sink_position durable;
    if (!s->intake->ops->durable_position(s->intake, p->key.data, (uint32_t)p->key.len, &durable))
        return KAFKA_BEGIN_NONE;
    return kafka_position_begin(&durable, ret_value);
}

static void decide(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, const bool *later,
                   struct start *starts)
{
    struct kafka_sink *s = c->sink;
    kafka_elsewhere_clear(c);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        struct start *start = &starts[i];
        start->p = kafka_partition_new(c, e->topic, e->partition);
        struct kafka_start_input in = {
            .own_known = s->intake->ops->position(s->intake, start->p->key.data, (uint32_t)start->p->key.len,
                                                  &start->own),
            .group = e->offset,
            .owner = kafka_metadata_owner(e->metadata, e->metadata_size, s->intake->ops->store_id(s->intake)),
            .start_from = s->start_from,
            .appeared_later = later[i],
        };
        in.own = in.own_known ? (int64_t)start->own.next : 0;
        int64_t elsewhere = in.own_known ? -1 : kafka_elsewhere_note(c, start->p);
        start->group_is_stray =
            kafka_start_is_stray(in.own_known, in.group, in.owner, s->partitions_count != 0, elsewhere);
        if (start->group_is_stray)
            in.group = KAFKA_OFFSET_NONE;
        int64_t value = 0;
        enum kafka_begin begin = order_of(s, start->p, &value);
        start->decision = begin ? kafka_start_ordered(begin, value) : kafka_start_decide(&in);
        start->is_ordered = begin != KAFKA_BEGIN_NONE;
        start->is_restated =
            s->fenced.is_on && start->decision.source == KAFKA_FROM_OWN && !begin && e->offset != in.own;
        start->timestamp_ms = begin ? start->decision.offset : s->start_timestamp_ms;
        if (in.owner == KAFKA_OWNER_OURS && !start->group_is_stray)
            start->p->commit_sent = e->offset;
        start->group = e->offset;
    }
}

/* The group may have refused the commit; then the positions are gone with it. */
static int check_recorded(const struct kafka_consumer *c, const struct start *starts, size_t count,
                          struct error *reterr)
{
    struct intake *in = c->sink->intake;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_partition *p = starts[i].p;
        struct sink_position position;
        if (!in->ops->durable_position(in, p->key.data, (uint32_t)p->key.len, &position) ||
            (int64_t)position.next != starts[i].decision.offset)
            return error_set(reterr, ERR_CANCELLED, "the group didn't take the position of %s/%" PRId32,
                             p->topic, p->partition);
    }
    return 0;
}

/* Where partitions start for the first time is recorded at once: a sink that was killed before its first
 * commit must not decide anew (`latest` would be later). */
static int record_starts(struct kafka_consumer *c, struct start *starts, size_t count, struct error *reterr)
{
    struct intake *in = c->sink->intake;
    bool durable = true;
    kafka_elsewhere_report(c); /* before they're known */
    for (size_t i = 0; i < count; i++) {
        const struct kafka_partition *p = starts[i].p;
        struct sink_position position =
            starts[i].is_restated ? starts[i].own : kafka_position_encode(starts[i].decision.offset, NULL);
        bool set = starts[i].decision.record || starts[i].is_restated;
        if (set)
            in->ops->set_position(in, p->key.data, (uint32_t)p->key.len, &position);
        durable &= in->ops->durable_position(in, p->key.data, (uint32_t)p->key.len, &position) && !set;
    }
    int r = durable ? 0 : in->ops->flush(in, RECORD_MS, reterr);
    return r == 0 && c->sink->fenced.is_on ? check_recorded(c, starts, count, reterr) : r;
}

static void say_group_moved(const struct kafka_sink *s, const struct kafka_partition *p, int64_t group)
{
    log_warning(
        "sink %s: group %s has offset %" PRId64 " for %s/%" PRId32
        ", set by somebody else; the store's position %" PRId64
        " counts (to move it: stop, then `varve offsets reset DIR --sink %s --topic %s --partition %" PRId32
        " --to %" PRId64 "`)",
        s->base.name, s->group, group, p->topic, p->partition, p->next, s->base.name, p->topic, p->partition,
        group);
}

static void begin_partitions(struct kafka_consumer *c, struct start *starts, size_t count)
{
    static const char *const source_names[] = {
        [KAFKA_FROM_OWN] = "the store's",        [KAFKA_FROM_GROUP] = "the group's",
        [KAFKA_FROM_EARLIEST] = "earliest",      [KAFKA_FROM_LATEST] = "latest",
        [KAFKA_FROM_TIMESTAMP] = "by timestamp",
    };
    struct kafka_sink *s = c->sink;
    for (size_t i = 0; i < count; i++) {
        struct kafka_partition *p = TAKE(starts[i].p);
        const struct kafka_start_decision *d = &starts[i].decision;
        const char *source =
            starts[i].is_ordered ? "as `varve offsets reset` set it" : source_names[d->source];
        p->next = d->offset;
        p->dirty = true;
        if (!d->record)
            p->check = kafka_position_fingerprint(&starts[i].own, &p->expected);
        if (d->warn_group_moved) {
            atomic_fetch_add(&s->group_moved, 1);
            say_group_moved(s, p, starts[i].group);
        }
        if (starts[i].group_is_stray) {
            atomic_fetch_add(&s->group_moved, 1);
            log_warning("sink %s: group %s has offset %" PRId64 " for %s/%" PRId32
                        ", which was meant for the cluster before this one and isn't heeded",
                        s->base.name, s->group, starts[i].group, p->topic, p->partition);
        }
        if (count <= 16)
            log_info("sink %s: reading %s/%" PRId32 " from offset %" PRId64 " (%s)", s->base.name, p->topic,
                     p->partition, p->next, source);
        kafka_partitions_add(c, p);
    }
    if (count > 16)
        log_info("sink %s: reading %zu more partitions", s->base.name, count);
}

/* A commit that was open when we joined is decided before anything is begun: positions depend on it. */
static int settle_fenced(struct kafka_consumer *c, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    if (!s->fenced.is_on)
        return 0;
    if (!c->pending_joined)
        kafka_fenced_joined(c);
    c->pending_joined = true;
    if (s->intake->ops->is_undecided(s->intake))
        return error_set(reterr, ERR_BUSY, "a commit isn't decided yet");
    return 0;
}

/* False if the assignment was void when it was answered: the next one is on its way, or in the queue. */
static bool answer_assign(struct kafka_consumer *c, struct start *starts, size_t count)
{
    if (!kafka_is_cooperative(c))
        kafka_partitions_clear(c);
    begin_partitions(c, starts, count);
    kafka_assignment_reseat(c);
    if (!kafka_generation_overtook(c)) {
        kafka_pending_answered(c);
        return true;
    }
    log_info("sink %s: the group is divided anew before that: nothing is read yet", c->sink->base.name);
    kafka_partitions_clear(c);
    (void)rd_kafka_assign(c->rk, NULL);
    kafka_pending_forget(c);
    return false;
}

static void serve_assign(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = c->pending_list;
    kafka_rejoin_drop_foreign(c, list);
    size_t count = (size_t)list->cnt;
    struct start *starts = xcalloc(count + 1, sizeof *starts);
    bool *later = xcalloc(count + 1, sizeof *later);
    struct error error = {0};
    bool restarted = false;

    int r = kafka_lookup_cluster(c, &error);
    if (r == 0 && !kafka_consumer_stopping(c))
        r = settle_fenced(c, &error);
    if (r == 0 && !kafka_consumer_stopping(c))
        r = ask_group(c, list, &error);
    if (r == 0 && c->sink->fenced.is_on)
        kafka_fenced_assigned(c, list);
    if (r == 0 && !kafka_consumer_stopping(c))
        r = kafka_lookup_appeared_later(c, list, later, &error);
    if (r == 0 && !kafka_consumer_stopping(c)) {
        decide(c, list, later, starts);
        r = ask_offsets(c, starts, count, &error);
    }
    if (r == 0 && !kafka_consumer_stopping(c))
        r = record_starts(c, starts, count, &error);
    if (kafka_consumer_stopping(c)) {
        /* What isn't begun isn't ours. */
    } else if (r == 0) {
        for (size_t i = 0; i < count; i++)
            restarted |= starts[i].decision.source == KAFKA_FROM_OWN;
        if (answer_assign(c, starts, count) && restarted)
            kafka_rejoin_restarted(c);
        atomic_store(&c->ack_due, true); /* an acknowledgement may have come while there was no partition */
    } else if (!c->pending_said) {
        c->pending_said = true;
        log_warning("sink %s: can't begin %zu partition(s) yet: %s; trying on", c->sink->base.name, count,
                    error.message);
    }
    for (size_t i = 0; i < count; i++)
        kafka_partition_free(starts[i].p);
    free(starts);
    free(later);
}

void kafka_rebalance_serve(struct kafka_consumer *c)
{
    if (c->pending == KAFKA_PENDING_REVOKE)
        serve_revoke(c);
    else if (c->pending == KAFKA_PENDING_ASSIGN && !c->discard_due) /* positions are to go back before */
        serve_assign(c);
}
