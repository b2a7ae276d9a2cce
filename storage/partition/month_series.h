/*
 * Which series are registered in a month and on its days, as far as this process knows: what it registered,
 * and what it has read of the month's index so far. Guarded by series_lookup's lock.
 */
#ifndef VARVE_STORAGE_PARTITION_MONTH_SERIES_H
#define VARVE_STORAGE_PARTITION_MONTH_SERIES_H

#include "storage/partition/day_load.h"
#include "storage/series/metric_id_set.h"
#include "storage/series/series_registry.h"
#include "storage/series/series_set.h"

struct day {
    uint64_t date; /* days since the epoch */
    struct series_set series;
    struct day_load *load; /* rows of the index that aren't in `series` yet; NULL: all are */
};

struct month_series {
    struct partition *pt;
    struct series_set series; /* those with rows of kinds 1, 2, 3 in the month, as far as known */
    struct metric_id_set deleted;
    struct day *days;
    size_t days_count, days_capacity;
    size_t loads_count; /* days with a load */
};

struct month_series *month_series_new(struct partition *pt);
void month_series_free(struct month_series *m);

/* NULL if it was never touched. Valid until the next one is added. */
struct day *month_series_day(struct month_series *m, uint64_t date);
/* A day whose index rows have to be read yet. */
struct day *month_series_add_day(struct month_series *m, uint64_t date);
/* Its load is done, and freed. */
void month_series_day_loaded(struct month_series *m, struct day *day);

/* Takes over rows that were read: their series are known, and registered on that day. */
int month_series_learn(struct month_series *m, struct day *day, struct series_registry *registry,
                       const struct loaded_rows *rows, struct error *reterr);
/* Looks in what isn't loaded yet, of that day and of those before it, for the rows of one name. */
int month_series_learn_name(struct month_series *m, struct day *day, struct series_registry *registry,
                            struct item name, struct loaded_rows *scratch, struct error *reterr);

/* The latest day before `date` in the same month that has series in the index; 0 if there's none. */
int month_series_day_before(const struct month_series *m, uint64_t date, struct index_scan *scan,
                            uint64_t *ret_date, struct error *reterr);

#endif
