/*
 * Whether the group is between two generations, with a cooperative protocol and librdkafka before 2.10.
 *
 * There a member reads on while the group is rebalanced, and commits; but a commit that is sent behind a
 * JoinGroup waits for its answer in the coordinator's connection, is then of an old generation, and the
 * library takes the refusal for the loss of all partitions (librdkafka#4059). The assignor may give them to
 * another member, which reads again what is durable here and what the group couldn't be told. So none is sent
 * from the JoinGroup until the new assignment is in place; within the callback of a revoke it's safe, and
 * there it matters.
 *
 * No function of the library's tells its state in the group, its statistics tell it seconds later. It does
 * say each change when "cgrp" is debugged, before it acts; the texts haven't changed from 1.6 to 2.10, and
 * these versions don't change any more.
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

bool kafka_generation_is_watched(const struct kafka_sink *s)
{
    const char *strategy = property(s, "partition.assignment.strategy");
    return rd_kafka_version() < FIXED_VERSION && !s->partitions_count && strategy &&
           strstr(strategy, "cooperative") && !property(s, "debug");
}

void kafka_generation_note(struct kafka_consumer *c, const char *facility, const char *text)
{
    static const char from[] = "changed join state ", to[] = " -> ", steady[] = "steady ";
    if (strcmp(facility, "CGRPJOINSTATE") != 0)
        return;
    const char *change = strstr(text, from);
    const char *state = change ? strstr(change, to) : NULL;
    if (state)
        atomic_store(&c->between_generations, strncmp(state + sizeof to - 1, steady, sizeof steady - 1) != 0);
}
