#include "sinks/mqtt/mqtt_topic.h"

#include <stdint.h>
#include <string.h>

#include "sinks/mqtt/mqtt_sink.h"

#define SHARE "$share/"

const char *mqtt_filter_unshared(const char *filter)
{
    if (strncmp(filter, SHARE, strlen(SHARE)) != 0)
        return filter;
    const char *slash = strchr(filter + strlen(SHARE), '/');
    return slash ? slash + 1 : filter + strlen(filter);
}

static struct span next_level(const char **p, const char *end)
{
    const char *slash = memchr(*p, '/', (size_t)(end - *p));
    struct span level = span_of(*p, (size_t)((slash ? slash : end) - *p));
    *p = slash ? slash + 1 : NULL;
    return level;
}

static bool is_level(struct span level, char c)
{
    return level.len == 1 && level.data[0] == c;
}

int mqtt_filter_check(const char *filter, struct error *reterr)
{
    size_t len = strlen(filter);
    if (len == 0 || len > UINT16_MAX)
        return error_set(reterr, ERR_INVALID, "a filter has 1 to %d bytes", UINT16_MAX);
    if (strchr(filter, '\n')) /* the spool's list of filters has one a line */
        return error_set(reterr, ERR_INVALID, "a filter has no line break in it");
    const char *p = mqtt_filter_unshared(filter);
    if (p != filter) {
        size_t group = (size_t)(p - filter) - strlen(SHARE);
        if (!*p || group < 2 || memchr(filter + strlen(SHARE), '+', group) ||
            memchr(filter + strlen(SHARE), '#', group))
            return error_set(reterr, ERR_INVALID, "\"%s\" is no $share/GROUP/FILTER", filter);
    }
    const char *end = filter + len;
    size_t captures = 0;
    while (p) {
        struct span level = next_level(&p, end);
        if (is_level(level, '#')) {
            if (p)
                return error_set(reterr, ERR_INVALID, "\"%s\": # has to be the last level", filter);
        } else if (is_level(level, '+')) {
            captures++;
        } else if (memchr(level.data, '+', level.len) || memchr(level.data, '#', level.len)) {
            return error_set(reterr, ERR_INVALID, "\"%s\": + and # have to be a whole level", filter);
        }
    }
    if (captures > MQTT_CAPTURES_MAX)
        return error_set(reterr, ERR_INVALID, "\"%s\": more than %d +", filter, MQTT_CAPTURES_MAX);
    return 0;
}

size_t mqtt_filter_captures(const char *filter)
{
    const char *p = mqtt_filter_unshared(filter), *end = p + strlen(p);
    size_t captures = 0;
    while (p)
        captures += is_level(next_level(&p, end), '+');
    return captures;
}

bool mqtt_filter_match(const char *filter, struct span topic, struct mqtt_match *ret)
{
    const char *f = mqtt_filter_unshared(filter), *f_end = f + strlen(f);
    const char *t = topic.data, *t_end = topic.data + topic.len;
    struct mqtt_match unwanted;
    struct mqtt_match *m = ret ? ret : &unwanted;
    m->captures_count = 0;
    m->rest = (struct span){"", 0};
    if (topic.len == 0 || (topic.data[0] == '$' && (*f == '+' || *f == '#')))
        return false;
    while (f) {
        struct span want = next_level(&f, f_end);
        if (is_level(want, '#')) {
            if (t)
                m->rest = span_of(t, (size_t)(t_end - t));
            return true;
        }
        if (!t)
            return false;
        struct span have = next_level(&t, t_end);
        if (is_level(want, '+')) {
            if (m->captures_count < MQTT_CAPTURES_MAX)
                m->captures[m->captures_count++] = have;
        } else if (want.len != have.len || memcmp(want.data, have.data, want.len) != 0) {
            return false;
        }
    }
    return !t;
}

bool mqtt_filters_overlap(const char *a, const char *b)
{
    const char *p = mqtt_filter_unshared(a), *p_end = p + strlen(p);
    const char *q = mqtt_filter_unshared(b), *q_end = q + strlen(q);
    if ((*p == '$' && (*q == '+' || *q == '#')) || (*q == '$' && (*p == '+' || *p == '#')))
        return false;
    while (p && q) {
        struct span x = next_level(&p, p_end), y = next_level(&q, q_end);
        if (is_level(x, '#') || is_level(y, '#'))
            return true;
        if (is_level(x, '+') || is_level(y, '+'))
            continue;
        if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
            return false;
    }
    if (!p && !q)
        return true;
    /* a/# also matches a. */
    const char *rest = p ? p : q, *rest_end = p ? p_end : q_end;
    return rest_end - rest == 1 && *rest == '#';
}
