#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/mutex.h"
#include "src/http.h"
#include "src/http_api.h"
#include "src/time_arg.h"

/* --- what the interface asks --- */

struct fake {
    atomic_bool is_ready;
    atomic_int flushes;
    int flush_result;
    char merge_prefix[32]; /* of the last forced merge */
    struct mutex lock;
    /* Locked: the last query. */
    enum query_kind kind;
    char matches[4096];
    int64_t start_ms, end_ms;
    uint64_t limit;
    /* What a query does. */
    atomic_size_t answer_pieces;
    int query_result;
    atomic_int queries_ended;
    atomic_bool is_held;      /* a flush waits */
    atomic_bool is_searching; /* a query goes on until it's told to end */
    atomic_int snapshots;     /* named 20261124000000-0, -1, ... */
};

static bool fake_ready(void *context, const char **ret_why)
{
    struct fake *f = context;
    *ret_why = "not yet";
    return f->is_ready;
}

static void fake_metrics(void *context, struct buffer *dst)
{
    (void)context;
    buffer_append_str(dst, "up 1\n");
}

static int fake_flush(void *context, int64_t timeout_ms, struct error *reterr)
{
    struct fake *f = context;
    assert_true(timeout_ms > 0);
    f->flushes++;
    while (f->is_held)
        clock_sleep_ms(5);
    return f->flush_result < 0 ? error_set(reterr, f->flush_result, "no room") : 0;
}

static int fake_merge(void *context, const char *partition_prefix, struct error *reterr)
{
    struct fake *f = context;
    snprintf(f->merge_prefix, sizeof f->merge_prefix, "<%s>", partition_prefix);
    return f->flush_result < 0 ? error_set(reterr, f->flush_result, "5 more are needed") : 0;
}

static int fake_query(void *context, const struct query *q, query_write write_piece, void *write_context,
                      struct error *reterr)
{
    static const char piece[8192] = {'x'};
    struct fake *f = context;
    size_t pieces = f->answer_pieces;
    mutex_lock(&f->lock);
    f->kind = q->kind;
    f->matches[0] = '\0';
    for (size_t i = 0; i < q->matches_count; i++) {
        size_t len = strlen(f->matches);
        snprintf(f->matches + len, sizeof f->matches - len, "<%.3000s>", q->matches[i]);
    }
    f->start_ms = q->start_ms;
    f->end_ms = q->end_ms;
    f->limit = q->limit;
    mutex_unlock(&f->lock);
    int r = f->query_result;
    while (f->is_searching && (r = write_piece(write_context, "", 0, reterr)) == 0)
        clock_sleep_ms(5);
    for (size_t i = 0; i < pieces && r >= 0; i++)
        r = write_piece(write_context, piece, sizeof piece, reterr);
    if (f->query_result < 0)
        r = error_set(reterr, f->query_result, "as the \"test\" wants it");
    else if (r == 0 && pieces == 0 && !f->is_searching)
        r = write_piece(write_context, "{}\n", 3, reterr);
    f->queries_ended++;
    return r;
}

static int fake_snapshot_create(void *context, int64_t timeout_ms, char ret_name[HTTP_SNAPSHOT_NAME_SIZE],
                                struct error *reterr)
{
    struct fake *f = context;
    assert_true(timeout_ms > 0);
    if (f->flush_result < 0)
        return error_set(reterr, f->flush_result, "no \"room\"");
    snprintf(ret_name, HTTP_SNAPSHOT_NAME_SIZE, "20261124000000-%d", f->snapshots++);
    return 0;
}

static int fake_delete_series(void *context, const struct query *q, int64_t timeout_ms, struct error *reterr)
{
    struct fake *f = context;
    assert_true(timeout_ms > 0);
    assert_int_equal(q->matches_count, 2);
    if (f->flush_result < 0)
        return error_set(reterr, f->flush_result, "%s", q->matches[1]);
    f->flushes++;
    return 0;
}

static int fake_snapshot_list(void *context, void (*add)(void *arg, const char *name), void *arg,
                              struct error *reterr)
{
    struct fake *f = context;
    (void)reterr;
    for (int i = 0; i < f->snapshots; i++) {
        char name[HTTP_SNAPSHOT_NAME_SIZE];
        snprintf(name, sizeof name, "20261124000000-%d", i);
        add(arg, name);
    }
    return 0;
}

