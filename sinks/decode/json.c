/*
 * JSON of any shape to samples, by a mapping (json_mapping.h). Terms and rules are those of Telegraf's JSON
 * parser, where it has them:
 *
 * - A document is one reading, or (each) holds some; each gives one group of samples with one time.
 * - Numbers and booleans (true is 1) below a reading are its fields. Names of nested ones are joined with _,
 * items of arrays go by their index from 0. Texts and nulls are none.
 * - What a path of `labels`, `name` or `time` finds isn't a field, unless `fields` names it. Labels may be
 * texts, numbers (as written) and booleans; an empty one is left out, as VictoriaMetrics does.
 * - `fields` lists what becomes a field: a number, a boolean, a text that is a number, or an object or array
 * with all numbers and booleans below it. What isn't there is left out.
 * - A series is called name_field; without one of them, the other alone.
 * - A reading without a time (no such path, or null, or 0) has none of its own: then the record's counts.
 * - Of a key that occurs twice in an object, the first counts for `labels`, `name` and `time`.
 *
 * A reading with something missing or wrong costs itself only; text that isn't JSON rejects the message.
 * Limits, beside the reader's nesting: a field's name has at most FIELD_NAME_MAX bytes, and all names of a
 * message SCRATCH_MAX, since a long key above many short values multiplies.
 *
 * Keys of groups, in the batch's scratch: length and text of the name, then of each label in the mapping's
 * order, lengths in 32 bits little endian.
 */
#include "sinks/decode/json.h"

#include <stdio.h>
#include <string.h>

#include "sinks/decode/json_mapping.h"
#include "sinks/decode/json_reader.h"
#include "sinks/decode/number.h"
#include "src/base/alloc.h"
#include "src/base/endian.h"

#define FIELD_NAME_MAX 1024
#define SCRATCH_MAX    (UINT32_C(64) << 20)

#define REASON_NO_READINGS   "no_readings"
#define REASON_NO_FIELDS     "missing_fields"
#define REASON_MISSING_LABEL "missing_label"
#define REASON_BAD_LABEL     "bad_label"
#define REASON_MISSING_NAME  "missing_name"
#define REASON_BAD_NAME      "bad_name"
#define REASON_BAD_TIME      "bad_time"
#define REASON_BAD_FIELD     "bad_field"
#define REASON_BAD_NUMBER    "bad_number"
#define REASON_LONG_NAME     "field_name_too_long"
#define REASON_TOO_MUCH      "names_too_large"

/* What a path found. */
struct found {
    enum json_token token; /* JSON_END: nothing */
    struct span text;
    bool escaped;
};

struct decoding {
    const struct json_mapping *mapping;
    const struct message *m;
    struct sample_batch *batch;
    struct json_reader reader;
    struct found values[JSON_MAPPING_VALUES_MAX];
    const char *fatal; /* of the message, with the reader's own */
    const char *bad;   /* of this reading: the first reason */
    uint32_t readings; /* so far */
    bool any_good;
    bool any_each; /* `each` led somewhere */
    uint32_t name_len;
    char name[FIELD_NAME_MAX]; /* of the field being walked to */
};

static void spoil(struct decoding *d, const char *reason)
{
    if (!d->bad)
        d->bad = reason;
}

/* --- fields --- */

static void add_sample(struct decoding *d, struct decimal value)
{
    struct sample_batch *batch = d->batch;
    if (batch->scratch.len + d->name_len > SCRATCH_MAX) {
        d->fatal = REASON_TOO_MUCH;
        return;
    }
    /* An offset until the end of the message: scratch may move. */
    const char *offset = (const char *)(uintptr_t)batch->scratch.len;
    buffer_append(&batch->scratch, d->name, d->name_len);
    GROW(batch->samples, batch->samples_count, batch->samples_capacity);
    batch->samples[batch->samples_count++] =
        (struct sample){.field = {offset, d->name_len}, .timestamp_ms = TIMESTAMP_NONE, .value = value};
}

static void add_double(struct decoding *d, struct span text, const char *reason)
{
    double number;
    if (!number_parse_strict(text.data, text.len, &number))
        spoil(d, reason);
    else if (number != number)
        d->batch->dropped_nan++;
    else
        add_sample(d, decimal_from_double(number));
}

