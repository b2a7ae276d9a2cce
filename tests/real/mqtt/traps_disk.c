#include "tests/real/mqtt/world.h"

#include <errno.h>
#include <stdio.h>

#include "sinks/mqtt/mqtt_puback.h"
#include "src/base/clock.h"

/* With a window of one the broker sends the next message only after the PUBACK of the one before. */
static void trap_puback_waits_for_the_fsync(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("hold");
    char topic[128];
    node_open(&n, name, 1);
    n.options.receive_maximum = 1;
    node_connect(&n);
    atomic_store(&n.fs.sync_ms, 1500);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 2, 0);
    assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", 1, 2000));
    clock_sleep_ms(700);
    assert_int_equal(node_metric(&n, "varve_mqtt_received_messages_total"), 1);
    assert_int_equal(node_metric(&n, "varve_mqtt_held_pubacks"), 1);
    assert_int_equal(batch_catcher_count(&n.catcher), 0); /* nor is it delivered before it's durable */
    assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", 2, 2000));
    atomic_store(&n.fs.sync_ms, 0);
    assert_true(node_wait_rows(&n, 2, 5000));
    node_close(&n);
}

/* Drains a queue of the broker's. Returns messages a second. */
static double drain(int sync_ms, size_t count)
{
    struct node n;
    const char *name = unique("drain");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    (void)node_stop(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, count, 200);
    atomic_store(&n.fs.sync_ms, sync_ms);
    node_start(&n);
    assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", 1, 15000));
    int64_t start = clock_monotonic_ms();
    assert_true(node_wait_metric(&n, "varve_spool_durable_lsn", count, 120000));
    int64_t took = clock_monotonic_ms() - start;
    int syncs = atomic_load(&n.fs.syncs);
    assert_true(node_wait_rows(&n, count, 30000));
    (void)assert_none_missing(&n, "m", count);
    assert_int_equal(node_metric(&n, "varve_mqtt_lost_connections_total"), 0);
    node_close(&n);
    print_message("fsync + %d ms: %zu messages in %d ms, %d fsyncs\n", sync_ms, count, (int)took, syncs);
    return (double)count * 1000 / (double)(took ? took : 1);
}

/* Other programs on the machine slow down now the one, now the other: the best of three. */
static void trap_slow_fsync(void **state)
{
    (void)state;
    double best = 0;
    for (int i = 0; i < 3 && best <= 0.5; i++) {
        double fast = drain(0, 60000), slow = drain(5, 60000);
        print_message("messages a second: %.0f, with 5 ms an fsync %.0f\n", fast, slow);
        best = slow / fast > best ? slow / fast : best;
    }
    assert_true(best > 0.5);
}

/* An fsync of 12 s, with a keepalive of 5 s: the connection stays. Nor does another sink notice: the thread
 * that serves both waits for nobody's disk. */
static void trap_stuck_disk(void **state)
{
    (void)state;
    struct node n, other;
    const char *name = unique("stuck"), *other_name = unique("free");
    char topic[128], other_topic[128];
    int64_t worst = 0;
    node_open(&n, name, 1);
    node_open(&other, other_name, 1);
    node_connect(&n);
    node_connect(&other);
    atomic_store(&n.fs.sync_ms, 12000);
    snprintf(topic, sizeof topic, "%s/x", name);
    snprintf(other_topic, sizeof other_topic, "%s/x", other_name);
    publish(topic, 1, "m", 0, 10, 0);
    int64_t end = clock_monotonic_ms() + 11000;
    for (size_t i = 0; clock_monotonic_ms() < end; i++) {
        int64_t start = clock_monotonic_ms();
        publish(other_topic, 1, "m", i, i + 1, 0);
        assert_true(node_wait_rows(&other, i + 1, 10000));
        int64_t took = clock_monotonic_ms() - start;
        worst = took > worst ? took : worst;
        clock_sleep_ms(100);
    }
    print_message("the other sink's slowest message: %d ms\n", (int)worst);
    assert_true(worst < 3000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 1);
    assert_int_equal(node_metric(&n, "varve_mqtt_held_pubacks"), 10);
    atomic_store(&n.fs.sync_ms, 0);
    assert_true(node_wait_rows(&n, 10, 15000));
    assert_int_equal(node_metric(&n, "varve_mqtt_lost_connections_total"), 0);
    assert_int_equal(assert_none_missing(&n, "m", 10), 0);
    node_close(&n);
    node_close(&other);
}

/* An SD card's fsyncs, and a worse one's, under a flow that never ends and then in silence: the broker gets a
 * packet from us within one and a half keepalives, or it would end the connection. */