static int fake_snapshot_delete(void *context, const char *name, struct error *reterr)
{
    struct fake *f = context;
    if (!name)
        f->snapshots = 0;
    else if (strcmp(name, "20261124000000-0") != 0)
        return error_set(reterr, ERR_NOT_FOUND, "cannot find snapshot \"%s\"", name);
    return 0;
}

/* --- a client --- */

struct server {
    struct fake fake;
    struct http_api api;
    struct http *http;
};

static void start_limited(struct server *s, const char *username, const char *password,
                          struct http_limits limits)
{
    struct http_address address = {"127.0.0.1", 0};
    struct error error;
    *s = (struct server){0};
    mutex_init(&s->fake.lock, RANK_LEAF);
    s->api = (struct http_api){
        .context = &s->fake,
        .ready = fake_ready,
        .metrics = fake_metrics,
        .force_flush = fake_flush,
        .delete_series = fake_delete_series,
        .force_merge = fake_merge,
        .snapshot_create = fake_snapshot_create,
        .snapshot_list = fake_snapshot_list,
        .snapshot_delete = fake_snapshot_delete,
        .query = fake_query,
    };
    struct http_options options = {
        .listen = &address,
        .listen_count = 1,
        .username = username,
        .password = password,
        .node = "node7",
        .routes = http_api_routes,
        .routes_count = http_api_routes_count,
        .context = &s->api,
        .limits = limits,
    };
    assert_int_equal(http_start(&s->http, &options, &error), 0);
}

static void start(struct server *s, const char *username, const char *password)
{
    start_limited(s, username, password, (struct http_limits){0});
}

static int dial(const struct server *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(http_port(s->http, 0))};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* All that comes until the end of the connection, which it closes; the caller frees it. */
static char *read_all(int fd)
{
    struct buffer reply = {0};
    for (;;) {
        ssize_t n = recv(fd, buffer_reserve(&reply, 65536), 65536, 0);
        if (n <= 0)
            break;
        reply.len += (size_t)n;
    }
    (void)close(fd);
    (void)buffer_cstr(&reply);
    return (char *)reply.data;
}

/* Sends a request and returns the whole reply; the caller frees it. */
static char *ask(const struct server *s, const char *request)
{
    int fd = dial(s);
    send_text(fd, request);
    return read_all(fd);
}

static void expect_reply(int fd, const char *what, const char *status, const char *part)
{
    char *reply = read_all(fd);
    char line[64];
    snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    if (strncmp(reply, line, strlen(line)) != 0 || (part && !strstr(reply, part)))
        fail_msg("%.200s\nbrought\n%.2000s\nwithout %s", what, reply, part ? part : "");
    free(reply);
}

static void expect(const struct server *s, const char *request, const char *status, const char *part)
{
    int fd = dial(s);
    send_text(fd, request);
    expect_reply(fd, request, status, part);
}

#define HEAD                  "Host: localhost\r\nConnection: close\r\n"
#define GET(path)             "GET " path " HTTP/1.1\r\n" HEAD "\r\n"
#define POST_FORM(path, body) post_form(path, body)

static const char *post_form(const char *path, const char *body)
{
    static char text[16384];
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\n" HEAD
             "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
             path, strlen(body), body);
    return text;
}

/* --- tests --- */

static void test_plain_paths(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    expect(&s, GET("/health"), "200", "\r\n\r\nOK");
    expect(&s, GET("/ready"), "503", "not yet");
    s.fake.is_ready = true;
    expect(&s, GET("/ready"), "200", "OK");
    expect(&s, GET("/metrics"), "200", "up 1\n");
    expect(&s, GET("/metrics"), "200", "text/plain; version=0.0.4");
    expect(&s, GET("/nope"), "404",
           "{\"status\":\"error\",\"errorType\":\"404\",\"error\":\"unknown path /nope\"}");
    expect(&s, "DELETE /health HTTP/1.1\r\n" HEAD "\r\n", "405", "Allow: GET, HEAD\r\n");
    expect(&s, "PUT /api/v1/export HTTP/1.1\r\n" HEAD "\r\n", "405", "Allow: GET, POST\r\n");
    char *reply = ask(&s, "HEAD /health HTTP/1.1\r\n" HEAD "\r\n");
    assert_non_null(strstr(reply, "200 OK"));
    assert_null(strstr(reply, "\r\n\r\nOK"));
    free(reply);
    http_stop(s.http);
}

