#include "sinks/message_text.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

#define CAPTURE_DIGITS_MAX 3

static const char known[] = "$topic, $topic_last, $key, $header:NAME, $1, $# and $$ (a dollar)";

struct compiler {
    struct message_text *text;
    struct buffer plain; /* not yet a piece */
    size_t captures_max;
    unsigned allowed;
    struct error *reterr;
};

static void add_piece(struct compiler *c, struct message_piece piece)
{
    struct message_text *t = c->text;
    GROW(t->pieces, t->count, t->capacity);
    t->pieces[t->count++] = piece;
}

static void end_plain(struct compiler *c)
{
    if (!c->plain.len)
        return;
    add_piece(c, (struct message_piece){.kind = PIECE_TEXT,
                                        .text = xstrndup((const char *)c->plain.data, c->plain.len),
                                        .len = c->plain.len});
    buffer_clear(&c->plain);
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int refuse(struct compiler *c, unsigned reference, const char *name)
{
    if (c->allowed & reference)
        return 0;
    return error_set(c->reterr, ERR_INVALID, "%s can't be used here", name);
}

static int add_reference(struct compiler *c, enum message_piece_kind kind, unsigned reference,
                         const char *name)
{
    int r = refuse(c, reference, name);
    if (r < 0)
        return r;
    end_plain(c);
    add_piece(c, (struct message_piece){.kind = kind});
    c->text->references |= reference;
    return 0;
}

/* With a text of its own: a header's name, a path. */
static int add_named(struct compiler *c, enum message_piece_kind kind, unsigned reference, const char *name,
                     const char *text, size_t len)
{
    int r = add_reference(c, kind, reference, name);
    if (r < 0)
        return r;
    struct message_piece *piece = &c->text->pieces[c->text->count - 1];
    piece->text = xstrndup(text, len);
    piece->len = len;
    return 0;
}

static int add_capture(struct compiler *c, const char *digits, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count && count <= CAPTURE_DIGITS_MAX; i++)
        n = n * 10 + (size_t)(digits[i] - '0');
    if (count <= CAPTURE_DIGITS_MAX && n == 0)
        return error_set(c->reterr, ERR_INVALID, "$0 is not a group; write $topic for the whole topic");
    if (n == 0 || n > c->captures_max) {
        if (!c->captures_max)
            return error_set(c->reterr, ERR_INVALID, "$%.*s refers to a group, and the topics have none",
                             (int)count, digits);
        return error_set(c->reterr, ERR_INVALID,
                         "$%.*s refers to a group that isn't there; the last one is $%zu", (int)count, digits,
                         c->captures_max);
    }
    int r = add_reference(c, PIECE_CAPTURE, MESSAGE_TOPIC, "$1");
    if (r == 0)
        c->text->pieces[c->text->count - 1].capture = n - 1;
    return r;
}

/* A reference at name, which ends at end if it stands in braces. Returns its length, or an error. */
static int add_by_name(struct compiler *c, const char *name, const char *end)
{
    static const struct {
        const char *name;
        enum message_piece_kind kind;
        unsigned reference;
    } names[] = {
        {"topic_last", PIECE_TOPIC_LAST, MESSAGE_TOPIC}, /* before what it starts with */
        {"topic", PIECE_TOPIC, MESSAGE_TOPIC},
        {"key", PIECE_KEY, MESSAGE_KEY},
        {"#", PIECE_REST, MESSAGE_TOPIC},
    };
    size_t len;
    int r;
    if (strncmp(name, "header:", 7) == 0) {
        const char *header = name + 7;
        for (len = 0;
             end ? header + len < end : is_alnum(header[len]) || (header[len] && strchr("_.-", header[len]));)
            len++;
        if (!len)
            return error_set(c->reterr, ERR_INVALID, "$header: has no name; write it as in $header:tenant");
        r = add_named(c, PIECE_HEADER, MESSAGE_HEADER, "$header", header, len);
        return r < 0 ? r : (int)(7 + len);
    }
    if (is_digit(*name)) {
        for (len = 1; is_digit(name[len]);)
            len++;
        r = add_capture(c, name, len);
        return r < 0 ? r : (int)len;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        len = strlen(names[i].name);
        if (strncmp(name, names[i].name, len) != 0 || (*name != '#' && is_alnum(name[len])))
            continue;
        r = add_reference(c, names[i].kind, names[i].reference, names[i].name);
        return r < 0 ? r : (int)len;
    }
    if ((c->allowed & MESSAGE_PATH) && !end && (*name == '.' || *name == '['))
        return error_set(c->reterr, ERR_INVALID, "a path stands in braces here, as in ${$.type}");
    len = strcspn(name, "$}/ ");
    return error_set(c->reterr, ERR_INVALID, "$%.*s is no reference; known are %s",
                     (int)(len > 40 ? 40 : len), name, known);
}

