#include "src/json.h"

/* Length of the UTF-8 sequence at p (1 to 4), or 0 if it isn't one (RFC 3629: no surrogates, no overlong
 * form). */
static size_t utf8_len(const unsigned char *p, size_t size)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (len <= 1 || len > size)
        return len > size ? 0 : len;
    unsigned code = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : len;
}

bool json_is_utf8(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_len((const unsigned char *)text + i, len - i);
        if (n == 0)
            return false;
    }
    return true;
}

void json_append_string(struct buffer *dst, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    buffer_append_u8(dst, '"');
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(p + i, len - i);
        if (n == 0) {
            buffer_append_str(dst, "\xef\xbf\xbd");
            n = 1;
        } else if (p[i] == '"' || p[i] == '\\') {
            buffer_append_u8(dst, '\\');
            buffer_append_u8(dst, p[i]);
        } else if (p[i] == '\n') {
            buffer_append_str(dst, "\\n");
        } else if (p[i] < 0x20) {
            buffer_printf(dst, "\\u%04x", p[i]);
        } else {
            buffer_append(dst, p + i, n);
        }
        i += n;
    }
    buffer_append_u8(dst, '"');
}