static void trap_keepalive_over_a_slow_disk(void **state)
{
    (void)state;
    enum { NODES = 2, MESSAGES = 3000 };
    const int sync_ms[NODES] = {5, 100};
    struct node n[NODES];
    char topic[128];
    for (size_t i = 0; i < NODES; i++) {
        node_open(&n[i], unique("slow"), 1);
        n[i].options.keepalive_s = 3;
        node_connect(&n[i]);
        atomic_store(&n[i].fs.sync_ms, sync_ms[i]);
    }
    int64_t end = clock_monotonic_ms() + 5000;
    size_t sent = 0;
    while (clock_monotonic_ms() < end) {
        for (size_t i = 0; i < NODES; i++) {
            snprintf(topic, sizeof topic, "%s/x", n[i].client_id);
            publish(topic, 1, "m", sent, sent + MESSAGES, 100);
        }
        sent += MESSAGES;
    }
    clock_sleep_ms(7000);
    for (size_t i = 0; i < NODES; i++) {
        assert_true(node_wait_rows(&n[i], sent, 30000));
        assert_int_equal(assert_none_missing(&n[i], "m", sent), 0);
        assert_int_equal(node_metric(&n[i], "varve_mqtt_lost_connections_total"), 0);
        node_close(&n[i]);
    }
    print_message("%zu messages each\n", sent);
}

/* The store doesn't take anything: the spool fills, the connection ends, and the broker keeps the rest. */
static void trap_spool_full(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("full");
    char topic[128];
    node_open(&n, name, 1);
    n.options.max_packet_size = 64 << 10;
    n.options.spool_max_bytes = 1 << 20;
    node_connect(&n);
    atomic_store(&n.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 5000, 1000);
    int64_t deadline = clock_monotonic_ms() + 10000;
    while (node_metric(&n, "varve_mqtt_connected") && clock_monotonic_ms() < deadline)
        clock_sleep_ms(10);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 0);
    uint64_t bytes = node_metric(&n, "varve_spool_bytes");
    if (mqtt_puback_is_held() &&
        bytes > 1 << 20) /* else what paho has read is taken: the broker forgets it */
        fail_msg("%u bytes of spool, %u allowed", (unsigned)bytes, 1u << 20);
    clock_sleep_ms(1000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 0);
    atomic_store(&n.catcher.pause_reasons, 0);
    print_message("twice: %zu\n", node_wait_all(&n, "m", 5000, 60000));
    assert_true(node_metric(&n, "varve_mqtt_connects_total") >= 2);
    assert_int_equal(node_metric(&n, "varve_mqtt_spool_full_dropped_messages_total"), 0);
    node_close(&n);
}

static void trap_qos0_at_a_full_spool(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("full0");
    char topic[128];
    node_open(&n, name, 0);
    n.options.max_packet_size = 64 << 10;
    n.options.spool_max_bytes = 1 << 20;
    node_connect(&n);
    atomic_store(&n.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 0, "m", 0, 3000, 1000);
    assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", 3000, 20000));
    uint64_t dropped = node_metric(&n, "varve_mqtt_spool_full_dropped_messages_total");
    print_message("dropped %u of 3000\n", (unsigned)dropped);
    assert_true(dropped >= 1000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 1);
    atomic_store(&n.catcher.pause_reasons, 0); /* each of the others is there, once */
    assert_true(node_wait_rows(&n, 3000 - dropped, 20000));
    clock_sleep_ms(200);
    assert_int_equal(batch_catcher_count(&n.catcher), 3000 - dropped);
    node_close(&n);
}

/* A full disk, then a failing one: nothing is acknowledged that isn't durable, and nothing is lost. */
static void trap_disk_fails(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("fails");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t i = 0; i < 6; i++) {
        publish(topic, 1, "m", i * 500, i * 500 + 250, 100);
        atomic_store(&n.fs.fail_errno, i % 2 ? EIO : ENOSPC);
        atomic_store(&n.fs.fails_after, (int)i);
        atomic_store(&n.fs.fail_at, 1 + (int)(i / 2));
        publish(topic, 1, "m", i * 500 + 250, (i + 1) * 500, 100);
    }
    size_t doubles = node_wait_all(&n, "m", 3000, 60000);
    assert_true(node_metric(&n, "varve_spool_failures_total") >= 1);
    print_message("failures %u, discarded %u, twice %zu\n",
                  (unsigned)node_metric(&n, "varve_spool_failures_total"),
                  (unsigned)node_metric(&n, "varve_spool_discarded_messages_total"), doubles);
    node_close(&n);
}

/* A disk with room for a new segment's header, not for messages: the broker isn't asked for them over and
 * over, but less and less often. */
