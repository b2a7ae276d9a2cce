#include "src/http_snapshot.h"

#include <string.h>

#include "src/http_api.h"
#include "src/json.h"

/* Less than the server's idle limit, or the answer would find the connection closed. */
#define CREATE_TIMEOUT_MS INT64_C(50000)

enum { HTTP_OK = 200, HTTP_NOT_FOUND = 404, HTTP_INTERNAL_ERROR = 500, HTTP_UNAVAILABLE = 503 };

static void reply_json(struct http_request *req, unsigned status, struct buffer *text)
{
    http_reply(req, status, "application/json", text->data, text->len);
    buffer_release(text);
}

static void reply_failure(struct http_request *req, int code, const struct error *error)
{
    unsigned status = HTTP_INTERNAL_ERROR;
    if (code == ERR_FULL || code == ERR_CANCELLED)
        status = HTTP_UNAVAILABLE;
    else if (code == ERR_NOT_FOUND)
        status = HTTP_NOT_FOUND;
    struct buffer text = {0};
    buffer_append_str(&text, "{\"status\":\"error\",\"msg\":");
    json_append_string(&text, error->message, strlen(error->message));
    buffer_append_str(&text, "}");
    reply_json(req, status, &text);
}

static void create(const struct http_api *api, struct http_request *req, const char *before,
                   const char *after)
{
    char name[HTTP_SNAPSHOT_NAME_SIZE];
    struct error error;
    int r = api->snapshot_create(api->context, CREATE_TIMEOUT_MS, name, &error);
    if (r < 0) {
        reply_failure(req, r, &error);
        return;
    }
    struct buffer text = {0};
    buffer_append_str(&text, before);
    json_append_string(&text, name, strlen(name));
    buffer_append_str(&text, after);
    reply_json(req, HTTP_OK, &text);
}

void http_snapshot_create(void *context, struct http_request *req)
{
    create(context, req, "{\"status\":\"ok\",\"snapshot\":", "}");
}

void http_snapshot_create_prometheus(void *context, struct http_request *req)
{
    create(context, req, "{\"status\":\"success\",\"data\":{\"name\":", "}}");
}

struct listing {
    struct buffer text;
    size_t count;
};

static void add_name(void *arg, const char *name)
{
    struct listing *l = arg;
    buffer_append_str(&l->text, l->count++ ? ",\n" : "\n");
    json_append_string(&l->text, name, strlen(name));
}

void http_snapshot_list(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    struct listing l = {0};
    struct error error;
    buffer_append_str(&l.text, "{\"status\":\"ok\",\"snapshots\":[");
    int r = api->snapshot_list(api->context, add_name, &l, &error);
    if (r < 0) {
        buffer_release(&l.text);
        reply_failure(req, r, &error);
        return;
    }
    buffer_append_str(&l.text, l.count ? "\n]}" : "]}");
    reply_json(req, HTTP_OK, &l.text);
}

static void reply_deleted(struct http_request *req, int r, const struct error *error)
{
    static const char ok[] = "{\"status\":\"ok\"}";
    if (r < 0)
        reply_failure(req, r, error);
    else
        http_reply(req, HTTP_OK, "application/json", ok, strlen(ok));
}

void http_snapshot_delete(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    const char *name = http_arg(req, "snapshot");
    struct error error;
    int r = api->snapshot_delete(api->context, name ? name : "", &error);
    reply_deleted(req, r, &error);
}

void http_snapshot_delete_all(void *context, struct http_request *req)
{
    const struct http_api *api = context;
    struct error error;
    int r = api->snapshot_delete(api->context, NULL, &error);
    reply_deleted(req, r, &error);
}
