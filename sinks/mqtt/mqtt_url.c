#include "sinks/mqtt/mqtt_url.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *prefix;
    bool is_tls, is_websocket;
    uint16_t port;
} schemes[] = {
    {"mqtt://", false, false, 1883},
    {"mqtts://", true, false, 8883},
    {"ws://", false, true, 80},
    {"wss://", true, true, 443},
};

static int parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return ERR_INVALID;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return ERR_INVALID;
    *ret_port = (uint16_t)value;
    return 0;
}

static bool is_host(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
              c == '-' || c == '_'))
            return false;
    }
    return len > 0;
}

int mqtt_url_parse(const char *text, struct mqtt_url *ret, struct error *reterr)
{
    struct mqtt_url url = {0};
    const char *p = NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i].prefix);
        if (strncasecmp(text, schemes[i].prefix, len) == 0) {
            url.is_tls = schemes[i].is_tls;
            url.is_websocket = schemes[i].is_websocket;
            url.port = schemes[i].port;
            p = text + len;
        }
    }
    if (!p)
        return error_set(reterr, ERR_INVALID,
                         "broker: a URL that begins with mqtt://, mqtts://, ws:// or wss:// is wanted");
    size_t len = strcspn(p, "/");
    const char *path = p + len, *host = p;
    if (memchr(p, '@', len))
        return error_set(reterr, ERR_INVALID,
                         "broker: user and password have keys of their own, username and password");
    size_t host_len;
    if (*p == '[') {
        const char *close = memchr(p, ']', len);
        host = p + 1;
        host_len = close ? (size_t)(close - host) : 0;
        url.is_ipv6 = true;
        p = close ? close + 1 : p;
    } else {
        host_len = strcspn(p, ":/");
        p += host_len;
    }
    if (host_len == 0 || host_len >= sizeof url.host)
        return error_set(reterr, ERR_INVALID, "broker: a host is missing, or too long");
    memcpy(url.host, host, host_len);
    struct in6_addr address;
    if (url.is_ipv6 ? inet_pton(AF_INET6, url.host, &address) != 1 : !is_host(host, host_len))
        return error_set(reterr, ERR_INVALID, "broker: \"%s\" is neither a host's name nor an address",
                         url.host);
    if (p < path && (*p != ':' || parse_port(p + 1, (size_t)(path - p - 1), &url.port) < 0))
        return error_set(reterr, ERR_INVALID, "broker: a port is a number from 1 to 65535");
    if (strlen(path) >= sizeof url.path)
        return error_set(reterr, ERR_INVALID, "broker: the path is too long");
    if (!url.is_websocket && path[0] && path[1])
        return error_set(reterr, ERR_INVALID, "broker: only ws:// and wss:// have a path");
    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return error_set(reterr, ERR_INVALID, "broker: the path has characters that don't belong there");
    }
    if (url.is_websocket)
        snprintf(url.path, sizeof url.path, "%s", path);
    *ret = url;
    return 0;
}
