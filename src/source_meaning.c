#include "src/source_meaning.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

static int compile_labels(struct label_set **ret, enum config_sink_type type,
                          const struct config_label *items, size_t count, size_t captures_max,
                          struct error *reterr)
{
    struct label_set_text *texts = xcalloc(count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct label_set_text){items[i].name, items[i].value};
    struct label_set *set = NULL;
    int r = label_set_compile(&set, texts, count, captures_max, reterr);
    free(texts);
    if (r == 0 && type == CONFIG_SINK_MQTT && label_set_scope(set) == LABEL_SCOPE_MESSAGE) {
        label_set_free(set);
        return error_set(reterr, ERR_INVALID,
                         "$key and $header: are of Kafka's records, MQTT messages have none");
    }
    if (r == 0)
        *ret = set;
    return r;
}

static int compile_json(struct json_mapping **ret, const struct config_json *json, size_t captures_max,
                        const char **ret_key, struct error *reterr)
{
    struct json_label_text *labels = xcalloc(json->labels.count + 1, sizeof *labels);
    for (size_t i = 0; i < json->labels.count; i++)
        labels[i] = (struct json_label_text){json->labels.items[i].name, json->labels.items[i].value};
    const struct json_mapping_text text = {
        .each = json->each,
        .time = json->time,
        .time_format = json->time_format,
        .name = json->name,
        .labels = labels,
        .labels_count = json->labels.count,
        .fields = (const char *const *)json->fields.items,
        .fields_count = json->fields.count,
    };
    int r = json_mapping_compile(ret, &text, captures_max, ret_key, reterr);
    free(labels);
    return r;
}

int source_meaning_compile(struct source_meaning *ret, enum config_sink_type type, const char *format,
                           const struct config_labels *labels, const struct config_json *json,
                           size_t captures_max, struct error *reterr)
{
    struct source_meaning meaning = {0};
    const char *key = "";
    if (labels->count) {
        int r = compile_labels(&meaning.labels, type, labels->items, labels->count, captures_max, reterr);
        if (r < 0)
            return error_prefix(reterr, r, "labels");
    }
    if (strcmp(format, "json") == 0) {
        int r = compile_json(&meaning.json, json, captures_max, &key, reterr);
        if (r < 0) {
            source_meaning_release(&meaning);
            return error_prefix(reterr, r, "json.%s", key);
        }
    }
    *ret = meaning;
    return 0;
}

void source_meaning_release(struct source_meaning *meaning)
{
    label_set_free(meaning->labels);
    json_mapping_free(meaning->json);
    *meaning = (struct source_meaning){0};
}

int source_meaning_check_label(enum config_sink_type type, const struct config_label *label,
                               size_t captures_max, struct error *reterr)
{
    struct label_set *set = NULL;
    int r = compile_labels(&set, type, label, 1, captures_max, reterr);
    label_set_free(set);
    return r;
}

int source_meaning_check_json(const struct config_json *json, size_t captures_max, const char **ret_key,
                              struct error *reterr)
{
    struct json_mapping *mapping = NULL;
    int r = compile_json(&mapping, json, captures_max, ret_key, reterr);
    json_mapping_free(mapping);
    return r;
}
