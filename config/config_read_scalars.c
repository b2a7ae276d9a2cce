#include <stdlib.h>
#include <string.h>

#include "config/config_keys.h"
#include "config/config_read.h"
#include "config/config_secrets.h"
#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/cleanup.h"

_Static_assert(sizeof(enum config_on_topic_recreated) == sizeof(int), "config_read_choice writes an int");

/* A scalar's text with its secrets filled in. */
struct scalar {
    char *text;
    bool secret;
    char shown[CONFIG_QUOTE_MAX + 2]; /* in quotation marks, for messages; *** for a secret */
};

static void scalar_release(struct scalar *s)
{
    if (s->text && s->secret)
        explicit_bzero(s->text, strlen(s->text));
    free(s->text);
    s->text = NULL;
}

#define _cleanup_scalar_ _cleanup_(scalar_release)

/* Reads a scalar; belongs says what the key takes ("a text"). */
static int read_scalar(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value, const char *belongs,
                       struct scalar *ret)
{
    struct error err;
    char quoted[CONFIG_QUOTE_MAX];
    if (value->kind != YAML_KIND_SCALAR)
        return config_report(r, value->position, place, "%s where %s belongs; write it as in %s: %s",
                             yaml_node_kind_name(value), belongs, key->name, config_key_example(key));
    if (value->plain && config_secrets_has_reference(value->text) && (key->flags & CONFIG_KEY_PASSWORD))
        return config_report(r, value->position, place,
                             "a secret without quotation marks; put \"...\" around it");
    if (value->plain && config_secrets_has_reference(value->text))
        return config_report(r, value->position, place, "a secret without quotation marks; write \"%s\"",
                             config_quote(value->text, quoted));
    if (config_secrets_expand(value->text, &ret->text, &ret->secret, &err) < 0)
        return config_report(r, value->position, place, "%s", err.message);
    if (ret->secret)
        snprintf(ret->shown, sizeof ret->shown, "***");
    else
        snprintf(ret->shown, sizeof ret->shown, "\"%s\"", config_quote(ret->text, quoted));
    return 0;
}

static bool has_control_characters(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    }
    return false;
}

int config_read_string(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    int e = read_scalar(r, place, key, value, "a text", &s);
    if (e < 0)
        return e;
    if (!*s.text && (key->flags & CONFIG_KEY_REQUIRED))
        return config_report(r, value->position, place, "is empty; write it as in %s: %s", key->name,
                             config_key_example(key));
    if (!(key->flags & CONFIG_KEY_ANY_TEXT) && has_control_characters(s.text))
        return config_report(r, value->position, place, "%s holds control characters; leave them out",
                             s.shown);
    char **ret = dst;
    free(*ret);
    *ret = TAKE(s.text);
    if (s.secret || (key->flags & CONFIG_KEY_PASSWORD))
        config_mark_secret(r->cfg, *ret);
    return 0;
}

/* Bounds in the table are texts too: a bound that doesn't parse is a bug, and there's none
 * (test_config_keys). */
static int64_t duration_bound(const char *text, int64_t missing)
{
    int64_t v = missing;
    if (text)
        (void)config_parse_duration_ms(text, &v, NULL);
    return v;
}

static uint64_t size_bound(const char *text, uint64_t missing)
{
    uint64_t v = missing;
    if (text)
        (void)config_parse_size(text, &v, NULL);
    return v;
}

static int report_bounds(struct config_reader *r, const struct config_place *place,
                         const struct config_key *key, const struct yaml_node *value, const struct scalar *s,
                         bool low)
{
    return config_report(r, value->position, place, "%s is too %s; write %s%s%s%s", s->shown,
                         low ? "small" : "large", key->min_text ? key->min_text : "",
                         key->min_text && key->max_text ? " to " : "", key->max_text ? key->max_text : "",
                         key->min_text && !key->max_text ? " or more" : "");
}

int config_read_duration(struct config_reader *r, const struct config_place *place,
                         const struct config_key *key, const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    struct error err;
    int64_t ms;
    int e = read_scalar(r, place, key, value, "a duration", &s);
    if (e < 0)
        return e;
    if (config_parse_duration_ms(s.text, &ms, &err) < 0)
        return config_report(r, value->position, place, "%s is %s", s.shown, err.message);
    bool low = ms < duration_bound(key->min_text, 0);
    if (low || ms > duration_bound(key->max_text, INT64_MAX))
        return report_bounds(r, place, key, value, &s, low);
    *(int64_t *)dst = ms;
    return 0;
}

int config_read_size(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                     const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    struct error err;
    uint64_t bytes;
    int e = read_scalar(r, place, key, value, "a size", &s);
    if (e < 0)
        return e;
    if (config_parse_size(s.text, &bytes, &err) < 0)
        return config_report(r, value->position, place, "%s is %s", s.shown, err.message);
    bool low = bytes < size_bound(key->min_text, 0);
    if (low || bytes > size_bound(key->max_text, INT64_MAX))
        return report_bounds(r, place, key, value, &s, low);
    *(uint64_t *)dst = bytes;
    return 0;
}

