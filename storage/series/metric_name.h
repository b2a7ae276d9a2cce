/*
 * Metric names: labels as they arrive <-> the canonical bytes that identify a series (format 6;
 * VictoriaMetrics lib/storage/metric_name.go).
 *
 *   canonical = esc(group) then esc(key) esc(value) of every tag in canonical order
 *   esc(s)    = s with 00 -> 00 30, 01 -> 00 31, 02 -> 00 32, then the separator 01
 *
 * The label __name__ (or one with an empty name) is the group, the last one wins. Labels with empty values
 * are dropped. Canonical order is a stable sort by sort key: the name, but for job-like and instance-like
 * names (namespace, job, host, instance ..., and the same with an upper-case first letter), which sort first.
 * Of neighbours with one name the last wins. Equal bytes must come out as in a stock server: they are the
 * identity of a series.
 */
#ifndef VARVE_STORAGE_SERIES_METRIC_NAME_H
#define VARVE_STORAGE_SERIES_METRIC_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/mergeset/items.h"

/* Borrowed. */
struct metric_label {
    const char *name;
    uint32_t name_len;
    const char *value;
    uint32_t value_len;
};

/* --- limits at ingestion (lib/timeserieslimits; flags maxLabelsPerTimeseries, maxLabelNameLen,
 * maxLabelValueLen). A series beyond one of them is dropped as a whole; nothing is cut. --- */

struct metric_name_limits {
    uint32_t labels_max;      /* counted without empty values, duplicates included; 0: no limit */
    uint32_t label_name_max;  /* bytes; 0: no limit */
    uint32_t label_value_max; /* bytes, the group's too; 0: no limit */
    bool name_is_apart;       /* the last label isn't counted: the name of Influx lines, which stock's
                                 app/vminsert/influx checks by itself, and adds after all tags */
};

/* Stock's defaults: 40 labels, names of 256 bytes, values of 4,096. */
extern const struct metric_name_limits metric_name_limits_default;
/* The same with name_is_apart. */
extern const struct metric_name_limits metric_name_limits_name_apart;

enum metric_name_fault {
    METRIC_NAME_OK,
    METRIC_NAME_TOO_MANY_LABELS,
    METRIC_NAME_TOO_LONG_LABEL_NAME,
    METRIC_NAME_TOO_LONG_LABEL_VALUE,
    METRIC_NAME_NO_LABELS, /* nothing but empty values: stock skips such rows */
    METRIC_NAME_TOO_LONG,  /* an index row of it wouldn't fit into a block: see metric_name_fits */
};

/* In the order of stock's checks; the first fault found. Doesn't check METRIC_NAME_TOO_LONG. */
enum metric_name_fault metric_name_check(const struct metric_label *labels, size_t count,
                                         const struct metric_name_limits *limits);
/* "too_many_labels"...: the reason as stock's vm_rows_ignored_total names it. NULL for METRIC_NAME_OK. */
const char *metric_name_fault_reason(enum metric_name_fault fault);

/* Whether every index row of this series fits into 65,536 bytes (format 6, last paragraph). Stock writes the
 * samples and skips the rows that don't, so that they are never found; we refuse the series before it gets an
 * id. */
bool metric_name_fits(const uint8_t *canonical, size_t len);

/* --- making --- */

/* Appends the canonical name of the labels. No allocation but dst's for up to 64 labels. */
void metric_name_canonical(struct buffer *dst, const struct metric_label *labels, size_t count);

/* Appends one string, escaped, with its separator. */
void metric_name_escape(struct buffer *dst, const void *data, size_t len);
/* The same to memory that holds 2 * len + 1 bytes; returns the end. */
uint8_t *metric_name_escape_to(uint8_t *dst, const void *data, size_t len);

/* --- reading --- */

/* One escaped string at the start of data: its length without the separator in *ret_len and whether it holds
 * escapes. 0, or ERR_CORRUPT for a missing separator or a bad escape. Escaped text contains no byte 01. */
int metric_name_escaped_len(const uint8_t *data, size_t size, size_t *ret_len, bool *ret_has_escapes,
                            struct error *reterr);
/* Appends the unescaped bytes of escaped text (without its separator) that metric_name_escaped_len has
 * passed. */
void metric_name_unescape(struct buffer *dst, const uint8_t *data, size_t len);

struct metric_tag {
    struct item key;
    struct item value;
};

/* A parsed canonical name; unescaped views into the bytes parsed or into its own scratch. Reusable: parse
 * again without releasing. Zeroed is empty. */
struct metric_name {
    struct item group;
    struct metric_tag *tags;
    size_t tags_count;
    size_t tags_capacity;
    struct buffer scratch;
};

/* Views are valid as long as data and until the next parse. ERR_CORRUPT if data isn't a name; an odd order of
 * tags isn't checked (foreign writers, aliases). */
int metric_name_parse(struct metric_name *mn, const uint8_t *data, size_t len, struct error *reterr);
void metric_name_release(struct metric_name *mn);
/* Value of the tag with this key ("__name__": the group); NULL data if there is none. */
struct item metric_name_tag_value(const struct metric_name *mn, const char *key, size_t key_len);

#endif
