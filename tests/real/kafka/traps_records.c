/* Traps 6, 7, 9 to 12: offsets that are gone, logs that aren't what they were, records that are too much. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "tests/real/kafka/world.h"

/* Reads n records of a new topic of two partitions, and stops. */
static void read_and_stop(struct node *a, struct node_options *o, size_t n)
{
    kt_create(o->topic, 2, NULL);
    publish(o->topic, "k", 0, n, -1);
    node_open(a, "a");
    node_start(a, o);
    assert_true(batch_catcher_wait(&a->catcher, n, 20000));
    (void)node_stop(a);
}

static void trap_06_out_of_range_goes_on_at_the_earliest(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t06"), .group = unique("g06"), .statically = true};
    read_and_stop(&a, &o, 100);
    publish(o.topic, "k", 100, 300, -1); /* 50 to 149 of each partition */
    kt("trim %s 0 80", o.topic);
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100 + 100 + 70, 20000));
    assert_true(node_wait_metric(&a, "varve_kafka_missed_records_total{sink=\"plant\"} 30", 5000));
    publish(o.topic, "k", 300, 400, -1); /* revived for good, and the other partition never noticed */
    assert_true(batch_catcher_wait(&a.catcher, 370, 20000));
    clock_sleep_ms(500);
    size_t missing, extra;
    batch_catcher_compare(&a.catcher, "k", 400, &missing, &extra);
    assert_int_equal(missing, 30);
    assert_int_equal(extra, 0);
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_06_out_of_range_in_a_running_group(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {
        .topic = unique("t06r"), .group = unique("g06r"), .assignor = "cooperative-sticky"};
    kt_create(o.topic, 2, NULL);
    node_open(&a, "a");
    node_start(&a, &o);
    publish(o.topic, "k", 0, 100, -1);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    atomic_store(&a.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    clock_sleep_ms(500);
    publish(o.topic, "k", 100, 300, -1);
    kt("trim %s 1 100", o.topic);
    atomic_store(&a.catcher.pause_reasons, 0);
    assert_true(batch_catcher_wait(&a.catcher, 250, 20000));
    assert_true(node_wait_metric(&a, "varve_kafka_missed_records_total{sink=\"plant\"} 50", 5000));
    publish(o.topic, "k", 300, 400, -1);
    assert_true(batch_catcher_wait(&a.catcher, 350, 20000));
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_06_out_of_range_stops_that_partition_only(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {
        .topic = unique("t06s"), .group = unique("g06s"), .on_out_of_range = KAFKA_OUT_OF_RANGE_STOP};
    char metric[256];
    read_and_stop(&a, &o, 100);
    publish(o.topic, "k", 100, 300, -1);
    kt("trim %s 0 80", o.topic);
    node_start(&a, &o);
    (void)snprintf(
        metric, sizeof metric,
        "varve_kafka_partition_halted{sink=\"plant\",topic=\"%s\",partition=\"0\",reason=\"out_of_range\"} 1",
        o.topic);
    assert_true(node_wait_metric(&a, metric, 20000));
    publish(o.topic, "k", 300, 400, -1);
    assert_true(batch_catcher_wait(&a.catcher, 100 + 150, 20000));
    clock_sleep_ms(500);
    assert_int_equal(batch_catcher_count(&a.catcher), 250);
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_07_a_record_of_100_mb(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t07"), .group = unique("g07")};
    const size_t size = 101 * 1000 * 1000;
    char *large = xmalloc(size);
    memset(large, 'x', size);
    kt_create(o.topic, 1, "max.message.bytes=200000000");
    publish(o.topic, "k", 0, 10, 0);
    publish_one(o.topic, 0, large, size);
    free(large);
    publish(o.topic, "k", 10, 20, 0);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 20, 30000));
    (void)node_stop(&a);
    assert_int_equal(a.catcher.rejects_count, 1);
    assert_string_equal(a.catcher.rejects[0].reason, "too_large");
    assert_int_equal(a.catcher.rejects[0].size, 65536);
    assert_int_equal(a.catcher.rejects[0].full_size, size);
    node_close(&a);
}

static void trap_09_the_record_before_is_gone(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {
        .topic = unique("t09"), .group = unique("g09"), .on_out_of_range = KAFKA_OUT_OF_RANGE_STOP};
    read_and_stop(&a, &o, 100);
    kt("trim %s 0 50", o.topic); /* exactly up to our position: nothing is lost */
    publish(o.topic, "k", 100, 200, -1);
    node_start(&a, &o);
    assert_exactly_once(all, 1, "k", 200);
    assert_false(node_has_metric(&a, "varve_kafka_partition_halted"));
    (void)node_stop(&a);
    node_close(&a);
}

/* One transaction of the lines FROM .. TO; tried again, since a coordinator may still be at work on the one
 * before. */
static void transaction(const char *topic, int from, int to, const char *how)
{
    char command[512];
    for (int attempt = 0; attempt < 3; attempt++) {
        (void)snprintf(command, sizeof command, "seq -f k%%g %d %d | '%s' '%s' txn %s %s %s >/dev/null", from,
                       to, getenv("KT"), getenv("KAFKA_BOOTSTRAP"), unique("x"), topic, how);
        if (system(command) == 0)
            return;
    }
    fail_msg("%s", command);
}

static void trap_09_control_records_are_no_mismatch(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {.topic = unique("t09t"), .group = unique("g09t")};
    kt_create(o.topic, 2, NULL);
    node_open(&a, "a");
    node_start(&a, &o);
    for (int i = 0; i < 4; i++) {
        transaction(o.topic, i * 50, i * 50 + 49, "commit");
        transaction(o.topic, 0, 9, "abort");
        assert_true(batch_catcher_wait(&a.catcher, (size_t)i * 50 + 50, 20000));
        (void)node_stop(&a);
        node_start(&a, &o);
    }
    assert_exactly_once(all, 1, "k", 200);
    assert_false(node_has_metric(&a, "varve_kafka_partition_halted"));
    (void)node_stop(&a);
    node_close(&a);
}

static void make_anew(const char *topic)
{
    kt("delete %s", topic);
    clock_sleep_ms(1000);
    kt_create(topic, 2, NULL);
}

static void trap_09_a_topic_made_anew_stops(void **state)
{
    (void)state;
    static struct node a;
    for (size_t records = 20; records <= 300;
         records += 140) { /* its log ends before our position, or behind it */
        struct node_options o = {.topic = unique("t09n"), .group = unique("g09n")};
        read_and_stop(&a, &o, 100);
        make_anew(o.topic);
        publish(o.topic, "n", 0, records, -1);
        node_start(&a, &o);
        assert_true(node_wait_metric(&a, "partition=\"0\",reason=\"topic_recreated\"} 1", 20000));
        assert_true(node_wait_metric(&a, "partition=\"1\",reason=\"topic_recreated\"} 1", 20000));
        assert_int_equal(batch_catcher_count(&a.catcher), 100);
        (void)node_stop(&a);
        node_close(&a);
    }
}

static void trap_09_a_topic_made_anew_is_read_from_its_start(void **state)
{
    (void)state;
    static struct node a;
    for (size_t records = 20; records <= 300; records += 140) {
        struct node_options o = {
            .topic = unique("t09e"), .group = unique("g09e"), .on_topic_recreated = KAFKA_RECREATED_EARLIEST};
        read_and_stop(&a, &o, 100);
        make_anew(o.topic);
        publish(o.topic, "n", 0, records, -1);
        node_start(&a, &o);
        assert_true(batch_catcher_wait(&a.catcher, 100 + records, 20000));
        publish(o.topic, "n", records, records + 50, -1);
        assert_true(batch_catcher_wait(&a.catcher, 150 + records, 20000));
        clock_sleep_ms(500);
        size_t missing, extra;
        batch_catcher_compare(&a.catcher, "n", records + 50, &missing, &extra);
        assert_int_equal(missing, 0);
        assert_int_equal(extra, 0);
        (void)node_stop(&a);
        node_close(&a);
    }
}

static void trap_10_lag_after_transactions_and_when_idle(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t10"), .group = unique("g10")};
    kt_create(o.topic, 1, NULL);
    node_open(&a, "a");
    node_start(&a, &o);
    transaction(o.topic, 0, 49, "commit");
    assert_true(batch_catcher_wait(&a.catcher, 50, 20000));
    node_wait_no_lag(&a, o.topic);
    (void)node_stop(&a);
    node_start(&a, &o); /* nothing new: the position must not be taken for -1001 */
    assert_true(node_wait_assigned(&a, 1, 20000));
    node_wait_no_lag(&a, o.topic);
    transaction(o.topic, 50, 69, "abort");
    clock_sleep_ms(1000);
    node_wait_no_lag(&a, o.topic);
    (void)node_stop(&a);
    transaction(o.topic, 50, 69, "abort"); /* nothing but these since the last record */
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 1, 20000));
    clock_sleep_ms(1000);
    node_wait_no_lag(&a, o.topic);
    assert_int_equal(batch_catcher_count(&a.catcher), 50);
    atomic_store(&a.catcher.pause_reasons, INTAKE_PAUSE_DISK);
    clock_sleep_ms(500);
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_11_latency_and_large_batches(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {.topic = unique("t11"), .group = unique("g11")};
    kt_create(o.topic, 2, NULL);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 2, 20000));
    publish(o.topic, "k", 0, 1, 0);
    assert_true(batch_catcher_wait(&a.catcher, 1, 20000));
    int64_t begun = clock_monotonic_ms();
    publish(o.topic, "k", 1, 2, 0);
    assert_true(batch_catcher_wait(&a.catcher, 2, 20000));
    print_message("           one record: %lld ms\n", (long long)(clock_monotonic_ms() - begun));
    assert_true(clock_monotonic_ms() - begun < 1000);
    /* Records near a megabyte among small ones. */
    char *large = xmalloc(900000);
    memset(large, 'y', 900000);
    for (int i = 0; i < 60; i++)
        publish_one(o.topic, i % 2, large, 900000);
    free(large);
    publish(o.topic, "k", 2, 5000, -1);
    assert_true(batch_catcher_wait(&a.catcher, 5060, 30000));
    size_t missing, extra;
    batch_catcher_compare(&a.catcher, "k", 5000, &missing, &extra);
    assert_int_equal(missing, 0);
    assert_int_equal(extra, 0);
    (void)all;
    (void)node_stop(&a);
    node_close(&a);
}

