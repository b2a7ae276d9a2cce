/*
 * A static member that comes back within its session gets its old assignment, and nobody notices that there
 * are more partitions meanwhile, or that it has other topics now (KIP-345, KIP-814; the library speaks no
 * version that tells). Leaving and joining again makes a new assignment; so that is done, once after a start,
 * where the old one can't be right.
 */
#include <inttypes.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"
#include "src/base/log.h"

/* Behind a look for added partitions that no broker answered. */
#define RETRY_MS (5 * SECOND_MS)

void kafka_rejoin_drop_foreign(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    const struct kafka_sink *s = c->sink;
    if (s->partitions_count || c->foreign_checked)
        return;
    c->foreign_checked = true;
    for (int i = list->cnt - 1; i >= 0; i--) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        if (kafka_topic_is_ours(s, e->topic))
            continue;
        log_info("sink %s: %s/%" PRId32 " isn't of its topics any more: joining group %s again", s->base.name,
                 e->topic, e->partition, s->group);
        (void)rd_kafka_topic_partition_list_del_by_idx(list, i);
        c->rejoin_due = true;
    }
}

void kafka_rejoin_restarted(struct kafka_consumer *c)
{
    if (c->rejoin_checked || c->index || c->sink->partitions_count)
        return;
    c->rejoin_checked = true;
    c->added_unknown = true;
}

/* Whether there's a partition of our topics that nobody seems to have read; false if no broker answers. */
static bool look_for_added(struct kafka_consumer *c, bool *ret_added)
{
    const struct kafka_sink *s = c->sink;
    const struct rd_kafka_metadata *md;
    int r = 0;
    if (rd_kafka_metadata(c->rk, 1, NULL, &md, KAFKA_LOOKUP_MS))
        return false;
    for (int i = 0; i < md->topic_cnt && !*ret_added && r == 0; i++) {
        const rd_kafka_metadata_topic_t *t = &md->topics[i];
        if (!kafka_topic_is_ours(s, t->topic))
            continue;
        r = kafka_lookup_unread(c, t->topic, t->partition_cnt, ret_added, NULL);
        if (*ret_added)
            log_info("sink %s: %s has partitions that nobody reads: joining group %s again", s->base.name,
                     t->topic, s->group);
    }
    rd_kafka_metadata_destroy(md);
    return r == 0;
}

void kafka_rejoin_serve(struct kafka_consumer *c)
{
    int64_t now = clock_monotonic_ms();
    if (c->added_unknown && !c->rejoin_due && now >= c->added_retry_ms) {
        c->added_unknown = !look_for_added(c, &c->rejoin_due);
        c->added_retry_ms = now + RETRY_MS;
    }
    if (!c->rejoin_due)
        return;
    c->rejoin_due = c->added_unknown = false; /* the new assignment has them */
    if (!rd_kafka_unsubscribe(c->rk))
        (void)kafka_subscribe(c, NULL);
}
