/* The texts of `labels:` and `json:` from any bytes, a line each: paths, names, fields, references. What
 * compiles is used once. */
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"
#include "sinks/decode/json_mapping.h"
#include "sinks/label_set.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define LINES 6

static bool find_header(const void *context, const char *name, struct span *ret_value)
{
    *ret_value = span_of(context, strlen(name) % 3);
    return *name != 'x';
}

static void use_label(const char *value, const struct message *m)
{
    struct label_set *set = NULL;
    struct rendered_labels rendered = {0};
    const struct label_set_text text = {"l", value};
    struct error error;
    if (label_set_compile(&set, &text, 1, 2, &error) < 0)
        return;
    label_set_render(set, m, &rendered);
    rendered_labels_release(&rendered);
    label_set_free(set);
}

static void use_mapping(char *const *lines, const struct message *m)
{
    struct json_mapping *mapping = NULL;
    const struct json_label_text label = {"l", lines[3]};
    const char *const fields[] = {lines[4], lines[5]};
    const struct json_mapping_text text = {
        .each = lines[0],
        .time = lines[1],
        .name = lines[2],
        .labels = &label,
        .labels_count = lines[3][0] != '\0',
        .fields = fields,
        .fields_count = (lines[4][0] != '\0') + (lines[4][0] && lines[5][0]),
    };
    struct error error;
    const char *key;
    if (json_mapping_compile(&mapping, &text, 2, &key, &error) < 0)
        return;
    const struct decode_options options = {.json = mapping};
    struct sample_batch batch = {0};
    const char *reason;
    (void)decoder_find("json")->decode(&options, m, &batch, &reason);
    sample_batch_release(&batch);
    json_mapping_free(mapping);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char document[] = "{\"a\":{\"b\":[1,{\"c\":2}],\"id\":\"x\"},\"t\":5,\"id\":\"y\"}";
    static const struct span captures[] = {{"one", 3}, {"two", 3}};
    const struct message m = {.payload = span_of(document, sizeof document - 1),
                              .topic = span_of("a/b.c", 5),
                              .key = span_of("k", 1),
                              .captures = captures,
                              .captures_count = 2,
                              .header = find_header,
                              .header_context = "header"};
    char *lines[LINES];
    const char *p = (const char *)data, *end = p + size;
    for (size_t i = 0; i < LINES; i++) {
        const char *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        size_t len = (size_t)((newline ? newline : end) - p);
        lines[i] = calloc(1, len + 1);
        memcpy(lines[i], p, len);
        p += len + (newline != NULL);
    }
    use_mapping(lines, &m);
    use_label(lines[0], &m);
    use_label(lines[2], &m);
    for (size_t i = 0; i < LINES; i++)
        free(lines[i]);
    return 0;
}
