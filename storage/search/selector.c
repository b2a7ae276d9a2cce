#include "storage/search/selector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"

/* A selector comes from a person or a dashboard; more is a mistake. */
#define SELECTOR_BYTES_MAX 65536
/* Of what an error message repeats: it must end with the reason. */
#define SHOWN_BYTES_MAX 200
/* End an expression that backtracks without end: steps for one value (ordinary expressions take some tens,
 * and this many take about 5 ms), and the memory that they take. */
#define REGEXP_STEPS_MAX  100000
#define REGEXP_MEMORY_KIB 16384

struct parser {
    const char *text, *p;
    struct error *reterr;
};

static int fail(struct parser *ps, const char *what)
{
    return error_set(ps->reterr, ERR_INVALID, "selector %.*s: character %zu: %s", SHOWN_BYTES_MAX, ps->text,
                     (size_t)(ps->p - ps->text) + 1, what);
}

static void skip_space(struct parser *ps)
{
    while (isspace((unsigned char)*ps->p))
        ps->p++;
}

static bool is_name_char(char c, bool first)
{
    return isalpha((unsigned char)c) || c == '_' || c == ':' || (unsigned char)c >= 0x80 ||
           (!first && (isdigit((unsigned char)c) || c == '.'));
}

/* A bare name; backslash lets any character in, as MetricsQL does. */
static int take_name(struct parser *ps, struct buffer *dst)
{
    bool first = true;
    for (;; first = false) {
        if (*ps->p == '\\' && ps->p[1]) {
            buffer_append_u8(dst, (uint8_t)ps->p[1]);
            ps->p += 2;
        } else if (is_name_char(*ps->p, first)) {
            buffer_append_u8(dst, (uint8_t)*ps->p++);
        } else {
            break;
        }
    }
    return dst->len ? 0 : fail(ps, "a name is missing");
}

