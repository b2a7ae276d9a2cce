/*
 * VictoriaMetrics' JSON lines, as v1.151.0 understands them on POST /api/v1/import
 * (lib/protoparser/vmimport/parser.go, app/vminsert/vmimport):
 *
 *   {"metric":{"__name__":"up","job":"x"},"values":[1,0,null],"timestamps":[1753800000000,1753800015000,...]}
 *
 * - Lines end with \n, of which one \r before it is part; empty lines are skipped. A bad line costs itself
 * only; a message of bad lines only is rejected as a whole.
 * - Of equal keys the first counts; one spelled without escapes comes before one spelled with them
 * (fastjson's Object.Get), unless "metric" was found only by resolving escapes.
 * - Values: numbers as fastfloat.Parse has them; null and the texts null, Null, nan, NaN are NaN, and
 * dropped; infinity, Infinity, Inf, inf, each with - before it too. Timestamps: whole numbers, milliseconds.
 * As many as values, and one at least.
 * - Labels in order, of the string members of "metric" (another member counts as empty); empty names and
 * values are left out. A "metric" without any name is bad.
 *
 * Deliberate differences: nesting ends at 64 levels (json_reader.h); a line may be longer than stock's 10 MB.
 */
#include "sinks/decode/jsonline.h"

#include <math.h>
#include <string.h>

#include "sinks/decode/json_reader.h"
#include "sinks/decode/number.h"
#include "src/base/alloc.h"
#include "src/base/error.h"

#define REASON_METRIC     "missing_metric"
#define REASON_TAGS       "missing_tags"
#define REASON_VALUES     "missing_values"
#define REASON_TIMESTAMPS "missing_timestamps"
#define REASON_COUNTS     "values_timestamps_differ"
#define REASON_VALUE      "bad_value"
#define REASON_TIMESTAMP  "bad_timestamp"

/* --- members of a line --- */

enum member { MEMBER_METRIC, MEMBER_VALUES, MEMBER_TIMESTAMPS, MEMBERS };

static const char *const member_names[MEMBERS] = {"metric", "values", "timestamps"};

/* Where a member's value starts. */
struct found {
    struct json_reader at; /* after its first token */
    enum json_token token; /* 0: not found */
    const char *end;       /* of the value */
};

struct line_members {
    struct found plain[MEMBERS]; /* the first one spelled without escapes */
    struct found any[MEMBERS];   /* the first one */
};

static bool find_members(struct json_reader *r, struct line_members *ret)
{
    for (enum member m = 0; m < MEMBERS; m++)
        ret->plain[m].token = ret->any[m].token = JSON_END;
    enum json_token token = json_reader_next(r);
    if (token != JSON_OBJECT_START) /* found nothing, if the line is JSON at all */
        return token != JSON_ERROR && json_reader_skip_value(r) && json_reader_next(r) == JSON_END;
    while ((token = json_reader_next(r)) == JSON_KEY) {
        enum member m = 0;
        bool escaped = r->escaped;
        while (m < MEMBERS && !json_text_equals(r->text, escaped, member_names[m]))
            m++;
        token = json_reader_next(r);
        struct json_reader at = *r;
        if (token == JSON_ERROR || !json_reader_skip_value(r))
            return false;
        if (m == MEMBERS)
            continue;
        struct found f = {at, token, r->p};
        if (!ret->any[m].token)
            ret->any[m] = f;
        if (!escaped && !ret->plain[m].token)
            ret->plain[m] = f;
    }
    return token == JSON_OBJECT_END && json_reader_next(r) == JSON_END;
}

static const struct found *choose(const struct line_members *members, enum member m)
{
    bool metric_is_plain = members->plain[MEMBER_METRIC].token;
    return metric_is_plain && members->plain[m].token ? &members->plain[m] : &members->any[m];
}

/* --- values --- */

struct special {
    const char *text;
    double value;
};

static const struct special specials[] = {
    {"infinity", HUGE_VAL},
    {"Infinity", HUGE_VAL},
    {"Inf", HUGE_VAL},
    {"inf", HUGE_VAL},
    {"-infinity", -HUGE_VAL},
    {"-Infinity", -HUGE_VAL},
    {"-Inf", -HUGE_VAL},
    {"-inf", -HUGE_VAL},
    {"null", NAN},
    {"Null", NAN},
    {"nan", NAN},
    {"NaN", NAN},
    {"-null", NAN},
    {"-Null", NAN},
    {"-nan", NAN},
    {"-NaN", NAN},
};

static bool parse_special(const struct json_reader *r, double *ret)
{
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        if (json_text_equals(r->text, r->escaped, specials[i].text)) {
            *ret = specials[i].value;
            return true;
        }
    }
    return false;
}

/* The value at r; false: it's none. *ret_nan: it can't be stored. */
static bool parse_value(const struct json_reader *r, enum json_token token, struct decimal *ret,
                        bool *ret_nan)
{
    double value = NAN;
    *ret_nan = false;
    if (token == JSON_NUMBER) {
        struct number_scan number;
        number_scan(r->text.data, r->end, &number);
        if (number.end == r->text.data + r->text.len) {
            *ret = number.value;
            return true;
        }
        if (!number_parse_strict(r->text.data, r->text.len, &value))
            return false;
    } else if (token != JSON_NULL && (token != JSON_STRING || !parse_special(r, &value))) {
        return false;
    }
    *ret_nan = isnan(value);
    if (!*ret_nan)
        *ret = decimal_from_double(value);
    return true;
}

static bool parse_timestamp(const struct json_reader *r, enum json_token token, int64_t *ret)
{
    if (token != JSON_NUMBER || !number_parse_int64(r->text.data, r->text.len, ret))
        return false;
    if (*ret == TIMESTAMP_NONE)
        ++*ret; /* as far outside of all retention */
    return true;
}

