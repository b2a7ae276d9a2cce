/*
 * What a store's directory holds, by its parts.json files, its checkpoint and its journal; nothing is
 * changed.
 *
 * parts.json says which parts a month has; journal records say which parts commits added that may not be
 * listed yet, and where sources stand. Recovery makes the directory look like the view; inspect, export and
 * verify read through it.
 */
#ifndef VARVE_STORAGE_COMMIT_STORE_VIEW_H
#define VARVE_STORAGE_COMMIT_STORE_VIEW_H

#include <stdbool.h>

#include "src/base/error.h"
#include "storage/commit/checkpoint.h"
#include "storage/commit/journal.h"
#include "storage/commit/prepared.h"
#include "storage/partition/month.h"

struct view_part {
    enum part_place place;
    char *name;
    char *dir;       /* where it is now */
    uint64_t commit; /* of the record that names it; 0: listed */
    bool staged;     /* dir is in a staging directory */
};

struct view_month {
    struct month month;
    struct view_part *parts;
    size_t parts_count, parts_capacity;
    bool changed[PART_PLACES]; /* records add to what parts.json lists, or there's none yet */
};

struct store_view {
    char *root;
    bool has_checkpoint;     /* else no Varve has owned this directory yet */
    bool has_journal;        /* it wasn't stopped cleanly */
    struct checkpoint state; /* as of the last record: n, time, positions */
    struct journal_records journal;
    bool has_prepared; /* a commit waits for its verdict: none of the view's, and none of recovery's */
    struct prepared_record prepared;
    struct view_month *months; /* oldest first */
    size_t months_count, months_capacity;
};

/* Fills a zeroed view. ERR_CORRUPT names the file that is damaged, or the part that a record names and that
 * is in neither place; ERR_INVALID for what isn't a layout P store (index parts of older releases under
 * indexdb/). */
int store_view_load(struct store_view *view, const char *root, struct error *reterr);
void store_view_release(struct store_view *view);

/* Finishes what a crash left half done, so that the directory looks like the view: staged parts are moved and
 * listed, what no list names is deleted, the journal is folded into the checkpoint. May be repeated after any
 * failure. The view is up to date afterwards. Call with the store's lock held and the guard set. */
int store_view_recover(struct store_view *view, const struct fs *fs, struct error *reterr);

#endif
