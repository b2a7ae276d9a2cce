#include <string.h>
#include <strings.h>

#include "config/config_filter.h"
#include "config/config_read.h"
#include "config/config_values.h"

#define CLIENT_ID_LENGTH_MAX 65535 /* the protocol's own */

static const char broker_right[] = "write mqtt://, mqtts://, ws:// or wss:// before host:port, as in "
                                   "mqtts://edge.example:8883";

/* What stands after the scheme; NULL if it's none. */
static const char *after_scheme(const char *url, bool *ret_tls, bool *ret_websocket)
{
    static const struct {
        const char *prefix;
        bool tls, websocket;
    } schemes[] = {
        {"mqtt://", false, false}, {"mqtts://", true, false}, {"ws://", false, true}, {"wss://", true, true}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i].prefix);
        if (strncasecmp(url, schemes[i].prefix, n) != 0)
            continue;
        *ret_tls = schemes[i].tls;
        *ret_websocket = schemes[i].websocket;
        return url + n;
    }
    return NULL;
}

/* host, host:port or [address]:port, and for WebSockets a path. */
static bool is_authority(const char *p, bool websocket)
{
    uint64_t port;
    char digits[8];
    if (*p == '[') {
        size_t inside = strspn(p + 1, "0123456789abcdefABCDEF:.%");
        if (!inside || p[1 + inside] != ']')
            return false;
        p += inside + 2;
    } else {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
        if (!n)
            return false;
        p += n;
    }
    if (*p == ':') {
        size_t n = strspn(++p, "0123456789");
        if (!n || n >= sizeof digits)
            return false;
        memcpy(digits, p, n);
        digits[n] = '\0';
        if (config_parse_count(digits, &port, NULL) < 0 || port < 1 || port > 65535)
            return false;
        p += n;
    }
    return !*p || (*p == '/' && (websocket || !p[1]));
}

static void check_broker(struct config_reader *r, const struct config_place *sink,
                         const struct config_mqtt *mqtt, const struct yaml_node *node, bool *ret_tls)
{
    struct config_place place = {.parent = sink, .name = "broker"};
    struct yaml_position at = config_position_of(node, place.name);
    bool websocket;
    char quoted[CONFIG_QUOTE_MAX];
    if (!mqtt->broker)
        return;
    const char *rest = after_scheme(mqtt->broker, ret_tls, &websocket);
    if (strchr(mqtt->broker, '@'))
        config_report(r, at, &place, "holds an @; credentials go into username and password");
    else if (!rest || !is_authority(rest, websocket))
        config_report(r, at, &place, "\"%s\" is not a broker's address; %s",
                      config_quote(config_shown(r->cfg, mqtt->broker), quoted), broker_right);
}

static void check_session(struct config_reader *r, const struct config_place *sink,
                          const struct config_mqtt *mqtt, const struct yaml_node *node)
{
    struct config_place client_id = {.parent = sink, .name = "client_id"};
    struct config_place expiry = {.parent = sink, .name = "session_expiry"};
    struct config_place keepalive = {.parent = sink, .name = "keepalive"};
    bool persistent = false;
    for (size_t i = 0; i < mqtt->subscriptions_count; i++)
        persistent |= mqtt->subscriptions[i].qos > 0;
    if ((!mqtt->client_id || !*mqtt->client_id) && persistent)
        config_report(
            r, config_position_of(node, client_id.name), &client_id,
            "missing, and it names the session that keeps messages of QoS 1 for us; write client_id: "
            "varve-edge");
    if (mqtt->client_id && strlen(mqtt->client_id) > CLIENT_ID_LENGTH_MAX)
        config_report(r, config_position_of(node, client_id.name), &client_id,
                      "is too long; write at most %d bytes", CLIENT_ID_LENGTH_MAX);
    if (persistent && mqtt->version == CONFIG_MQTT_5 && mqtt->session_expiry_ms < 1000)
        config_report(r, config_position_of(node, expiry.name), &expiry,
                      "at 0 the broker forgets what it holds for us at each disconnect, messages of QoS 1 "
                      "included; write how long Varve may be away, as in 7d");
    if (mqtt->keepalive_ms % 1000)
        config_report(r, config_position_of(node, keepalive.name), &keepalive,
                      "isn't a number of whole seconds; write it as in 30s");
}

