/*
 * A process that was stopped (SIGSTOP, a frozen machine) for longer than its session has lost its partitions,
 * and somebody else reads them by now; but rows of theirs may still wait in memory, and a commit may be the
 * first thing that goes on. So no commit is made while a consumer's thread hasn't turned for long, nor
 * for a moment after, in which the library notices; nor while lost rows are being dropped.
 *
 * Any thread may ask; the consumer's own keeps the time.
 */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"

/* The library's session timer runs in a thread of its own, and fires as soon as that goes on. */
#define DOUBT_MS 1000

void kafka_fence_open(struct kafka_consumer *c)
{
    char text[32] = "";
    size_t size = sizeof text;
    long long session_ms = 45000;
    if (rd_kafka_conf_get(rd_kafka_conf(c->rk), "session.timeout.ms", text, &size) == RD_KAFKA_CONF_OK)
        session_ms = strtoll(text, NULL, 10);
    atomic_store(&c->session_ms, session_ms);
}

/* A heartbeat may have been due for as long as a third of the session when the process was stopped. */
static int64_t patience_ms(const struct kafka_consumer *c)
{
    return atomic_load(&c->session_ms) / 2;
}

void kafka_fence_turned(struct kafka_consumer *c)
{
    int64_t now = clock_uptime_ms(), last = atomic_load(&c->turned_ms);
    if (last && now - last > patience_ms(c) && now > atomic_load(&c->waits_until_ms))
        atomic_store(&c->doubt_until_ms, now + DOUBT_MS);
    atomic_store(&c->turned_ms, now);
    atomic_store(&c->waits_until_ms, 0);
}

void kafka_fence_wait(struct kafka_consumer *c, int64_t ms)
{
    atomic_store(&c->waits_until_ms, clock_uptime_ms() + ms);
}

void kafka_fence_leave(struct kafka_consumer *c)
{
    atomic_store(&c->turned_ms, 0);
}

static bool is_sure(struct kafka_consumer *c)
{
    mutex_lock(&c->lock); /* may take as long as a message: times are looked at after it */
    bool has_partitions = c->partitions_count > 0;
    mutex_unlock(&c->lock);
    if (atomic_load(&c->discarding))
        return false;
    int64_t turned = atomic_load(&c->turned_ms), now = clock_uptime_ms();
    bool turns = now - turned <= patience_ms(c) || now <= atomic_load(&c->waits_until_ms);
    return !turned || !has_partitions || (turns && now >= atomic_load(&c->doubt_until_ms));
}

bool kafka_may_commit(struct sink *base)
{
    struct kafka_sink *s = (struct kafka_sink *)base;
    if (s->partitions_count) /* nobody takes them away */
        return true;
    for (unsigned i = 0; i < s->consumers_count; i++)
        if (!is_sure(s->consumers[i]))
            return false;
    return true;
}
