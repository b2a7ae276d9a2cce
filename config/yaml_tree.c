#include "config/yaml_tree.h"

#include <stdlib.h>
#include <string.h>

/* Here, after ours: libyaml's names start with yaml_ too, but none is the same. */
#include <yaml.h>

#include "src/base/alloc.h"

struct anchor {
    char *name;
    struct yaml_node *node;
};

/* Turns events into a tree. open[] are the containers not yet ended, outermost first. */
struct builder {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    struct yaml_tree *tree;
    struct {
        struct yaml_node *node;
        struct yaml_node *key; /* of a mapping: read, its value still to come */
    } open[YAML_DEPTH_MAX];
    size_t depth;
    struct anchor *anchors;
    size_t anchors_count;
    size_t anchors_capacity;
    struct yaml_position *ret_position;
    struct error *reterr;
};

static struct yaml_position position_of(const yaml_mark_t *mark)
{
    return (struct yaml_position){.line = (uint32_t)mark->line + 1, .column = (uint32_t)mark->column + 1};
}

static int refuse(struct builder *b, const yaml_mark_t *mark, const char *message)
{
    *b->ret_position = position_of(mark);
    return error_set(b->reterr, ERR_INVALID, "%s", message);
}

/* Line and column of a byte, for libyaml's reader, which knows offsets only. */
static struct yaml_position position_of_offset(const char *text, size_t size, size_t offset)
{
    struct yaml_position p = {1, 1};
    for (size_t i = 0; i < offset && i < size; i++) {
        if (text[i] == '\n') {
            p.line++;
            p.column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            p.column++;
        }
    }
    return p;
}

/* The first byte at a line and column; '\0' beyond the end. */
static char byte_at(const char *text, size_t size, struct yaml_position wanted)
{
    struct yaml_position p = {1, 1};
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c & 0xc0) == 0x80)
            continue;
        if (p.line == wanted.line && p.column == wanted.column)
            return text[i];
        if (c == '\n') {
            p.line++;
            p.column = 1;
        } else {
            p.column++;
        }
    }
    return '\0';
}

/* What would be right, for the mistakes that people make most. */
static const char *syntax_advice(const struct builder *b, struct yaml_position at)
{
    const char *problem = b->parser.problem;
    const char *context = b->parser.context ? b->parser.context : "";
    char c = byte_at(b->text, b->size, at);
    if (strstr(problem, "cannot start any token")) {
        if (c == '\t')
            return "indent with spaces, not with tabs";
        if (c == '%')
            return "put \"...\" around the value";
        return "put \"...\" around a value that starts with this character";
    }
    if (strstr(problem, "mapping values are not allowed"))
        return "check the indentation, and put \"...\" around a value that contains \": \"";
    if (strstr(problem, "did not find expected key") || strstr(problem, "did not find expected '-'"))
        return "check the indentation of this line and of the ones above it";
    if (strstr(problem, "could not find expected ':'"))
        return "write key: value";
    if (strstr(problem, "expected ',' or"))
        return "close the list with ] or the mapping with }";
    if (strstr(problem, "unknown escape character"))
        return "write \\\\ for a backslash between \"...\", or use '...'";
    if (strstr(problem, "unexpected end of stream") || strstr(context, "quoted scalar"))
        return "close the quotation mark";
    if (strstr(problem, "undefined alias"))
        return "put &name at the value that is meant, further up";
    return "write one key: value a line, indented with spaces";
}

static int syntax_error(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    if (!parser->problem) {
        *b->ret_position = position_of(&parser->mark);
        return error_set(b->reterr, ERR_INVALID, "not valid YAML");
    }
    if (parser->error == YAML_READER_ERROR) {
        *b->ret_position = position_of_offset(b->text, b->size, parser->problem_offset);
        if (strstr(parser->problem, "control characters"))
            return error_set(b->reterr, ERR_INVALID, "a control character; leave it out");
        return error_set(b->reterr, ERR_INVALID, "not text in UTF-8: %s; save the file as UTF-8",
                         parser->problem);
    }
    struct yaml_position at = position_of(&parser->problem_mark);
    *b->ret_position = at;
    return error_set(b->reterr, ERR_INVALID, "not valid YAML: %s%s%s; %s", parser->problem,
                     parser->context ? " " : "", parser->context ? parser->context : "",
                     syntax_advice(b, at));
}

