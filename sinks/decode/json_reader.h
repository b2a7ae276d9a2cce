/*
 * Reads JSON token by token from bytes in memory: one document, nothing built, nothing allocated, nothing
 * copied.
 *
 * It takes what github.com/valyala/fastjson (v1.6.10) takes, whose leniency is part of what a payload means
 * to VictoriaMetrics: strings may hold any byte (line ends, NULs, broken UTF-8), a number is any run of
 * [0-9.eE+-] (whether it is one, number_parse_strict of number.h says) or [+-]?(inf|nan) in any case; white
 * space is space, tab, CR, LF. Deliberate difference: nesting ends at 64 levels, fastjson's at 300.
 *
 *   struct json_reader r;
 *   json_reader_init(&r, data, len);
 *   while ((token = json_reader_next(&r)) > JSON_END)
 *       ...
 *   if (token == JSON_ERROR) ... r.reason, json_reader_offset(&r)
 *
 * One thread per reader; needs no release. A struct copy of a reader is a bookmark: both read on
 * independently.
 */
#ifndef VARVE_SINKS_DECODE_JSON_READER_H
#define VARVE_SINKS_DECODE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/sample_batch.h"

#define JSON_DEPTH_MAX 64

enum json_token {
    JSON_ERROR = -1,   /* for good; reason says why */
    JSON_END = 0,      /* the document is complete, only white space follows; again at each call */
    JSON_OBJECT_START, /* keys and values alternate until JSON_OBJECT_END */
    JSON_OBJECT_END,
    JSON_ARRAY_START,
    JSON_ARRAY_END,
    JSON_KEY,    /* text, escaped */
    JSON_STRING, /* text, escaped */
    JSON_NUMBER, /* text */
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_reader {
    struct span text;   /* of a key or string: between the quotes, escapes and all; of a number: itself */
    bool escaped;       /* text of a key or string has a backslash: json_unescape makes of it what it means */
    unsigned depth;     /* objects and arrays open now */
    const char *reason; /* of JSON_ERROR, static: "bad_json", "json_too_deep" */

    /* The reader's own. */
    const char *data, *p, *end;
    uint64_t arrays; /* bit n: the container at depth n + 1 is an array */
    enum json_token last;
    uint8_t expect;
};

/* data is borrowed and needn't be NUL-terminated. An empty document is an error, as half a one is. */
void json_reader_init(struct json_reader *r, const char *data, size_t len);

enum json_token json_reader_next(struct json_reader *r);

/* Drops what the last token begins: after JSON_KEY its value, after a START all up to its END (which is read,
 * too), after anything else nothing. False on error, which next goes on returning. */
bool json_reader_skip_value(struct json_reader *r);

/* Where the last token ended, or where the error is; from 0. */
static inline size_t json_reader_offset(const struct json_reader *r)
{
    return (size_t)(r->p - r->data);
}

/* Appends what text (of a key or string) means to dst, text.len bytes at most. Best effort, as fastjson: an
 * escape that is none stays as it is, a lone surrogate too; a surrogate followed by an escape that isn't its
 * other half makes U+FFFD of both. */
void json_unescape(struct span text, struct buffer *dst);

/* Whether text of a key or string means these bytes; no allocation. */
bool json_text_equals(struct span text, bool escaped, const char *literal);

#endif
