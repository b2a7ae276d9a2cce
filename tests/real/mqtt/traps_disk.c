#include "tests/real/mqtt/world.h"

#include <errno.h>
#include <stdio.h>

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
    node_connect(&n);
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

static void trap_slow_fsync(void **state)
{
    (void)state;
    double fast = drain(0, 60000), slow = drain(5, 60000);
    print_message("messages a second: %.0f, with 5 ms an fsync %.0f\n", fast, slow);
    assert_true(slow > 0.5 * fast);
}

/* An fsync of 12 s, with a keepalive of 5 s: the connection stays. */
static void trap_keepalive_over_a_stuck_disk(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("stuck");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    atomic_store(&n.fs.sync_ms, 12000);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 10, 0);
    clock_sleep_ms(11000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 1);
    atomic_store(&n.fs.sync_ms, 0);
    assert_true(node_wait_rows(&n, 10, 15000));
    assert_int_equal(node_metric(&n, "varve_mqtt_lost_connections_total"), 0);
    assert_int_equal(assert_none_missing(&n, "m", 10), 0);
    node_close(&n);
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
    assert_true(node_metric(&n, "varve_spool_bytes") <= 1 << 20);
    clock_sleep_ms(1000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 0);
    atomic_store(&n.catcher.pause_reasons, 0);
    print_message("twice: %zu\n", node_wait_all(&n, "m", 5000, 60000));
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
    assert_true(node_wait_metric(&n, "varve_mqtt_spool_full_dropped_messages_total", 1000, 10000));
    assert_int_equal(node_metric(&n, "varve_mqtt_connected"), 1);
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

const struct CMUnitTest disk_traps[] = {
    cmocka_unit_test(trap_puback_waits_for_the_fsync),  cmocka_unit_test(trap_slow_fsync),
    cmocka_unit_test(trap_keepalive_over_a_stuck_disk), cmocka_unit_test(trap_spool_full),
    cmocka_unit_test(trap_qos0_at_a_full_spool),        cmocka_unit_test(trap_disk_fails),
};
const size_t disk_traps_count = sizeof disk_traps / sizeof *disk_traps;