/* What only version 5 has a word for. */
static void check_version(struct config_reader *r, const struct config_place *sink,
                          const struct config_mqtt *mqtt, const struct yaml_node *node)
{
    static const char *const keys[] = {"receive_maximum", "session_expiry"};
    for (size_t i = 0; mqtt->version == CONFIG_MQTT_3_1_1 && i < sizeof keys / sizeof keys[0]; i++) {
        struct config_place at = {.parent = sink, .name = keys[i]};
        if (yaml_node_get(node, keys[i]))
            config_report(r, config_position_of(node, keys[i]), &at,
                          "given with version 3.1.1, which can't tell it to the broker; leave it out: the "
                          "broker's own settings count");
    }
    struct config_place list = {.parent = sink, .name = "subscriptions"};
    for (size_t i = 0; mqtt->version == CONFIG_MQTT_3_1_1 && i < mqtt->subscriptions_count; i++) {
        struct config_place item = {.parent = &list, .index = i}, at = {.parent = &item, .name = "qos"};
        if (mqtt->subscriptions[i].qos == 2)
            config_report(r, config_position_of(yaml_node_get(node, list.name)->items[i], at.name), &at,
                          "2 is for version 5: with 3.1.1 the broker forgets a message before we have it; "
                          "write 1, or version: 5");
    }
}

static void check_credentials(struct config_reader *r, const struct config_place *sink,
                              const struct config_mqtt *mqtt, const struct yaml_node *node)
{
    struct config_place password = {.parent = sink, .name = "password"};
    if (mqtt->version == CONFIG_MQTT_3_1_1 && mqtt->password && *mqtt->password && mqtt->username &&
        !*mqtt->username)
        config_report(r, config_position_of(node, password.name), &password,
                      "given without username, which MQTT 3.1.1 doesn't allow; write both, or version: 5");
}

static void check_tls(struct config_reader *r, const struct config_place *sink,
                      const struct config_mqtt *mqtt, const struct yaml_node *node, bool tls)
{
    const struct {
        const char *key, *value;
        bool is_file;
    } items[] = {{"ca", mqtt->tls_ca, true},
                 {"cert", mqtt->tls_cert, true},
                 {"key", mqtt->tls_key, true},
                 {"server_name", mqtt->tls_server_name, false}};
    struct config_place place = {.parent = sink, .name = "tls"};
    const struct yaml_node *mapping = yaml_node_get(node, place.name);
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        struct config_place at = {.parent = &place, .name = items[i].key};
        struct yaml_position position = config_position_of(mapping, items[i].key);
        if (!items[i].value || !*items[i].value)
            continue;
        if (!tls)
            config_report(
                r, position, &at,
                "given for a broker without TLS; write mqtts:// or wss:// for it, or leave tls out");
        else if (items[i].is_file)
            config_check_readable(r, position, &at, items[i].value);
    }
    bool cert = mqtt->tls_cert && *mqtt->tls_cert, key = mqtt->tls_key && *mqtt->tls_key;
    if (cert != key && mapping) {
        struct config_place at = {.parent = &place, .name = cert ? "key" : "cert"};
        config_report(r, mapping->position, &at,
                      "missing; a client's certificate and its private key go together: write both or none");
    }
}

/* Whether a text refers to what # of the filter matched. */
static bool refers_to_rest(const char *text)
{
    for (; text && *text; text++) {
        if (*text != '$')
            continue;
        if (text[1] == '#' || !strncmp(text + 1, "{#}", 3))
            return true;
        text += text[1] == '$';
    }
    return false;
}