static void trap_12_a_frozen_broker_does_not_hold_up_the_stop(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t12"), .group = unique("g12"), .leave_on_stop = true};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 100, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    broker_signal(SIGSTOP);
    clock_sleep_ms(300);
    int64_t took = node_stop(&a);
    broker_signal(SIGCONT);
    print_message("           stop with a frozen broker: %lld ms\n", (long long)took);
    assert_true(took < 5000);
    node_close(&a);
}

/* Flips a byte in the middle of the record that holds the text, in the broker's log. */
static void damage(const char *topic, const char *text)
{
    char command[1024];
    (void)snprintf(command, sizeof command,
                   "f=$(grep -l '%s' '%s'/node1/data/%s-0/*.log) && at=$(grep -abo '%s' \"$f\" | head -n 1 | "
                   "cut -d: -f1) "
                   "&& printf '~' | dd of=\"$f\" bs=1 seek=\"$at\" conv=notrunc 2>/dev/null",
                   text, getenv("KAFKA_DIR"), topic, text);
    assert_int_equal(system(command), 0);
}

static void trap_12_a_bad_crc_halts_its_partition(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("t12c"), .group = unique("g12c")};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 20, 0);
    publish_one(o.topic, 0, "victim-of-a-bad-disk", 20);
    publish(o.topic, "m", 0, 20,
            0); /* behind the damage: must not be stored, or the victim would be skipped */
    publish(o.topic, "k", 20, 40, 1);
    damage(o.topic, "victim-of-a-bad-disk");
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(node_wait_metric(&a, "partition=\"0\",reason=\"corrupt_record\"} 1", 20000));
    publish(o.topic, "k", 40, 60, 1);
    assert_true(batch_catcher_wait(&a.catcher, 60, 20000));
    clock_sleep_ms(500);
    struct sink_position position;
    assert_int_equal(batch_catcher_count(&a.catcher), 60);
    assert_true(batch_catcher_position(&a.catcher, o.topic, 0, false, &position));
    assert_int_equal(position.next, 20);
    (void)node_stop(&a);
    node_close(&a);
}