static int hex_digits(struct parser *ps, int digits, unsigned *ret)
{
    *ret = 0;
    for (int i = 0; i < digits; i++, ps->p++) {
        if (!isxdigit((unsigned char)*ps->p))
            return fail(ps, "a hexadecimal digit is missing");
        int c = tolower((unsigned char)*ps->p);
        *ret = *ret * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return 0;
}

static void append_utf8(struct buffer *dst, unsigned c)
{
    if (c < 0x80) {
        buffer_append_u8(dst, (uint8_t)c);
    } else if (c < 0x800) {
        buffer_append_u8(dst, (uint8_t)(0xc0 | c >> 6));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buffer_append_u8(dst, (uint8_t)(0xe0 | c >> 12));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        buffer_append_u8(dst, (uint8_t)(0xf0 | c >> 18));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buffer_append_u8(dst, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

static int take_escape(struct parser *ps, struct buffer *dst)
{
    static const char names[] = "abfnrtv\\\"'", values[] = "\a\b\f\n\r\t\v\\\"'";
    unsigned c;
    ps->p++;
    const char *known = *ps->p ? strchr(names, *ps->p) : NULL;
    if (known) {
        buffer_append_u8(dst, (uint8_t)values[known - names]);
        ps->p++;
        return 0;
    }
    char kind = *ps->p;
    if (kind != 'x' && kind != 'u' && kind != 'U')
        return fail(ps, "unknown escape; write \\\\ for a backslash");
    ps->p++;
    int r = hex_digits(ps, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, &c);
    if (r == 0 && kind == 'x')
        buffer_append_u8(dst, (uint8_t)c);
    else if (r == 0 && c <= 0x10ffff)
        append_utf8(dst, c);
    else if (r == 0)
        r = fail(ps, "no such character");
    return r;
}

static int take_string(struct parser *ps, struct buffer *dst)
{
    char quote = *ps->p;
    if (quote != '"' && quote != '\'' && quote != '`')
        return fail(ps, "a string in quotes is missing, as in label=\"value\"");
    ps->p++;
    while (*ps->p != quote) {
        if (!*ps->p)
            return fail(ps, "the string doesn't end");
        if (*ps->p == '\\' && quote != '`') {
            int r = take_escape(ps, dst);
            if (r < 0)
                return r;
        } else {
            buffer_append_u8(dst, (uint8_t)*ps->p++);
        }
    }
    ps->p++;
    return 0;
}

static int take_op(struct parser *ps, enum matcher_op *ret)
{
    static const struct {
        const char *text;
        enum matcher_op op;
    } ops[] = {{"=~", MATCH_REGEXP}, {"!~", MATCH_NOT_REGEXP}, {"!=", MATCH_NOT_EQUAL}, {"=", MATCH_EQUAL}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        size_t n = strlen(ops[i].text);
        if (strncmp(ps->p, ops[i].text, n) == 0) {
            ps->p += n;
            *ret = ops[i].op;
            return 0;
        }
    }
    return fail(ps, "one of = != =~ !~ is missing");
}

static int compile(struct parser *ps, struct matcher *m)
{
    int code;
    PCRE2_SIZE offset;
    uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_UTF |
                       PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    m->regexp = pcre2_compile((PCRE2_SPTR)m->value, m->value_len, options, &code, &offset, NULL);
    if (m->regexp)
        return 0;
    unsigned char reason[128];
    pcre2_get_error_message(code, reason, sizeof reason);
    return error_set(ps->reterr, ERR_INVALID, "selector %.*s: expression \"%.*s\": character %zu: %s",
                     SHOWN_BYTES_MAX / 2, ps->text, SHOWN_BYTES_MAX / 2, m->value, offset + 1,
                     (const char *)reason);
}

static void add_matcher(struct selector *s, struct buffer *label, enum matcher_op op, struct buffer *value)
{
    GROW(s->matchers, s->count, s->capacity);
    s->matchers[s->count++] = (struct matcher){
        .label = xstrdup(buffer_cstr(label)),
        .op = op,
        .value = xstrdup(buffer_cstr(value)),
        .value_len = value->len,
    };
}

static int take_matcher(struct parser *ps, struct selector *s)
{
    struct buffer label = {0}, value = {0};
    enum matcher_op op = MATCH_EQUAL;
    skip_space(ps);
    int r = *ps->p == '"' || *ps->p == '\'' ? take_string(ps, &label) : take_name(ps, &label);
    skip_space(ps);
    if (r == 0 && (*ps->p == ',' || *ps->p == '}')) { /* {"metric.name"}: a name in quotes */
        struct buffer name = {0};
        buffer_append_str(&name, "__name__");
        add_matcher(s, &name, MATCH_EQUAL, &label);
        buffer_release(&name);
    } else if (r == 0) {
        r = take_op(ps, &op);
        skip_space(ps);
        if (r == 0)
            r = take_string(ps, &value);
        if (r == 0) {
            add_matcher(s, &label, op, &value);
            if (op == MATCH_REGEXP || op == MATCH_NOT_REGEXP)
                r = compile(ps, &s->matchers[s->count - 1]);
        }
    }
    buffer_release(&label);
    buffer_release(&value);
    return r;
}

static int take_selector(struct parser *ps, struct selector *s)
{
    skip_space(ps);
    if (*ps->p != '{') {
        struct buffer label = {0}, name = {0};
        int r = take_name(ps, &name);
        if (r == 0) {
            buffer_append_str(&label, "__name__");
            add_matcher(s, &label, MATCH_EQUAL, &name);
        }
        buffer_release(&label);
        buffer_release(&name);
        if (r < 0)
            return r;
        skip_space(ps);
    }
    if (*ps->p == '{') {
        ps->p++;
        skip_space(ps);
        while (*ps->p != '}') {
            int r = take_matcher(ps, s);
            if (r < 0)
                return r;
            skip_space(ps);
            if (*ps->p == ',')
                ps->p++;
            else if (*ps->p != '}')
                return fail(ps, "a comma or } is missing");
            skip_space(ps);
        }
        ps->p++;
        skip_space(ps);
    }
    if (*ps->p)
        return fail(ps, "nothing may follow the selector");
    return s->count ? 0 : fail(ps, "it names nothing; {__name__!=\"\"} selects all series");
}

int selector_parse(struct selector **ret, const char *text, struct error *reterr)
{
    if (strlen(text) > SELECTOR_BYTES_MAX)
        return error_set(reterr, ERR_INVALID, "a selector of more than %d bytes", SELECTOR_BYTES_MAX);
    struct selector *s = xcalloc(1, sizeof *s);
    struct parser ps = {text, text, reterr};
    int r = take_selector(&ps, s);
    if (r < 0) {
        selector_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void selector_free(struct selector *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->matchers[i].label);
        free(s->matchers[i].value);
        pcre2_code_free(s->matchers[i].regexp);
    }
    free(s->matchers);
    free(s);
}

static int regexp_matches(const struct matcher *m, struct item value, struct error *reterr)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(context, REGEXP_STEPS_MAX);
    pcre2_set_heap_limit(context, REGEXP_MEMORY_KIB);
    int r =
        pcre2_match(m->regexp, value.len ? value.data : (const uint8_t *)"", value.len, 0, 0, data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    if (r >= 0)
        return 1;
    if (r == PCRE2_ERROR_NOMATCH)
        return 0;
    unsigned char reason[128];
    pcre2_get_error_message(r, reason, sizeof reason);
    return error_set(
        reterr, ERR_INVALID,
        "expression \"%.*s\" of label %.*s takes too long on a value of %zu bytes (%s): repeat less "
        "inside repetitions, as in (a+)+",
        SHOWN_BYTES_MAX, m->value, SHOWN_BYTES_MAX / 2, m->label, (size_t)value.len, (const char *)reason);
}

int selector_matches(const struct selector *s, const struct metric_name *name, struct error *reterr)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct matcher *m = &s->matchers[i];
        struct item value = metric_name_tag_value(name, m->label, strlen(m->label));
        bool negative = m->op == MATCH_NOT_EQUAL || m->op == MATCH_NOT_REGEXP;
        int hit = m->regexp ? regexp_matches(m, value, reterr)
                            : value.len == m->value_len &&
                                  (!value.len || memcmp(value.data, m->value, value.len) == 0);
        if (hit < 0)
            return hit;
        if (hit == negative)
            return 0;
    }
    return 1;
}

const struct matcher *selector_narrowest(const struct selector *s)
{
    const struct matcher *best = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct matcher *m = &s->matchers[i];
        if (m->op != MATCH_EQUAL || !m->value_len)
            continue;
        if (strcmp(m->label, "__name__") == 0)
            return m;
        best = best ? best : m;
    }
    return best;
}
