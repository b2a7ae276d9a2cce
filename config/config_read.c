#include "config/config_read.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_keys.h"
#include "src/base/alloc.h"

void config_report_repeated_keys(struct config_reader *r, const struct config_place *place,
                                 const struct yaml_node *mapping)
{
    for (size_t i = 0; i < mapping->count; i++) {
        const struct yaml_node *key = mapping->keys[i];
        const struct yaml_node *first = NULL;
        for (size_t j = 0; j < i && !first; j++) {
            if (!strcmp(mapping->keys[j]->text, key->text))
                first = mapping->keys[j];
        }
        if (first) {
            struct config_place at = {.parent = place, .name = key->text};
            config_report(r, key->position, &at, "given twice; keep this one or the one in line %u",
                          first->position.line);
        }
    }
}

static bool applies(const struct config_key *key, unsigned sink_type)
{
    return !key->sinks || (key->sinks & sink_type);
}

/* Names that aren't keys, not of this version, or not of this type of sink. */
static void report_unusable_keys(struct config_reader *r, const struct config_place *place,
                                 const struct config_key *keys, const struct yaml_node *node,
                                 unsigned sink_type)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *name = node->keys[i];
        struct config_place at = {.parent = place, .name = name->text};
        const struct config_key *key = config_key_find(keys, name->text);
        if (!key) {
            char *advice = config_key_advice(keys, name->text, sink_type);
            config_report(r, name->position, &at, "unknown key; %s", advice);
            free(advice);
        } else if (!applies(key, sink_type)) {
            char *advice = config_key_advice(keys, name->text, sink_type);
            config_report(r, name->position, &at, "not a key of this type of sink; %s", advice);
            free(advice);
        } else if (key->flags & CONFIG_KEY_NOT_BUILT) {
            config_report(r, name->position, &at, "not built yet in this version; leave it out");
        }
    }
}

static void read_default(struct config_reader *r, const struct config_place *place,
                         const struct config_key *key, struct yaml_position at, void *dst)
{
    char *text = key->default_text ? xstrdup(key->default_text) : NULL;
    struct yaml_node node = {.kind = YAML_KIND_SCALAR, .position = at, .text = text, .plain = text && *text};
    if (text)
        (void)key->read(r, place, key, &node, dst);
    free(text);
}

void config_read_mapping(struct config_reader *r, const struct config_place *place,
                         const struct config_key *keys, const struct yaml_node *node, struct yaml_position at,
                         unsigned sink_type, void *base)
{
    if (node) {
        config_report_repeated_keys(r, place, node);
        report_unusable_keys(r, place, keys, node, sink_type);
    }
    for (const struct config_key *key = keys; key->name; key++) {
        if (!applies(key, sink_type) || (key->flags & CONFIG_KEY_NOT_BUILT))
            continue;
        struct config_place key_place = {.parent = place, .name = key->name};
        const struct yaml_node *value = yaml_node_get(node, key->name);
        void *dst = (char *)base + key->offset;
        if (value && yaml_node_is_null(value) && !key->children) {
            const char *example = config_key_example(key);
            config_report(r, value->position, &key_place,
                          "has no value%s; write %s: %s, or leave the key out",
                          example && strchr(example, '#') ? " (a # that isn't quoted begins a comment)" : "",
                          key->name, example);
            value = NULL;
        } else if (value || key->children) {
            /* A mapping all of whose keys are commented out reads as null: the same as an absent one. */
            struct yaml_node empty = {
                .kind = YAML_KIND_SCALAR, .position = at, .text = (char[]){""}, .plain = true};
            if (key->read(r, &key_place, key, value ? value : &empty, dst) == 0)
                continue;
        } else if (key->flags & CONFIG_KEY_REQUIRED) {
            config_report(r, at, &key_place, "missing; write %s: %s", key->name, config_key_example(key));
        }
        read_default(r, &key_place, key, at, dst);
    }
}

int config_read_submapping(struct config_reader *r, const struct config_place *place,
                           const struct config_key *key, const struct yaml_node *value, void *dst)
{
    bool mapping = value->kind == YAML_KIND_MAPPING;
    if (!mapping && !yaml_node_is_null(value))
        return config_report(r, value->position, place,
                             "%s where a mapping belongs; write keys below it, as in %s: {%s: ...}",
                             yaml_node_kind_name(value), key->name, key->children->name);
    config_read_mapping(r, place, key->children, mapping ? value : NULL, value->position, 0, dst);
    return 0;
}

/* One item of sinks. Of a type that is missing, isn't known or isn't built only that is said: the other keys
 * depend on it. */
static void read_sink(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                      const struct yaml_node *node, struct config_sink *sink)
{
    if (node->kind != YAML_KIND_MAPPING) {
        config_report(r, node->position, place,
                      "%s where a mapping belongs; write - name: plant, and the sink's other keys below",
                      yaml_node_kind_name(node));
        return;
    }
    const struct config_key *type_key = config_key_find(key->children, "type");
    const struct yaml_node *type = yaml_node_get(node, type_key->name);
    struct config_place at = {.parent = place, .name = type_key->name};
    if (!type || yaml_node_is_null(type)) {
        config_report(r, type ? type->position : node->position, &at,
                      "missing; write type: kafka or type: mqtt");
        return;
    }
    if (type_key->read(r, &at, type_key, type, &sink->type) < 0)
        return;
    config_read_mapping(r, place, key->children, node, node->position, 1U << sink->type, sink);
    if (sink->type == CONFIG_SINK_KAFKA)
        config_check_kafka_sink(r, place, sink, node);
    else
        config_check_mqtt_sink(r, place, sink, node);
}

int config_read_subscriptions(struct config_reader *r, const struct config_place *place,
                              const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_mqtt *mqtt = dst;
    if (yaml_node_is_null(value))
        return config_report(r, value->position, place, "missing; write %s: %s", key->name, key->example);
    if (value->kind != YAML_KIND_SEQUENCE)
        return config_report(r, value->position, place,
                             "%s where a list belongs; start each subscription with \"- filter: \"",
                             yaml_node_kind_name(value));
    if (!value->count)
        return config_report(r, value->position, place,
                             "the list is empty; start each subscription with \"- filter: \"");
    mqtt->subscriptions = xcalloc(value->count, sizeof *mqtt->subscriptions);
    mqtt->subscriptions_count = value->count;
    for (size_t i = 0; i < value->count; i++) {
        const struct yaml_node *item = value->items[i];
        struct config_place at = {.parent = place, .index = i};
        if (item->kind != YAML_KIND_MAPPING)
            config_report(r, item->position, &at,
                          "%s where a mapping belongs; write - filter: plants/#, and the other keys below",
                          yaml_node_kind_name(item));
        else
            config_read_mapping(r, &at, key->children, item, item->position, 0, &mqtt->subscriptions[i]);
    }
    return 0;
}

int config_read_sinks(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                      const struct yaml_node *value, void *dst)
{
    struct config *cfg = r->cfg;
    (void)dst;
    if (yaml_node_is_null(value))
        return 0;
    if (value->kind != YAML_KIND_SEQUENCE) {
        config_report(r, value->position, place, "%s where a list belongs; start each sink with \"- name: \"",
                      yaml_node_kind_name(value));
        return 0;
    }
    cfg->sinks = xcalloc(value->count ? value->count : 1, sizeof *cfg->sinks);
    cfg->sinks_count = value->count;
    for (size_t i = 0; i < value->count; i++) {
        struct config_place at = {.parent = place, .index = i};
        read_sink(r, &at, key, value->items[i], &cfg->sinks[i]);
    }
    return 0;
}
