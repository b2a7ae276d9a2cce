#include "tests/real/kafka/world.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/clock.h"

static const char *need(const char *name)
{
    const char *value = getenv(name);
    if (!value) {
        fprintf(stderr, "%s isn't set: run tests/real/kafka/traps.sh\n", name);
        exit(2);
    }
    return value;
}

const char *unique(const char *prefix)
{
    static char names[64][64];
    static unsigned next;
    char *name = names[next++ % 64];
    (void)snprintf(name, sizeof names[0], "%s-%d-%u", prefix, (int)getpid(), next);
    return name;
}

void kt(const char *format, ...)
{
    char args[1024], command[2048];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(args, sizeof args, format, ap);
    va_end(ap);
    (void)snprintf(command, sizeof command, "'%s' '%s' %s >/dev/null", need("KT"), need("KAFKA_BOOTSTRAP"),
                   args);
    if (system(command) != 0)
        fail_msg("%s", command);
}

void kt_create(const char *topic, int partitions, const char *settings)
{
    kt("create %s %d 1 %s", topic, partitions, settings ? settings : "");
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *group)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", need("KAFKA_BOOTSTRAP"), why, sizeof why);
    (void)rd_kafka_conf_set(conf, "log_level", "2", why, sizeof why);
    if (group)
        (void)rd_kafka_conf_set(conf, "group.id", group, why, sizeof why);
    else
        (void)rd_kafka_conf_set(conf, "message.max.bytes", "200000000", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk)
        fail_msg("%s", why);
    return rk;
}

static void send_record(rd_kafka_t *rk, const char *topic, int partition, const void *payload, size_t len)
{
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                                    RD_KAFKA_V_VALUE((void *)payload, len),
                                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 50);
    assert_int_equal(err, 0);
}

void publish(const char *topic, const char *prefix, size_t first, size_t end, int partition)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, NULL);
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < 4 && err == RD_KAFKA_RESP_ERR__TIMED_OUT; i++) /* a busy machine */
        err = rd_kafka_metadata(rk, 0, t, &md, 10000);
    assert_int_equal(err, 0);
    int partitions = md->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(t);
    for (size_t i = first; i < end; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "%s%zu", prefix, i);
        send_record(rk, topic, partition >= 0 ? partition : (int)(i % (size_t)partitions), text, (size_t)n);
    }
    assert_int_equal(rd_kafka_flush(rk, 20000), 0);
    rd_kafka_destroy(rk);
}

void publish_one(const char *topic, int partition, const void *payload, size_t len)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, NULL);
    send_record(rk, topic, partition, payload, len);
    assert_int_equal(rd_kafka_flush(rk, 60000), 0);
    rd_kafka_destroy(rk);
}

void kafka_sh(const char *command, const char *args)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "'%s' %s '%s' %s >/dev/null 2>&1", need("KAFKA_SH"), command,
                   need("KAFKA_DIR"), args);
    if (system(line) != 0)
        fail_msg("%s", line);
}

void kafka_move(void)
{
    char from[64], to[64], args[512];
    (void)snprintf(from, sizeof from, "%s", need("KAFKA_BOOTSTRAP"));
    (void)snprintf(to, sizeof to, "%s", need("KAFKA_OTHER"));
    (void)snprintf(args, sizeof args, "--keep --port %s %s", strchr(to, ':') + 1, need("KAFKA_OPTIONS"));
    kafka_sh("stop", "");
    kafka_sh("start", args);
    (void)setenv("KAFKA_BOOTSTRAP", to, 1);
    (void)setenv("KAFKA_OTHER", from, 1);
}

void kafka_replace(void)
{
    char args[512];
    (void)snprintf(args, sizeof args, "--port %s %s", strchr(need("KAFKA_BOOTSTRAP"), ':') + 1,
                   need("KAFKA_OPTIONS"));
    kafka_sh("kill", "");
    clock_sleep_ms(500); /* a killed JVM keeps its sockets for a moment */
    kafka_sh("start", args);
}

