/* The service's parts, for the daemon_*.c files. */
#ifndef VARVE_SRC_DAEMON_INTERNAL_H
#define VARVE_SRC_DAEMON_INTERNAL_H

#include <stdatomic.h>

#include "config/config.h"
#include "sinks/reject_log.h"
#include "sinks/sink.h"
#include "src/base/mutex.h"
#include "src/http.h"
#include "src/http_api.h"
#include "src/ingest.h"
#include "src/intake_gate.h"
#include "src/reject_forward.h"
#include "storage/storage.h"

struct daemon {
    const struct config *cfg;
    struct storage *storage;
    _Atomic(struct storage *) opened_storage; /* the same, for hooks */
    struct reject_log *reject_log;
    _Atomic(struct reject_log *) opened_reject_log;
    _Atomic(struct reject_forward *) reject_forward; /* NULL: no topic is configured */
    _Atomic uint64_t cut_reject_length;              /* as the last cut took it */
    struct ingest *ingest;

    struct sink **sinks;
    size_t sinks_count;
    size_t sinks_started;
    struct mutex sinks_lock; /* below a sink's own */
    bool sinks_acknowledge;  /* locked by sinks_lock: sinks exist and want to hear of commits */
    struct sink **deciders;  /* those that may have to give verdicts: freed after the last commit */
    size_t deciders_count;
    atomic_bool sinks_made; /* all of them, and the deciders may be asked */

    struct http_api api;
    struct http *http;
    atomic_bool ready;

    struct intake_gate gate;
    uint64_t memory_limit_bytes;
    atomic_bool disk_full; /* as storage says */
    bool found_undecided;  /* main thread: the store was opened with a commit that waits for its verdict */
    bool stop_asked;       /* main thread: a signal came while it waited for room on the disk */
    unsigned paused_last;  /* main thread: what was logged */

    int64_t acknowledged_at_ms, trimmed_at_ms; /* main thread */
    /* Main thread: for STATUS. */
    int64_t status_at_ms;
    uint64_t status_rows;
};

/* daemon_hooks.c: what the store calls. */
struct storage_hooks daemon_storage_hooks(struct daemon *d);
/* Tells all sinks to acknowledge what is durable. Any thread. */
void daemon_acknowledge(struct daemon *d);

/* daemon_api.c: what HTTP asks. */
struct http_api daemon_http_api(struct daemon *d);

/* daemon_watch.c: main thread, a few times a second. */
void daemon_watch_init(struct daemon *d);
void daemon_watch(struct daemon *d);
/* Only whether the process is above its memory limit: then intake pauses at once. More often. */
void daemon_watch_memory(struct daemon *d);

#endif
