/* Positions against what became of the log, of the group's offsets and of the configuration: what the facts'
 * section 4.2 lists and traps_records.c doesn't have. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/kafka_position.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "tests/real/kafka/world.h"

static void read_and_stop(struct node *a, const struct node_options *o, size_t n)
{
    kt_create(o->topic, 2, NULL);
    publish(o->topic, "k", 0, n, -1);
    node_open(a, "a");
    node_start(a, o);
    assert_true(batch_catcher_wait(&a->catcher, n, 20000));
    (void)node_stop(a);
}

static struct caught_position *position_entry(struct node *n, const char *topic, int partition)
{
    char end[128];
    (void)snprintf(end, sizeof end, "/%s/%d", topic, partition);
    for (size_t i = 0; i < n->catcher.positions_count; i++) {
        const char *key = n->catcher.positions[i].key;
        if (strlen(key) > strlen(end) && strcmp(key + strlen(key) - strlen(end), end) == 0)
            return &n->catcher.positions[i];
    }
    fail_msg("no position of %s", end);
    return NULL;
}

/* As `varve offsets reset` does, with the node stopped. */
static void order(struct node *n, const char *topic, int partition, enum kafka_begin begin, int64_t value)
{
    struct caught_position *p = position_entry(n, topic, partition);
    p->accepted = p->durable = kafka_position_order(begin, value);
}

static void assert_rows_after(struct node *n, size_t rows)
{
    assert_true(batch_catcher_wait(&n->catcher, rows, 20000));
    clock_sleep_ms(500);
    assert_int_equal(batch_catcher_count(&n->catcher), rows);
}

static void an_order_to_begin_at_the_earliest_is_carried_out_once(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("toe"), .group = unique("goe")};
    read_and_stop(&a, &o, 100);
    order(&a, o.topic, 0, KAFKA_BEGIN_EARLIEST, 0);
    node_start(&a, &o);
    assert_rows_after(&a, 150);
    (void)node_stop(&a);
    assert_int_equal(committed(o.group, o.topic, 0, NULL, 0), 50);
    node_start(&a, &o);
    publish(o.topic, "k", 100, 110, -1);
    assert_rows_after(&a, 160);
    (void)node_stop(&a);
    node_close(&a);
}

static void an_order_to_begin_at_the_end(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tol"), .group = unique("gol")};
    read_and_stop(&a, &o, 100);
    publish(o.topic, "k", 100, 200, -1);
    order(&a, o.topic, 0, KAFKA_BEGIN_LATEST, 0);
    node_start(&a, &o);
    assert_rows_after(&a, 150);
    publish(o.topic, "k", 200, 210, -1);
    assert_rows_after(&a, 160);
    (void)node_stop(&a);
    node_close(&a);
}

static void an_order_to_begin_at_a_time(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tot"), .group = unique("got")};
    read_and_stop(&a, &o, 100);
    clock_sleep_ms(50);
    int64_t time_ms = clock_now_ms();
    clock_sleep_ms(50);
    publish(o.topic, "k", 100, 140, -1);
    node_start(&a, &o);
    assert_rows_after(&a, 140);
    (void)node_stop(&a);
    order(&a, o.topic, 1, KAFKA_BEGIN_TIMESTAMP, time_ms);
    node_start(&a, &o);
    assert_rows_after(&a, 160);
    (void)node_stop(&a);
    node_close(&a);
}

/* Another store's larger offset in the group would count, but for the order. */
static void an_order_counts_more_than_the_group(void **state)
{
    (void)state;
    static struct node a, b;
    struct node_options o = {.topic = unique("too"), .group = unique("goo"), .leave_on_stop = true};
    read_and_stop(&a, &o, 100);
    publish(o.topic, "k", 100, 200, -1);
    node_open(&b, "b");
    node_start(&b, &o);
    assert_rows_after(&b, 100); /* goes on where the group is */
    (void)node_stop(&b);
    order(&a, o.topic, 0, KAFKA_BEGIN_OFFSET, 20);
    node_start(&a, &o);
    assert_rows_after(&a, 100 + 80); /* 20 to 99 of one; the other where b got to */
    (void)node_stop(&a);
    node_close(&a);
    node_close(&b);
}

