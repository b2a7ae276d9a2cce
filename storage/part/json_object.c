#include "storage/part/json_object.h"

#include <string.h>

#define DEPTH_MAX 64 /* of values that are skipped */

void json_object_reader_init(struct json_object_reader *j, const void *text, size_t size)
{
    *j = (struct json_object_reader){.p = text, .end = (const char *)text + size};
}

static void skip_space(struct json_object_reader *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

static bool take(struct json_object_reader *j, char c)
{
    skip_space(j);
    if (j->p == j->end || *j->p != c)
        return false;
    j->p++;
    return true;
}

/* From the opening quote to behind the closing one. */
static bool skip_string(struct json_object_reader *j)
{
    if (!take(j, '"'))
        return false;
    while (j->p < j->end) {
        unsigned char c = (unsigned char)*j->p++;
        if (c == '"')
            return true;
        if (c < 0x20)
            return false;
        if (c == '\\' && j->p++ >= j->end)
            return false;
    }
    return false;
}

static bool is_scalar_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

/* Numbers and the words true, false, null; what is wanted of them is checked by who reads them. */
static bool skip_scalar(struct json_object_reader *j)
{
    const char *start = j->p;
    while (j->p < j->end && is_scalar_char(*j->p))
        j->p++;
    return j->p > start;
}

static bool skip_value(struct json_object_reader *j, int depth)
{
    skip_space(j);
    if (j->p == j->end || depth > DEPTH_MAX)
        return false;
    char open = *j->p;
    if (open == '"')
        return skip_string(j);
    if (open != '{' && open != '[')
        return skip_scalar(j);
    char close = open == '{' ? '}' : ']';
    j->p++;
    if (take(j, close))
        return true;
    do {
        if (open == '{' && !(skip_string(j) && take(j, ':')))
            return false;
        if (!skip_value(j, depth + 1))
            return false;
    } while (take(j, ','));
    return take(j, close);
}

static int at_end(struct json_object_reader *j)
{
    skip_space(j);
    return j->p == j->end ? 0 : -1;
}

int json_object_reader_next(struct json_object_reader *j, struct json_member *ret)
{
    if (!j->started) {
        j->started = true;
        if (!take(j, '{'))
            return -1;
        if (take(j, '}'))
            return at_end(j);
    } else {
        if (take(j, '}'))
            return at_end(j);
        if (!take(j, ','))
            return -1;
    }
    skip_space(j);
    ret->key = j->p + 1;
    if (!skip_string(j))
        return -1;
    ret->key_len = (size_t)(j->p - ret->key) - 1;
    if (!take(j, ':'))
        return -1;
    skip_space(j);
    ret->value = j->p;
    if (!skip_value(j, 0))
        return -1;
    ret->value_len = (size_t)(j->p - ret->value);
    return 1;
}
