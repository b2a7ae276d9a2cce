#include "src/ingest.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/day_ahead.h"
#include "src/series_cache.h"

/* Names that one message may have looked up: a line of long tags and many fields is as many names of that
 * length, thousands of times its own size. An ordinary message of 16 MiB, with new series only, has some
 * hundred MiB. */
#define LOOKUP_BYTES_MAX (UINT64_C(1) << 30)

_Static_assert(POSITION_MARK_MAX == STORAGE_POSITION_MARK_MAX, "the store keeps a sink's marks whole");

struct ingest {
    struct intake intake; /* first: a struct intake * is a struct ingest * */
    struct storage *storage;
    struct reject_log *reject_log;
    uint64_t cache_bytes_max;
    atomic_uint paused;
    struct intake_counters_list counters;
};

struct intake_worker {
    struct storage_writer *writer;
    const struct decoder *decoder;
    const struct decode_options *options;
    struct intake_counters *counters;
    struct series_cache cache;
    uint64_t series_generation; /* of the handles in it */

    /* The part of one day that lies within the time limits: no more is to be asked of a timestamp in it. */
    int64_t window_start_ms;
    uint64_t window_size_ms;
    int32_t day;
    uint64_t ahead_share;   /* of the series, to be registered for the next day as well (day_ahead.h) */
    int64_t min_ms, max_ms; /* limits, as of begin */
    /* Days before aren't registered ahead: when a stream of old samples ends, its last day would be followed
     * by one without any. */
    int64_t ahead_from_ms;

    const struct rendered_labels *extra; /* of the message being delivered; NULL if there's no set */
    struct buffer key;                   /* a group's key and those labels, as the cache's key */
    struct label_list labels;
    struct metric_label *metric_labels;
    size_t metric_labels_capacity;
    uint64_t lookup_bytes; /* of the message being delivered */
    uint32_t reason_too_old, reason_too_new, reason_names;
};

static struct ingest *of_intake(struct intake *in)
{
    return (struct ingest *)in;
}

/* --- workers --- */

static struct intake_worker *worker_new(struct intake *in, const char *sink_name,
                                        const struct decoder *decoder, const struct decode_options *options)
{
    struct ingest *ing = of_intake(in);
    struct intake_worker *w = xcalloc(1, sizeof *w);
    w->writer = storage_writer_new(ing->storage);
    if (decoder->name_is_apart)
        storage_writer_set_name_apart(w->writer);
    w->decoder = decoder;
    w->options = options;
    w->counters = intake_counters_take(&ing->counters, sink_name);
    series_cache_init(&w->cache, ing->cache_bytes_max);
    w->reason_too_old = reason_index(&w->counters->dropped, "too_old");
    w->reason_too_new = reason_index(&w->counters->dropped, "too_new");
    w->reason_names = reason_index(&w->counters->dropped, "series_names_too_large");
    return w;
}

static void worker_free(struct intake *in, struct intake_worker *w)
{
    (void)in;
    if (!w)
        return;
    storage_writer_free(w->writer);
    intake_counters_give_back(w->counters);
    series_cache_release(&w->cache);
    label_list_release(&w->labels);
    free(w->metric_labels);
    buffer_release(&w->key);
    free(w);
}

static void begin(struct intake *in, struct intake_worker *w)
{
    (void)in;
    storage_writer_begin(w->writer);
    storage_writer_limits(w->writer, &w->min_ms, &w->max_ms);
    w->window_size_ms = 0;
    w->ahead_from_ms = clock_now_ms() - DAY_MS;
    uint64_t generation = storage_writer_series_generation(w->writer);
    if (generation != w->series_generation) {
        series_cache_clear(&w->cache);
        w->series_generation = generation;
    }
}

static void end(struct intake *in, struct intake_worker *w)
{
    (void)in;
    storage_writer_end(w->writer);
    atomic_store_explicit(&w->counters->cache_bytes, series_cache_bytes(&w->cache), memory_order_relaxed);
}

/* --- rows --- */

static int64_t floor_day(int64_t timestamp_ms)
{
    int64_t day = timestamp_ms / DAY_MS;
    return timestamp_ms % DAY_MS < 0 ? day - 1 : day;
}

