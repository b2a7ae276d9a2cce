#include "storage/series/metric_name.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/series/label_order.h"

#define ESCAPE    0x00
#define SEPARATOR 0x01

/* Labels sorted on the stack; more than this go to the heap. */
#define LABELS_ON_STACK 64

/* Bytes that a row of kind 7 adds to the name; no row of any other kind adds more to parts of it. */
#define ROW_OVERHEAD_MAX 34

const struct metric_name_limits metric_name_limits_default = {
    .labels_max = 40, .label_name_max = 256, .label_value_max = 4096};
const struct metric_name_limits metric_name_limits_name_apart = {
    .labels_max = 40, .label_name_max = 256, .label_value_max = 4096, .name_is_apart = true};

static bool is_group(const struct metric_label *label)
{
    static const char group_name[] = "__name__";
    return label->name_len == 0 || (label->name_len == sizeof group_name - 1 &&
                                    memcmp(label->name, group_name, label->name_len) == 0);
}

/* --- limits --- */

enum metric_name_fault metric_name_check(const struct metric_label *labels, size_t count,
                                         const struct metric_name_limits *limits)
{
    size_t present = 0;
    for (size_t i = 0; i < count; i++) {
        present += labels[i].value_len > 0;
    }
    if (present == 0)
        return METRIC_NAME_NO_LABELS;
    size_t apart = limits->name_is_apart && labels[count - 1].value_len > 0;
    if (limits->labels_max && present - apart > limits->labels_max)
        return METRIC_NAME_TOO_MANY_LABELS;
    for (size_t i = 0; i < count; i++) {
        if (labels[i].value_len == 0)
            continue;
        if (limits->label_name_max && labels[i].name_len > limits->label_name_max)
            return METRIC_NAME_TOO_LONG_LABEL_NAME;
        if (limits->label_value_max && labels[i].value_len > limits->label_value_max)
            return METRIC_NAME_TOO_LONG_LABEL_VALUE;
    }
    return METRIC_NAME_OK;
}

const char *metric_name_fault_reason(enum metric_name_fault fault)
{
    switch (fault) {
    case METRIC_NAME_OK:
        break;
    case METRIC_NAME_TOO_MANY_LABELS:
        return "too_many_labels";
    case METRIC_NAME_TOO_LONG_LABEL_NAME:
        return "too_long_label_name";
    case METRIC_NAME_TOO_LONG_LABEL_VALUE:
        return "too_long_label_value";
    case METRIC_NAME_NO_LABELS:
        return "no_labels";
    case METRIC_NAME_TOO_LONG:
        return "too_long_metric_name";
    }
    return NULL;
}

bool metric_name_fits(const uint8_t *canonical, size_t len)
{
    (void)canonical;
    return len + ROW_OVERHEAD_MAX <= ITEM_BYTES_MAX;
}

/* --- making --- */

static bool needs_escape(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] <= 2)
            return true;
    return false;
}

uint8_t *metric_name_escape_to(uint8_t *dst, const void *data, size_t len)
{
    const uint8_t *p = data;
    if (!needs_escape(p, len)) {
        if (len)
            memcpy(dst, p, len);
        dst += len;
    } else {
        for (size_t i = 0; i < len; i++) {
            if (p[i] <= 2) {
                *dst++ = ESCAPE;
                *dst++ = (uint8_t)('0' + p[i]);
            } else {
                *dst++ = p[i];
            }
        }
    }
    *dst++ = SEPARATOR;
    return dst;
}

void metric_name_escape(struct buffer *dst, const void *data, size_t len)
{
    uint8_t *start = buffer_reserve(dst, 2 * len + 1);
    dst->len += (size_t)(metric_name_escape_to(start, data, len) - start);
}

struct sorted_label {
    struct item key; /* sort key */
    const struct metric_label *label;
};

static int compare_sorted(const void *a, const void *b)
{
    const struct sorted_label *x = a, *y = b;
    int r = item_compare(x->key, y->key);
    /* Stable: labels of one sort key stay in order of arrival, which is their order in the array. */
    return r ? r : (x->label > y->label) - (x->label < y->label);
}

