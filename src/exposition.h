/*
 * Prometheus text exposition (version 0.0.4): samples gathered in any order, written family by family, as the
 * format asks for, each with its HELP and TYPE.
 */
#ifndef VARVE_SRC_EXPOSITION_H
#define VARVE_SRC_EXPOSITION_H

#include <stddef.h>

#include "src/base/buffer.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER };

struct metric_description {
    const char *name;
    enum metric_type type;
    const char *help;
};

struct exposition_family {
    char *name;
    struct buffer lines;
};

/* Zeroed, it's empty. */
struct exposition {
    const struct metric_description *descriptions; /* of families; may be NULL */
    size_t descriptions_count;
    struct exposition_family *families;
    size_t families_count, families_capacity;
};

void exposition_release(struct exposition *x);

/* labels: name, value, name, value, ..., NULL; or NULL for none. Values are escaped. */
void exposition_add(struct exposition *x, const char *name, double value, const char *const *labels);
#define METRIC_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Adds finished lines (`name{...} value`); comments and lines that aren't samples are left out. */
void exposition_add_text(struct exposition *x, const char *text, size_t len);

/* Families in order of their first sample. A family without a description gets no HELP, and is a counter if
 * its name ends in _total, else a gauge. */
void exposition_write(const struct exposition *x, struct buffer *dst);

#endif
