/*
 * YAML text as a tree that remembers where each node stood, over libyaml's events.
 *
 * Holds one document in UTF-8, of at most YAML_TEXT_MAX bytes, YAML_DEPTH_MAX levels and YAML_NODES_MAX nodes
 * with every alias written out. Keys are scalars; tags are refused. Keys that occur twice are kept: the
 * reader, which knows the key's path, reports them. A node that is used through an alias is one node with
 * several parents.
 */
#ifndef VARVE_CONFIG_YAML_TREE_H
#define VARVE_CONFIG_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"

#define YAML_TEXT_MAX  (1U << 20)
#define YAML_DEPTH_MAX 16
#define YAML_NODES_MAX 10000

/* Line and column from 1, as editors count; a column is a character, not a byte. 0 means unknown. */
struct yaml_position {
    uint32_t line;
    uint32_t column;
};

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    struct yaml_position position; /* of its first character */

    /* Scalar: its value without quotes and escapes, NUL-terminated and without other NULs. */
    char *text;
    bool plain; /* written without quotes, not as a block */

    /* Sequence: items[i]. Mapping: keys[i] with its value items[i]. */
    struct yaml_node **keys;
    struct yaml_node **items;
    size_t count;

    /* The builder's own. */
    size_t capacity;
    size_t nodes_count; /* this one and all below it, aliases written out */
};

struct yaml_tree {
    struct yaml_node *root;   /* NULL when the text holds no document or only comments */
    struct yaml_node **nodes; /* all of them, for freeing */
    size_t count;
    size_t capacity;
};

/* Parses size bytes of text. On failure returns ERR_INVALID, says in *reterr what is wrong and what would be
 * right, and in *ret_position where (this one output is set on failure). */
int yaml_tree_parse(struct yaml_tree **ret, const char *text, size_t size, struct yaml_position *ret_position,
                    struct error *reterr);
struct yaml_tree *yaml_tree_free(struct yaml_tree *tree);

/* The value of the first key of that name in a mapping, or NULL (also if node is NULL or no mapping). */
const struct yaml_node *yaml_node_get(const struct yaml_node *node, const char *key);

/* A plain scalar that stands for "nothing": empty, ~ or null. */
bool yaml_node_is_null(const struct yaml_node *node);

/* "a text", "a list", "a mapping", "nothing": for messages. */
const char *yaml_node_kind_name(const struct yaml_node *node);

#endif
