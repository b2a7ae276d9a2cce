#include "storage/partition/parts_json.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

void name_list_add(struct name_list *list, const char *name)
{
    if (name_list_has(list, name))
        return;
    GROW(list->names, list->count, list->capacity);
    list->names[list->count++] = xstrdup(name);
}

bool name_list_has(const struct name_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], name) == 0)
            return true;
    return false;
}

void name_list_release(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct name_list){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_list(struct buffer *dst, struct name_list *list)
{
    if (list->count)
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    buffer_append_u8(dst, '[');
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(dst, "%s\"%s\"", i ? "," : "", list->names[i]);
    buffer_append_u8(dst, ']');
}

void parts_json_print_data(struct buffer *dst, struct name_list *small, struct name_list *big)
{
    buffer_append_str(dst, "{\"Small\":");
    print_list(dst, small);
    buffer_append_str(dst, ",\"Big\":");
    print_list(dst, big);
    buffer_append_u8(dst, '}');
}

void parts_json_print_index(struct buffer *dst, struct name_list *names)
{
    print_list(dst, names);
}

/* --- a parser of just this: strings without escapes, lists, one object --- */

struct cursor {
    const char *p, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && strchr(" \t\r\n", *c->p) && *c->p)
        c->p++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_space(c);
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

static bool take_word(struct cursor *c, const char *word)
{
    skip_space(c);
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

static int take_string(struct cursor *c, char *dst, size_t dst_size, struct error *reterr)
{
    if (!take(c, '"'))
        return error_set(reterr, ERR_CORRUPT, "a name in quotes is missing");
    size_t n = 0;
    while (c->p < c->end && *c->p != '"') {
        unsigned char ch = (unsigned char)*c->p++;
        if (ch < 0x20 || ch == '\\' || ch == '/' || n + 1 == dst_size)
            return error_set(reterr, ERR_CORRUPT, "a name isn't a plain file name");
        dst[n++] = (char)ch;
    }
    dst[n] = '\0';
    if (!take(c, '"') || n == 0 || strcmp(dst, ".") == 0 || strcmp(dst, "..") == 0)
        return error_set(reterr, ERR_CORRUPT, "a name isn't a plain file name");
    return 0;
}

static int take_list(struct cursor *c, struct name_list *list, struct error *reterr)
{
    if (take_word(c, "null"))
        return 0;
    if (!take(c, '['))
        return error_set(reterr, ERR_CORRUPT, "a list of names is missing");
    if (take(c, ']'))
        return 0;
    do {
        char name[256];
        int r = take_string(c, name, sizeof name, reterr);
        if (r < 0)
            return r;
        name_list_add(list, name);
    } while (take(c, ','));
    return take(c, ']') ? 0 : error_set(reterr, ERR_CORRUPT, "a list of names doesn't end");
}

static int at_end(struct cursor *c, struct error *reterr)
{
    skip_space(c);
    return c->p == c->end ? 0 : error_set(reterr, ERR_CORRUPT, "bytes behind the end");
}

int parts_json_parse_data(const char *text, size_t size, struct name_list *ret_small,
                          struct name_list *ret_big, struct error *reterr)
{
    struct cursor c = {text, text + size};
    struct name_list small = {0}, big = {0};
    int r = take(&c, '{') ? 0 : error_set(reterr, ERR_CORRUPT, "not an object");
    if (r == 0 && !take(&c, '}')) {
        do {
            char key[16];
            r = take_string(&c, key, sizeof key, reterr);
            if (r == 0 && !take(&c, ':'))
                r = error_set(reterr, ERR_CORRUPT, "a colon is missing behind \"%s\"", key);
            if (r == 0 && strcmp(key, "Small") != 0 && strcmp(key, "Big") != 0)
                r = error_set(reterr, ERR_CORRUPT, "unknown key \"%s\"", key);
            if (r == 0)
                r = take_list(&c, strcmp(key, "Small") == 0 ? &small : &big, reterr);
        } while (r == 0 && take(&c, ','));
        if (r == 0 && !take(&c, '}'))
            r = error_set(reterr, ERR_CORRUPT, "the object doesn't end");
    }
    if (r == 0)
        r = at_end(&c, reterr);
    if (r < 0) {
        name_list_release(&small);
        name_list_release(&big);
        return r;
    }
    *ret_small = small;
    *ret_big = big;
    return 0;
}

int parts_json_parse_index(const char *text, size_t size, struct name_list *ret_names, struct error *reterr)
{
    struct cursor c = {text, text + size};
    struct name_list names = {0};
    int r = take_list(&c, &names, reterr);
    if (r == 0)
        r = at_end(&c, reterr);
    if (r < 0) {
        name_list_release(&names);
        return r;
    }
    *ret_names = names;
    return 0;
}
