#include "storage/mergeset/item_part_header.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

void item_part_header_release(struct item_part_header *ph)
{
    buffer_release(&ph->first_item);
    buffer_release(&ph->last_item);
    *ph = (struct item_part_header){0};
}

static void print_hex(struct buffer *dst, const struct buffer *bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *p = buffer_reserve(dst, 2 * bytes->len);
    for (size_t i = 0; i < bytes->len; i++) {
        *p++ = (uint8_t)digits[bytes->data[i] >> 4];
        *p++ = (uint8_t)digits[bytes->data[i] & 15];
    }
    dst->len += 2 * bytes->len;
}

void item_part_header_print(const struct item_part_header *ph, struct buffer *dst)
{
    buffer_printf(dst, "{\"ItemsCount\":%" PRIu64 ",\"BlocksCount\":%" PRIu64 ",\"FirstItem\":\"",
                  ph->items_count, ph->blocks_count);
    print_hex(dst, &ph->first_item);
    buffer_append_str(dst, "\",\"LastItem\":\"");
    print_hex(dst, &ph->last_item);
    buffer_append_str(dst, "\"}");
}

/* --- reading: as much JSON as such a file can hold --- */

struct scanner {
    const char *p, *end;
};

static void skip_space(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The text between quotes, escapes left alone: neither our keys nor hex digits have any. */
static bool take_string(struct scanner *s, struct item *ret_text)
{
    if (!take(s, '"'))
        return false;
    const char *start = s->p;
    while (s->p < s->end && *s->p != '"')
        s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
    if (s->p == s->end)
        return false;
    *ret_text = (struct item){(const uint8_t *)start, (size_t)(s->p - start)};
    s->p++;
    return true;
}

static bool take_number(struct scanner *s, uint64_t *ret_number)
{
    skip_space(s);
    const char *start = s->p;
    uint64_t v = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s->p - '0'), &v))
            return false;
    *ret_number = v;
    return s->p > start;
}

/* A value of a key that we don't know, nested ones included. */
static bool skip_value(struct scanner *s)
{
    size_t depth = 0;
    do {
        skip_space(s);
        if (s->p == s->end)
            return false;
        struct item text;
        char c = *s->p;
        if (c == '"') {
            if (!take_string(s, &text))
                return false;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return false;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        s->p++;
        if (depth == 0 && c != '}' && c != ']')
            while (s->p < s->end && !strchr(",}] \t\n\r", *s->p))
                s->p++;
    } while (depth > 0);
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_hex(struct scanner *s, struct buffer *ret_bytes)
{
    struct item text;
    if (!take_string(s, &text) || text.len % 2)
        return false;
    buffer_clear(ret_bytes);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        buffer_append_u8(ret_bytes, (uint8_t)(high << 4 | low));
    }
    return true;
}

static bool is_key(struct item text, const char *key)
{
    return item_equal(text, (struct item){(const uint8_t *)key, strlen(key)});
}

static bool parse_object(struct item_part_header *ph, struct scanner *s)
{
    if (!take(s, '{'))
        return false;
    if (take(s, '}'))
        return true;
    do {
        struct item key;
        if (!take_string(s, &key) || !take(s, ':'))
            return false;
        bool ok;
        if (is_key(key, "ItemsCount"))
            ok = take_number(s, &ph->items_count);
        else if (is_key(key, "BlocksCount"))
            ok = take_number(s, &ph->blocks_count);
        else if (is_key(key, "FirstItem"))
            ok = take_hex(s, &ph->first_item);
        else if (is_key(key, "LastItem"))
            ok = take_hex(s, &ph->last_item);
        else
            ok = skip_value(s);
        if (!ok)
            return false;
    } while (take(s, ','));
    return take(s, '}');
}

int item_part_header_parse(struct item_part_header *ph, const char *text, size_t size, struct error *reterr)
{
    struct item_part_header parsed = {0};
    if (size == 0)
        return error_set(reterr, ERR_CORRUPT, "empty");
    struct scanner s = {text, text + size};
    bool ok = parse_object(&parsed, &s);
    skip_space(&s);
    int r = 0;
    if (!ok || s.p != s.end)
        r = error_set(reterr, ERR_CORRUPT, "not the JSON of an index part's metadata (at byte %td)",
                      s.p - text);
    else if (parsed.items_count == 0 || parsed.blocks_count == 0 || parsed.blocks_count > parsed.items_count)
        r = error_set(reterr, ERR_CORRUPT, "%" PRIu64 " items in %" PRIu64 " blocks cannot be",
                      parsed.items_count, parsed.blocks_count);
    else if (item_compare((struct item){parsed.first_item.data, parsed.first_item.len},
                          (struct item){parsed.last_item.data, parsed.last_item.len}) > 0)
        r = error_set(reterr, ERR_CORRUPT, "the first item is larger than the last");
    if (r < 0) {
        item_part_header_release(&parsed);
        return r;
    }
    *ph = parsed;
    return 0;
}
