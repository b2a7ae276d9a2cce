/*
 * Reading which series a month's index has registered on one day: its rows of kind 7, name -> TSID, as they
 * were in the index when the load began (format 8.7). What this process registers later it knows anyway.
 *
 * All of them in order, a piece at a time, by one thread; and meanwhile those of single names, by callers who
 * hold a lock of their own. Both may happen at once.
 */
#ifndef VARVE_STORAGE_PARTITION_DAY_LOAD_H
#define VARVE_STORAGE_PARTITION_DAY_LOAD_H

#include "storage/block/tsid.h"
#include "storage/mergeset/item_search.h"
#include "storage/partition/partition.h"

struct loaded_row {
    struct tsid tsid;
    uint64_t hash; /* series_name_hash */
    size_t name_offset;
    uint32_t name_len;
};

/* Zeroed is empty; reusable. */
struct loaded_rows {
    struct loaded_row *rows;
    size_t count, capacity;
    struct buffer names;
};

void loaded_rows_release(struct loaded_rows *rows);

/* The index of a month as it is now: its parts pinned, and a search over them. */
struct index_scan {
    struct part_list parts;
    struct item_source *sources;
    struct item_search search;
};

void index_scan_open(struct index_scan *scan, struct partition *pt);
void index_scan_close(struct index_scan *scan);

struct day_load;

struct day_load *day_load_new(struct partition *pt, uint64_t date);
/* NULL is fine. */
void day_load_free(struct day_load *dl);

/* The next rows, at most max, into *ret (emptied first): 1 if there may be more, 0 if these were the last.
 * ERR_CORRUPT names the part that is damaged. */
int day_load_next(struct day_load *dl, size_t max, struct loaded_rows *ret, struct error *reterr);
/* The rows of one canonical name: several if it was deleted and came back. 0 or an error. */
int day_load_find(struct day_load *dl, struct item name, struct loaded_rows *ret, struct error *reterr);

#endif
