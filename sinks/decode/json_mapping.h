/*
 * What `json:` of the configuration says, compiled: where in a document the readings are, and what of them
 * becomes name, labels, time and fields. Keys and paths as in interface.md; how a document is read with it:
 * json.c.
 *
 * Immutable once compiled; any thread.
 */
#ifndef VARVE_SINKS_DECODE_JSON_MAPPING_H
#define VARVE_SINKS_DECODE_JSON_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/message_text.h"
#include "src/base/error.h"

#define JSON_PATH_STEPS_MAX     32
#define JSON_MAPPING_FIELDS_MAX 256
#define JSON_MAPPING_LABELS_MAX 64

struct json_label_text {
    const char *name, *path;
};

/* The keys as the file has them. NULL or "": the key's default. */
struct json_mapping_text {
    const char *each;
    const char *time;
    const char *time_format; /* auto, rfc3339, s, ms, us or ns */
    const char *name;
    const struct json_label_text *labels;
    size_t labels_count;
    const char *const *fields; /* "path" or "path as name" */
    size_t fields_count;
};

struct json_mapping;

/* text may be NULL: all defaults. captures_max: the largest $n that the source can fill. On ERR_INVALID
 * *ret_key (may be NULL) is the key at fault ("each", "labels", ...; static text), and the message, which
 * doesn't repeat it, says what is wrong and what would be right. Free *ret with json_mapping_free. */
int json_mapping_compile(struct json_mapping **ret, const struct json_mapping_text *text, size_t captures_max,
                         const char **ret_key, struct error *reterr);
/* NULL is fine. */
void json_mapping_free(struct json_mapping *mapping);

/* The defaults, for a source without `json:`. Static; not to be freed. */
const struct json_mapping *json_mapping_default(void);

/* ---- what json.c sees ---- */

enum json_step_kind { JSON_STEP_NAME, JSON_STEP_INDEX, JSON_STEP_ALL };

struct json_step {
    enum json_step_kind kind;
    char *name; /* NUL-terminated; may be empty */
    size_t name_len;
    uint32_t index;
};

/* The plain subset of JSONPath (RFC 9535): $, .name, ['name'] or ["name"], [0], [*] or .*. A step into
 * something that doesn't have it finds nothing. */
struct json_path {
    struct json_step *steps;
    size_t count;
};

/* ERR_INVALID says what is wrong and what would be right. Release with json_path_release. all: whether [*]
 * may occur. */
int json_path_compile(struct json_path *ret, const char *text, size_t len, bool all, struct error *reterr);
void json_path_release(struct json_path *path);

enum json_time_format {
    JSON_TIME_AUTO, /* a number by its digits, a text as RFC 3339 or a number */
    JSON_TIME_RFC3339,
    JSON_TIME_S,
    JSON_TIME_MS,
    JSON_TIME_US,
    JSON_TIME_NS,
};

/* What a value that a path of the mapping finds is for. */
enum json_target_kind { JSON_TARGET_TIME, JSON_TARGET_LABEL, JSON_TARGET_NAME, JSON_TARGET_FIELD };

struct json_target {
    enum json_target_kind kind;
    struct json_path path; /* below one reading */
    char *name;            /* of a label; of a field, NULL: the names of its path and what is below, joined */
    size_t name_len;
    size_t piece; /* of JSON_TARGET_NAME: of name */
};

/* A node of the paths of all targets, put together as a tree, so that a document is walked once. */
struct json_path_node {
    struct json_step step;
    struct json_path_node *child, *next; /* first below, next beside */
    size_t *targets;                     /* indexes: those whose path ends here */
    size_t targets_count, targets_capacity;
};

struct json_mapping {
    struct json_path each;
    bool each_is_default; /* the document, or each item of a top-level array */
    enum json_time_format time_format;
    bool has_time;
    struct message_text name;
    struct json_target *targets; /* labels first, in the order of the file, then the others */
    size_t targets_count, targets_capacity;
    size_t labels_count;
    bool all_fields; /* no `fields`: every number and boolean */
    struct json_path_node *tree;
};

#endif
