/*
 * The months of a store are opened by several threads, the newest first; rows are taken meanwhile.
 *
 * Before a series can be made its metric id must lie above all others, so months whose largest id isn't known
 * from varve/cache/largest_ids are opened before storage_open returns. The others follow, or are opened by
 * whoever needs them first (partition_open.h). A month that can't be opened ends the store: hooks.fatal.
 */
#ifndef VARVE_STORAGE_OPEN_MONTHS_H
#define VARVE_STORAGE_OPEN_MONTHS_H

#include "storage/commit/store_view.h"
#include "storage/storage.h"

struct month_opener;

/* Makes the table's partitions of what the view lists, and opens those that must be; in_background: not the
 * others. *ret_largest_id: of all months. */
int open_months(struct storage *st, const struct store_view *view, bool in_background,
                uint64_t *ret_largest_id, struct error *reterr);
/* Goes on with the others, and then reads which series were seen last, in threads of its own. */
void start_month_openers(struct storage *st);
/* Ends them; what isn't open yet is opened when it's needed. */
void stop_month_openers(struct storage *st);

/* Opens those that overlap [start_ms, end_ms] and aren't open yet. An error has been told to hooks.fatal, and
 * can be of use only to who has nobody to report to. */
int storage_ensure_open(struct storage *st, int64_t start_ms, int64_t end_ms, struct error *reterr);

/* Writes varve/cache/largest_ids for the store as it is now: at a clean stop. */
void storage_write_largest_ids(struct storage *st);

#endif