static void sort_labels(struct sorted_label *sorted, size_t n)
{
    if (n > LABELS_ON_STACK) {
        qsort(sorted, n, sizeof *sorted, compare_sorted);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct sorted_label x = sorted[i];
        size_t j = i;
        for (; j > 0 && item_compare(x.key, sorted[j - 1].key) < 0; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = x;
    }
}

static bool same_name(const struct metric_label *a, const struct metric_label *b)
{
    return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

void metric_name_canonical(struct buffer *dst, const struct metric_label *labels, size_t count)
{
    struct sorted_label on_stack[LABELS_ON_STACK];
    struct sorted_label *sorted = on_stack;
    if (count > LABELS_ON_STACK)
        sorted = xreallocarray(NULL, count, sizeof *sorted);
    const struct metric_label *group = NULL;
    size_t n = 0, bytes = 1;
    for (size_t i = 0; i < count; i++) {
        const struct metric_label *label = &labels[i];
        if (label->value_len == 0)
            continue;
        bytes += 2 * ((size_t)label->name_len + label->value_len + 1);
        if (is_group(label))
            group = label;
        else
            sorted[n++] = (struct sorted_label){label_sort_key(label->name, label->name_len), label};
    }
    sort_labels(sorted, n);

    uint8_t *start = buffer_reserve(dst, bytes);
    uint8_t *p = metric_name_escape_to(start, group ? group->value : NULL, group ? group->value_len : 0);
    for (size_t i = 0; i < n; i++) {
        const struct metric_label *label = sorted[i].label;
        if (i + 1 < n && same_name(label, sorted[i + 1].label))
            continue; /* the last one wins */
        p = metric_name_escape_to(p, label->name, label->name_len);
        p = metric_name_escape_to(p, label->value, label->value_len);
    }
    dst->len += (size_t)(p - start);
    if (sorted != on_stack)
        free(sorted);
}

/* --- reading --- */

int metric_name_escaped_len(const uint8_t *data, size_t size, size_t *ret_len, bool *ret_has_escapes,
                            struct error *reterr)
{
    const uint8_t *end = size ? memchr(data, SEPARATOR, size) : NULL;
    if (!end)
        return error_set(reterr, ERR_CORRUPT, "metric name or tag: no separator at its end");
    size_t len = (size_t)(end - data);
    const uint8_t *escape = len ? memchr(data, ESCAPE, len) : NULL;
    *ret_has_escapes = escape != NULL;
    while (escape) {
        if (end - escape < 2 || escape[1] < '0' || escape[1] > '2')
            return error_set(reterr, ERR_CORRUPT, "metric name or tag: bad escape");
        escape += 2;
        escape = escape < end ? memchr(escape, ESCAPE, (size_t)(end - escape)) : NULL;
    }
    *ret_len = len;
    return 0;
}

void metric_name_unescape(struct buffer *dst, const uint8_t *data, size_t len)
{
    uint8_t *p = buffer_reserve(dst, len);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == ESCAPE && i + 1 < len)
            *p++ = (uint8_t)(data[++i] - '0');
        else
            *p++ = data[i];
    }
    dst->len = (size_t)(p - dst->data);
}

/* One string at *pos, unescaped: a view into data, or into scratch, which has room for all. */
static int parse_string(struct metric_name *mn, const uint8_t *data, size_t size, size_t *pos,
                        struct item *ret, struct error *reterr)
{
    size_t len;
    bool escapes;
    int r = metric_name_escaped_len(data + *pos, size - *pos, &len, &escapes, reterr);
    if (r < 0)
        return r;
    if (escapes) {
        size_t start = mn->scratch.len;
        metric_name_unescape(&mn->scratch, data + *pos, len);
        *ret = (struct item){mn->scratch.data + start, mn->scratch.len - start};
    } else {
        *ret = (struct item){data + *pos, len};
    }
    *pos += len + 1;
    return 0;
}

int metric_name_parse(struct metric_name *mn, const uint8_t *data, size_t len, struct error *reterr)
{
    mn->tags_count = 0;
    if (len == 0)
        return error_set(reterr, ERR_CORRUPT, "metric name: empty");
    buffer_clear(&mn->scratch);
    (void)buffer_reserve(&mn->scratch, len);
    size_t pos = 0;
    int r = parse_string(mn, data, len, &pos, &mn->group, reterr);
    while (r == 0 && pos < len) {
        GROW(mn->tags, mn->tags_count, mn->tags_capacity);
        struct metric_tag *tag = &mn->tags[mn->tags_count];
        r = parse_string(mn, data, len, &pos, &tag->key, reterr);
        if (r == 0)
            r = parse_string(mn, data, len, &pos, &tag->value, reterr);
        mn->tags_count++;
    }
    return r;
}

void metric_name_release(struct metric_name *mn)
{
    free(mn->tags);
    buffer_release(&mn->scratch);
    *mn = (struct metric_name){0};
}

struct item metric_name_tag_value(const struct metric_name *mn, const char *key, size_t key_len)
{
    const struct metric_label label = {.name = key, .name_len = (uint32_t)key_len};
    if (is_group(&label))
        return mn->group;
    for (size_t i = 0; i < mn->tags_count; i++)
        if (item_equal(mn->tags[i].key, (struct item){(const uint8_t *)key, key_len}))
            return mn->tags[i].value;
    return (struct item){0};
}
