/* The sink as the program sees it: made, started, stopped, and its metrics. */
#include "sinks/kafka/kafka_sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/log.h"

static struct kafka_sink *kafka_sink_of(struct sink *s)
{
    return (struct kafka_sink *)s;
}

static void copy_options(struct kafka_sink *s, const struct kafka_sink_options *o)
{
    s->base.name = xstrdup(o->name);
    s->node = xstrdup(o->node);
    s->sink_names_count = o->sink_names_count;
    s->sink_names = xcalloc(o->sink_names_count + 1, sizeof *s->sink_names);
    for (size_t i = 0; i < o->sink_names_count; i++)
        s->sink_names[i] = xstrdup(o->sink_names[i]);
    s->brokers = xstrdup(o->brokers);
    s->group_commits = o->group && o->group[0];
    /* The library wants a group even for a static assignment. */
    s->group = s->group_commits ? xstrdup(o->group) : xasprintf("varve-%s", o->name);
    s->topics_count = o->topics_count;
    s->topics = xcalloc(o->topics_count + 1, sizeof *s->topics);
    for (size_t i = 0; i < o->topics_count; i++)
        s->topics[i] = xstrdup(o->topics[i]);
    s->partitions_count = o->partitions_count;
    s->partitions = xcalloc(o->partitions_count + 1, sizeof *s->partitions);
    for (size_t i = 0; i < o->partitions_count; i++)
        s->partitions[i] =
            (struct kafka_static_partition){xstrdup(o->partitions[i].topic), o->partitions[i].partition};
    s->properties_count = o->properties_count;
    s->properties = xcalloc(o->properties_count + 1, sizeof *s->properties);
    for (size_t i = 0; i < o->properties_count; i++)
        s->properties[i] =
            (struct kafka_property){xstrdup(o->properties[i].key), xstrdup(o->properties[i].value)};
    s->decoder = o->decoder;
    s->decode = o->decode;
    s->label_set = o->label_set;
    s->label_scope = label_set_scope(o->label_set);
    s->needs_headers = label_set_needs_headers(o->label_set);
    s->start_from = o->start_from;
    s->start_timestamp_ms = o->start_timestamp_ms;
    s->on_topic_recreated = o->on_topic_recreated;
    s->on_out_of_range = o->on_out_of_range;
    s->leave_on_stop = o->leave_on_stop;
    s->fenced.is_on = o->fenced_commits;
    s->timestamp_from_record = o->timestamp_from_record;
    s->threads = o->threads ? o->threads : 1;
    s->queue_size = o->queue_size;
    s->max_message_size = o->max_message_size;
    /* More consumers than static partitions would have nothing to do. */
    if (s->partitions_count && s->threads > s->partitions_count)
        s->threads = (unsigned)s->partitions_count;
}

static void free_options(struct kafka_sink *s)
{
    kafka_expressions_release(s);
    for (size_t i = 0; i < s->topics_count; i++)
        free(s->topics[i]);
    for (size_t i = 0; i < s->partitions_count; i++)
        free((char *)s->partitions[i].topic);
    for (size_t i = 0; i < s->properties_count; i++) {
        free((char *)s->properties[i].key);
        free((char *)s->properties[i].value);
    }
    for (size_t i = 0; i < s->sink_names_count; i++)
        free(s->sink_names[i]);
    free(s->sink_names);
    free(s->topics);
    free(s->partitions);
    free(s->properties);
    free(s->base.name);
    free(s->node);
    free(s->brokers);
    free(s->group);
}

int kafka_subscribe(struct kafka_consumer *c, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->topics_count + 1);
    rd_kafka_resp_err_t err = 0;
    if (s->partitions_count) {
        /* Dealt out over the threads; begun by the loop as if the group had assigned them. */
        for (size_t i = c->index; i < s->partitions_count; i += s->threads)
            rd_kafka_topic_partition_list_add(list, s->partitions[i].topic, s->partitions[i].partition);
        kafka_on_rebalance(c->rk, RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, list, c);
    } else {
        for (size_t i = 0; i < s->topics_count; i++)
            rd_kafka_topic_partition_list_add(list, s->topics[i], RD_KAFKA_PARTITION_UA);
        err = rd_kafka_subscribe(c->rk, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        return error_set(reterr, ERR_INVALID, "topics: %s (is one of the expressions wrong?)",
                         rd_kafka_err2str(err));
    return 0;
}

/* Of one that has joined no group yet. */
static void client_close(struct kafka_consumer *c)
{
    rd_kafka_queue_destroy(c->queue);
    rd_kafka_queue_destroy(c->ack_queue);
    rd_kafka_queue_destroy(c->fenced_queue);
    rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    c->rk = NULL;
}

static int client_open(struct kafka_consumer *c, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    rd_kafka_conf_t *conf = NULL;
    char why[512];
    int r = kafka_conf_new(&conf, s, c, c->index, reterr);
    if (r < 0)
        return r;
    c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!c->rk) {
        rd_kafka_conf_destroy(conf);
        return error_set(reterr, ERR_INVALID, "librdkafka: %s", why);
    }
    atomic_store(&c->told_by, c->rk);
    (void)rd_kafka_poll_set_consumer(c->rk);
    kafka_fence_open(c);
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    c->ack_queue = rd_kafka_queue_new(c->rk);
    c->fenced_queue = rd_kafka_queue_new(c->rk);
    r = kafka_subscribe(c, reterr);
    if (r < 0)
        client_close(c);
    return r;
}

