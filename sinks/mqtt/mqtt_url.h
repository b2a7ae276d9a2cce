/* The broker's URL: SCHEME://HOST[:PORT][/PATH], with mqtt, mqtts, ws or wss. Pure functions. */
#ifndef VARVE_SINKS_MQTT_MQTT_URL_H
#define VARVE_SINKS_MQTT_MQTT_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"

struct mqtt_url {
    bool is_tls, is_websocket;
    char host[256]; /* without the brackets of an IPv6 address */
    bool is_ipv6;
    uint16_t port;
    char path[512]; /* of websockets: begins with /, or empty */
};

/* ERR_INVALID says what is wrong. User names don't belong into it. */
int mqtt_url_parse(const char *text, struct mqtt_url *ret, struct error *reterr);

#endif