int config_read_percent_or_size(struct config_reader *r, const struct config_place *place,
                                const struct config_key *key, const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    struct error err;
    struct config_percent_or_size v;
    int e = read_scalar(r, place, key, value, "a percentage or size", &s);
    if (e < 0)
        return e;
    if (config_parse_percent_or_size(s.text, &v, &err) < 0)
        return config_report(r, value->position, place, "%s is %s", s.shown, err.message);
    if (!v.percent && v.bytes < size_bound(key->min_text, 0))
        return report_bounds(r, place, key, value, &s, true);
    *(struct config_percent_or_size *)dst = v;
    return 0;
}

/* Numbers and booleans are written without quotation marks, unless they come from a reference. */
static int require_plain(struct config_reader *r, const struct config_place *place,
                         const struct config_key *key, const struct yaml_node *value, const struct scalar *s,
                         const char *belongs)
{
    if (value->plain || s->secret)
        return 0;
    return config_report(r, value->position, place,
                         "a text in quotation marks where %s belongs; write it as in %s: %s", belongs,
                         key->name, config_key_example(key));
}

int config_read_count(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                      const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    struct error err;
    uint64_t v, min = 0, max = UINT32_MAX;
    int e = read_scalar(r, place, key, value, "a whole number", &s);
    if (e >= 0)
        e = require_plain(r, place, key, value, &s, "a whole number");
    if (e < 0)
        return e;
    if (config_parse_count(s.text, &v, &err) < 0)
        return config_report(r, value->position, place, "%s is %s", s.shown, err.message);
    if (key->min_text)
        (void)config_parse_count(key->min_text, &min, NULL);
    if (key->max_text)
        (void)config_parse_count(key->max_text, &max, NULL);
    if (v < min || v > max)
        return report_bounds(r, place, key, value, &s, v < min);
    *(uint32_t *)dst = (uint32_t)v;
    return 0;
}

int config_read_bool(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                     const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    int e = read_scalar(r, place, key, value, "true or false", &s);
    if (e >= 0)
        e = require_plain(r, place, key, value, &s, "true or false");
    if (e < 0)
        return e;
    if (strcmp(s.text, "true") != 0 && strcmp(s.text, "false") != 0)
        return config_report(r, value->position, place, "%s is neither true nor false; write true or false",
                             s.shown);
    *(bool *)dst = !strcmp(s.text, "true");
    return 0;
}

/* "earliest, latest or record": the words that work; new string. */
static char *list_choices(const struct config_choice *choices)
{
    struct buffer list = {0};
    size_t count = 0, seen = 0;
    for (const struct config_choice *c = choices; c->name; c++)
        count += c->built;
    for (const struct config_choice *c = choices; c->name; c++) {
        if (!c->built)
            continue;
        buffer_printf(&list, "%s%s", !seen ? "" : seen + 1 == count ? " or " : ", ", c->name);
        seen++;
    }
    buffer_cstr(&list);
    return (char *)list.data;
}

static int find_choice(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value,
                       const struct config_choice **ret)
{
    _cleanup_scalar_ struct scalar s = {0};
    _cleanup_free_ char *words = list_choices(key->choices);
    int e = read_scalar(r, place, key, value, "a word", &s);
    if (e < 0)
        return e;
    for (const struct config_choice *c = key->choices; c->name; c++) {
        if (strcmp(c->name, s.text) != 0)
            continue;
        if (!c->built)
            return config_report(r, value->position, place, "%s is not built yet in this version; write %s",
                                 c->name, words);
        *ret = c;
        return 0;
    }
    return config_report(r, value->position, place, "%s is not known here; write %s", s.shown, words);
}

int config_read_choice(struct config_reader *r, const struct config_place *place,
                       const struct config_key *key, const struct yaml_node *value, void *dst)
{
    const struct config_choice *choice = NULL;
    int e = find_choice(r, place, key, value, &choice);
    if (!e)
        *(int *)dst = choice->value;
    return e;
}

int config_read_word(struct config_reader *r, const struct config_place *place, const struct config_key *key,
                     const struct yaml_node *value, void *dst)
{
    const struct config_choice *choice = NULL;
    int e = find_choice(r, place, key, value, &choice);
    if (!e)
        *(const char **)dst = choice->name;
    return e;
}

int config_read_start_from(struct config_reader *r, const struct config_place *place,
                           const struct config_key *key, const struct yaml_node *value, void *dst)
{
    _cleanup_scalar_ struct scalar s = {0};
    struct config_start_from v = {.at = CONFIG_START_EARLIEST};
    int e = read_scalar(r, place, key, value, "a word or a time", &s);
    if (e < 0)
        return e;
    if (!strcmp(s.text, "latest")) {
        v.at = CONFIG_START_LATEST;
    } else if (strcmp(s.text, "earliest") != 0) {
        v.at = CONFIG_START_TIME;
        if (config_parse_time_ms(s.text, &v.time_ms, NULL) < 0)
            return config_report(
                r, value->position, place,
                "%s is no place to start; write earliest, latest or a time as in 2026-11-01T00:00:00Z",
                s.shown);
    }
    *(struct config_start_from *)dst = v;
    return 0;
}
