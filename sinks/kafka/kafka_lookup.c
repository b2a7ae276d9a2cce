/* Questions to the brokers. Only at an assignment: they wait for an answer. */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"

static int no_answer(struct error *reterr, const char *what, rd_kafka_resp_err_t err)
{
    return error_set(reterr, ERR_IO, "%s: %s", what, rd_kafka_err2str(err));
}

int kafka_lookup_cluster(struct kafka_consumer *c, struct error *reterr)
{
    char *id = rd_kafka_clusterid(c->rk, KAFKA_LOOKUP_MS);
    if (!id)
        return error_set(reterr, ERR_IO, "the cluster's id isn't known yet");
    if (!c->cluster_id)
        c->cluster_id = xstrdup(id);
    bool is_same = strcmp(c->cluster_id, id) == 0;
    rd_kafka_mem_free(c->rk, id);
    return is_same ? 0 : error_set(reterr, ERR_IO, "it's another cluster than before");
}

bool kafka_cluster_is_another(struct kafka_consumer *c)
{
    int64_t now = clock_monotonic_ms();
    if (!c->cluster_id || now - c->cluster_checked_ms < SECOND_MS)
        return false;
    c->cluster_checked_ms = now;
    char *id = rd_kafka_clusterid(c->rk, 0);
    bool is_another = id && strcmp(c->cluster_id, id) != 0;
    if (id)
        rd_kafka_mem_free(c->rk, id);
    return is_another;
}

bool kafka_lookup_is_same_cluster(struct kafka_consumer *c)
{
    const struct rd_kafka_metadata *md;
    if (rd_kafka_metadata(c->rk, 0, NULL, &md, KAFKA_LOOKUP_MS)) /* tells the library the cluster's id */
        return false;
    rd_kafka_metadata_destroy(md);
    return kafka_lookup_cluster(c, NULL) == 0;
}

static int first_error(const rd_kafka_topic_partition_list_t *list, const char *what, struct error *reterr)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        if (e->err)
            return error_set(reterr, ERR_IO, "%s of %s/%d: %s", what, e->topic, (int)e->partition,
                             rd_kafka_err2str(e->err));
    }
    return 0;
}

int kafka_lookup_committed(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                           struct error *reterr)
{
    rd_kafka_resp_err_t err = list->cnt ? rd_kafka_committed(c->rk, list, KAFKA_LOOKUP_MS) : 0;
    if (err)
        return no_answer(reterr, "the group's offsets", err);
    return first_error(list, "the group's offset", reterr);
}

int kafka_lookup_offsets(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list,
                         struct error *reterr)
{
    rd_kafka_resp_err_t err = list->cnt ? rd_kafka_offsets_for_times(c->rk, list, KAFKA_LOOKUP_MS) : 0;
    if (err)
        return no_answer(reterr, "offsets by time", err);
    return first_error(list, "offset by time", reterr);
}

static struct kafka_seen_topic *find_seen(struct kafka_sink *s, const char *topic)
{
    for (size_t i = 0; i < s->seen_count; i++) {
        if (strcmp(s->seen[i].name, topic) == 0)
            return &s->seen[i];
    }
    return NULL;
}

void kafka_forget_seen(struct kafka_sink *s)
{
    for (size_t i = 0; i < s->seen_count; i++)
        free(s->seen[i].name);
    free(s->seen);
    free(s->seen_cluster_id);
    s->seen = NULL;
    s->seen_count = 0;
    s->seen_cluster_id = NULL;
}

/* The topics that there are when the sink is assigned something of this cluster for the first time. */
static int take_seen(struct kafka_consumer *c, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(c->rk, 1, NULL, &md, KAFKA_LOOKUP_MS);
    if (err)
        return no_answer(reterr, "the list of topics", err);
    kafka_forget_seen(s);
    s->seen = xcalloc((size_t)md->topic_cnt + 1, sizeof *s->seen);
    for (int i = 0; i < md->topic_cnt; i++) {
        s->seen[s->seen_count++] = (struct kafka_seen_topic){
            .name = xstrdup(md->topics[i].topic),
            .partitions = md->topics[i].partition_cnt,
        };
    }
    s->seen_cluster_id = xstrdup(c->cluster_id);
    rd_kafka_metadata_destroy(md);
    return 0;
}

/* Whether the store or the group knew a partition of the topic before this process recorded one. */
static int look_up_known(struct kafka_consumer *c, struct kafka_seen_topic *t, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    bool known = false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(t->partitions);
    for (int32_t i = 0; i < t->partitions; i++) {
        struct buffer key = {0};
        struct sink_position position;
        kafka_position_key(&key, s->base.name, c->cluster_id, t->name, i);
        known |= s->intake->ops->position(s->intake, key.data, (uint32_t)key.len, &position);
        buffer_release(&key);
        rd_kafka_topic_partition_list_add(list, t->name, i);
    }
    int r = known ? 0 : kafka_lookup_committed(c, list, reterr);
    for (int i = 0; r == 0 && !known && i < list->cnt; i++)
        known = list->elems[i].offset >= 0;
    rd_kafka_topic_partition_list_destroy(list);
    if (r == 0) {
        t->looked_up = true;
        t->known_before = known;
    }
    return r;
}

int kafka_lookup_appeared_later(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list,
                                bool *ret_later, struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    int r = 0;
    if (s->start_from == KAFKA_START_EARLIEST) {
        memset(ret_later, 0, (size_t)list->cnt * sizeof *ret_later); /* it makes no difference */
        return 0;
    }
    /* Held over the questions: another thread's first assignment must not record anything before they're
     * answered. */
    mutex_lock(&s->lock);
    if (!s->seen_cluster_id || strcmp(s->seen_cluster_id, c->cluster_id) != 0)
        r = take_seen(c, reterr);
    for (int i = 0; r == 0 && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *e = &list->elems[i];
        struct kafka_seen_topic *t = find_seen(s, e->topic);
        if (t && !t->looked_up)
            r = look_up_known(c, t, reterr);
        ret_later[i] = !t || t->known_before || e->partition >= t->partitions;
    }
    mutex_unlock(&s->lock);
    return r;
}

int kafka_lookup_unread(struct kafka_consumer *c, const char *topic, int32_t partitions, bool *ret_unread,
                        struct error *reterr)
{
    struct kafka_sink *s = c->sink;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int32_t i = 0; i < partitions; i++) {
        if (!kafka_partition_find(c, topic, i))
            rd_kafka_topic_partition_list_add(list, topic, i);
    }
    int r = kafka_lookup_committed(c, list, reterr);
    bool unread = false;
    for (int i = 0; r == 0 && i < list->cnt; i++) {
        struct buffer key = {0};
        struct sink_position position;
        kafka_position_key(&key, s->base.name, c->cluster_id, topic, list->elems[i].partition);
        unread |= list->elems[i].offset < 0 &&
                  !s->intake->ops->position(s->intake, key.data, (uint32_t)key.len, &position);
        buffer_release(&key);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (r == 0)
        *ret_unread = unread;
    return r;
}
