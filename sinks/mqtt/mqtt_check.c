/*
 * Reaches a sink's broker without touching the sink's session: `varve check --connect`. A client id of its
 * own and a clean session that ends with the connection; nothing is subscribed, no spool is opened.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "sinks/mqtt/mqtt_internal.h"

#define ADDRESSES_TRIED_MAX 4 /* of a name that has several */

static void throwaway_client_id(char *dst, size_t size)
{
    uint64_t number = 0;
    (void)!getrandom(&number, sizeof number, 0);
    (void)snprintf(dst, size, "varve-check-%08" PRIx32,
                   (uint32_t)number); /* 3.1.1: at most 23 bytes are certain */
}

static bool was_answered(struct mqtt_sink *s)
{
    mutex_lock(&s->lock);
    bool was = s->was_answered;
    mutex_unlock(&s->lock);
    return was;
}

/* As the service would, one address after the other; what the first one says is told. */
static int reach(struct mqtt_sink *s, int64_t timeout_ms, struct buffer *found, struct error *reterr)
{
    char address[MQTT_ADDRESS_SIZE];
    struct error later = {0};
    mqtt_library_acquire();
    int r = mqtt_connection_open(s, 0, timeout_ms, address, reterr);
    for (size_t i = 1; r == ERR_IO && !was_answered(s) && i < s->addresses_count && i < ADDRESSES_TRIED_MAX;
         i++) {
        mqtt_connection_end(s);
        r = mqtt_connection_open(s, i, timeout_ms, address, &later);
    }
    mqtt_connection_end(s);
    if (r == 0)
        buffer_printf(found, "%s (%s) accepts us with MQTT %s%s", s->place, address,
                      s->version == MQTT_VERSION_5 ? "5" : "3.1.1",
                      s->url.is_tls ? "; its certificate is verified" : "");
    mqtt_library_release();
    return r < 0 ? error_prefix(reterr, r, "no connection with %s", s->place) : r;
}

int mqtt_connect_check(const struct mqtt_sink_options *options, int64_t timeout_ms, struct buffer *found,
                       struct error *reterr)
{
    char client_id[24];
    struct mqtt_sink_options own = *options;
    struct sink *base = NULL;
    throwaway_client_id(client_id, sizeof client_id);
    own.client_id = client_id;
    int r = mqtt_sink_new(&base, &own, NULL, reterr);
    if (r < 0)
        return r;
    struct mqtt_sink *s = mqtt_sink_of(base);
    s->is_throwaway = true;
    r = reach(s, timeout_ms, found, reterr);
    base->ops->free(base);
    return r;
}
