#include "sinks/mqtt/mqtt_puback.h"

#include "sinks/mqtt/mqtt_sink.h"

#ifdef VARVE_MQTT_WRAP

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/alloc.h"
#include "src/base/fault_point.h"
#include "src/base/mutex.h"

/* At most so many are sent before paho's threads get their mutex back. */
#define RELEASE_MAX 256

/* paho's own, internal to it (1.3.x): declared here as no header of it does. */
extern pthread_mutex_t *mqttasync_mutex;
extern pthread_mutex_t *socket_mutex;
void MQTTAsync_lock_mutex(pthread_mutex_t *mutex);
void MQTTAsync_unlock_mutex(pthread_mutex_t *mutex);
int Socket_noPendingWrites(int socket);
int __real_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id);
int __real_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id);
int __real_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id);

#define VERSION_5 5 /* paho's number for it */

struct held {
    uint64_t lsn;
    uint16_t packet_id;
    bool is_qos2;
};

struct mqtt_puback {
    char *client_id;
    struct mqtt_puback_listener listener;
    struct mqtt_puback *next; /* list of all, under paho's mutex */

    /* Under paho's mutex. */
    void *net; /* NULL until learned */
    int socket;
    int mqtt_version;
    bool is_closed;

    struct mutex lock; /* the ring; taken inside paho's mutex or alone */
    struct held *ring;
    size_t ring_first, ring_count, ring_capacity; /* capacity is a power of two */
};

static struct mqtt_puback *all; /* under paho's mutex */
/* Whose callback ran last in this thread, and for which packet; until its PUBACK. */
static __thread struct mqtt_puback *in_callback;
static __thread int in_callback_id;

/* The first member of paho's networkHandles. */
static int socket_of(const void *net)
{
    int fd;
    memcpy(&fd, net, sizeof fd);
    return fd;
}

bool mqtt_puback_is_held(void)
{
    return true;
}

const char *mqtt_puback_mode(void)
{
    return "after the spool's fsync (paho linked statically, PUBACK held)";
}

struct mqtt_puback *mqtt_puback_new(const char *client_id, const struct mqtt_puback_listener *listener)
{
    struct mqtt_puback *a = xcalloc(1, sizeof *a);
    a->client_id = xstrdup(client_id);
    if (listener)
        a->listener = *listener;
    mutex_init(&a->lock, RANK_LEAF);
    MQTTAsync_lock_mutex(mqttasync_mutex);
    a->next = all;
    all = a;
    MQTTAsync_unlock_mutex(mqttasync_mutex);
    return a;
}

void mqtt_puback_close(struct mqtt_puback *a)
{
    MQTTAsync_lock_mutex(mqttasync_mutex);
    a->is_closed = true;
    mutex_lock(&a->lock);
    a->ring_count = 0;
    mutex_unlock(&a->lock);
    MQTTAsync_unlock_mutex(mqttasync_mutex);
}

void mqtt_puback_free(struct mqtt_puback *a)
{
    if (!a)
        return;
    MQTTAsync_lock_mutex(mqttasync_mutex);
    struct mqtt_puback **p = &all;
    while (*p != a)
        p = &(*p)->next;
    *p = a->next;
    MQTTAsync_unlock_mutex(mqttasync_mutex);
    mutex_destroy(&a->lock);
    free(a->client_id);
    free(a->ring);
    free(a);
}

static void grow_ring(struct mqtt_puback *a) REQUIRES(a->lock)
{
    size_t capacity = a->ring_capacity ? a->ring_capacity * 2 : 1024;
    struct held *ring = xreallocarray(NULL, capacity, sizeof *ring);
    for (size_t i = 0; i < a->ring_count; i++)
        ring[i] = a->ring[(a->ring_first + i) & (a->ring_capacity - 1)];
    free(a->ring);
    a->ring = ring;
    a->ring_first = 0;
    a->ring_capacity = capacity;
}