/* Moves the window to a timestamp's day. */
static enum storage_row_fate move_window(struct intake_worker *w, int64_t timestamp_ms)
{
    if (timestamp_ms < w->min_ms)
        return ROW_TOO_OLD;
    if (timestamp_ms > w->max_ms)
        return ROW_TOO_NEW;
    int64_t day = floor_day(timestamp_ms);
    int64_t first = day * DAY_MS, last = first + (DAY_MS - 1);
    int64_t next_day = last + 1;
    bool may_be_ahead = next_day >= w->ahead_from_ms && next_day <= w->max_ms;
    w->ahead_share = may_be_ahead ? day_ahead_share(timestamp_ms, &first, &last) : 0;
    if (first < w->min_ms)
        first = w->min_ms;
    if (last > w->max_ms)
        last = w->max_ms;
    w->day = (int32_t)day;
    w->window_start_ms = first;
    w->window_size_ms = (uint64_t)(last - first) + 1;
    return ROW_ADDED;
}

/* After the payload's own, as VictoriaMetrics' extra_label: of equal names the last one counts, but both of
 * them towards the limits. */
static void add_extra_labels(struct label_list *list, const struct rendered_labels *extra, bool name_is_apart)
{
    struct label name = {0};
    if (name_is_apart)
        name = list->labels[--list->count];
    for (size_t i = 0; i < extra->count; i++)
        label_list_add(list, extra->labels[i].name, extra->labels[i].value);
    if (name_is_apart)
        label_list_add(list, name.name, name.value);
}

/* The series of a field that the cache doesn't know, or knows as refused on another day. */
static struct series_slot *look_up_series(struct intake_worker *w, struct series_entry *e,
                                          struct series_slot *slot, struct span key, struct span field,
                                          int64_t timestamp_ms)
{
    const char *reason = "labels";
    uint32_t series = SERIES_REFUSED;
    label_list_clear(&w->labels);
    if (w->decoder->labels(w->options, key, field, &w->labels, &reason) == 0) {
        if (w->extra)
            add_extra_labels(&w->labels, w->extra, w->decoder->name_is_apart);
        size_t count = w->labels.count;
        while (w->metric_labels_capacity < count)
            GROW(w->metric_labels, w->metric_labels_capacity, w->metric_labels_capacity);
        for (size_t i = 0; i < count; i++) {
            const struct label *l = &w->labels.labels[i];
            w->metric_labels[i] =
                (struct metric_label){l->name.data, l->name.len, l->value.data, l->value.len};
        }
        if (storage_writer_series(w->writer, w->metric_labels, count, timestamp_ms, &series, &reason) < 0)
            series = SERIES_REFUSED;
    }
    if (slot) {
        slot->series = series;
        slot->day_ahead = DAY_NONE;
    } else {
        slot = series_cache_add(&w->cache, e, field, series);
    }
    series_slot_set_day(slot, w->day);
    if (series == SERIES_REFUSED)
        slot->reason = reason_index(&w->counters->dropped, reason);
    return slot;
}

/* A slot that's good for w->day; NULL if the message has had more names looked up than it may. */
static struct series_slot *register_slot(struct intake_worker *w, struct series_entry *e,
                                         struct series_slot *slot, struct span key, struct span field,
                                         int64_t timestamp_ms)
{
    if (!slot || slot->series == SERIES_REFUSED) {
        if (w->lookup_bytes > LOOKUP_BYTES_MAX)
            return NULL;
        w->lookup_bytes += key.len + field.len;
        return look_up_series(w, e, slot, key, field, timestamp_ms);
    }
    if (slot->day_ahead != w->day)
        storage_writer_register_day(w->writer, slot->series, timestamp_ms);
    series_slot_set_day(slot, w->day);
    return slot;
}

/* If the series is due, and wasn't done yet. */
static void register_ahead(struct intake_worker *w, struct series_slot *slot)
{
    int32_t next_day = w->day + 1;
    if (slot->day_ahead == next_day || !day_ahead_is_due(slot->series, w->ahead_share) ||
        series_slot_has_day(slot, next_day))
        return;
    storage_writer_register_day(w->writer, slot->series, next_day * DAY_MS);
    slot->day_ahead = next_day;
}

static void count_outside(struct intake_worker *w, enum storage_row_fate fate)
{
    reason_add(&w->counters->dropped, fate == ROW_TOO_OLD ? w->reason_too_old : w->reason_too_new, 1);
}