static void test_force_merge(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    expect(&s, GET("/internal/force_merge"), "200", NULL);
    assert_string_equal(s.fake.merge_prefix, "<>");
    expect(&s, GET("/internal/force_merge?partition_prefix=2026_10"), "200", NULL);
    assert_string_equal(s.fake.merge_prefix, "<2026_10>");
    expect(&s, POST_FORM("/internal/force_merge", "partition_prefix=2026"), "200", NULL);
    assert_string_equal(s.fake.merge_prefix, "<2026>");
    expect(&s, "GET /internal/force_merge HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403",
           "Host");
    s.fake.flush_result = ERR_FULL;
    expect(&s, GET("/internal/force_merge"), "503", "5 more are needed");
    http_stop(s.http);
}

static void test_force_flush(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, "user", "secret");
    expect(&s, GET("/internal/force_flush"), "200", NULL);
    expect(&s, POST_FORM("/internal/force_flush", ""), "200", NULL);
    assert_int_equal(s.fake.flushes, 2);
    expect(&s, "GET /internal/force_flush HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403",
           "Host");
    expect(&s,
           "POST /internal/force_flush HTTP/1.1\r\n" HEAD
           "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
           "403", "other sites");
    assert_int_equal(s.fake.flushes, 2);
    s.fake.flush_result = ERR_FULL;
    expect(&s, GET("/internal/force_flush"), "503", "no room");
    s.fake.flush_result = ERR_IO;
    expect(&s, GET("/internal/force_flush"), "500", "no room");
    http_stop(s.http);
}

static void test_arguments(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    expect(&s, GET("/api/v1/export?match[]=%7Ba%3D%22b+c%22%7D&match[]=x&start=5&end=2019-07-07T20:01:02Z"),
           "200", "{}\n");
    assert_int_equal(s.fake.kind, QUERY_EXPORT);
    assert_string_equal(s.fake.matches, "<{a=\"b c\"}><x>");
    assert_int_equal(s.fake.start_ms, 5000);
    assert_int_equal(s.fake.end_ms, 1562529662000);

    /* From a form, beside the query's; a value long enough to come in pieces. */
    static char body[9000];
    size_t len = (size_t)snprintf(body, sizeof body, "start=7&match%%5B%%5D=");
    memset(body + len, 'm', 2500);
    len += 2500;
    snprintf(body + len, sizeof body - len, "&limit=3");
    expect(&s, POST_FORM("/api/v1/export?end=9", body), "200", NULL);
    assert_int_equal(strlen(s.fake.matches), 2502);
    assert_int_equal(s.fake.start_ms, 7000);
    assert_int_equal(s.fake.end_ms, 9000);
    assert_int_equal(s.fake.limit, 3);
    /* As people type it after curl -d: = and " as they are. */
    expect(&s, POST_FORM("/api/v1/export", "match[]={__name__=\"a+b\"}&match[]=y"), "200", NULL);
    assert_string_equal(s.fake.matches, "<{__name__=\"a b\"}><y>");

    /* Defaults. */
    clock_set_fake_ms(1562529662678);
    expect(&s, GET("/api/v1/export?match[]=x"), "200", NULL);
    assert_int_equal(s.fake.start_ms, 0);
    assert_int_equal(s.fake.end_ms, 1562529662000);
    expect(&s, GET("/api/v1/series?match[]=x"), "200", "application/json");
    assert_int_equal(s.fake.kind, QUERY_SERIES);
    assert_int_equal(s.fake.start_ms, 1562529662000 - 300000);
    clock_set_fake_ms(0);

    expect(&s, GET("/api/v1/export"), "422", "missing `match[]` arg");
    expect(&s, GET("/api/v1/series"), "400", "missing `match[]` arg");
    expect(&s, GET("/api/v1/export?match[]=x&start=yesterday"), "422", "cannot parse the time");
    expect(&s, GET("/api/v1/export?match[]=x&format=csv"), "422", "format=csv");
    http_stop(s.http);
}

