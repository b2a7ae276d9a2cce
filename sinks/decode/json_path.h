/*
 * JSONPath's plain subset (RFC 9535): $, .name, ['name'] or ["name"], [0], [*] or .*; a name after a point is
 * any text without . [ ] * quotes and white space. $$ in place of $ is the whole document where $ is one
 * reading of it.
 */
#ifndef VARVE_SINKS_DECODE_JSON_PATH_H
#define VARVE_SINKS_DECODE_JSON_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"

#define JSON_PATH_STEPS_MAX 32

enum json_step_kind { JSON_STEP_NAME, JSON_STEP_INDEX, JSON_STEP_ALL };

struct json_step {
    enum json_step_kind kind;
    char *name; /* NUL-terminated; may be empty */
    uint32_t index;
};

/* A step into something that doesn't have it finds nothing. */
struct json_path {
    struct json_step *steps;
    size_t count, capacity;
    bool of_document; /* $$ */
};

/* Compiles the path at text, which ends at white space or at the text's end; *ret_end (may be NULL: nothing
 * may follow) is set to there. ERR_INVALID says what is wrong and what would be right. Release *ret with
 * json_path_release. */
int json_path_compile(struct json_path *ret, const char *text, const char **ret_end, struct error *reterr);
void json_path_release(struct json_path *path);

#endif
