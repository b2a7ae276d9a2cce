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

#include "sinks/decode/json_path.h"
#include "sinks/decode/json_time.h"
#include "sinks/message_text.h"
#include "src/base/error.h"

#define JSON_MAPPING_LABELS_MAX     64
#define JSON_MAPPING_NAME_PATHS_MAX 8
#define JSON_MAPPING_FIELDS_MAX     1000

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
    const char *const *fields; /* "path", "path as name", "path.*" */
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

/* ---- what json.c sees ---- */

/* What is taken out of a document at the end of a path. The first JSON_TARGET_FIELD of a mapping comes after
 * all others. */
enum json_target_kind { JSON_TARGET_LABEL, JSON_TARGET_NAME, JSON_TARGET_TIME, JSON_TARGET_FIELD };

struct json_target {
    enum json_target_kind kind;
    bool of_document; /* the path starts at the document ($$), not at a reading */
    bool below;       /* of a field: what is below the path's end, under names that begin there */
    char *name;       /* of a label, or the start of a field's name; may be empty */
    size_t name_len;
};

/* The paths of all targets, put together as a tree, so that a document is walked once. */
struct json_path_node {
    bool is_index;
    char *name; /* of an object's key; NULL at the root and for an index */
    uint32_t index;
    struct json_path_node *child, *next; /* first below, next beside */
    size_t *targets;                     /* indexes: what ends here */
    size_t targets_count, targets_capacity;
    bool has_values; /* one of them isn't a field */
};

#define JSON_MAPPING_VALUES_MAX (JSON_MAPPING_LABELS_MAX + JSON_MAPPING_NAME_PATHS_MAX + 1)

struct json_mapping {
    struct json_path each;
    bool each_is_default; /* the document, or each item of a top-level array */
    enum json_time_format time_format;
    struct message_text name;
    struct json_target
        *targets; /* labels, in the order of the file; paths of name, in its order; time; fields */
    size_t targets_count, targets_capacity;
    size_t labels_count;
    size_t values_count; /* targets that aren't fields; at most JSON_MAPPING_VALUES_MAX */
    bool has_time;
    bool all_fields;                  /* no `fields`: every number and boolean */
    struct json_path_node of_reading; /* roots */
    struct json_path_node of_document;
    bool has_document_paths;
};

#endif
