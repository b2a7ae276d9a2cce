#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_keys.h"
#include "config/config_read.h"
#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/cleanup.h"

static void strings_release(struct config_strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
}

void config_listen_free(struct config_listen *items, size_t count)
{
    for (size_t i = 0; items && i < count; i++) {
        free(items[i].text);
        free(items[i].host);
    }
    free(items);
}

static void labels_release(struct config_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        free(labels->items[i].name);
        free(labels->items[i].value);
    }
    free(labels->items);
}

static void json_release(struct config_json *json)
{
    free(json->each);
    free(json->time);
    free(json->name);
    labels_release(&json->labels);
    strings_release(&json->fields);
}

static void mqtt_release(struct config_mqtt *mqtt)
{
    for (size_t i = 0; i < mqtt->subscriptions_count; i++) {
        free(mqtt->subscriptions[i].filter);
        labels_release(&mqtt->subscriptions[i].labels);
        json_release(&mqtt->subscriptions[i].json);
    }
    free(mqtt->subscriptions);
    free(mqtt->broker);
    free(mqtt->client_id);
    free(mqtt->spool_path);
    free(mqtt->tls_ca);
    free(mqtt->tls_cert);
    free(mqtt->tls_key);
    free(mqtt->tls_server_name);
    free(mqtt->username);
    free(mqtt->password);
}

static void sink_release(struct config_sink *sink)
{
    mqtt_release(&sink->mqtt);
    labels_release(&sink->labels);
    json_release(&sink->json);
    free(sink->name);
    strings_release(&sink->brokers);
    strings_release(&sink->topics);
    for (size_t i = 0; i < sink->partitions_count; i++) {
        free(sink->partitions[i].topic);
        free(sink->partitions[i].partitions);
    }
    free(sink->partitions);
    free(sink->group);
    for (size_t i = 0; i < sink->librdkafka_count; i++) {
        free(sink->librdkafka[i].key);
        free(sink->librdkafka[i].value);
    }
    free(sink->librdkafka);
}

struct config *config_free(struct config *cfg)
{
    if (!cfg)
        return NULL;
    free(cfg->node);
    free(cfg->storage.path);
    for (size_t i = 0; i < cfg->sinks_count; i++)
        sink_release(&cfg->sinks[i]);
    free(cfg->sinks);
    free(cfg->rejects.path);
    sink_release(&cfg->rejects.kafka);
    free(cfg->rejects.kafka_topic);
    config_listen_free(cfg->http.listen, cfg->http.listen_count);
    free(cfg->http.username);
    free(cfg->http.password);
    free(cfg->secrets);
    free(cfg);
    return NULL;
}

void config_mark_secret(struct config *cfg, const char *value)
{
    GROW(cfg->secrets, cfg->secrets_count, cfg->secrets_capacity);
    cfg->secrets[cfg->secrets_count++] = value;
}

const char *config_shown(const struct config *cfg, const char *value)
{
    for (size_t i = 0; value && *value && i < cfg->secrets_count; i++) {
        if (cfg->secrets[i] == value)
            return "***";
    }
    return value;
}

void config_wipe_environment(const struct config *cfg)
{
    for (char **variable = environ; variable && *variable; variable++) {
        char *value = strchr(*variable, '=');
        for (size_t i = 0; value && value[1] && i < cfg->secrets_count; i++) {
            if (strcmp(value + 1, cfg->secrets[i]) == 0)
                memset(value + 1, '*', strlen(value + 1));
        }
    }
}

/* An empty path is one below the store's. */
static void fill_in_path(struct config *cfg, char **path, const char *below)
{
    if (!cfg->storage.path || !*path || **path)
        return;
    size_t length = strlen(cfg->storage.path);
    bool slash = length && cfg->storage.path[length - 1] == '/';
    free(*path);
    *path = xasprintf("%s%s%s", cfg->storage.path, slash ? "" : "/", below);
    if (config_shown(cfg, cfg->storage.path) != cfg->storage.path)
        config_mark_secret(cfg, *path);
}

/* The values that derive from others or from the machine. */
static void fill_in(struct config *cfg)
{
    if (cfg->node && !*cfg->node) {
        char host_name[256] = "";
        /* Cut is fine: a name that long is refused as a node's anyway. */
        (void)gethostname(host_name, sizeof host_name - 1);
        free(cfg->node);
        cfg->node = xstrdup(host_name);
    }
    fill_in_path(cfg, &cfg->rejects.path, "varve/rejects");
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        struct config_sink *sink = &cfg->sinks[i];
        _cleanup_free_ char *spool = xasprintf("varve/spool/%s", sink->name ? sink->name : "");
        if (sink->type != CONFIG_SINK_MQTT)
            continue;
        if (!sink->mqtt.client_id)
            sink->mqtt.client_id = xstrdup("");
        fill_in_path(cfg, &sink->mqtt.spool_path, spool);
    }
}

static void read_tree(struct config_reader *r, const struct yaml_node *root)
{
    struct config_place place = {0};
    size_t before = r->errors->count, left_out_before = r->errors->left_out_count;
    if (root && yaml_node_is_null(root))
        root = NULL;
    if (root && root->kind != YAML_KIND_MAPPING) {
        config_report(
            r, root->position, NULL,
            "%s where a mapping belongs; write keys such as storage: and sinks:", yaml_node_kind_name(root));
        return;
    }
    config_read_mapping(r, &place, config_root_keys, root, (struct yaml_position){1, 1}, 0, r->cfg);
    fill_in(r->cfg);
    config_check(r, root);
    if (r->errors->count == before && r->errors->left_out_count == left_out_before)
        config_check_with_library(r, root);
}

int config_read_text(struct config **ret, const char *name, const char *text, size_t size,
                     const struct config_hooks *hooks, struct config_errors *errors)
{
    static const struct config_hooks no_hooks = {0};
    struct config *cfg = xcalloc(1, sizeof *cfg);
    struct config_reader r = {.file = name, .cfg = cfg, .hooks = hooks ? hooks : &no_hooks, .errors = errors};
    size_t before = errors->count, left_out_before = errors->left_out_count;
    struct yaml_tree *tree = NULL;
    struct yaml_position at;
    struct error err;
    if (yaml_tree_parse(&tree, text, size, &at, &err) < 0)
        config_report(&r, at, NULL, "%s", err.message);
    else
        read_tree(&r, tree->root);
    yaml_tree_free(tree);
    if (errors->count > before || errors->left_out_count > left_out_before) {
        config_errors_sort(errors, before);
        config_free(cfg);
        return ERR_INVALID;
    }
    *ret = cfg;
    return 0;
}

static int report_unreadable(struct config_reader *r, int errnum)
{
    config_report(r, (struct yaml_position){0, 0}, NULL,
                  "can't be read: %s; name the configuration with -c FILE", strerror(errnum));
    return errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

int config_read_file(struct config **ret, const char *path, const struct config_hooks *hooks,
                     struct config_errors *errors)
{
    struct config_reader r = {.file = path, .errors = errors};
    struct buffer text = {0};
    int result = 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return report_unreadable(&r, errno);
    /* One byte more than allowed, so that the parser says it's too large. */
    while (text.len <= YAML_TEXT_MAX) {
        ssize_t n = read(fd, buffer_reserve(&text, 16384), 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            result = report_unreadable(&r, errno);
        if (n <= 0)
            break;
        text.len += (size_t)n;
    }
    if (!result)
        result = config_read_text(ret, path, (const char *)text.data, text.len, hooks, errors);
    /* The file may hold passwords in the clear. */
    if (text.data)
        explicit_bzero(text.data, text.len);
    buffer_release(&text);
    return result;
}
