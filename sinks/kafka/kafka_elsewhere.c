/*
 * A partition begins as if nobody had read it, and yet the store knows it: under the name of a sink that the
 * configuration no longer has, or of another cluster. Both may be meant; neither may go unnoticed, since what
 * was stored before is stored once more. The thread's own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/log.h"

struct search {
    struct kafka_consumer *c;
    const struct kafka_partition *p;
    int64_t next; /* in another cluster */
};

static bool is_text(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool is_configured(const struct kafka_sink *s, struct span name)
{
    for (size_t i = 0; i < s->sink_names_count; i++)
        if (is_text(name, s->sink_names[i]))
            return true;
    return s->sink_names_count == 0;
}

static void found(struct kafka_consumer *c, const struct kafka_partition *p, enum kafka_elsewhere where,
                  struct span name, uint64_t next)
{
    if (c->elsewhere[where].count++ == 0) {
        (void)snprintf(c->elsewhere[where].name, sizeof c->elsewhere[where].name, "%.*s", (int)name.len,
                       name.data);
        (void)snprintf(c->elsewhere[where].partition, sizeof c->elsewhere[where].partition,
                       "%s/%" PRId32 " up to offset %" PRIu64, p->topic, p->partition, next);
    }
}

static void look(void *context, const void *key, uint32_t key_len, const struct sink_position *position)
{
    struct search *search = context;
    const struct kafka_sink *s = search->c->sink;
    struct kafka_key_parts k;
    if (!kafka_position_parse_key(key, key_len, &k) || k.partition != search->p->partition ||
        !is_text(k.topic, search->p->topic))
        return;
    bool ours = is_text(k.sink, s->base.name), here = is_text(k.cluster, search->c->cluster_id);
    if (ours && !here) {
        found(search->c, search->p, KAFKA_OTHER_CLUSTER, k.cluster, position->next);
        if ((int64_t)position->next > search->next)
            search->next = (int64_t)position->next;
    } else if (!ours && here && !is_configured(s, k.sink)) {
        found(search->c, search->p, KAFKA_REMOVED_SINK, k.sink, position->next);
    }
}

int64_t kafka_elsewhere_note(struct kafka_consumer *c, const struct kafka_partition *p)
{
    struct intake *in = c->sink->intake;
    struct search search = {c, p, -1};
    in->ops->each_position(in, look, &search);
    return search.next;
}

void kafka_elsewhere_clear(struct kafka_consumer *c)
{
    for (int i = 0; i < KAFKA_ELSEWHERE_COUNT; i++)
        c->elsewhere[i].count = 0;
}

void kafka_elsewhere_report(struct kafka_consumer *c)
{
    struct kafka_sink *s = c->sink;
    for (int i = 0; i < KAFKA_ELSEWHERE_COUNT; i++) {
        unsigned count = c->elsewhere[i].count;
        const char *name = c->elsewhere[i].name, *partition = c->elsewhere[i].partition;
        if (!count)
            continue;
        atomic_fetch_add(&s->begun_known[i], count);
        if (i == KAFKA_REMOVED_SINK)
            log_warning(
                "sink %s: %u partition(s) begin anew that the store knows as those of sink %s, which the "
                "configuration no longer has (%s): rows may be stored twice. If it was renamed: stop, "
                "`varve offsets reset DIR --sink %s --forget`, then `--sink %s --rename %s`",
                s->base.name, count, name, partition, s->base.name, name, s->base.name);
        else
            log_warning(
                "sink %s: %u partition(s) begin anew, since this is cluster %s and the store knows them as "
                "those of cluster %s (%s). If `brokers` is right, `varve offsets reset DIR --sink %s "
                "--cluster %s --forget` ends this warning",
                s->base.name, count, c->cluster_id, name, partition, s->base.name, name);
    }
    kafka_elsewhere_clear(c);
}
