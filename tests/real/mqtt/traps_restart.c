/* Brokers that stop, crash, forget, and come back. */
#include "tests/real/mqtt/world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/clock.h"

static void broker_restart(const char *end, bool loses_session)
{
    struct node n;
    const char *name = unique("restart");
    char topic[128], command[512];
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 500, 0);
    assert_true(node_wait_rows(&n, 500, 10000));
    clock_sleep_ms(1500);                /* mosquitto saves once a second */
    publish(topic, 1, "m", 500, 520, 0); /* the first of these were answered a second ago */
    assert_true(node_wait_rows(&n, 520, 10000));
    clock_sleep_ms(1500);
    broker(end);
    if (loses_session) {
        snprintf(command, sizeof command, "rm -rf '%s/data/'*", need("MQTT_DIR"));
        assert_int_equal(system(command), 0);
    }
    broker("restart");
    assert_true(node_wait_metric(&n, "varve_mqtt_connects_total", 2, 40000));
    publish(topic, 1, "m", 520, 1000, 0);
    assert_true(node_wait_rows(&n, 1000, 10000));
    assert_int_equal(assert_none_missing(&n, "m", 1000), 0);
    assert_true(node_metric(&n, "varve_mqtt_lost_connections_total") >= 1);
    /* What the session held is gone: that it was lost is counted, and packet ids begin anew. */
    assert_int_equal(node_metric(&n, "varve_mqtt_sessions_lost_total"), loses_session);
    /* A killed broker may have saved less than it gave out, and then it doesn't count up. */
    if (strcmp(end, "kill") != 0)
        assert_int_equal(node_metric(&n, "varve_mqtt_packet_ids_count_up"), !loses_session);
    node_close(&n);
}

static void trap_broker_restart(void **state)
{
    (void)state;
    broker_restart("stop", false);
}

static void trap_broker_killed(void **state)
{
    (void)state;
    broker_restart("kill", false);
}

static void trap_broker_restart_without_session(void **state)
{
    (void)state;
    broker_restart("stop", true);
}

static void shell(const char *format)
{
    char line[1024];
    (void)snprintf(line, sizeof line, format, need("MQTT_DIR"));
    if (system(line) != 0)
        fail_msg("%s", line);
}

/* The broker comes back with a state from before our PUBACKs: what it brings back is stored again, and
 * counted, as by the protocol these are new messages. */
static void trap_broker_that_brings_back(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("back");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 20, 0);
    assert_true(node_wait_rows(&n, 20, 10000));
    clock_sleep_ms(1100);
    publish(topic, 1, "m", 20, 40, 0);
    assert_true(node_wait_rows(&n, 40, 10000));
    assert_int_equal(node_metric(&n, "varve_mqtt_packet_ids_count_up"), 1);
    (void)node_stop(&n);
    publish(topic, 1, "m", 40, 60, 0); /* queued in the session */
    broker("stop");
    shell("rm -rf '%1$s/old' && cp -a '%1$s/data' '%1$s/old'");
    broker("restart");
    node_connect(&n);
    assert_true(node_wait_rows(&n, 60, 10000));
    assert_int_equal(assert_none_missing(&n, "m", 60), 0);
    clock_sleep_ms(300);
    broker("kill");
    shell("rm -rf '%1$s/data' && mv '%1$s/old' '%1$s/data'");
    broker("restart");
    assert_true(node_wait_rows(&n, 80, 40000));
    clock_sleep_ms(300);
    assert_int_equal(assert_none_missing(&n, "m", 60), 20);
    assert_int_equal(node_metric(&n, "varve_mqtt_ambiguous_redelivery_total"), 20);
    assert_int_equal(node_metric(&n, "varve_mqtt_sessions_lost_total"), 0);
    node_close(&n);
}

/* Cuts this process's connections with the broker, without a DISCONNECT. */
static void cut_connections(void)
{
    in_port_t port = htons((uint16_t)atoi(need("MQTT_PORT")));
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == port)
            (void)shutdown(fd, SHUT_RDWR);
    }
}

