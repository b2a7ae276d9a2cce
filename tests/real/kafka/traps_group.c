/* Traps 1 to 5, 8, 13, 14: membership, rebalances, the group's offsets. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "tests/real/kafka/world.h"

static void trap_01_fenced_static_member(void **state)
{
    (void)state;
    static struct node a, b; /* a sink that outlives a failed test must not write to its stack */
    struct node_options o = {.topic = unique("t01"), .group = unique("g01")};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 100, -1);
    node_open(&a, "same");
    node_open(&b, "same");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    node_commit(&a);
    publish(o.topic, "k", 100, 150, -1);
    assert_true(batch_catcher_wait(&a.catcher, 150, 20000));
    clock_sleep_ms(500);
    node_start(&b, &o);
    assert_true(node_wait_metric(&a, "varve_kafka_sink_failed{sink=\"plant\",reason=\"fenced\"} 1", 15000));
    publish(o.topic, "k", 150, 200, -1);
    /* What a hadn't committed is b's: a drops it. */
    assert_true(batch_catcher_wait(&b.catcher, 100, 20000));
    assert_false(node_has_metric(&b, "varve_kafka_sink_failed"));
    struct node *const all[] = {&a, &b};
    assert_exactly_once(all, 2, "k", 200);
    assert_true(node_stop(&a) < 5000);
    (void)node_stop(&b);
    node_close(&a);
    node_close(&b);
}

static void trap_02_leaving_takes_an_unsubscribe(void **state)
{
    (void)state;
    static struct node a, b; /* a sink that outlives a failed test must not write to its stack */
    struct node_options o = {.topic = unique("t02"), .group = unique("g02"), .session_timeout_ms = "9000"};
    kt_create(o.topic, 2, NULL);
    node_open(&a, "a");
    node_open(&b, "b");
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 2, 20000));
    /* A restart moves nothing: the member stays, and its partitions with it. */
    (void)node_stop(&a);
    int64_t begun = clock_monotonic_ms();
    o.leave_on_stop = true;
    node_start(&b, &o);
    clock_sleep_ms(4000);
    assert_int_not_equal(node_assigned(&b), 2);
    assert_true(node_wait_assigned(&b, 2, 20000));
    print_message("           takeover after a plain stop: %lld ms\n",
                  (long long)(clock_monotonic_ms() - begun));
    /* leave_on_stop gives them away at once. */
    (void)node_stop(&b);
    begun = clock_monotonic_ms();
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 2, 20000));
    int64_t took = clock_monotonic_ms() - begun;
    print_message("           takeover after leaving: %lld ms\n", (long long)took);
    assert_true(took < 4000);
    (void)node_stop(&a);
    node_close(&a);
    node_close(&b);
}

static void trap_03_stop_and_revoke_without_a_broker(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {.topic = unique("t03"), .group = unique("g03")};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 1000, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 1000, 20000));
    kafka_sh("kill", "1");
    clock_sleep_ms(1000);
    int64_t took = node_stop(&a);
    print_message("           stop without a broker: %lld ms\n", (long long)took);
    assert_true(took < 4500);
    node_start(&a, &o); /* and started without one */
    clock_sleep_ms(1500);
    kafka_sh("start-node", "1");
    publish(o.topic, "k", 1000, 1500, -1);
    assert_exactly_once(all, 1, "k", 1500);
    /* Away in the middle. */
    kafka_sh("kill", "1");
    clock_sleep_ms(4000);
    kafka_sh("start-node", "1");
    publish(o.topic, "k", 1500, 2000, -1);
    assert_exactly_once(all, 1, "k", 2000);
    (void)node_stop(&a);
    node_close(&a);
}

/* Waits until the group has all of the topic's two partitions; false after timeout_ms. */
static bool wait_committed(struct node *n, const struct node_options *o, int64_t end, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        node_commit(n);
        if (committed(o->group, o->topic, 0, NULL, 0) + committed(o->group, o->topic, 1, NULL, 0) == end)
            return true;
        if (clock_monotonic_ms() > deadline)
            return false;
        clock_sleep_ms(200);
    }
}

/* The group's coordinator keeps its id but not its address, which librdkafka doesn't follow. */
static void come_back_elsewhere(bool statically, unsigned threads, const char *session_timeout_ms)
{
    static struct node a;
    struct node *const all[] = {&a};
    char brokers[160];
    struct node_options o = {.topic = unique("t03m"),
                             .group = unique("g03m"),
                             .brokers = brokers,
                             .statically = statically,
                             .threads = threads,
                             .session_timeout_ms = session_timeout_ms};
    (void)snprintf(brokers, sizeof brokers, "%s,%s", getenv("KAFKA_BOOTSTRAP"), getenv("KAFKA_OTHER"));
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 1000, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 1000, 20000));
    assert_true(wait_committed(&a, &o, 1000, 10000));

    kafka_move();
    int64_t begun = clock_monotonic_ms();
    publish(o.topic, "k", 1000, 2000, -1);
    assert_true(batch_catcher_wait(&a.catcher, 2000, 20000));
    print_message("           records again after %lld ms\n", (long long)(clock_monotonic_ms() - begun));
    assert_true(wait_committed(&a, &o, 2000, 40000));
    print_message("           commits again after %lld ms\n", (long long)(clock_monotonic_ms() - begun));
    publish(o.topic, "k", 2000, 3000, -1);
    assert_exactly_once(all, 1, "k", 3000);
    assert_true(wait_committed(&a, &o, 3000, 10000));
    assert_true(node_stop(&a) < 4500);
    node_close(&a);
}

