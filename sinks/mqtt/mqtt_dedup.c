#include "sinks/mqtt/mqtt_dedup.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "src/base/alloc.h"

#define IDS 65536u

struct entry {
    uint64_t hash;
    uint64_t lsn;
    uint64_t number : 61; /* of the message, counting from 1; 0: empty */
    uint64_t is_answered : 1;
    uint64_t is_qos2 : 1;
};

struct mqtt_dedup {
    uint64_t number; /* of the last message */
    bool counts_up;
    bool is_resumed;
    uint64_t connection_began; /* number at that time */

    /* Messages without DUP whose ids rise. */
    unsigned run_length;
    uint16_t run_last_id, run_first_id;
    uint64_t run_first_lsn;
    bool is_run_answered; /* the first one */
    int64_t run_answered_ms;

    struct entry entries[IDS]; /* by packet id */
};

struct mqtt_dedup *mqtt_dedup_new(void)
{
    return xcalloc(1, sizeof(struct mqtt_dedup));
}

void mqtt_dedup_free(struct mqtt_dedup *d)
{
    free(d);
}

uint64_t mqtt_dedup_hash(const struct spool_record *r)
{
    uint64_t topic = XXH64(r->topic.data, r->topic.len, r->cut_from);
    return XXH64(r->payload.data, r->payload.len, topic);
}

struct mqtt_dedup_message mqtt_dedup_message_of(const struct spool_record *r)
{
    return (struct mqtt_dedup_message){
        .hash = mqtt_dedup_hash(r), .packet_id = r->packet_id, .qos = r->qos, .dup = r->dup};
}

static bool is_recent(const struct mqtt_dedup *d, const struct entry *e)
{
    return e->number && d->number - e->number < MQTT_DEDUP_WINDOW;
}

static bool is_in_ring(const struct mqtt_dedup *d, const struct entry *e)
{
    return e->number && (!e->is_answered || is_recent(d, e));
}

enum mqtt_dedup_verdict mqtt_dedup_judge(const struct mqtt_dedup *d, const struct mqtt_dedup_message *m,
                                         uint64_t *ret_lsn)
{
    const struct entry *e = &d->entries[m->packet_id];
    if (!is_in_ring(d, e) || e->hash != m->hash || e->is_qos2 != (m->qos == 2))
        return MQTT_DEDUP_STORE;
    *ret_lsn = e->lsn;
    if (m->qos == 1 && !m->dup)
        return d->counts_up || !e->is_answered ? MQTT_DEDUP_AMBIGUOUS : MQTT_DEDUP_STORE;
    return !e->is_answered || d->counts_up ? MQTT_DEDUP_DROP : MQTT_DEDUP_AMBIGUOUS;
}

static void end_run(struct mqtt_dedup *d)
{
    d->run_length = 0;
}

/* Steps from one id to another, which comes after 65,535 as 1. */
static unsigned steps(uint16_t from, uint16_t to)
{
    return (unsigned)to + (to > from ? 0 : IDS - 1) - from;
}

/* paho hides the DUP of QoS 2. On a session's first connection nothing comes again, and on a later one what
 * comes again comes first. */
static bool may_be_redelivered(const struct mqtt_dedup *d, const struct mqtt_dedup_message *m)
{
    return m->dup || (m->qos == 2 && d->is_resumed && d->number - d->connection_began <= MQTT_DEDUP_WINDOW);
}

static void go_on_with_run(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn,
                           int64_t now_ms)
{
    unsigned step = d->run_length ? steps(d->run_last_id, m->packet_id) : 0;
    if (!d->run_length || step > MQTT_DEDUP_STEP_MAX) {
        d->run_length = 1;
        d->run_first_id = m->packet_id;
        d->run_first_lsn = lsn;
        d->is_run_answered = false;
    } else if (d->run_length < MQTT_DEDUP_RUN) {
        d->run_length++;
    }
    d->run_last_id = m->packet_id;
    if (d->run_length == MQTT_DEDUP_RUN && d->is_run_answered &&
        now_ms - d->run_answered_ms >= MQTT_DEDUP_ANSWER_MS)
        d->counts_up = true;
}