static void test_query_errors(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    s.fake.query_result = ERR_INVALID;
    expect(&s, GET("/api/v1/export?match[]=x"), "422", "\"error\":\"as the \\\"test\\\" wants it\"}");
    expect(&s, GET("/api/v1/series?match[]=x"), "400", "as the");
    s.fake.query_result = ERR_CORRUPT;
    expect(&s, GET("/api/v1/export?match[]=x"), "500", "as the");
    http_stop(s.http);
}

/* The library refuses headers beyond its limit by itself, and crashed when it was stopped just then. */
static void test_stop_during_a_refusal(void **unused)
{
    (void)unused;
    enum { SIZE = 200000, TRIES = 100 };
    char *request = xmalloc(SIZE);
    int head = snprintf(request, SIZE, "GET /health HTTP/1.1\r\nX: ");
    memset(request + head, 'x', (size_t)(SIZE - head));
    for (int i = 0; i < TRIES; i++) {
        struct server s;
        start(&s, NULL, NULL);
        int fd = dial(&s);
        (void)send(fd, request, SIZE, MSG_NOSIGNAL);
        (void)close(fd);
        (void)usleep((useconds_t)(20 * i)); /* so that one of them hits the moment */
        http_stop(s.http);
    }
    free(request);
}

static void test_too_much(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    expect(&s, "POST /api/v1/export HTTP/1.1\r\n" HEAD "Content-Length: 100000000\r\n\r\n", "413", NULL);
    /* Headers beyond their limit: an error, and the server lives. */
    char *request = xmalloc(300000);
    size_t len = (size_t)snprintf(request, 300000, "GET /health HTTP/1.1\r\nX: ");
    memset(request + len, 'x', 200000);
    memcpy(request + len + 200000, "\r\n\r\n", 5);
    int fd = dial(&s);
    (void)send(fd, request, len + 200004, MSG_NOSIGNAL);
    (void)close(fd);
    free(request);
    expect(&s, GET("/health"), "200", "OK");
    http_stop(s.http);
}

static char *repeated(const char *head, const char *text, size_t count, const char *tail)
{
    struct buffer all = {0};
    buffer_append_str(&all, head);
    for (size_t i = 0; i < count; i++)
        buffer_append_str(&all, text);
    buffer_append_str(&all, tail);
    (void)buffer_cstr(&all);
    return (char *)all.data;
}

/* Each refused with its own status, and a reason. */
static void test_sizes(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    char *request = repeated("GET /health?", "xxxxxxxxxx", 10000, " HTTP/1.1\r\n" HEAD "\r\n");
    expect(&s, request, "414", NULL);
    free(request);
    request = repeated("GET /health HTTP/1.1\r\n" HEAD, "A: bbbbbbbbbbbbb\r\n", 10000, "\r\n");
    expect(&s, request, "431", NULL);
    free(request);
    request = repeated("a=b", "&a=b", 1100, "");
    expect(&s, POST_FORM("/api/v1/export", request), "400", "a request may have 1024 arguments");
    free(request);
    /* The library has no room for that many in a URL, and hangs up. */
    request = repeated("GET /health?", "a&", 20000, " HTTP/1.1\r\n" HEAD "\r\n");
    free(ask(&s, request));
    free(request);
    request = repeated("GET /api/v1/export?match=y", "&match=x", 256, " HTTP/1.1\r\n" HEAD "\r\n");
    expect(&s, request, "422", "257 selectors, and a request may have 256");
    free(request);
    /* Bodies that are sent whole, and would come to a closed connection without somebody who reads them. */
    const char *form =
        "POST /api/v1/export HTTP/1.1\r\n" HEAD "Content-Type: application/x-www-form-urlencoded\r\n";
    char head[512];
    snprintf(head, sizeof head, "%sContent-Length: 2000000\r\n\r\n", form);
    request = repeated(head, "match[]=aaaaaaaaaaa&", 100000, "");
    expect(&s, request, "413", "a body may have 1048576 bytes");
    free(request);
    snprintf(head, sizeof head, "%sTransfer-Encoding: chunked\r\n\r\n", form);
    request = repeated(head, "14\r\nmatch[]=aaaaaaaaaaa&\r\n", 100000, "0\r\n\r\n");
    expect(&s, request, "413", "a body may have 1048576 bytes");
    free(request);
    snprintf(head, sizeof head, "%sExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", form);
    expect(&s, head, "413", NULL); /* before the body is sent */
    assert_int_equal(s.fake.queries_ended, 0);
    expect(&s, GET("/health"), "200", "OK");
    http_stop(s.http);
}

