/* One request to a running Varve: what `varve merge URL` needs of HTTP, and no more. No TLS. Any thread. */
#ifndef VARVE_SRC_HTTP_CLIENT_H
#define VARVE_SRC_HTTP_CLIENT_H

#include "src/base/buffer.h"
#include "src/base/error.h"

struct http_target {
    char *host, *port, *prefix; /* prefix: path before those of the interface, or "" */
    char *authorization;        /* a header line, or "" */
};

/* http://[USER:PASSWORD@]HOST[:PORT][/PREFIX]; the port defaults to Varve's. ERR_INVALID. */
int http_target_parse(struct http_target *ret, const char *url, struct error *reterr);
void http_target_release(struct http_target *t);

/* Sends method (GET or POST, without a body) for prefix + path and reads the whole answer (appended, at most
 * 64 MiB). ERR_IO if the server can't be reached or doesn't answer for a minute. */
int http_fetch(const struct http_target *t, const char *method, const char *path, unsigned *ret_status,
               struct buffer *ret_body, struct error *reterr);

#endif
