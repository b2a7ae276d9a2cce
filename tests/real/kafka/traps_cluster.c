/* Another cluster under the addresses that we know, and brokers that lost records which we have read: an
 * unclean election gives the partition to a replica that hadn't got them. The last part: it kills the broker
 * of the others. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "tests/real/kafka/world.h"

static void assert_rows_after(struct node *n, size_t rows)
{
    if (!batch_catcher_wait(&n->catcher, rows, 40000))
        fail_msg("%zu rows, not %zu", batch_catcher_count(&n->catcher), rows);
    clock_sleep_ms(500);
    assert_int_equal(batch_catcher_count(&n->catcher), rows);
}

/* A new topic's 100 records, over two partitions. */
static void read_hundred(struct node *n, const struct node_options *o)
{
    kt_create(o->topic, 2, NULL);
    publish(o->topic, "k", 0, 100, -1);
    node_open(n, "a");
    node_start(n, o);
    assert_rows_after(n, 100);
}

static const char known_elsewhere[] =
    "varve_kafka_partitions_known_elsewhere{sink=\"plant\",reason=\"other_cluster\"} 2";

/* The same topic, with more records than were read of the other one. */
static void another_cluster_at_the_same_address(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tca"), .group = unique("gca")};
    read_hundred(&a, &o);
    (void)node_stop(&a);
    kafka_replace();
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "n", 0, 300, -1);
    node_start(&a, &o);
    assert_rows_after(&a, 400);
    assert_true(node_has_metric(&a, known_elsewhere));
    (void)node_stop(&a);
    node_start(&a, &o);
    publish(o.topic, "n", 300, 310, -1);
    assert_rows_after(&a, 410);
    (void)node_stop(&a);
    node_close(&a);
}

static void another_cluster_while_running(bool statically)
{
    static struct node a;
    size_t missing, extra;
    struct node_options o = {.topic = unique("tcr"), .group = unique("gcr"), .statically = statically};
    read_hundred(&a, &o);
    /* The group's commit is on its way when the other cluster comes up, and may go there. */
    broker_signal(SIGSTOP);
    node_commit(&a);
    clock_sleep_ms(300);
    kafka_replace();
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "n", 0, 300, -1);
    assert_rows_after(&a, 400);
    assert_true(node_has_metric(&a, known_elsewhere));
    node_crash(&a); /* and what it read is known as the other cluster's */
    assert_int_equal(batch_catcher_count(&a.catcher), 100);
    node_start(&a, &o);
    assert_rows_after(&a, 400);
    batch_catcher_compare(&a.catcher, "n", 300, &missing, &extra);
    assert_int_equal(missing + extra, 0);
    (void)node_stop(&a);
    node_close(&a);
}

/* As if a commit that was on its way when the other cluster came up had gone there. */
static void a_commit_goes_to_another_cluster(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tcg"), .group = unique("gcg"), .statically = true};
    char metadata[128];
    read_hundred(&a, &o);
    (void)node_stop(&a);
    assert_int_equal(committed(o.group, o.topic, 0, metadata, sizeof metadata), 50);
    kafka_replace();
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "n", 0, 300, -1);
    for (int partition = 0; partition < 2; partition++)
        commit_with(o.group, o.topic, partition, 50, metadata);
    node_start(&a, &o);
    assert_rows_after(&a, 400);
    assert_true(node_has_metric(&a, "varve_kafka_group_offsets_moved_total{sink=\"plant\"} 2"));
    (void)node_stop(&a);
    node_close(&a);
}

static void another_cluster_under_a_running_group(void **state)
{
    (void)state;
    another_cluster_while_running(false);
}

static void another_cluster_under_static_partitions(void **state)
{
    (void)state;
    another_cluster_while_running(true);
}

static void wait_for_leader(const char *topic, int leader)
{
    int64_t deadline = clock_monotonic_ms() + 30000;
    while (leader_of(topic, 0) != leader) {
        assert_true(clock_monotonic_ms() < deadline);
        clock_sleep_ms(100);
    }
}

static void node_command(const char *command, int broker)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%d", broker);
    kafka_sh(command, number);
}

enum while_elected { STOPPED, PAUSED, READING };

/* Of 150 records of partition 0, all of them read, the new leader has 100; then, if filled, 200 with others.
 */
static void unclean_election(enum kafka_on_topic_recreated policy, enum while_elected what, bool filled)
{
    static struct node a;
    struct node_options o = {.topic = unique("tue"),
                             .group = unique("gue"),
                             .on_topic_recreated = policy,
                             .statically =
                                 what != STOPPED}; /* the group's coordinator may be away for long */
    kafka_two_brokers();
    kt("create %s 2 2 unclean.leader.election.enable=true min.insync.replicas=1", o.topic);
    publish(o.topic, "k", 0, 100, 0);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_rows_after(&a, 100);
    int leader = leader_of(o.topic, 0), follower = 3 - leader;
    node_command("stop-node", follower);
    publish(o.topic, "k", 100, 150, 0);
    assert_rows_after(&a, 150);
    node_commit(&a);
    if (what == STOPPED)
        (void)node_stop(&a);
    if (what == PAUSED)
        atomic_store(&a.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    clock_sleep_ms(300);
    node_command("kill", leader);
    node_command("start-node", follower);
    wait_for_leader(o.topic, follower);
    if (filled)
        publish(o.topic, "n", 0, 100, 0);
    if (what == STOPPED) {
        node_command("start-node", leader);
        node_start(&a, &o);
    }
    atomic_store(&a.catcher.pause_reasons, 0);
    if (policy == KAFKA_RECREATED_STOP) {
        assert_true(node_wait_metric(&a, "partition=\"0\",reason=\"topic_recreated\"} 1", 40000));
        clock_sleep_ms(500);
        assert_int_equal(batch_catcher_count(&a.catcher), 150);
    } else {
        assert_rows_after(&a, 150 + (filled ? 200 : 100)); /* what is left of it, again */
    }
    if (what != STOPPED)
        node_command("start-node", leader);
    (void)node_stop(&a);
    node_close(&a);
}

static void an_unclean_election_while_stopped(void **state)
{
    (void)state;
    unclean_election(KAFKA_RECREATED_STOP, STOPPED, false);
}

static void an_unclean_election_while_paused(void **state)
{
    (void)state;
    unclean_election(KAFKA_RECREATED_EARLIEST, PAUSED, true);
}

static void an_unclean_election_while_reading(void **state)
{
    (void)state;
    unclean_election(KAFKA_RECREATED_STOP, READING, true);
}

const struct CMUnitTest cluster_traps[] = {
    cmocka_unit_test(another_cluster_at_the_same_address),
    cmocka_unit_test(a_commit_goes_to_another_cluster),
    cmocka_unit_test(another_cluster_under_a_running_group),
    cmocka_unit_test(another_cluster_under_static_partitions),
    cmocka_unit_test(an_unclean_election_while_stopped),
    cmocka_unit_test(an_unclean_election_while_paused),
    cmocka_unit_test(an_unclean_election_while_reading),
};
const size_t cluster_traps_count = sizeof cluster_traps / sizeof *cluster_traps;