/* What stands between ${ and }. Returns how many bytes up to and with the brace. */
static int add_braced(struct compiler *c, const char *inside)
{
    /* A path may hold a } between quotes. */
    size_t len = 0;
    for (bool quoted = false; inside[len] && (quoted || inside[len] != '}'); len++)
        quoted ^= inside[len] == '\'';
    if (!inside[len])
        return error_set(c->reterr, ERR_INVALID, "${ has no closing brace");
    int r;
    if (inside[0] == '$' && (len == 1 || inside[1] == '.' || inside[1] == '[' || inside[1] == '$'))
        r = add_named(c, PIECE_PATH, MESSAGE_PATH, "a path", inside, len);
    else
        r = add_by_name(c, inside, inside + len);
    if (r < 0)
        return r;
    if (inside[0] != '$' && (size_t)r != len)
        return error_set(c->reterr, ERR_INVALID, "${%.*s} is no reference; known are %s%s",
                         (int)(len > 40 ? 40 : len), inside, known,
                         c->allowed & MESSAGE_PATH ? ", and paths as in ${$.device.id}" : "");
    return (int)len + 1;
}

static int compile(struct compiler *c, const char *p)
{
    while (*p) {
        if (*p != '$') {
            buffer_append_u8(&c->plain, (uint8_t)*p++);
        } else if (p[1] == '$') {
            buffer_append_u8(&c->plain, '$');
            p += 2;
        } else {
            bool braced = p[1] == '{';
            p += 1 + braced;
            int r = braced ? add_braced(c, p) : add_by_name(c, p, NULL);
            if (r < 0)
                return r;
            p += r;
        }
    }
    end_plain(c);
    return 0;
}

int message_text_compile(struct message_text *ret, const char *text, size_t captures_max, unsigned allowed,
                         struct error *reterr)
{
    *ret = (struct message_text){0};
    struct compiler c = {.text = ret, .captures_max = captures_max, .allowed = allowed, .reterr = reterr};
    int r = compile(&c, text);
    buffer_release(&c.plain);
    if (r < 0)
        message_text_release(ret);
    return r;
}

void message_text_release(struct message_text *text)
{
    for (size_t i = 0; i < text->count; i++)
        free(text->pieces[i].text);
    free(text->pieces);
    *text = (struct message_text){0};
}

struct span message_topic_last(struct span topic)
{
    static const char separators[] = {'/', '.'};
    for (size_t k = 0; topic.len && k < sizeof separators; k++) {
        const char *at = memrchr(topic.data, separators[k], topic.len);
        if (at)
            return span_of(at + 1, (size_t)(topic.data + topic.len - at - 1));
    }
    return topic;
}

struct span message_piece_value(const struct message_piece *piece, const struct message *m)
{
    struct span value = {0};
    switch (piece->kind) {
    case PIECE_TEXT:
        return span_of(piece->text, piece->len);
    case PIECE_TOPIC:
        return m->topic;
    case PIECE_TOPIC_LAST:
        return message_topic_last(m->topic);
    case PIECE_KEY:
        return m->key;
    case PIECE_HEADER:
        if (m->header && m->header(m->header_context, piece->text, &value))
            return value;
        return (struct span){0};
    case PIECE_CAPTURE:
        return piece->capture < m->captures_count ? m->captures[piece->capture] : value;
    case PIECE_REST:
        return m->rest;
    case PIECE_PATH:
        break;
    }
    return value;
}
