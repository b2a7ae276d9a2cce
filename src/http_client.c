#include "src/http_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"

#define DEFAULT_PORT    "8475"
#define TIMEOUT_S       60
#define ANSWER_MAX      ((size_t)64 << 20)
#define READ_BYTES      ((size_t)64 << 10)
#define STATUS_LINE     "HTTP/1."
#define STATUS_AT       9 /* behind "HTTP/1.1 " */
#define STATUS_LINE_MIN 12

static char *substring(const char *from, const char *to)
{
    return xasprintf("%.*s", (int)(to - from), from);
}

static char *basic_authorization(const char *text, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = xcalloc(len / 3 * 4 + 5, 1), *p = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned a = (unsigned char)text[i], b = left > 1 ? (unsigned char)text[i + 1] : 0,
                 c = left > 2 ? (unsigned char)text[i + 2] : 0, v = a << 16 | b << 8 | c;
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *p++ = left > 2 ? digits[v & 63] : '=';
    }
    char *header = xasprintf("Authorization: Basic %s\r\n", out);
    free(out);
    return header;
}

int http_target_parse(struct http_target *ret, const char *url, struct error *reterr)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return error_set(reterr, ERR_INVALID, "%s: only http:// is spoken", url);
    const char *authority = url + sizeof scheme - 1;
    const char *end = authority + strcspn(authority, "/?#"),
               *at = memchr(authority, '@', (size_t)(end - authority));
    const char *host = at ? at + 1 : authority, *host_end, *port;
    if (*host == '[') { /* IPv6 */
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return error_set(reterr, ERR_INVALID, "%s: no ] after the address", url);
        port = host_end + 1;
        host++;
    } else {
        host_end = memchr(host, ':', (size_t)(end - host));
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    if (host_end == host || (port != end && *port != ':') || *end == '?' || *end == '#')
        return error_set(reterr, ERR_INVALID, "%s: want http://HOST:PORT", url);
    size_t prefix_len = strlen(end);
    while (prefix_len && end[prefix_len - 1] == '/')
        prefix_len--;
    *ret = (struct http_target){
        .host = substring(host, host_end),
        .port = port < end && port + 1 < end ? substring(port + 1, end) : xstrdup(DEFAULT_PORT),
        .prefix = substring(end, end + prefix_len),
        .authorization = at ? basic_authorization(authority, (size_t)(at - authority)) : xstrdup(""),
    };
    return 0;
}

void http_target_release(struct http_target *t)
{
    free(t->host);
    free(t->port);
    free(t->prefix);
    free(t->authorization);
    *t = (struct http_target){0};
}

static int connect_to(const struct http_target *t, int *ret_fd, struct error *reterr)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int r = getaddrinfo(t->host, t->port, &hints, &found);
    if (r != 0)
        return error_set(reterr, ERR_IO, "%s port %s: %s", t->host, t->port, gai_strerror(r));
    int fd = -1, reason = 0;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        struct timeval timeout = {.tv_sec = TIMEOUT_S};
        if (fd >= 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        }
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            break;
        reason = errno;
        if (fd >= 0)
            (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(reterr, ERR_IO, "%s port %s: can't connect: %s", t->host, t->port, strerror(reason));
    *ret_fd = fd;
    return 0;
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int receive_all(int fd, struct buffer *dst)
{
    while (dst->len < ANSWER_MAX) {
        ssize_t n = recv(fd, buffer_reserve(dst, READ_BYTES), READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : 0;
        dst->len += (size_t)n;
    }
    errno = EMSGSIZE;
    return -1;
}

/* Of HTTP/1.0 the body is all that follows the headers. */
static int take_apart(const struct buffer *answer, unsigned *ret_status, struct buffer *ret_body,
                      const struct http_target *t, struct error *reterr)
{
    const char *text = (const char *)answer->data;
    const char *body = answer->len ? memmem(text, answer->len, "\r\n\r\n", 4) : NULL;
    if (!body || answer->len < STATUS_LINE_MIN || memcmp(text, STATUS_LINE, strlen(STATUS_LINE)) != 0)
        return error_set(reterr, ERR_IO, "%s port %s: that's no answer of an HTTP server", t->host, t->port);
    *ret_status = (unsigned)strtoul(text + STATUS_AT, NULL, 10);
    body += 4;
    buffer_append(ret_body, body, (size_t)(text + answer->len - body));
    return 0;
}

int http_fetch(const struct http_target *t, const char *method, const char *path, unsigned *ret_status,
               struct buffer *ret_body, struct error *reterr)
{
    bool is_ipv6 = strchr(t->host, ':') != NULL;
    _cleanup_free_ char *request = xasprintf(
        "%s %s%s HTTP/1.0\r\nHost: %s%s%s:%s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method,
        t->prefix, path, is_ipv6 ? "[" : "", t->host, is_ipv6 ? "]" : "", t->port, t->authorization);
    _cleanup_close_ int fd = -1;
    int r = connect_to(t, &fd, reterr);
    if (r < 0)
        return r;
    struct buffer answer = {0};
    if (send_all(fd, request, strlen(request)) < 0 || receive_all(fd, &answer) < 0)
        r = error_set(reterr, ERR_IO, "%s port %s: %s", t->host, t->port, strerror(errno));
    else
        r = take_apart(&answer, ret_status, ret_body, t, reterr);
    buffer_release(&answer);
    return r;
}
