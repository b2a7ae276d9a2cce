/* Handlers of /snapshot/create, list, delete and delete_all: paths, parameters and answers are a stock
 * server's (app/vmstorage/main.go). Their context is a struct http_api. */
#ifndef VARVE_SRC_HTTP_SNAPSHOT_H
#define VARVE_SRC_HTTP_SNAPSHOT_H

#include "src/http.h"

void http_snapshot_create(void *context, struct http_request *req);
/* The same under the path of Prometheus, with its form of answer. */
void http_snapshot_create_prometheus(void *context, struct http_request *req);
void http_snapshot_list(void *context, struct http_request *req);
/* ?snapshot=NAME */
void http_snapshot_delete(void *context, struct http_request *req);
void http_snapshot_delete_all(void *context, struct http_request *req);

#endif
