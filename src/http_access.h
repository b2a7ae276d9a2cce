/*
 * Who may change state over HTTP. Pure functions.
 *
 * The service listens on loopback by default, where any local process, and any page in a local browser, can
 * reach it. So what changes state asks for a Host that no foreign page can have (an IP literal, localhost,
 * this machine's name: against DNS rebinding) and an Origin that is that host's own (against requests across
 * sites); and from other machines for a name and password.
 */
#ifndef VARVE_SRC_HTTP_ACCESS_H
#define VARVE_SRC_HTTP_ACCESS_H

#include <stdbool.h>
#include <sys/socket.h>

struct http_caller {
    const struct sockaddr *peer; /* NULL: unknown, taken for a stranger */
    const char *host;            /* headers; NULL if absent */
    const char *origin;
    const char *fetch_site; /* Sec-Fetch-Site */
    const char *authorization;
};

enum http_access { HTTP_ACCESS_OK, HTTP_ACCESS_UNAUTHORIZED, HTTP_ACCESS_FORBIDDEN };

/* username and password "" or NULL: no authentication is configured, then strangers may change nothing. node
 * is this machine's name. *ret_why says what is wrong, static text. */
enum http_access http_may_change(const struct http_caller *caller, const char *username, const char *password,
                                 const char *node, const char **ret_why);

bool http_peer_is_loopback(const struct sockaddr *peer);
/* Whether a Host header names this machine in a way that no foreign page's name resolution can. */
bool http_host_is_own(const char *host, const char *node);
/* Whether an Authorization header carries this name and password (Basic). Takes the same time for any wrong
 * one of a given length. */
bool http_basic_auth_matches(const char *authorization, const char *username, const char *password);

#endif