static void trap_03_broker_comes_back_elsewhere(void **state)
{
    (void)state;
    come_back_elsewhere(false, 1, "60000"); /* the usual one: far longer than it may take */
}

static void trap_03_broker_comes_back_elsewhere_too_late_for_the_session(void **state)
{
    (void)state;
    come_back_elsewhere(false, 1, "6000");
}

static void trap_03_broker_comes_back_elsewhere_static_partitions(void **state)
{
    (void)state;
    come_back_elsewhere(true, 2, "60000");
}

/* Nodes come and go under load; each record must be in exactly one store. */
static void move_to_and_fro(const char *assignor, unsigned threads)
{
    static struct node a, b; /* a sink that outlives a failed test must not write to its stack */
    struct node *const all[] = {&a, &b};
    struct node_options o = {.topic = unique("t04"),
                             .group = unique("g04"),
                             .leave_on_stop = true,
                             .assignor = assignor,
                             .threads = threads};
    size_t n = 0;
    kt_create(o.topic, 6, NULL);
    node_open(&a, "a");
    node_open(&b, "b");
    node_start(&a, &o);
    publish(o.topic, "k", n, n + 20000, -1);
    n += 20000;
    for (int round = 0; round < 3; round++) {
        node_start(&b, &o);
        for (int i = 0; i < 4; i++) {
            publish(o.topic, "k", n, n + 5000, -1);
            n += 5000;
            clock_sleep_ms(400);
        }
        assert_true(node_wait_assigned(&b, 3, 30000));
        publish(o.topic, "k", n, n + 5000, -1);
        n += 5000;
        (void)node_stop(&b);
    }
    assert_exactly_once(all, 2, "k", n);
    print_message("           %zu of them in the second store\n", batch_catcher_count(&b.catcher));
    assert_true(batch_catcher_count(&b.catcher) > 1000);
    assert_true(node_has_metric(&a, "varve_kafka_hand_overs_refused_total{sink=\"plant\"} 0"));
    (void)node_stop(&a);
    node_close(&a);
    node_close(&b);
}

static void trap_04_rebalance_under_load_eager(void **state)
{
    (void)state;
    move_to_and_fro("range", 1);
}

static void trap_04_rebalance_under_load_cooperative(void **state)
{
    (void)state;
    move_to_and_fro("cooperative-sticky", 1);
}

static void trap_04_committed_is_never_ahead(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {.topic = unique("t04c"), .group = unique("g04c"), .leave_on_stop = true};
    kt_create(o.topic, 2, NULL);
    node_open(&a, "a");
    for (size_t round = 0; round < 4; round++) {
        node_start(&a, &o);
        publish(o.topic, "k", round * 3000, round * 3000 + 3000, -1);
        assert_true(batch_catcher_wait(&a.catcher, round * 3000 + 1500, 20000));
        node_commit(&a);
        clock_sleep_ms(round * 100);
        node_crash(&a);
        for (int p = 0; p < 2; p++) {
            struct sink_position durable = {0};
            (void)batch_catcher_position(&a.catcher, o.topic, p, true, &durable);
            int64_t group = committed(o.group, o.topic, p, NULL, 0);
            assert_true(group <= (int64_t)durable.next);
        }
    }
    node_start(&a, &o);
    assert_exactly_once(all, 1, "k", 12000);
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_05_revoke_waits_only_for_a_flush_that_can_come(void **state)
{
    (void)state;
    static struct node a, b; /* a sink that outlives a failed test must not write to its stack */
    struct node_options o = {.topic = unique("t05"), .group = unique("g05"), .leave_on_stop = true};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 100, -1);
    node_open(&a, "a");
    node_open(&b, "b");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    atomic_store(&a.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    unsigned flushes = atomic_load(&a.catcher.flushes); /* of the positions that it began at */
    int64_t begun = clock_monotonic_ms();
    node_start(&b, &o);
    assert_true(node_wait_assigned(&b, 1, 20000));
    print_message("           taken over from a paused node in %lld ms\n",
                  (long long)(clock_monotonic_ms() - begun));
    assert_true(clock_monotonic_ms() - begun < 8000);
    assert_int_equal(atomic_load(&a.catcher.flushes), flushes);
    (void)node_stop(&b);
    atomic_store(&a.catcher.pause_reasons, 0);
    assert_true(node_wait_assigned(&a, 2, 20000));
    node_start(&b, &o);
    assert_true(node_wait_assigned(&b, 1, 20000));
    assert_true(atomic_load(&a.catcher.flushes) > flushes);
    (void)node_stop(&b);
    (void)node_stop(&a);
    node_close(&a);
    node_close(&b);
}

static void trap_08_an_assignment_while_paused(void **state)
{
    (void)state;
    static struct node a, b; /* a sink that outlives a failed test must not write to its stack */
    struct node *const all[] = {&a, &b};
    struct node_options o = {.topic = unique("t08"), .group = unique("g08"), .leave_on_stop = true};
    kt_create(o.topic, 4, NULL);
    node_open(&a, "a");
    node_open(&b, "b");
    atomic_store(&a.catcher.pause_reasons, INTAKE_PAUSE_MEMORY);
    atomic_store(&b.catcher.pause_reasons, INTAKE_PAUSE_MEMORY);
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 4, 20000));
    publish(o.topic, "k", 0, 2000, -1);
    node_start(&b, &o);
    assert_true(node_wait_assigned(&b, 2, 20000));
    clock_sleep_ms(1000);
    assert_int_equal(batch_catcher_count(&a.catcher), 0);
    assert_int_equal(batch_catcher_count(&b.catcher), 0);
    for (int i = 0; i < 9; i++) { /* to and fro, as the disk fills and empties */
        atomic_store(&a.catcher.pause_reasons, i % 2 ? INTAKE_PAUSE_DISK : 0);
        atomic_store(&b.catcher.pause_reasons, i % 2 ? INTAKE_PAUSE_DISK : 0);
        size_t at = 2000 + (size_t)i * 500;
        publish(o.topic, "k", at, at + 500, -1);
        clock_sleep_ms(150);
    }
    assert_exactly_once(all, 2, "k", 6500);
    (void)node_stop(&a);
    (void)node_stop(&b);
    node_close(&a);
    node_close(&b);
}