static void test_slow_requests(void **unused)
{
    (void)unused;
    static const char *const beginnings[] = {
        "", "G", "GET /health HTTP/1.1\r\nA: ",
        "POST /api/v1/export HTTP/1.1\r\n" HEAD
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nmatch="};
    enum { COUNT = sizeof beginnings / sizeof *beginnings };
    struct server s;
    int fds[COUNT];
    start_limited(&s, NULL, NULL, (struct http_limits){.request_ms = 300});
    int64_t before_ms = clock_monotonic_ms();
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(&s);
        send_text(fds[i], beginnings[i]);
    }
    for (int n = 0; n < 5; n++) { /* a byte now and then doesn't help */
        clock_sleep_ms(30);
        for (int i = 0; i < COUNT; i++)
            send_text(fds[i], "x");
    }
    for (int i = 0; i < COUNT; i++)
        expect_reply(fds[i], beginnings[i], "408", "didn't arrive in time");
    assert_in_range(clock_monotonic_ms() - before_ms, 250, 5000);
    expect(&s, GET("/metrics"), "200", "varve_http_connections_ended_total{reason=\"slow_request\"} 4\n");
    http_stop(s.http);
}

/* Kept for a next request, but not for ever; also if its headers come a byte at a time. */
static void test_idle_connections(void **unused)
{
    (void)unused;
    struct server s;
    start_limited(&s, NULL, NULL, (struct http_limits){.idle_ms = 300});
    int fds[] = {dial(&s), dial(&s)};
    int64_t before_ms = clock_monotonic_ms();
    for (int i = 0; i < 2; i++)
        send_text(fds[i], "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    clock_sleep_ms(100);
    send_text(fds[1], "GET");
    for (int i = 0; i < 2; i++)
        expect_reply(fds[i], "health", "200", "OK");
    assert_in_range(clock_monotonic_ms() - before_ms, 250, 5000);
    http_stop(s.http);
}

/* Connections that do nothing make room for new ones, the oldest first. */
static void test_many_connections(void **unused)
{
    (void)unused;
    enum { COUNT = 300 };
    struct server s;
    int fds[COUNT];
    start(&s, NULL, NULL);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(&s);
        send_text(fds[i], "GET /hea");
    }
    expect(&s, GET("/metrics"), "200", "up 1\n");
    expect(&s, GET("/api/v1/export?match[]=x"), "200", NULL);
    expect_reply(fds[0], "the oldest", "503", "too many connections");
    for (int i = 1; i < COUNT - 1; i++)
        (void)close(fds[i]);
    send_text(fds[COUNT - 1], "lth HTTP/1.1\r\n" HEAD "\r\n");
    expect_reply(fds[COUNT - 1], "the newest", "200", "OK");
    http_stop(s.http);
}

/* Requests at work keep their places; more of them are refused, and what is vital is answered. */
static void test_many_requests(void **unused)
{
    (void)unused;
    struct server s;
    int fds[HTTP_REQUESTS_MAX];
    start(&s, NULL, NULL);
    s.fake.is_held = true;
    for (int i = 0; i < HTTP_REQUESTS_MAX; i++) {
        fds[i] = dial(&s);
        send_text(fds[i], GET("/internal/force_flush"));
    }
    for (int i = 0; i < 1000 && s.fake.flushes < HTTP_REQUESTS_MAX; i++)
        clock_sleep_ms(5);
    assert_int_equal(s.fake.flushes, HTTP_REQUESTS_MAX);
    expect(&s, GET("/internal/force_merge"), "503", "requests are at work");
    expect(&s, GET("/nope"), "503", "Retry-After: 1");
    expect(&s, GET("/health"), "200", "OK");
    expect(&s, GET("/metrics"), "200", "varve_http_requests_refused_total 2\n");
    s.fake.is_held = false;
    for (int i = 0; i < HTTP_REQUESTS_MAX; i++)
        expect_reply(fds[i], "a flush", "200", NULL);
    expect(&s, GET("/internal/force_merge"), "200", NULL);
    http_stop(s.http);
}

