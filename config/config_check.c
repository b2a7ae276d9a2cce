#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_read.h"
#include "src/base/cleanup.h"

#define PATH_LENGTH_SHOWN_MAX 800
#define NODE_LENGTH_MAX       64
#define NAME_LENGTH_MAX       64
#define STORE_PATH_LENGTH_MAX 3000 /* what lies below still has to fit into PATH_MAX */

struct yaml_position config_position_of(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *value = yaml_node_get(mapping, key);
    if (value)
        return value->position;
    return mapping ? mapping->position : (struct yaml_position){1, 1};
}

static bool consists_of(const char *s, const char *characters, size_t length_max)
{
    size_t length = strlen(s);
    return length && length <= length_max && strspn(s, characters) == length;
}

/* A node is part of group.instance.id, for which Kafka takes what it takes for topic names. */
static void check_node(struct config_reader *r, const struct config_place *file, const struct yaml_node *root)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    struct config_place place = {.parent = file, .name = "node"};
    char quoted[CONFIG_QUOTE_MAX];
    const struct config *cfg = r->cfg;
    if (!cfg->node || consists_of(cfg->node, characters, NODE_LENGTH_MAX))
        return;
    config_report(
        r, config_position_of(root, "node"), &place,
        "%s\"%s\" can't be part of a member id; write 1 to 64 of the characters A-Z, a-z, 0-9, . _ -",
        yaml_node_get(root, "node") ? "" : "the host name ",
        config_quote(config_shown(cfg, cfg->node), quoted));
}

/* The length of a path without slashes at its end. */
static size_t path_length(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    return n;
}

/* Whether path is directory or lies below it. Both absolute, compared as written. */
static bool path_is_within(const char *path, const char *directory)
{
    size_t n = path_length(directory);
    return !strncmp(path, directory, n) && (path[n] == '/' || !path[n]);
}

void config_check_readable(struct config_reader *r, struct yaml_position at, const struct config_place *place,
                           const char *path)
{
    char quoted[PATH_LENGTH_SHOWN_MAX];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        config_report(r, at, place, "%s can't be read: %s; name a file that Varve's user may read",
                      config_quote_up_to(config_shown(r->cfg, path), quoted, sizeof quoted), strerror(errno));
}

bool config_check_absolute(struct config_reader *r, const struct config_place *place, struct yaml_position at,
                           const char *path)
{
    char quoted[CONFIG_QUOTE_MAX];
    config_quote(config_shown(r->cfg, path), quoted);
    if (path[0] != '/')
        config_report(r, at, place, "\"%s\" is not an absolute path; start it with /", quoted);
    else if (strlen(path) > STORE_PATH_LENGTH_MAX)
        config_report(r, at, place, "a path of %zu characters; write at most %d", strlen(path),
                      STORE_PATH_LENGTH_MAX);
    else if (!path_length(path))
        config_report(r, at, place, "\"%s\" is the root of the file system; name a directory of its own",
                      quoted);
    else if (strstr(path, "/../") || (strlen(path) >= 3 && !strcmp(path + strlen(path) - 3, "/..")))
        config_report(r, at, place, "\"%s\" goes through ..; write the directory itself", quoted);
    else
        return true;
    return false;
}

/* A directory of ours beside the store's files: a stock server deletes or refuses what it doesn't know below
 * data/ and indexdb/. */
static void check_path_beside_store(struct config_reader *r, const struct config_place *place,
                                    struct yaml_position at, const char *path)
{
    const char *store = r->cfg->storage.path;
    char own[STORE_PATH_LENGTH_MAX + 16];
    if (!path || !config_check_absolute(r, place, at, path))
        return;
    snprintf(own, sizeof own, "%.*s/varve", (int)path_length(store), store);
    bool in_own_folder = path_is_within(path, own) && path_length(path) > strlen(own);
    if (path_is_within(path, store) && !in_own_folder)
        config_report(r, at, place,
                      "lies among the store's own files; write a path below %s/, or outside storage.path",
                      config_shown(r->cfg, store) == store ? own : "<storage.path>/varve");
}

static void check_spools(struct config_reader *r, const struct config_place *file,
                         const struct yaml_node *root)
{
    const struct config *cfg = r->cfg;
    const struct yaml_node *sinks = yaml_node_get(root, "sinks");
    struct config_place sinks_place = {.parent = file, .name = "sinks"};
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        struct config_place sink = {.parent = &sinks_place, .index = i};
        struct config_place spool = {.parent = &sink, .name = "spool"};
        struct config_place place = {.parent = &spool, .name = "path"};
        const char *path = cfg->sinks[i].mqtt.spool_path;
        const struct yaml_node *node = yaml_node_get(sinks->items[i], "spool");
        struct yaml_position at = config_position_of(node ? node : sinks->items[i], "path");
        if (!path || !cfg->sinks[i].name)
            continue;
        check_path_beside_store(r, &place, at, path);
        bool with_rejects = cfg->rejects.path && (path_is_within(path, cfg->rejects.path) ||
                                                  path_is_within(cfg->rejects.path, path));
        if (with_rejects)
            config_report(r, at, &place, "lies in one place with rejects.path; give each its own directory");
        for (size_t j = 0; j < i; j++) {
            const char *other = cfg->sinks[j].mqtt.spool_path;
            const char *other_name = cfg->sinks[j].name;
            if (other_name && !strcmp(other_name, cfg->sinks[i].name))
                continue; /* the names are said to be equal */
            if (other && (path_is_within(path, other) || path_is_within(other, path)))
                config_report(r, at, &place, "lies in one place with that of sinks[%zu]; give each its own",
                              j);
        }
    }
}