static void group_offsets_moved_by_an_operator_are_reported(void **state)
{
    (void)state;
    static struct node a;
    struct node *const all[] = {&a};
    struct node_options o = {.topic = unique("tgr"), .group = unique("ggr"), .leave_on_stop = true};
    char metadata[128];
    read_and_stop(&a, &o, 100);
    kt("commit %s %s 0 10", o.group, o.topic); /* back */
    kt("commit %s %s 1 45", o.group, o.topic);
    publish(o.topic, "k", 100, 200, -1);
    node_start(&a, &o);
    assert_exactly_once(all, 1, "k", 200);
    assert_true(node_has_metric(&a, "varve_kafka_group_offsets_moved_total{sink=\"plant\"} 2"));
    (void)node_stop(&a);
    assert_int_equal(committed(o.group, o.topic, 0, metadata, sizeof metadata), 100); /* set right again */
    assert_memory_equal(metadata, "v1;store-a;", 11);
    node_close(&a);
}

/* Puts the node's positions under other keys: "plant/kafka/CLUSTER/..." with one part replaced. */
static void rename_positions(struct node *n, const char *sink, const char *cluster)
{
    for (size_t i = 0; i < n->catcher.positions_count; i++) {
        struct caught_position *p = &n->catcher.positions[i];
        struct kafka_key_parts k;
        assert_true(kafka_position_parse_key(p->key, (uint32_t)strlen(p->key), &k));
        char *key =
            xasprintf("%s/kafka/%.*s/%.*s/%d", sink, cluster ? (int)strlen(cluster) : (int)k.cluster.len,
                      cluster ? cluster : k.cluster.data, (int)k.topic.len, k.topic.data, (int)k.partition);
        free(p->key);
        p->key = key;
    }
}

static void another_cluster_is_reported(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tcl"), .group = unique("gcl"), .leave_on_stop = true};
    read_and_stop(&a, &o, 100);
    rename_positions(&a, "plant", "AnotherClustersIdAAAAA");
    kt("delete-group %s", o.group); /* another cluster's group has no offsets of ours */
    node_start(&a, &o);
    assert_rows_after(&a, 200); /* begun anew, by start_from */
    assert_true(node_has_metric(
        &a, "varve_kafka_partitions_known_elsewhere{sink=\"plant\",reason=\"other_cluster\"} 2"));
    (void)node_stop(&a);
    node_start(&a, &o); /* known from here on: nothing more to say */
    assert_true(node_wait_assigned(&a, 2, 20000));
    assert_false(node_has_metric(&a, "varve_kafka_partitions_known_elsewhere"));
    (void)node_stop(&a);
    node_close(&a);
}

static void a_removed_sinks_partitions_are_reported(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tre"), .group = unique("gre"), .leave_on_stop = true};
    read_and_stop(&a, &o, 100);
    rename_positions(&a, "old-plant", NULL);
    node_start(&a, &o); /* the group's offset is there: nothing is read twice, but that's luck */
    assert_true(node_wait_assigned(&a, 2, 20000));
    assert_true(node_has_metric(
        &a, "varve_kafka_partitions_known_elsewhere{sink=\"plant\",reason=\"removed_sink\"} 2"));
    (void)node_stop(&a);
    node_close(&a);

    /* Of a sink that the configuration still has, they're another matter. */
    o.topic = unique("tre");
    o.group = unique("gre");
    read_and_stop(&a, &o, 100);
    rename_positions(&a, "neighbour", NULL);
    node_start(&a, &o);
    assert_true(node_wait_assigned(&a, 2, 20000));
    assert_false(node_has_metric(&a, "varve_kafka_partitions_known_elsewhere"));
    (void)node_stop(&a);
    node_close(&a);
}