/* Equal payload keys of messages with other labels are other series. */
static struct span key_with_extra(struct intake_worker *w, struct span key)
{
    buffer_clear(&w->key);
    buffer_append(&w->key, w->extra->bytes.data, w->extra->bytes.len);
    buffer_append(&w->key, key.data, key.len);
    return span_of((const char *)w->key.data, w->key.len);
}

static uint64_t add_group(struct intake_worker *w, const struct sample_group *group,
                          const struct sample *samples, int64_t record_time_ms)
{
    uint64_t added = 0;
    struct span cache_key = w->extra ? key_with_extra(w, group->key) : group->key;
    struct series_entry *e = series_cache_entry(&w->cache, cache_key, group->samples_count);
    for (size_t i = 0; i < group->samples_count; i++) {
        const struct sample *s = &samples[i];
        int64_t timestamp_ms = s->timestamp_ms == TIMESTAMP_NONE ? record_time_ms : s->timestamp_ms;
        if ((uint64_t)timestamp_ms - (uint64_t)w->window_start_ms >= w->window_size_ms) {
            enum storage_row_fate fate = move_window(w, timestamp_ms);
            if (fate != ROW_ADDED) {
                count_outside(w, fate);
                continue;
            }
        }
        struct series_slot *slot = series_cache_slot(&w->cache, e, s->field);
        if (__builtin_expect(!slot || !series_slot_has_day(slot, w->day), 0))
            slot = register_slot(w, e, slot, group->key, s->field, timestamp_ms);
        if (__builtin_expect(!slot, 0)) {
            reason_add(&w->counters->dropped, w->reason_names, 1);
            continue;
        }
        if (__builtin_expect(slot->series == SERIES_REFUSED, 0)) {
            reason_add(&w->counters->dropped, slot->reason, 1);
            continue;
        }
        if (__builtin_expect(w->ahead_share > 0, 0))
            register_ahead(w, slot);
        enum storage_row_fate fate = storage_writer_add(w->writer, slot->series, timestamp_ms, s->value);
        if (__builtin_expect(fate == ROW_ADDED, 1))
            added++;
        else
            count_outside(w, fate);
    }
    return added;
}

static void deliver(struct intake *in, struct intake_worker *w, const struct sample_batch *batch,
                    int64_t record_time_ms, const struct rendered_labels *extra)
{
    (void)in;
    w->extra = extra && extra->bytes.len ? extra : NULL;
    w->lookup_bytes = 0;
    uint64_t added = 0;
    const struct sample_group *groups = batch->groups;
    for (size_t i = 0; i < batch->groups_count; i++)
        added += add_group(w, &groups[i], batch->samples + groups[i].first_sample, record_time_ms);
    counter_add(&w->counters->rows, added);
    if (batch->dropped_nan)
        reason_add(&w->counters->dropped, reason_index(&w->counters->dropped, "nan"), batch->dropped_nan);
}

static void reject(struct intake *in, struct intake_worker *w, const struct rejected *r)
{
    struct ingest *ing = of_intake(in);
    reason_add(&w->counters->rejected, reason_index(&w->counters->rejected, r->reason), 1);
    if (!ing->reject_log)
        return;
    const char *sink_name = w->counters->sink_name;
    uint32_t kept = r->payload.len < REJECT_PAYLOAD_MAX ? r->payload.len : REJECT_PAYLOAD_MAX;
    struct reject_entry entry = {
        .time_ms = r->rejected_ms ? r->rejected_ms : clock_now_ms(),
        .sink = span_of(sink_name, strlen(sink_name)),
        .position = span_of(r->where, strlen(r->where)),
        .reason = span_of(r->reason, strlen(r->reason)),
        .payload = span_of(r->payload.data, kept),
        .full_size = r->full_size,
        .record_time_ms = r->record_time_ms == TIMESTAMP_NONE ? 0 : r->record_time_ms,
        .key = r->key,
    };
    reject_log_append(ing->reject_log, &entry);
}

/* --- positions --- */

static struct storage_position to_storage(const struct sink_position *pos)
{
    struct storage_position p = {.next = pos->next, .mark_len = pos->mark_len};
    memcpy(p.mark, pos->mark, sizeof p.mark);
    return p;
}

static struct sink_position from_storage(const struct storage_position *pos)
{
    struct sink_position p = {.next = pos->next, .mark_len = pos->mark_len};
    memcpy(p.mark, pos->mark, sizeof p.mark);
    return p;
}

