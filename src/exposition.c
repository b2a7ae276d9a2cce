#include "src/exposition.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

void exposition_release(struct exposition *x)
{
    for (size_t i = 0; i < x->families_count; i++) {
        free(x->families[i].name);
        buffer_release(&x->families[i].lines);
    }
    free(x->families);
    *x = (struct exposition){0};
}

static struct exposition_family *family_of(struct exposition *x, const char *name, size_t len)
{
    for (size_t i = x->families_count; i > 0; i--) { /* mostly the last one */
        struct exposition_family *f = &x->families[i - 1];
        if (strncmp(f->name, name, len) == 0 && f->name[len] == '\0')
            return f;
    }
    GROW(x->families, x->families_count, x->families_capacity);
    x->families[x->families_count] = (struct exposition_family){.name = xstrndup(name, len)};
    return &x->families[x->families_count++];
}

static void append_label_value(struct buffer *dst, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buffer_append_u8(dst, '\\');
        if (*value == '\n')
            buffer_append_str(dst, "\\n");
        else
            buffer_append_u8(dst, (uint8_t)*value);
    }
}

static void append_value(struct buffer *dst, double value)
{
    if (isnan(value)) {
        buffer_append_str(dst, "NaN");
    } else if (isinf(value)) {
        buffer_append_str(dst, value > 0 ? "+Inf" : "-Inf");
    } else if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        buffer_printf(dst, "%.0f", value);
    } else {
        char text[40];
        snprintf(text, sizeof text, "%.15g", value);
        if (strtod(text, NULL) != value)
            snprintf(text, sizeof text, "%.17g", value);
        buffer_append_str(dst, text);
    }
}

void exposition_add(struct exposition *x, const char *name, double value, const char *const *labels)
{
    struct buffer *dst = &family_of(x, name, strlen(name))->lines;
    buffer_append_str(dst, name);
    for (size_t i = 0; labels && labels[i]; i += 2) {
        buffer_append_str(dst, i ? "," : "{");
        buffer_append_str(dst, labels[i]);
        buffer_append_str(dst, "=\"");
        append_label_value(dst, labels[i + 1]);
        buffer_append_u8(dst, '"');
    }
    if (labels && labels[0])
        buffer_append_u8(dst, '}');
    buffer_append_u8(dst, ' ');
    append_value(dst, value);
    buffer_append_u8(dst, '\n');
}

static bool is_name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!first && c >= '0' && c <= '9');
}

/* Length of a sample's name, or 0 if the line isn't one: name, labels perhaps, and a number at the end. */
static size_t sample_name_len(const char *line, size_t len)
{
    size_t n = 0;
    while (n < len && is_name_byte(line[n], n == 0))
        n++;
    const char *space = memrchr(line, ' ', len);
    if (n == 0 || !space || (line[n] == '{' ? space[-1] != '}' : line + n != space))
        return 0;
    char value[64], *end;
    size_t value_len = (size_t)(line + len - space - 1);
    if (value_len == 0 || value_len >= sizeof value)
        return 0;
    memcpy(value, space + 1, value_len);
    value[value_len] = '\0';
    (void)strtod(value, &end);
    return *end ? 0 : n;
}

void exposition_add_text(struct exposition *x, const char *text, size_t len)
{
    while (len) {
        const char *newline = memchr(text, '\n', len);
        size_t line_len = newline ? (size_t)(newline - text) : len;
        size_t n = sample_name_len(text, line_len);
        if (n) {
            struct buffer *dst = &family_of(x, text, n)->lines;
            buffer_append(dst, text, line_len);
            buffer_append_u8(dst, '\n');
        }
        size_t step = newline ? line_len + 1 : line_len;
        text += step;
        len -= step;
    }
}

static const struct metric_description *description_of(const struct exposition *x, const char *name)
{
    for (size_t i = 0; i < x->descriptions_count; i++) {
        if (strcmp(x->descriptions[i].name, name) == 0)
            return &x->descriptions[i];
    }
    return NULL;
}

static enum metric_type type_of(const char *name)
{
    size_t len = strlen(name);
    return len > 6 && strcmp(name + len - 6, "_total") == 0 ? METRIC_COUNTER : METRIC_GAUGE;
}

void exposition_write(const struct exposition *x, struct buffer *dst)
{
    for (size_t i = 0; i < x->families_count; i++) {
        const struct exposition_family *f = &x->families[i];
        const struct metric_description *d = description_of(x, f->name);
        if (d)
            buffer_printf(dst, "# HELP %s %s\n", f->name, d->help);
        buffer_printf(dst, "# TYPE %s %s\n", f->name,
                      (d ? d->type : type_of(f->name)) == METRIC_COUNTER ? "counter" : "gauge");
        buffer_append(dst, f->lines.data, f->lines.len);
    }
}
