/*
 * Every example of config/json-mappings.md does what it says. One is a ### heading with, in this order:
 * Topic: `...`, a ```json block (a message), a ```yaml block (an item of an MQTT sink's subscriptions, or
 * keys of a Kafka sink), and a ```text block: a line for each sample, name{label="value"} value time, where
 * time is milliseconds, or "message" for the message's own; "nothing", or "rejected: reason", with "item N"
 * before a reading's. The YAML goes through the configuration's reader, as if it stood in a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "sinks/decode/decode.h"
#include "sinks/mqtt/mqtt_topic.h"
#include "src/source_meaning.h"

#define EXAMPLES_MIN 20
#define GROUPS_MAX   8

struct example {
    char title[200];
    char topic[200];
    struct buffer json, yaml, text;
};

static const struct config_hooks hooks = {.label_check = source_meaning_check_label,
                                          .json_check = source_meaning_check_json};

/* --- the file --- */

static struct buffer *block_of(struct example *e, const char *line)
{
    return !strcmp(line, "```json\n")   ? &e->json
           : !strcmp(line, "```yaml\n") ? &e->yaml
           : !strcmp(line, "```text\n") ? &e->text
                                        : NULL;
}

static void read_block(FILE *f, struct buffer *dst)
{
    char line[4096];
    while (fgets(line, sizeof line, f) && strcmp(line, "```\n") != 0)
        buffer_append_str(dst, line);
}

/* The next example; false at the end. */
static bool read_example(FILE *f, struct example *e)
{
    char line[4096];
    buffer_clear(&e->json);
    buffer_clear(&e->yaml);
    buffer_clear(&e->text);
    e->topic[0] = e->title[0] = '\0';
    while (!e->text.len && fgets(line, sizeof line, f)) {
        struct buffer *block = e->title[0] ? block_of(e, line) : NULL;
        if (!strncmp(line, "### ", 4))
            snprintf(e->title, sizeof e->title, "%.*s", (int)strcspn(line + 4, "\n"), line + 4);
        else if (!strncmp(line, "Topic: `", 8))
            snprintf(e->topic, sizeof e->topic, "%.*s", (int)strcspn(line + 8, "`"), line + 8);
        else if (block)
            read_block(f, block);
    }
    if (!e->text.len)
        return false;
    if (!e->topic[0] || !e->json.len || !e->yaml.len)
        fail_msg("%s: its parts are not all there", e->title);
    return true;
}

/* --- the configuration --- */

static void append_indented(struct buffer *dst, const char *first, struct buffer *yaml)
{
    const char *p = buffer_cstr(yaml);
    while (*p) {
        size_t len = strcspn(p, "\n");
        buffer_printf(dst, "%s%.*s\n", first, (int)len, p);
        p += len + (p[len] == '\n');
        first = "  ";
    }
}

static struct config *read_config(struct example *e)
{
    struct buffer text = {0};
    struct config_errors errors = {0};
    struct config *cfg = NULL;
    buffer_append_str(&text, "storage: {path: /s}\nsinks:\n");
    if (strncmp(buffer_cstr(&e->yaml), "- filter:", 9) == 0) {
        buffer_append_str(&text, "- name: e\n  type: mqtt\n  broker: mqtt://b\n  client_id: c\n"
                                 "  subscriptions:\n");
        append_indented(&text, "  ", &e->yaml);
    } else {
        buffer_append_str(&text, "- name: e\n  type: kafka\n  brokers: [b]\n  group: g\n");
        append_indented(&text, "  ", &e->yaml);
    }
    if (config_read_text(&cfg, e->title, (const char *)text.data, text.len, &hooks, &errors) < 0) {
        config_errors_print(&errors, stderr);
        fail_msg("%s: its YAML is refused", e->title);
    }
    buffer_release(&text);
    return cfg;
}

/* --- what a message comes to --- */

struct source {
    struct source_meaning meaning;
    struct mqtt_match match;
    struct span groups[GROUPS_MAX];
    struct message message;
};

static void open_mqtt(struct example *e, const struct config_mqtt *mqtt, struct source *ret)
{
    const struct config_subscription *s = &mqtt->subscriptions[0];
    struct error error = {0};
    if (source_meaning_compile(&ret->meaning, CONFIG_SINK_MQTT, s->format, &s->labels, &s->json,
                               s->captures_max, &error) < 0)
        fail_msg("%s: %s", e->title, error.message);
    if (!mqtt_filter_match(s->filter, ret->message.topic, &ret->match))
        fail_msg("%s: the filter doesn't match the topic", e->title);
    ret->message.captures = ret->match.captures;
    ret->message.captures_count = ret->match.captures_count;
    ret->message.rest = ret->match.rest;
}