static void trap_disk_nearly_full(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("nearly");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    atomic_store(&n.fs.writes_max, 100);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 500, 100);
    clock_sleep_ms(8000);
    uint64_t failures = node_metric(&n, "varve_spool_failures_total");
    print_message("failures in 8 s: %u\n", (unsigned)failures);
    if (mqtt_puback_is_held()) /* else the spool itself is tried again, without the broker */
        assert_in_range(failures, 2, 5);
    atomic_store(&n.fs.writes_max, 0);
    print_message("twice: %zu\n", node_wait_all(&n, "m", 500, 60000));
    node_close(&n);
}

/* Clean stops in the middle of a stream: the broker has read every PUBACK before the connection ends, so that
 * nothing comes twice. Returns the doubles; *ret_slow: a stop gave up waiting for the broker. */
static size_t stop_in_the_stream(enum mqtt_version version, bool *ret_slow)
{
    struct node n;
    const char *name = unique("stop");
    char topic[128];
    const size_t count = 40000;
    *ret_slow = false;
    node_open(&n, name, 1);
    n.options.version = version;
    node_connect(&n); /* makes the session */
    (void)node_stop(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, count, 100);
    for (size_t stops = 0; stops < 8; stops++) {
        node_connect(&n);
        clock_sleep_ms(40 + 20 * (int64_t)stops);
        int64_t took = node_stop(&n);
        if (took > 5000)
            fail_msg("stop took %d ms", (int)took);
        *ret_slow |= took >= 1000; /* BROKER_WAIT_MS of mqtt_connection.c */
    }
    node_connect(&n);
    assert_true(node_wait_rows(&n, count, 60000));
    clock_sleep_ms(500);
    size_t doubles = assert_none_missing(&n, "m", count);
    node_close(&n);
    return doubles;
}

/* A broker that is busy with its database (or gets no CPU) doesn't read in time: then another try counts. */
static void assert_stops_are_clean(enum mqtt_version version)
{
    bool is_slow = true;
    size_t doubles = 1;
    for (int i = 0; i < 4 && is_slow && doubles; i++) {
        doubles = stop_in_the_stream(version, &is_slow);
        print_message("doubles %zu%s\n", doubles, is_slow ? ", the broker was slow" : "");
    }
    assert_int_equal(doubles, 0);
}

static void trap_stop_in_the_stream_v5(void **state)
{
    (void)state;
    assert_stops_are_clean(MQTT_VERSION_5);
}

static void trap_stop_in_the_stream_v311(void **state)
{
    (void)state;
    assert_stops_are_clean(MQTT_VERSION_311);
}

/* A build that can't hold PUBACKs: with a window of one the second message comes while the first one's fsync
 * still runs. Nothing is delivered before it's durable all the same. */
static void trap_puback_after_write(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("write");
    char topic[128];
    node_open(&n, name, 1);
    n.options.receive_maximum = 1;
    node_connect(&n);
    atomic_store(&n.fs.sync_ms, 3000);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 20, 0);
    assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", 20, 2500));
    assert_int_equal(node_metric(&n, "varve_mqtt_held_pubacks"), 0);
    assert_int_equal(batch_catcher_count(&n.catcher), 0);
    atomic_store(&n.fs.sync_ms, 0);
    assert_true(node_wait_rows(&n, 20, 15000));
    assert_int_equal(assert_none_missing(&n, "m", 20), 0);
    node_close(&n);
}

const struct CMUnitTest unheld_traps[] = {cmocka_unit_test(trap_puback_after_write)};
const size_t unheld_traps_count = sizeof unheld_traps / sizeof *unheld_traps;

const struct CMUnitTest disk_traps[] = {
    cmocka_unit_test(trap_spool_full),
    cmocka_unit_test(trap_qos0_at_a_full_spool),
    cmocka_unit_test(trap_disk_fails),
    cmocka_unit_test(trap_disk_nearly_full),
};
const size_t disk_traps_count = sizeof disk_traps / sizeof *disk_traps;

const struct CMUnitTest held_traps[] = {
    cmocka_unit_test(trap_puback_waits_for_the_fsync),
    cmocka_unit_test(trap_stuck_disk),
    cmocka_unit_test(trap_keepalive_over_a_slow_disk),
};
const size_t held_traps_count = sizeof held_traps / sizeof *held_traps;

const struct CMUnitTest pace_traps[] = {
    cmocka_unit_test(trap_slow_fsync),
    cmocka_unit_test(trap_stop_in_the_stream_v5),
    cmocka_unit_test(trap_stop_in_the_stream_v311),
};
const size_t pace_traps_count = sizeof pace_traps / sizeof *pace_traps;
