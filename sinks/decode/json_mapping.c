#include "sinks/decode/json_mapping.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

static void free_node(struct json_path_node *node)
{
    for (struct json_path_node *next, *child = node->child; child; child = next) {
        next = child->next;
        free_node(child);
        free(child);
    }
    free(node->name);
    free(node->targets);
}

void json_mapping_free(struct json_mapping *m)
{
    if (!m)
        return;
    json_path_release(&m->each);
    message_text_release(&m->name);
    for (size_t i = 0; i < m->targets_count; i++)
        free(m->targets[i].name);
    free(m->targets);
    free_node(&m->of_reading);
    free_node(&m->of_document);
    free(m);
}

static bool step_is(const struct json_path_node *node, const struct json_step *step)
{
    if (step->kind == JSON_STEP_INDEX)
        return node->is_index && node->index == step->index;
    return !node->is_index && strcmp(node->name, step->name) == 0;
}

/* The node of a path in a tree, made if need be. */
static struct json_path_node *plant(struct json_path_node *root, const struct json_path *path)
{
    struct json_path_node *node = root;
    for (size_t i = 0; i < path->count; i++) {
        const struct json_step *step = &path->steps[i];
        struct json_path_node **at = &node->child;
        while (*at && !step_is(*at, step))
            at = &(*at)->next;
        if (!*at) {
            *at = xcalloc(1, sizeof **at);
            (*at)->is_index = step->kind == JSON_STEP_INDEX;
            (*at)->index = step->index;
            (*at)->name = step->name ? xstrdup(step->name) : NULL;
        }
        node = *at;
    }
    return node;
}

/* Adds a target at the end of path. name is taken over. */
static void add_target(struct json_mapping *m, const struct json_path *path, struct json_target target)
{
    struct json_path_node *node = plant(path->of_document ? &m->of_document : &m->of_reading, path);
    target.of_document = path->of_document;
    target.name_len = target.name ? strlen(target.name) : 0;
    m->has_document_paths |= path->of_document;
    node->has_values |= target.kind != JSON_TARGET_FIELD;
    GROW(node->targets, node->targets_count, node->targets_capacity);
    node->targets[node->targets_count++] = m->targets_count;
    GROW(m->targets, m->targets_count, m->targets_capacity);
    m->targets[m->targets_count++] = target;
    m->values_count += target.kind != JSON_TARGET_FIELD;
}

static int refuse_all_steps(const struct json_path *path, struct error *reterr)
{
    for (size_t i = 0; i < path->count; i++)
        if (path->steps[i].kind == JSON_STEP_ALL)
            return error_set(reterr, ERR_INVALID,
                             "[*] finds several values where one belongs; write an index, as in [0], or have "
                             "`each` take the items apart");
    return 0;
}

/* A path to one value. */
static int compile_value(struct json_mapping *m, const char *text, struct json_target target,
                         struct error *reterr)
{
    struct json_path path;
    int r = json_path_compile(&path, text, NULL, reterr);
    if (r < 0)
        return r;
    r = refuse_all_steps(&path, reterr);
    if (r == 0)
        add_target(m, &path, target);
    json_path_release(&path);
    return r;
}

static int compile_each(struct json_mapping *m, const char *text, struct error *reterr)
{
    m->each_is_default = !text || !*text || strcmp(text, "$") == 0;
    if (m->each_is_default)
        return 0;
    int r = json_path_compile(&m->each, text, NULL, reterr);
    if (r == 0 && m->each.of_document)
        r = error_set(reterr, ERR_INVALID, "$$ is of use below `each`; write $ here");
    return r;
}

static int compile_labels(struct json_mapping *m, const struct json_mapping_text *text, struct error *reterr)
{
    if (text->labels_count > JSON_MAPPING_LABELS_MAX)
        return error_set(reterr, ERR_INVALID, "more than %d labels", JSON_MAPPING_LABELS_MAX);
    for (size_t i = 0; i < text->labels_count; i++) {
        const struct json_label_text *label = &text->labels[i];
        struct json_target target = {.kind = JSON_TARGET_LABEL};
        int r = 0;
        if (!*label->name)
            r = error_set(reterr, ERR_INVALID, "a label without a name; write it as in device: \"$.id\"");
        for (size_t j = 0; j < i && r == 0; j++)
            if (strcmp(text->labels[j].name, label->name) == 0)
                r = error_set(reterr, ERR_INVALID, "given twice; keep one");
        if (r == 0 && *label->path != '$')
            r = error_set(
                reterr, ERR_INVALID,
                "a path starts with $, as in $.device.id; a fixed text goes into the labels beside format");
        if (r == 0) {
            target.name = xstrdup(label->name);
            r = compile_value(m, label->path, target, reterr);
            if (r < 0)
                free(target.name);
        }
        if (r < 0)
            return *label->name ? error_prefix(reterr, r, "%s", label->name) : r;
        m->labels_count++;
    }
    return 0;
}

static int compile_name(struct json_mapping *m, const char *text, size_t captures_max, struct error *reterr)
{
    size_t paths = 0;
    int r = message_text_compile(&m->name, text ? text : "$topic_last", captures_max,
                                 MESSAGE_TOPIC | MESSAGE_PATH, reterr);
    for (size_t i = 0; i < m->name.count && r == 0; i++) {
        if (m->name.pieces[i].kind != PIECE_PATH)
            continue;
        if (paths++ == JSON_MAPPING_NAME_PATHS_MAX)
            return error_set(reterr, ERR_INVALID, "more than %d paths", JSON_MAPPING_NAME_PATHS_MAX);
        r = compile_value(m, m->name.pieces[i].text, (struct json_target){.kind = JSON_TARGET_NAME}, reterr);
    }
    return r;
}

