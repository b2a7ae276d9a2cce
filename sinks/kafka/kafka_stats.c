#include "sinks/kafka/kafka_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

/* A walk over the JSON that keeps only the path of keys: enough for a document whose shape is known. */
struct walk {
    const char *at, *end;
};

static void skip_space(struct walk *w)
{
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\t' || *w->at == '\r'))
        w->at++;
}

static bool take(struct walk *w, char c)
{
    skip_space(w);
    if (w->at == w->end || *w->at != c)
        return false;
    w->at++;
    return true;
}

struct text {
    const char *data;
    size_t len;
};

static bool text_is(struct text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.data, s, t.len) == 0;
}

static bool take_string(struct walk *w, struct text *ret)
{
    if (!take(w, '"'))
        return false;
    ret->data = w->at;
    while (w->at < w->end && *w->at != '"')
        w->at += *w->at == '\\' && w->end - w->at > 1 ? 2 : 1;
    if (w->at >= w->end)
        return false;
    ret->len = (size_t)(w->at - ret->data);
    w->at++;
    return true;
}

static void skip_scalar(struct walk *w)
{
    while (w->at < w->end && !strchr(",]} \n", *w->at))
        w->at++;
}

/* Any value; strings don't hide brackets. */
static bool skip_value(struct walk *w)
{
    struct text ignored;
    int depth = 0;
    do {
        skip_space(w);
        if (w->at == w->end)
            return false;
        char c = *w->at;
        if (c == '"') {
            if (!take_string(w, &ignored))
                return false;
        } else if (c == '{' || c == '[') {
            depth++;
            w->at++;
        } else if (c == '}' || c == ']') {
            depth--;
            w->at++;
        } else if (c == ',' || c == ':') {
            if (!depth)
                return false;
            w->at++;
        } else {
            skip_scalar(w);
        }
    } while (depth > 0);
    return depth == 0;
}

static bool take_number(struct walk *w, int64_t *ret)
{
    skip_space(w);
    const char *start = w->at;
    bool negative = w->at < w->end && *w->at == '-';
    uint64_t value = 0;
    w->at += negative;
    while (w->at < w->end && *w->at >= '0' && *w->at <= '9')
        value = value * 10 + (uint64_t)(*w->at++ - '0');
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    bool any = w->at > start + negative;
    skip_scalar(w);
    return any;
}

/* Steps to the next key of an object that has been entered; false at its end. */
static bool next_key(struct walk *w, bool *first, struct text *ret_key)
{
    if (!*first && !take(w, ','))
        return false;
    *first = false;
    return take_string(w, ret_key) && take(w, ':');
}

static bool parse_window_avg(struct walk *w, int64_t *ret)
{
    struct text key;
    bool first = true;
    if (!take(w, '{'))
        return false;
    while (next_key(w, &first, &key)) {
        if (!(text_is(key, "avg") ? take_number(w, ret) : skip_value(w)))
            return false;
    }
    return take(w, '}');
}

static void add_broker(struct kafka_stats *stats, const struct kafka_broker_stats *b)
{
    for (size_t i = 0; i < stats->brokers_count; i++) {
        struct kafka_broker_stats *known = &stats->brokers[i];
        if (strcmp(known->name, b->name) == 0) { /* the bootstrap entry and the numbered one */
            known->up |= b->up;
            if (b->id > known->id)
                known->id = b->id;
            if (b->rtt_avg_us > known->rtt_avg_us)
                known->rtt_avg_us = b->rtt_avg_us;
            return;
        }
    }
    GROW(stats->brokers, stats->brokers_count, stats->brokers_capacity);
    stats->brokers[stats->brokers_count++] = *b;
}

static bool parse_broker(struct walk *w, struct kafka_stats *stats,
                         struct kafka_broker_stats *ret_coordinator)
{
    struct kafka_broker_stats b = {.id = -1};
    struct text key, value;
    bool first = true, logical = false, ok = true;
    if (!take(w, '{'))
        return false;
    while (ok && next_key(w, &first, &key)) {
        if (text_is(key, "nodename")) {
            ok = take_string(w, &value);
            if (ok)
                (void)snprintf(b.name, sizeof b.name, "%.*s", (int)value.len, value.data);
        } else if (text_is(key, "nodeid")) {
            ok = take_number(w, &b.id);
        } else if (text_is(key, "source")) {
            ok = take_string(w, &value);
            logical = ok && text_is(value, "logical");
        } else if (text_is(key, "state")) {
            ok = take_string(w, &value);
            b.up = ok && text_is(value, "UP");
        } else if (text_is(key, "rtt")) {
            ok = parse_window_avg(w, &b.rtt_avg_us);
        } else {
            ok = skip_value(w);
        }
    }
    if (!ok || !take(w, '}'))
        return false;
    /* The group coordinator's connection is a logical broker beside the real one. */
    if (b.name[0] && logical)
        *ret_coordinator = b;
    else if (b.name[0])
        add_broker(stats, &b);
    return true;
}

static bool coordinator_moved(const struct kafka_stats *stats, const struct kafka_broker_stats *coordinator)
{
    if (coordinator->id < 0 || coordinator->up)
        return false;
    for (size_t i = 0; i < stats->brokers_count; i++) {
        const struct kafka_broker_stats *b = &stats->brokers[i];
        if (b->id == coordinator->id && b->up)
            return strcmp(b->name, coordinator->name) != 0;
    }
    return false;
}

static bool parse_brokers(struct walk *w, struct kafka_stats *stats)
{
    struct kafka_broker_stats coordinator = {.id = -1};
    struct text key;
    bool first = true;
    if (!take(w, '{'))
        return false;
    while (next_key(w, &first, &key)) {
        if (!parse_broker(w, stats, &coordinator))
            return false;
    }
    stats->coordinator_moved = coordinator_moved(stats, &coordinator);
    return take(w, '}');
}

bool kafka_stats_parse(const char *json, size_t len, struct kafka_stats *stats)
{
    struct walk w = {json, json + len};
    struct text key;
    bool first = true, ok = true;
    int64_t number = 0;

    stats->rx_bytes = stats->rx_messages = stats->requests = 0;
    stats->queued = 0;
    stats->brokers_count = 0;
    stats->coordinator_moved = false;
    if (!take(&w, '{'))
        return false;
    while (ok && next_key(&w, &first, &key)) {
        if (text_is(key, "brokers")) {
            ok = parse_brokers(&w, stats);
            continue;
        }
        if (text_is(key, "rx_bytes")) {
            ok = take_number(&w, &number);
            stats->rx_bytes = (uint64_t)number;
        } else if (text_is(key, "rxmsgs")) {
            ok = take_number(&w, &number);
            stats->rx_messages = (uint64_t)number;
        } else if (text_is(key, "tx")) {
            ok = take_number(&w, &number);
            stats->requests = (uint64_t)number;
        } else if (text_is(key, "replyq")) {
            ok = take_number(&w, &stats->queued);
        } else {
            ok = skip_value(&w);
        }
    }
    return ok && take(&w, '}');
}

void kafka_stats_release(struct kafka_stats *stats)
{
    free(stats->brokers);
    memset(stats, 0, sizeof *stats);
}
