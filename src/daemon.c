#include "src/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "build_info.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/thread.h"
#include "src/commands.h"
#include "src/daemon_internal.h"
#include "src/notify.h"
#include "src/series_cache.h"
#include "src/sink_factory.h"

/* A lock held while a sink takes its own. */
#define RANK_SINKS ((enum lock_rank)(RANK_SINK - 5))
/* Of the 10 s that a stop may take: intake 1 s, the last commit this, sinks 3 s, the rest what is left. */
#define LAST_COMMIT_TIMEOUT_MS INT64_C(4000)
#define WATCH_INTERVAL_MS      200
/* New series arrive at hundreds of MiB a second, so memory is looked at more often. */
#define MEMORY_INTERVAL_MS 20
/* A start that finds the disk full looks again after this time; systemd waits so much longer each time. */
#define ROOM_INTERVAL_MS 1000
#define ROOM_TIMEOUT_S   60
/* The workers' caches may take this share of the memory limit together. */
#define CACHES_SHARE 4

/* --- signals --- */

static void awaited_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
}

/* Waits so long for a signal that says stop; true if one came. */
static bool wait_for_stop(int64_t ms)
{
    sigset_t awaited;
    awaited_signals(&awaited);
    struct timespec interval = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int signal_number = sigtimedwait(&awaited, NULL, &interval);
    if (signal_number == SIGHUP)
        log_info("SIGHUP: ignored; the configuration is read at start, so restart to change it");
    if (signal_number != SIGTERM && signal_number != SIGINT)
        return false;
    log_info("%s: stopping", signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
    return true;
}

/* --- start --- */

/* A full disk is a state, at the start as well: it's waited out. False if a signal says stop. */
static bool wait_for_room(struct daemon *d, const struct error *error, bool *said)
{
    if (!*said)
        log_warning("the disk is full, the start waits until there's room: %s", error->message);
    *said = true;
    notify_status("the disk is full, the start waits until there's room");
    notify_starting_takes(ROOM_TIMEOUT_S);
    d->stop_asked = wait_for_stop(ROOM_INTERVAL_MS);
    return !d->stop_asked;
}

static int open_store(struct daemon *d)
{
    const struct config_storage *cfg = &d->cfg->storage;
    struct error error;
    daemon_watch_init(d);
    struct storage_options options = {
        .path = cfg->path,
        .retention_ms = cfg->retention_ms,
        .trust_clock = cfg->trust_clock,
        .dedup_interval_ms = cfg->dedup_interval_ms,
        .flush_interval_ms = cfg->flush_interval_ms,
        .merge_workers = cfg->merge_workers_count,
        .open_in_background = true,
        .hooks = daemon_storage_hooks(d),
    };
    bool said = false;
    int r;
    while ((r = storage_open(&d->storage, &options, &error)) == ERR_FULL && wait_for_room(d, &error, &said))
        ;
    if (d->stop_asked)
        return EXIT_CLEAN;
    if (r < 0) {
        log_error("can't open the store: %s", error.message);
        return EXIT_NO_STORE;
    }
    atomic_store(&d->opened_storage, d->storage);
    d->found_undecided = storage_undecided_ms(d->storage) >= 0;
    const struct config_rejects *rejects = &d->cfg->rejects;
    while ((r = reject_log_open(rejects->path, rejects->max_size_bytes, &d->reject_log, &error)) ==
               ERR_FULL &&
           wait_for_room(d, &error, &said))
        ;
    if (d->stop_asked)
        return EXIT_CLEAN;
    uint64_t length = storage_prepared_reject_log_length(d->storage);
    atomic_store(&d->cut_reject_length, length);
    if (r < 0 || reject_log_cut(d->reject_log, length, &error) < 0) {
        log_error("can't open the rejects: %s", error.message);
        return EXIT_NO_STORE;
    }
    atomic_store(&d->opened_reject_log, d->reject_log);
    return EXIT_CLEAN;
}

static unsigned count_workers(const struct config *cfg)
{
    unsigned count = 0;
    for (size_t i = 0; i < cfg->sinks_count; i++)
        count += cfg->sinks[i].threads_count ? cfg->sinks[i].threads_count : 1;
    return count ? count : 1;
}

static int make_sinks(struct daemon *d)
{
    struct error error;
    d->sinks = xcalloc(d->cfg->sinks_count + 1, sizeof(struct sink *));
    d->deciders = xcalloc(d->cfg->sinks_count + 1, sizeof(struct sink *));
    for (size_t i = 0; i < d->cfg->sinks_count; i++) {
        if (sink_factory_new(&d->sinks[i], d->cfg, &d->cfg->sinks[i], ingest_intake(d->ingest), &error) < 0) {
            log_error("%s", error.message);
            return EXIT_BAD_CONFIG;
        }
        if (d->sinks[i]->ops->decides)
            d->deciders[d->deciders_count++] = d->sinks[i];
        d->sinks_count++;
    }
    atomic_store(&d->sinks_made, true);
    return EXIT_CLEAN;
}

static int start_http(struct daemon *d)
{
    const struct config_http *cfg = &d->cfg->http;
    struct error error;
    if (!cfg->listen_count)
        return EXIT_CLEAN;
    struct http_address *addresses = xcalloc(cfg->listen_count, sizeof *addresses);
    for (size_t i = 0; i < cfg->listen_count; i++)
        addresses[i] = (struct http_address){cfg->listen[i].host, cfg->listen[i].port};
    d->api = daemon_http_api(d);
    struct http_options options = {
        .listen = addresses,
        .listen_count = cfg->listen_count,
        .username = cfg->username,
        .password = cfg->password,
        .node = d->cfg->node,
        .routes = http_api_routes,
        .routes_count = http_api_routes_count,
        .context = &d->api,
    };
    int r = http_start(&d->http, &options, &error);
    free(addresses);
    if (r < 0) {
        log_error("%s", error.message);
        return EXIT_BAD_CONFIG;
    }
    for (size_t i = 0; i < cfg->listen_count; i++)
        log_info("listening on %s", cfg->listen[i].text);
    return EXIT_CLEAN;
}

static int start_sinks(struct daemon *d)
{
    struct error error;
    mutex_lock(&d->sinks_lock);
    d->sinks_acknowledge = true;
    mutex_unlock(&d->sinks_lock);
    for (size_t i = 0; i < d->sinks_count; i++) {
        if (d->sinks[i]->ops->start(d->sinks[i], &error) < 0) {
            log_error("sink %s: %s", d->sinks[i]->name, error.message);
            return error.code == ERR_INVALID ? EXIT_BAD_CONFIG : EXIT_NO_STORE; /* its spool */
        }
        d->sinks_started++;
    }
    return EXIT_CLEAN;
}

static int start(struct daemon *d)
{
    int r = open_store(d);
    if (r || d->stop_asked)
        return r;
    uint64_t cache_bytes = d->memory_limit_bytes / CACHES_SHARE / count_workers(d->cfg);
    d->ingest = ingest_new(d->storage, d->reject_log, cache_bytes < SERIES_CACHE_BYTES_MAX ? cache_bytes : 0);
    daemon_watch(d); /* a full disk or a wrong clock is known before the first message comes */
    if ((r = make_sinks(d)) || (r = start_http(d)) || (r = start_sinks(d)))
        return r;
    struct error error;
    struct reject_forward *forward;
    if (reject_forward_start(&forward, d->cfg, d->storage, &error) < 0) {
        log_error("%s", error.message);
        return EXIT_BAD_CONFIG;
    }
    atomic_store(&d->reject_forward, forward);
    atomic_store(&d->ready, true);
    notify_ready();
    log_info("varve %s (%s) is ready: store %s in %s, commit %" PRIu64, VARVE_VERSION, VARVE_GIT_COMMIT,
             storage_id(d->storage), d->cfg->storage.path, storage_commit_number(d->storage));
    return EXIT_CLEAN;
}

/* --- stop --- */

/* Sinks wait for their brokers, so they do it side by side. */
static void for_started_sinks(struct daemon *d, const char *thread_name, void (*fn)(void *sink))
{
    struct thread *threads = xcalloc(d->sinks_started + 1, sizeof *threads);
    for (size_t i = 0; i < d->sinks_started; i++)
        thread_start(&threads[i], thread_name, fn, d->sinks[i]);
    for (size_t i = 0; i < d->sinks_started; i++)
        thread_join(&threads[i]);
    free(threads);
}

static void stop_intake(void *arg)
{
    struct sink *s = arg;
    s->ops->stop_intake(s);
}

static void stop_sink(void *arg)
{
    struct sink *s = arg;
    s->ops->stop(s);
}

static void hold_acknowledgements(struct daemon *d)
{
    mutex_lock(&d->sinks_lock);
    d->sinks_acknowledge = false;
    mutex_unlock(&d->sinks_lock);
}

/* Of the deciders, or of all others; those use the store until they're freed. */
static void free_sinks(struct daemon *d, bool are_deciders)
{
    for (size_t i = 0; i < d->sinks_count; i++) {
        if (!d->sinks[i] || (d->sinks[i]->ops->decides != NULL) != are_deciders)
            continue;
        sink_factory_free(d->sinks[i]);
        d->sinks[i] = NULL;
    }
}

/* Copes with whatever start has made. Returns the exit code. */
static int stop(struct daemon *d)
{
    struct error error;
    int result = EXIT_CLEAN;
    int64_t started_ms = clock_monotonic_ms();
    atomic_store(&d->ready, false);
    notify_stopping();
    notify_status("stopping");
    if (d->ingest)
        (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_STOPPING, true);
    for_started_sinks(d, "stop-intake", stop_intake);
    if (d->sinks_started && storage_flush(d->storage, LAST_COMMIT_TIMEOUT_MS, &error) < 0)
        log_warning("the last commit isn't done yet: %s", error.message);
    for_started_sinks(d, "stop-sink", stop_sink);
    http_stop(d->http);
    hold_acknowledgements(d);
    free_sinks(d, false);
    struct reject_forward *forward = atomic_load(&d->reject_forward);
    reject_forward_stop(forward);
    if (d->storage && storage_close(d->storage, &error) < 0) {
        log_error("the store wasn't closed cleanly, the next start recovers it: %s", error.message);
        result = EXIT_FATAL;
    }
    free_sinks(d, true); /* the last commit may have needed a verdict */
    free(d->sinks);
    free(d->deciders);
    reject_forward_free(forward);
    reject_log_close(d->reject_log);
    ingest_free(d->ingest);
    log_info("stopped in %.1f s", (double)(clock_monotonic_ms() - started_ms) / 1e3);
    return result;
}

/* Parts are read through mappings: what read() would report as an error comes as this signal. */
static void on_bus_error(int signal_number)
{
    static const char text[] =
        "a part on disk can't be read (SIGBUS): the disk fails, or a file was cut; look at the "
        "kernel's log, then `varve verify`\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(EXIT_FATAL);
}

static void block_signals(void)
{
    sigset_t awaited;
    struct sigaction bus_error = {.sa_handler = on_bus_error};
    (void)sigaction(SIGBUS, &bus_error, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a reader that hangs up is an error of write() */
    awaited_signals(&awaited);
    pthread_sigmask(SIG_BLOCK, &awaited, NULL);
}

static void unblock_interrupt(void)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
}

int daemon_run(const struct config *cfg)
{
    struct daemon d = {.cfg = cfg};
    block_signals();
    log_open(cfg->log.level, cfg->log.format);
    mutex_init(&d.sinks_lock, RANK_SINKS);
    int failed = start(&d);
    int64_t watched_ms = clock_monotonic_ms();
    while (!failed && !d.stop_asked && !wait_for_stop(MEMORY_INTERVAL_MS)) {
        daemon_watch_memory(&d);
        if (clock_monotonic_ms() - watched_ms < WATCH_INTERVAL_MS)
            continue;
        daemon_watch(&d);
        watched_ms = clock_monotonic_ms();
    }
    unblock_interrupt();
    int result = stop(&d);
    mutex_destroy(&d.sinks_lock);
    return failed ? failed : result;
}