int kafka_client_open(struct kafka_consumer *c, struct error *reterr)
{
    mutex_lock(&c->sink->fenced.client_lock);
    int r = client_open(c, reterr);
    mutex_unlock(&c->sink->fenced.client_lock);
    return r;
}

static struct kafka_consumer *consumer_new(struct kafka_sink *s, unsigned index)
{
    struct kafka_consumer *c = xcalloc(1, sizeof *c);
    c->sink = s;
    c->index = index;
    mutex_init(&c->lock, RANK_SINK);
    mutex_init(&c->shown.lock, RANK_LEAF);
    return c;
}

/* Of one that runs no thread any more. */
static void consumer_free(struct kafka_consumer *c)
{
    kafka_pending_forget(c);
    if (c->rk && !c->ran) /* opened, but its thread never ran */
        client_close(c);
    kafka_partitions_clear(c);
    free(c->partitions);
    free(c->cluster_id);
    free(c->touched);
    free(c->selected);
    sample_batch_release(&c->batch);
    unpacker_release(&c->unpacker);
    rendered_labels_release(&c->labels);
    kafka_stats_release(&c->stats);
    mutex_destroy(&c->lock);
    mutex_destroy(&c->shown.lock);
    buffer_release(&c->shown.text);
    free(c);
}

static int kafka_start(struct sink *base, struct error *reterr)
{
    struct kafka_sink *s = kafka_sink_of(base);
    for (unsigned i = 0; i < s->consumers_count; i++) {
        int r = kafka_client_open(s->consumers[i], reterr);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < s->consumers_count; i++) {
        s->consumers[i]->ran = true;
        thread_start(&s->consumers[i]->thread, "kafka-consumer", kafka_consumer_run, s->consumers[i]);
    }
    return 0;
}

static void kafka_acknowledge(struct sink *base)
{
    struct kafka_sink *s = kafka_sink_of(base);
    for (unsigned i = 0; i < s->consumers_count; i++)
        atomic_store(&s->consumers[i]->ack_due, true); /* its own thread commits, within a poll */
}

static void kafka_stop_intake(struct sink *base)
{
    struct kafka_sink *s = kafka_sink_of(base);
    atomic_store(&s->stop_intake, true);
    for (unsigned i = 0; i < s->consumers_count; i++) {
        mutex_lock(&s->consumers[i]->lock); /* the chunk being delivered is the last */
        mutex_unlock(&s->consumers[i]->lock);
    }
}

static void kafka_stop(struct sink *base)
{
    struct kafka_sink *s = kafka_sink_of(base);
    atomic_store(&s->stop_intake, true);
    mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    cond_broadcast(&s->stop_changed);
    mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->consumers_count; i++)
        thread_join(&s->consumers[i]->thread);
}

void kafka_sink_release(struct kafka_sink *s)
{
    for (unsigned i = 0; i < s->consumers_count; i++)
        consumer_free(s->consumers[i]);
    free(s->consumers);
    kafka_partition_free(s->replayed);
    kafka_forget_seen(s);
    for (size_t i = 0; i < s->away_count; i++)
        free(s->away[i]);
    free(s->away);
    kafka_fenced_release(&s->fenced);
    cond_destroy(&s->stop_changed);
    mutex_destroy(&s->lock);
    free_options(s);
    free(s);
}

static void kafka_free(struct sink *base)
{
    struct kafka_sink *s = kafka_sink_of(base);
    mutex_lock(&s->lock);
    s->orphaned = s->late > 0; /* see destroy_in_time */
    bool orphaned = s->orphaned;
    mutex_unlock(&s->lock);
    if (!orphaned)
        kafka_sink_release(s);
}

static const struct sink_ops kafka_ops = {
    .type = "kafka",
    .start = kafka_start,
    .acknowledge = kafka_acknowledge,
    .stop_intake = kafka_stop_intake,
    .stop = kafka_stop,
    .free = kafka_free,
    .reading_of = kafka_reading_of,
    .may_commit = kafka_may_commit,
    .decides = kafka_decides,
    .decide = kafka_decide,
    .metrics = kafka_metrics,
};

int kafka_sink_new(struct sink **ret, const struct kafka_sink_options *options, struct intake *intake,
                   struct error *reterr)
{
    struct kafka_sink *s = xcalloc(1, sizeof *s);
    s->base.ops = &kafka_ops;
    s->intake = intake;
    mutex_init(&s->lock, RANK_SINK);
    cond_init(&s->stop_changed);
    kafka_fenced_init(&s->fenced);
    copy_options(s, options);
    s->consumers = xcalloc(s->threads, sizeof(void *));
    for (unsigned i = 0; i < s->threads; i++)
        s->consumers[s->consumers_count++] = consumer_new(s, i);

    rd_kafka_conf_t *conf = NULL;
    int r = kafka_expressions_compile(s, reterr);
    if (r == 0)
        r = kafka_conf_new(&conf, s, NULL, 0, reterr);
    if (r < 0) {
        kafka_free(&s->base);
        return r;
    }
    rd_kafka_conf_destroy(conf);
    *ret = &s->base;
    return 0;
}
