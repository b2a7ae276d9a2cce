#include "tests/real/mqtt/world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sinks/label_set.h"
#include "src/base/clock.h"

static void deliver(enum mqtt_version version, int qos)
{
    struct node n;
    const char *name = unique("plain");
    char topic[128];
    node_open(&n, name, qos);
    n.options.version = version;
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, qos, "m", 0, 2000, 0);
    assert_true(node_wait_rows(&n, 2000, 20000));
    assert_int_equal(assert_none_missing(&n, "m", 2000), 0);
    node_commit(&n);
    int64_t took = node_stop(&n);
    if (took > 4000)
        fail_msg("stop took %d ms", (int)took);
    node_close(&n);
}

static void trap_qos0_v5(void **state)
{
    (void)state;
    deliver(MQTT_VERSION_5, 0);
}

static void trap_qos1_v5(void **state)
{
    (void)state;
    deliver(MQTT_VERSION_5, 1);
}

static void trap_qos2_v5(void **state)
{
    (void)state;
    deliver(MQTT_VERSION_5, 2);
}

static void trap_qos1_v311(void **state)
{
    (void)state;
    deliver(MQTT_VERSION_311, 1);
}

/* A clean stop and a new start: what was published meanwhile comes, and nothing twice. */
static void trap_session_goes_on(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("session");
    char topic[128];
    node_open(&n, name, 1);
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t round = 0; round < 3; round++) {
        node_connect(&n);
        publish(topic, 1, "m", round * 1000, round * 1000 + 500, 0);
        assert_true(node_wait_rows(&n, round * 1000 + 500, 10000));
        (void)node_stop(&n);
        publish(topic, 1, "m", round * 1000 + 500, (round + 1) * 1000, 0);
    }
    node_connect(&n);
    assert_true(node_wait_rows(&n, 3000, 10000));
    clock_sleep_ms(200);
    assert_int_equal(assert_none_missing(&n, "m", 3000), 0);
    node_close(&n);
}

int victim_main(const char *name)
{
    struct node n;
    node_open(&n, name, strncmp(name, "kill2-", 6) == 0 ? 2 : 1);
    node_start(&n);
    for (;;)
        pause();
}

