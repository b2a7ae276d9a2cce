#include "tests/real/mqtt/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/clock.h"

const char *need(const char *name)
{
    const char *value = getenv(name);
    if (!value) {
        fprintf(stderr, "%s isn't set: run tests/real/mqtt/traps.sh\n", name);
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

void node_subscribe(struct node *n, size_t index, const char *filter, int qos)
{
    snprintf(n->filters[index], sizeof n->filters[index], "%s", filter);
    n->subscriptions[index] = (struct mqtt_subscription_options){
        .filter = n->filters[index], .qos = qos, .decoder = &catcher_decoder};
    if (index >= n->options.subscriptions_count)
        n->options.subscriptions_count = index + 1;
}

void node_open(struct node *n, const char *name, int qos)
{
    char filter[128];
    memset(n, 0, sizeof *n);
    batch_catcher_init(&n->catcher, "store");
    faulty_spool_fs_init(&n->fs);
    snprintf(n->client_id, sizeof n->client_id, "%s", name);
    snprintf(n->broker, sizeof n->broker, "mqtt://127.0.0.1:%s", need("MQTT_PORT"));
    snprintf(n->spool_path, sizeof n->spool_path, "%s/spool/%s", need("WORK_DIR"), name);
    snprintf(filter, sizeof filter, "%s/#", name);
    n->options = (struct mqtt_sink_options){.name = "edge",
                                            .broker = n->broker,
                                            .client_id = n->client_id,
                                            .version = MQTT_VERSION_5,
                                            .keepalive_s = 5,
                                            .receive_maximum = 1000,
                                            .session_expiry_s = 3600,
                                            .max_packet_size = 1 << 20,
                                            .retained = MQTT_RETAINED_KEEP,
                                            .spool_path = n->spool_path,
                                            .spool_max_bytes = 1 << 30,
                                            .subscriptions = n->subscriptions};
    node_subscribe(n, 0, filter, qos);
}

void node_set_broker(struct node *n, const char *scheme, const char *host, const char *port_variable)
{
    snprintf(n->broker, sizeof n->broker, "%s://%s:%s", scheme, host, need(port_variable));
}

void node_start(struct node *n)
{
    struct error error = {0};
    if (mqtt_sink_new(&n->sink, &n->options, &n->catcher.intake, &error) < 0)
        fail_msg("%s", error.message);
    mqtt_sink_of(n->sink)->spool_fs = &n->fs.fs;
    if (n->sink->ops->start(n->sink, &error) < 0)
        fail_msg("%s", error.message);
}

void node_connect(struct node *n)
{
    node_start(n);
    if (!node_wait_metric(n, "varve_mqtt_connects_total", 1, 60000)) /* a window of messages comes first */
        fail_msg("no connection with %s", n->broker);
}

void node_commit(struct node *n)
{
    batch_catcher_commit(&n->catcher);
    n->sink->ops->acknowledge(n->sink);
}

int64_t node_stop(struct node *n)
{
    int64_t start = clock_monotonic_ms();
    n->sink->ops->stop_intake(n->sink);
    node_commit(n);
    n->sink->ops->stop(n->sink);
    int64_t took = clock_monotonic_ms() - start;
    n->sink->ops->free(n->sink);
    n->sink = NULL;
    return took;
}

void node_close(struct node *n)
{
    if (n->sink)
        (void)node_stop(n);
    batch_catcher_release(&n->catcher);
}

uint64_t node_metric(struct node *n, const char *name)
{
    struct buffer text = {0};
    n->sink->ops->metrics(n->sink, &text);
    const char *p = strstr(buffer_cstr(&text), name);
    p = p ? strchr(p, '}') : NULL;
    uint64_t value = p ? strtoull(p + 1, NULL, 10) : 0;
    buffer_release(&text);
    return value;
}

bool node_wait_metric(struct node *n, const char *name, uint64_t at_least, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (node_metric(n, name) < at_least) {
        if (clock_monotonic_ms() > deadline)
            return false;
        clock_sleep_ms(10);
    }
    return true;
}

bool node_wait_rows(struct node *n, size_t rows, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (!batch_catcher_wait(&n->catcher, rows, 100)) {
        node_commit(n);
        if (clock_monotonic_ms() > deadline)
            return false;
    }
    return true;
}

void publish(const char *topic, int qos, const char *prefix, size_t first, size_t end, size_t size)
{
    char command[512];
    snprintf(command, sizeof command, "mosquitto_pub -V 5 -h 127.0.0.1 -p %s -t '%s' -q %d -l",
             need("MQTT_PORT"), topic, qos);
    FILE *f = popen(command, "w");
    assert_non_null(f);
    for (size_t i = first; i < end; i++) {
        int n = fprintf(f, "%s%zu", prefix, i);
        /* Behind a space: the comparison stops there. */
        if ((size_t)n < size)
            fprintf(f, "%*s", (int)size - n, " ");
        fputc('\n', f);
    }
    if (pclose(f) != 0)
        fail_msg("%s", command);
}

void publish_with(const char *format, ...)
{
    char args[1024], command[1200];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(args, sizeof args, format, ap);
    va_end(ap);
    (void)snprintf(command, sizeof command, "mosquitto_pub -h 127.0.0.1 -p %s %s", need("MQTT_PORT"), args);
    if (system(command) != 0)
        fail_msg("%s", command);
}

void broker(const char *command)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "bash '%s' %s '%s' >/dev/null 2>&1", need("MQTT_SH"), command,
                   need("MQTT_DIR"));
    if (system(line) != 0)
        fail_msg("%s", line);
}

/* Payloads may be padded with spaces. */
static size_t missing(struct node *n, const char *prefix, size_t count, size_t *ret_extra)
{
    size_t result = 0;
    mutex_lock(&n->catcher.lock);
    for (size_t i = 0; i < n->catcher.rows_count; i++) {
        char *space = strchr(n->catcher.rows[i].key, ' ');
        if (space)
            *space = '\0';
    }
    mutex_unlock(&n->catcher.lock);
    batch_catcher_compare(&n->catcher, prefix, count, &result, ret_extra);
    return result;
}

size_t assert_none_missing(struct node *n, const char *prefix, size_t count)
{
    size_t extra = 0, result = missing(n, prefix, count, &extra);
    if (result)
        fail_msg("%zu of %zu are missing", result, count);
    return extra;
}

size_t node_wait_all(struct node *n, const char *prefix, size_t count, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    size_t extra = 0;
    while (missing(n, prefix, count, &extra) && clock_monotonic_ms() < deadline) {
        clock_sleep_ms(100);
        node_commit(n);
    }
    return assert_none_missing(n, prefix, count);
}
