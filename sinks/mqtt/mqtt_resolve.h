/*
 * Names of brokers, looked up in threads of ours.
 *
 * paho looks names up while it holds its one mutex: a lookup of 6 s for one broker would stop the messages
 * and pings of all others. So a name is resolved here first; then, while a connection is being made, paho's
 * own call of getaddrinfo (which the build wraps) is answered at once with the address found. Name and
 * address stay apart that way: the certificate is verified against the name, and SNI and the Host header
 * carry it. In builds that can't wrap (mqtt_resolve_can_pin) resolving is a rehearsal: paho looks up again,
 * and blocks if the name server has become slow meanwhile.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_RESOLVE_H
#define VARVE_SINKS_MQTT_MQTT_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"

#define MQTT_ADDRESS_SIZE 64 /* numeric text with the NUL */

struct mqtt_lookup;

/* Starts looking host up in a thread of its own. notify(arg) is called once from there, unless abandoned. */
struct mqtt_lookup *mqtt_lookup_start(const char *host, void (*notify)(void *arg), void *arg);
/* True once it's done; then *ret_status is 0 or getaddrinfo's code, and *ret_address the index-th address
 * (they are counted round). */
bool mqtt_lookup_done(struct mqtt_lookup *l, size_t index, int *ret_status,
                      char ret_address[MQTT_ADDRESS_SIZE]);
/* How many addresses there are, at most 16; 0 unless it's done. */
size_t mqtt_lookup_count(struct mqtt_lookup *l);
/* Forgets it, done or not: a lookup can't be stopped, but nobody waits for it any longer. NULL is fine. */
void mqtt_lookup_abandon(struct mqtt_lookup *l);

/* Whether mqtt_pin has an effect in this build. */
bool mqtt_resolve_can_pin(void);

/* From now on name means address. ERR_BUSY if another one has it pinned to a different address: try again. To
 * be given back with mqtt_unpin, once the connection is made or has failed. */
int mqtt_pin(const char *name, const char *address);
void mqtt_unpin(const char *name);

#endif