static void wait_for_ended(struct fake *f, int count)
{
    for (int i = 0; i < 1000 && f->queries_ended < count; i++)
        clock_sleep_ms(10);
    assert_int_equal(f->queries_ended, count);
}

/* A query whose search brings nothing ends with its time, or its client. */
static void test_long_search(void **unused)
{
    (void)unused;
    struct server s;
    start_limited(&s, NULL, NULL, (struct http_limits){.search_ms = 200});
    s.fake.is_searching = true;
    expect(&s, GET("/api/v1/export?match[]=x"), "503", "the search took more than 0.2 s");
    wait_for_ended(&s.fake, 1);
    http_stop(s.http);

    start(&s, NULL, NULL);
    s.fake.is_searching = true;
    int fd = dial(&s);
    send_text(fd, GET("/api/v1/export?match[]=x"));
    clock_sleep_ms(50);
    (void)close(fd);
    wait_for_ended(&s.fake, 1);
    http_stop(s.http);
}

static void test_answer_not_taken(void **unused)
{
    (void)unused;
    struct server s;
    char first[16];
    start_limited(&s, NULL, NULL, (struct http_limits){.answer_ms = 300});
    s.fake.answer_pieces = 100000;
    int fd = dial(&s);
    send_text(fd, GET("/api/v1/export?match[]=x"));
    assert_true(recv(fd, first, sizeof first, 0) > 0);
    wait_for_ended(&s.fake, 1);
    expect(&s, GET("/metrics"), "200", "varve_http_connections_ended_total{reason=\"slow_answer\"} 1\n");
    (void)close(fd);
    http_stop(s.http);
}

static size_t chunked_size(const char *reply, size_t size)
{
    const char *p = memmem(reply, size, "\r\n\r\n", 4);
    size_t sum = 0;
    assert_non_null(p);
    p += 4;
    for (;;) {
        char *end;
        size_t n = strtoul(p, &end, 16);
        if (n == 0)
            return sum;
        sum += n;
        p = end + 2 + n + 2;
    }
}

static void test_long_answer(void **unused)
{
    (void)unused;
    struct server s;
    struct buffer reply = {0};
    start(&s, NULL, NULL);
    s.fake.answer_pieces = 1000; /* 8 MB through a buffer of 256 KiB */
    int fd = dial(&s);
    send_text(fd, GET("/api/v1/export?match[]=x"));
    for (;;) {
        ssize_t n = recv(fd, buffer_reserve(&reply, 65536), 65536, 0);
        if (n <= 0)
            break;
        reply.len += (size_t)n;
    }
    (void)close(fd);
    size_t size = reply.len;
    (void)buffer_cstr(&reply);
    assert_int_equal(chunked_size((const char *)reply.data, size), 1000 * 8192);
    buffer_release(&reply);
    http_stop(s.http);
}

static void test_slow_readers(void **unused)
{
    (void)unused;
    struct server s;
    int fds[4];
    start(&s, NULL, NULL);
    s.fake.answer_pieces = 100000; /* more than any socket takes */
    for (int i = 0; i < 4; i++) {
        char first[16];
        fds[i] = dial(&s);
        send_text(fds[i], GET("/api/v1/export?match[]=x"));
        assert_true(recv(fds[i], first, sizeof first, 0) > 0);
    }
    expect(&s, GET("/health"), "200", "OK");
    expect(&s, GET("/api/v1/export?match[]=x"), "503", "Retry-After");
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]); /* who hangs up ends its query */
    wait_for_ended(&s.fake, 3);
    /* Their places are free soon after. */
    s.fake.answer_pieces = 0;
    for (int i = 0; i < 500; i++) {
        char *reply = ask(&s, GET("/api/v1/export?match[]=x"));
        bool ok = strstr(reply, " 200 OK") != NULL;
        free(reply);
        if (ok)
            break;
        assert_int_not_equal(i, 499);
        clock_sleep_ms(10);
    }
    int64_t before_ms = clock_monotonic_ms();
    http_stop(s.http); /* doesn't wait for the one that's left */
    assert_true(clock_monotonic_ms() - before_ms < 5000);
    (void)close(fds[3]);
}

