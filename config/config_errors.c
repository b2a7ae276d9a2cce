#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_read.h"
#include "src/base/buffer.h"

const char *config_quote_up_to(const char *text, char *dst, size_t dst_size)
{
    size_t n = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        /* Cut between characters, but somewhere in bytes that aren't UTF-8. */
        if (n >= dst_size - 4 || (n >= dst_size - 8 && (*s & 0xc0) != 0x80)) {
            memcpy(dst + n, "...", 3);
            n += 3;
            break;
        }
        dst[n++] = *s < 0x20 || *s == 0x7f ? '?' : (char)*s;
    }
    dst[n] = '\0';
    return dst;
}

const char *config_quote(const char *text, char *dst)
{
    return config_quote_up_to(text, dst, CONFIG_QUOTE_MAX);
}

const char *config_quote_address(const char *text, char *dst)
{
    const char *at = strrchr(text, '@');
    char quoted[CONFIG_QUOTE_MAX];
    if (!at)
        return config_quote(text, dst);
    snprintf(dst, CONFIG_QUOTE_MAX, "***%.*s", CONFIG_QUOTE_MAX - 4, config_quote(at, quoted));
    return dst;
}

/* A slip makes a key of a password: "password:x" without the space, "password=x". */
static void cut_after_password(char *quoted)
{
    size_t n = strcspn(quoted, ":= ");
    if (!quoted[n] || !config_is_password_property(quoted, n))
        return;
    quoted[n + 1] = '\0';
}

static void append_place(struct buffer *dst, const struct config_place *place)
{
    char quoted[CONFIG_QUOTE_MAX];
    if (!place || !place->parent)
        return;
    append_place(dst, place->parent);
    if (!place->name) {
        buffer_printf(dst, "[%zu]", place->index);
        return;
    }
    if (place->parent->parent)
        buffer_append_u8(dst, '.');
    config_quote(place->name, quoted);
    cut_after_password(quoted);
    buffer_append_str(dst, quoted);
}

int config_report(struct config_reader *r, struct yaml_position at, const struct config_place *place,
                  const char *format, ...)
{
    struct config_errors *errors = r->errors;
    if (errors->count == CONFIG_ERRORS_MAX) {
        errors->left_out_count++;
        return ERR_INVALID;
    }
    struct buffer text = {0};
    buffer_append_str(&text, r->file);
    if (at.line)
        buffer_printf(&text, ":%u:%u", at.line, at.column);
    buffer_append_str(&text, ": ");
    if (place && place->parent) {
        append_place(&text, place);
        buffer_append_str(&text, ": ");
    }
    va_list args;
    char message[1024];
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    buffer_append_str(&text, message);
    buffer_cstr(&text);
    errors->items[errors->count++] =
        (struct config_error){.line = at.line, .column = at.column, .text = (char *)text.data};
    return ERR_INVALID;
}

void config_errors_sort(struct config_errors *errors, size_t first)
{
    /* Insertion sort: 20 entries, and equal positions keep their order. */
    for (size_t i = first + 1; i < errors->count; i++) {
        struct config_error e = errors->items[i];
        size_t j = i;
        for (; j > first && (errors->items[j - 1].line > e.line ||
                             (errors->items[j - 1].line == e.line && errors->items[j - 1].column > e.column));
             j--)
            errors->items[j] = errors->items[j - 1];
        errors->items[j] = e;
    }
}

void config_errors_release(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        free(errors->items[i].text);
    *errors = (struct config_errors){0};
}

void config_errors_print(const struct config_errors *errors, FILE *dst)
{
    for (size_t i = 0; i < errors->count; i++)
        fprintf(dst, "%s\n", errors->items[i].text);
    if (errors->left_out_count)
        fprintf(dst, "%zu more errors are not shown\n", errors->left_out_count);
}
