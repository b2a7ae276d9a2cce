#include "sinks/kafka/kafka_start.h"

static struct kafka_start_decision start_without_position(const struct kafka_start_input *in)
{
    struct kafka_start_decision d = {.source = KAFKA_FROM_EARLIEST, .record = true};
    /* What came into being while we were there (or away) was never meant to be skipped. */
    if (in->appeared_later)
        return d;
    if (in->start_from == KAFKA_START_LATEST)
        d.source = KAFKA_FROM_LATEST;
    else if (in->start_from == KAFKA_START_TIMESTAMP)
        d.source = KAFKA_FROM_TIMESTAMP;
    return d;
}

bool kafka_start_is_stray(bool own_known, int64_t group, enum kafka_group_owner owner, bool static_partitions,
                          int64_t next_elsewhere)
{
    return static_partitions && !own_known && owner == KAFKA_OWNER_OURS && group >= 0 &&
           group <= next_elsewhere;
}

struct kafka_start_decision kafka_start_decide(const struct kafka_start_input *in)
{
    bool group_known = in->group >= 0;
    struct kafka_start_decision own = {.source = KAFKA_FROM_OWN, .offset = in->own};
    struct kafka_start_decision group = {.source = KAFKA_FROM_GROUP, .offset = in->group, .record = true};

    if (!in->own_known)
        return group_known ? group : start_without_position(in);
    if (!group_known)
        return own;
    switch (in->owner) {
    case KAFKA_OWNER_OURS:
        return own; /* even if the group is ahead: this store was restored from a snapshot */
    case KAFKA_OWNER_OTHER_STORE:
        return in->group > in->own ? group : own;
    case KAFKA_OWNER_NONE:
    case KAFKA_OWNER_FOREIGN:
        break;
    }
    own.warn_group_moved = in->group != in->own;
    return own;
}

struct kafka_start_decision kafka_start_ordered(enum kafka_begin begin, int64_t value)
{
    struct kafka_start_decision d = {.source = KAFKA_FROM_EARLIEST, .record = true};
    switch (begin) {
    case KAFKA_BEGIN_LATEST:
        d.source = KAFKA_FROM_LATEST;
        break;
    case KAFKA_BEGIN_TIMESTAMP:
        d.source = KAFKA_FROM_TIMESTAMP;
        d.offset = value;
        break;
    case KAFKA_BEGIN_OFFSET:
        d.source = KAFKA_FROM_OWN;
        d.offset = value;
        break;
    case KAFKA_BEGIN_EARLIEST:
    case KAFKA_BEGIN_NONE:
        break;
    }
    return d;
}

struct kafka_range_decision kafka_range_decide(const struct kafka_range_input *in)
{
    struct kafka_range_decision d = {.action = KAFKA_RANGE_RESTART, .offset = in->low};
    if (in->next > in->high) {
        /* The log ends before what we have read: another topic of that name, or records lost by the brokers.
         */
        d.reason = "topic_recreated";
        if (in->on_topic_recreated == KAFKA_RECREATED_STOP)
            d.action = KAFKA_RANGE_HALT;
        return d;
    }
    if (in->next >= in->low) {
        /* Only the record before our position is gone, which was to be compared. */
        d.action = KAFKA_RANGE_CONTINUE;
        d.offset = in->next;
        return d;
    }
    d.reason = "out_of_range";
    d.gap = (uint64_t)(in->low - in->next);
    if (in->on_out_of_range == KAFKA_OUT_OF_RANGE_STOP)
        d.action = KAFKA_RANGE_HALT;
    return d;
}