void mqtt_puback_hold(struct mqtt_puback *a, uint16_t packet_id, int qos, uint64_t lsn)
{
    in_callback = a;
    in_callback_id = packet_id;
    mutex_lock(&a->lock);
    if (!a->is_closed) {
        if (a->ring_count == a->ring_capacity)
            grow_ring(a);
        a->ring[(a->ring_first + a->ring_count++) & (a->ring_capacity - 1)] =
            (struct held){lsn, packet_id, qos == 2};
    }
    mutex_unlock(&a->lock);
}

void mqtt_puback_refuse(struct mqtt_puback *a, uint16_t packet_id)
{
    in_callback = a;
    in_callback_id = packet_id;
}

/* Whose net this is: the one's that learned it; right after a callback in this thread, that one's; else (paho
 * had unfinished writes, and sends the PUBACK later) that of the only one with this client id that hasn't
 * learned any. *ret_is_ours: it belongs to one of ours, even if it's not known which. */
static struct mqtt_puback *find_by_net(void *net, const char *client_id, bool is_after_callback,
                                       bool *ret_is_ours)
{
    struct mqtt_puback *candidate = NULL;
    size_t candidates = 0;
    bool is_closed_net = false;
    *ret_is_ours = true;
    for (struct mqtt_puback *a = all; a; a = a->next) {
        if (a->net == net && !a->is_closed)
            return a;
        is_closed_net |= a->net == net;
        if (!a->net && strcmp(a->client_id, client_id) == 0) {
            candidate = a;
            candidates++;
        }
    }
    if (is_after_callback && !in_callback->net)
        return in_callback;
    if (is_closed_net)
        return NULL;
    *ret_is_ours = candidates > 0;
    return candidates == 1 ? candidate : NULL;
}

static void learn_net(struct mqtt_puback *a, void *net, int mqtt_version)
{
    if (a->net == net)
        return;
    for (struct mqtt_puback *b = all; b; b = b->next) {
        if (b->net == net) { /* a closed one, whose memory paho uses again */
            b->net = NULL;
            b->is_closed = true;
        }
    }
    a->net = net;
    a->socket = socket_of(net);
    a->mqtt_version = mqtt_version;
    /* paho leaves Nagle's algorithm on: the second of two PUBACKs would wait for the broker's TCP to
     * acknowledge the first, which takes it 40 ms when it has nothing to send. */
    (void)setsockopt(a->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* While corked, PUBACKs gather in full packets; they leave when it ends. */
static void cork(const struct mqtt_puback *a, bool is_corked)
{
    (void)setsockopt(a->socket, IPPROTO_TCP, TCP_CORK, &(int){is_corked}, sizeof(int));
}

/* Closed by paho or by us, it has another number there. */
static bool is_open(const struct mqtt_puback *a)
{
    return !a->is_closed && a->net && a->socket > 0 && socket_of(a->net) == a->socket;
}

/* Whether paho's answer to a message is one of ours, which is held; learns the net from it. */
static bool swallow(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    bool is_ours, is_after_callback = in_callback && in_callback_id == packet_id &&
                                      strcmp(in_callback->client_id, client_id) == 0;
    struct mqtt_puback *a = find_by_net(net, client_id, is_after_callback, &is_ours);
    in_callback = NULL;
    if (is_ours && a)
        learn_net(a, net, mqtt_version);
    return is_ours;
}

int __wrap_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    if (swallow(mqtt_version, packet_id, net, client_id))
        return 0;
    return __real_MQTTPacket_send_puback(mqtt_version, packet_id, net, client_id);
}

int __wrap_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    if (mqtt_version >= VERSION_5 && swallow(mqtt_version, packet_id, net, client_id))
        return 0;
    return __real_MQTTPacket_send_pubrec(mqtt_version, packet_id, net, client_id);
}

/* The net may not be known yet, as when a session goes on with PUBREL: then each that it may be is told. To
 * think too early that the broker has forgotten a message makes a double at worst, not a loss. */
