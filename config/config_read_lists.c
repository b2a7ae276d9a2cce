#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_keys.h"
#include "config/config_read.h"
#include "src/base/alloc.h"

int config_read_strings(struct config_reader *r, const struct config_place *place,
                        const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_strings *ret = dst;
    if (value->kind != YAML_KIND_SEQUENCE)
        return config_report(r, value->position, place, "%s where a list belongs; write it as in %s: %s",
                             yaml_node_kind_name(value), key->name, config_key_example(key));
    if (!value->count && (key->flags & CONFIG_KEY_MAY_BE_EMPTY))
        return 0;
    if (!value->count)
        return config_report(r, value->position, place, "the list is empty; write it as in %s: %s", key->name,
                             config_key_example(key));
    int result = 0;
    ret->items = xcalloc(value->count, sizeof *ret->items);
    ret->count = value->count;
    for (size_t i = 0; i < value->count; i++) {
        struct config_place at = {.parent = place, .index = i};
        struct config_key item = {
            .name = key->name, .flags = CONFIG_KEY_REQUIRED, .example = config_key_example(key)};
        if (yaml_node_is_null(value->items[i]))
            result = config_report(r, value->items[i]->position, &at, "has no value; write it as in %s: %s",
                                   key->name, item.example);
        else if (config_read_string(r, &at, &item, value->items[i], &ret->items[i]) < 0)
            result = ERR_INVALID;
    }
    /* What could be read stays, for the rules that look at single items; the others are empty texts. */
    for (size_t i = 0; i < ret->count; i++) {
        if (!ret->items[i])
            ret->items[i] = xstrdup("");
    }
    return result;
}

static int read_partition_list(struct config_reader *r, const struct config_place *place,
                               const struct yaml_node *value, struct config_topic_partitions *ret)
{
    int result = 0;
    const struct config_key item = {
        .name = "partitions", .example = "{metrics: [0, 1]}", .max_text = "1000000"};
    if (value->kind != YAML_KIND_SEQUENCE || !value->count)
        return config_report(r, value->position, place,
                             "%s where a list of partitions belongs; write it as in %s: %s",
                             value->kind == YAML_KIND_SEQUENCE ? "an empty list" : yaml_node_kind_name(value),
                             item.name, item.example);
    ret->partitions = xcalloc(value->count, sizeof *ret->partitions);
    for (size_t i = 0; i < value->count; i++) {
        struct config_place at = {.parent = place, .index = i};
        uint32_t partition;
        if (config_read_count(r, &at, &item, value->items[i], &partition) < 0) {
            result = ERR_INVALID;
            continue;
        }
        for (size_t j = 0; j < ret->count; j++) {
            if (ret->partitions[j] == (int32_t)partition)
                result = config_report(r, value->items[i]->position, &at,
                                       "partition %u is given twice; keep one", partition);
        }
        ret->partitions[ret->count++] = (int32_t)partition;
    }
    return result;
}

int config_read_partitions(struct config_reader *r, const struct config_place *place,
                           const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_sink *sink = dst;
    int result = 0;
    if (value->kind != YAML_KIND_MAPPING || !value->count)
        return config_report(
            r, value->position, place, "%s where topics with their partitions belong; write it as in %s: %s",
            value->kind == YAML_KIND_MAPPING ? "an empty mapping" : yaml_node_kind_name(value), key->name,
            key->example);
    config_report_repeated_keys(r, place, value);
    sink->partitions = xcalloc(value->count, sizeof *sink->partitions);
    sink->partitions_count = value->count;
    for (size_t i = 0; i < value->count; i++) {
        struct config_place at = {.parent = place, .name = value->keys[i]->text};
        sink->partitions[i].topic = xstrdup(value->keys[i]->text);
        if (read_partition_list(r, &at, value->items[i], &sink->partitions[i]) < 0)
            result = ERR_INVALID;
    }
    return result;
}

int config_read_labels(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_labels *labels = dst;
    int result = 0;
    if (value->kind != YAML_KIND_MAPPING)
        return config_report(r, value->position, place, "%s where a mapping belongs; write it as in %s: %s",
                             yaml_node_kind_name(value), key->name, key->example);
    config_report_repeated_keys(r, place, value);
    labels->items = xcalloc(value->count ? value->count : 1, sizeof *labels->items);
    for (size_t i = 0; i < value->count; i++) {
        const char *name = value->keys[i]->text;
        struct config_place at = {.parent = place, .name = name};
        struct config_key item = {.name = name, .example = "plant1"};
        struct config_label *label = &labels->items[labels->count];
        if (yaml_node_is_null(value->items[i]))
            result = config_report(r, value->items[i]->position, &at,
                                   "has no value; write one, or leave the label out");
        else if (config_read_string(r, &at, &item, value->items[i], &label->value) < 0)
            result = ERR_INVALID;
        else {
            label->name = xstrdup(name);
            labels->count++;
        }
    }
    return result;
}