/* Values and timestamps, one beside the other. */
static const char *decode_samples(struct json_reader values, struct json_reader timestamps,
                                  struct sample_batch *batch)
{
    for (size_t count = 0;; count++) {
        enum json_token v = json_reader_next(&values), t = json_reader_next(&timestamps);
        if (v == JSON_ARRAY_END || t == JSON_ARRAY_END) {
            if (v == JSON_ARRAY_END && !count)
                return REASON_VALUES;
            if (t == JSON_ARRAY_END && !count)
                return REASON_TIMESTAMPS;
            return v == t ? NULL : REASON_COUNTS;
        }
        struct sample s = {.field = span_of("", 0)};
        bool nan;
        if (!parse_value(&values, v, &s.value, &nan))
            return REASON_VALUE;
        if (!parse_timestamp(&timestamps, t, &s.timestamp_ms))
            return REASON_TIMESTAMP;
        if (nan) {
            batch->dropped_nan++;
            continue;
        }
        if (batch->samples_count == batch->samples_capacity)
            GROW(batch->samples, batch->samples_count, batch->samples_capacity);
        batch->samples[batch->samples_count++] = s;
    }
}

/* --- lines --- */

static bool has_names(struct json_reader metric)
{
    while (json_reader_next(&metric) == JSON_KEY) {
        if (metric.text.len)
            return true;
        json_reader_skip_value(&metric);
    }
    return false;
}

static const char *decode_line(const char *line, const char *end, struct sample_batch *batch)
{
    struct json_reader r;
    struct line_members members;
    json_reader_init(&r, line, (size_t)(end - line));
    if (!find_members(&r, &members))
        return r.reason ? r.reason : "bad_json";
    const struct found *metric = choose(&members, MEMBER_METRIC);
    const struct found *values = choose(&members, MEMBER_VALUES);
    const struct found *timestamps = choose(&members, MEMBER_TIMESTAMPS);
    if (metric->token != JSON_OBJECT_START)
        return REASON_METRIC;
    if (!has_names(metric->at))
        return REASON_TAGS;
    if (values->token != JSON_ARRAY_START)
        return REASON_VALUES;
    if (timestamps->token != JSON_ARRAY_START)
        return REASON_TIMESTAMPS;

    size_t first = batch->samples_count;
    const char *reason = decode_samples(values->at, timestamps->at, batch);
    if (reason || batch->samples_count == first)
        return reason;                  /* NULL: NaN only */
    const char *key = metric->at.p - 1; /* the brace */
    size_t key_len = (size_t)(metric->end - key);
    if (batch->groups_count == batch->groups_capacity)
        GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){
        .key = span_of(key, key_len),
        .first_sample = first,
        .samples_count = batch->samples_count - first,
    };
    return NULL;
}

static void add_bad_line(struct sample_batch *batch, const char *line, const char *end, uint32_t number,
                         const char *reason)
{
    if (batch->bad_lines_count == batch->bad_lines_capacity)
        GROW(batch->bad_lines, batch->bad_lines_count, batch->bad_lines_capacity);
    batch->bad_lines[batch->bad_lines_count++] = (struct bad_line){
        .line = span_of(line, (size_t)(end - line)),
        .line_number = number,
        .reason = reason,
    };
}

enum decode_result jsonline_decode(const struct decode_options *options, const struct message *m,
                                   struct sample_batch *batch, const char **ret_reason)
{
    (void)options;
    const char *limit = m->payload.data + m->payload.len, *next;
    bool any_good = false;
    uint32_t line_number = 1;
    for (const char *line = m->payload.data; line < limit; line = next, line_number++) {
        const char *newline = memchr(line, '\n', (size_t)(limit - line));
        const char *end = newline ? newline : limit;
        next = newline ? newline + 1 : limit;
        if (end > line && end[-1] == '\r')
            end--;
        if (end == line)
            continue;
        size_t samples = batch->samples_count;
        uint64_t dropped_nan = batch->dropped_nan;
        const char *reason = decode_line(line, end, batch);
        if (!reason) {
            any_good = true;
            continue;
        }
        batch->samples_count = samples;
        batch->dropped_nan = dropped_nan;
        add_bad_line(batch, line, end, line_number, reason);
    }
    if (batch->bad_lines_count && !any_good) {
        *ret_reason = batch->bad_lines[0].reason;
        sample_batch_clear(batch);
        return DECODE_REJECT;
    }
    return DECODE_OK;
}

/* --- labels --- */

static struct span meaning(struct buffer *scratch, struct span text, bool escaped)
{
    if (!escaped)
        return text;
    size_t start = scratch->len;
    json_unescape(text, scratch);
    return span_of((const char *)scratch->data + start, scratch->len - start);
}

int jsonline_labels(const struct decode_options *options, struct span key, struct span field,
                    struct label_list *ret_labels, const char **ret_reason)
{
    (void)options;
    (void)field;
    label_list_clear(ret_labels);
    buffer_reserve(&ret_labels->scratch, (size_t)key.len + 1); /* no text grows, so scratch won't move */
    struct json_reader r;
    json_reader_init(&r, key.data, key.len);
    enum json_token token = json_reader_next(&r);
    while ((token = json_reader_next(&r)) == JSON_KEY) {
        struct span name = meaning(&ret_labels->scratch, r.text, r.escaped);
        token = json_reader_next(&r);
        if (token == JSON_STRING && name.len && r.text.len)
            label_list_add(ret_labels, name, meaning(&ret_labels->scratch, r.text, r.escaped));
        else if (token == JSON_ERROR || !json_reader_skip_value(&r))
            break;
    }
    if (token != JSON_OBJECT_END) {
        *ret_reason = "bad_json";
        return ERR_INVALID;
    }
    return 0;
}