static void add_number(struct decoding *d, struct span text)
{
    struct number_scan scan;
    number_scan(text.data, d->m->payload.data + d->m->payload.len, &scan);
    if (scan.end == text.data + text.len)
        add_sample(d, scan.value);
    else
        add_double(d, text, REASON_BAD_NUMBER);
}

static void add_scalar(struct decoding *d, enum json_token token, bool is_named)
{
    switch (token) {
    case JSON_NUMBER:
        add_number(d, d->reader.text);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        add_sample(d, (struct decimal){token == JSON_TRUE, 0});
        break;
    case JSON_STRING:
        if (is_named) /* one that is a number */
            add_double(d, d->reader.text, REASON_BAD_FIELD);
        break;
    default: /* null */
        break;
    }
}

/* --- the walk through one reading, or the document --- */

/* Sets the end of the field's name back, and after it another part. */
static void set_name(struct decoding *d, uint32_t len, struct span part, bool escaped)
{
    d->name_len = len;
    bool separator = len > 0;
    if (len + separator + part.len > FIELD_NAME_MAX) {
        spoil(d, REASON_LONG_NAME);
        return;
    }
    if (separator)
        d->name[d->name_len++] = '_';
    if (escaped) {
        struct buffer *scratch = &d->batch->scratch;
        size_t start = scratch->len;
        json_unescape(part, scratch);
        part = span_of((const char *)scratch->data + start, scratch->len - start);
        scratch->len = start;
    }
    if (part.len)
        memcpy(d->name + d->name_len, part.data, part.len);
    d->name_len += part.len;
}

static const struct json_path_node *child_by_name(const struct json_path_node *node, struct span name,
                                                  bool escaped)
{
    const struct json_path_node *child = node ? node->child : NULL;
    while (child && (child->is_index || !json_text_equals(name, escaped, child->name)))
        child = child->next;
    return child;
}

static const struct json_path_node *child_by_index(const struct json_path_node *node, uint32_t index)
{
    const struct json_path_node *child = node ? node->child : NULL;
    while (child && (!child->is_index || child->index != index))
        child = child->next;
    return child;
}

/* Keeps what paths find here. Returns the field target, or NULL. */
static const struct json_target *meet_targets(struct decoding *d, const struct json_path_node *node,
                                              enum json_token token)
{
    const struct json_target *field = NULL;
    for (size_t i = 0; i < node->targets_count; i++) {
        size_t index = node->targets[i];
        if (d->mapping->targets[index].kind == JSON_TARGET_FIELD)
            field = &d->mapping->targets[index];
        else if (d->values[index].token == JSON_END && token != JSON_NULL)
            d->values[index] = (struct found){token, d->reader.text, d->reader.escaped};
    }
    return field;
}

static bool walk(struct decoding *d, enum json_token token, const struct json_path_node *node, bool collect);

static bool walk_object(struct decoding *d, const struct json_path_node *node, bool collect)
{
    uint32_t name_len = d->name_len;
    for (;;) {
        enum json_token token = json_reader_next(&d->reader);
        if (token != JSON_KEY)
            return token == JSON_OBJECT_END;
        const struct json_path_node *child = child_by_name(node, d->reader.text, d->reader.escaped);
        if (!child && !collect) {
            if (!json_reader_skip_value(&d->reader))
                return false;
            continue;
        }
        if (collect)
            set_name(d, name_len, d->reader.text, d->reader.escaped);
        if (!walk(d, json_reader_next(&d->reader), child, collect))
            return false;
        d->name_len = name_len;
    }
}

static bool walk_array(struct decoding *d, const struct json_path_node *node, bool collect)
{
    uint32_t name_len = d->name_len;
    for (uint32_t index = 0;; index++) {
        enum json_token token = json_reader_next(&d->reader);
        if (token == JSON_ARRAY_END)
            return true;
        const struct json_path_node *child = child_by_index(node, index);
        if (token > JSON_END && !child && !collect) {
            if (!json_reader_skip_value(&d->reader))
                return false;
            continue;
        }
        if (collect) {
            char text[16];
            set_name(d, name_len, span_of(text, (size_t)snprintf(text, sizeof text, "%u", index)), false);
        }
        if (!walk(d, token, child, collect))
            return false;
        d->name_len = name_len;
    }
}

/* The value that begins with token. node: where in the paths we are, or NULL; collect: numbers are fields.
 * False if the message is done for. */
