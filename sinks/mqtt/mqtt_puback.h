/*
 * PUBACKs held until the spool is durable; of QoS 2 over MQTT 5, PUBRECs.
 *
 * paho sends the PUBACK itself as soon as its callback has returned. The static library is linked with
 * --wrap=MQTTPacket_send_puback, so that its call comes here, where it's swallowed; the commit thread sends
 * the PUBACKs in order after the group's fsync, with the library's own function and under its own mutex, as
 * the library's send thread would. With PUBREC it's the same in version 5, where paho calls back when the
 * message comes (in 3.1.1, when PUBREL does: the PUBREC is out by then, and isn't held). PUBCOMP isn't held,
 * but told of.
 *
 *   paho's thread: callback -> mqtt_puback_hold(packet id, LSN) ... __wrap_MQTTPacket_send_puback (net
 * learned) commit thread: fsync -> mqtt_puback_release(durable LSN) -> __real_MQTTPacket_send_puback
 *
 * One struct is one connection, never used again for another (its MQTTAsync handle is new at each connect):
 * an entry can't meet a later connection's socket. It sends only while the socket is the one it learned, and
 * paho has no unfinished write on it.
 *
 * Locks: paho holds its mutex around callbacks, and ours is taken inside it; never the other way round.
 * Where the library isn't static (mqtt_puback_is_held false) all of this does nothing, and paho's PUBACK goes
 * out when the callback returns.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_PUBACK_H
#define VARVE_SINKS_MQTT_MQTT_PUBACK_H

#include <stdbool.h>
#include <stdint.h>

struct mqtt_puback;

/* Who wants to know when the broker may forget a message. Called under paho's mutex, right before that is
 * written; functions may be NULL. */
struct mqtt_puback_listener {
    void (*answered)(void *context, uint16_t packet_id, uint64_t lsn); /* PUBACK of what was held with lsn */
    void (*completed)(void *context, uint16_t packet_id);              /* PUBCOMP */
    void *context;
};

bool mqtt_puback_is_held(void);

/* Before MQTTAsync_connect. client_id helps to tell whose a PUBACK is in the one case where paho sends it
 * later than the callback. listener is copied; may be NULL. */
struct mqtt_puback *mqtt_puback_new(const char *client_id, const struct mqtt_puback_listener *listener);
/* Nothing is sent from now on. Call it before MQTTAsync_destroy, and free after it. */
void mqtt_puback_close(struct mqtt_puback *a);
void mqtt_puback_free(struct mqtt_puback *a);

/* In paho's callback: packet_id is to be acknowledged once lsn is durable (lsn 0: as soon as those before it
 * are), with PUBACK or, of QoS 2, PUBREC. */
void mqtt_puback_hold(struct mqtt_puback *a, uint16_t packet_id, int qos, uint64_t lsn);
/* In paho's callback: this packet is never to be acknowledged by this connection. */
void mqtt_puback_refuse(struct mqtt_puback *a, uint16_t packet_id);

/* Sends what is below durable_lsn. Returns true if some of it couldn't be sent yet (paho has unfinished
 * writes, or the connection's net isn't known yet): call again in a moment. */
bool mqtt_puback_release(struct mqtt_puback *a, uint64_t durable_lsn);

/* How many are held now. */
uint64_t mqtt_puback_count(struct mqtt_puback *a);

#endif