static void open_kafka(struct example *e, const struct config_sink *s, struct source *ret)
{
    struct error error = {0};
    regmatch_t matches[GROUPS_MAX + 1];
    regex_t expression;
    if (source_meaning_compile(&ret->meaning, CONFIG_SINK_KAFKA, s->format, &s->labels, &s->json,
                               s->captures_max, &error) < 0)
        fail_msg("%s: %s", e->title, error.message);
    assert_int_equal(regcomp(&expression, s->topics.items[0], REG_EXTENDED), 0);
    if (regexec(&expression, e->topic, GROUPS_MAX + 1, matches, 0) != 0)
        fail_msg("%s: the expression doesn't match the topic", e->title);
    for (size_t i = 0; i < expression.re_nsub; i++)
        ret->groups[i] =
            span_of(e->topic + matches[i + 1].rm_so, (size_t)(matches[i + 1].rm_eo - matches[i + 1].rm_so));
    ret->message.captures = ret->groups;
    ret->message.captures_count = expression.re_nsub;
    regfree(&expression);
}

static int compare_labels(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int r = memcmp(x->name.data, y->name.data, n);
    return r ? r : (int)x->name.len - (int)y->name.len;
}

static void print_series(struct buffer *dst, struct label_list *labels)
{
    const char *separator = "{";
    qsort(labels->labels, labels->count, sizeof *labels->labels, compare_labels);
    for (size_t i = 0; i < labels->count; i++)
        if (labels->labels[i].name.len == 8 && !memcmp(labels->labels[i].name.data, "__name__", 8))
            buffer_append(dst, labels->labels[i].value.data, labels->labels[i].value.len);
    for (size_t i = 0; i < labels->count; i++) {
        const struct label *l = &labels->labels[i];
        if (l->name.len == 8 && !memcmp(l->name.data, "__name__", 8))
            continue;
        buffer_printf(dst, "%s%.*s=\"%.*s\"", separator, (int)l->name.len, l->name.data, (int)l->value.len,
                      l->value.data);
        separator = ",";
    }
    if (*separator == ',')
        buffer_append_u8(dst, '}');
}

static void print_samples(struct buffer *dst, const struct source *source, const struct sample_batch *batch)
{
    const struct decode_options options = {.json = source->meaning.json};
    struct rendered_labels extra = {0};
    struct label_list labels = {0};
    label_set_render(source->meaning.labels, &source->message, &extra);
    for (size_t g = 0; g < batch->groups_count; g++) {
        const struct sample_group *group = &batch->groups[g];
        for (size_t i = group->first_sample; i < group->first_sample + group->samples_count; i++) {
            const struct sample *s = &batch->samples[i];
            const char *reason;
            assert_int_equal(decoder_find("json")->labels(&options, group->key, s->field, &labels, &reason),
                             0);
            for (size_t k = 0; k < extra.count; k++)
                label_list_add(&labels, extra.labels[k].name, extra.labels[k].value);
            print_series(dst, &labels);
            buffer_printf(dst, " %.15g", decimal_to_double(s->value.mantissa, s->value.exponent));
            if (s->timestamp_ms == TIMESTAMP_NONE)
                buffer_append_str(dst, " message\n");
            else
                buffer_printf(dst, " %lld\n", (long long)s->timestamp_ms);
        }
    }
    rendered_labels_release(&extra);
    label_list_release(&labels);
}

static void print_outcome(struct buffer *dst, struct example *e, const struct source *source)
{
    const struct decode_options options = {.json = source->meaning.json};
    struct sample_batch batch = {0};
    const char *reason = NULL;
    (void)e;
    if (decoder_find("json")->decode(&options, &source->message, &batch, &reason) == DECODE_REJECT)
        buffer_printf(dst, "rejected: %s\n", reason);
    else if (!batch.samples_count && !batch.bad_lines_count)
        buffer_append_str(dst, "nothing\n");
    print_samples(dst, source, &batch);
    for (size_t i = 0; i < batch.bad_lines_count; i++)
        buffer_printf(dst, "item %u rejected: %s\n", batch.bad_lines[i].line_number,
                      batch.bad_lines[i].reason);
    sample_batch_release(&batch);
}

static bool check(struct example *e)
{
    struct config *cfg = read_config(e);
    const struct config_sink *sink = &cfg->sinks[0];
    struct source source = {
        .message = {.payload = span_of((const char *)e->json.data, e->json.len),
                    .topic = span_of(e->topic, strlen(e->topic)),
                    .time_ms = TIMESTAMP_NONE},
    };
    if (sink->type == CONFIG_SINK_MQTT)
        open_mqtt(e, &sink->mqtt, &source);
    else
        open_kafka(e, sink, &source);
    struct buffer got = {0};
    print_outcome(&got, e, &source);
    bool same = got.len == e->text.len && memcmp(got.data, e->text.data, got.len) == 0;
    if (!same)
        print_error("%s comes to:\n%s", e->title, buffer_cstr(&got));
    buffer_release(&got);
    source_meaning_release(&source.meaning);
    config_free(cfg);
    return same;
}

static void test_every_example_does_what_it_says(void **state)
{
    (void)state;
    struct example e = {0};
    size_t examples = 0, wrong = 0;
    FILE *f = fopen(JSON_MAPPINGS, "r");
    assert_non_null(f);
    while (read_example(f, &e)) {
        examples++;
        wrong += !check(&e);
    }
    fclose(f);
    buffer_release(&e.json);
    buffer_release(&e.yaml);
    buffer_release(&e.text);
    assert_int_equal(wrong, 0);
    assert_true(examples >= EXAMPLES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_example_does_what_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
