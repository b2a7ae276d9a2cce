/* The JSON reader over any bytes: every token lies in them, skipping ends where reading does, escapes never
 * grow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/json_reader.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_json_reader: %s\n", what);
        abort();
    }
}

static void check_text(const struct json_reader *r, const char *data, size_t size)
{
    static struct buffer meant;
    require(r->text.data >= data && r->text.data + r->text.len <= data + size, "text lies in the document");
    require(r->escaped == (r->text.len && memchr(r->text.data, '\\', r->text.len) != NULL),
            "escaped says whether there's a backslash");
    buffer_clear(&meant);
    json_unescape(r->text, &meant);
    require(meant.len <= r->text.len, "escapes don't grow");
    const char *literal = buffer_cstr(&meant);
    require(json_text_equals(r->text, r->escaped, literal) == (strlen(literal) == meant.len),
            "text equals what it means");
}

/* From a token on: skipping has to end where reading token by token does. */
static void check_skip(struct json_reader skipping, enum json_token token)
{
    struct json_reader reading = skipping;
    bool is_key = token == JSON_KEY;
    bool skipped = json_reader_skip_value(&skipping);
    unsigned depth = reading.depth - (token == JSON_OBJECT_START || token == JSON_ARRAY_START);
    if (is_key)
        token = json_reader_next(&reading);
    while (token != JSON_ERROR && reading.depth > depth)
        token = json_reader_next(&reading);
    require(skipped == (token != JSON_ERROR), "skipping fails where reading does");
    require(skipping.p == reading.p && skipping.depth == reading.depth, "and ends where reading does");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct json_reader r;
    enum json_token token;
    size_t offset = 0, skips = 0;
    json_reader_init(&r, (const char *)data, size);
    while ((token = json_reader_next(&r)) > JSON_END) {
        require(r.depth <= JSON_DEPTH_MAX, "the depth has a limit");
        require(json_reader_offset(&r) > offset && json_reader_offset(&r) <= size, "each token moves on");
        offset = json_reader_offset(&r);
        if (token == JSON_KEY || token == JSON_STRING)
            check_text(&r, (const char *)data, size);
        else if (token == JSON_NUMBER)
            require(r.text.len > 0, "a number isn't empty");
        if (skips++ < 200)
            check_skip(r, token);
    }
    require(json_reader_next(&r) == token, "the end stays the end");
    require((token == JSON_ERROR) == (r.reason != NULL), "an error has a reason");
    require(token == JSON_ERROR || r.depth == 0, "everything is closed at the end");
    return 0;
}
