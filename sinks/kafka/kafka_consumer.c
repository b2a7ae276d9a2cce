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
    kafka_rebalance_serve(c);
    kafka_check_serve(c);
    kafka_ack_serve(c);
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

struct destruction {
    rd_kafka_t *rk;
    struct kafka_consumer *c;
};

static void destroy_client(void *arg)
{
    struct destruction *d = arg;
    struct kafka_consumer *c = d->c;
    rd_kafka_destroy_flags(d->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(d);
    struct kafka_sink *s = c->sink;
    mutex_lock(&s->lock);
    atomic_store(&c->destroyed, true);
    cond_broadcast(&s->stop_changed);
    if (c->late)
        s->late--;
    bool last = c->late && s->orphaned && !s->late;
    mutex_unlock(&s->lock);
    if (last)
        kafka_sink_release(s);
}

/* The library waits for its threads, and one of those may wait for a name server: not longer than we can. If
 * it does take longer, consumer and sink stay allocated (kafka_sink.c), and the process is about to end
 * anyway. */
static void destroy_in_time(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    struct destruction *d = xmalloc(sizeof *d);
    *d = (struct destruction){c->rk, c};
    if (c->pending_list)
        rd_kafka_topic_partition_list_destroy(c->pending_list);
    c->pending_list = NULL;
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_queue_destroy(c->ack_queue);

    struct thread helper = {0};
    thread_start(&helper, "kafka-destroy", destroy_client, d);
    int64_t deadline = clock_monotonic_ms() + KAFKA_DESTROY_MS;
    mutex_lock(&s->lock);
    while (!atomic_load(&c->destroyed) && left_until(deadline))
        (void)cond_wait_ms(&s->stop_changed, &s->lock, left_until(deadline));
    c->late = !atomic_load(&c->destroyed);
    s->late += c->late;
    bool late = c->late;
    mutex_unlock(&s->lock);
    if (!late) {
        thread_join(&helper);
        c->rk = NULL;
    } else {
        (void)pthread_detach(helper.native);
        log_warning("sink %s: librdkafka takes long to end; not waiting for it", s->base.name);
    }
}

void kafka_consumer_run(void *arg)
{
    struct kafka_consumer *c = arg;
    struct kafka_sink *s = c->sink;

    c->worker = s->intake->ops->worker_new(s->intake, s->base.name, s->decoder, &s->decode);
    while (!kafka_consumer_stopping(c))
        turn(c);

    bool failed = atomic_load(&s->failed) != NULL;
    if (failed)
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
    destroy_in_time(c);
}
