#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
#include "src/commands.h"
#include "src/http_client.h"
#include "src/merge_bar.h"
#include "src/server_progress.h"
#include "storage/storage.h"
#include "storage/store_dir.h"

static const char help[] =
    "Usage: varve merge DIR|URL [YYYY_MM]\n"
    "\n"
    "Merges all parts of each month into one, and those of its index into another: of the stopped\n"
    "store in DIR, or of the server at URL (http://[USER:PASSWORD@]HOST:PORT), which goes on\n"
    "serving. Only the month YYYY_MM, or the months whose names begin with what is given.\n"
    "Needs as much free space as the largest month has bytes. It may be stopped (Ctrl-C) or\n"
    "killed at any time: months that are done stay merged, nothing is lost.\n"
    "\n"
    "Exit status: 0, 2 if it can't be done, 64 for wrong usage.\n";

/* A month is merged as it is: what retention takes is for the service, which knows it. */
#define RETENTION_MS       (INT64_C(36500) * 86400000)
#define FLUSH_INTERVAL_MS  (3600 * SECOND_MS)
#define LOOK_INTERVAL_NS   200000000
#define SERVER_INTERVAL_MS 500

/* --- a directory --- */

struct local_merge {
    struct storage *st;
    const char *prefix;
    int result;
    struct error error;
    atomic_bool done;
};

static void merge_thread(void *arg)
{
    struct local_merge *m = arg;
    m->result = storage_force_merge(m->st, m->prefix, &m->error);
    atomic_store(&m->done, true);
}

/* Shows its progress until it's done; SIGINT and SIGTERM, which are blocked, cancel it. */
static void watch(struct local_merge *m, struct merge_bar *bar, const sigset_t *signals)
{
    while (!atomic_load(&m->done)) {
        struct timespec interval = {.tv_nsec = LOOK_INTERVAL_NS};
        struct storage_merge_progress p;
        if (sigtimedwait(signals, NULL, &interval) > 0)
            storage_force_merge_cancel(m->st);
        storage_force_merge_progress(m->st, &p);
        merge_bar_show(bar, &p);
    }
    merge_bar_end(bar);
}

static void on_store_failed(void *context, const struct error *error)
{
    (void)context;
    fprintf(stderr, "varve merge: the store can't be written any more: %s\n", error->message);
    _Exit(EXIT_NO_STORE);
}

static int report(const struct storage_merge_progress *p, const char *prefix)
{
    if (!p->months_count && *prefix) {
        fprintf(stderr, "varve merge: no month begins with %s\n", prefix);
        return EXIT_NO_STORE;
    }
    printf("%zu month%s merged, %" PRIu64 " rows and index items\n", p->months_count,
           p->months_count == 1 ? "" : "s", p->rows_total);
    return command_end_output("merge");
}

static int merge_directory(const char *dir, const char *prefix)
{
    struct error error;
    if (!store_dir_is_store(dir)) {
        error_set(&error, ERR_NOT_FOUND, "%s: there's no store here", dir);
        return command_failed("merge", &error);
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct storage_options options = {
        .path = dir,
        .retention_ms = RETENTION_MS,
        .flush_interval_ms = FLUSH_INTERVAL_MS,
        .hooks = {.fatal = on_store_failed},
    };
    struct local_merge m = {.prefix = prefix};
    if (storage_open(&m.st, &options, &error) < 0)
        return command_failed("merge", &error);
    struct merge_bar bar;
    struct thread thread = {0};
    merge_bar_init(&bar, stderr);
    thread_start(&thread, "merge", merge_thread, &m);
    watch(&m, &bar, &signals);
    thread_join(&thread);
    struct storage_merge_progress p;
    storage_force_merge_progress(m.st, &p);
    int closed = storage_close(m.st, &error);
    if (m.result == ERR_CANCELLED) {
        fprintf(stderr,
                "varve merge: stopped after %zu of %zu months; nothing is lost, call it again to go on\n",
                p.months_done, p.months_count);
        return EXIT_NO_STORE;
    }
    if (m.result < 0)
        return command_failed("merge", &m.error);
    return closed < 0 ? command_failed("merge", &error) : report(&p, prefix);
}

/* --- a server --- */

static int look_at_server(const struct http_target *target, struct storage_merge_progress *ret,
                          struct error *reterr)
{
    struct buffer text = {0};
    unsigned status;
    int r = http_fetch(target, "GET", "/metrics", &status, &text, reterr);
    if (r == 0 && status != 200)
        r = error_set(reterr, ERR_IO, "/metrics answers %u", status);
    if (r == 0 && !server_progress_read(ret, buffer_cstr(&text)))
        r = error_set(reterr, ERR_INVALID, "the server's metrics don't show forced merges: is it a Varve?");
    buffer_release(&text);
    return r;
}

static int ask_server(const struct http_target *target, const char *prefix, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("/internal/force_merge?partition_prefix=%s", prefix);
    struct buffer text = {0};
    unsigned status;
    int r = http_fetch(target, "POST", path, &status, &text, reterr);
    if (r == 0 && status != 200)
        r = error_set(reterr, ERR_IO, "the server refuses (%u): %s", status, buffer_cstr(&text));
    buffer_release(&text);
    return r;
}

static int follow_server(const struct http_target *target, const struct storage_merge_progress *before,
                         struct storage_merge_progress *ret, struct error *reterr)
{
    struct merge_bar bar;
    merge_bar_init(&bar, stderr);
    int r;
    while ((r = look_at_server(target, ret, reterr)) == 0) {
        merge_bar_show(&bar, ret);
        uint64_t ended = ret->done_total + ret->failed_total;
        if (!ret->running && !ret->waiting && ended > before->done_total + before->failed_total)
            break;
        if (ended < before->done_total + before->failed_total) { /* its counters began anew */
            r = error_set(reterr, ERR_CANCELLED,
                          "the server was restarted meanwhile: nothing is lost, call it again to go on");
            break;
        }
        clock_sleep_ms(SERVER_INTERVAL_MS);
    }
    merge_bar_end(&bar);
    if (r == 0 && ret->failed_total > before->failed_total)
        r = error_set(reterr, ERR_IO, "the forced merge failed: the server's log says why");
    return r;
}

static int merge_at_server(const char *url, const char *prefix)
{
    struct http_target target;
    struct storage_merge_progress before = {0}, after = {0};
    struct error error;
    int r = http_target_parse(&target, url, &error);
    if (r < 0)
        return command_failed("merge", &error);
    r = look_at_server(&target, &before, &error);
    if (r == 0)
        r = ask_server(&target, prefix, &error);
    if (r == 0)
        r = follow_server(&target, &before, &after, &error);
    http_target_release(&target);
    return r < 0 ? command_failed("merge", &error) : report(&after, prefix);
}

static bool is_month_prefix(const char *text)
{
    return strlen(text) < sizeof "YYYY_MM" && strspn(text, "0123456789_") == strlen(text);
}

int cmd_merge(int argc, char **argv)
{
    int exit_code;
    argc = command_positions(argc, argv, 1, 2, help, &exit_code);
    if (!argc)
        return exit_code;
    const char *prefix = argc > 2 ? argv[2] : "";
    if (!is_month_prefix(prefix))
        return command_wrong_usage(argv[0], "a month is written YYYY_MM");
    return strstr(argv[1], "://") ? merge_at_server(argv[1], prefix) : merge_directory(argv[1], prefix);
}
