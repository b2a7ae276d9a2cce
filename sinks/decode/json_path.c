#include "sinks/decode/json_path.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"

#define INDEX_MAX 1000000

static const char right[] = "write it as in $.device['some id'].values[0]";

static void add_step(struct json_path *path, struct json_step step)
{
    GROW(path->steps, path->count, path->capacity);
    path->steps[path->count++] = step;
}

/* What stands after a point. Returns where it ends, NULL after an error. */
static const char *compile_dotted(struct json_path *path, const char *p, struct error *reterr)
{
    size_t len = strcspn(p, ".[]*'\" \t");
    if (!len && *p == '*') {
        add_step(path, (struct json_step){.kind = JSON_STEP_ALL});
        return p + 1;
    }
    if (!len && *p == '.') {
        error_set(reterr, ERR_INVALID, ".. (anywhere below) is not read; name every step, as in $.a.b");
        return NULL;
    }
    if (!len) {
        error_set(reterr, ERR_INVALID, "a point without a name after it; %s", right);
        return NULL;
    }
    add_step(path, (struct json_step){.kind = JSON_STEP_NAME, .name = xstrndup(p, len)});
    return p + len;
}

static const char *compile_quoted(struct json_path *path, const char *p, struct error *reterr)
{
    struct buffer name = {0};
    char quote = *p++;
    for (; *p && *p != quote; p++) {
        if (*p == '\\' && (p[1] == '\\' || p[1] == '\'' || p[1] == '"'))
            p++;
        buffer_append_u8(&name, (uint8_t)*p);
    }
    if (*p != quote || p[1] != ']') {
        buffer_release(&name);
        error_set(reterr, ERR_INVALID, "a quoted name that isn't ended by %c]; %s", quote, right);
        return NULL;
    }
    (void)buffer_cstr(&name);
    add_step(path, (struct json_step){.kind = JSON_STEP_NAME, .name = (char *)name.data});
    return p + 2;
}

/* What stands after a bracket. */
static const char *compile_bracketed(struct json_path *path, const char *p, struct error *reterr)
{
    uint32_t index = 0;
    if (*p == '\'' || *p == '"')
        return compile_quoted(path, p, reterr);
    if (p[0] == '*' && p[1] == ']') {
        add_step(path, (struct json_step){.kind = JSON_STEP_ALL});
        return p + 2;
    }
    const char *digits = p;
    for (; *p >= '0' && *p <= '9' && index <= INDEX_MAX; p++)
        index = index * 10 + (uint32_t)(*p - '0');
    if (p == digits || *p != ']' || index > INDEX_MAX) {
        error_set(reterr, ERR_INVALID,
                  "a bracket holds an index from 0 to %d, a quoted name or *, and nothing else is read; %s",
                  INDEX_MAX, right);
        return NULL;
    }
    add_step(path, (struct json_step){.kind = JSON_STEP_INDEX, .index = index});
    return p + 1;
}

static const char *compile(struct json_path *path, const char *p, struct error *reterr)
{
    if (*p != '$') {
        error_set(reterr, ERR_INVALID, "a path starts with $; %s", right);
        return NULL;
    }
    path->of_document = p[1] == '$';
    p += 1 + path->of_document;
    while (p && *p && *p != ' ' && *p != '\t') {
        if (path->count == JSON_PATH_STEPS_MAX) {
            error_set(reterr, ERR_INVALID, "the path has more than %d steps", JSON_PATH_STEPS_MAX);
            return NULL;
        }
        if (*p == '.') {
            p = compile_dotted(path, p + 1, reterr);
        } else if (*p == '[') {
            p = compile_bracketed(path, p + 1, reterr);
        } else {
            error_set(reterr, ERR_INVALID,
                      path->count
                          ? "neither . nor [ after a step; %s"
                          : "neither . nor [ after $, as in a path, and references such as $1 aren't read "
                            "here; %s",
                      right);
            return NULL;
        }
    }
    return p;
}

int json_path_compile(struct json_path *ret, const char *text, const char **ret_end, struct error *reterr)
{
    struct json_path path = {0};
    const char *end = compile(&path, text, reterr);
    if (end && !ret_end && *end) {
        error_set(reterr, ERR_INVALID, "white space in a path; %s", right);
        end = NULL;
    }
    if (!end) {
        json_path_release(&path);
        return ERR_INVALID;
    }
    if (ret_end)
        *ret_end = end;
    *ret = path;
    return 0;
}

void json_path_release(struct json_path *path)
{
    for (size_t i = 0; i < path->count; i++)
        free(path->steps[i].name);
    free(path->steps);
    *path = (struct json_path){0};
}