/* A partition that appears later is read from its start, whatever start_from says: while the node runs, and
 * while it's away. (A static leader that comes back gets its old assignment, without the new partitions.) */
static void partitions_added_later(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {
        .topic = unique("tfrom"), .group = unique("gfrom"), .start_from = KAFKA_START_LATEST};
    kt_create(o.topic, 1, NULL);
    publish(o.topic, "k", 0, 30, 0);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 1, 20000));
    publish(o.topic, "k", 30, 40, 0);
    assert_true(batch_catcher_wait(&a.catcher, 10, 20000));
    kt("grow %s 2", o.topic);
    publish(o.topic, "n", 0, 10, 1);
    assert_true(batch_catcher_wait(&a.catcher, 20, 20000));
    (void)node_stop(&a);
    kt("grow %s 3", o.topic);
    publish(o.topic, "n", 10, 20, 2);
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 30, 20000));
    clock_sleep_ms(500);
    assert_int_equal(batch_catcher_count(&a.catcher), 30);
    (void)node_stop(&a);
    node_close(&a);
}

/* Nor does the group notice that a static member comes back with other topics. */
static void check_other_topics(const char *assignor)
{
    static struct node a;
    const char *old = unique("told"), *fresh = unique("tnew"), *added = unique("tadd");
    char both[128];
    (void)snprintf(both, sizeof both, "^(%s|%s)$", fresh, added);
    struct node_options o = {
        .topic = old, .group = unique("gother"), .assignor = assignor, .metadata_refresh_ms = "300000"};
    kt_create(old, 2, NULL);
    kt_create(fresh, 2, NULL);
    publish(old, "k", 0, 20, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 20, 20000));
    (void)node_stop(&a);

    publish(old, "no-more", 0, 20, -1);
    publish(fresh, "k", 20, 40, -1);
    o.topic = fresh;
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 40, 20000));
    assert_exactly_once((struct node *[]){&a}, 1, "k", 40);
    (void)node_stop(&a);

    kt_create(added, 2, NULL);
    publish(added, "k", 40, 60, -1);
    o.topic = both;
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 60, 20000));
    publish(fresh, "k", 60, 80, -1);
    assert_true(batch_catcher_wait(&a.catcher, 80, 20000));
    clock_sleep_ms(500);
    assert_exactly_once((struct node *[]){&a}, 1, "k", 80);
    assert_int_equal(batch_catcher_count(&a.catcher), 80);
    (void)node_stop(&a);
    node_close(&a);
}

