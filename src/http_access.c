#include "src/http_access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { AUTH_TEXT_MAX = 1024, HOST_TEXT_MAX = 256 };

bool http_peer_is_loopback(const struct sockaddr *peer)
{
    if (!peer)
        return false;
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, peer, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
            return in6.sin6_addr.s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return false;
}

/* The host of "host", "host:port", "[v6]", "[v6]:port". */
static bool split_host(const char *text, char name[HOST_TEXT_MAX], bool *ret_is_v6)
{
    const char *end;
    *ret_is_v6 = *text == '[';
    if (*ret_is_v6) {
        end = strchr(++text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return false;
    } else {
        end = strchr(text, ':');
        if (!end)
            end = text + strlen(text);
    }
    if (end == text || end - text >= HOST_TEXT_MAX)
        return false;
    memcpy(name, text, (size_t)(end - text));
    name[end - text] = '\0';
    return true;
}

bool http_host_is_own(const char *host, const char *node)
{
    char name[HOST_TEXT_MAX];
    bool is_v6;
    unsigned char address[sizeof(struct in6_addr)];
    if (!host || !split_host(host, name, &is_v6))
        return false;
    if (is_v6)
        return inet_pton(AF_INET6, name, address) == 1;
    return inet_pton(AF_INET, name, address) == 1 || strcasecmp(name, "localhost") == 0 ||
           (node && *node && strcasecmp(name, node) == 0);
}

static bool origin_is_host(const char *origin, const char *host)
{
    const char *rest;
    if (strncasecmp(origin, "http://", 7) == 0)
        rest = origin + 7;
    else if (strncasecmp(origin, "https://", 8) == 0)
        rest = origin + 8;
    else
        return false;
    return host && strcasecmp(rest, host) == 0;
}

static int base64_value(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

static bool decode_base64(const char *text, char dst[AUTH_TEXT_MAX], size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned bits_count = 0;
    size_t len = 0;
    for (; *text && *text != '='; text++) {
        int v = base64_value(*text);
        if (v < 0 || len >= AUTH_TEXT_MAX - 1)
            return false;
        bits = bits << 6 | (uint32_t)v;
        bits_count += 6;
        if (bits_count >= 8) {
            bits_count -= 8;
            dst[len++] = (char)(bits >> bits_count & 0xff);
        }
    }
    *ret_len = len;
    return strspn(text, "=") == strlen(text);
}

bool http_basic_auth_matches(const char *authorization, const char *username, const char *password)
{
    char given[AUTH_TEXT_MAX] = {0}, wanted[AUTH_TEXT_MAX] = {0};
    size_t given_len;
    if (!authorization || strncasecmp(authorization, "Basic ", 6) != 0 ||
        !decode_base64(authorization + 6, given, &given_len))
        return false;
    int n = snprintf(wanted, sizeof wanted, "%s:%s", username, password);
    if (n < 0 || n >= (int)sizeof wanted)
        return false;
    volatile unsigned char difference = (unsigned char)(given_len != (size_t)n);
    for (size_t i = 0; i < sizeof wanted; i++)
        difference |= (unsigned char)(given[i] ^ wanted[i]);
    return difference == 0;
}

enum http_access http_may_change(const struct http_caller *caller, const char *username, const char *password,
                                 const char *node, const char **ret_why)
{
    bool has_auth = username && *username;
    bool is_known = has_auth && http_basic_auth_matches(caller->authorization, username, password);
    if (!http_peer_is_loopback(caller->peer) && !is_known) {
        if (has_auth) {
            *ret_why = "name and password are needed from other machines";
            return HTTP_ACCESS_UNAUTHORIZED;
        }
        *ret_why = "only this machine may do that: set http.auth to allow it from others";
        return HTTP_ACCESS_FORBIDDEN;
    }
    if (!is_known && !http_host_is_own(caller->host, node)) {
        *ret_why = "the Host header isn't this machine's: use its address, localhost or its own name";
        return HTTP_ACCESS_FORBIDDEN;
    }
    if (caller->origin && !origin_is_host(caller->origin, caller->host)) {
        *ret_why = "requests from pages of other sites are refused";
        return HTTP_ACCESS_FORBIDDEN;
    }
    if (caller->fetch_site && strcmp(caller->fetch_site, "same-origin") != 0 &&
        strcmp(caller->fetch_site, "none") != 0) {
        *ret_why = "requests from pages of other sites are refused";
        return HTTP_ACCESS_FORBIDDEN;
    }
    return HTTP_ACCESS_OK;
}