static pid_t start_victim(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, 2);
        execl("/proc/self/exe", "mqtt_traps", "victim", name, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Killed in the middle of the stream, again and again: what was acknowledged is in the spool, the rest at the
 * broker. Nothing is missing, nothing is there twice. */
static void kill_in_the_stream(int qos)
{
    struct node n;
    const char *name = unique(qos == 2 ? "kill2-" : "kill1-");
    char topic[128];
    const size_t count = qos == 2 ? 10000 : 40000; /* of QoS 2 mosquitto sends all of a backlog at once */
    node_open(&n, name, qos);
    node_connect(&n); /* makes the session */
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t i = 0; i < 3; i++) { /* over a second: the broker is seen to count packet ids up */
        publish(topic, qos, "m", i * 10, (i + 1) * 10, 0);
        clock_sleep_ms(600);
    }
    assert_true(node_wait_metric(&n, "varve_mqtt_packet_ids_count_up", 1, 5000));
    (void)node_stop(&n);
    publish(topic, qos, "m", 30, count, 100);
    for (int i = 0; i < 8; i++) {
        pid_t pid = start_victim(name);
        clock_sleep_ms(qos == 2 ? 60 + 20 * i : 120 + 40 * i);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    struct node last;
    node_open(&last, name, qos);
    node_connect(&last);
    size_t doubles = node_wait_all(&last, "m", count, 60000);
    print_message("8 kills: none of %zu missing, %zu came twice; from the spool %u\n", count, doubles,
                  (unsigned)node_metric(&last, "varve_spool_next_lsn"));
    assert_int_equal(doubles, 0);
    node_close(&last);
    node_close(&n);
}

static void trap_kill_with_held_pubacks(void **state)
{
    (void)state;
    kill_in_the_stream(1);
}

static void trap_kill_with_held_pubrecs(void **state)
{
    (void)state;
    kill_in_the_stream(2);
}

/* A replay gives the same rows: the time of arrival is in the spool. */
static void trap_replay_gives_the_same_times(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("replay");
    char topic[128];
    node_open(&n, name, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 100, 0);
    assert_true(batch_catcher_wait(&n.catcher, 100, 10000));
    int64_t first = n.catcher.rows[0].time_ms, last = n.catcher.rows[99].time_ms;
    assert_true(first > 0);
    n.sink->ops->stop(n.sink);
    n.sink->ops->free(n.sink);
    n.sink = NULL;
    batch_catcher_crash(&n.catcher); /* nothing was committed */
    assert_int_equal(batch_catcher_count(&n.catcher), 0);
    clock_sleep_ms(50);
    node_connect(&n);
    assert_true(batch_catcher_wait(&n.catcher, 100, 10000));
    assert_int_equal(n.catcher.rows[0].time_ms, first);
    assert_int_equal(n.catcher.rows[99].time_ms, last);
    assert_int_equal(assert_none_missing(&n, "m", 100), 0);
    node_close(&n);
}

static void trap_labels_and_rejects(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("labels");
    char filter[128];
    struct label_set *set = NULL;
    const struct label_set_text texts[] = {{"plant", "$1"}, {"rest", "$#"}, {"topic", "$topic"}};
    node_open(&n, name, 1);
    snprintf(filter, sizeof filter, "%s/+/lines/#", name);
    node_subscribe(&n, 0, filter, 1);
    assert_int_equal(label_set_compile(&set, texts, 3, mqtt_filter_captures(filter), NULL), 0);
    n.subscriptions[0].labels = set;
    node_connect(&n);
    publish_with("-q 1 -t %s/p1/lines/a/b -m m0", name);
    publish_with("-q 1 -t %s/p2/lines -m '!bad'", name);
    publish_with("-q 1 -t %s/p3/lines/z -m m1", name);
    assert_true(node_wait_rows(&n, 2, 10000));
    char want[256];
    snprintf(want, sizeof want, "plant=p1,rest=a/b,topic=%s/p1/lines/a/b", name);
    assert_string_equal(n.catcher.rows[0].labels, want);
    assert_int_equal(n.catcher.rejects_count, 1);
    snprintf(want, sizeof want, "%s/p2/lines@2", name);
    assert_string_equal(n.catcher.rejects[0].where, want);
    node_close(&n);
    label_set_free(set);
}

/* A session goes on sending what a filter asked for that isn't configured any more. */
static void trap_filter_that_left(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("left");
    char a[64], b[64];
    snprintf(a, sizeof a, "%s/a", name);
    snprintf(b, sizeof b, "%s/b", name);
    node_open(&n, name, 1);
    node_subscribe(&n, 0, a, 1);
    node_subscribe(&n, 1, b, 1);
    node_connect(&n);
    (void)node_stop(&n);
    publish_with("-q 1 -t %s -m gone", b);
    n.options.subscriptions_count = 1;
    node_connect(&n);
    assert_true(
        node_wait_metric(&n, "varve_mqtt_unmatched_messages_total", 1, 5000)); /* acknowledged, and dropped */
    uint64_t received = node_metric(&n, "varve_mqtt_received_messages_total");
    publish_with("-q 1 -t %s -m gone", b);
    publish_with("-q 1 -t %s -m m0", a);
    assert_true(node_wait_rows(&n, 1, 5000));
    assert_int_equal(node_metric(&n, "varve_mqtt_received_messages_total"), received + 1);
    node_close(&n);
}

/* Of what is retained, three messages: one without a time of its own, one with, one published later on. */
static void retained(enum mqtt_version version, enum mqtt_retained policy, size_t want_rows,
                     size_t want_dropped)
{
    struct node n;
    const char *name = unique("retained");
    publish_with("-q 1 -r -t %s/x -m 'old value=1'", name);
    publish_with("-q 1 -r -t %s/y -m 'timed value=2 1700000000000'", name);
    node_open(&n, name, 1);
    n.options.version = version;
    n.options.retained = policy;
    n.subscriptions[0].decoder = decoder_find("influx");
    node_connect(&n);
    publish_with("-q 1 -t %s/x -m 'new value=3'", name);
    if (!node_wait_rows(&n, want_rows, 10000))
        fail_msg("%zu rows, not %zu", batch_catcher_count(&n.catcher), want_rows);
    clock_sleep_ms(100);
    assert_int_equal(batch_catcher_count(&n.catcher), want_rows);
    assert_int_equal(node_metric(&n, "varve_mqtt_retained_dropped_messages_total"), want_dropped);
    node_close(&n);
    publish_with("-q 1 -r -n -t %s/x", name);
    publish_with("-q 1 -r -n -t %s/y", name);
}

static void trap_retained(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        enum mqtt_version version = v ? MQTT_VERSION_5 : MQTT_VERSION_311;
        retained(version, MQTT_RETAINED_KEEP, 3, 0);
        /* 3.1.1 has no way to ask the broker not to send them. */
        retained(version, MQTT_RETAINED_DROP, 1, v ? 0 : 2);
        retained(version, MQTT_RETAINED_TIMESTAMPED, 2, 1);
    }
}

