/*
 * What a rebalance asks for, until it's answered.
 *
 * With a cooperative protocol the library may begin another round before an assignment was answered, for
 * example when partitions were added; and what that brings is without the partitions of the one before, which
 * count as ours. So these stay due, but for those that are taken away.
 *
 * With an eager one it may do so before a revoke was answered (kafka_generation.c): that comes first.
 */
#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"

static void list_free(rd_kafka_topic_partition_list_t **list)
{
    if (*list)
        rd_kafka_topic_partition_list_destroy(*list);
    *list = NULL;
}

static void keep_unanswered(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list,
                            bool is_assign)
{
    if (c->pending == KAFKA_PENDING_ASSIGN) {
        list_free(&c->unanswered);
        c->unanswered = c->pending_list;
        c->pending_list = NULL;
    }
    for (int i = 0; c->unanswered && !is_assign && i < list->cnt; i++)
        (void)rd_kafka_topic_partition_list_del(c->unanswered, list->elems[i].topic,
                                                list->elems[i].partition);
}

void kafka_pending_note(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, bool is_assign,
                        bool is_cooperative)
{
    if (is_cooperative)
        keep_unanswered(c, list, is_assign);
    else
        list_free(&c->unanswered);
    if (!is_cooperative && is_assign && c->pending == KAFKA_PENDING_REVOKE) {
        c->unanswered = rd_kafka_topic_partition_list_copy(list);
        return;
    }
    list_free(&c->pending_list);
    c->pending_list = rd_kafka_topic_partition_list_copy(list);
    for (int i = 0; c->unanswered && is_assign && i < c->unanswered->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &c->unanswered->elems[i];
        if (!rd_kafka_topic_partition_list_find(c->pending_list, e->topic, e->partition))
            rd_kafka_topic_partition_list_add(c->pending_list, e->topic, e->partition);
    }
    if (is_assign)
        list_free(&c->unanswered);
    c->pending = is_assign ? KAFKA_PENDING_ASSIGN : KAFKA_PENDING_REVOKE;
    c->pending_since_ms = clock_monotonic_ms();
    c->pending_said = c->pending_joined = c->pending_flushed = false;
}

void kafka_pending_answered(struct kafka_consumer *c)
{
    list_free(&c->pending_list);
    if (c->unanswered && !c->unanswered->cnt)
        list_free(&c->unanswered);
    c->pending_list = c->unanswered; /* after a revoke */
    c->unanswered = NULL;
    c->pending = c->pending_list ? KAFKA_PENDING_ASSIGN : KAFKA_PENDING_NONE;
}

void kafka_pending_forget(struct kafka_consumer *c)
{
    list_free(&c->pending_list);
    list_free(&c->unanswered);
    c->pending = KAFKA_PENDING_NONE;
}