static void trap_13_metadata_round_trips(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t13"), .group = unique("g13")};
    char metadata[256] = "";
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 10, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 10, 20000));
    assert_true(committed(o.group, o.topic, 0, NULL, 0) <= 0); /* where it began, at most */
    node_commit(&a);
    for (int i = 0; i < 50 && committed(o.group, o.topic, 0, NULL, 0) != 5; i++) {
        clock_sleep_ms(100);
        (void)committed(o.group, o.topic, 0, metadata, sizeof metadata);
    }
    assert_int_equal(committed(o.group, o.topic, 0, metadata, sizeof metadata), 5);
    assert_string_equal(metadata, "v1;store-a;2"); /* the first commit recorded where it began */
    /* An operator moves the offset: ours counts, and we say so. */
    (void)node_stop(&a);
    (void)clock_sleep_ms(7000); /* until the static member is gone */
    kt("commit %s %s 0 1", o.group, o.topic);
    node_start(&a, &o);
    publish(o.topic, "k", 10, 20, -1);
    struct node *const all[] = {&a};
    assert_exactly_once(all, 1, "k", 20);
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_14_several_threads(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {
        .topic = unique("t14"), .group = unique("g14"), .leave_on_stop = true, .threads = 3};
    kt_create(o.topic, 6, NULL);
    node_open(&a, "a");
    node_start(&a, &o);
    publish(o.topic, "k", 0, 20000, -1);
    for (int i = 0; i < 10; i++) {
        node_commit(&a);
        (void)node_assigned(&a);
        clock_sleep_ms(100);
    }
    assert_exactly_once(all, 1, "k", 20000);
    (void)node_stop(&a);
    publish(o.topic, "k", 20000, 25000, -1);
    node_start(&a, &o);
    assert_exactly_once(all, 1, "k", 25000);
    (void)node_stop(&a);
    node_close(&a);
}

const struct CMUnitTest group_traps[] = {
    cmocka_unit_test(trap_01_fenced_static_member),
    cmocka_unit_test(trap_02_leaving_takes_an_unsubscribe),
    cmocka_unit_test(trap_03_stop_and_revoke_without_a_broker),
    cmocka_unit_test(trap_04_rebalance_under_load_eager),
    cmocka_unit_test(trap_04_rebalance_under_load_cooperative),
    cmocka_unit_test(trap_04_committed_is_never_ahead),
    cmocka_unit_test(trap_05_revoke_waits_only_for_a_flush_that_can_come),
    cmocka_unit_test(trap_08_an_assignment_while_paused),
    cmocka_unit_test(trap_13_metadata_round_trips),
    cmocka_unit_test(trap_14_several_threads),
    /* Last: the client that is given up there takes a core until its session would have timed out (Debian's
     * librdkafka). */
    cmocka_unit_test(trap_03_broker_comes_back_elsewhere),
    cmocka_unit_test(trap_03_broker_comes_back_elsewhere_too_late_for_the_session),
    cmocka_unit_test(trap_03_broker_comes_back_elsewhere_static_partitions),
};
const size_t group_traps_count = sizeof group_traps / sizeof *group_traps;
