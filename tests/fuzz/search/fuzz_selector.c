/*
 * A selector, and a series that it's matched with. Input: the selector's text, a zero, then name, zero,
 * value, zero, and so on: the labels.
 */
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/search/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LABELS_MAX 8

/* The text up to a zero or the end; moves *p behind it. */
static char *take_text(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *zero = memchr(*p, 0, (size_t)(end - *p));
    size_t len = (size_t)((zero ? zero : end) - *p);
    char *text = xstrndup((const char *)*p, len);
    *p += zero ? len + 1 : len;
    return text;
}

static void match(const struct selector *s, const uint8_t *p, const uint8_t *end)
{
    struct metric_label labels[LABELS_MAX];
    char *texts[2 * LABELS_MAX];
    size_t count = 0;
    for (; count < LABELS_MAX && p < end; count++) {
        char *name = texts[2 * count] = take_text(&p, end);
        char *value = texts[2 * count + 1] = take_text(&p, end);
        labels[count] = (struct metric_label){name, (uint32_t)strlen(name), value, (uint32_t)strlen(value)};
    }
    struct buffer canonical = {0};
    struct metric_name name = {0};
    metric_name_canonical(&canonical, labels, count);
    if (metric_name_parse(&name, canonical.data, canonical.len, NULL) < 0)
        abort();
    struct error error = {0};
    int matches = selector_matches(s, &name, &error);
    if (matches < 0 && !error.message[0])
        abort();
    /* The narrowest matcher is one that all matching series have. */
    const struct matcher *m = selector_narrowest(s);
    if (matches > 0 && m) {
        struct item value = metric_name_tag_value(&name, m->label, strlen(m->label));
        if (value.len != m->value_len || memcmp(value.data, m->value, value.len) != 0)
            abort();
    }
    metric_name_release(&name);
    buffer_release(&canonical);
    for (size_t i = 0; i < 2 * count; i++)
        free(texts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t *p = data;
    char *text = take_text(&p, data + size);
    struct selector *s;
    struct error error = {0};
    if (selector_parse(&s, text, &error) == 0) {
        match(s, p, data + size);
        selector_free(s);
    } else if (!error.message[0]) {
        abort();
    }
    free(text);
    return 0;
}