/* The connection is cut again and again while messages stream in: what is sent again isn't stored again. */
static void trap_connection_cut_in_the_stream(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("cut");
    char topic[128];
    const size_t count = 30000;
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t i = 0; i < 3; i++) { /* over a second: the broker is seen to count ids up */
        publish(topic, 1, "m", i * 10, (i + 1) * 10, 0);
        clock_sleep_ms(600);
    }
    assert_true(node_wait_metric(&n, "varve_mqtt_packet_ids_count_up", 1, 5000));
    (void)node_stop(&n);
    publish(topic, 1, "m", 30, count, 100);
    atomic_store(&n.fs.sync_ms, 20); /* PUBACKs are under way all the time */
    node_start(&n);
    /* Each time in the middle of it, and more than may be in flight further on: a connection counts as one
     * only when the SUBACK is there, which may come behind all that the session held. */
    for (uint64_t cuts = 0; cuts < 4; cuts++) {
        uint64_t received = node_metric(&n, "varve_mqtt_received_messages_total");
        assert_true(node_wait_metric(&n, "varve_mqtt_received_messages_total", received + 3000, 30000));
        cut_connections();
    }
    atomic_store(&n.fs.sync_ms, 0);
    size_t doubles = node_wait_all(&n, "m", count, 60000);
    uint64_t redelivered = node_metric(&n, "varve_mqtt_redelivered_messages_total");
    print_message("sent again and dropped: %u\n", (unsigned)redelivered);
    assert_true(redelivered > 0);
    assert_int_equal(doubles, 0);
    assert_int_equal(node_metric(&n, "varve_mqtt_ambiguous_redelivery_total"), 0);
    node_close(&n);
}

static size_t count_seen(struct node *n, unsigned *seen, size_t count)
{
    size_t fresh = 0;
    node_commit(n);
    mutex_lock(&n->catcher.lock);
    for (size_t i = 0; i < n->catcher.rows_count; i++) {
        size_t number = strtoul(n->catcher.rows[i].key + 1, NULL, 10);
        fresh += number < count && seen[number]++ == 0;
    }
    mutex_unlock(&n->catcher.lock);
    return fresh;
}

/* Two members of a shared subscription, whose connections are cut while PUBACKs are held: what one had may go
 * to the other, or come again to it. Nothing is missing; what is there twice is the broker's affair. */