/* The broker lost the end of its log, as after an unclean election or a disk that lied. */
static void cut_log(const char *topic, int partition, int bytes)
{
    char command[1024];
    (void)snprintf(command, sizeof command,
                   "f=$(ls '%s'/node1/data/%s-%d/*.log | tail -n 1) && truncate -s -%d \"$f\"",
                   getenv("KAFKA_DIR"), topic, partition, bytes);
    assert_int_equal(system(command), 0);
}

static void a_truncated_log(enum kafka_on_topic_recreated policy, bool filled_again)
{
    static struct node a;
    struct node_options o = {.topic = unique("ttr"), .group = unique("gtr"), .on_topic_recreated = policy};
    kt_create(o.topic, 2, NULL);
    for (size_t i = 0; i < 100; i += 20)
        publish(o.topic, "k", i, i + 20, -1); /* batches that are lost one by one */
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    (void)node_stop(&a);
    kafka_sh("kill", "1");
    cut_log(o.topic, 0, 10);
    kafka_sh("start-node", "1");
    if (filled_again)
        publish(o.topic, "n", 0, 30, 0); /* goes beyond what was read */
    node_start(&a, &o);
    if (policy == KAFKA_RECREATED_STOP) {
        assert_true(node_wait_metric(&a, "partition=\"0\",reason=\"topic_recreated\"} 1", 20000));
        assert_int_equal(batch_catcher_count(&a.catcher), 100);
    } else {
        assert_rows_after(&a, 100 + 40 + (filled_again ? 30 : 0)); /* what is left of it, again */
    }
    publish(o.topic, "k", 100, 110, 1);
    size_t rows = batch_catcher_count(&a.catcher);
    assert_true(batch_catcher_wait(&a.catcher, rows < 110 ? 110 : rows, 20000)); /* the other one goes on */
    (void)node_stop(&a);
    node_close(&a);
}

static void a_truncated_log_stops_its_partition(void **state)
{
    (void)state;
    a_truncated_log(KAFKA_RECREATED_STOP, false);
    a_truncated_log(KAFKA_RECREATED_STOP, true);
}

static void a_truncated_log_is_read_from_its_start(void **state)
{
    (void)state;
    a_truncated_log(KAFKA_RECREATED_EARLIEST, true);
}

/* With more records than were read of the old one, so that no offset is out of range. */
static void made_anew_while_running(bool statically)
{
    static struct node a;
    struct node_options o = {.topic = unique("tmr"), .group = unique("gmr"), .statically = statically};
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 100, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    node_commit(&a);
    kt("delete %s", o.topic);
    clock_sleep_ms(300);
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "n", 0, 300, -1);
    assert_true(node_wait_metric(&a, "partition=\"0\",reason=\"topic_recreated\"} 1", 40000));
    assert_true(node_wait_metric(&a, "partition=\"1\",reason=\"topic_recreated\"} 1", 20000));
    assert_int_equal(batch_catcher_count(&a.catcher), 100);
    (void)node_stop(&a);
    node_close(&a);

    o.topic = unique("tme");
    o.group = unique("gme");
    o.on_topic_recreated = KAFKA_RECREATED_EARLIEST;
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "k", 0, 100, -1);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 100, 20000));
    kt("delete %s", o.topic);
    clock_sleep_ms(300);
    kt_create(o.topic, 2, NULL);
    publish(o.topic, "n", 0, 300, -1);
    assert_rows_after(&a, 400);
    (void)node_stop(&a);
    node_close(&a);
}

static void a_topic_made_anew_under_a_running_group(void **state)
{
    (void)state;
    made_anew_while_running(false);
}

static void a_topic_made_anew_under_static_partitions(void **state)
{
    (void)state;
    made_anew_while_running(true);
}

