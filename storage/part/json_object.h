/*
 * Reads one flat JSON object, as metadata.json is: calls back for each member. Values that the caller doesn't
 * want may be anything that JSON allows. Pure.
 */
#ifndef VARVE_STORAGE_PART_JSON_OBJECT_H
#define VARVE_STORAGE_PART_JSON_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

/* A member as it stands in the text: key without its quotes (escapes not resolved), value as written. */
struct json_member {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
};

struct json_object_reader {
    const char *p, *end;
    bool started;
};

void json_object_reader_init(struct json_object_reader *j, const void *text, size_t size);

/* 1: *ret is the next member; 0: the object is complete and nothing follows it; negative: not a JSON object.
 */
int json_object_reader_next(struct json_object_reader *j, struct json_member *ret);

#endif