static void other_topics_after_a_restart(void **state)
{
    (void)state;
    check_other_topics(NULL);
}

static void other_topics_with_a_cooperative_assignor(void **state)
{
    (void)state;
    check_other_topics("cooperative-sticky");
}

const struct CMUnitTest record_traps[] = {
    cmocka_unit_test(trap_06_out_of_range_goes_on_at_the_earliest),
    cmocka_unit_test(trap_06_out_of_range_in_a_running_group),
    cmocka_unit_test(trap_06_out_of_range_stops_that_partition_only),
    cmocka_unit_test(trap_07_a_record_of_100_mb),
    cmocka_unit_test(trap_09_the_record_before_is_gone),
    cmocka_unit_test(trap_09_control_records_are_no_mismatch),
    cmocka_unit_test(trap_09_a_topic_made_anew_stops),
    cmocka_unit_test(trap_09_a_topic_made_anew_is_read_from_its_start),
    cmocka_unit_test(trap_10_lag_after_transactions_and_when_idle),
    cmocka_unit_test(trap_11_latency_and_large_batches),
    cmocka_unit_test(trap_12_a_frozen_broker_does_not_hold_up_the_stop),
    cmocka_unit_test(trap_12_a_bad_crc_halts_its_partition),
    cmocka_unit_test(partitions_added_later),
    cmocka_unit_test(other_topics_after_a_restart),
    cmocka_unit_test(other_topics_with_a_cooperative_assignor),
};
const size_t record_traps_count = sizeof record_traps / sizeof *record_traps;
