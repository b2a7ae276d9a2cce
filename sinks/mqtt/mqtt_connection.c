/*
 * The connection thread: looks the broker's name up, connects, subscribes, and does so again with a back-off
 * when the connection is lost or refused. Each connection has an MQTTAsync handle of its own: nothing that
 * paho still has queued of one reaches the next.
 */
#include "sinks/mqtt/mqtt_internal.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "sinks/mqtt/mqtt_diagnose.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

#define BACK_OFF_MIN_MS     500
#define BACK_OFF_MAX_MS     30000
#define STABLE_MS           10000 /* a connection that lasted so long begins the back-off anew */
#define LOOKUP_LIMIT_MS     60000
#define CONNECT_LIMIT_MS    15000 /* paho's own limit, and some more: it isn't always kept */
#define DIAGNOSE_LIMIT_MS   5000
#define RECOVER_WAIT_MAX_MS 2000 /* between two tries of a spool that has failed */
#define ROOM_WAIT_MS        200
#define FULL_REPEAT_MS      60000
#define RELEASE_WAIT_MS     500  /* at the stop, for PUBACKs of what is durable */
#define BROKER_WAIT_MS      1000 /* then, until the broker has read them */
#define PIN_WAIT_MS         50

struct connector {
    struct mqtt_sink *sink;
    size_t address_index;
    int64_t back_off_ms;
    bool was_away; /* failures are logged once, until it's connected again */
    int64_t full_said_ms;
    char last_why[512];
};

