/*
 * The group's committed offsets: what is durable in the store, never more, with the metadata "v1;STORE-ID;N".
 *
 * rd_kafka_position() is ahead of what was handed out, and a synchronous commit waits for the session timeout
 * when the broker is away: so neither is used. Answers come on a queue; going on without one is safe, since
 * the store's position is the truth.
 */
#include <inttypes.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

#define RETRY_MS 50

static void take_answer(struct kafka_consumer *c, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    if (c->commits_outstanding)
        c->commits_outstanding--;
    for (int i = 0; list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        if (!err && !e->err)
            continue;
        if (!err)
            err = e->err;
        struct kafka_partition *p = kafka_partition_find(c, e->topic, e->partition);
        if (p)
            p->commit_sent = -1; /* again with the next acknowledgement */
    }
    if (err && !c->commit_failing) {
        log_warning(
            "sink %s: the group's offsets can't be committed: %s (the store's positions are what counts; "
            "trying again with each flush)",
            c->sink->base.name, rd_kafka_err2str(err));
    } else if (!err && c->commit_failing) {
        log_info("sink %s: the group's offsets are committed again", c->sink->base.name);
    }
    c->commit_failing = err != 0;
    c->commit_error = err;
    if (!err)
        kafka_note_answer(c->sink);
}

static void take_answers(struct kafka_consumer *c, int timeout_ms)
{
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(c->ack_queue, timeout_ms))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT)
            take_answer(c, event);
        rd_kafka_event_destroy(event);
        timeout_ms = 0;
    }
}

/* They didn't go out: send them again next time. */
static void forget_sent(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        struct kafka_partition *p = kafka_partition_find(c, list->elems[i].topic, list->elems[i].partition);
        if (p)
            p->commit_sent = -1;
    }
}

static void send_durable(struct kafka_consumer *c)
{
    struct intake *in = c->sink->intake;
    char metadata[KAFKA_METADATA_MAX];
    if (!c->sink->group_commits || c->sink->fenced.is_on) /* then they come with the store's commits */
        return;
    kafka_metadata_format(metadata, in->ops->store_id(in), in->ops->commit_number(in));

    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->partitions_count);
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        struct sink_position position;
        if (p->halted || !in->ops->durable_position(in, p->key.data, (uint32_t)p->key.len, &position))
            continue;
        if (FAULT_SWITCH("kafka_early_ack"))
            (void)in->ops->position(in, p->key.data, (uint32_t)p->key.len, &position);
        if ((int64_t)position.next == p->commit_sent)
            continue;
        rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
        e->offset = (int64_t)position.next;
        e->metadata = xstrdup(metadata); /* freed with the list */
        e->metadata_size = strlen(metadata);
        p->commit_sent = e->offset;
    }
    if (list->cnt) {
        FAULT_POINT("kafka_before_acknowledge");
        rd_kafka_resp_err_t err = rd_kafka_commit_queue(c->rk, list, c->ack_queue, NULL, NULL);
        if (!err)
            c->commits_outstanding++;
        else
            forget_sent(c, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void kafka_ack_serve(struct kafka_consumer *c)
{
    take_answers(c, 0);
    /* One at a time: what comes meanwhile goes into the next. */
    if (!c->commits_outstanding && !atomic_load(&c->between_generations) &&
        (atomic_exchange(&c->ack_due, false) || FAULT_SWITCH("kafka_early_ack")))
        send_durable(c);
}

/* Refused for the moment: the group's new assignment is still on its way to the coordinator. */
static bool is_passing(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
           err == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
}

void kafka_ack_now(struct kafka_consumer *c, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms, left;
    take_answers(c, 0);
    atomic_store(&c->ack_due, false);
    do {
        c->commit_error = RD_KAFKA_RESP_ERR_NO_ERROR;
        send_durable(c);
        while (c->commits_outstanding) {
            left = deadline - clock_monotonic_ms();
            if (left <= 0 || kafka_all_away(c->sink))
                return;
            take_answers(c, (int)(left < 50 ? left : 50));
        }
        left = deadline - clock_monotonic_ms();
        if (is_passing(c->commit_error) && left > RETRY_MS)
            clock_sleep_ms(RETRY_MS);
    } while (is_passing(c->commit_error) && left > RETRY_MS);
}