static bool walk(struct decoding *d, enum json_token token, const struct json_path_node *node, bool collect)
{
    bool is_container = token == JSON_OBJECT_START || token == JSON_ARRAY_START;
    bool is_named = false;
    uint32_t name_len = d->name_len;
    if (token <= JSON_END || d->fatal)
        return false;
    if (node && node->targets_count) {
        const struct json_target *field = meet_targets(d, node, token);
        if (field) {
            is_named = collect = !field->below || is_container;
            set_name(d, 0, span_of(field->name, field->name_len), false);
        } else if (node->has_values && !is_container) {
            collect = false;
        }
    }
    bool ok = true;
    if (token == JSON_OBJECT_START)
        ok = walk_object(d, node, collect);
    else if (token == JSON_ARRAY_START)
        ok = walk_array(d, node, collect);
    else if (collect)
        add_scalar(d, token, is_named);
    d->name_len = name_len;
    return ok && !d->fatal;
}

/* --- what a reading comes to --- */

/* Appends a found scalar as text, after its length. */
static void append_found(struct buffer *dst, const struct found *f)
{
    switch (f->token) {
    case JSON_TRUE:
        buffer_append_str(dst, "true");
        break;
    case JSON_FALSE:
        buffer_append_str(dst, "false");
        break;
    default:
        if (f->escaped)
            json_unescape(f->text, dst);
        else
            buffer_append(dst, f->text.data, f->text.len);
        break;
    }
}

static bool is_scalar(const struct found *f)
{
    return f->token == JSON_STRING || f->token == JSON_NUMBER || f->token == JSON_TRUE ||
           f->token == JSON_FALSE;
}

static size_t open_text(struct buffer *dst)
{
    put_le32(buffer_reserve(dst, sizeof(uint32_t)), 0);
    dst->len += sizeof(uint32_t);
    return dst->len;
}

static void close_text(struct buffer *dst, size_t start)
{
    put_le32(dst->data + start - sizeof(uint32_t), (uint32_t)(dst->len - start));
}

/* The group's key; NULL, or what is wrong with the reading. */
static const char *build_key(struct decoding *d)
{
    const struct json_mapping *mapping = d->mapping;
    struct buffer *key = &d->batch->scratch;
    const struct found *value = d->values + mapping->labels_count;
    size_t start = open_text(key);
    for (size_t i = 0; i < mapping->name.count; i++) {
        const struct message_piece *piece = &mapping->name.pieces[i];
        if (piece->kind == PIECE_PATH) {
            if (value->token == JSON_END)
                return REASON_MISSING_NAME;
            if (!is_scalar(value))
                return REASON_BAD_NAME;
            append_found(key, value++);
        } else {
            struct span text = message_piece_value(piece, d->m);
            buffer_append(key, text.data, text.len);
        }
    }
    close_text(key, start);
    for (size_t i = 0; i < mapping->labels_count; i++) {
        if (d->values[i].token == JSON_END)
            return REASON_MISSING_LABEL;
        if (!is_scalar(&d->values[i]))
            return REASON_BAD_LABEL;
        start = open_text(key);
        append_found(key, &d->values[i]);
        close_text(key, start);
    }
    return NULL;
}

/* TIMESTAMP_NONE if the reading has none; false if it isn't one. */
static bool reading_time(struct decoding *d, int64_t *ret_ms)
{
    struct buffer *scratch = &d->batch->scratch;
    *ret_ms = TIMESTAMP_NONE;
    if (!d->mapping->has_time)
        return true;
    const struct found *f = &d->values[d->mapping->values_count - 1]; /* the last that isn't a field */
    if (f->token == JSON_END)
        return true;
    if (f->token != JSON_NUMBER && f->token != JSON_STRING)
        return false;
    if (!f->escaped)
        return json_time_parse(f->text.data, f->text.len, d->mapping->time_format, ret_ms);
    size_t start = scratch->len;
    json_unescape(f->text, scratch);
    bool ok = json_time_parse((const char *)scratch->data + start, scratch->len - start,
                              d->mapping->time_format, ret_ms);
    scratch->len = start;
    return ok;
}