static int new_node(struct builder *b, enum yaml_kind kind, const yaml_mark_t *mark, struct yaml_node **ret)
{
    struct yaml_tree *tree = b->tree;
    if (tree->count >= YAML_NODES_MAX)
        return refuse(b, mark, "more keys and values than a configuration can have (10000)");
    struct yaml_node *node = xcalloc(1, sizeof *node);
    node->kind = kind;
    node->position = position_of(mark);
    node->nodes_count = 1;
    GROW(tree->nodes, tree->count, tree->capacity);
    tree->nodes[tree->count++] = node;
    *ret = node;
    return 0;
}

/* A later anchor of the same name hides the earlier one, as YAML says. */
static void add_anchor(struct builder *b, const yaml_char_t *name, struct yaml_node *node)
{
    if (!name)
        return;
    for (size_t i = 0; i < b->anchors_count; i++) {
        if (!strcmp(b->anchors[i].name, (const char *)name)) {
            b->anchors[i].node = node;
            return;
        }
    }
    GROW(b->anchors, b->anchors_count, b->anchors_capacity);
    b->anchors[b->anchors_count++] = (struct anchor){.name = xstrdup((const char *)name), .node = node};
}

/* Puts a finished node where the innermost open container wants it. */
static int attach(struct builder *b, struct yaml_node *node, const yaml_mark_t *mark)
{
    if (!b->depth) {
        b->tree->root = node;
        return 0;
    }
    struct yaml_node *parent = b->open[b->depth - 1].node;
    if (parent->kind == YAML_KIND_MAPPING && !b->open[b->depth - 1].key) {
        if (node->kind != YAML_KIND_SCALAR)
            return refuse(b, mark, "a list or mapping can't be a key; write key: value");
        b->open[b->depth - 1].key = node;
        return 0;
    }
    parent->nodes_count += node->nodes_count;
    /* Aliases of aliases double at each step: counted as if written out, they stop here. */
    if (parent->nodes_count > YAML_NODES_MAX)
        return refuse(b, mark, "more keys and values than a configuration can have (10000)");
    if (parent->count == parent->capacity) {
        parent->capacity = parent->capacity ? parent->capacity * 2 : 8;
        parent->items = xreallocarray(parent->items, parent->capacity, sizeof(struct yaml_node *));
        if (parent->kind == YAML_KIND_MAPPING)
            parent->keys = xreallocarray(parent->keys, parent->capacity, sizeof(struct yaml_node *));
    }
    if (parent->kind == YAML_KIND_MAPPING)
        parent->keys[parent->count] = b->open[b->depth - 1].key;
    parent->items[parent->count++] = node;
    b->open[b->depth - 1].key = NULL;
    return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
    const yaml_mark_t *mark = &event->start_mark;
    size_t length = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    if (event->data.scalar.tag)
        return refuse(b, mark, "tags (!...) are not used here; leave it out");
    if (memchr(value, '\0', length))
        return refuse(b, mark, "a zero byte inside a text; leave it out");
    struct yaml_node *node = NULL;
    int r = new_node(b, YAML_KIND_SCALAR, mark, &node);
    if (r < 0)
        return r;
    node->text = xstrndup(value, length);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    add_anchor(b, event->data.scalar.anchor, node);
    return attach(b, node, mark);
}

static int on_container(struct builder *b, const yaml_event_t *event)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_mark_t *mark = &event->start_mark;
    if (mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag)
        return refuse(b, mark, "tags (!...) are not used here; leave it out");
    if (b->depth && b->open[b->depth - 1].node->kind == YAML_KIND_MAPPING && !b->open[b->depth - 1].key)
        return refuse(b, mark, "a list or mapping can't be a key; write key: value");
    if (b->depth == YAML_DEPTH_MAX)
        return refuse(b, mark, "nested deeper than any key of this configuration (16 levels)");
    struct yaml_node *node = NULL;
    int r = new_node(b, mapping ? YAML_KIND_MAPPING : YAML_KIND_SEQUENCE, mark, &node);
    if (r < 0)
        return r;
    add_anchor(b, mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node);
    b->open[b->depth].node = node;
    b->open[b->depth].key = NULL;
    b->depth++;
    return 0;
}

