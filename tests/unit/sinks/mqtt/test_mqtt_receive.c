/*
 * paho's callback for a message, called as paho calls it. When it returns, paho sends the PUBACK (or what
 * holds it takes the call): in a build that holds PUBACKs nothing has to be written by then; in one that
 * can't, the message has to be in the page cache at least, and is kept whatever the disk says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/clock.h"
#include "tests/doubles/batch_catcher.h"
#include "tests/unit/sinks/mqtt/faulty_spool_fs.h"

#define SPOOL_BYTES (1u << 20)

struct world {
    char dir[64];
    struct batch_catcher catcher;
    struct faulty_spool_fs fs;
    struct sink *sink;
    struct mqtt_sink *s;
};

/* The sink as it is when it's connected, without its threads. */
static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct mqtt_subscription_options subscription = {.filter = "a/+", .qos = 1, .decoder = &catcher_decoder};
    struct error error = {0};
    snprintf(w->dir, sizeof w->dir, "/tmp/test_mqtt_receive.XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    batch_catcher_init(&w->catcher, "store");
    faulty_spool_fs_init(&w->fs);
    struct mqtt_sink_options options = {.name = "edge",
                                        .broker = "mqtt://127.0.0.1:1",
                                        .client_id = "varve",
                                        .version = MQTT_VERSION_5,
                                        .keepalive_s = 30,
                                        .receive_maximum = 1000,
                                        .session_expiry_s = 3600,
                                        .max_packet_size = 64 << 10,
                                        .retained = MQTT_RETAINED_DROP,
                                        .spool_path = w->dir,
                                        .spool_max_bytes = SPOOL_BYTES,
                                        .subscriptions = &subscription,
                                        .subscriptions_count = 1};
    if (mqtt_sink_new(&w->sink, &options, &w->catcher.intake, &error) < 0)
        return -1;
    w->s = mqtt_sink_of(w->sink);
    struct spool_options spool = {
        .path = w->dir, .max_bytes = SPOOL_BYTES, .keep_unwritten = !mqtt_puback_is_held(), .fs = &w->fs.fs};
    if (spool_open(&w->s->spool, &spool, &error) < 0)
        return -1;
    if (mqtt_session_open(&w->s->session, w->s->spool, SPOOL_BYTES, "edge", 1, &error) < 0)
        return -1;
    mqtt_library_acquire();
    w->s->puback = mqtt_puback_new("varve", NULL);
    w->s->state = MQTT_CONNECTED;
    atomic_store(&w->s->accepting, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->s->puback)
        mqtt_puback_close(w->s->puback);
    mqtt_puback_free(w->s->puback);
    w->s->puback = NULL;
    w->sink->ops->free(w->sink); /* the spool with it */
    batch_catcher_release(&w->catcher);
    DIR *d = opendir(w->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
    int r = rmdir(w->dir);
    free(w);
    return r;
}

static void arrive_as(struct world *w, int packet_id, bool dup, const char *topic, int qos, bool retained,
                      size_t size)
{
    MQTTAsync_message initial = MQTTAsync_message_initializer, *m = MQTTAsync_malloc(sizeof *m);
    char *name = MQTTAsync_malloc(strlen(topic) + 1);
    assert_non_null(m);
    assert_non_null(name);
    *m = initial;
    m->payload = MQTTAsync_malloc(size + 1);
    m->payloadlen = (int)size;
    memset(m->payload, 'm', size);
    m->qos = qos;
    m->retained = retained;
    m->dup = dup;
    m->msgid = packet_id;
    memcpy(name, topic, strlen(topic) + 1);
    assert_int_equal(mqtt_message_arrived(w->s, name, 0, m), 1);
}

static void arrive(struct world *w, const char *topic, int qos, bool retained, size_t size)
{
    static int packet_id;
    arrive_as(w, qos ? ++packet_id : 0, false, topic, qos, retained, size);
}

static struct spool_stats stats_of(struct world *w)
{
    struct spool_stats stats;
    spool_get_stats(w->s->spool, &stats);
    return stats;
}

static uint64_t held(struct world *w)
{
    return w->s->puback ? mqtt_puback_count(w->s->puback) : 0;
}

/* Messages that another reader finds in a copy of the directory: what a killed process leaves. */
static uint64_t messages_on_disk(struct world *w)
{
    struct spool *spool;
    struct spool_stats stats;
    struct error error = {0};
    char copy[80], command[256];
    struct spool_options options = {.path = copy, .max_bytes = SPOOL_BYTES};
    snprintf(copy, sizeof copy, "%s.copy", w->dir);
    snprintf(command, sizeof command, "cp -r %s %s", w->dir, copy);
    assert_int_equal(system(command), 0);
    if (spool_open(&spool, &options, &error) < 0)
        fail_msg("%s", error.message);
    spool_get_stats(spool, &stats);
    spool_close(spool);
    snprintf(command, sizeof command, "rm -r %s", copy);
    assert_int_equal(system(command), 0);
    return stats.next_lsn - 1;
}

static void a_message_is_held_or_written(void **state)
{
    struct world *w = *state;
    int syncs = atomic_load(&w->fs.syncs); /* of the opening */
    arrive(w, "a/x", 1, false, 10);
    arrive(w, "a/y", 1, false, 10);
    assert_int_equal(stats_of(w).next_lsn, 3);
    assert_int_equal(atomic_load(&w->fs.syncs), syncs); /* which would be waiting for the disk */
    assert_int_equal(held(w), mqtt_puback_is_held() ? 2 : 0);
    assert_int_equal(messages_on_disk(w), mqtt_puback_is_held() ? 0 : 2);
}

static void what_is_not_wanted_is_acknowledged(void **state)
{
    struct world *w = *state;
    arrive(w, "b/x", 1, false, 10); /* a filter that left */
    arrive(w, "a/x", 1, true, 10);  /* retained: drop */
    assert_int_equal(stats_of(w).next_lsn, 1);
    assert_int_equal(atomic_load(&w->s->unmatched), 1);
    assert_int_equal(atomic_load(&w->s->dropped_retained), 1);
    assert_int_equal(held(w), mqtt_puback_is_held() ? 2 : 0); /* in their order: behind what came before */
}

static void a_full_spool(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 40; i++)
        arrive(w, "a/x", 1, false, 32 << 10);
    assert_true(w->s->wants_disconnect);
    arrive(w, "a/x", 0, false, 32 << 10);
    assert_int_equal(atomic_load(&w->s->dropped_full), 1);
    if (mqtt_puback_is_held()) { /* the broker keeps the rest */
        assert_true(stats_of(w).bytes <= SPOOL_BYTES);
        assert_true(atomic_load(&w->s->refused) >= 8);
        assert_int_equal(stats_of(w).next_lsn - 1 + atomic_load(&w->s->refused), 40);
    } else { /* it has forgotten all of them */
        assert_int_equal(stats_of(w).next_lsn, 41);
        assert_int_equal(messages_on_disk(w), 40);
    }
}

