/*
 * The ring against the rules of its header, one by one, and against random histories of a model: a broker, a
 * network that loses what is under way, a client that is killed. Payloads are of four kinds only, so that
 * equal bytes under an equal id are common, which in life they are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/mqtt_dedup.h"
#include "src/base/alloc.h"

static struct mqtt_dedup_message qos1(unsigned id, uint64_t hash, bool dup)
{
    return (struct mqtt_dedup_message){.hash = hash, .packet_id = (uint16_t)id, .qos = 1, .dup = dup};
}

static struct mqtt_dedup_message qos2(unsigned id, uint64_t hash)
{
    return (struct mqtt_dedup_message){.hash = hash, .packet_id = (uint16_t)id, .qos = 2};
}

static enum mqtt_dedup_verdict judge(const struct mqtt_dedup *d, struct mqtt_dedup_message m)
{
    uint64_t lsn;
    return mqtt_dedup_judge(d, &m, &lsn);
}

static void store(struct mqtt_dedup *d, struct mqtt_dedup_message m, uint64_t lsn, int64_t now_ms)
{
    mqtt_dedup_stored(d, &m, lsn, now_ms);
    mqtt_dedup_answered(d, m.packet_id, lsn, now_ms);
}

/* A broker that was seen to count up; ids 1 to n, LSNs the same, hash 7. */
static struct mqtt_dedup *counted_up(unsigned n)
{
    struct mqtt_dedup *d = mqtt_dedup_new();
    mqtt_dedup_connected(d, false);
    for (unsigned i = 1; i <= n; i++)
        store(d, qos1(i, 7, false), i, i * 200);
    assert_true(mqtt_dedup_counts_up(d));
    return d;
}

static void a_broker_that_counts_up(void **state)
{
    (void)state;
    uint64_t lsn = 0;
    struct mqtt_dedup *d = counted_up(20);
    struct mqtt_dedup_message m = qos1(15, 7, true);
    assert_int_equal(mqtt_dedup_judge(d, &m, &lsn), MQTT_DEDUP_DROP);
    assert_int_equal(lsn, 15);
    assert_int_equal(judge(d, qos1(15, 8, true)), MQTT_DEDUP_STORE);      /* other bytes */
    assert_int_equal(judge(d, qos1(21, 7, true)), MQTT_DEDUP_STORE);      /* its first copy never came */
    assert_int_equal(judge(d, qos1(15, 7, false)), MQTT_DEDUP_AMBIGUOUS); /* brought back by a crash */
    assert_int_equal(judge(d, qos2(15, 7)), MQTT_DEDUP_STORE);
    mqtt_dedup_free(d);
}

static void not_seen_to_count_up(void **state)
{
    (void)state;
    struct mqtt_dedup *d = mqtt_dedup_new();
    mqtt_dedup_connected(d, false);
    for (unsigned i = 1; i <= 100; i++) /* a burst: they may all have been sent before the first PUBACK */
        store(d, qos1(i, 7, false), i, 500);
    assert_false(mqtt_dedup_counts_up(d));
    assert_int_equal(judge(d, qos1(15, 7, true)), MQTT_DEDUP_AMBIGUOUS);
    struct mqtt_dedup_message m = qos1(101, 7, false);
    mqtt_dedup_stored(d, &m, 101, 500);
    assert_int_equal(judge(d, qos1(101, 7, true)), MQTT_DEDUP_DROP); /* its PUBACK wasn't written */
    assert_int_equal(judge(d, qos1(101, 7, false)), MQTT_DEDUP_AMBIGUOUS);
    store(d, qos1(102, 7, false), 102, 500 + MQTT_DEDUP_ANSWER_MS - 1);
    assert_false(mqtt_dedup_counts_up(d));
    store(d, qos1(103, 7, false), 103, 500 + MQTT_DEDUP_ANSWER_MS);
    assert_true(mqtt_dedup_counts_up(d));
    mqtt_dedup_free(d);
}

/* HiveMQ: the same id again and again. */
static void a_broker_that_takes_free_ids(void **state)
{
    (void)state;
    struct mqtt_dedup *d = mqtt_dedup_new();
    mqtt_dedup_connected(d, false);
    for (unsigned i = 1; i <= 1000; i++) {
        store(d, qos1(1 + i % 3 / 2, i % 2, false), i, (int64_t)i * 3000);
        assert_false(mqtt_dedup_counts_up(d));
    }
    assert_int_equal(judge(d, qos1(1, 0, true)), MQTT_DEDUP_AMBIGUOUS);
    mqtt_dedup_free(d);
}

