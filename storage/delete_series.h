/*
 * Deleting series (format 8.6; VictoriaMetrics lib/storage/index_db.go:DeleteSeries): a row of kind 4 for
 * each id, in the index of each month that has it. Answers leave such ids out at once; merges drop their
 * rows.
 *
 * A delete is part of a cut (architecture 3): the rows handed over before it and its rows of kind 4 are
 * committed in one record, so that no crash brings some of them back under another id. Later samples of the
 * same names make new series.
 */
#ifndef VARVE_STORAGE_DELETE_SERIES_H
#define VARVE_STORAGE_DELETE_SERIES_H

#include "storage/search/selector.h"
#include "storage/storage.h"

/* Deletes the series that match any of the selectors (one at least), of all time; *ret_count: how many ids
 * that were. Durable when it returns 0. ERR_CANCELLED, and nothing is deleted, when a commit under way
 * doesn't end within timeout_ms (negative: no limit). ERR_FULL: nothing is deleted, or, if the message says
 * so, it's done but not yet durable. Any thread, not between begin and end of a writer. */
int storage_delete_series(struct storage *st, struct selector *const *selectors, size_t selectors_count,
                          int64_t timeout_ms, uint64_t *ret_count, struct error *reterr);

#endif
