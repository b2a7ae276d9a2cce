#include "tests/doubles/batch_catcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"

struct intake_worker {
    struct caught_row *rows; /* since begin */
    size_t count, capacity;
    bool open, refused;
};

static struct batch_catcher *catcher_of(struct intake *in)
{
    return (struct batch_catcher *)in;
}

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "batch_catcher: the sink broke the contract: %s\n", what);
    abort();
}

static struct intake_worker *worker_new(struct intake *in, const char *sink_name,
                                        const struct decoder *decoder, const struct decode_options *options)
{
    (void)in;
    (void)options;
    require(sink_name[0] && decoder, "a worker has a sink and a decoder");
    return xcalloc(1, sizeof(struct intake_worker));
}

static void worker_free(struct intake *in, struct intake_worker *w)
{
    (void)in;
    require(!w->open && !w->count, "a worker ends its hand-over before it's freed");
    free(w->rows);
    free(w);
}

/* A cut falls between hand-overs: it waits for those that are open, and new ones wait for it. Takes the lock.
 */
static void cut_begin(struct batch_catcher *c) TS_ATTR(acquire_capability(c->lock))
{
    mutex_lock(&c->lock);
    c->cuts_waiting++;
    while (c->open_workers)
        cond_wait(&c->moved, &c->lock);
    c->cuts_waiting--;
}

static void cut_end(struct batch_catcher *c) TS_ATTR(release_capability(c->lock))
{
    cond_broadcast(&c->moved);
    mutex_unlock(&c->lock);
}

static void begin(struct intake *in, struct intake_worker *w)
{
    struct batch_catcher *c = catcher_of(in);
    atomic_fetch_add(&c->begins, 1);
    require(!w->open, "begin after end");
    mutex_lock(&c->lock);
    while (c->cuts_waiting)
        cond_wait(&c->moved, &c->lock);
    c->open_workers++;
    mutex_unlock(&c->lock);
    w->open = true;
    w->refused = false;
}

static void row_release(struct caught_row *row)
{
    free(row->key);
    free(row->labels);
}

static char *print_labels(const struct rendered_labels *extra)
{
    struct buffer text = {0};
    if (!extra)
        return NULL;
    for (size_t i = 0; i < extra->count; i++) {
        const struct label *l = &extra->labels[i];
        buffer_printf(&text, "%s%.*s=%.*s", i ? "," : "", (int)l->name.len, l->name.data, (int)l->value.len,
                      l->value.data);
    }
    (void)buffer_cstr(&text);
    return (char *)text.data;
}

static void deliver(struct intake *in, struct intake_worker *w, const struct sample_batch *batch,
                    int64_t record_time_ms, const struct rendered_labels *extra)
{
    (void)in;
    require(w->open, "deliver between begin and end");
    for (size_t i = 0; i < batch->groups_count; i++) {
        const struct sample *s = &batch->samples[batch->groups[i].first_sample];
        int64_t time_ms = s->timestamp_ms == TIMESTAMP_NONE ? record_time_ms : s->timestamp_ms;
        GROW(w->rows, w->count, w->capacity);
        w->rows[w->count++] = (struct caught_row){
            xstrndup(batch->groups[i].key.data, batch->groups[i].key.len), time_ms, print_labels(extra)};
    }
}

static struct caught_position *find(struct batch_catcher *c, const void *key, uint32_t key_len)
{
    for (size_t i = 0; i < c->positions_count; i++) {
        struct caught_position *p = &c->positions[i];
        if (strlen(p->key) == key_len && memcmp(p->key, key, key_len) == 0)
            return p;
    }
    return NULL;
}

static struct caught_position *find_or_add(struct batch_catcher *c, const void *key, uint32_t key_len)
{
    struct caught_position *p = find(c, key, key_len);
    if (p)
        return p;
    GROW(c->positions, c->positions_count, c->positions_capacity);
    p = &c->positions[c->positions_count++];
    *p = (struct caught_position){.key = xstrndup(key, key_len)};
    return p;
}

/* Rows of several sources can't be told apart here, so a refusal drops them all: tests that refuse use one.
 */
static int hand_over(struct intake *in, struct intake_worker *w, const void *key, uint32_t key_len,
                     uint64_t from, const struct sink_position *to, struct error *reterr)
{
    struct batch_catcher *c = catcher_of(in);
    int r = 0;
    require(w->open, "hand over between begin and end");
    atomic_fetch_add(&c->hand_overs, 1);
    mutex_lock(&c->lock);
    struct caught_position *p = find(c, key, key_len);
    bool forced = atomic_load(&c->refuse_next) > 0;
    if (forced)
        atomic_fetch_sub(&c->refuse_next, 1);
    if (forced || !p || !p->has_accepted || p->accepted.next != from || to->next < from) {
        w->refused = true;
        r = error_set(reterr, ERR_INVALID, "the position stored isn't %llu", (unsigned long long)from);
    } else {
        p->accepted = *to;
    }
    mutex_unlock(&c->lock);
    return r;
}

