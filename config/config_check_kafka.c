#include <regex.h>
#include <string.h>

#include "config/config_read.h"
#include "config/config_values.h"

#define TOPIC_LENGTH_MAX 249 /* Kafka's own */

/* The position of a list's i-th item. */
static struct yaml_position item_position(const struct yaml_node *sink, const char *key, size_t i)
{
    const struct yaml_node *list = yaml_node_get(sink, key);
    return list && i < list->count ? list->items[i]->position : config_position_of(sink, key);
}

/* Whether text is host, host:port or [address]:port, with a security protocol before it if one likes, as
 * librdkafka takes it: PROTOCOL://host:port. */
static bool is_broker(const char *text)
{
    static const char *const protocols[] = {"PLAINTEXT://", "SSL://", "SASL_PLAINTEXT://", "SASL_SSL://"};
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        size_t n = strlen(protocols[i]);
        if (!strncasecmp(text, protocols[i], n)) {
            text += n;
            break;
        }
    }
    size_t host_length;
    if (*text == '[') {
        size_t inside = strspn(text + 1, "0123456789abcdefABCDEF:.%");
        if (!inside || text[1 + inside] != ']')
            return false;
        host_length = inside + 2;
    } else {
        host_length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    }
    uint64_t port;
    if (!host_length || !text[host_length])
        return host_length > 0;
    return text[host_length] == ':' && config_parse_count(text + host_length + 1, &port, NULL) == 0 &&
           port >= 1 && port <= 65535;
}

static void check_brokers(struct config_reader *r, const struct config_place *sink_place,
                          const struct config_sink *sink, const struct yaml_node *node)
{
    struct config_place place = {.parent = sink_place, .name = "brokers"};
    char quoted[CONFIG_QUOTE_MAX];
    for (size_t i = 0; i < sink->brokers.count; i++) {
        struct config_place at = {.parent = &place, .index = i};
        const char *broker = sink->brokers.items[i];
        if (*broker && !is_broker(broker))
            config_report(r, item_position(node, place.name, i), &at,
                          "\"%s\" is not a broker's address; write host:port, one in each item",
                          config_quote_address(config_shown(r->cfg, broker), quoted));
    }
}

static bool is_topic_name(const char *topic)
{
    size_t length = strlen(topic);
    return length && length <= TOPIC_LENGTH_MAX && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0 &&
           strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
}

static void check_topic_name(struct config_reader *r, struct yaml_position at,
                             const struct config_place *place, const char *topic)
{
    char quoted[CONFIG_QUOTE_MAX];
    if (!is_topic_name(topic))
        config_report(
            r, at, place,
            "\"%s\" is no topic's name; write 1 to 249 of the characters A-Z, a-z, 0-9, . _ -, or an "
            "expression from ^ on",
            config_quote(config_shown(r->cfg, topic), quoted));
}

/* How many groups it has. librdkafka hands expressions to regcomp as POSIX extended ones. */
static size_t check_expression(struct config_reader *r, struct yaml_position at,
                               const struct config_place *place, const char *expression)
{
    regex_t regex;
    char reason[128], quoted[CONFIG_QUOTE_MAX];
    int e = regcomp(&regex, expression, REG_EXTENDED);
    if (!e) {
        size_t groups = regex.re_nsub;
        regfree(&regex);
        return groups;
    }
    regerror(e, &regex, reason, sizeof reason);
    config_report(r, at, place, "\"%s\" is not a POSIX extended regular expression: %s; as in ^edge\\.(.*)",
                  config_quote(config_shown(r->cfg, expression), quoted), reason);
    return 0;
}

static void check_topics(struct config_reader *r, const struct config_place *sink_place,
                         struct config_sink *sink, const struct yaml_node *node)
{
    struct config_place place = {.parent = sink_place, .name = "topics"};
    char quoted[CONFIG_QUOTE_MAX];
    for (size_t i = 0; i < sink->topics.count; i++) {
        struct config_place at = {.parent = &place, .index = i};
        struct yaml_position position = item_position(node, place.name, i);
        const char *topic = sink->topics.items[i];
        if (*topic == '^') {
            size_t groups = check_expression(r, position, &at, topic);
            sink->captures_max = groups > sink->captures_max ? groups : sink->captures_max;
        } else if (*topic) {
            check_topic_name(r, position, &at, topic);
        }
        for (size_t j = 0; *topic && j < i; j++) {
            if (!strcmp(topic, sink->topics.items[j]))
                config_report(r, position, &at, "\"%s\" is listed twice; keep one",
                              config_quote(config_shown(r->cfg, topic), quoted));
        }
    }
}