void mqtt_connection_disconnect(struct mqtt_sink *s)
{
    mutex_lock(&s->lock);
    s->wants_disconnect = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

/* Waits until told to stop; true then. */
static bool wait_for_stop(struct mqtt_sink *s, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    mutex_lock(&s->lock);
    for (int64_t left = timeout_ms; !s->stopping && left > 0; left = deadline - clock_monotonic_ms())
        (void)cond_wait_ms(&s->changed, &s->lock, left);
    bool is_told = s->stopping;
    mutex_unlock(&s->lock);
    return is_told;
}

static void note_failure(struct connector *c, const char *why)
{
    struct mqtt_sink *s = c->sink;
    atomic_fetch_add(&s->connect_failures, 1);
    if (c->was_away && strcmp(c->last_why, why) == 0)
        return;
    log_warning("sink %s: no connection with %s: %s; trying again", s->base.name, s->place, why);
    c->was_away = true;
    snprintf(c->last_why, sizeof c->last_why, "%.511s", why);
}

/* --- callbacks of paho --- */

static void connection_ended(struct mqtt_sink *s, const char *why)
{
    mutex_lock(&s->lock);
    s->state = MQTT_AWAY;
    snprintf(s->why, sizeof s->why, "%s", why);
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static void on_connection_lost(void *context, char *cause)
{
    connection_ended(context, cause ? cause : "the connection was lost");
}

static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes code)
{
    (void)properties;
    char why[128];
    const char *name = MQTTReasonCode_toString(code);
    snprintf(why, sizeof why, "the broker ended it: %s", name ? name : "unknown reason");
    connection_ended(context, why);
}

/* --- one connection --- */

static void on_lookup(void *arg)
{
    struct mqtt_sink *s = arg;
    mutex_lock(&s->lock);
    s->lookup_ended = true;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static int resolve(struct mqtt_sink *s, size_t address_index, int64_t timeout_ms,
                   char ret_address[MQTT_ADDRESS_SIZE], struct error *reterr)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    mutex_lock(&s->lock);
    s->lookup_ended = false;
    mutex_unlock(&s->lock);
    struct mqtt_lookup *l = mqtt_lookup_start(s->url.host, on_lookup, s);
    mutex_lock(&s->lock);
    for (int64_t left = timeout_ms; !s->lookup_ended && !s->stopping && left > 0;
         left = deadline - clock_monotonic_ms())
        (void)cond_wait_ms(&s->changed, &s->lock, left);
    bool is_told_to_stop = s->stopping;
    mutex_unlock(&s->lock);
    int status = 0, r = 0;
    if (is_told_to_stop)
        r = error_set(reterr, ERR_CANCELLED, "stopping");
    else if (!mqtt_lookup_done(l, address_index, &status, ret_address))
        r = error_set(reterr, ERR_IO, "the name server hasn't answered for %s in %d s", s->url.host,
                      (int)(timeout_ms / SECOND_MS));
    else if (status != 0)
        r = error_set(reterr, ERR_IO, "cannot resolve %s: %s", s->url.host, gai_strerror(status));
    s->addresses_count = mqtt_lookup_count(l);
    mqtt_lookup_abandon(l);
    return r;
}

void mqtt_connection_end(struct mqtt_sink *s)
{
    struct mqtt_puback *puback = s->puback;
    if (puback)
        mqtt_puback_close(puback);
    if (s->handle)
        MQTTAsync_destroy(&s->handle); /* sends DISCONNECT; no callback comes after it */
    s->handle = NULL;
    mutex_lock(&s->release_lock);
    s->puback = NULL;
    mutex_unlock(&s->release_lock);
    mqtt_puback_free(puback);
    mqtt_subscribe_forget(s);
    mutex_lock(&s->lock);
    s->state = MQTT_AWAY;
    mutex_unlock(&s->lock);
}

static int begin_connection(struct mqtt_sink *s, struct error *reterr)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = s->version == MQTT_VERSION_5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    int rc = MQTTAsync_createWithOptions(&s->handle, s->uri, s->client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                         &create);
    if (rc != MQTTASYNC_SUCCESS) {
        s->handle = NULL;
        return error_set(reterr, ERR_INVALID, "paho refuses %s or the client id (code %d)", s->place, rc);
    }
    const struct mqtt_puback_listener listener = {mqtt_session_answered, mqtt_session_completed, &s->session};
    struct mqtt_puback *puback = mqtt_puback_new(s->client_id, s->spool ? &listener : NULL);
    mutex_lock(&s->release_lock);
    s->puback = puback;
    mutex_unlock(&s->release_lock);
    mutex_lock(&s->lock);
    s->state = MQTT_CONNECTING;
    s->why[0] = '\0';
    s->was_answered = false;
    mutex_unlock(&s->lock);
    atomic_store(&s->refusing, false);
    (void)MQTTAsync_setCallbacks(s->handle, s, on_connection_lost, mqtt_message_arrived, NULL);
    if (s->version == MQTT_VERSION_5)
        (void)MQTTAsync_setDisconnected(s->handle, s, on_disconnected);

    struct mqtt_connect_options options;
    mqtt_connect_options_init(&options, s);
    rc = MQTTAsync_connect(s->handle, &options.connect);
    mqtt_connect_options_release(&options);
    return rc == MQTTASYNC_SUCCESS ? 0 : error_set(reterr, ERR_IO, "paho can't connect (code %d)", rc);
}

static int wait_until_connected(struct mqtt_sink *s, int64_t timeout_ms, struct error *reterr)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    mutex_lock(&s->lock);
    while (s->state == MQTT_CONNECTING && !s->stopping) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0)
            break;
        (void)cond_wait_ms(&s->changed, &s->lock, left);
    }
    int r = 0;
    if (s->state != MQTT_CONNECTED)
        r = s->stopping ? error_set(reterr, ERR_CANCELLED, "stopping")
                        : error_set(reterr, ERR_IO, "%s", s->why[0] ? s->why : "no answer in time");
    mutex_unlock(&s->lock);
    return r;
}

static int pin(struct mqtt_sink *s, const char *address)
{
    while (mqtt_pin(s->pinned_name, address) == ERR_BUSY) {
        if (wait_for_stop(s, PIN_WAIT_MS))
            return ERR_CANCELLED;
    }
    return 0;
}

static bool is_stopping(void *arg)
{
    return wait_for_stop(arg, 0);
}