/* Makes a group of the samples from first on; else says why not. */
static const char *end_reading(struct decoding *d, size_t first)
{
    struct sample_batch *batch = d->batch;
    int64_t time_ms;
    if (d->bad)
        return d->bad;
    if (batch->samples_count == first)
        return d->mapping->all_fields ? NULL : REASON_NO_FIELDS;
    if (!reading_time(d, &time_ms))
        return REASON_BAD_TIME;
    size_t start = batch->scratch.len;
    const char *reason = build_key(d);
    if (reason)
        return reason;
    bool has_name = get_le32(batch->scratch.data + start) > 0;
    for (size_t i = first; i < batch->samples_count; i++) {
        batch->samples[i].timestamp_ms = time_ms;
        if (!has_name && !batch->samples[i].field.len)
            return REASON_MISSING_NAME;
    }
    size_t len = batch->scratch.len - start;
    if (batch->scratch.len > SCRATCH_MAX) {
        d->fatal = REASON_TOO_MUCH;
        return NULL;
    }
    GROW(batch->groups, batch->groups_count, batch->groups_capacity);
    batch->groups[batch->groups_count++] = (struct sample_group){
        .key = span_of((const char *)(uintptr_t)start, len),
        .first_sample = first,
        .samples_count = batch->samples_count - first,
    };
    return NULL;
}

/* Where the value starts whose first token was just read. */
static const char *start_of(const struct json_reader *reader, enum json_token token)
{
    switch (token) {
    case JSON_NUMBER:
        return reader->text.data;
    case JSON_STRING:
        return reader->text.data - 1;
    case JSON_TRUE:
    case JSON_NULL:
        return reader->p - 4;
    case JSON_FALSE:
        return reader->p - 5;
    default:
        return reader->p - 1;
    }
}

static bool decode_reading(struct decoding *d, enum json_token token)
{
    struct sample_batch *batch = d->batch;
    size_t first = batch->samples_count, scratch = batch->scratch.len;
    uint64_t dropped_nan = batch->dropped_nan;
    const char *from = start_of(&d->reader, token);
    d->bad = NULL;
    d->name_len = 0;
    for (size_t i = 0; i < d->mapping->values_count; i++)
        if (!d->mapping->targets[i].of_document)
            d->values[i].token = JSON_END;
    if (!walk(d, token, &d->mapping->of_reading, d->mapping->all_fields))
        return false;
    d->readings++;
    const char *reason = end_reading(d, first);
    if (!reason) {
        d->any_good = true;
        return !d->fatal;
    }
    batch->samples_count = first;
    batch->scratch.len = scratch;
    batch->dropped_nan = dropped_nan;
    GROW(batch->bad_lines, batch->bad_lines_count, batch->bad_lines_capacity);
    batch->bad_lines[batch->bad_lines_count++] = (struct bad_line){
        .line = span_of(from, (size_t)(d->reader.p - from)), .line_number = d->readings, .reason = reason};
    return true;
}

/* --- from the document to its readings --- */

static bool find_readings(struct decoding *d, enum json_token token, const struct json_step *step,
                          size_t steps);

static bool find_in_object(struct decoding *d, const struct json_step *step, size_t steps)
{
    for (;;) {
        enum json_token token = json_reader_next(&d->reader);
        if (token != JSON_KEY)
            return token == JSON_OBJECT_END;
        bool matches =
            step->kind == JSON_STEP_ALL || json_text_equals(d->reader.text, d->reader.escaped, step->name);
        bool ok = matches ? find_readings(d, json_reader_next(&d->reader), step + 1, steps - 1)
                          : json_reader_skip_value(&d->reader);
        if (!ok)
            return false;
    }
}

static bool find_in_array(struct decoding *d, const struct json_step *step, size_t steps)
{
    for (uint32_t index = 0;; index++) {
        enum json_token token = json_reader_next(&d->reader);
        if (token <= JSON_END || token == JSON_ARRAY_END)
            return token == JSON_ARRAY_END;
        bool matches = step->kind == JSON_STEP_ALL || step->index == index;
        bool ok = matches ? find_readings(d, token, step + 1, steps - 1) : json_reader_skip_value(&d->reader);
        if (!ok)
            return false;
    }
}

/* Decodes what the rest of `each` finds in the value that begins with token. */
static bool find_readings(struct decoding *d, enum json_token token, const struct json_step *step,
                          size_t steps)
{
    if (token <= JSON_END)
        return false;
    if (!steps) {
        d->any_each = true;
        return decode_reading(d, token);
    }
    bool in_object = token == JSON_OBJECT_START && step->kind != JSON_STEP_INDEX;
    bool in_array = token == JSON_ARRAY_START && step->kind != JSON_STEP_NAME;
    if (!in_object && !in_array)
        return json_reader_skip_value(&d->reader);
    if (steps == 1 && step->kind == JSON_STEP_ALL)
        d->any_each = true; /* an empty array has no readings, and that is no mistake */
    return in_object ? find_in_object(d, step, steps) : find_in_array(d, step, steps);
}

