/*
 * What the library has to say, said once: a broker that went away and one that's back are a line each,
 * however often the library tries to connect. Errors come with the consumer's poll; the log comes from any
 * thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"

#define REPEAT_MS (60 * SECOND_MS)

bool kafka_all_away(struct kafka_sink *s)
{
    mutex_lock(&s->lock);
    bool all = s->all_away;
    mutex_unlock(&s->lock);
    return all;
}

/* "ssl://127.0.0.1:9092/1: Connect to ... failed" or "GroupCoordinator: 127.0.0.1:9092: ...": host:port of
 * it; false if the text isn't about a broker. */
static bool broker_of(const char *reason, char *dst, size_t size)
{
    static const char coordinator[] = "GroupCoordinator: ";
    if (strncmp(reason, coordinator, sizeof coordinator - 1) == 0) {
        reason += sizeof coordinator - 1;
        const char *end = strstr(reason, ": ");
        if (!end || (size_t)(end - reason) >= size)
            return false;
        (void)snprintf(dst, size, "%.*s", (int)(end - reason), reason);
        return true;
    }
    const char *start = strstr(reason, "://");
    start = start && start < reason + 24 ? start + 3 : reason;
    const char *slash = strchr(start, '/'), *colon = strstr(start, ": ");
    if (!slash || !colon || slash > colon || (size_t)(slash - start) >= size)
        return false;
    (void)snprintf(dst, size, "%.*s", (int)(slash - start), start);
    return strchr(dst, ':') != NULL && !strchr(dst, ' ');
}

/* True if it wasn't known to be away. */
static bool note_away(struct kafka_sink *s, const char *broker)
{
    bool is_new = true;
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->away_count && is_new; i++)
        is_new = strcmp(s->away[i], broker) != 0;
    if (is_new) {
        GROW(s->away, s->away_count, s->away_capacity);
        s->away[s->away_count++] = xstrdup(broker);
        atomic_fetch_add(&s->brokers_lost, 1);
    }
    mutex_unlock(&s->lock);
    return is_new;
}

static void note_up(struct kafka_sink *s, const char *broker)
{
    bool was_away = false;
    mutex_lock(&s->lock);
    s->all_away = false;
    for (size_t i = 0; i < s->away_count; i++) {
        if (strcmp(s->away[i], broker) != 0)
            continue;
        was_away = true;
        free(s->away[i]);
        s->away[i] = s->away[--s->away_count];
        break;
    }
    mutex_unlock(&s->lock);
    if (was_away)
        log_info("sink %s: broker %s is back", s->base.name, broker);
}

void kafka_note_answer(struct kafka_sink *s)
{
    mutex_lock(&s->lock);
    s->all_away = false;
    mutex_unlock(&s->lock);
}

/* Whether a fault of that kind was said less than a minute ago by this consumer. */
static bool said_lately(struct kafka_consumer *c, const char *kind)
{
    unsigned hash = 0;
    for (const char *k = kind; *k; k++)
        hash = hash * 31 + (unsigned char)*k;
    atomic_llong *slot = &c->log_said_ms[hash % (sizeof c->log_said_ms / sizeof *c->log_said_ms)];
    int64_t now = clock_monotonic_ms(), last = atomic_load(slot);
    if (last && now - last < REPEAT_MS)
        return true;
    atomic_store(slot, now);
    return false;
}

void kafka_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct kafka_consumer *c = opaque;
    struct kafka_sink *s = c->sink;
    char broker[256];
    (void)rk;
    switch (err) {
    case RD_KAFKA_RESP_ERR__FATAL:
        kafka_fatal(c);
        return;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        mutex_lock(&s->lock);
        bool said = s->all_away;
        s->all_away = true;
        mutex_unlock(&s->lock);
        if (!said)
            log_warning("sink %s: no broker of %s can be reached; trying on", s->base.name, s->brokers);
        return;
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        kafka_check_not_there(c, reason);
        break;
    default:
        break;
    }
    bool is_named = broker_of(reason, broker, sizeof broker);
    char why[512];
    if (err == RD_KAFKA_RESP_ERR__SSL && is_named && kafka_take_tls_reason(s, reason, why, sizeof why)) {
        if (note_away(s, broker))
            kafka_check_all(c);
        if (!said_lately(c, why)) /* also when it was away for another reason before */
            log_warning("sink %s: broker %s is refused: %s; trying on", s->base.name, broker, why);
        return;
    }
    if (is_named) {
        if (!note_away(s, broker))
            return;
        log_warning("sink %s: broker %s went away: %s%s", s->base.name, broker, reason,
                    kafka_tls_hint(s, reason));
        kafka_check_all(c); /* records that are behind this in the queue may be another broker's */
        return;
    }
    if (!said_lately(c, rd_kafka_err2name((rd_kafka_resp_err_t)err)))
        log_warning("sink %s: %s: %s", s->base.name, rd_kafka_err2name((rd_kafka_resp_err_t)err), reason);
}

void kafka_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    struct kafka_consumer *c = rd_kafka_opaque(rk);
    if (c && atomic_load(&c->told_by) == rk)
        kafka_generation_note(c, facility, text);
    /* These repeat what kafka_on_error gets. */
    bool known =
        strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0 || strcmp(facility, "FATAL") == 0;
    if (!c || level > 4 || known || said_lately(c, facility))
        log_debug("librdkafka: %s: %s", facility, text);
    else
        log_warning("sink %s: librdkafka: %s: %s", c->sink->base.name, facility, text);
}

int kafka_on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    struct kafka_consumer *c = opaque;
    (void)rk;
    mutex_lock(&c->lock);
    (void)kafka_stats_parse(json, len, &c->stats);
    if (!c->stats.coordinator_moved)
        c->coordinator_moved_ms = 0;
    else if (!c->coordinator_moved_ms)
        c->coordinator_moved_ms = clock_monotonic_ms();
    mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->stats.brokers_count; i++) {
        if (c->stats.brokers[i].up)
            note_up(c->sink, c->stats.brokers[i].name);
    }
    return 0; /* the library frees json */
}

void kafka_fatal(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    char why[512] = "";
    rd_kafka_resp_err_t err = rd_kafka_fatal_error(c->rk, why, sizeof why);
    if (!err)
        return;
    atomic_store(&c->discarding, true); /* until the thread has dropped what isn't durable */
    if (atomic_load(&s->failed))
        return;
    bool fenced = err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    atomic_store(&s->failed, fenced ? "fenced" : "fatal");
    if (fenced)
        log_error("sink %s: stopped: another process joined group %s as %s-%s-%u. Each node needs a `node` "
                  "name of its "
                  "own, and a sink runs once on a node; start again when that's so",
                  s->base.name, s->group, s->node, s->base.name, c->index);
    else
        log_error("sink %s: stopped by librdkafka: %s (%s)", s->base.name, why, rd_kafka_err2name(err));
}
