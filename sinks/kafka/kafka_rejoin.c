/*
 * A static member that comes back within its session gets its old assignment, and nobody notices that there
 * are more partitions meanwhile, or that it has other topics now (KIP-345, KIP-814; the library speaks no
 * version that tells). Leaving and joining again makes a new assignment; so that is done, once after a start,
 * where the old one can't be right.
 */
#include <inttypes.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/log.h"

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

void kafka_rejoin_look_for_added(struct kafka_consumer *c)
{
    const struct kafka_sink *s = c->sink;
    const struct rd_kafka_metadata *md;
    bool unread = false;
    if (c->rejoin_due || c->rejoin_checked || c->index || s->partitions_count)
        return;
    c->rejoin_checked = true;
    if (rd_kafka_metadata(c->rk, 1, NULL, &md, KAFKA_LOOKUP_MS))
        return;
    for (int i = 0; i < md->topic_cnt && !unread; i++) {
        const rd_kafka_metadata_topic_t *t = &md->topics[i];
        if (!kafka_topic_is_ours(s, t->topic))
            continue;
        if (kafka_lookup_unread(c, t->topic, t->partition_cnt, &unread, NULL) < 0)
            break;
        if (unread)
            log_info("sink %s: %s has partitions that nobody reads: joining group %s again", s->base.name,
                     t->topic, s->group);
    }
    rd_kafka_metadata_destroy(md);
    c->rejoin_due = unread;
}

void kafka_rejoin_serve(struct kafka_consumer *c)
{
    if (c->rejoin_due && !rd_kafka_unsubscribe(c->rk))
        (void)kafka_subscribe(c, NULL);
    c->rejoin_due = false;
}
