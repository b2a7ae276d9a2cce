#include "sinks/decode/value.h"

#include <math.h>
#include <strings.h>

#include "sinks/decode/number.h"
#include "sinks/message_text.h"
#include "src/base/alloc.h"

#define REASON_NUMBER "not_a_number"

static bool is_white_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span text)
{
    while (text.len && (is_white_space(text.data[text.len - 1]) || text.data[text.len - 1] == '\0'))
        text.len--;
    while (text.len && is_white_space(*text.data)) {
        text.data++;
        text.len--;
    }
    return text;
}

static bool is_word(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

static bool parse_payload(struct span text, double *ret)
{
    if (is_word(text, "true") || is_word(text, "on")) {
        *ret = 1;
        return true;
    }
    if (is_word(text, "false") || is_word(text, "off")) {
        *ret = 0;
        return true;
    }
    return number_parse_strict(text.data, text.len, ret);
}

enum decode_result value_decode(const struct decode_options *options, const struct message *m,
                                struct sample_batch *batch, const char **ret_reason)
{
    (void)options;
    double value;
    if (!parse_payload(trim(m->payload), &value)) {
        *ret_reason = REASON_NUMBER;
        return DECODE_REJECT;
    }
    if (isnan(value)) {
        batch->dropped_nan++;
        return DECODE_OK;
    }
    struct span topic = m->topic.len ? m->topic : span_of("", 0);
    GROW(batch->samples, batch->samples_count, batch->samples_capacity);
    batch->samples[batch->samples_count++] = (struct sample){
        .field = span_of("", 0),
        .timestamp_ms = TIMESTAMP_NONE,
        .value = decimal_from_double(value),
    };
    GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){
        .key = topic,
        .first_sample = 0,
        .samples_count = 1,
    };
    return DECODE_OK;
}

int value_labels(const struct decode_options *options, struct span key, struct span field,
                 struct label_list *ret_labels, const char **ret_reason)
{
    (void)options;
    (void)field;
    (void)ret_reason;
    while (key.len && key.data[key.len - 1] == '/')
        key.len--;
    struct span name = key.len ? message_topic_last(key) : span_of("value", 5);
    label_list_clear(ret_labels);
    label_list_add(ret_labels, span_of("__name__", 8), name.len ? name : key);
    return 0;
}