static void it_no_longer_counts_up(void **state)
{
    (void)state;
    struct mqtt_dedup *d = counted_up(50);
    store(d, qos1(40, 7, false), 51, 20000); /* the same bytes: a message that came back */
    assert_true(mqtt_dedup_counts_up(d));
    store(d, qos1(41, 8, false), 52, 20000);
    assert_false(mqtt_dedup_counts_up(d));
    for (unsigned i = 42; i <= 70; i++) /* 42 to 50 are known, after that it's a run again */
        store(d, qos1(i, 9, false), i + 11, 20000 + i * 200);
    assert_true(mqtt_dedup_counts_up(d));
    mqtt_dedup_free(d);
}

static void the_window(void **state)
{
    (void)state;
    struct mqtt_dedup *d = counted_up(10);
    for (unsigned i = 0; i < MQTT_DEDUP_WINDOW; i++) {
        if (i < MQTT_DEDUP_WINDOW - 1)
            assert_int_equal(judge(d, qos1(10, 7, true)), MQTT_DEDUP_DROP);
        store(d, qos1(11 + i, 8, false), 11 + i, 100000);
    }
    assert_int_equal(judge(d, qos1(10, 7, true)), MQTT_DEDUP_STORE);
    assert_int_equal(judge(d, qos1(11, 8, true)), MQTT_DEDUP_DROP);
    struct mqtt_dedup_item *items = xcalloc(MQTT_DEDUP_WINDOW, sizeof *items);
    assert_int_equal(mqtt_dedup_list(d, UINT64_MAX, items), MQTT_DEDUP_WINDOW);
    assert_int_equal(items[0].packet_id, 11);
    assert_int_equal(mqtt_dedup_list(d, 13, items), 2);
    assert_true(mqtt_dedup_has_between(d, 11, 12));
    assert_false(mqtt_dedup_has_between(d, 0, 11));
    free(items);
    mqtt_dedup_free(d);
}

static void qos_2(void **state)
{
    (void)state;
    struct mqtt_dedup *d = mqtt_dedup_new();
    struct mqtt_dedup_message m = qos2(1, 7);
    mqtt_dedup_connected(d, false);
    store(d, m, 1, 0);
    assert_int_equal(judge(d, m), MQTT_DEDUP_DROP); /* whatever the broker does with ids */
    mqtt_dedup_completed(d, 1, 0);
    assert_int_equal(judge(d, m), MQTT_DEDUP_STORE);
    mqtt_dedup_restore(d, &m, 1);
    assert_int_equal(judge(d, m), MQTT_DEDUP_AMBIGUOUS);
    mqtt_dedup_set_counts_up(d, true);
    assert_int_equal(judge(d, m), MQTT_DEDUP_DROP);
    mqtt_dedup_completed(d, 1, 0);
    assert_int_equal(judge(d, m), MQTT_DEDUP_STORE);
    /* What may have been sent before the first one was completed shows nothing. */
    mqtt_dedup_clear(d);
    mqtt_dedup_connected(d, true);
    for (unsigned i = 1; i <= 100; i++) {
        store(d, qos2(i, i), i, i * 100);
        mqtt_dedup_completed(d, (uint16_t)i, i * 100);
    }
    assert_false(mqtt_dedup_counts_up(d));
    mqtt_dedup_clear(d);
    mqtt_dedup_connected(d, false);
    for (unsigned i = 1; i <= 100; i++) {
        store(d, qos2(i, i), i, i * 100);
        mqtt_dedup_completed(d, (uint16_t)i, i * 100);
    }
    assert_true(mqtt_dedup_counts_up(d));
    mqtt_dedup_free(d);
}

static void what_is_given_up(void **state)
{
    (void)state;
    struct mqtt_dedup *d = counted_up(20);
    mqtt_dedup_discard_from(d, 15);
    assert_int_equal(judge(d, qos1(15, 7, true)), MQTT_DEDUP_STORE);
    assert_int_equal(judge(d, qos1(14, 7, true)), MQTT_DEDUP_DROP);
    mqtt_dedup_clear(d);
    assert_false(mqtt_dedup_counts_up(d));
    assert_int_equal(judge(d, qos1(14, 7, true)), MQTT_DEDUP_STORE);
    mqtt_dedup_free(d);
}

/* --- the model --- */

struct sent {
    unsigned serial, hash, id;
    bool was_sent;
};

struct packet {
    unsigned serial, hash, id;
    bool dup;
};

struct record {
    unsigned serial, hash, id;
    bool dup;
};

struct held {
    unsigned id;
    uint64_t lsn;
};

#define FLIGHT_MAX 256

