/*
 * Answers from the store: which series match a selector, and their rows.
 *
 * A reader pins the parts of all months when it's made, so that it sees one moment: on a running store
 * (in-memory parts included, a row is there within a second or so of its arrival), or on the directory of a
 * stopped one, which it doesn't change (an unclean store is read through its journal; nothing is moved).
 */
#ifndef VARVE_STORAGE_SEARCH_SEARCH_H
#define VARVE_STORAGE_SEARCH_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/search/selector.h"

struct storage;
struct reader;

/* --- readers --- */

struct reader *reader_new(struct storage *st);
/* Shows nothing but [start_ms, end_ms], so that it waits only for months in it to be open. */
struct reader *reader_new_of_range(struct storage *st, int64_t start_ms, int64_t end_ms);
/* dir is a store or a snapshot. ERR_BUSY if a server is running on it. */
int reader_open_dir(struct reader **ret, const char *dir, struct error *reterr);
void reader_free(struct reader *r);

/* Asked every now and then while a search is at work, from its thread: an error ends it and is its result.
 * For a search that nobody waits for any more, or that takes too long. */
typedef int (*reader_check)(void *context, struct error *reterr);
void reader_set_check(struct reader *r, reader_check check, void *context);

/* One series' rows of [start, end], all ids and parts of one name joined, in order of time (equal timestamps
 * keep no order). Borrowed: valid in the callback only. */
struct series_rows {
    const uint8_t *name; /* canonical metric name, format 6; parse with metric_name_parse */
    size_t name_len;
    const int64_t *timestamps;
    const double *values;
    size_t count; /* 0 for reader_series */
};

/* A reader of a running store shows what its retention and its dedup interval leave; one of a directory,
 * which knows neither, all that is there.
 *
 * Calls back for each series that matches any of the selectors (none: all) and has rows in [start_ms,
 * end_ms], in order of canonical name; a negative return stops and is returned. Series are read one by one:
 * memory is bounded by the largest. */
int reader_export(struct reader *r, struct selector *const *selectors, size_t selectors_count,
                  int64_t start_ms, int64_t end_ms,
                  int (*callback)(void *context, const struct series_rows *rows), void *context,
                  struct error *reterr);

/* Series that match and are registered on a day of [start_ms, end_ms]. */
int reader_series(struct reader *r, struct selector *const *selectors, size_t selectors_count,
                  int64_t start_ms, int64_t end_ms,
                  int (*callback)(void *context, const struct series_rows *rows), void *context,
                  struct error *reterr);

/* Appends {"__name__":"...","label":"..."}: a series' labels as VictoriaMetrics prints them in JSON.
 * ERR_CORRUPT if name isn't canonical. */
int format_metric_json(struct buffer *dst, const uint8_t *name, size_t name_len, struct error *reterr);
/* Appends one line of /api/v1/export, newline included: {"metric":{...},"values":[...],"timestamps":[...]};
 * the staleness marker prints as null, infinities as "Infinity" and "-Infinity", other values in the fewest
 * digits that read back. */
int format_export_line(struct buffer *dst, const struct series_rows *rows, struct error *reterr);

#endif