static void end(struct intake *in, struct intake_worker *w)
{
    struct batch_catcher *c = catcher_of(in);
    require(w->open, "end after begin");
    atomic_fetch_add(&c->ends, 1);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < w->count; i++) {
        if (w->refused) {
            row_release(&w->rows[i]);
            continue;
        }
        GROW(c->rows, c->rows_count, c->rows_capacity);
        c->rows[c->rows_count++] = w->rows[i];
    }
    w->count = 0;
    w->open = false;
    c->open_workers--;
    cond_broadcast(&c->moved);
    mutex_unlock(&c->lock);
}

static void reject(struct intake *in, struct intake_worker *w, const struct rejected *r)
{
    struct batch_catcher *c = catcher_of(in);
    require(w->open, "reject between begin and end");
    mutex_lock(&c->lock);
    GROW(c->rejects, c->rejects_count, c->rejects_capacity);
    c->rejects[c->rejects_count++] =
        (struct caught_reject){xstrdup(r->where), xstrdup(r->reason), r->payload.len, r->full_size};
    mutex_unlock(&c->lock);
}

static bool position(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret)
{
    struct batch_catcher *c = catcher_of(in);
    mutex_lock(&c->lock);
    struct caught_position *p = find(c, key, key_len);
    bool known = p && p->has_accepted;
    if (known)
        *ret = p->accepted;
    mutex_unlock(&c->lock);
    return known;
}

static bool durable_position(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret)
{
    struct batch_catcher *c = catcher_of(in);
    mutex_lock(&c->lock);
    struct caught_position *p = find(c, key, key_len);
    bool known = p && p->has_durable;
    if (known)
        *ret = p->durable;
    mutex_unlock(&c->lock);
    return known;
}

static void each_position(struct intake *in,
                          void (*visit)(void *context, const void *key, uint32_t key_len,
                                        const struct sink_position *position),
                          void *context)
{
    struct batch_catcher *c = catcher_of(in);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->positions_count; i++) {
        const struct caught_position *p = &c->positions[i];
        if (p->has_accepted)
            visit(context, p->key, (uint32_t)strlen(p->key), &p->accepted);
    }
    mutex_unlock(&c->lock);
}

static void set_position(struct intake *in, const void *key, uint32_t key_len,
                         const struct sink_position *pos)
{
    struct batch_catcher *c = catcher_of(in);
    mutex_lock(&c->lock);
    struct caught_position *p = find_or_add(c, key, key_len);
    p->accepted = *pos;
    p->has_accepted = true;
    mutex_unlock(&c->lock);
}

static int flush(struct intake *in, int64_t timeout_ms, struct error *reterr)
{
    struct batch_catcher *c = catcher_of(in);
    atomic_fetch_add(&c->flushes, 1);
    if (atomic_load(&c->flush_fails)) {
        clock_sleep_ms(timeout_ms < 500 ? timeout_ms : 500);
        return error_set(reterr, ERR_CANCELLED, "not flushed in time");
    }
    batch_catcher_commit(c);
    return 0;
}

/* Positions go back to the durable ones; the rows behind them go; later, if the test wants a commit to be
 * under way. */
static int discard(struct intake *in, int64_t timeout_ms, struct error *reterr)
{
    struct batch_catcher *c = catcher_of(in);
    (void)timeout_ms;
    atomic_store(&c->is_discard_due, true);
    if (atomic_load(&c->is_commit_under_way))
        return error_set(reterr, ERR_CANCELLED, "a commit is under way");
    atomic_store(&c->is_discard_due, false);
    batch_catcher_crash(c);
    return 0;
}

void batch_catcher_end_commit(struct batch_catcher *c)
{
    atomic_store(&c->is_commit_under_way, false);
    if (atomic_load(&c->is_discard_due))
        batch_catcher_crash(c);
    atomic_store(&c->is_discard_due, false);
}

static bool discard_is_due(struct intake *in)
{
    return atomic_load(&catcher_of(in)->is_discard_due);
}

static uint64_t commit_number(struct intake *in)
{
    struct batch_catcher *c = catcher_of(in);
    mutex_lock(&c->lock);
    uint64_t n = c->commit_number;
    mutex_unlock(&c->lock);
    return n;
}

static const char *store_id(struct intake *in)
{
    return catcher_of(in)->store_id;
}

static bool is_undecided(struct intake *in)
{
    (void)in;
    return false;
}

static unsigned paused(struct intake *in)
{
    return atomic_load(&catcher_of(in)->pause_reasons);
}