static void trap_members_of_a_shared_subscription(void **state)
{
    (void)state;
    static unsigned seen[6000];
    const size_t count = sizeof seen / sizeof *seen;
    struct node a, b;
    const char *name = unique("members");
    char filter[128], topic[128];
    snprintf(filter, sizeof filter, "$share/group/%s/+", name);
    snprintf(topic, sizeof topic, "%s/x", name);
    struct node *const nodes[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        node_open(nodes[i], unique("member"), 1);
        node_subscribe(nodes[i], 0, filter, 1);
        nodes[i]->options.receive_maximum = 100;
        atomic_store(&nodes[i]->fs.sync_ms, 20);
        node_connect(nodes[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        publish(topic, 1, "m", i * 2000, (i + 1) * 2000, 50);
        cut_connections();
        assert_true(node_wait_metric(&a, "varve_mqtt_connects_total", i + 2, 30000));
        assert_true(node_wait_metric(&b, "varve_mqtt_connects_total", i + 2, 30000));
    }
    size_t found = 0, rows = 0;
    for (int i = 0; i < 300 && found < count; i++) {
        clock_sleep_ms(100);
        memset(seen, 0, sizeof seen);
        found = count_seen(&a, seen, count) + count_seen(&b, seen, count);
    }
    rows = batch_catcher_count(&a.catcher) + batch_catcher_count(&b.catcher);
    print_message("shared: %zu and %zu messages, %zu of them twice\n", batch_catcher_count(&a.catcher),
                  batch_catcher_count(&b.catcher), rows - found);
    assert_int_equal(found, count);
    assert_true(batch_catcher_count(&a.catcher) > count / 10);
    assert_true(batch_catcher_count(&b.catcher) > count / 10);
    node_close(&a);
    node_close(&b);
}

/* One message to either broker. */
static void publish_at(const char *port_variable, const char *topic, const char *payload)
{
    char command[512];
    snprintf(command, sizeof command, "mosquitto_pub -V 5 -h 127.0.0.1 -p %s -q 1 -t '%s' -m '%s'",
             need(port_variable), topic, payload);
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* The connection ends while PUBACKs wait for the fsync: none is written to what paho says the socket is then,
 * which is 0. */
static void trap_puback_of_a_lost_connection(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("late");
    char topic[128], byte;
    int pair[2], kept = dup(0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(dup2(pair[0], 0), 0);
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 100, 0);
    assert_true(node_wait_rows(&n, 100, 10000));
    clock_sleep_ms(1500); /* mosquitto saves once a second */
    atomic_store(&n.fs.sync_ms, 2000);
    publish(topic, 1, "m", 100, 200, 0);
    broker("kill");
    assert_true(node_wait_metric(&n, "varve_mqtt_lost_connections_total", 1, 10000));
    assert_true(node_wait_metric(&n, "varve_spool_durable_lsn", 101, 10000));
    atomic_store(&n.fs.sync_ms, 0);
    clock_sleep_ms(300);
    ssize_t got = recv(pair[1], &byte, 1, MSG_DONTWAIT);
    if (got >= 0 || errno != EAGAIN)
        fail_msg("a PUBACK went to file descriptor 0 (recv: %zd)", got);
    broker("restart");
    assert_true(node_wait_metric(&n, "varve_mqtt_connects_total", 2, 40000));
    publish(topic, 1, "m", 200, 300, 0);
    print_message("twice: %zu\n", node_wait_all(&n, "m", 300, 20000));
    node_close(&n);
    assert_true(recv(pair[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    if (kept >= 0) {
        (void)dup2(kept, 0);
        close(kept);
    }
    close(pair[0]);
    close(pair[1]);
}

/* Two brokers, one client id: paho tells its callbacks of the PUBACK no more than that. With windows of one
 * each PUBACK that goes to the wrong broker, or to none, stops the flow. */
static void trap_one_client_id_at_two_brokers(void **state)
{
    (void)state;
    struct node a, b;
    const char *name = unique("same");
    char topic[128], payload[32];
    node_open(&a, name, 1);
    node_open(&b, name, 1);
    snprintf(b.spool_path, sizeof b.spool_path, "%s/spool/%s-other", need("WORK_DIR"), name);
    node_set_broker(&b, "mqtt", "127.0.0.1", "MQTT_PORT_OTHER");
    a.options.receive_maximum = b.options.receive_maximum = 1;
    atomic_store(&a.fs.sync_ms, 3);
    node_connect(&a);
    node_connect(&b);
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t i = 0; i < 40; i++) {
        snprintf(payload, sizeof payload, "m%zu", i);
        publish_at("MQTT_PORT", topic, payload);
        publish_at("MQTT_PORT_OTHER", topic, payload);
    }
    assert_true(node_wait_rows(&a, 40, 10000));
    assert_true(node_wait_rows(&b, 40, 10000));
    assert_int_equal(assert_none_missing(&a, "m", 40), 0);
    assert_int_equal(assert_none_missing(&b, "m", 40), 0);
    (void)node_stop(&a);
    (void)node_stop(&b);
    /* Nothing is left to be sent again. */
    node_connect(&a);
    node_connect(&b);
    clock_sleep_ms(300);
    assert_int_equal(node_metric(&a, "varve_mqtt_received_messages_total"), 0);
    assert_int_equal(node_metric(&b, "varve_mqtt_received_messages_total"), 0);
    node_close(&a);
    node_close(&b);
}

/* Nobody there: tries become rarer; and when the broker is there, one of them finds it. */
static void trap_back_off(void **state)
{
    (void)state;
    struct node n;
    int64_t at[5];
    node_open(&n, unique("backoff"), 1);
    broker("stop");
    node_start(&n);
    for (size_t i = 0; i < 5; i++) {
        assert_true(node_wait_metric(&n, "varve_mqtt_connect_failures_total", i + 1, 20000));
        at[i] = clock_monotonic_ms();
    }
    print_message("between tries: %d, %d, %d, %d ms\n", (int)(at[1] - at[0]), (int)(at[2] - at[1]),
                  (int)(at[3] - at[2]), (int)(at[4] - at[3]));
    /* 0.5, 1, 2, 4 s, each of them half of it at least; 50 ms for when we looked. */
    for (size_t i = 0; i < 4; i++)
        assert_true(at[i + 1] - at[i] >= (250 << i) - 50);
    broker("restart");
    assert_true(node_wait_metric(&n, "varve_mqtt_connects_total", 1, 20000));
    node_close(&n);
}

/* Two processes with one client id throw each other out: connections that don't last don't end the back-off.
 */
static void trap_client_id_taken_twice(void **state)
{
    (void)state;
    struct node a, b;
    const char *name = unique("taken");
    node_open(&a, name, 1);
    node_open(&b, name, 1);
    snprintf(b.spool_path, sizeof b.spool_path, "%s/spool/%s-b", need("WORK_DIR"), name);
    node_start(&a);
    node_start(&b);
    clock_sleep_ms(5000);
    uint64_t connects =
        node_metric(&a, "varve_mqtt_connects_total") + node_metric(&b, "varve_mqtt_connects_total");
    print_message("connections made in 5 s: %u\n", (unsigned)connects);
    assert_true(connects >= 2 && connects <= 16);
    node_close(&a);
    node_close(&b);
}

const struct CMUnitTest restart_traps[] = {
    cmocka_unit_test(trap_broker_restart),
    cmocka_unit_test(trap_broker_killed),
    cmocka_unit_test(trap_broker_restart_without_session),
    cmocka_unit_test(trap_broker_that_brings_back),
    cmocka_unit_test(trap_connection_cut_in_the_stream),
    cmocka_unit_test(trap_members_of_a_shared_subscription),
    cmocka_unit_test(trap_puback_of_a_lost_connection),
    cmocka_unit_test(trap_one_client_id_at_two_brokers),
    cmocka_unit_test(trap_back_off),
    cmocka_unit_test(trap_client_id_taken_twice),
};
const size_t restart_traps_count = sizeof restart_traps / sizeof *restart_traps;