struct model {
    unsigned seed, window;
    bool takes_free_ids;
    int64_t now_ms;
    /* The broker. */
    unsigned published, wanted, last_id;
    struct sent flight[FLIGHT_MAX];
    unsigned flight_count;
    bool is_used[65536];
    /* Under way. */
    struct packet down[FLIGHT_MAX * 4];
    unsigned down_count;
    unsigned up[FLIGHT_MAX * 4];
    unsigned up_count;
    /* The client. LSN n is records[n - 1]. */
    struct mqtt_dedup *ring;
    struct record *records;
    size_t count, capacity, durable;
    struct held held[FLIGHT_MAX * 8];
    unsigned held_count;
    struct mqtt_dedup_item *saved;
    size_t saved_count, saved_end;
    bool saved_counts_up;
    unsigned ambiguous, dropped, crashes;
};

static unsigned chance(struct model *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

static unsigned next_id(struct model *w)
{
    if (w->takes_free_ids) {
        unsigned id = 1;
        while (w->is_used[id])
            id++;
        return id;
    }
    w->last_id = w->last_id == 65535 ? 1 : w->last_id + 1;
    return w->last_id;
}

static void broker_sends(struct model *w)
{
    for (unsigned i = 0; i < w->flight_count; i++) { /* after a loss, what it had sent */
        if (w->flight[i].was_sent)
            continue;
        w->flight[i].was_sent = true;
        w->down[w->down_count++] =
            (struct packet){w->flight[i].serial, w->flight[i].hash, w->flight[i].id, true};
        return;
    }
    if (w->flight_count == w->window || w->published == w->wanted)
        return;
    struct sent s = {w->published++, chance(w, 4), next_id(w), true};
    w->is_used[s.id] = true;
    w->flight[w->flight_count++] = s;
    w->down[w->down_count++] = (struct packet){s.serial, s.hash, s.id, false};
}

static void broker_reads(struct model *w)
{
    if (!w->up_count)
        return;
    unsigned id = w->up[0];
    memmove(w->up, w->up + 1, --w->up_count * sizeof *w->up);
    for (unsigned i = 0; i < w->flight_count; i++) {
        if (w->flight[i].id != id)
            continue;
        memmove(w->flight + i, w->flight + i + 1, (--w->flight_count - i) * sizeof *w->flight);
        w->is_used[id] = false;
        return;
    }
}

static void client_reads(struct model *w)
{
    if (!w->down_count)
        return;
    struct packet p = w->down[0];
    memmove(w->down, w->down + 1, --w->down_count * sizeof *w->down);
    struct mqtt_dedup_message m = qos1(p.id, p.hash, p.dup);
    uint64_t lsn = 0;
    enum mqtt_dedup_verdict verdict = mqtt_dedup_judge(w->ring, &m, &lsn);
    if (verdict == MQTT_DEDUP_DROP) {
        w->dropped++;
    } else {
        GROW(w->records, w->count, w->capacity);
        w->records[w->count++] = (struct record){p.serial, p.hash, p.id, p.dup};
        lsn = w->count;
        mqtt_dedup_stored(w->ring, &m, lsn, w->now_ms);
        w->ambiguous += verdict == MQTT_DEDUP_AMBIGUOUS;
    }
    w->held[w->held_count++] = (struct held){p.id, lsn};
}

static void client_answers(struct model *w)
{
    if (!w->held_count || w->held[0].lsn > w->durable)
        return;
    struct held h = w->held[0];
    memmove(w->held, w->held + 1, --w->held_count * sizeof *w->held);
    mqtt_dedup_answered(w->ring, (uint16_t)h.id, h.lsn, w->now_ms);
    w->up[w->up_count++] = h.id;
}

static void client_saves(struct model *w)
{
    w->saved_end = w->durable;
    w->saved_count = mqtt_dedup_list(w->ring, w->durable + 1, w->saved);
    w->saved_counts_up = mqtt_dedup_counts_up(w->ring);
}

static void connection_ends(struct model *w)
{
    w->down_count = w->up_count = w->held_count = 0;
    for (unsigned i = 0; i < w->flight_count; i++)
        w->flight[i].was_sent = false;
    mqtt_dedup_connected(w->ring, true);
}

/* kill -9 or a power loss: of what isn't durable, some may be there all the same. */
static void client_crashes(struct model *w)
{
    w->crashes++;
    w->count = w->durable + chance(w, (unsigned)(w->count - w->durable) + 1);
    w->durable = w->count;
    mqtt_dedup_clear(w->ring);
    mqtt_dedup_set_counts_up(w->ring, w->saved_counts_up);
    for (size_t i = 0; i < w->saved_count; i++) {
        struct mqtt_dedup_message m = qos1(w->saved[i].packet_id, w->saved[i].hash, true);
        mqtt_dedup_restore(w->ring, &m, w->saved_end);
    }
    for (size_t i = w->saved_end; i < w->count; i++) {
        struct mqtt_dedup_message m = qos1(w->records[i].id, w->records[i].hash, w->records[i].dup);
        mqtt_dedup_restore(w->ring, &m, i + 1);
    }
    connection_ends(w);
}

/* The disk refuses, the process goes on. */
static void client_gives_up(struct model *w)
{
    w->count = w->durable;
    mqtt_dedup_discard_from(w->ring, w->durable + 1);
    connection_ends(w);
}

static void step(struct model *w, bool is_calm)
{
    unsigned what = chance(w, 10000);
    w->now_ms += chance(w, 4);
    if (what < 3500)
        broker_sends(w);
    else if (what < 6500)
        client_reads(w);
    else if (what < 8000)
        client_answers(w);
    else if (what < 9500)
        broker_reads(w);
    else if (what < 9900)
        w->durable = w->count;
    else if (is_calm)
        return;
    else if (what < 9950)
        client_saves(w);
    else if (what < 9970)
        connection_ends(w);
    else if (what < 9980)
        client_gives_up(w);
    else if (what < 9990)
        client_crashes(w);
}

/* Runs a history to its end; doubles. */
static unsigned run(struct model *w, unsigned missing_allowed)
{
    while (w->published < w->wanted)
        step(w, false);
    while (w->flight_count)
        step(w, true);
    unsigned *copies = calloc(w->wanted, sizeof *copies), missing = 0, doubles = 0;
    for (size_t i = 0; i < w->count; i++)
        copies[w->records[i].serial]++;
    for (unsigned i = 0; i < w->wanted; i++) {
        missing += !copies[i];
        doubles += copies[i] > 1 ? copies[i] - 1 : 0;
    }
    free(copies);
    if (missing > missing_allowed)
        fail_msg("%u of %u missing, %u doubles", missing, w->wanted, doubles);
    return doubles;
}

static struct model *model_new(unsigned seed, unsigned wanted)
{
    struct model *w = calloc(1, sizeof *w);
    w->seed = seed;
    w->window = 1 + chance(w, FLIGHT_MAX - 1);
    w->wanted = wanted;
    w->last_id = chance(w, 65536);
    w->ring = mqtt_dedup_new();
    w->saved = xcalloc(MQTT_DEDUP_WINDOW, sizeof *w->saved);
    mqtt_dedup_connected(w->ring, false);
    return w;
}

static void model_free(struct model *w)
{
    mqtt_dedup_free(w->ring);
    free(w->records);
    free(w->saved);
    free(w);
}

static unsigned seed_of_run(void)
{
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20251124;
    print_message("SEED=%u\n", seed);
    return seed;
}

/* A broker that was seen to count up: nothing lost, nothing doubled, nothing ambiguous. */
static void histories_that_count_up(void **state)
{
    (void)state;
    unsigned seed = seed_of_run(), dropped = 0, crashes = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct model *w = model_new(seed + i, i ? 4000 : 80000);
        for (unsigned steps = 0; !mqtt_dedup_counts_up(w->ring) && steps < 100000; steps++)
            step(w, true);
        assert_true(mqtt_dedup_counts_up(w->ring));
        client_saves(w);
        unsigned doubles = run(w, 0);
        if (doubles || w->ambiguous || !mqtt_dedup_counts_up(w->ring))
            fail_msg("seed %u: %u doubles, %u ambiguous", seed + i, doubles, w->ambiguous);
        dropped += w->dropped;
        crashes += w->crashes;
        model_free(w);
    }
    print_message("%u redeliveries dropped over %u crashes\n", dropped, crashes);
    assert_true(dropped > 1000 && crashes > 50);
}

