/* Series selectors, as PromQL has them: metric_name{label="v",other!~"re"}. Immutable once parsed; any
 * thread. */
#ifndef VARVE_STORAGE_SEARCH_SELECTOR_H
#define VARVE_STORAGE_SEARCH_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/error.h"
#include "storage/series/metric_name.h"

enum matcher_op { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEXP, MATCH_NOT_REGEXP };

struct matcher {
    char *label; /* "__name__" for the metric name */
    enum matcher_op op;
    char *value;
    size_t value_len;
    void *regexp; /* pcre2_code of the two regexp ops */
};

struct selector {
    struct matcher *matchers;
    size_t count, capacity;
};

/* Parses name{label="v", l!="v", l=~"re", l!~"re"}: the name or the braces may be missing; strings stand in
 * "", '' or ``, with escapes but in the last. Regexps are anchored, PCRE2's syntax, which covers RE2's.
 * ERR_INVALID says at which character, and what would be right. */
int selector_parse(struct selector **ret, const char *text, struct error *reterr);
/* NULL is fine. */
void selector_free(struct selector *s);

/* 1 if the series of this name matches, 0 if not; a label that it doesn't have counts as "". ERR_INVALID,
 * which names the expression, if it backtracks without end on a value: neither answer would be true. */
int selector_matches(const struct selector *s, const struct metric_name *name, struct error *reterr);

/* The matcher that narrows a search most: equality with a value that isn't empty, the metric name's first.
 * NULL if there's none. */
const struct matcher *selector_narrowest(const struct selector *s);

#endif
