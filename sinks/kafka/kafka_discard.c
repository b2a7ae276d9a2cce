/*
 * Rows of partitions that another node has by now, or will have in a moment. It reads on from what is durable
 * here: so what isn't must not become so.
 *
 * The store drops it at once, or, while a commit hangs in a disk that doesn't answer, as soon as that has
 * ended; either way it's out of the question from then on. Until it's done no partition is begun, since
 * positions are to go back.
 */
#include "sinks/kafka/kafka_internal.h"
#include "src/base/log.h"

/* Every partition goes on where the store does; what the library has of it is further on, so nothing of that
 * is taken (a record behind a gap would be) until it's attached anew: kafka_check_serve, or a rebalance's
 * answer. */
static void follow_store(struct kafka_consumer *c)
{
    struct intake *in = c->sink->intake;
    mutex_lock(&c->lock); /* metrics look at the positions */
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        struct sink_position position;
        if (!in->ops->position(in, p->key.data, (uint32_t)p->key.len, &position) ||
            (int64_t)position.next == p->next)
            continue;
        p->next = (int64_t)position.next;
        p->check = kafka_position_fingerprint(&position, &p->expected);
        p->reattach = true;
    }
    mutex_unlock(&c->lock);
}

static void done(struct kafka_consumer *c)
{
    c->discard_due = false;
    log_info("sink %s: rows that weren't durable yet are dropped, and read again from the store's positions",
             c->sink->base.name);
    follow_store(c);
}

void kafka_discard_rows(struct kafka_consumer *c)
{
    struct intake *in = c->sink->intake;
    c->discard_due = in->ops->discard(in, 0, NULL) < 0;
    atomic_store(&c->discarding, false); /* the store sees to it now */
    if (c->discard_due)
        log_info(
            "sink %s: rows that aren't durable yet are dropped as soon as the commit under way has ended",
            c->sink->base.name);
    else
        done(c);
}

void kafka_discard_serve(struct kafka_consumer *c)
{
    struct intake *in = c->sink->intake;
    if (c->discard_due && !in->ops->discard_is_due(in))
        done(c);
}
