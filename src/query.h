/*
 * Queries over a reader, answered as VictoriaMetrics words them: for /api/v1/export, /api/v1/series and
 * `varve export`.
 */
#ifndef VARVE_SRC_QUERY_H
#define VARVE_SRC_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"

struct reader;

enum query_kind { QUERY_EXPORT, QUERY_SERIES };

struct query {
    enum query_kind kind;
    char **matches; /* selectors; none: every series */
    size_t matches_count;
    int64_t start_ms, end_ms;
    uint64_t max_rows_per_line; /* of an export; 0: no limit */
    uint64_t limit;             /* of series; 0: no limit */
};

void query_add_match(struct query *q, const char *selector);
void query_release(struct query *q);

/* The query's selectors, parsed: *ret is an array of matches_count, to be given to query_selectors_free.
 * ERR_INVALID says where one is wrong. */
struct selector;
int query_selectors(const struct query *q, struct selector ***ret, struct error *reterr);
void query_selectors_free(struct selector **selectors, size_t count);

/* Takes the next piece of the answer; an error stops the query and is its result. A size of 0 asks, while
 * there's nothing to give, whether the query is to go on. */
typedef int (*query_write)(void *context, const void *data, size_t size, struct error *reterr);

/* ERR_INVALID for a selector that can't be parsed, before anything is written. */
int query_run(struct reader *r, const struct query *q, query_write write, void *context,
              struct error *reterr);

#endif
