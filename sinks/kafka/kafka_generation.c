/*
 * How far the library is with the group, which none of its functions tells, and its statistics seconds later.
 * It does say each change when "cgrp" is debugged, before it acts; the texts haven't changed from 1.6
 * to 2.12.
 *
 * Eager protocols, all versions: when the library sees that there are more partitions (or topics) than
 * before, it joins the group anew, also while an assignment, or a revoke, still waits for its answer; and
 * then asks for no revoke (rd_kafka_cgrp_revoke_all_rejoin). An answer to such an assignment isn't one: the
 * library would fetch what another member has in a moment, and nobody asks us to let go of it before. So it's
 * taken back. Of a revoke whose partitions may be another member's any moment, what isn't durable is dropped,
 * as if they were lost.
 *
 * Cooperative protocols, librdkafka before 2.10: a member reads on while the group is rebalanced, and
 * commits; but a commit that is sent behind a JoinGroup waits for its answer in the coordinator's connection,
 * is then of an old generation, and the library takes the refusal for the loss of all partitions
 * (librdkafka#4059). The assignor may give them to another member, which reads again what is durable here and
 * what the group couldn't be told. So none is sent from the JoinGroup until the new assignment is in place;
 * within the callback of a revoke it's safe, and there it matters.
 */
#include <string.h>

#include "sinks/kafka/kafka_internal.h"

#define FIXED_VERSION 0x020a0000

static const char *property(const struct kafka_sink *s, const char *key)
{
    for (size_t i = 0; i < s->properties_count; i++) {
        if (strcmp(s->properties[i].key, key) == 0)
            return s->properties[i].value;
    }
    return NULL;
}

static bool is_eager(const struct kafka_sink *s)
{
    const char *strategy = property(s, "partition.assignment.strategy");
    return !strategy || !strstr(strategy, "cooperative");
}

bool kafka_generation_is_watched(const struct kafka_sink *s)
{
    return !s->partitions_count && (is_eager(s) || rd_kafka_version() < FIXED_VERSION) &&
           !property(s, "debug");
}

static bool is_state(const char *text, const char *name)
{
    size_t len = strlen(name);
    return strncmp(text, name, len) == 0 && text[len] == ' ';
}

void kafka_generation_note(struct kafka_consumer *c, const char *facility, const char *text)
{
    static const char change[] = "changed join state ", arrow[] = " -> ";
    if (strcmp(facility, "CGRPJOINSTATE") != 0)
        return;
    const char *from = strstr(text, change);
    const char *to = from ? strstr(from, arrow) : NULL;
    if (!to)
        return;
    from += sizeof change - 1;
    to += sizeof arrow - 1;
    bool is_offered = is_state(to, "wait-assign-call");
    if (is_offered)
        atomic_fetch_add(&c->offers, 1);
    atomic_store(&c->is_offered, is_offered);
    atomic_store(&c->between_generations, !is_state(to, "steady"));
    if (is_state(from, "wait-unassign-call") && is_state(to, "init") && is_eager(c->sink)) {
        atomic_store(&c->discarding, true);
        atomic_store(&c->revoke_overtaken, true);
    }
}

void kafka_generation_forget(struct kafka_consumer *c)
{
    atomic_store(&c->told_by, NULL);
    atomic_store(&c->between_generations, false);
    atomic_store(&c->is_offered, false);
    atomic_store(&c->revoke_overtaken, false);
}

bool kafka_generation_overtook(struct kafka_consumer *c)
{
    if (!is_eager(c->sink))
        return false;
    bool is_left = atomic_load(&c->between_generations) && !atomic_load(&c->is_offered);
    return is_left || atomic_load(&c->offers) != c->pending_offer;
}
