#include "src/offsets_change.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/position_text.h"

static bool fits(const char *wanted, struct span have)
{
    return !wanted || (strlen(wanted) == have.len && memcmp(wanted, have.data, have.len) == 0);
}

static bool is_meant(const struct offsets_change *c, const struct position_entry *e)
{
    struct position_key k = position_parse_key(e->key, e->key_len);
    bool of_rejects = k.source == POSITION_REJECTS || k.source == POSITION_REJECT_TOPIC;
    if (k.source == POSITION_UNKNOWN || of_rejects != c->rejects ||
        (k.source == POSITION_REJECT_TOPIC && !c->topic))
        return false;
    if (!fits(c->sink, k.sink) || !fits(c->cluster, k.cluster) || !fits(c->topic, k.topic) ||
        !fits(c->spool, k.spool))
        return false;
    bool partition = c->partitions_count == 0;
    for (size_t i = 0; i < c->partitions_count; i++)
        partition |= k.source == POSITION_KAFKA && (uint32_t)c->partitions[i] == k.partition;
    return partition;
}

/* The key with another sink's name in front. */
static void rename_key(struct buffer *dst, const struct position_entry *e, const char *name)
{
    const uint8_t *slash = memchr(e->key, '/', e->key_len);
    buffer_append_str(dst, name);
    buffer_append(dst, slash, e->key_len - (size_t)(slash - e->key));
}

static int check(const struct offsets_change *c, const struct position_table *positions,
                 const struct position_entry *e, struct error *reterr)
{
    struct position_key k = position_parse_key(e->key, e->key_len);
    if (c->action == OFFSETS_BEGIN && c->rejects)
        return error_set(reterr, ERR_INVALID, "rejects can only be forgotten, or go with a renamed sink");
    if (c->action == OFFSETS_BEGIN && k.source == POSITION_MQTT && c->begin != KAFKA_BEGIN_OFFSET)
        return error_set(reterr, ERR_INVALID,
                         "%.*s reads an MQTT spool: give a message's number, or --forget to read all that it "
                         "still holds",
                         (int)k.sink.len, k.sink.data);
    if (c->action != OFFSETS_RENAME)
        return 0;
    struct buffer key = {0};
    rename_key(&key, e, c->new_name);
    const struct position_entry *there = position_table_find(positions, key.data, (uint32_t)key.len);
    buffer_release(&key);
    if (!there)
        return 0;
    struct buffer text = {0};
    position_append_text(&text, there->key, there->key_len, &there->position);
    int r = error_set(reterr, ERR_INVALID, "there's a position of that name already: %s; --forget it first",
                      buffer_cstr(&text));
    buffer_release(&text);
    return r;
}

static struct storage_position position_of(const struct offsets_change *c, const struct position_entry *e)
{
    struct position_key k = position_parse_key(e->key, e->key_len);
    if (k.source != POSITION_KAFKA)
        return (struct storage_position){.next = (uint64_t)c->value};
    struct sink_position order = kafka_position_order(c->begin, c->value);
    struct storage_position p = {.next = order.next, .mark_len = order.mark_len};
    memcpy(p.mark, order.mark, sizeof p.mark);
    return p;
}

static void change_one(const struct offsets_change *c, struct position_table *positions,
                       const struct position_entry *e, struct buffer *said)
{
    position_append_text(said, e->key, e->key_len, &e->position);
    buffer_append_str(said, " -> ");
    if (c->action == OFFSETS_FORGET) {
        buffer_append_str(said, "forgotten");
        (void)position_table_remove(positions, e->key, e->key_len);
    } else if (c->action == OFFSETS_RENAME) {
        struct buffer key = {0};
        rename_key(&key, e, c->new_name);
        position_table_set(positions, key.data, (uint32_t)key.len, &e->position);
        (void)position_table_remove(positions, e->key, e->key_len);
        buffer_printf(said, "sink %s", c->new_name);
        buffer_release(&key);
    } else {
        struct storage_position p = position_of(c, e);
        position_append_where(said, e->key, e->key_len, &p);
        position_table_set(positions, e->key, e->key_len, &p);
    }
    buffer_append_u8(said, '\n');
}

int offsets_change_apply(const struct offsets_change *change, struct position_table *positions,
                         struct buffer *said, size_t *ret_count, struct error *reterr)
{
    /* Copies, since the table moves under the changes. */
    struct position_entry *meant = xcalloc(positions->count + 1, sizeof *meant);
    size_t count = 0;
    int r = 0;
    for (size_t i = 0; i < positions->count && r == 0; i++) {
        const struct position_entry *e = &positions->entries[i];
        if (!is_meant(change, e))
            continue;
        r = check(change, positions, e, reterr);
        meant[count] = *e;
        meant[count++].key = xmemdup(e->key, e->key_len);
    }
    if (r == 0 && count == 0)
        r = error_set(reterr, ERR_NOT_FOUND, "no position fits; `varve offsets show DIR` lists them");
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            change_one(change, positions, &meant[i], said);
        free(meant[i].key);
    }
    free(meant);
    *ret_count = r == 0 ? count : 0;
    return r;
}