static int hand_over(struct intake *in, struct intake_worker *w, const void *key, uint32_t key_len,
                     uint64_t from, const struct sink_position *to, struct error *reterr)
{
    (void)in;
    struct storage_position position = to_storage(to);
    return storage_writer_hand_over(w->writer, key, key_len, from, &position, reterr);
}

static bool position(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret)
{
    struct storage_position p;
    if (!storage_position(of_intake(in)->storage, key, key_len, &p))
        return false;
    *ret = from_storage(&p);
    return true;
}

static bool durable_position(struct intake *in, const void *key, uint32_t key_len, struct sink_position *ret)
{
    struct storage_position p;
    if (!storage_durable_position(of_intake(in)->storage, key, key_len, &p))
        return false;
    *ret = from_storage(&p);
    return true;
}

static void set_position(struct intake *in, const void *key, uint32_t key_len,
                         const struct sink_position *pos)
{
    struct storage_position p = to_storage(pos);
    storage_set_position(of_intake(in)->storage, key, key_len, &p);
}

struct visit {
    void (*visit)(void *context, const void *key, uint32_t key_len, const struct sink_position *position);
    void *context;
};

static void visit_storage_position(void *context, const void *key, uint32_t key_len,
                                   const struct storage_position *pos)
{
    struct visit *v = context;
    struct sink_position p = from_storage(pos);
    v->visit(v->context, key, key_len, &p);
}

static void each_position(struct intake *in,
                          void (*visit)(void *context, const void *key, uint32_t key_len,
                                        const struct sink_position *position),
                          void *context)
{
    storage_each_position(of_intake(in)->storage, visit_storage_position, &(struct visit){visit, context});
}

/* --- the rest --- */

static int flush(struct intake *in, int64_t timeout_ms, struct error *reterr)
{
    int r = storage_flush(of_intake(in)->storage, timeout_ms, reterr);
    /* To a sink a full disk is one more reason why the record isn't there yet. */
    if (r == ERR_FULL) {
        if (reterr)
            reterr->code = ERR_CANCELLED;
        return ERR_CANCELLED;
    }
    return r;
}

static int discard(struct intake *in, int64_t timeout_ms, struct error *reterr)
{
    return storage_discard_uncommitted(of_intake(in)->storage, timeout_ms, reterr);
}

static bool discard_is_due(struct intake *in)
{
    return storage_discard_is_due(of_intake(in)->storage);
}

static uint64_t commit_number(struct intake *in)
{
    return storage_commit_number(of_intake(in)->storage);
}

static const char *store_id(struct intake *in)
{
    return storage_id(of_intake(in)->storage);
}

static bool is_undecided(struct intake *in)
{
    return storage_undecided_ms(of_intake(in)->storage) >= 0;
}

static unsigned paused(struct intake *in)
{
    return ingest_paused(of_intake(in));
}

static const struct intake_ops ops = {
    .worker_new = worker_new,
    .worker_free = worker_free,
    .begin = begin,
    .hand_over = hand_over,
    .deliver = deliver,
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

struct ingest *ingest_new(struct storage *st, struct reject_log *reject_log, uint64_t cache_bytes_max)
{
    struct ingest *ing = xcalloc(1, sizeof *ing);
    ing->intake.ops = &ops;
    ing->storage = st;
    ing->reject_log = reject_log;
    ing->cache_bytes_max = cache_bytes_max;
    return ing;
}

void ingest_free(struct ingest *ing)
{
    if (!ing)
        return;
    intake_counters_list_release(&ing->counters);
    free(ing);
}

struct intake *ingest_intake(struct ingest *ing)
{
    return &ing->intake;
}

bool ingest_set_paused(struct ingest *ing, enum intake_pause reason, bool is_paused)
{
    unsigned before = is_paused ? atomic_fetch_or(&ing->paused, (unsigned)reason)
                                : atomic_fetch_and(&ing->paused, ~(unsigned)reason);
    return !(before & (unsigned)reason) == is_paused;
}

unsigned ingest_paused(const struct ingest *ing)
{
    return atomic_load_explicit(&ing->paused, memory_order_relaxed);
}

const struct intake_counters_list *ingest_counters(const struct ingest *ing)
{
    return &ing->counters;
}
