/* The thread of a consumer: poll, deliver, answer rebalances, acknowledge; at the end, let go in time. */
#include <stdlib.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"

bool kafka_consumer_stopping(const struct kafka_consumer *c)
{
    return atomic_load(&c->sink->stop) || atomic_load(&c->sink->stop_intake) || atomic_load(&c->sink->failed);
}

/* As many as make KAFKA_BATCH_BYTES at the size that messages have lately. */
static size_t batch_size(const struct kafka_consumer *c)
{
    size_t n = KAFKA_BATCH_BYTES / (c->message_size + 1);
    return n < 1 ? 1 : n > KAFKA_BATCH_MAX ? KAFKA_BATCH_MAX : n;
}

static void turn(struct kafka_consumer *c)
{
    kafka_assignment_sync_pause(c);
    ssize_t n = rd_kafka_consume_batch_queue(c->queue, KAFKA_POLL_MS, c->messages, batch_size(c));
    if (n > 0)
        kafka_deliver(c, (size_t)n);
    if (rd_kafka_fatal_error(c->rk, NULL, 0)) {
        kafka_fatal(c);
        return;
    }
    kafka_fence_turned(c);
    kafka_discard_serve(c);
    if (c->pending != KAFKA_PENDING_NONE) {
        kafka_fence_wait(c, KAFKA_REBALANCE_MS);
        kafka_rebalance_serve(c);
    }
    if (c->pending == KAFKA_PENDING_NONE && !kafka_consumer_stopping(c))
        kafka_rejoin_serve(c);
    kafka_check_serve(c);
    kafka_ack_serve(c);
    kafka_fence_turned(c);
}

/* Between the two halves of a stop: nothing is polled any more, what becomes durable is acknowledged. */
static void wait_for_stop(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    kafka_ack_serve(c);
    mutex_lock(&s->lock);
    if (!atomic_load(&s->stop))
        (void)cond_wait_ms(&s->stop_changed, &s->lock, 20);
    mutex_unlock(&s->lock);
}