/* A filter that is new in the configuration takes effect though the session is an old one. */
static void trap_filter_that_came(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("came");
    char a[64], b[64];
    snprintf(a, sizeof a, "%s/a", name);
    snprintf(b, sizeof b, "%s/b", name);
    node_open(&n, name, 1);
    node_subscribe(&n, 0, a, 1);
    node_connect(&n);
    (void)node_stop(&n);
    node_subscribe(&n, 1, b, 1);
    node_connect(&n);
    publish_with("-q 1 -t %s -m m0", b);
    publish_with("-q 1 -t %s -m m1", a);
    assert_true(node_wait_rows(&n, 2, 10000));
    assert_int_equal(assert_none_missing(&n, "m", 2), 0);
    node_close(&n);
}

static void trap_shared_subscription(void **state)
{
    (void)state;
    struct node n;
    const char *name = unique("shared");
    char filter[128], topic[128];
    node_open(&n, name, 1);
    snprintf(filter, sizeof filter, "$share/group/%s/+", name);
    node_subscribe(&n, 0, filter, 1);
    node_connect(&n);
    snprintf(topic, sizeof topic, "%s/x", name);
    publish(topic, 1, "m", 0, 100, 0);
    assert_true(node_wait_rows(&n, 100, 10000));
    (void)assert_none_missing(&n, "m", 100);
    node_close(&n);
}

/* Two sinks at once. */
static void trap_two_sinks(void **state)
{
    (void)state;
    struct node a, b;
    const char *first = unique("two"), *second = unique("two");
    char topic[128];
    node_open(&a, first, 1);
    node_open(&b, second, 1);
    node_connect(&a);
    node_connect(&b);
    for (size_t i = 0; i < 10; i++) {
        snprintf(topic, sizeof topic, "%s/x", first);
        publish(topic, 1, "a", i * 100, (i + 1) * 100, 0);
        snprintf(topic, sizeof topic, "%s/x", second);
        publish(topic, 1, "b", i * 100, (i + 1) * 100, 0);
    }
    assert_true(node_wait_rows(&a, 1000, 10000));
    assert_true(node_wait_rows(&b, 1000, 10000));
    assert_int_equal(assert_none_missing(&a, "a", 1000), 0);
    assert_int_equal(assert_none_missing(&b, "b", 1000), 0);
    assert_true(node_wait_metric(&a, "varve_mqtt_held_pubacks", 0, 1000));
    node_close(&a);
    node_close(&b);
}

const struct CMUnitTest qos2_traps[] = {
    cmocka_unit_test(trap_qos2_v5),
    cmocka_unit_test(trap_kill_with_held_pubrecs),
};
const size_t qos2_traps_count = sizeof qos2_traps / sizeof *qos2_traps;

const struct CMUnitTest delivery_traps[] = {
    cmocka_unit_test(trap_qos0_v5),
    cmocka_unit_test(trap_qos1_v5),
    cmocka_unit_test(trap_qos1_v311),
    cmocka_unit_test(trap_session_goes_on),
    cmocka_unit_test(trap_kill_with_held_pubacks),
    cmocka_unit_test(trap_replay_gives_the_same_times),
    cmocka_unit_test(trap_labels_and_rejects),
    cmocka_unit_test(trap_filter_that_left),
    cmocka_unit_test(trap_filter_that_came),
    cmocka_unit_test(trap_retained),
    cmocka_unit_test(trap_shared_subscription),
    cmocka_unit_test(trap_two_sinks),
};
const size_t delivery_traps_count = sizeof delivery_traps / sizeof *delivery_traps;
