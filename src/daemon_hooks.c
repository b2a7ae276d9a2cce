#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/log.h"
#include "src/commands.h"
#include "src/daemon_internal.h"
#include "src/notify.h"

void daemon_acknowledge(struct daemon *d)
{
    mutex_lock(&d->sinks_lock);
    for (size_t i = 0; d->sinks_acknowledge && i < d->sinks_count; i++)
        d->sinks[i]->ops->acknowledge(d->sinks[i]);
    mutex_unlock(&d->sinks_lock);
}

static bool may_commit(void *context)
{
    struct daemon *d = context;
    bool may = true;
    mutex_lock(&d->sinks_lock);
    for (size_t i = 0; d->sinks_acknowledge && i < d->sinks_count && may; i++)
        may = !d->sinks[i]->ops->may_commit || d->sinks[i]->ops->may_commit(d->sinks[i]);
    mutex_unlock(&d->sinks_lock);
    return may;
}

static bool needs_verdict(void *context, const void *key, uint32_t key_len)
{
    struct daemon *d = context;
    if (!atomic_load(&d->sinks_made))
        return false;
    for (size_t i = 0; i < d->deciders_count; i++)
        if (d->deciders[i]->ops->decides(d->deciders[i], key, key_len))
            return true;
    return false;
}

/* Whose word counts: config_check sees to it that there's one at most. */
static struct sink *decider_of(struct daemon *d, const struct position_table *positions)
{
    for (size_t i = 0; i < positions->count; i++)
        for (size_t k = 0; k < d->deciders_count; k++)
            if (d->deciders[k]->ops->decides(d->deciders[k], positions->entries[i].key,
                                             positions->entries[i].key_len))
                return d->deciders[k];
    return NULL;
}

static enum sink_verdict ask(struct sink *s, const struct storage_prepared *p)
{
    struct sink_prepared question = {
        .n = p->n, .token = p->token, .is_found = p->is_found, .count = p->positions->count};
    struct sink_prepared_position *positions = xcalloc(question.count + 1, sizeof *positions);
    for (size_t i = 0; i < question.count; i++) {
        const struct position_entry *e = &p->positions->entries[i];
        positions[i] = (struct sink_prepared_position){
            .key = e->key,
            .key_len = e->key_len,
            .position = {.next = e->position.next, .mark_len = e->position.mark_len},
        };
        memcpy(positions[i].position.mark, e->position.mark, e->position.mark_len);
    }
    question.positions = positions;
    enum sink_verdict verdict = s->ops->decide(s, &question);
    free(positions);
    return verdict;
}

static enum storage_verdict verdict(void *context, const struct storage_prepared *p)
{
    struct daemon *d = context;
    if (!atomic_load(&d->sinks_made))
        return STORAGE_UNDECIDED;
    struct sink *decider = decider_of(d, p->positions);
    if (!decider) {
        log_warning("commit %" PRIu64
                    " waited for a group's decision, and no sink has fenced_commits for it any "
                    "more: it's made, though another node may have stored rows of it, too",
                    p->n);
        return STORAGE_COMMIT;
    }
    switch (ask(decider, p)) {
    case SINK_COMMIT:
        return STORAGE_COMMIT;
    case SINK_DISCARD:
        return STORAGE_DISCARD;
    case SINK_UNDECIDED:
        break;
    }
    return STORAGE_UNDECIDED;
}

static void on_durable(void *context, uint64_t n)
{
    struct daemon *d = context;
    log_debug("commit %" PRIu64 " is durable", n);
    reject_forward_durable(atomic_load(&d->reject_forward), atomic_load(&d->cut_reject_length));
    daemon_acknowledge(d);
}

/* Nothing that isn't durable has been acknowledged, and nothing more may be: no destructor of a client that
 * commits offsets may run, so the process ends here. */
static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    log_error("the store can't be written any more, stopping without acknowledging: %s", error->message);
    notify_status("failed: %s", error->message);
    /* Damage needs an operator; what else it can be, a restart may mend. */
    _exit(error->code == ERR_CORRUPT ? EXIT_NO_STORE : EXIT_FATAL);
}

static void on_disk_full(void *context, bool full, const struct error *error)
{
    struct daemon *d = context;
    if (atomic_exchange(&d->disk_full, full) == full)
        return;
    if (full)
        log_warning("the disk is full, intake waits until there's room: %s", error ? error->message : "");
    else
        log_info("the disk has room again");
    if (d->ingest && full) /* cleared by daemon_watch, which knows min_free_disk too */
        (void)ingest_set_paused(d->ingest, INTAKE_PAUSE_DISK, true);
}

/* What the store lives with, but somebody should know of. */
static void on_problem(void *context, const struct error *error)
{
    (void)context;
    log_error(
        "%s; its month isn't merged any more until the next start (`varve verify` names what is damaged)",
        error->message);
}

static void on_force_merge_failed(void *context, const struct error *error)
{
    (void)context;
    log_error("the forced merge wasn't done: %s", error->message);
}

/* Until the log is open its length is the one that the store found. */
static uint64_t reject_length(void *context)
{
    struct daemon *d = context;
    struct reject_log *log = atomic_load(&d->opened_reject_log);
    struct storage *st = atomic_load(&d->opened_storage);
    uint64_t length = log ? reject_log_length(log) : st ? storage_reject_log_length(st) : 0;
    atomic_store(&d->cut_reject_length, length); /* one commit at a time: durable when on_durable says so */
    return length;
}

static int sync_rejects(void *context, struct error *reterr)
{
    struct daemon *d = context;
    struct reject_log *log = atomic_load(&d->opened_reject_log);
    int r = log ? reject_log_sync(log, reterr) : 0;
    /* A sync that failed isn't repeated, whatever the reason: entries may be lost that the record would
     * promise. */
    return r < 0 ? ERR_IO : 0;
}

/* Their messages are rejected again when they are read again. */
static void forget_rejects(void *context, uint64_t length)
{
    struct daemon *d = context;
    struct reject_log *log = atomic_load(&d->opened_reject_log);
    struct error error;
    if (log && reject_log_cut(log, length, &error) < 0)
        log_warning("%s: some rejects will be there twice", error.message);
}

struct storage_hooks daemon_storage_hooks(struct daemon *d)
{
    return (struct storage_hooks){
        .context = d,
        .durable = on_durable,
        .may_commit = may_commit,
        .needs_verdict = needs_verdict,
        .verdict = verdict,
        .fatal = on_fatal,
        .disk_full = on_disk_full,
        .problem = on_problem,
        .force_merge_failed = on_force_merge_failed,
        .reject_log_length = reject_length,
        .reject_log_sync = sync_rejects,
        .discarded = forget_rejects,
    };
}
