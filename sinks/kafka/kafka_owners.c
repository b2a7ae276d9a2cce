#include "sinks/kafka/kafka_owners.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_DIGITS 16
#define MORE         ";+"

/* The text up to the next semicolon, which is passed over. */
struct field {
    const char *data;
    size_t len;
};

static bool take_field(const char **at, const char *end, struct field *ret)
{
    if (*at > end)
        return false;
    const char *semicolon = *at < end ? memchr(*at, ';', (size_t)(end - *at)) : NULL;
    ret->data = *at;
    ret->len = (size_t)((semicolon ? semicolon : end) - *at);
    *at = semicolon ? semicolon + 1 : end + 1;
    return true;
}

static bool is_text(struct field f, const char *text)
{
    return f.len == strlen(text) && memcmp(f.data, text, f.len) == 0;
}

static bool parse_token(struct field f, uint64_t *ret)
{
    uint64_t token = 0;
    if (f.len != TOKEN_DIGITS)
        return false;
    for (size_t i = 0; i < f.len; i++) {
        char c = f.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        token = token << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = token;
    return true;
}

struct owners {
    const char *at, *end; /* of the earlier ones */
    struct field store;
    uint64_t token;
    bool has_token; /* v2 */
};

static bool parse_head(const void *metadata, size_t len, struct owners *ret)
{
    struct field version, number, token;
    if (!metadata || !len)
        return false;
    ret->at = metadata;
    ret->end = ret->at + len;
    if (!take_field(&ret->at, ret->end, &version) || !take_field(&ret->at, ret->end, &ret->store) ||
        !ret->store.len || !take_field(&ret->at, ret->end, &number))
        return false;
    ret->has_token = is_text(version, "v2");
    if (!ret->has_token)
        return is_text(version, "v1");
    return take_field(&ret->at, ret->end, &token) && parse_token(token, &ret->token);
}

/* The next earlier owner. 1; 0 at the end; -1 for more that aren't known, or for what can't be read. */
static int next_owner(struct owners *o, struct field *ret_store, uint64_t *ret_token)
{
    struct field f;
    if (!take_field(&o->at, o->end, &f))
        return 0;
    const char *colon = f.len ? memchr(f.data, ':', f.len) : NULL;
    if (!colon)
        return -1;
    *ret_store = (struct field){f.data, (size_t)(colon - f.data)};
    struct field token = {colon + 1, f.len - ret_store->len - 1};
    return parse_token(token, ret_token) ? 1 : -1;
}

void kafka_metadata_format(char dst[KAFKA_METADATA_MAX], const char *store_id, uint64_t commit_number)
{
    (void)snprintf(dst, KAFKA_METADATA_MAX, "v1;%s;%" PRIu64, store_id, commit_number);
}

enum kafka_group_owner kafka_metadata_owner(const void *metadata, size_t len, const char *store_id)
{
    struct owners o;
    if (!metadata || !len)
        return KAFKA_OWNER_NONE;
    if (!parse_head(metadata, len, &o))
        return KAFKA_OWNER_FOREIGN;
    return is_text(o.store, store_id) ? KAFKA_OWNER_OURS : KAFKA_OWNER_OTHER_STORE;
}

static void add(struct buffer *dst, struct field store, uint64_t token)
{
    buffer_printf(dst, ";%.*s:%016" PRIx64, (int)store.len, store.data, token);
}

void kafka_owners_history(struct buffer *dst, bool has_offset, const void *metadata, size_t len,
                          const char *store_id)
{
    struct owners o;
    if (!has_offset)
        return;
    if (!parse_head(metadata, len, &o) || !o.has_token) {
        buffer_append_str(dst, MORE);
        return;
    }
    struct field store = o.store;
    uint64_t token = o.token;
    int more;
    do {
        if (!is_text(store, store_id))
            add(dst, store, token);
    } while ((more = next_owner(&o, &store, &token)) > 0);
    if (more < 0)
        buffer_append_str(dst, MORE);
}

void kafka_owners_format(struct buffer *dst, const char *store_id, uint64_t n, uint64_t token,
                         const char *history, size_t history_len)
{
    size_t start = dst->len;
    buffer_printf(dst, "v2;%s;%" PRIu64 ";%016" PRIx64, store_id, n, token);
    size_t room = KAFKA_OWNERS_MAX - (dst->len - start);
    bool cut = history_len > room;
    while (history_len > (cut ? room - strlen(MORE) : room)) { /* whole ones */
        history_len--;
        while (history_len && history[history_len] != ';')
            history_len--;
    }
    if (history_len)
        buffer_append(dst, history, history_len);
    if (cut)
        buffer_append_str(dst, MORE);
}

enum kafka_owners_answer kafka_owners_look(bool has_offset, const void *metadata, size_t len,
                                           const char *store_id, uint64_t token)
{
    struct owners o;
    if (!has_offset)
        return KAFKA_COMMIT_NOT_THERE; /* nobody has committed anything */
    if (!parse_head(metadata, len, &o))
        return KAFKA_COMMIT_UNKNOWN;
    bool ours = is_text(o.store, store_id);
    if (!o.has_token) /* ours, and an earlier one, from before commits were fenced; or another's that isn't */
        return ours ? KAFKA_COMMIT_NOT_THERE : KAFKA_COMMIT_UNKNOWN;
    struct field store = o.store;
    uint64_t found = o.token;
    int more;
    do {
        if (is_text(store, store_id))
            return found == token ? KAFKA_COMMIT_THERE : KAFKA_COMMIT_NOT_THERE;
    } while ((more = next_owner(&o, &store, &found)) > 0);
    return more < 0 ? KAFKA_COMMIT_UNKNOWN : KAFKA_COMMIT_NOT_THERE;
}