int __wrap_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    for (struct mqtt_puback *a = all; a; a = a->next) {
        bool may_be = a->net ? a->net == net : strcmp(a->client_id, client_id) == 0;
        if (may_be && !a->is_closed && a->listener.completed)
            a->listener.completed(a->listener.context, (uint16_t)packet_id);
    }
    return __real_MQTTPacket_send_pubcomp(mqtt_version, packet_id, net, client_id);
}

static void answer(struct mqtt_puback *a, const struct held *h)
{
    if (h->is_qos2) {
        (void)__real_MQTTPacket_send_pubrec(a->mqtt_version, h->packet_id, a->net, a->client_id);
        return;
    }
    if (h->lsn && a->listener.answered)
        a->listener.answered(a->listener.context, h->packet_id, h->lsn);
    (void)__real_MQTTPacket_send_puback(a->mqtt_version, h->packet_id, a->net, a->client_id);
}

static bool may_send(const struct mqtt_puback *a)
{
    MQTTAsync_lock_mutex(socket_mutex);
    bool may = Socket_noPendingWrites(a->socket);
    MQTTAsync_unlock_mutex(socket_mutex);
    return may;
}

/* The oldest that is below durable_lsn. */
static bool peek(struct mqtt_puback *a, uint64_t durable_lsn, struct held *ret)
{
    mutex_lock(&a->lock);
    bool found = a->ring_count && a->ring[a->ring_first].lsn < durable_lsn;
    if (found)
        *ret = a->ring[a->ring_first];
    mutex_unlock(&a->lock);
    return found;
}

static void drop_first(struct mqtt_puback *a)
{
    mutex_lock(&a->lock);
    if (a->ring_count) {
        a->ring_first = (a->ring_first + 1) & (a->ring_capacity - 1);
        a->ring_count--;
    }
    mutex_unlock(&a->lock);
}

bool mqtt_puback_release(struct mqtt_puback *a, uint64_t durable_lsn)
{
    struct held h;
    bool is_blocked = false, has_more = peek(a, durable_lsn, &h);
    while (has_more && !is_blocked) {
        MQTTAsync_lock_mutex(mqttasync_mutex);
        bool is_corked = is_open(a) && mqtt_puback_count(a) > 1;
        if (is_corked)
            cork(a, true);
        for (int i = 0; i < RELEASE_MAX && !is_blocked && (has_more = peek(a, durable_lsn, &h)); i++) {
            if (!is_open(a) || !may_send(a)) {
                is_blocked = true;
                break;
            }
            answer(a, &h);
            drop_first(a);
            FAULT_POINT("mqtt_puback_sent");
        }
        if (is_corked && is_open(a))
            cork(a, false);
        MQTTAsync_unlock_mutex(mqttasync_mutex);
    }
    return has_more;
}

uint64_t mqtt_puback_count(struct mqtt_puback *a)
{
    mutex_lock(&a->lock);
    uint64_t count = a->ring_count;
    mutex_unlock(&a->lock);
    return count;
}

#else

bool mqtt_puback_is_held(void)
{
    return false;
}

const char *mqtt_puback_mode(void)
{
    return "after write() to the spool, before its fsync: a power loss isn't covered (a build without paho's "
           "static library)";
}

struct mqtt_puback *mqtt_puback_new(const char *client_id, const struct mqtt_puback_listener *listener)
{
    (void)client_id;
    (void)listener;
    return NULL;
}

void mqtt_puback_close(struct mqtt_puback *a)
{
    (void)a;
}

void mqtt_puback_free(struct mqtt_puback *a)
{
    (void)a;
}

void mqtt_puback_hold(struct mqtt_puback *a, uint16_t packet_id, int qos, uint64_t lsn)
{
    (void)a;
    (void)packet_id;
    (void)qos;
    (void)lsn;
}

void mqtt_puback_refuse(struct mqtt_puback *a, uint16_t packet_id)
{
    (void)a;
    (void)packet_id;
}

bool mqtt_puback_release(struct mqtt_puback *a, uint64_t durable_lsn)
{
    (void)a;
    (void)durable_lsn;
    return false;
}

uint64_t mqtt_puback_count(struct mqtt_puback *a)
{
    (void)a;
    return 0;
}

#endif