static int64_t left_until(int64_t deadline)
{
    int64_t left = deadline - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

static bool is_member(struct kafka_consumer *c)
{
    char *id = rd_kafka_memberid(c->rk);
    bool member = id && id[0];
    if (id)
        rd_kafka_mem_free(c->rk, id);
    return member;
}

static void poll_for_callbacks(struct kafka_consumer *c)
{
    ssize_t n = rd_kafka_consume_batch_queue(c->queue, 50, c->messages, KAFKA_BATCH_MAX);
    for (ssize_t i = 0; i < n; i++)
        rd_kafka_message_destroy(c->messages[i]);
}

/* A static member's close tells the group nothing: only unsubscribing, and answering the revoke that follows,
 * gives the partitions to others now. The member's id is gone when the request is on its way. */
static void leave_group(struct kafka_consumer *c, int64_t deadline)
{
    (void)rd_kafka_unsubscribe(c->rk);
    while (is_member(c) && left_until(deadline))
        poll_for_callbacks(c);
    poll_for_callbacks(c);
    poll_for_callbacks(c);
}

/* Of a client; under the sink's lock once its thread runs. */
struct destruction {
    rd_kafka_t *rk;
    struct kafka_sink *sink;
    bool done;
    bool late; /* nobody waits any more: its thread frees it */
};

static void destroy_client(void *arg)
{
    struct destruction *d = arg;
    struct kafka_sink *s = d->sink;
    rd_kafka_destroy_flags(d->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    mutex_lock(&s->lock);
    bool late = d->late;
    d->done = true;
    cond_broadcast(&s->stop_changed);
    if (late)
        s->late--;
    bool last = late && s->orphaned && !s->late;
    mutex_unlock(&s->lock);
    if (late)
        free(d);
    if (last)
        kafka_sink_release(s);
}

/* The library waits for its threads, and one of those may wait for a name server, or a commit for a
 * coordinator that doesn't come (as long as a session lasts): not longer than we can. It stops fetching at
 * once. If it does take longer, it ends in the background; it may still log, so consumer and sink stay
 * allocated until then (kafka_sink.c). False if so. */
static bool destroy_in_time(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    struct destruction *d = xcalloc(1, sizeof *d);
    d->rk = c->rk;
    d->sink = s;
    kafka_pending_forget(c);
    kafka_generation_forget(c);
    mutex_lock(&s->fenced.client_lock);
    kafka_fenced_client_ends(c);
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_queue_destroy(c->ack_queue);
    rd_kafka_queue_destroy(c->fenced_queue);
    c->rk = NULL;
    mutex_unlock(&s->fenced.client_lock);

    struct thread helper = {0};
    thread_start(&helper, "kafka-destroy", destroy_client, d);
    int64_t deadline = clock_monotonic_ms() + KAFKA_DESTROY_MS;
    mutex_lock(&s->lock);
    while (!d->done && left_until(deadline))
        (void)cond_wait_ms(&s->stop_changed, &s->lock, left_until(deadline));
    bool late = !d->done;
    d->late = late;
    s->late += late;
    mutex_unlock(&s->lock);
    if (late) {
        (void)pthread_detach(helper.native);
    } else {
        thread_join(&helper);
        free(d);
    }
    return !late;
}

static bool reopened_lately(const struct kafka_consumer *c)
{
    return c->reopened_ms && clock_monotonic_ms() - c->reopened_ms < KAFKA_REOPEN_MS;
}

/* True when it's time to begin anew with another client.
 *
 * librdkafka 2.0.2 goes on connecting to the address that the group's coordinator had when its broker comes
 * back at another one under the same id (rd_kafka_cgrp_coord_update looks at the id only): no heartbeat and
 * no commit gets through any more, and the session times out. 2.16 follows by itself. */
static bool coordinator_is_lost(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    mutex_lock(&c->lock);
    bool moved = c->coordinator_moved_ms && clock_monotonic_ms() - c->coordinator_moved_ms >= KAFKA_MOVED_MS;
    mutex_unlock(&c->lock);
    /* The session timed out already: others may have our partitions, and the revoke that comes says so. */
    if (!moved || reopened_lately(c) || (c->partitions_count && rd_kafka_assignment_lost(c->rk)))
        return false;
    log_warning("sink %s: librdkafka doesn't follow the coordinator of group %s to its new address; "
                "connecting anew",
                s->base.name, s->group);
    return true;
}

/* True if the addresses lead to another cluster by now. Its records have other positions. */
static bool cluster_is_lost(struct kafka_consumer *c)
{
    if (!kafka_cluster_is_another(c) || reopened_lately(c))
        return false;
    log_error("sink %s: the brokers of %s aren't cluster %s any more; connecting anew", c->sink->base.name,
              c->sink->brokers, c->cluster_id);
    return true;
}

/* The settings were good before; but a certificate may be being replaced just now. */
static void open_until_it_works(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    bool said = false;
    while (!kafka_consumer_stopping(c)) {
        struct error error = {0};
        if (kafka_client_open(c, &error) == 0)
            return;
        if (!said)
            log_error("sink %s: can't connect anew: %s; trying on", s->base.name, error.message);
        said = true;
        int64_t deadline = clock_monotonic_ms() + SECOND_MS;
        while (left_until(deadline) && !kafka_consumer_stopping(c))
            clock_sleep_ms(20);
    }
}

/* Another client with the same static membership: the group gives it the same partitions at once, and they
 * begin at the store's positions, as after a restart. What was handed over stays so. If the old client
 * still gets its last commit through, then it's refused, its member having been replaced; with static
 * partitions it sets the group's offset back until the next one. No client: the sink is stopping. */
static void reopen(struct kafka_consumer *c)
{
    c->closing = true;
    kafka_partitions_clear(c);
    (void)destroy_in_time(c);
    free(c->cluster_id);
    c->cluster_id = NULL;
    mutex_lock(&c->lock);
    c->coordinator_moved_ms = 0;
    mutex_unlock(&c->lock);
    c->reopened_ms = clock_monotonic_ms();
    c->closing = c->paused = c->foreign_checked = false;
    c->rejoin_checked = c->rejoin_due = c->added_unknown = false;
    c->commits_outstanding = 0;
    /* Rows that were read as a member that isn't there any more mustn't be committed as the next one; nor
     * those of partitions that were lost, whose revoke isn't pending any more. */
    if (c->sink->fenced.is_on || atomic_load(&c->discarding))
        kafka_discard_rows(c);
    open_until_it_works(c);
}

void kafka_consumer_run(void *arg)
{
    struct kafka_consumer *c = arg;
    struct kafka_sink *s = c->sink;

    c->worker = s->intake->ops->worker_new(s->intake, s->base.name, s->decoder, &s->decode);
    while (c->rk && !kafka_consumer_stopping(c)) {
        turn(c);
        if (!kafka_consumer_stopping(c) && (coordinator_is_lost(c) || cluster_is_lost(c)))
            reopen(c);
    }

    kafka_fence_leave(c);

    bool failed = atomic_load(&s->failed) != NULL || !c->rk;
    /* Fenced, or lost in the last moment: another process has our partitions. */
    if ((c->rk && rd_kafka_fatal_error(c->rk, NULL, 0)) || atomic_load(&c->discarding)) {
        kafka_partitions_clear(c);
        kafka_discard_rows(c);
    }
    if (failed && c->rk)
        kafka_ack_now(c, KAFKA_STOP_MS); /* other threads of a fenced sink: what's durable, then let go */
    while (!failed && !atomic_load(&s->stop))
        wait_for_stop(c);

    int64_t deadline = clock_monotonic_ms() + KAFKA_STOP_MS;
    if (!failed)
        kafka_ack_now(c, KAFKA_STOP_MS);
    c->closing = true;
    if (s->leave_on_stop && !s->partitions_count && !failed && !kafka_all_away(s))
        leave_group(c, deadline + 500);

    kafka_partitions_clear(c);
    s->intake->ops->worker_free(s->intake, c->worker);
    c->worker = NULL;
    if (c->rk && !destroy_in_time(c))
        log_warning("sink %s: librdkafka takes long to end; not waiting for it", s->base.name);
}
