/* What surrounds a message: groups of the topic's expression, once a partition; key, headers and time. */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"

/* librdkafka hands expressions to regcomp as POSIX extended ones, too, and searches for them. */
int kafka_expressions_compile(struct kafka_sink *s, struct error *reterr)
{
    s->expressions = xcalloc(s->topics_count + 1, sizeof *s->expressions);
    s->is_expression = xcalloc(s->topics_count + 1, sizeof *s->is_expression);
    for (size_t i = 0; i < s->topics_count; i++) {
        char why[128];
        if (s->topics[i][0] != '^')
            continue;
        int e = regcomp(&s->expressions[i], s->topics[i], REG_EXTENDED);
        if (e) {
            regerror(e, &s->expressions[i], why, sizeof why);
            return error_set(reterr, ERR_INVALID,
                             "topics: \"%s\" is not a POSIX extended regular expression: %s", s->topics[i],
                             why);
        }
        s->is_expression[i] = true;
    }
    return 0;
}

void kafka_expressions_release(struct kafka_sink *s)
{
    for (size_t i = 0; s->is_expression && i < s->topics_count; i++)
        if (s->is_expression[i])
            regfree(&s->expressions[i]);
    free(s->expressions);
    free(s->is_expression);
    s->expressions = NULL;
    s->is_expression = NULL;
}

/* The groups of an expression that matches the topic; false if it doesn't. */
static bool match(const regex_t *expression, struct kafka_partition *p)
{
    size_t groups = expression->re_nsub;
    regmatch_t *matches = xcalloc(groups + 1, sizeof *matches);
    bool found = regexec(expression, p->topic, groups + 1, matches, 0) == 0;
    if (found && groups) {
        p->captures = xcalloc(groups, sizeof *p->captures);
        for (size_t i = 0; i < groups; i++) {
            const regmatch_t *m = &matches[i + 1];
            if (m->rm_so >= 0) /* else the group took no part */
                p->captures[i] = span_of(p->topic + m->rm_so, (size_t)(m->rm_eo - m->rm_so));
        }
        p->surroundings.captures = p->captures;
        p->surroundings.captures_count = groups;
    }
    free(matches);
    return found;
}

void kafka_partition_set_surroundings(const struct kafka_sink *s, struct kafka_partition *p)
{
    p->surroundings =
        (struct message){.topic = span_of(p->topic, strlen(p->topic)), .time_ms = TIMESTAMP_NONE};
    for (size_t i = 0; i < s->topics_count; i++) {
        bool matches = s->is_expression[i] ? match(&s->expressions[i], p) : !strcmp(s->topics[i], p->topic);
        if (matches)
            break;
    }
    if (s->label_scope != LABEL_SCOPE_MESSAGE)
        label_set_render(s->label_set, &p->surroundings, &p->labels);
}

void kafka_partition_release_surroundings(struct kafka_partition *p)
{
    free(p->captures);
    rendered_labels_release(&p->labels);
}

/* The last header of that name. The library parses headers when they are first asked for. */
static bool find_header(const void *context, const char *name, struct span *ret_value)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(context, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *ret_value = span_of(value, value ? size : 0);
    return true;
}

struct message kafka_message_of(const struct kafka_sink *s, const struct kafka_partition *p,
                                const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    struct message message = p->surroundings;
    message.payload = span_of(m->payload, m->len);
    message.key = span_of(m->key, m->key ? m->key_len : 0);
    if (s->needs_headers) {
        message.header = find_header;
        message.header_context = m;
    }
    int64_t time_ms = rd_kafka_message_timestamp(m, &type);
    if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time_ms >= 0)
        message.time_ms = time_ms;
    return message;
}

const struct rendered_labels *kafka_labels_of(struct kafka_consumer *c, const struct kafka_partition *p,
                                              const struct message *m)
{
    const struct kafka_sink *s = c->sink;
    if (!s->label_set)
        return NULL;
    if (s->label_scope != LABEL_SCOPE_MESSAGE)
        return &p->labels;
    label_set_render(s->label_set, m, &c->labels);
    return &c->labels;
}

bool kafka_topic_is_ours(const struct kafka_sink *s, const char *topic)
{
    for (size_t i = 0; i < s->partitions_count; i++)
        if (strcmp(s->partitions[i].topic, topic) == 0)
            return true;
    for (size_t i = 0; i < s->topics_count; i++)
        if (s->is_expression[i] ? regexec(&s->expressions[i], topic, 0, NULL, 0) == 0
                                : strcmp(s->topics[i], topic) == 0)
            return true;
    return false;
}

bool kafka_reading_of(struct sink *base, struct span topic, struct topic_reading *ret)
{
    struct kafka_sink *s = (struct kafka_sink *)base;
    struct kafka_partition *p = s->replayed;
    if (!p || strlen(p->topic) != topic.len || memcmp(p->topic, topic.data, topic.len) != 0) {
        kafka_partition_free(p);
        p = s->replayed = xcalloc(1, sizeof *p);
        p->topic = xstrndup(topic.data, topic.len);
        kafka_partition_set_surroundings(s, p);
    }
    if (!kafka_topic_is_ours(s, p->topic))
        return false;
    *ret = (struct topic_reading){
        .decoder = s->decoder,
        .decode = &s->decode,
        .labels = s->label_set,
        .captures = p->surroundings.captures,
        .captures_count = p->surroundings.captures_count,
        .timestamp_from_record = s->timestamp_from_record,
        .max_message_size = s->max_message_size,
    };
    return true;
}