static rd_kafka_t *client(rd_kafka_type_t type)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", getenv("KAFKA_BOOTSTRAP"), why, sizeof why),
                     0);
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", "looks-only", why, sizeof why), 0);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    assert_non_null(rk);
    return rk;
}

/* All with one key. */
static void publish_keyed(const char *topic, const char *prefix, size_t first, size_t end)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER);
    for (size_t i = first; i < end; i++) {
        char text[64];
        size_t len = (size_t)snprintf(text, sizeof text, "%s%zu", prefix, i);
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                           RD_KAFKA_V_KEY("same", 4), RD_KAFKA_V_VALUE(text, len),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(rk, 20000), 0);
    rd_kafka_destroy(rk);
}

static int64_t first_offset_with_a_record(const char *topic)
{
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(rk, list), 0);
    rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 20000);
    assert_non_null(m);
    assert_int_equal(m->err, 0);
    int64_t offset = m->offset;
    rd_kafka_message_destroy(m);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return offset;
}

static void a_compacted_topic(void **state)
{
    (void)state;
    static struct node a;
    struct node_options o = {.topic = unique("tco"), .group = unique("gco")};
    kt_create(
        o.topic, 1,
        "cleanup.policy=compact segment.ms=100 min.cleanable.dirty.ratio=0.01 max.compaction.lag.ms=100");
    publish_keyed(o.topic, "k", 0, 50);
    node_open(&a, "a");
    node_start(&a, &o);
    assert_true(batch_catcher_wait(&a.catcher, 50, 20000));
    (void)node_stop(&a);
    clock_sleep_ms(300);
    publish_keyed(o.topic, "n", 0,
                  10); /* makes all of the first 50 superfluous, the last one read among them */
    int64_t deadline = clock_monotonic_ms() + 60000;
    while (first_offset_with_a_record(o.topic) < 50) {
        assert_true(clock_monotonic_ms() < deadline);
        clock_sleep_ms(300);
        publish_keyed(o.topic, "n", 99, 100); /* the active segment isn't compacted: roll it */
    }
    node_start(&a, &o);
    publish_keyed(o.topic, "last", 0, 1);
    deadline = clock_monotonic_ms() + 20000;
    size_t missing = 1, extra = 1;
    while (missing) {
        batch_catcher_compare(&a.catcher, "last", 1, &missing, &extra);
        assert_true(clock_monotonic_ms() < deadline);
        clock_sleep_ms(50);
    }
    assert_int_equal(extra, 0);
    batch_catcher_compare(&a.catcher, "k", 50, &missing, &extra);
    assert_int_equal(missing + extra, 0); /* none again */
    node_wait_no_lag(&a, o.topic);
    assert_false(node_has_metric(&a, "varve_kafka_partition_halted"));
    assert_true(node_has_metric(&a, "varve_kafka_missed_records_total{sink=\"plant\"} 0"));
    (void)node_stop(&a);
    node_close(&a);
}

const struct CMUnitTest position_traps[] = {
    cmocka_unit_test(an_order_to_begin_at_the_earliest_is_carried_out_once),
    cmocka_unit_test(an_order_to_begin_at_the_end),
    cmocka_unit_test(an_order_to_begin_at_a_time),
    cmocka_unit_test(an_order_counts_more_than_the_group),
    cmocka_unit_test(group_offsets_moved_by_an_operator_are_reported),
    cmocka_unit_test(another_cluster_is_reported),
    cmocka_unit_test(a_removed_sinks_partitions_are_reported),
    cmocka_unit_test(a_truncated_log_stops_its_partition),
    cmocka_unit_test(a_truncated_log_is_read_from_its_start),
    cmocka_unit_test(a_topic_made_anew_under_a_running_group),
    cmocka_unit_test(a_topic_made_anew_under_static_partitions),
    cmocka_unit_test(a_compacted_topic),
};
const size_t position_traps_count = sizeof position_traps / sizeof *position_traps;