static int on_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const yaml_mark_t *mark = &event->start_mark;
    struct yaml_node *node = NULL;
    for (size_t i = 0; i < b->anchors_count; i++) {
        if (!strcmp(b->anchors[i].name, name))
            node = b->anchors[i].node;
    }
    if (!node)
        return refuse(b, mark,
                      "an alias (*) without its anchor; put &name at the value that is meant, further up");
    for (size_t i = 0; i < b->depth; i++) {
        if (b->open[i].node == node)
            return refuse(b, mark, "an alias (*) inside the value that it stands for; write the value out");
    }
    return attach(b, node, mark);
}

/* *ret_done is set at the end of the stream. */
static int on_event(struct builder *b, const yaml_event_t *event, size_t *documents_count, bool *ret_done)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents_count > 1)
            return refuse(b, &event->start_mark,
                          "a second document starts here; a configuration is one document");
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return on_container(b, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return attach(b, b->open[b->depth].node, &event->start_mark);
    case YAML_STREAM_END_EVENT:
        *ret_done = true;
        return 0;
    default:
        return 0;
    }
}

int yaml_tree_parse(struct yaml_tree **ret, const char *text, size_t size, struct yaml_position *ret_position,
                    struct error *reterr)
{
    static const char bom[] = "\xef\xbb\xbf";
    if (size > YAML_TEXT_MAX) {
        *ret_position = (struct yaml_position){0, 0};
        return error_set(reterr, ERR_INVALID, "larger than 1 MiB; a configuration is a few KiB");
    }
    /* With the encoding given, libyaml doesn't look for a byte order mark itself; without, it guesses UTF-16.
     */
    if (size >= 3 && !memcmp(text, bom, 3)) {
        text += 3;
        size -= 3;
    }
    struct builder b = {.text = text, .size = size, .ret_position = ret_position, .reterr = reterr};
    b.tree = xcalloc(1, sizeof *b.tree);
    if (!yaml_parser_initialize(&b.parser)) {
        yaml_tree_free(b.tree);
        *ret_position = (struct yaml_position){0, 0};
        return error_set(reterr, ERR_INVALID, "out of memory");
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, size);

    int r = 0;
    size_t documents_count = 0;
    bool done = false;
    while (!r && !done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b.parser, &event)) {
            r = syntax_error(&b);
            break;
        }
        r = on_event(&b, &event, &documents_count, &done);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&b.parser);
    for (size_t i = 0; i < b.anchors_count; i++)
        free(b.anchors[i].name);
    free(b.anchors);
    if (r < 0) {
        yaml_tree_free(b.tree);
        return r;
    }
    *ret = b.tree;
    return 0;
}

struct yaml_tree *yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return NULL;
    for (size_t i = 0; i < tree->count; i++) {
        struct yaml_node *node = tree->nodes[i];
        free(node->text);
        free(node->keys);
        free(node->items);
        free(node);
    }
    free(tree->nodes);
    free(tree);
    return NULL;
}

const struct yaml_node *yaml_node_get(const struct yaml_node *node, const char *key)
{
    if (!node || node->kind != YAML_KIND_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        if (!strcmp(node->keys[i]->text, key))
            return node->items[i];
    }
    return NULL;
}

bool yaml_node_is_null(const struct yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != YAML_KIND_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        if (!strcmp(node->text, nulls[i]))
            return true;
    }
    return false;
}

const char *yaml_node_kind_name(const struct yaml_node *node)
{
    if (yaml_node_is_null(node))
        return "nothing";
    switch (node->kind) {
    case YAML_KIND_SCALAR:
        return "a text";
    case YAML_KIND_SEQUENCE:
        return "a list";
    default:
        return "a mapping";
    }
}