/* A failure that the broker didn't give the reason for itself. */
static int explain(struct mqtt_sink *s, const char *address, int r, struct error *reterr)
{
    char why[sizeof s->why];
    const struct mqtt_target target = {.address = address,
                                       .port = s->url.port,
                                       .is_tls = s->url.is_tls,
                                       .name = s->pinned_name,
                                       .ca = s->tls_ca,
                                       .cert = s->tls_cert,
                                       .key = s->tls_key};
    mutex_lock(&s->lock);
    bool was_answered = s->was_answered;
    mutex_unlock(&s->lock);
    if (r == ERR_IO && !was_answered &&
        mqtt_diagnose(&target, DIAGNOSE_LIMIT_MS, is_stopping, s, why, sizeof why))
        return error_set(reterr, r, "%s", why);
    return r;
}

int mqtt_connection_open(struct mqtt_sink *s, size_t address_index, int64_t timeout_ms,
                         char ret_address[MQTT_ADDRESS_SIZE], struct error *reterr)
{
    char address[MQTT_ADDRESS_SIZE] = "";
    int r = resolve(s, address_index, timeout_ms, address, reterr);
    if (r < 0)
        return r;
    if (pin(s, address) < 0)
        return error_set(reterr, ERR_CANCELLED, "stopping");
    r = begin_connection(s, reterr);
    if (r == 0)
        r = wait_until_connected(s, timeout_ms < CONNECT_LIMIT_MS ? timeout_ms : CONNECT_LIMIT_MS, reterr);
    mqtt_unpin(s->pinned_name);
    if (r < 0)
        return explain(s, address, r, reterr);
    if (ret_address)
        memcpy(ret_address, address, sizeof address);
    return 0;
}

/* Without a client id the broker keeps nothing for us. */
static int begin_session(struct mqtt_sink *s, struct error *reterr)
{
    bool is_lost = false;
    int r = s->client_id[0] ? mqtt_session_begin(&s->session, &is_lost, reterr) : 0;
    if (is_lost) {
        atomic_fetch_add(&s->sessions_lost, 1);
        log_error("sink %s: the broker has lost the session %s (or it has expired): what it held for us, and "
                  "what was published since, is gone",
                  s->base.name, s->client_id);
    }
    return r;
}

static int connect_once(struct connector *c, struct error *reterr)
{
    struct mqtt_sink *s = c->sink;
    char address[MQTT_ADDRESS_SIZE];
    int r = mqtt_connection_open(s, c->address_index++, LOOKUP_LIMIT_MS, address, reterr);
    if (r < 0)
        return r;
    log_info("sink %s: connected with %s (%s), session %s", s->base.name, s->place, address,
             s->session_present ? "resumed" : "new");
    FAULT_POINT("mqtt_connected");
    r = begin_session(s, reterr);
    if (r == 0)
        r = mqtt_subscribe_all(s, reterr);
    FAULT_POINT("mqtt_subscribed");
    return r;
}

/* Until the connection ends, is to be ended, or the sink is. */
static void wait_while_connected(struct connector *c)
{
    struct mqtt_sink *s = c->sink;
    int64_t since = clock_monotonic_ms();
    char why[sizeof s->why] = "";
    mutex_lock(&s->lock);
    while (s->state == MQTT_CONNECTED && !s->wants_disconnect && !s->stopping)
        cond_wait(&s->changed, &s->lock);
    bool is_lost = s->state != MQTT_CONNECTED && !s->stopping;
    snprintf(why, sizeof why, "%s", s->why);
    mutex_unlock(&s->lock);
    if (is_lost) {
        atomic_fetch_add(&s->lost_connections, 1);
        log_warning("sink %s: lost %s: %s", s->base.name, s->place, why[0] ? why : "unknown reason");
    }
    if (clock_monotonic_ms() - since >= STABLE_MS)
        c->back_off_ms = 0;
}

/* A spool that is filled faster than it's emptied is full again and again. */
static void say_full(struct connector *c)
{
    int64_t now = clock_monotonic_ms();
    if (c->full_said_ms && now - c->full_said_ms < FULL_REPEAT_MS)
        return;
    c->full_said_ms = now;
    log_warning("sink %s: the spool in %s is full; the broker keeps the messages until there's room",
                c->sink->base.name, c->sink->spool_path);
}

