#include <stdlib.h>
#include <string.h>

#include "config/config_keys.h"
#include "src/base/alloc.h"
#include "src/base/buffer.h"

#define NAME_MAX_COMPARED 32

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, drop, replace, swap neighbours) from a to b: the restricted Damerau-Levenshtein distance. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                size_t swapped = rows[(i - 2) % 3][j - 2] + 1;
                row[j] = swapped < row[j] ? swapped : row[j];
            }
        }
    }
    return rows[a_len % 3][b_len];
}

static bool applies(const struct config_key *key, unsigned sink_type)
{
    return !key->sinks || !sink_type || (key->sinks & sink_type);
}

/* The key that name is most likely a slip for: at most a third of its letters away. */
static const struct config_key *nearest_key(const struct config_key *keys, const char *name,
                                            unsigned sink_type)
{
    const struct config_key *best = NULL;
    size_t length = strlen(name), best_distance = 0;
    if (length > NAME_MAX_COMPARED)
        return NULL;
    for (; keys->name; keys++) {
        if (!applies(keys, sink_type))
            continue;
        size_t key_length = strlen(keys->name);
        size_t distance = edit_distance(name, length, keys->name, key_length);
        size_t allowed = key_length <= 3 ? 1 : (key_length + 2) / 3;
        if (distance <= allowed && (!best || distance < best_distance)) {
            best = keys;
            best_distance = distance;
        }
    }
    return best;
}

/* The path of a mapping, anywhere in the file, that has a key of that name; "" for the top level; NULL if
 * none. */
static char *find_home(const struct config_key *keys, const char *path, const char *name)
{
    const struct config_key *key = config_key_find(keys, name);
    if (key && !(key->flags & CONFIG_KEY_NOT_BUILT))
        return xstrdup(path);
    for (; keys->name; keys++) {
        if (!keys->children)
            continue;
        char *child_path = xasprintf("%s%s%s", path, *path ? "." : "", keys->name);
        char *home = find_home(keys->children, child_path, name);
        free(child_path);
        if (home)
            return home;
    }
    return NULL;
}

/* What other programs call it. ours has to be a key where theirs is written. */
static const struct {
    const char *theirs, *ours;
} other_names[] = {
    {"user", "username"},
    {"pass", "password"},
    {"url", "broker"},
    {"server", "broker"},
    {"host", "broker"},
    {"servers", "brokers"},
    {"topic", "filter"},
    {"topic", "topics"},
    {"topics", "subscriptions"},
    {"clean_session", "session_expiry"},
    {"clean_start", "session_expiry"},
    {"persistent_session", "session_expiry"},
    {"group_id", "group"},
    {"consumer_group", "group"},
    {"data_format", "format"},
    {"tags", "labels"},
    {"timestamp", "time"},
    {"timestamp_format", "time_format"},
    {"ca_file", "ca"},
    {"cafile", "ca"},
    {"ca_cert", "ca"},
    {"tls_ca", "ca"},
    {"cert_file", "cert"},
    {"certfile", "cert"},
    {"key_file", "key"},
    {"keyfile", "key"},
    {"sni", "server_name"},
    {"size", "max_size"},
    {"directory", "path"},
    {"dir", "path"},
    {"max_inflight", "receive_maximum"},
};

static const char *our_name(const struct config_key *keys, const char *name, unsigned sink_type)
{
    for (size_t i = 0; i < sizeof other_names / sizeof other_names[0]; i++) {
        const struct config_key *key =
            strcmp(other_names[i].theirs, name) == 0 ? config_key_find(keys, other_names[i].ours) : NULL;
        if (key && applies(key, sink_type))
            return key->name;
    }
    return NULL;
}

/* Whether each subscription of a sink of type mqtt has a key of that name. */
static bool is_of_subscriptions(const struct config_key *keys, const char *name)
{
    const struct config_key *subscriptions = config_key_find(keys, "subscriptions");
    return subscriptions && config_key_find(subscriptions->children, name);
}

char *config_key_advice(const struct config_key *keys, const char *name, unsigned sink_type)
{
    if (!strcmp(name, "<<"))
        return xstrdup(
            "merge keys are not read: write the keys out, or use an alias (*name) as a whole value");
    if (sink_type != CONFIG_OF_KAFKA && (strstr(name, "verify") || strstr(name, "insecure")))
        return xstrdup("certificates are always verified; name the CA that signed the broker's in tls.ca");
    const char *ours = our_name(keys, name, sink_type);
    if (ours)
        return xasprintf("here that is %s", ours);
    if (sink_type == CONFIG_OF_MQTT && is_of_subscriptions(keys, name))
        return xstrdup("it belongs to each of the subscriptions");
    const struct config_key *nearest = nearest_key(keys, name, sink_type);
    if (nearest)
        return xasprintf("did you mean %s?", nearest->name);
    if (sink_type == CONFIG_OF_KAFKA && strchr(name, '.'))
        return xstrdup("properties of librdkafka go below librdkafka:");
    char *home = config_key_find(keys, name) ? NULL : find_home(config_root_keys, "", name);
    if (home) {
        char *advice =
            *home ? xasprintf("it belongs below %s:", home) : xstrdup("it belongs at the top level");
        free(home);
        return advice;
    }
    struct buffer known = {0};
    buffer_append_str(&known, "known here:");
    for (const char *separator = " "; keys->name; keys++) {
        if (!applies(keys, sink_type) || (keys->flags & CONFIG_KEY_NOT_BUILT))
            continue;
        buffer_printf(&known, "%s%s", separator, keys->name);
        separator = ", ";
    }
    buffer_cstr(&known);
    return (char *)known.data;
}