/* Not seen yet, or takes free ids: nothing is lost, and each double is one that was counted. */
static void histories_that_do_not(void **state)
{
    (void)state;
    unsigned seed = seed_of_run(), doubles = 0, ambiguous = 0;
    for (unsigned i = 0; i < 15; i++) {
        struct model *w = model_new(seed + 1000 + i, 4000);
        w->takes_free_ids = i % 3 > 0;
        unsigned found = run(w, 0);
        if (found > w->ambiguous)
            fail_msg("seed %u: %u doubles, %u ambiguous", seed + 1000 + i, found, w->ambiguous);
        if (w->takes_free_ids)
            assert_false(mqtt_dedup_counts_up(w->ring));
        doubles += found;
        ambiguous += w->ambiguous;
        model_free(w);
    }
    print_message("%u doubles, %u ambiguous\n", doubles, ambiguous);
    assert_true(doubles > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_counts_up),
        cmocka_unit_test(not_seen_to_count_up),
        cmocka_unit_test(a_broker_that_takes_free_ids),
        cmocka_unit_test(it_no_longer_counts_up),
        cmocka_unit_test(the_window),
        cmocka_unit_test(qos_2),
        cmocka_unit_test(what_is_given_up),
        cmocka_unit_test(histories_that_count_up),
        cmocka_unit_test(histories_that_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
