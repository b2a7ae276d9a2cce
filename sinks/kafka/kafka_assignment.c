/* The partitions of a consumer, and what the library is told of them. */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/log.h"

struct kafka_partition *kafka_partition_new(const struct kafka_consumer *c, const char *topic,
                                            int32_t partition)
{
    struct kafka_partition *p = xcalloc(1, sizeof *p);
    p->topic = xstrdup(topic);
    p->partition = partition;
    p->commit_sent = -1;
    kafka_partition_set_surroundings(c->sink, p);
    kafka_position_key(&p->key, c->sink->base.name, c->cluster_id ? c->cluster_id : "", topic, partition);
    return p;
}

void kafka_partition_free(struct kafka_partition *p)
{
    if (!p)
        return;
    buffer_release(&p->key);
    kafka_partition_release_surroundings(p);
    free(p->topic);
    free(p);
}

static int compare(const struct kafka_partition *p, const char *topic, int32_t partition)
{
    if (p->partition != partition)
        return p->partition < partition ? -1 : 1;
    return strcmp(p->topic, topic);
}

/* Index of the first partition that isn't before (topic, partition). */
static size_t lower_bound(const struct kafka_consumer *c, const char *topic, int32_t partition)
{
    size_t low = 0, high = c->partitions_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(c->partitions[middle], topic, partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kafka_partition *kafka_partition_find(const struct kafka_consumer *c, const char *topic,
                                             int32_t partition)
{
    size_t i = lower_bound(c, topic, partition);
    if (i == c->partitions_count || compare(c->partitions[i], topic, partition) != 0)
        return NULL;
    return c->partitions[i];
}

void kafka_partitions_add(struct kafka_consumer *c, struct kafka_partition *p)
{
    mutex_lock(&c->lock);
    size_t i = lower_bound(c, p->topic, p->partition);
    if (i < c->partitions_count && compare(c->partitions[i], p->topic, p->partition) == 0) {
        kafka_partition_free(c->partitions[i]);
        c->partitions[i] = p;
    } else {
        GROW(c->partitions, c->partitions_count, c->partitions_capacity);
        memmove(&c->partitions[i + 1], &c->partitions[i], (c->partitions_count - i) * sizeof(void *));
        c->partitions[i] = p;
        c->partitions_count++;
    }
    mutex_unlock(&c->lock);
}

void kafka_partitions_remove(struct kafka_consumer *c, const char *topic, int32_t partition)
{
    mutex_lock(&c->lock);
    size_t i = lower_bound(c, topic, partition);
    if (i < c->partitions_count && compare(c->partitions[i], topic, partition) == 0) {
        kafka_partition_free(c->partitions[i]);
        c->partitions_count--;
        memmove(&c->partitions[i], &c->partitions[i + 1], (c->partitions_count - i) * sizeof(void *));
    }
    mutex_unlock(&c->lock);
}

void kafka_partitions_clear(struct kafka_consumer *c)
{
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->partitions_count; i++)
        kafka_partition_free(c->partitions[i]);
    c->partitions_count = 0;
    mutex_unlock(&c->lock);
}

bool kafka_is_cooperative(const struct kafka_consumer *c)
{
    const char *protocol = c->sink->partitions_count ? NULL : rd_kafka_rebalance_protocol(c->rk);
    return protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

bool kafka_partition_wanted(const struct kafka_partition *p)
{
    return !p->halted && !p->range_unknown && !p->reattach;
}

/* Begun anew, so that what the library has by now may be another log: see kafka_check.c. */
static void expect_last_record(const struct kafka_consumer *c, struct kafka_partition *p)
{
    struct intake *in = c->sink->intake;
    struct sink_position position;
    if (!p->check && in->ops->position(in, p->key.data, (uint32_t)p->key.len, &position) &&
        (int64_t)position.next == p->next)
        p->check = kafka_position_fingerprint(&position, &p->expected);
}

static void list_add(rd_kafka_topic_partition_list_t *list, const struct kafka_partition *p)
{
    rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
    e->offset = p->check ? p->expected.offset : p->next;
}

static void say_refused(const struct kafka_consumer *c, const char *call, const char *why)
{
    log_error("sink %s: librdkafka refuses to %s partitions: %s", c->sink->base.name, call, why);
}

/* The whole assignment at once: nothing less revives a partition that had an offset out of range. */
static void apply_whole(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->partitions_count);
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        p->dirty = false;
        p->attached = kafka_partition_wanted(p);
        if (!p->attached)
            continue;
        expect_last_record(c, p);
        list_add(list, p);
    }
    rd_kafka_resp_err_t err = rd_kafka_assign(c->rk, list);
    if (err)
        say_refused(c, "assign", rd_kafka_err2str(err));
    if (!err && c->paused)
        (void)rd_kafka_pause_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void add_incrementally(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_error_t *error = rd_kafka_incremental_assign(c->rk, list);
    if (error) {
        say_refused(c, "assign", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    } else if (c->paused && list->cnt) {
        (void)rd_kafka_pause_partitions(c->rk, list);
    }
}

/* What's new first, since that answers a rebalance; then what is to be begun anew is taken out and put back.
 */
static void apply_incrementally(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *fresh = rd_kafka_topic_partition_list_new(8);
    rd_kafka_topic_partition_list_t *out = rd_kafka_topic_partition_list_new(8);
    rd_kafka_topic_partition_list_t *back = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < c->partitions_count; i++) {
        struct kafka_partition *p = c->partitions[i];
        bool was_attached = p->attached;
        if (!p->dirty)
            continue;
        p->dirty = false;
        p->attached = kafka_partition_wanted(p);
        if (was_attached)
            list_add(out, p);
        if (p->attached)
            expect_last_record(c, p);
        if (p->attached)
            list_add(was_attached ? back : fresh, p);
    }
    if (fresh->cnt ||
        c->pending == KAFKA_PENDING_ASSIGN) /* the group waits for an answer, even an empty one */
        add_incrementally(c, fresh);
    if (out->cnt) {
        rd_kafka_error_t *error = rd_kafka_incremental_unassign(c->rk, out);
        if (error) {
            say_refused(c, "unassign", rd_kafka_error_string(error));
            rd_kafka_error_destroy(error);
        } else if (back->cnt) {
            add_incrementally(c, back);
        }
    }
    rd_kafka_topic_partition_list_destroy(fresh);
    rd_kafka_topic_partition_list_destroy(out);
    rd_kafka_topic_partition_list_destroy(back);
}

void kafka_assignment_reseat(struct kafka_consumer *c)
{
    for (size_t i = 0; i < c->partitions_count; i++)
        c->partitions[i]->dirty = true;
    kafka_assignment_apply(c);
}

void kafka_assignment_apply(struct kafka_consumer *c)
{
    if (kafka_is_cooperative(c))
        apply_incrementally(c);
    else
        apply_whole(c);
}

void kafka_assignment_sync_pause(struct kafka_consumer *c)
{
    bool pause = c->sink->intake->ops->paused(c->sink->intake) != 0;
    if (pause == c->paused)
        return;
    c->paused = pause;
    if (!c->partitions_count)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->partitions_count);
    for (size_t i = 0; i < c->partitions_count; i++) {
        if (c->partitions[i]->attached)
            list_add(list, c->partitions[i]);
    }
    if (pause)
        (void)rd_kafka_pause_partitions(c->rk, list);
    else
        (void)rd_kafka_resume_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (!pause && c->pending == KAFKA_PENDING_NONE) /* else it's done once the rebalance is answered */
        kafka_assignment_reseat(c); /* exact, whatever the library made of its own position meanwhile */
}