static void check_paths(struct config_reader *r, const struct config_place *file,
                        const struct yaml_node *root)
{
    const struct config *cfg = r->cfg;
    struct config_place storage = {.parent = file, .name = "storage"};
    struct config_place storage_path = {.parent = &storage, .name = "path"};
    struct config_place rejects = {.parent = file, .name = "rejects"};
    struct config_place rejects_path = {.parent = &rejects, .name = "path"};
    const struct yaml_node *rejects_node = yaml_node_get(root, "rejects");
    if (!cfg->storage.path ||
        !config_check_absolute(r, &storage_path, config_position_of(yaml_node_get(root, "storage"), "path"),
                               cfg->storage.path))
        return;
    check_path_beside_store(r, &rejects_path, config_position_of(rejects_node, "path"), cfg->rejects.path);
    check_spools(r, file, root);
}

static void check_reject_topic(struct config_reader *r, const struct config_place *file,
                               const struct yaml_node *root)
{
    const struct config_rejects *cfg = &r->cfg->rejects;
    const struct yaml_node *node = yaml_node_get(root, "rejects");
    struct config_place rejects = {.parent = file, .name = "rejects"};
    struct config_place kafka = {.parent = &rejects, .name = "kafka"};
    bool has_topic = cfg->kafka_topic && cfg->kafka_topic[0];
    if (has_topic != (cfg->kafka.brokers.count > 0) || (cfg->kafka.librdkafka_count && !has_topic))
        config_report(r, config_position_of(node, "kafka"), &kafka,
                      "needs both brokers and topic; write {brokers: [k1:9092], topic: varve-rejects}");
    for (size_t i = 0; i < cfg->kafka.librdkafka_count; i++) {
        struct error error;
        const struct config_property *p = &cfg->kafka.librdkafka[i];
        if (r->hooks->kafka_property_check && r->hooks->kafka_property_check(p->key, p->value, &error) < 0)
            config_report(r, config_position_of(node, "kafka"), &kafka, "%s", error.message);
    }
}

static void check_http(struct config_reader *r, const struct config_place *file, const struct yaml_node *root)
{
    const struct config_http *http = &r->cfg->http;
    const struct yaml_node *node = yaml_node_get(root, "http");
    const struct yaml_node *auth_node = yaml_node_get(node, "auth");
    struct config_place place = {.parent = file, .name = "http"};
    struct config_place auth = {.parent = &place, .name = "auth"};
    struct config_place username = {.parent = &auth, .name = "username"};
    struct config_place listen = {.parent = &place, .name = "listen"};
    if (http->username && http->password && !*http->username != !*http->password)
        config_report(r, config_position_of(auth_node, *http->username ? "username" : "password"), &auth,
                      "a %s without a %s; give both or none", *http->username ? "username" : "password",
                      *http->username ? "password" : "username");
    if (http->username && strchr(http->username, ':'))
        config_report(r, config_position_of(auth_node, "username"), &username,
                      "holds a colon, which HTTP's basic authentication can't carry; leave it out");
    for (size_t i = 0; i < http->listen_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct yaml_node *list = yaml_node_get(node, "listen");
            struct config_place at = {.parent = &listen, .index = i};
            if (http->listen[i].port == http->listen[j].port &&
                !strcmp(http->listen[i].host, http->listen[j].host))
                config_report(r, list->items[i]->position, &at, "is listed twice; keep one");
        }
    }
}

/* All buffers count against the memory limit, so the queues alone must leave room below it. */
static void check_memory(struct config_reader *r, const struct config_place *file,
                         const struct yaml_node *root)
{
    const struct config *cfg = r->cfg;
    struct config_place storage = {.parent = file, .name = "storage"};
    struct config_place limit = {.parent = &storage, .name = "memory_limit"};
    char queues_text[CONFIG_VALUE_TEXT_MAX], limit_text[CONFIG_VALUE_TEXT_MAX];
    uint64_t queues_bytes = 0;
    for (size_t i = 0; i < cfg->sinks_count; i++)
        queues_bytes += cfg->sinks[i].queue_size_bytes;
    uint64_t limit_bytes = cfg->storage.memory_limit.bytes;
    if (limit_bytes && queues_bytes >= limit_bytes)
        config_report(r, config_position_of(yaml_node_get(root, "storage"), "memory_limit"), &limit,
                      "%s is no more than the queue_size of all sinks together, %s; raise it or lower them",
                      config_format_size(limit_bytes, limit_text),
                      config_format_size(queues_bytes, queues_text));
}