static void test_address_in_use(void **unused)
{
    (void)unused;
    struct server s;
    struct http *second = NULL;
    struct error error;
    start(&s, NULL, NULL);
    struct http_address addresses[] = {{"127.0.0.1", 0}, {"127.0.0.1", http_port(s.http, 0)}};
    struct http_options options = {.listen = addresses, .listen_count = 2, .routes = http_api_routes};
    assert_int_equal(http_start(&second, &options, &error), ERR_IO);
    assert_non_null(strstr(error.message, "cannot listen on 127.0.0.1 port"));
    options.listen = &(struct http_address){"nonsense", 1};
    options.listen_count = 1;
    assert_int_equal(http_start(&second, &options, &error), ERR_INVALID);
    http_stop(s.http);
}

static void test_snapshots(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
    expect(&s, GET("/snapshot/list"), "200", "{\"status\":\"ok\",\"snapshots\":[]}");
    expect(&s, GET("/snapshot/create"), "200", "{\"status\":\"ok\",\"snapshot\":\"20261124000000-0\"}");
    expect(&s, POST_FORM("/snapshot/create", ""), "200", "20261124000000-1");
    expect(&s, POST_FORM("/api/v1/admin/tsdb/snapshot", ""), "200",
           "{\"status\":\"success\",\"data\":{\"name\":\"20261124000000-2\"}}");
    expect(&s, GET("/snapshot/list"), "200",
           "[\n\"20261124000000-0\",\n\"20261124000000-1\",\n\"20261124000000-2\"\n]}");
    expect(&s, GET("/snapshot/delete?snapshot=20261124000000-0"), "200", "{\"status\":\"ok\"}");
    expect(&s, POST_FORM("/snapshot/delete", "snapshot=nope"), "404",
           "{\"status\":\"error\",\"msg\":\"cannot find snapshot \\\"nope\\\"\"}");
    expect(&s, GET("/snapshot/delete"), "404", "cannot find snapshot");
    expect(&s, GET("/snapshot/delete_all"), "200", "{\"status\":\"ok\"}");
    expect(&s, GET("/snapshot/list"), "200", "[]");
    /* What changes state isn't for other sites' pages. */
    expect(&s, "GET /snapshot/create HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403",
           NULL);
    s.fake.flush_result = ERR_FULL;
    expect(&s, GET("/snapshot/create"), "503", "{\"status\":\"error\",\"msg\":\"no \\\"room\\\"\"}");
    http_stop(s.http);
}

static void test_delete_series(void **unused)
{
    (void)unused;
    struct server s;
    start(&s, NULL, NULL);
#define PATH "/api/v1/admin/tsdb/delete_series"
    expect(&s, POST_FORM(PATH, "match[]=up&match[]=%7Bjob%3D%22x%22%7D"), "204", NULL);
    assert_int_equal(s.fake.flushes, 1);
    expect(&s, GET(PATH), "400", "missing `match[]` arg");
    expect(&s, POST_FORM(PATH, "match[]=up&start=1"), "400", "as a whole");
    expect(&s, "POST " PATH " HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403", NULL);
    s.fake.flush_result = ERR_INVALID;
    expect(&s, GET(PATH "?match[]=up&match[]=down"), "400", "down");
    s.fake.flush_result = ERR_FULL;
    expect(&s, GET(PATH "?match[]=up&match[]=down"), "503", NULL);
    assert_int_equal(s.fake.flushes, 1);
    http_stop(s.http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_paths),
        cmocka_unit_test(test_force_flush),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_delete_series),
        cmocka_unit_test(test_force_merge),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_query_errors),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_slow_requests),
        cmocka_unit_test(test_idle_connections),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_long_search),
        cmocka_unit_test(test_answer_not_taken),
        cmocka_unit_test(test_stop_during_a_refusal),
        cmocka_unit_test(test_long_answer),
        cmocka_unit_test(test_slow_readers),
        cmocka_unit_test(test_address_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