/* Version 3.1.1 can't tell the broker a limit: what never fits would be sent again and again. */
static void a_message_larger_than_the_spool(void **state)
{
    struct world *w = *state;
    arrive(w, "a/x", 1, false, 2 * SPOOL_BYTES);
    arrive(w, "a/y", 1, false, 10);
    assert_false(w->s->wants_disconnect);
    assert_int_equal(atomic_load(&w->s->refused), 0);
    assert_int_equal(stats_of(w).next_lsn, 3);
    assert_true(stats_of(w).bytes < MQTT_REJECT_HEAD + 1000);
    assert_int_equal(held(w), mqtt_puback_is_held() ? 2 : 0);
}

/* Of a session that another program began, over 3.1.1: its PUBREC is out when the callback runs. */
static void qos_2_over_3_1_1(void **state)
{
    struct world *w = *state;
    w->s->version = MQTT_VERSION_311;
    arrive(w, "a/x", 2, false, 10);
    arrive(w, "b/x", 2, false, 10);
    atomic_store(&w->s->accepting, false);
    arrive(w, "a/y", 2, false, 10);
    assert_int_equal(held(w), 0);
    assert_int_equal(atomic_load(&w->s->refused), 0);
    assert_int_equal(messages_on_disk(w), 2);
}

static void qos_2_over_5(void **state)
{
    struct world *w = *state;
    arrive(w, "a/x", 2, false, 10);
    arrive(w, "b/x", 2, false, 10);
    atomic_store(&w->s->accepting, false);
    arrive(w, "a/y", 2, false, 10);
    assert_int_equal(held(w), mqtt_puback_is_held() ? 2 : 0);
    assert_int_equal(atomic_load(&w->s->refused), mqtt_puback_is_held() ? 1 : 0);
}

/* The PUBACK of what is dropped waits for the copy that is kept. */
static void what_comes_again(void **state)
{
    struct world *w = *state;
    arrive_as(w, 41, false, "a/x", 1, false, 10);
    arrive_as(w, 41, true, "a/x", 1, false, 10);
    arrive_as(w, 41, true, "a/x", 1, false, 11);
    arrive_as(w, 42, true, "a/x", 1, false, 10);
    assert_int_equal(stats_of(w).next_lsn, mqtt_puback_is_held() ? 4 : 5);
    assert_int_equal(held(w), mqtt_puback_is_held() ? 4 : 0);
    /* Without a held PUBACK the broker may have used the id for another one. */
    assert_int_equal(atomic_load(&w->s->redelivered), mqtt_puback_is_held() ? 1 : 0);
    assert_int_equal(atomic_load(&w->s->ambiguous), mqtt_puback_is_held() ? 0 : 1);
}

static void a_disk_that_fails(void **state)
{
    struct world *w = *state;
    struct error error = {0};
    atomic_store(&w->fs.fail_errno, ENOSPC);
    atomic_store(&w->fs.fail_at, 1);
    atomic_store(&w->fs.fails_after, 1000);
    arrive(w, "a/x", 1, false, 10);
    if (mqtt_puback_is_held())
        assert_true(spool_commit(w->s->spool, &error) < 0);
    else
        assert_true(w->s->wants_disconnect);
    assert_true(spool_has_failed(w->s->spool));
    arrive(w, "a/y", 1, false, 10);
    assert_true(w->s->wants_disconnect);
    atomic_store(&w->fs.fail_at, 0);
    atomic_store(&w->fs.fails_after, 0);
    assert_int_equal(spool_recover(w->s->spool, &error), 0);
    assert_int_equal(spool_commit(w->s->spool, &error), 0);
    /* The broker sends again what it had no PUBACK for; of the others we have the only copy. */
    assert_int_equal(messages_on_disk(w), mqtt_puback_is_held() ? 0 : 2);
}

static void the_mode_is_named(void **state)
{
    (void)state;
    assert_non_null(strstr(mqtt_puback_mode(),
                           mqtt_puback_is_held() ? "after the spool's fsync" : "a power loss isn't covered"));
    assert_int_equal(mqtt_puback_is_held(), mqtt_resolve_can_pin());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_is_held_or_written, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_wanted_is_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_larger_than_the_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(qos_2_over_3_1_1, setup, teardown),
        cmocka_unit_test_setup_teardown(qos_2_over_5, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails, setup, teardown),
        cmocka_unit_test(the_mode_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
