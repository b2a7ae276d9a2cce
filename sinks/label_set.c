#include "sinks/label_set.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/message_text.h"
#include "src/base/alloc.h"
#include "src/base/endian.h"

#define NAME_LENGTH_MAX 256 /* VictoriaMetrics' own limit on label names */

struct set_label {
    char *name;
    size_t name_len;
    struct message_text value;
};

struct label_set {
    struct set_label *labels;
    size_t count;
    unsigned references; /* of all */
};

static int compile_label(struct label_set *set, const struct label_set_text *text, size_t captures_max,
                         struct error *reterr)
{
    size_t len = strlen(text->name);
    if (!len)
        return error_set(reterr, ERR_INVALID, "a label without a name; write it as in site: plant1");
    if (len > NAME_LENGTH_MAX)
        return error_set(reterr, ERR_INVALID, "label %.40s...: names have at most %d bytes", text->name,
                         NAME_LENGTH_MAX);
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->labels[i].name, text->name) == 0)
            return error_set(reterr, ERR_INVALID, "label %s: given twice; keep one", text->name);
    struct message_text value;
    int r = message_text_compile(&value, text->value, captures_max,
                                 MESSAGE_TOPIC | MESSAGE_KEY | MESSAGE_HEADER, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "label %s", text->name);
    set->labels[set->count++] = (struct set_label){xstrdup(text->name), len, value};
    set->references |= value.references;
    return 0;
}

int label_set_compile(struct label_set **ret, const struct label_set_text *texts, size_t count,
                      size_t captures_max, struct error *reterr)
{
    struct label_set *set = xcalloc(1, sizeof *set);
    set->labels = xcalloc(count + 1, sizeof *set->labels);
    for (size_t i = 0; i < count; i++) {
        int r = compile_label(set, &texts[i], captures_max, reterr);
        if (r < 0) {
            label_set_free(set);
            return r;
        }
    }
    *ret = set;
    return 0;
}

void label_set_free(struct label_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->labels[i].name);
        message_text_release(&set->labels[i].value);
    }
    free(set->labels);
    free(set);
}

enum label_scope label_set_scope(const struct label_set *set)
{
    if (!set || !set->references)
        return LABEL_SCOPE_STATIC;
    return set->references & (MESSAGE_KEY | MESSAGE_HEADER) ? LABEL_SCOPE_MESSAGE : LABEL_SCOPE_TOPIC;
}

bool label_set_needs_headers(const struct label_set *set)
{
    return set && (set->references & MESSAGE_HEADER);
}

void rendered_labels_release(struct rendered_labels *rendered)
{
    free(rendered->labels);
    buffer_release(&rendered->bytes);
    *rendered = (struct rendered_labels){0};
}

static void append_u32(struct buffer *dst, uint32_t v)
{
    put_le32(buffer_reserve(dst, sizeof v), v);
    dst->len += sizeof v;
}

static void append_label(struct buffer *dst, const struct set_label *label, const struct message *m)
{
    append_u32(dst, (uint32_t)label->name_len);
    buffer_append(dst, label->name, label->name_len);
    size_t length_at = dst->len;
    append_u32(dst, 0);
    for (size_t i = 0; i < label->value.count; i++) {
        struct span value = message_piece_value(&label->value.pieces[i], m);
        buffer_append(dst, value.data, value.len);
    }
    put_le32(dst->data + length_at, (uint32_t)(dst->len - length_at - sizeof(uint32_t)));
}

/* The spans, once bytes doesn't move any more. */
static void point_labels(const struct label_set *set, struct rendered_labels *rendered)
{
    const uint8_t *p = rendered->bytes.data + sizeof(uint32_t);
    for (size_t i = 0; i < set->count; i++) {
        struct span name = span_of((const char *)p + sizeof(uint32_t), get_le32(p));
        p += sizeof(uint32_t) + name.len;
        struct span value = span_of((const char *)p + sizeof(uint32_t), get_le32(p));
        p += sizeof(uint32_t) + value.len;
        if (!value.len)
            continue;
        GROW(rendered->labels, rendered->count, rendered->capacity);
        rendered->labels[rendered->count++] = (struct label){name, value};
    }
}

void label_set_render(const struct label_set *set, const struct message *m, struct rendered_labels *rendered)
{
    if (set && rendered->of == set && label_set_scope(set) == LABEL_SCOPE_STATIC)
        return;
    rendered->of = set;
    rendered->count = 0;
    buffer_clear(&rendered->bytes);
    if (!set || !set->count)
        return;
    append_u32(&rendered->bytes, (uint32_t)set->count);
    for (size_t i = 0; i < set->count; i++)
        append_label(&rendered->bytes, &set->labels[i], m);
    point_labels(set, rendered);
}
