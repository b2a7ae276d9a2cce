#include "sinks/decode/json_reader.h"

#include <string.h>
#include <strings.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define REASON_BAD  "bad_json"
#define REASON_DEEP "json_too_deep"

enum expect {
    EXPECT_VALUE,       /* of the document, after ':' or after ',' in an array */
    EXPECT_FIRST_ITEM,  /* a value or ']' */
    EXPECT_FIRST_KEY,   /* a key or '}' */
    EXPECT_KEY,         /* after ',' in an object */
    EXPECT_COLON,       /* after a key */
    EXPECT_COMMA,       /* after a value: ',' or what closes its container */
    EXPECT_END_OF_TEXT, /* after the document */
    EXPECT_NOTHING,     /* after an error */
};

void json_reader_init(struct json_reader *r, const char *data, size_t len)
{
    *r = (struct json_reader){.data = data, .p = data, .end = data + len, .expect = EXPECT_VALUE};
}

static enum json_token fail(struct json_reader *r, const char *reason)
{
    r->reason = reason;
    r->expect = EXPECT_NOTHING;
    return JSON_ERROR;
}

static inline void skip_white_space(struct json_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

static inline bool in_array(const struct json_reader *r)
{
    return r->depth && (r->arrays >> (r->depth - 1) & 1);
}

static inline void after_value(struct json_reader *r)
{
    r->expect = r->depth ? EXPECT_COMMA : EXPECT_END_OF_TEXT;
}

/* The first quote or backslash, or end. */
static inline const char *find_quote(const char *p, const char *end)
{
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stops = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                     _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        int mask = _mm_movemask_epi8(stops);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* p stands after the opening quote. */
static inline bool read_text(struct json_reader *r, const char *p)
{
    const char *text = p;
    r->escaped = false;
    for (;; p += 2) {
        p = find_quote(p, r->end);
        if (r->end - p < 2 && (p == r->end || *p == '\\'))
            return false;
        if (*p == '"')
            break;
        r->escaped = true;
    }
    r->text = span_of(text, (size_t)(p - text));
    r->p = p + 1;
    return true;
}

static enum json_token open_container(struct json_reader *r, bool is_array)
{
    if (r->depth == JSON_DEPTH_MAX)
        return fail(r, REASON_DEEP);
    uint64_t bit = UINT64_C(1) << r->depth++;
    r->arrays = is_array ? r->arrays | bit : r->arrays & ~bit;
    r->p++;
    r->expect = is_array ? EXPECT_FIRST_ITEM : EXPECT_FIRST_KEY;
    return is_array ? JSON_ARRAY_START : JSON_OBJECT_START;
}

static enum json_token close_container(struct json_reader *r, bool is_array)
{
    r->p++;
    r->depth--;
    after_value(r);
    return is_array ? JSON_ARRAY_END : JSON_OBJECT_END;
}

static enum json_token read_word(struct json_reader *r, const char *word, size_t len, enum json_token token)
{
    if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
        return fail(r, REASON_BAD);
    r->p += len;
    after_value(r);
    return token;
}

static inline bool is_of_number(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

static enum json_token read_number(struct json_reader *r)
{
    const char *p = r->p, *start = p;
    while (p < r->end && is_of_number(*p))
        p++;
    if (p == start || (p == start + 1 && p < r->end && (*start == '-' || *start == '+'))) {
        if (r->end - p < 3 || (strncasecmp(p, "inf", 3) != 0 && strncasecmp(p, "nan", 3) != 0))
            return fail(r, REASON_BAD);
        p += 3;
    }
    r->text = span_of(start, (size_t)(p - start));
    r->p = p;
    after_value(r);
    return JSON_NUMBER;
}

static inline enum json_token read_value(struct json_reader *r)
{
    switch (*r->p) {
    case '{':
        return open_container(r, false);
    case '[':
        return open_container(r, true);
    case '"':
        if (!read_text(r, r->p + 1))
            return fail(r, REASON_BAD);
        after_value(r);
        return JSON_STRING;
    case 't':
        return read_word(r, "true", 4, JSON_TRUE);
    case 'f':
        return read_word(r, "false", 5, JSON_FALSE);
    case 'n':
        if (r->end - r->p >= 3 && strncasecmp(r->p, "nan", 3) == 0)
            return read_number(r);
        return read_word(r, "null", 4, JSON_NULL);
    default:
        return read_number(r);
    }
}

static inline enum json_token read_key(struct json_reader *r)
{
    if (*r->p != '"' || !read_text(r, r->p + 1))
        return fail(r, REASON_BAD);
    r->expect = EXPECT_COLON;
    return JSON_KEY;
}

/* The punctuation before the next token; false if something else stands there. */
static inline bool read_separator(struct json_reader *r, char separator, enum expect next)
{
    if (*r->p != separator)
        return false;
    r->p++;
    r->expect = next;
    skip_white_space(r);
    return true;
}

static inline enum json_token read_token(struct json_reader *r)
{
    skip_white_space(r);
    if (r->p == r->end)
        return r->expect == EXPECT_END_OF_TEXT ? JSON_END : fail(r, REASON_BAD);
    bool is_array = in_array(r);
    switch ((enum expect)r->expect) {
    case EXPECT_FIRST_ITEM:
        return *r->p == ']' ? close_container(r, true) : read_value(r);
    case EXPECT_FIRST_KEY:
        return *r->p == '}' ? close_container(r, false) : read_key(r);
    case EXPECT_COMMA:
        if (*r->p == (is_array ? ']' : '}'))
            return close_container(r, is_array);
        if (!read_separator(r, ',', is_array ? EXPECT_VALUE : EXPECT_KEY) || r->p == r->end)
            break;
        return is_array ? read_value(r) : read_key(r);
    case EXPECT_COLON:
        if (!read_separator(r, ':', EXPECT_VALUE) || r->p == r->end)
            break;
        return read_value(r);
    case EXPECT_VALUE:
        return read_value(r);
    default: /* bytes after the document; the others are passed through in one call */
        break;
    }
    return fail(r, REASON_BAD);
}

enum json_token json_reader_next(struct json_reader *r)
{
    if (r->expect == EXPECT_NOTHING)
        return JSON_ERROR;
    return r->last = read_token(r);
}

bool json_reader_skip_value(struct json_reader *r)
{
    if (r->last == JSON_ERROR)
        return false;
    unsigned depth = r->depth;
    if (r->last == JSON_KEY) {
        enum json_token token = json_reader_next(r);
        if (token != JSON_OBJECT_START && token != JSON_ARRAY_START)
            return token != JSON_ERROR;
    } else if (r->last == JSON_OBJECT_START || r->last == JSON_ARRAY_START) {
        depth--;
    }
    while (r->depth > depth)
        if (json_reader_next(r) == JSON_ERROR)
            return false;
    return true;
}

/* Four hexadecimal digits; false if they aren't. */
static bool read_hex4(const char *p, const char *end, unsigned *ret)
{
    unsigned value = 0;
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = p[i], lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            value = value << 4 | (unsigned)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value << 4 | (unsigned)(lower - 'a' + 10);
        else
            return false;
    }
    *ret = value;
    return true;
}

static size_t encode_utf8(unsigned c, char *dst)
{
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (char)(0xc0 | c >> 6);
        dst[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (char)(0xe0 | c >> 12);
        dst[1] = (char)(0x80 | (c >> 6 & 0x3f));
        dst[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    dst[0] = (char)(0xf0 | c >> 18);
    dst[1] = (char)(0x80 | (c >> 12 & 0x3f));
    dst[2] = (char)(0x80 | (c >> 6 & 0x3f));
    dst[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* What "\u" at p means: up to 6 bytes into dst; *p moves behind it. */
static size_t unescape_unicode(const char **p, const char *end, char *dst)
{
    unsigned c, low;
    const char *hex = *p + 2;
    if (!read_hex4(hex, end, &c)) {
        *p = hex;
        memcpy(dst, "\\u", 2);
        return 2;
    }
    *p = hex + 4;
    if (c < 0xd800 || c > 0xdfff)
        return encode_utf8(c, dst);
    const char *second = hex + 4;
    if (end - second < 6 || second[0] != '\\' || second[1] != 'u' || !read_hex4(second + 2, end, &low)) {
        memcpy(dst, hex - 2, 6);
        return 6;
    }
    *p = second + 6;
    bool is_pair = c < 0xdc00 && low >= 0xdc00 && low <= 0xdfff;
    return encode_utf8(is_pair ? 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00)) : 0xfffd, dst);
}

/* What the escape at *p means: up to 6 bytes into dst; *p moves behind it. */
static size_t unescape_one(const char **p, const char *end, char *dst)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (end - *p < 2) { /* can't be in text that the reader found */
        *dst = *(*p)++;
        return 1;
    }
    char c = (*p)[1];
    if (c == 'u')
        return unescape_unicode(p, end, dst);
    const char *known = memchr(from, c, sizeof from - 1);
    *p += 2;
    if (known) {
        dst[0] = to[known - from];
        return 1;
    }
    dst[0] = '\\';
    dst[1] = c;
    return 2;
}

void json_unescape(struct span text, struct buffer *dst)
{
    const char *p = text.data, *end = p + text.len;
    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        buffer_append(dst, p, (size_t)((escape ? escape : end) - p));
        if (!escape)
            break;
        char meant[6];
        p = escape;
        size_t n = unescape_one(&p, end, meant);
        buffer_append(dst, meant, n);
    }
}

bool json_text_equals(struct span text, bool escaped, const char *literal)
{
    size_t len = strlen(literal);
    if (!escaped)
        return text.len == len && memcmp(text.data, literal, len) == 0;
    const char *p = text.data, *end = p + text.len;
    while (p < end) {
        char meant[6];
        size_t n = 1;
        if (*p == '\\')
            n = unescape_one(&p, end, meant);
        else
            meant[0] = *p++;
        if (n > len || memcmp(meant, literal, n) != 0)
            return false;
        literal += n;
        len -= n;
    }
    return len == 0;
}