static bool decode_document(struct decoding *d)
{
    static const struct json_step each_item = {.kind = JSON_STEP_ALL};
    const struct json_mapping *mapping = d->mapping;
    enum json_token token = json_reader_next(&d->reader);
    bool ok = mapping->each_is_default && token == JSON_ARRAY_START
                  ? find_readings(d, token, &each_item, 1)
                  : find_readings(d, token, mapping->each.steps, mapping->each.count);
    return ok && json_reader_next(&d->reader) == JSON_END;
}

/* The values of $$, which readings share. */
static bool find_document_values(struct decoding *d)
{
    return !d->mapping->has_document_paths ||
           walk(d, json_reader_next(&d->reader), &d->mapping->of_document, false);
}

/* Spans of scratch, now that it doesn't move any more. */
static void resolve_offsets(struct sample_batch *batch)
{
    const char *base = (const char *)batch->scratch.data;
    for (size_t i = 0; i < batch->samples_count; i++)
        batch->samples[i].field.data = base + (uintptr_t)batch->samples[i].field.data;
    for (size_t i = 0; i < batch->groups_count; i++)
        batch->groups[i].key.data = base + (uintptr_t)batch->groups[i].key.data;
}

enum decode_result json_decode(const struct decode_options *options, const struct message *m,
                               struct sample_batch *batch, const char **ret_reason)
{
    struct decoding d;
    d.mapping = options->json;
    d.m = m;
    d.batch = batch;
    d.fatal = d.bad = NULL;
    d.readings = d.name_len = 0;
    d.any_good = d.any_each = false;
    for (size_t i = 0; i < d.mapping->values_count; i++)
        d.values[i].token = JSON_END;
    if (!m->payload.len)
        return DECODE_OK;

    json_reader_init(&d.reader, m->payload.data, m->payload.len);
    bool ok = find_document_values(&d);
    if (ok && d.mapping->has_document_paths)
        json_reader_init(&d.reader, m->payload.data, m->payload.len);
    ok = ok && decode_document(&d);
    if (!ok)
        *ret_reason = d.fatal ? d.fatal : d.reader.reason;
    else if (!d.any_each)
        *ret_reason = REASON_NO_READINGS;
    else if (batch->bad_lines_count && !d.any_good)
        *ret_reason = batch->bad_lines[0].reason;
    else {
        resolve_offsets(batch);
        return DECODE_OK;
    }
    sample_batch_clear(batch);
    return DECODE_REJECT;
}

bool json_item_stands_alone(const struct decode_options *options)
{
    return options->json->each_is_default && !options->json->has_document_paths;
}

/* --- labels --- */

static bool take_text(const char **p, const char *end, struct span *ret)
{
    if ((size_t)(end - *p) < sizeof(uint32_t))
        return false;
    *ret = span_of(*p + sizeof(uint32_t), get_le32(*p));
    if (ret->len > (size_t)(end - ret->data))
        return false;
    *p = ret->data + ret->len;
    return true;
}

int json_labels(const struct decode_options *options, struct span key, struct span field,
                struct label_list *ret_labels, const char **ret_reason)
{
    const struct json_mapping *mapping = options->json;
    const char *p = key.data, *end = key.data + key.len;
    struct span name, value;
    label_list_clear(ret_labels);
    bool ok = take_text(&p, end, &name);
    for (size_t i = 0; ok && i < mapping->labels_count; i++) {
        ok = take_text(&p, end, &value);
        if (ok && value.len)
            label_list_add(ret_labels, span_of(mapping->targets[i].name, mapping->targets[i].name_len),
                           value);
    }
    if (!ok) {
        *ret_reason = "bad_key";
        return ERR_INVALID;
    }
    if (name.len && field.len) {
        struct buffer *scratch = &ret_labels->scratch;
        buffer_append(scratch, name.data, name.len);
        buffer_append_u8(scratch, '_');
        buffer_append(scratch, field.data, field.len);
        name = span_of((const char *)scratch->data, scratch->len);
    } else if (field.len) {
        name = field;
    }
    label_list_add(ret_labels, span_of("__name__", 8), name);
    return 0;
}
