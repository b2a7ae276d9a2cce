/* What sources of all types have in common: labels and json. Their meaning is the decoders': through hooks.
 */
#include <string.h>

#include "config/config_read.h"

static bool is_secret(const struct config_reader *r, const char *value)
{
    return config_shown(r->cfg, value) != value;
}

static void check_labels(struct config_reader *r, const struct config_place *source,
                         enum config_sink_type type, const struct config_labels *labels, size_t captures_max,
                         const struct yaml_node *node)
{
    struct config_place place = {.parent = source, .name = "labels"};
    const struct yaml_node *mapping = yaml_node_get(node, place.name);
    for (size_t i = 0; i < labels->count && r->hooks->label_check; i++) {
        const struct config_label *label = &labels->items[i];
        struct config_place at = {.parent = &place, .name = label->name};
        struct error err = {0};
        if (r->hooks->label_check(type, label, captures_max, &err) == 0)
            continue;
        config_report(r, config_position_of(mapping, label->name), &at, "%s",
                      is_secret(r, label->value) ? "the secret holds no text for a label" : err.message);
    }
}

static void check_json(struct config_reader *r, const struct config_place *source,
                       const struct config_json *json, size_t captures_max, const struct yaml_node *node)
{
    struct config_place place = {.parent = source, .name = "json"};
    const struct yaml_node *mapping = yaml_node_get(node, place.name);
    const char *key = "";
    struct error err = {0};
    if (!r->hooks->json_check || r->hooks->json_check(json, captures_max, &key, &err) == 0)
        return;
    struct config_place at = {.parent = &place, .name = key};
    config_report(r, mapping ? config_position_of(mapping, key) : node->position, &at, "%s", err.message);
}

void config_check_payload(struct config_reader *r, const struct config_place *place,
                          enum config_sink_type type, const char *format, const struct config_labels *labels,
                          const struct config_json *json, size_t captures_max, const struct yaml_node *node)
{
    const struct yaml_node *json_node = yaml_node_get(node, "json");
    const struct yaml_node *precision = yaml_node_get(node, "precision");
    bool is_json = format && !strcmp(format, "json");
    check_labels(r, place, type, labels, captures_max, node);
    if (is_json) {
        check_json(r, place, json, captures_max, node);
    } else if (format && json_node && !yaml_node_is_null(json_node)) {
        struct config_place at = {.parent = place, .name = "json"};
        config_report(r, json_node->position, &at,
                      "given with format %s, which doesn't look at it; write format: json, or leave it out",
                      format);
    }
    bool has_unit = precision && precision->kind == YAML_KIND_SCALAR && strcmp(precision->text, "auto") != 0;
    if (format && has_unit && strcmp(format, "influx") != 0) {
        struct config_place at = {.parent = place, .name = "precision"};
        config_report(r, precision->position, &at, "given with format %s, which doesn't look at it; %s",
                      format, is_json ? "write json: {time_format: ...}" : "leave it out");
    }
}