static int compile_time(struct json_mapping *m, const char *path, const char *format, const char **ret_key,
                        struct error *reterr)
{
    static const char *const formats[] = {
        [JSON_TIME_AUTO] = "auto", [JSON_TIME_RFC3339] = "rfc3339", [JSON_TIME_S] = "s",
        [JSON_TIME_MS] = "ms",     [JSON_TIME_US] = "us",           [JSON_TIME_NS] = "ns",
    };
    m->has_time = path && *path;
    size_t i = JSON_TIME_AUTO;
    for (; format && *format && i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i], format) == 0)
            break;
    if (i == sizeof formats / sizeof formats[0]) {
        *ret_key = "time_format";
        return error_set(reterr, ERR_INVALID,
                         "\"%.40s\" is not known here; write auto, rfc3339, s, ms, us or ns", format);
    }
    m->time_format = (enum json_time_format)i;
    *ret_key = "time";
    return m->has_time ? compile_value(m, path, (struct json_target){.kind = JSON_TARGET_TIME}, reterr) : 0;
}

/* The names of a path's steps, joined as the fields of a document are. */
static char *join_steps(const struct json_path *path)
{
    struct buffer name = {0};
    for (size_t i = 0; i < path->count; i++) {
        const struct json_step *step = &path->steps[i];
        const char *separator = i ? "_" : "";
        if (step->kind == JSON_STEP_INDEX)
            buffer_printf(&name, "%s%u", separator, step->index);
        else
            buffer_printf(&name, "%s%s", separator, step->name);
    }
    (void)buffer_cstr(&name);
    return (char *)name.data;
}

/* " as NAME", or nothing. */
static int parse_as(const char *p, const char **ret_name, struct error *reterr)
{
    p += strspn(p, " \t");
    *ret_name = NULL;
    if (!*p)
        return 0;
    if (strncmp(p, "as", 2) != 0 || (p[2] && p[2] != ' ' && p[2] != '\t'))
        return error_set(reterr, ERR_INVALID,
                         "\"%.40s\" after the path; write it as in \"$.t as temperature\"", p);
    p += 2 + strspn(p + 2, " \t");
    if (!*p || strpbrk(p, " \t"))
        return error_set(reterr, ERR_INVALID, "one name belongs after as, as in \"$.t as temperature\"");
    *ret_name = p;
    return 0;
}

static int compile_field(struct json_mapping *m, const char *text, struct error *reterr)
{
    struct json_path path = {0};
    const char *end, *as;
    int r = json_path_compile(&path, text, &end, reterr);
    if (r == 0)
        r = parse_as(end, &as, reterr);
    if (r < 0) {
        json_path_release(&path);
        return r;
    }
    struct json_target target = {.kind = JSON_TARGET_FIELD};
    if (path.count && path.steps[path.count - 1].kind == JSON_STEP_ALL) {
        target.below = true;
        path.count--;
    }
    r = refuse_all_steps(&path, reterr);
    if (r == 0 && path.of_document)
        r = error_set(reterr, ERR_INVALID, "fields are of one reading; write $ in place of $$");
    if (r == 0 && !path.count && !target.below)
        r = error_set(reterr, ERR_INVALID, "that is all of the reading; leave `fields` out for this");
    if (r == 0) {
        struct json_path_node *node = plant(&m->of_reading, &path);
        for (size_t i = 0; i < node->targets_count && r == 0; i++)
            if (m->targets[node->targets[i]].kind == JSON_TARGET_FIELD)
                r = error_set(reterr, ERR_INVALID, "given twice; keep one");
    }
    if (r == 0) {
        target.name = as ? xstrdup(as) : target.below ? xstrdup("") : join_steps(&path);
        add_target(m, &path, target);
    }
    json_path_release(&path);
    return r;
}

static int compile_fields(struct json_mapping *m, const struct json_mapping_text *text, struct error *reterr)
{
    m->all_fields = text->fields_count == 0;
    if (text->fields_count > JSON_MAPPING_FIELDS_MAX)
        return error_set(reterr, ERR_INVALID, "more than %d fields", JSON_MAPPING_FIELDS_MAX);
    for (size_t i = 0; i < text->fields_count; i++) {
        int r = compile_field(m, text->fields[i], reterr);
        if (r < 0)
            return error_prefix(reterr, r, "\"%.80s\"", text->fields[i]);
    }
    return 0;
}

int json_mapping_compile(struct json_mapping **ret, const struct json_mapping_text *text, size_t captures_max,
                         const char **ret_key, struct error *reterr)
{
    static const struct json_mapping_text defaults = {0};
    struct json_mapping *m = xcalloc(1, sizeof *m);
    const char *key = "each";
    if (!text)
        text = &defaults;
    int r = compile_each(m, text->each, reterr);
    if (r == 0) {
        key = "labels";
        r = compile_labels(m, text, reterr);
    }
    if (r == 0) {
        key = "name";
        r = compile_name(m, text->name, captures_max, reterr);
    }
    if (r == 0)
        r = compile_time(m, text->time, text->time_format, &key, reterr);
    if (r == 0) {
        key = "fields";
        r = compile_fields(m, text, reterr);
    }
    if (r < 0) {
        if (ret_key)
            *ret_key = key;
        json_mapping_free(m);
        return r;
    }
    *ret = m;
    return 0;
}
