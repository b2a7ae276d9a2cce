/*
 * Series lookup on a cache miss: labels -> handle, and the index rows that a handle needs on a day
 * (lib/storage/storage.go:add, index_db.go:createIndexes; format 8.3, 8.7).
 *
 * Per month and day it knows which series are registered. What earlier runs registered is read from the
 * month's index from the first time on that a day is touched: the rows of kind 7 of that day and of the
 * latest earlier day of the month. A few thousand are read at once; the rest by a thread of its own (the
 * loader), and until it's done a name that isn't known yet is looked for in the index by itself, so that a
 * day with millions of series holds nobody up. A name found in neither day gets a new id (several ids of one
 * name are legal; queries join them). Any thread: one lock (RANK_LOOKUP) per call. Callers keep what they
 * learn in caches of their own.
 */
#ifndef VARVE_STORAGE_PARTITION_SERIES_LOOKUP_H
#define VARVE_STORAGE_PARTITION_SERIES_LOOKUP_H

#include "storage/partition/table.h"
#include "storage/series/metric_id_set.h"
#include "storage/series/metric_name.h"
#include "storage/series/series_registry.h"

struct series_lookup;

/* Both are borrowed and must outlive it. */
struct series_lookup *series_lookup_new(struct table *table, struct series_registry *registry);
void series_lookup_free(struct series_lookup *l);

/* The handle of these labels, registered for the day of timestamp_ms. ERR_INVALID with a reason (static text)
 * if they break a limit; ERR_CORRUPT if the month's index can't be read. */
int series_lookup_resolve(struct series_lookup *l, const struct metric_label *labels, size_t labels_count,
                          const struct metric_name_limits *limits, int64_t timestamp_ms, uint32_t *ret_series,
                          const char **ret_reason, struct error *reterr);
/* Makes sure of a known handle's index rows for that day. */
int series_lookup_register(struct series_lookup *l, uint32_t series, int64_t timestamp_ms,
                           struct error *reterr);

/* Begins to read what the index knows of that day, if it has the month, before anybody asks for it. */
int series_lookup_preload(struct series_lookup *l, int64_t timestamp_ms, struct error *reterr);
/* Whether the loader has something left to read. */
bool series_lookup_is_loading(struct series_lookup *l);
/* For tests: how many rows are read at the touch of a day, and whether the loader reads the rest. */
void series_lookup_set_loading(struct series_lookup *l, size_t rows_at_once, bool in_background);

/* Forgets what is known of months that end before before_ms; no call for their days may come any more. */
void series_lookup_forget_months(struct series_lookup *l, int64_t before_ms);

/* Deletion (format 8.6): adds rows of kind 4 for these ids of a month, searchable when it returns. They
 * belong into one cut with the rows before them: see delete_series.c. */
void series_lookup_delete_ids(struct series_lookup *l, struct partition *pt, const struct metric_id_set *ids);
/* Forgets these names, wherever this process registered them: the next sample of one makes a new series. Adds
 * rows of kind 4 for the ids that were registered, to be flushed before anything else is resolved. */
void series_lookup_delete(struct series_lookup *l, const struct item *names, size_t names_count);

/* Series made by this process. */
uint64_t series_lookup_new_series(struct series_lookup *l);
/* Series and days that this process wrote index rows for. */
uint64_t series_lookup_registrations(struct series_lookup *l);

#endif