void kafka_two_brokers(void)
{
    static bool started;
    char args[512], bootstrap[128];
    int port = atoi(need("KAFKA_TWO_PORT"));
    if (started)
        return;
    started = true;
    kafka_sh("kill", "");
    (void)setenv("KAFKA_DIR", need("KAFKA_TWO_DIR"), 1);
    (void)snprintf(args, sizeof args, "--port %d --ctl-port %s --nodes 2 --no-auto-create", port,
                   need("KAFKA_TWO_CTL"));
    kafka_sh("start", args);
    (void)snprintf(bootstrap, sizeof bootstrap, "127.0.0.1:%d,127.0.0.1:%d", port, port + 1);
    (void)setenv("KAFKA_BOOTSTRAP", bootstrap, 1);
}

int leader_of(const char *topic, int partition)
{
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *md;
    int leader = 0;
    if (!rd_kafka_metadata(rk, 0, t, &md, 5000)) {
        if (md->topics[0].partition_cnt > partition)
            leader = md->topics[0].partitions[partition].leader;
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(t);
    rd_kafka_destroy(rk);
    return leader > 0 ? leader : 0;
}

void broker_signal(int signal)
{
    char path[512];
    int pid = 0;
    (void)snprintf(path, sizeof path, "%s/node1/pid", need("KAFKA_DIR"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    (void)fclose(f);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, signal), 0);
}

int64_t committed(const char *group, const char *topic, int partition, char *metadata, size_t size)
{
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition);
    int64_t deadline = clock_monotonic_ms() + 30000;
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_committed(rk, list, 10000)) && clock_monotonic_ms() < deadline)
        clock_sleep_ms(200); /* a broker that has just come up isn't the group's coordinator yet */
    int64_t offset = list->elems[0].offset;
    if (metadata)
        (void)snprintf(metadata, size, "%.*s", (int)list->elems[0].metadata_size,
                       list->elems[0].metadata ? (const char *)list->elems[0].metadata : "");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    assert_int_equal(err, 0);
    return offset;
}

void commit_with(const char *group, const char *topic, int partition, int64_t offset, const char *metadata)
{
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, topic, partition);
    e->offset = offset;
    e->metadata = strdup(metadata); /* freed with the list */
    e->metadata_size = strlen(metadata);
    int64_t deadline = clock_monotonic_ms() + 30000;
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_commit(rk, list, 0)) && clock_monotonic_ms() < deadline)
        clock_sleep_ms(200); /* as above */
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    assert_int_equal(err, 0);
}

void node_open(struct node *n, const char *name)
{
    char store_id[40];
    n->name = name;
    n->sink = NULL;
    (void)snprintf(store_id, sizeof store_id, "store-%s", name);
    batch_catcher_init(&n->catcher, store_id);
}

void node_start(struct node *n, const struct node_options *o)
{
    const char *const topics[] = {o->topic};
    const char *const sinks[] = {"plant", "neighbour"};
    struct kafka_static_partition partitions[] = {{o->topic, 0}, {o->topic, 1}};
    struct kafka_property properties[] = {
        {"session.timeout.ms", o->session_timeout_ms ? o->session_timeout_ms : "6000"},
        {"statistics.interval.ms", "500"},
        {"heartbeat.interval.ms", "500"},
        {"topic.metadata.refresh.interval.ms", o->metadata_refresh_ms ? o->metadata_refresh_ms : "1000"},
        {"partition.assignment.strategy", o->assignor ? o->assignor : "range"},
    };
    struct kafka_sink_options options = {
        .name = "plant",
        .sink_names = sinks,
        .sink_names_count = 2,
        .node = n->name,
        .brokers = o->brokers ? o->brokers : need("KAFKA_BOOTSTRAP"),
        .topics = topics,
        .topics_count = o->statically ? 0 : 1,
        .partitions = partitions,
        .partitions_count = o->statically ? 2 : 0,
        .group = o->group,
        .decoder = &catcher_decoder,
        .start_from = o->start_from,
        .on_topic_recreated = o->on_topic_recreated,
        .on_out_of_range = o->on_out_of_range,
        .leave_on_stop = o->leave_on_stop,
        .threads = o->threads ? o->threads : 1,
        .queue_size = 64 << 20,
        .max_message_size = 16 << 20,
        .properties = properties,
        .properties_count = 5,
    };
    struct error error = {0};
    if (kafka_sink_new(&n->sink, &options, &n->catcher.intake, &error) < 0 ||
        n->sink->ops->start(n->sink, &error) < 0)
        fail_msg("%s", error.message);
}