static int recover(struct mqtt_sink *s, struct error *reterr)
{
    int r = spool_recover(s->spool, reterr);
    if (r == 0)
        mqtt_session_forget_undurable(&s->session);
    return r;
}

/* No connection before the spool takes messages again. True when told to stop. */
static bool wait_for_spool(struct connector *c)
{
    struct mqtt_sink *s = c->sink;
    bool is_said = false;
    int64_t wait_ms = ROOM_WAIT_MS;
    for (;;) {
        struct error error = {0};
        if (spool_has_failed(s->spool) && recover(s, &error) < 0) {
            if (!is_said)
                log_error("sink %s: %s; trying again", s->base.name, error.message);
            is_said = true;
            wait_ms = wait_ms * 2 > RECOVER_WAIT_MAX_MS ? RECOVER_WAIT_MAX_MS : wait_ms * 2;
        } else if (spool_has_room(s->spool)) {
            return wait_for_stop(s, 0);
        } else {
            say_full(c);
        }
        if (wait_for_stop(s, wait_ms))
            return true;
    }
}

static int64_t next_back_off(struct connector *c)
{
    unsigned random = 0;
    (void)!getrandom(&random, sizeof random, 0);
    c->back_off_ms = c->back_off_ms ? c->back_off_ms * 2 : BACK_OFF_MIN_MS;
    if (c->back_off_ms > BACK_OFF_MAX_MS)
        c->back_off_ms = BACK_OFF_MAX_MS;
    return c->back_off_ms / 2 + (int64_t)(random % (unsigned)(c->back_off_ms / 2 + 1));
}

/* What is durable is acknowledged before the connection ends, and the broker has read that, or it would all
 * come again. It sends on until its window is full of messages that were refused. */
static void drain_pubacks(struct mqtt_sink *s)
{
    if (!s->handle)
        return;
    /* It takes paho's mutex, which callbacks run under: none that still takes messages is left after it. */
    bool is_connected = MQTTAsync_isConnected(s->handle);
    int64_t deadline = clock_monotonic_ms() + RELEASE_WAIT_MS;
    while (s->puback && mqtt_puback_count(s->puback) && !spool_has_failed(s->spool) &&
           clock_monotonic_ms() < deadline)
        clock_sleep_ms(2);
    if (is_connected && mqtt_puback_is_held())
        mqtt_subscribe_await_broker(s, BROKER_WAIT_MS);
}

/* Connects, and stays so until the connection ends, is to be ended, or the sink is. */
static void serve_connection(struct connector *c)
{
    struct mqtt_sink *s = c->sink;
    struct error error = {0};
    int r = connect_once(c, &error);
    mutex_lock(&s->lock);
    bool is_connected = s->state == MQTT_CONNECTED;
    /* Full or failed before it had subscribed: the broker isn't to blame. */
    bool is_to_end = is_connected && s->wants_disconnect;
    mutex_unlock(&s->lock);
    if (r < 0 && !is_to_end) {
        if (!wait_for_stop(s, 0))
            note_failure(c, error.message);
        return;
    }
    atomic_fetch_add(&s->connects, 1);
    c->was_away = false;
    if (is_connected)
        wait_while_connected(c);
}

void mqtt_connection_main(void *arg)
{
    struct connector c = {.sink = arg};
    struct mqtt_sink *s = arg;
    while (!wait_for_spool(&c)) {
        mutex_lock(&s->lock);
        s->wants_disconnect = false;
        mutex_unlock(&s->lock);
        atomic_store(&s->accepting, true);
        serve_connection(&c);
        mutex_lock(&s->lock);
        bool is_last = s->stopping, was_told = s->wants_disconnect;
        mutex_unlock(&s->lock);
        bool was_full = was_told && !spool_has_failed(s->spool);
        if (is_last || was_told) {
            atomic_store(&s->accepting, false);
            drain_pubacks(s);
        }
        mqtt_connection_end(s);
        /* wait_for_spool has the pause that a full spool needs. */
        if (is_last || wait_for_stop(s, was_full ? 0 : next_back_off(&c)))
            break;
    }
}