/* Names key positions and metrics, groups key offsets: neither may be shared. */
static void check_sink_identity(struct config_reader *r, const struct config_place *place, size_t i,
                                const struct yaml_node *nodes)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const struct config_sink *sinks = r->cfg->sinks;
    const struct yaml_node *node = nodes->items[i];
    struct config_place name = {.parent = place, .name = "name"}, group = {.parent = place, .name = "group"};
    struct config_place client_id = {.parent = place, .name = "client_id"};
    char quoted[CONFIG_QUOTE_MAX];
    if (sinks[i].name && !consists_of(sinks[i].name, characters, NAME_LENGTH_MAX))
        config_report(r, config_position_of(node, "name"), &name,
                      "\"%s\" is no sink's name; write 1 to 64 of the characters a-z, 0-9, _ -",
                      config_quote(config_shown(r->cfg, sinks[i].name), quoted));
    for (size_t j = 0; j < i; j++) {
        if (sinks[i].name && sinks[j].name && !strcmp(sinks[i].name, sinks[j].name))
            config_report(r, config_position_of(node, "name"), &name,
                          "\"%s\" is the name of sinks[%zu] too (line %u); give each sink its own",
                          config_quote(config_shown(r->cfg, sinks[i].name), quoted), j,
                          config_position_of(nodes->items[j], "name").line);
        const char *client = sinks[i].mqtt.client_id, *other = sinks[j].mqtt.client_id;
        if (client && *client && other && !strcmp(client, other) && sinks[i].mqtt.broker &&
            sinks[j].mqtt.broker && !strcmp(sinks[i].mqtt.broker, sinks[j].mqtt.broker))
            config_report(
                r, config_position_of(node, "client_id"), &client_id,
                "\"%s\" is the client_id of sinks[%zu] at the same broker (line %u); give each its own, "
                "or they throw each other out",
                config_quote(config_shown(r->cfg, client), quoted), j,
                config_position_of(nodes->items[j], "client_id").line);
        if (sinks[i].group && sinks[j].group && !strcmp(sinks[i].group, sinks[j].group))
            config_report(r, config_position_of(node, "group"), &group,
                          "\"%s\" is the group of sinks[%zu] too (line %u); give each sink its own",
                          config_quote(config_shown(r->cfg, sinks[i].group), quoted), j,
                          config_position_of(nodes->items[j], "group").line);
    }
}

/* A commit of the store is one; two groups can't decide on it together. */
static void check_fenced_sinks(struct config_reader *r, const struct config_place *sinks_place,
                               const struct yaml_node *sinks)
{
    const struct config_sink *first = NULL;
    for (size_t i = 0; i < r->cfg->sinks_count; i++) {
        const struct config_sink *sink = &r->cfg->sinks[i];
        struct config_place place = {.parent = sinks_place, .index = i};
        struct config_place at = {.parent = &place, .name = "fenced_commits"};
        if (!sink->fenced_commits)
            continue;
        if (first)
            config_report(
                r, config_position_of(sinks->items[i], at.name), &at,
                "sinks[%zu] has it, too: a commit holds the rows of all sinks, and two groups can't "
                "decide on it together; keep one, or give the other a Varve and a store of its own",
                (size_t)(first - r->cfg->sinks));
        else
            first = sink;
    }
}

/* A library's message may quote a value: then it isn't shown. */
static bool holds_secret(const struct config *cfg, const char *message)
{
    for (size_t i = 0; i < cfg->secrets_count; i++) {
        if (*cfg->secrets[i] && strstr(message, cfg->secrets[i]))
            return true;
    }
    return false;
}

void config_check_with_library(struct config_reader *r, const struct yaml_node *root)
{
    const struct config *cfg = r->cfg;
    const struct yaml_node *sinks = yaml_node_get(root, "sinks");
    struct config_place file = {0};
    struct config_place sinks_place = {.parent = &file, .name = "sinks"};
    for (size_t i = 0; r->hooks->sink_check && i < cfg->sinks_count; i++) {
        struct config_place place = {.parent = &sinks_place, .index = i};
        struct error err = {0};
        if (r->hooks->sink_check(cfg, &cfg->sinks[i], &err) == 0)
            continue;
        bool secret = holds_secret(cfg, err.message);
        config_report(r, sinks->items[i]->position, &place, "%s%s",
                      secret ? "the broker's library refuses it, in words that hold a secret" : err.message,
                      cfg->sinks[i].type == CONFIG_SINK_KAFKA ? "; see its librdkafka properties" : "");
    }
}

void config_check(struct config_reader *r, const struct yaml_node *root)
{
    const struct config *cfg = r->cfg;
    const struct yaml_node *sinks = yaml_node_get(root, "sinks");
    struct config_place file = {0};
    struct config_place sinks_place = {.parent = &file, .name = "sinks"};
    check_node(r, &file, root);
    check_paths(r, &file, root);
    check_reject_topic(r, &file, root);
    check_http(r, &file, root);
    check_memory(r, &file, root);
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        struct config_place place = {.parent = &sinks_place, .index = i};
        check_sink_identity(r, &place, i, sinks);
    }
    check_fenced_sinks(r, &sinks_place, sinks);
}