static void check_partitions(struct config_reader *r, const struct config_place *sink_place,
                             const struct config_sink *sink, const struct yaml_node *node)
{
    struct config_place place = {.parent = sink_place, .name = "partitions"};
    const struct yaml_node *mapping = yaml_node_get(node, place.name);
    char quoted[CONFIG_QUOTE_MAX];
    for (size_t i = 0; i < sink->partitions_count; i++) {
        const char *topic = sink->partitions[i].topic;
        struct config_place at = {.parent = &place, .name = topic};
        if (*topic == '^')
            config_report(r, mapping->keys[i]->position, &at,
                          "\"%s\" is an expression; write a topic's name, for partitions are listed a topic",
                          config_quote(topic, quoted));
        else
            check_topic_name(r, mapping->keys[i]->position, &at, topic);
    }
}

static void check_source(struct config_reader *r, const struct config_place *sink_place,
                         const struct yaml_node *node)
{
    const struct yaml_node *topics = yaml_node_get(node, "topics"),
                           *partitions = yaml_node_get(node, "partitions");
    struct config_place at = {.parent = sink_place, .name = partitions ? "partitions" : "topics"};
    if (topics && partitions)
        config_report(
            r, partitions->position, &at,
            "given beside topics; keep topics (the group assigns partitions) or partitions (static)");
    else if (!topics && !partitions)
        config_report(r, node->position, &at,
                      "missing; write topics: [metrics], or partitions: {metrics: [0, 1]}");
}

static bool is_file_property(const char *key)
{
    static const char *const keys[] = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
                                       "ssl.keystore.location", "ssl.crl.location"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!strcmp(key, keys[i]))
            return true;
    }
    return false;
}

/* librdkafka's messages quote the value: not if it's a secret. */
static void check_property_value(struct config_reader *r, struct yaml_position at,
                                 const struct config_place *place, const struct config_property *property)
{
    struct error err = {0};
    if (!r->hooks->kafka_property_check ||
        r->hooks->kafka_property_check(property->key, property->value, &err) == 0)
        return;
    bool secret = config_shown(r->cfg, property->value) != property->value;
    if (secret && strstr(err.message, property->value))
        config_report(r, at, place,
                      "librdkafka refuses the value, which is a secret; see its CONFIGURATION.md");
    else
        config_report(r, at, place, "%s; see librdkafka's CONFIGURATION.md", err.message);
}

static void check_properties(struct config_reader *r, const struct config_place *sink_place,
                             const struct config_sink *sink, const struct yaml_node *node)
{
    struct config_place place = {.parent = sink_place, .name = "librdkafka"};
    const struct yaml_node *mapping = yaml_node_get(node, place.name);
    for (size_t i = 0; i < sink->librdkafka_count; i++) {
        const struct config_property *property = &sink->librdkafka[i];
        struct config_place at = {.parent = &place, .name = property->key};
        struct yaml_position position = config_position_of(mapping, property->key);
        const char *reason = "";
        if (r->hooks->kafka_property_owned && r->hooks->kafka_property_owned(property->key, &reason))
            config_report(r, position, &at, "Varve sets this property itself: %s; leave it out", reason);
        else if (is_file_property(property->key) && strcmp(property->value, "probe") != 0)
            config_check_readable(r, position, &at, property->value);
        else
            check_property_value(r, position, &at, property);
    }
}

static const char *property_of(const struct config_sink *sink, const char *key)
{
    for (size_t i = 0; i < sink->librdkafka_count; i++)
        if (!strcmp(sink->librdkafka[i].key, key))
            return sink->librdkafka[i].value;
    return "";
}

/* The group decides which commits are made: as one member, whose partitions all come and go at once. */
static void check_fenced(struct config_reader *r, const struct config_place *sink_place,
                         const struct config_sink *sink, const struct yaml_node *node)
{
    struct config_place at = {.parent = sink_place, .name = "fenced_commits"};
    struct yaml_position position = config_position_of(node, at.name);
    if (!sink->fenced_commits)
        return;
    if (sink->partitions_count)
        config_report(r, position, &at,
                      "with partitions nobody takes any over; leave it out, or write topics instead");
    if (sink->threads_count > 1)
        config_report(r, position, &at,
                      "the group decides on a commit as a whole only for one member of it; write threads: 1");
    if (strstr(property_of(sink, "partition.assignment.strategy"), "cooperative"))
        config_report(r, position, &at,
                      "a cooperative assignor gives partitions away while others are kept; leave out "
                      "partition.assignment.strategy (its default is range), or write range or roundrobin");
    if (!strcmp(property_of(sink, "group.protocol"), "consumer"))
        config_report(r, position, &at,
                      "works with the classic group protocol only; leave out group.protocol");
}

void config_check_kafka_sink(struct config_reader *r, const struct config_place *place,
                             struct config_sink *sink, const struct yaml_node *node)
{
    check_brokers(r, place, sink, node);
    check_source(r, place, node);
    check_topics(r, place, sink, node);
    check_partitions(r, place, sink, node);
    check_properties(r, place, sink, node);
    check_fenced(r, place, sink, node);
    config_check_payload(r, place, sink->type, sink->format, &sink->labels, &sink->json, sink->captures_max,
                         node);
}