static void check_rest(struct config_reader *r, const struct config_place *subscription,
                       const struct config_subscription *s, const struct yaml_node *node)
{
    struct config_place labels = {.parent = subscription, .name = "labels"};
    size_t len = strlen(s->filter);
    if (len && s->filter[len - 1] == '#')
        return;
    for (size_t i = 0; i < s->labels.count; i++) {
        struct config_place at = {.parent = &labels, .name = s->labels.items[i].name};
        if (refers_to_rest(s->labels.items[i].value))
            config_report(
                r, config_position_of(yaml_node_get(node, labels.name), at.name), &at,
                "$# is what # of the filter matches, and this filter has none; write $topic for all "
                "of the topic");
    }
}

static void check_filters(struct config_reader *r, const struct config_place *sink, struct config_mqtt *mqtt,
                          const struct yaml_node *node)
{
    struct config_place list = {.parent = sink, .name = "subscriptions"};
    const struct yaml_node *items = yaml_node_get(node, list.name);
    for (size_t i = 0; i < mqtt->subscriptions_count; i++) {
        struct config_subscription *s = &mqtt->subscriptions[i];
        struct config_place item = {.parent = &list, .index = i};
        struct config_place at = {.parent = &item, .name = "filter"};
        struct yaml_position position = config_position_of(items->items[i], at.name);
        struct error err = {0};
        char quoted[CONFIG_QUOTE_MAX];
        if (!s->filter)
            continue;
        if (config_filter_check(s->filter, &err) < 0) {
            config_report(r, position, &at, "\"%s\" %s",
                          config_quote(config_shown(r->cfg, s->filter), quoted), err.message);
            continue;
        }
        s->captures_max = config_filter_captures(s->filter);
        check_rest(r, &item, s, items->items[i]);
        for (size_t j = 0; j < i; j++) {
            const char *other = mqtt->subscriptions[j].filter;
            if (other && config_filter_check(other, NULL) == 0 && config_filter_overlap(s->filter, other))
                config_report(
                    r, position, &at,
                    "\"%s\" and subscriptions[%zu] (line %u) match the same topics, which brokers then "
                    "send twice; write filters that don't overlap",
                    config_quote(config_shown(r->cfg, s->filter), quoted), j,
                    config_position_of(items->items[j], at.name).line);
        }
        config_check_payload(r, &item, CONFIG_SINK_MQTT, s->format, &s->labels, &s->json, s->captures_max,
                             items->items[i]);
    }
}

/* A spool that is full of one burst would stop and go all the time. */
static void check_spool_size(struct config_reader *r, const struct config_place *sink,
                             const struct config_mqtt *mqtt, const struct yaml_node *node)
{
    struct config_place spool = {.parent = sink, .name = "spool"};
    struct config_place at = {.parent = &spool, .name = "max_size"};
    const struct yaml_node *mapping = yaml_node_get(node, spool.name);
    char least[CONFIG_VALUE_TEXT_MAX], size[CONFIG_VALUE_TEXT_MAX];
    if (mapping && mapping->kind != YAML_KIND_MAPPING)
        return;
    if (mqtt->spool_max_size_bytes >= 4 * mqtt->max_packet_size_bytes)
        return;
    config_report(r, config_position_of(mapping ? mapping : node, at.name), &at,
                  "%s is less than four times max_packet_size; write %s or more, or lower max_packet_size",
                  config_format_size(mqtt->spool_max_size_bytes, size),
                  config_format_size(4 * mqtt->max_packet_size_bytes, least));
}

void config_check_mqtt_sink(struct config_reader *r, const struct config_place *place,
                            struct config_sink *sink, const struct yaml_node *node)
{
    struct config_mqtt *mqtt = &sink->mqtt;
    bool tls = true; /* of a broker that isn't one, no more is said */
    check_broker(r, place, mqtt, node, &tls);
    check_version(r, place, mqtt, node);
    check_session(r, place, mqtt, node);
    check_credentials(r, place, mqtt, node);
    check_tls(r, place, mqtt, node, tls);
    check_filters(r, place, mqtt, node);
    check_spool_size(r, place, mqtt, node);
}