static const struct intake_ops catcher_ops = {
    .worker_new = worker_new,
    .worker_free = worker_free,
    .begin = begin,
    .deliver = deliver,
    .hand_over = hand_over,
    .end = end,
    .reject = reject,
    .position = position,
    .durable_position = durable_position,
    .set_position = set_position,
    .each_position = each_position,
    .flush = flush,
    .discard = discard,
    .discard_is_due = discard_is_due,
    .commit_number = commit_number,
    .store_id = store_id,
    .is_undecided = is_undecided,
    .paused = paused,
};

void batch_catcher_init(struct batch_catcher *c, const char *id)
{
    memset(c, 0, sizeof *c);
    c->intake.ops = &catcher_ops;
    mutex_init(&c->lock, RANK_POSITIONS);
    cond_init(&c->moved);
    (void)snprintf(c->store_id, sizeof c->store_id, "%s", id);
}

void batch_catcher_release(struct batch_catcher *c)
{
    for (size_t i = 0; i < c->rows_count; i++)
        row_release(&c->rows[i]);
    for (size_t i = 0; i < c->positions_count; i++)
        free(c->positions[i].key);
    for (size_t i = 0; i < c->rejects_count; i++) {
        free(c->rejects[i].where);
        free(c->rejects[i].reason);
    }
    free(c->rows);
    free(c->positions);
    free(c->rejects);
    cond_destroy(&c->moved);
    mutex_destroy(&c->lock);
}

void batch_catcher_commit(struct batch_catcher *c)
{
    cut_begin(c);
    c->rows_durable = c->rows_count;
    for (size_t i = 0; i < c->positions_count; i++) {
        c->positions[i].durable = c->positions[i].accepted;
        c->positions[i].has_durable = c->positions[i].has_accepted;
    }
    c->commit_number++;
    cut_end(c);
}

void batch_catcher_crash(struct batch_catcher *c)
{
    cut_begin(c);
    for (size_t i = c->rows_durable; i < c->rows_count; i++)
        row_release(&c->rows[i]);
    c->rows_count = c->rows_durable;
    for (size_t i = 0; i < c->positions_count; i++) {
        c->positions[i].accepted = c->positions[i].durable;
        c->positions[i].has_accepted = c->positions[i].has_durable;
    }
    cut_end(c);
}

size_t batch_catcher_count(struct batch_catcher *c)
{
    mutex_lock(&c->lock);
    size_t n = c->rows_count;
    mutex_unlock(&c->lock);
    return n;
}

void batch_catcher_compare(struct batch_catcher *c, const char *prefix, size_t n, size_t *ret_missing,
                           size_t *ret_extra)
{
    unsigned char *seen = xcalloc(n + 1, 1);
    size_t found = 0, extra = 0, len = strlen(prefix);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->rows_count; i++) {
        const char *key = c->rows[i].key;
        if (strncmp(key, prefix, len) != 0)
            continue;
        size_t number = strtoul(key + len, NULL, 10);
        if (number >= n || seen[number])
            extra++;
        else
            found += seen[number] = 1;
    }
    mutex_unlock(&c->lock);
    free(seen);
    *ret_missing = n - found;
    *ret_extra = extra;
}

bool batch_catcher_position(struct batch_catcher *c, const char *topic, int partition, bool durable,
                            struct sink_position *ret)
{
    char tail[320];
    bool known = false;
    (void)snprintf(tail, sizeof tail, "/%s/%d", topic, partition);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < c->positions_count && !known; i++) {
        const struct caught_position *p = &c->positions[i];
        size_t key_len = strlen(p->key), tail_len = strlen(tail);
        if (key_len < tail_len || strcmp(p->key + key_len - tail_len, tail) != 0)
            continue;
        known = durable ? p->has_durable : p->has_accepted;
        if (known)
            *ret = durable ? p->durable : p->accepted;
    }
    mutex_unlock(&c->lock);
    return known;
}

bool batch_catcher_wait(struct batch_catcher *c, size_t n, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (batch_catcher_count(c) < n) {
        if (clock_monotonic_ms() >= deadline)
            return false;
        clock_sleep_ms(5);
    }
    return true;
}

static enum decode_result decode(const struct decode_options *options, const struct message *m,
                                 struct sample_batch *batch, const char **ret_reason)
{
    struct span payload = m->payload;
    (void)options;
    if (!payload.len)
        return DECODE_OK;
    if (payload.data[0] == '!') {
        *ret_reason = "bad_message";
        return DECODE_REJECT;
    }
    if (payload.data[0] == '?') {
        GROW(batch->bad_lines, batch->bad_lines_count, batch->bad_lines_capacity);
        batch->bad_lines[batch->bad_lines_count++] = (struct bad_line){payload, 1, "bad_line"};
    }
    GROW(batch->samples, batch->samples_count, batch->samples_capacity);
    batch->samples[batch->samples_count++] = (struct sample){.timestamp_ms = TIMESTAMP_NONE};
    GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){.key = payload, .samples_count = 1};
    return DECODE_OK;
}

const struct decoder catcher_decoder = {.name = "catcher", .decode = decode};