bool config_is_password_property(const char *key, size_t length)
{
    static const char *const endings[] = {"password", "secret", "key.pem", "oauthbearer.config"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i]);
        if (length >= n && !strncmp(key + length - n, endings[i], n))
            return true;
    }
    return false;
}

int config_read_properties(struct config_reader *r, const struct config_place *place,
                           const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_sink *sink = dst;
    int result = 0;
    if (value->kind != YAML_KIND_MAPPING)
        return config_report(r, value->position, place, "%s where a mapping belongs; write it as in %s: %s",
                             yaml_node_kind_name(value), key->name, key->example);
    config_report_repeated_keys(r, place, value);
    sink->librdkafka = xcalloc(value->count ? value->count : 1, sizeof *sink->librdkafka);
    for (size_t i = 0; i < value->count; i++) {
        const char *name = value->keys[i]->text;
        struct config_place at = {.parent = place, .name = name};
        struct config_key item = {.name = name, .flags = CONFIG_KEY_ANY_TEXT, .example = "value"};
        if (config_is_password_property(name, strlen(name)))
            item.flags |= CONFIG_KEY_PASSWORD;
        struct config_property *property = &sink->librdkafka[sink->librdkafka_count];
        if (yaml_node_is_null(value->items[i]))
            result = config_report(r, value->items[i]->position, &at,
                                   "has no value; write one, \"\" for an empty one");
        else if (config_read_string(r, &at, &item, value->items[i], &property->value) < 0)
            result = ERR_INVALID;
        else {
            property->key = xstrdup(name);
            sink->librdkafka_count++;
        }
    }
    return result;
}

/* "127.0.0.1:8475", "[::1]:8475", "localhost:8475" */
static int read_address(struct config_reader *r, const struct config_place *place,
                        const struct yaml_node *value, struct config_listen *ret)
{
    static const char right[] = "write an address and a port, as in 127.0.0.1:8475, [::1]:8475 or, for every "
                                "interface, 0.0.0.0:8475";
    static const struct config_key item = {
        .name = "listen", .flags = CONFIG_KEY_REQUIRED, .example = "127.0.0.1:8475"};
    char quoted[CONFIG_QUOTE_MAX];
    unsigned char binary[sizeof(struct in6_addr)];
    uint64_t port;
    if (yaml_node_is_null(value))
        return config_report(r, value->position, place, "has no value; %s", right);
    int e = config_read_string(r, place, &item, value, &ret->text);
    if (e < 0)
        return e;
    const char *text = ret->text;
    const char *colon = strrchr(text, ':');
    config_quote_address(config_shown(r->cfg, text), quoted);
    if (!colon || config_parse_count(colon + 1, &port, NULL) < 0 || port < 1 || port > 65535)
        return config_report(r, value->position, place, "\"%s\" has no port from 1 to 65535; %s", quoted,
                             right);
    size_t length = (size_t)(colon - text);
    bool brackets = length > 2 && text[0] == '[' && colon[-1] == ']';
    ret->host = brackets ? xstrndup(text + 1, length - 2) : xstrndup(text, length);
    if (!strcmp(ret->host, "localhost")) {
        free(ret->host);
        ret->host = xstrdup("127.0.0.1");
    }
    if (inet_pton(brackets ? AF_INET6 : AF_INET, ret->host, binary) != 1)
        return config_report(r, value->position, place, "\"%s\" is not a numeric address; %s", quoted, right);
    ret->port = (uint16_t)port;
    return 0;
}

int config_read_listen(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value, void *dst)
{
    struct config_http *http = &r->cfg->http;
    int result = 0;
    (void)dst;
    if (value->kind == YAML_KIND_MAPPING)
        return config_report(r, value->position, place,
                             "a mapping where an address or a list belongs; write it as in %s: %s", key->name,
                             key->default_text);
    bool list = value->kind == YAML_KIND_SEQUENCE;
    size_t count = list ? value->count : 1;
    struct config_listen *listen = xcalloc(count ? count : 1, sizeof *listen);
    for (size_t i = 0; i < count; i++) {
        struct config_place at = {.parent = place, .index = i};
        if (read_address(r, list ? &at : place, list ? value->items[i] : value, &listen[i]) < 0)
            result = ERR_INVALID;
    }
    if (result < 0) {
        config_listen_free(listen, count);
        return result;
    }
    http->listen = listen;
    http->listen_count = count;
    return 0;
}
