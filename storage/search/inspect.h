/* What `varve inspect` and `varve verify` ask of a stopped store or a snapshot; nothing is changed. */
#ifndef VARVE_STORAGE_SEARCH_INSPECT_H
#define VARVE_STORAGE_SEARCH_INSPECT_H

#include <stdbool.h>

#include "src/base/error.h"
#include "storage/commit/store_view.h"

struct inspected_part {
    const char *month, *name, *dir; /* borrowed from the view */
    enum part_place place;
    uint64_t commit; /* of the journal record that names it; 0: listed */
    uint64_t rows;   /* or index items */
    uint64_t blocks;
    uint64_t bytes;                       /* of the four .bin files */
    int64_t min_timestamp, max_timestamp; /* ms; of rows */
};

/* A view of dir under a shared lock, and its parts. ERR_BUSY if a server is running on it. */
struct inspection {
    struct store_view view; /* id, commit number, positions */
    bool clean;             /* stopped cleanly: no journal, no guard of ours */
    struct inspected_part *parts;
    size_t parts_count;
    int lock_fd;
};
int inspection_open(struct inspection *ret, const char *dir, struct error *reterr);
void inspection_release(struct inspection *in);

/* The parts of one place and month, added up. */
struct inspected_kind {
    uint64_t parts, rows, blocks, bytes; /* rows or index items */
    uint64_t unlisted;                   /* of the parts: committed, not yet published */
    uint64_t merge_waits;                /* parts that the next merge would take; 0: none is due */
};
/* month NULL: all of them; then merge_waits is the sum over months. */
struct inspected_kind inspection_sum(const struct inspection *in, const char *month, enum part_place place);

/* Reads every byte of every part: sums, headers, rows, index rows. Calls damaged for each part that isn't
 * whole (and goes on); returns the number of damaged parts, or an error if the directory can't be read at
 * all. */
int store_verify(const char *dir,
                 void (*damaged)(void *context, const char *part_dir, const struct error *error),
                 void *context, uint64_t *ret_parts, struct error *reterr);

#endif
