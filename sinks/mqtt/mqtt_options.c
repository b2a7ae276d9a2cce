/* Options of a sink: checked, copied, taken back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_internal.h"
#include "sinks/mqtt/mqtt_resolve.h"
#include "src/base/alloc.h"

static bool is_set(const char *s)
{
    return s && s[0];
}

static char *copy_if_set(const char *s)
{
    return is_set(s) ? xstrdup(s) : NULL;
}

static int check_subscription(const struct mqtt_sink_options *o, size_t i, struct error *reterr)
{
    const struct mqtt_subscription_options *sub = &o->subscriptions[i];
    int r = mqtt_filter_check(sub->filter, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "subscriptions: filter");
    if (sub->qos == 2 && o->version != MQTT_VERSION_5)
        return error_set(reterr, ERR_INVALID,
                         "subscriptions: %s: qos 2 is for version 5 only: with 3.1.1 the broker forgets a "
                         "message before we have it",
                         sub->filter);
    if (sub->qos == 2 && !mqtt_puback_is_held())
        return error_set(reterr, ERR_INVALID,
                         "subscriptions: %s: qos 2 isn't in this build, which lacks paho's static library",
                         sub->filter);
    if (sub->qos < 0 || sub->qos > 2)
        return error_set(reterr, ERR_INVALID, "subscriptions: %s: qos is 0, 1 or 2", sub->filter);
    if (sub->qos > 0 && !is_set(o->client_id))
        return error_set(reterr, ERR_INVALID,
                         "client_id is required for qos %d (%s): it names the session at the broker",
                         sub->qos, sub->filter);
    if (!sub->decoder)
        return error_set(reterr, ERR_INVALID, "subscriptions: %s: format is required", sub->filter);
    for (size_t j = 0; j < i; j++) {
        if (mqtt_filters_overlap(o->subscriptions[j].filter, sub->filter))
            return error_set(reterr, ERR_INVALID,
                             "subscriptions: %s and %s overlap: a broker sends what both match once or twice",
                             o->subscriptions[j].filter, sub->filter);
    }
    return 0;
}

static int check_tls(const struct mqtt_sink_options *o, const struct mqtt_url *url, struct error *reterr)
{
    const struct {
        const char *key, *path;
    } files[] = {{"ca", o->tls_ca}, {"cert", o->tls_cert}, {"key", o->tls_key}};
    bool has_any = is_set(o->tls_server_name);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!is_set(files[i].path))
            continue;
        has_any = true;
        if (access(files[i].path, R_OK) < 0) {
            (void)error_set_errno(reterr, errno, "tls.%s: cannot read %s", files[i].key, files[i].path);
            return ERR_INVALID;
        }
    }
    if (has_any && !url->is_tls)
        return error_set(reterr, ERR_INVALID, "tls: the broker's URL has to begin with mqtts:// or wss://");
    if (is_set(o->tls_key) && !is_set(o->tls_cert))
        return error_set(reterr, ERR_INVALID, "tls: a key without cert");
    if (is_set(o->tls_server_name) && !mqtt_resolve_can_pin())
        return error_set(reterr, ERR_INVALID,
                         "tls.server_name: not in this build, which lacks paho's static library");
    if (is_set(o->tls_server_name) &&
        (strlen(o->tls_server_name) > 255 || strpbrk(o->tls_server_name, ":/@ ")))
        return error_set(reterr, ERR_INVALID,
                         "tls.server_name: a host's name without scheme and port is wanted");
    return 0;
}

static int check(const struct mqtt_sink_options *o, struct mqtt_url *ret_url, struct error *reterr)
{
    if (!is_set(o->broker))
        return error_set(reterr, ERR_INVALID, "broker is required");
    int r = mqtt_url_parse(o->broker, ret_url, reterr);
    if (r == 0)
        r = check_tls(o, ret_url, reterr);
    if (r < 0)
        return r;
    if (!o->subscriptions_count)
        return error_set(reterr, ERR_INVALID, "subscriptions are required");
    for (size_t i = 0; i < o->subscriptions_count; i++) {
        r = check_subscription(o, i, reterr);
        if (r < 0)
            return r;
    }
    if (o->client_id && strlen(o->client_id) > UINT16_MAX)
        return error_set(reterr, ERR_INVALID, "client_id is longer than %d bytes", UINT16_MAX);
    if (o->keepalive_s < 1 || o->keepalive_s > UINT16_MAX)
        return error_set(reterr, ERR_INVALID, "keepalive is 1s to %ds", UINT16_MAX);
    if (o->receive_maximum < 1 || o->receive_maximum > UINT16_MAX)
        return error_set(reterr, ERR_INVALID, "receive_maximum is 1 to %d", UINT16_MAX);
    if (o->max_packet_size < 1024 || o->max_packet_size > 268435460)
        return error_set(reterr, ERR_INVALID, "max_packet_size is 1KiB to 256MiB");
    if (!is_set(o->spool_path))
        return error_set(reterr, ERR_INVALID, "spool.path is required");
    if (o->spool_max_bytes < MQTT_SPOOL_SIZE_MIN || o->spool_max_bytes < 4 * (uint64_t)o->max_packet_size)
        return error_set(reterr, ERR_INVALID,
                         "spool.max_size is at least 1MiB, and four times max_packet_size");
    if (is_set(o->password) && !is_set(o->username) && o->version != MQTT_VERSION_5)
        return error_set(reterr, ERR_INVALID, "a password without username is MQTT 5 only");
    return 0;
}

int mqtt_options_check(const struct mqtt_sink_options *options, struct error *reterr)
{
    struct mqtt_url url;
    return check(options, &url, reterr);
}

static char *make_uri(const struct mqtt_sink *s)
{
    const char *scheme = s->url.is_websocket ? (s->url.is_tls ? "wss" : "ws") : s->url.is_tls ? "ssl" : "tcp";
    bool is_bracketed = strchr(s->pinned_name, ':') != NULL;
    return xasprintf("%s://%s%s%s:%u%s", scheme, is_bracketed ? "[" : "", s->pinned_name,
                     is_bracketed ? "]" : "", s->url.port, s->url.path);
}

static char *make_place(const struct mqtt_url *url)
{
    const char *scheme = url->is_websocket ? "ws" : "mqtt";
    return xasprintf("%s%s://%s%s%s:%u", scheme, url->is_tls ? "s" : "", url->is_ipv6 ? "[" : "", url->host,
                     url->is_ipv6 ? "]" : "", url->port);
}

int mqtt_options_copy(struct mqtt_sink *s, const struct mqtt_sink_options *o, struct error *reterr)
{
    int r = check(o, &s->url, reterr);
    if (r < 0)
        return r;
    s->base.name = xstrdup(o->name);
    s->client_id = xstrdup(o->client_id ? o->client_id : "");
    s->version = o->version;
    s->keepalive_s = o->keepalive_s;
    s->receive_maximum = o->receive_maximum;
    s->session_expiry_s = o->session_expiry_s;
    s->max_packet_size = o->max_packet_size;
    s->retained = o->retained;
    s->spool_path = xstrdup(o->spool_path);
    s->spool_max_bytes = o->spool_max_bytes;
    s->tls_ca = copy_if_set(o->tls_ca);
    s->tls_cert = copy_if_set(o->tls_cert);
    s->tls_key = copy_if_set(o->tls_key);
    s->username = copy_if_set(o->username);
    s->password = copy_if_set(o->password);
    s->pinned_name = xstrdup(is_set(o->tls_server_name) ? o->tls_server_name : s->url.host);
    s->uri = make_uri(s);
    s->place = make_place(&s->url);
    s->subscriptions_count = o->subscriptions_count;
    s->subscriptions = xcalloc(o->subscriptions_count, sizeof *s->subscriptions);
    for (size_t i = 0; i < o->subscriptions_count; i++) {
        const struct mqtt_subscription_options *from = &o->subscriptions[i];
        s->subscriptions[i] =
            (struct mqtt_subscription){.filter = xstrdup(from->filter),
                                       .qos = from->qos,
                                       .decoder = from->decoder,
                                       .decode = from->decode,
                                       .labels = from->labels,
                                       .timestamp_from_record = from->timestamp_from_record};
    }
    return 0;
}
