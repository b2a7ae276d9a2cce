/*
 * Why no connection could be made, in a person's words. paho says "TCP/TLS connect failure" whatever it was;
 * so after a failure that wasn't the broker's own answer the same steps are made once more here, as far as
 * the TLS handshake, with the same certificates: what fails then says why. It decides nothing: a handshake
 * that succeeds here connects nobody.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_DIAGNOSE_H
#define VARVE_SINKS_MQTT_MQTT_DIAGNOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mqtt_target {
    const char *address; /* numeric */
    uint16_t port;
    bool is_tls;
    const char *name;            /* that the certificate has to be for */
    const char *ca, *cert, *key; /* as in struct mqtt_sink_options; NULL or a path */
};

/* Writes the reason to dst and returns true; false if all of it works, or it isn't known. Takes at most
 * timeout_ms, and ends soon after is_cancelled(arg) says true; that is called from here. */
bool mqtt_diagnose(const struct mqtt_target *t, int64_t timeout_ms, bool (*is_cancelled)(void *arg),
                   void *arg, char *dst, size_t size);

#endif