void node_commit(struct node *n)
{
    batch_catcher_commit(&n->catcher);
    n->sink->ops->acknowledge(n->sink);
}

int64_t node_stop(struct node *n)
{
    int64_t begun = clock_monotonic_ms();
    n->sink->ops->stop_intake(n->sink);
    node_commit(n);
    n->sink->ops->stop(n->sink);
    int64_t took = clock_monotonic_ms() - begun;
    n->sink->ops->free(n->sink);
    n->sink = NULL;
    return took;
}

void node_crash(struct node *n)
{
    n->sink->ops->stop_intake(n->sink);
    n->sink->ops->stop(n->sink);
    n->sink->ops->free(n->sink);
    n->sink = NULL;
    batch_catcher_crash(&n->catcher);
}

void node_close(struct node *n)
{
    batch_catcher_release(&n->catcher);
}

bool node_has_metric(struct node *n, const char *text)
{
    struct buffer b = {0};
    n->sink->ops->metrics(n->sink, &b);
    bool found = strstr(buffer_cstr(&b), text) != NULL;
    buffer_release(&b);
    return found;
}

bool node_wait_metric(struct node *n, const char *text, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (!node_has_metric(n, text)) {
        if (clock_monotonic_ms() > deadline)
            return false;
        clock_sleep_ms(20);
    }
    return true;
}

int node_assigned(struct node *n)
{
    static const char name[] = "varve_kafka_partitions_assigned{sink=\"plant\"} ";
    struct buffer b = {0};
    n->sink->ops->metrics(n->sink, &b);
    const char *at = strstr(buffer_cstr(&b), name);
    int count = at ? atoi(at + sizeof name - 1) : -1;
    buffer_release(&b);
    return count;
}

bool node_wait_assigned(struct node *n, int count, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (node_assigned(n) != count) {
        if (clock_monotonic_ms() > deadline)
            return false;
        clock_sleep_ms(20);
    }
    return true;
}

void node_wait_no_lag(struct node *n, const char *topic)
{
    char lag[256];
    (void)snprintf(lag, sizeof lag, "varve_kafka_lag{sink=\"plant\",topic=\"%s\",partition=\"0\"} ", topic);
    int64_t deadline = clock_monotonic_ms() + 20000;
    for (;;) {
        struct buffer b = {0};
        n->sink->ops->metrics(n->sink, &b);
        const char *at = strstr(buffer_cstr(&b), lag);
        long long have = at ? strtoll(at + strlen(lag), NULL, 10) : -1;
        buffer_release(&b);
        if (have == 0)
            return;
        if (clock_monotonic_ms() > deadline)
            fail_msg("the lag stays at %lld", have);
        clock_sleep_ms(20);
    }
}

void assert_exactly_once(struct node *const *nodes, size_t nodes_count, const char *prefix, size_t n)
{
    unsigned *seen = xcalloc(n + 1, sizeof *seen);
    int64_t deadline = clock_monotonic_ms() + 30000;
    size_t total = 0, missing = 0, extra = 0, len = strlen(prefix);
    while (total < n && clock_monotonic_ms() < deadline) {
        clock_sleep_ms(20);
        total = 0;
        for (size_t i = 0; i < nodes_count; i++)
            total += batch_catcher_count(&nodes[i]->catcher);
    }
    clock_sleep_ms(700); /* for what comes twice */
    for (size_t i = 0; i < nodes_count; i++) {
        struct batch_catcher *c = &nodes[i]->catcher;
        mutex_lock(&c->lock);
        for (size_t j = 0; j < c->rows_count; j++) {
            size_t number =
                strncmp(c->rows[j].key, prefix, len) ? n : strtoul(c->rows[j].key + len, NULL, 10);
            if (number < n)
                seen[number]++;
        }
        mutex_unlock(&c->lock);
    }
    for (size_t i = 0; i < n; i++) {
        if (!seen[i] && missing < 3)
            print_message("           missing: %s%zu\n", prefix, i);
        missing += seen[i] == 0;
        extra += seen[i] > 1 ? seen[i] - 1 : 0;
    }
    free(seen);
    print_message("           %zu records: missing %zu, extra %zu\n", n, missing, extra);
    assert_int_equal(missing, 0);
    assert_int_equal(extra, 0);
}
