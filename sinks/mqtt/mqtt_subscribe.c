/*
 * After each connect: filters that left the configuration are unsubscribed, all others subscribed (which
 * changes nothing for a session that has them). The file of filters holds the old and the new ones until the
 * broker has answered, so that none is forgotten whenever the process ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sinks/mqtt/mqtt_filter_file.h"
#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/log.h"

#define ANSWER_TIMEOUT_MS 15000

/* Never subscribed, and no topic of anybody's: brokers keep $ for themselves. */
#define NOBODYS_FILTER "$varve/none"

/* retainHandling of MQTT 5: retained messages with a new subscription only, or never. */
enum { RETAIN_IF_NEW = 1, RETAIN_NEVER = 2 };

/* One SUBSCRIBE or UNSUBSCRIBE. paho may drop it without an answer, so it's kept until the handle is gone. */
struct mqtt_request {
    struct mqtt_sink *sink;
    char *filter;
    int qos;
    bool is_unsubscribe;
    struct mqtt_request *next;
};

static void answered(struct mqtt_request *r, bool is_granted, int code, int granted_qos)
{
    struct mqtt_sink *s = r->sink;
    if (code < 0)
        return; /* paho's own: the connection ended before there was an answer */
    if (!is_granted && !r->is_unsubscribe) {
        atomic_fetch_add(&s->subscriptions_refused, 1);
        log_error("sink %s: the broker refuses the subscription of %s (code %d)", s->base.name, r->filter,
                  code);
    } else if (!r->is_unsubscribe && granted_qos < r->qos) {
        log_warning("sink %s: the broker grants QoS %d for %s, not %d", s->base.name, granted_qos, r->filter,
                    r->qos);
    }
    mutex_lock(&s->lock);
    s->acks_awaited--;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

void mqtt_subscribe_forget(struct mqtt_sink *s)
{
    while (s->requests) {
        struct mqtt_request *r = s->requests;
        s->requests = r->next;
        free(r->filter);
        free(r);
    }
    s->acks_awaited = 0;
}

static void on_success(void *context, MQTTAsync_successData *data)
{
    struct mqtt_request *r = context;
    answered(r, true, 0, r->is_unsubscribe || !data ? 0 : data->alt.qos);
}

static void on_success5(void *context, MQTTAsync_successData5 *data)
{
    answered(context, true, 0, data ? (int)data->reasonCode : 0);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    answered(context, false, data ? data->code : 0, 0);
}

static void on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    answered(context, false, data ? (data->reasonCode ? (int)data->reasonCode : data->code) : 0, 0);
}

static int request(struct mqtt_sink *s, const char *filter, int qos, bool is_unsubscribe)
{
    struct mqtt_request *r = xcalloc(1, sizeof *r);
    *r = (struct mqtt_request){s, xstrdup(filter), qos, is_unsubscribe, s->requests};
    s->requests = r;
    MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
    o.context = r;
    if (s->version == MQTT_VERSION_5) {
        o.onSuccess5 = on_success5;
        o.onFailure5 = on_failure5;
        o.subscribeOptions.retainHandling = s->retained == MQTT_RETAINED_DROP ? RETAIN_NEVER : RETAIN_IF_NEW;
    } else {
        o.onSuccess = on_success;
        o.onFailure = on_failure;
    }
    mutex_lock(&s->lock);
    s->acks_awaited++;
    mutex_unlock(&s->lock);
    int rc = is_unsubscribe ? MQTTAsync_unsubscribe(s->handle, filter, &o)
                            : MQTTAsync_subscribe(s->handle, filter, qos, &o);
    if (rc != MQTTASYNC_SUCCESS) {
        mutex_lock(&s->lock);
        s->acks_awaited--;
        mutex_unlock(&s->lock);
    }
    return rc == MQTTASYNC_SUCCESS ? 0 : ERR_IO;
}

static bool is_configured(const struct mqtt_sink *s, const char *filter)
{
    for (size_t i = 0; i < s->subscriptions_count; i++) {
        if (strcmp(s->subscriptions[i].filter, filter) == 0)
            return true;
    }
    return false;
}

/* True when all have come. Also returns when the connection is gone or, unless it's ending anyway, is to go.
 * The answers come behind what the broker has sent before them, which may be a long backlog: unless it's
 * ending, the time runs from the last message on. */
static bool wait_for_answers(struct mqtt_sink *s, int64_t timeout_ms, bool is_ending)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    unsigned long long received = atomic_load(&s->received);
    mutex_lock(&s->lock);
    while (s->acks_awaited && s->state == MQTT_CONNECTED &&
           (is_ending || (!s->stopping && !s->wants_disconnect))) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0 && !is_ending && atomic_load(&s->received) != received) {
            received = atomic_load(&s->received);
            deadline = clock_monotonic_ms() + timeout_ms;
            continue;
        }
        if (left <= 0)
            break;
        (void)cond_wait_ms(&s->changed, &s->lock, left);
    }
    bool is_done = !s->acks_awaited;
    mutex_unlock(&s->lock);
    return is_done;
}

void mqtt_subscribe_await_broker(struct mqtt_sink *s, int64_t timeout_ms)
{
    if (request(s, NOBODYS_FILTER, 0, true) == 0)
        (void)wait_for_answers(s, timeout_ms, true);
}

static bool is_connected(struct mqtt_sink *s)
{
    mutex_lock(&s->lock);
    bool connected = s->state == MQTT_CONNECTED;
    mutex_unlock(&s->lock);
    return connected;
}

int mqtt_subscribe_all(struct mqtt_sink *s, struct error *reterr)
{
    struct mqtt_filter_list known = {0}, wanted = {0};
    int dir_fd = spool_dir_fd(s->spool);
    const struct spool_fs *fs = spool_filesystem(s->spool);
    int r = mqtt_filter_file_read(dir_fd, &known, reterr);
    size_t old_count = known.count;
    for (size_t i = 0; i < s->subscriptions_count; i++) {
        mqtt_filter_list_add(&known, s->subscriptions[i].filter);
        mqtt_filter_list_add(&wanted, s->subscriptions[i].filter);
    }
    if (r == 0 && known.count != old_count)
        r = mqtt_filter_file_write(fs, dir_fd, &known, reterr);
    for (size_t i = 0; r == 0 && i < known.count; i++) {
        if (is_configured(s, known.filters[i]))
            continue;
        log_info("sink %s: unsubscribing %s, which is no longer configured", s->base.name, known.filters[i]);
        r = request(s, known.filters[i], 0, true);
    }
    for (size_t i = 0; r == 0 && i < s->subscriptions_count; i++)
        r = request(s, s->subscriptions[i].filter, s->subscriptions[i].qos, false);
    if (r == 0 && !wait_for_answers(s, ANSWER_TIMEOUT_MS, false))
        r = error_set(reterr, ERR_IO,
                      is_connected(s) ? "the broker doesn't answer SUBSCRIBE"
                                      : "the connection was lost while subscribing");
    else if (r == ERR_IO && reterr && !reterr->code)
        error_set(reterr, ERR_IO, "the connection was lost while subscribing");
    if (r == 0 && known.count != wanted.count)
        r = mqtt_filter_file_write(fs, dir_fd, &wanted, reterr);
    mqtt_filter_list_release(&known);
    mqtt_filter_list_release(&wanted);
    return r;
}