/* What a message without DUP says of how the broker gives out ids. */
static void learn(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, const struct entry *e,
                  uint64_t lsn, int64_t now_ms)
{
    if (!is_recent(d, e)) {
        go_on_with_run(d, m, lsn, now_ms);
        return;
    }
    end_run(d);
    if (e->hash != m->hash) /* with the same bytes it's a message that came back, see rule 3 */
        d->counts_up = false;
}

static void put(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn, bool is_answered)
{
    d->entries[m->packet_id] = (struct entry){.hash = m->hash,
                                              .lsn = lsn,
                                              .number = ++d->number,
                                              .is_answered = is_answered,
                                              .is_qos2 = m->qos == 2};
}

void mqtt_dedup_stored(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn, int64_t now_ms)
{
    if (!may_be_redelivered(d, m))
        learn(d, m, &d->entries[m->packet_id], lsn, now_ms);
    put(d, m, lsn, false);
}

/* The broker may use the id again from now on. */
static void note_free_id(struct mqtt_dedup *d, uint16_t packet_id, uint64_t lsn, int64_t now_ms)
{
    if (!d->run_length || d->run_first_lsn != lsn || d->run_first_id != packet_id || d->is_run_answered)
        return;
    d->is_run_answered = true;
    d->run_answered_ms = now_ms;
}

void mqtt_dedup_answered(struct mqtt_dedup *d, uint16_t packet_id, uint64_t lsn, int64_t now_ms)
{
    struct entry *e = &d->entries[packet_id];
    if (!e->number || e->lsn != lsn || e->is_qos2)
        return;
    e->is_answered = true;
    note_free_id(d, packet_id, lsn, now_ms);
}

void mqtt_dedup_completed(struct mqtt_dedup *d, uint16_t packet_id, int64_t now_ms)
{
    struct entry *e = &d->entries[packet_id];
    if (!e->number || !e->is_qos2)
        return;
    note_free_id(d, packet_id, e->lsn, now_ms);
    *e = (struct entry){0};
}

void mqtt_dedup_connected(struct mqtt_dedup *d, bool is_resumed)
{
    d->is_resumed = is_resumed;
    d->connection_began = d->number;
    end_run(d);
}

void mqtt_dedup_discard_from(struct mqtt_dedup *d, uint64_t lsn)
{
    for (size_t i = 0; i < IDS; i++) {
        if (d->entries[i].number && d->entries[i].lsn >= lsn)
            d->entries[i] = (struct entry){0};
    }
    end_run(d);
}

void mqtt_dedup_clear(struct mqtt_dedup *d)
{
    memset(d, 0, sizeof *d);
}

void mqtt_dedup_restore(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn)
{
    const struct entry *e = &d->entries[m->packet_id];
    if (m->qos == 1 && !m->dup && is_recent(d, e) && e->hash != m->hash)
        d->counts_up = false;
    put(d, m, lsn, true);
}

void mqtt_dedup_set_counts_up(struct mqtt_dedup *d, bool counts_up)
{
    d->counts_up = counts_up;
}

bool mqtt_dedup_counts_up(const struct mqtt_dedup *d)
{
    return d->counts_up;
}

bool mqtt_dedup_has_between(const struct mqtt_dedup *d, uint64_t from, uint64_t end)
{
    for (size_t i = 0; i < IDS; i++) {
        const struct entry *e = &d->entries[i];
        if (is_in_ring(d, e) && e->lsn >= from && e->lsn < end)
            return true;
    }
    return false;
}

struct numbered {
    uint64_t number;
    uint16_t packet_id;
};

static int compare_numbers(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

size_t mqtt_dedup_list(const struct mqtt_dedup *d, uint64_t end_lsn, struct mqtt_dedup_item *ret)
{
    struct numbered *found = xcalloc(MQTT_DEDUP_WINDOW, sizeof *found);
    size_t count = 0;
    for (size_t i = 0; i < IDS; i++) {
        const struct entry *e = &d->entries[i];
        if (is_recent(d, e) && e->lsn < end_lsn)
            found[count++] = (struct numbered){e->number, (uint16_t)i};
    }
    qsort(found, count, sizeof *found, compare_numbers);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &d->entries[found[i].packet_id];
        ret[i] = (struct mqtt_dedup_item){e->hash, found[i].packet_id, e->is_qos2 ? 2 : 1};
    }
    free(found);
    return count;
}
