/* Calendar months in UTC: a partition's name and time range. */
#ifndef VARVE_STORAGE_PARTITION_MONTH_H
#define VARVE_STORAGE_PARTITION_MONTH_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/fs/file_names.h"

struct month {
    char name[MONTH_TEXT_SIZE]; /* YYYY_MM */
    int64_t min_ms;             /* first millisecond */
    int64_t max_ms;             /* last millisecond */
};

struct month month_of(int64_t timestamp_ms);
/* False if name isn't YYYY_MM with a month of 01 to 12 and a year from 1970. */
bool month_parse(struct month *ret, const char *name);

#endif
