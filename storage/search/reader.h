/* A reader's inside: the pinned parts of each month; and the search for series in them. For storage/search
 * only. */
#ifndef VARVE_STORAGE_SEARCH_READER_H
#define VARVE_STORAGE_SEARCH_READER_H

#include "storage/partition/month.h"
#include "storage/partition/part_set.h"
#include "storage/search/search.h"
#include "storage/series/series_registry.h"

struct reader_month {
    struct month month;
    struct part_list data, index;
};

struct reader {
    struct reader_month *months; /* oldest first */
    size_t months_count;
    int64_t dedup_interval_ms; /* as of the store; 0: all rows are shown */
    int64_t min_ms;            /* what is older is out of retention; 0: all is shown */
    reader_check check;        /* NULL: none */
    void *check_context;
    int lock_fd; /* shared lock on a stopped store's directory; -1 */
};

/* 0, or the error with which the search has to end. */
static inline int reader_ask(const struct reader *r, struct error *reterr)
{
    return r->check ? r->check(r->check_context, reterr) : 0;
}

/* A series found in a month's index. */
struct series_match {
    struct item name; /* canonical; in the matches' arena */
    struct tsid tsid;
};

/* Found series, by name, then TSID, without doubles. Zeroed is empty. */
struct series_matches {
    struct series_match *items;
    size_t count, capacity;
    struct buffer names;
};
void series_matches_release(struct series_matches *matches);

/* All series of the months that overlap [start_ms, end_ms] which match any selector (none: all), deleted ones
 * left out. days: only those registered on a day of the range. ERR_CORRUPT names the part. */
int series_match(const struct reader *r, struct selector *const *selectors, size_t selectors_count,
                 int64_t start_ms, int64_t end_ms, bool days, struct series_matches *ret,
                 struct error *reterr);

#endif
