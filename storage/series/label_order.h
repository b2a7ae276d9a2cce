/*
 * The canonical order of labels (format 6; VictoriaMetrics lib/storage/metric_name.go:commonTagKeys,
 * sortTags): by sort key, bytewise. The sort key of a label is its name, except for common job-like and
 * instance-like names, which sort first so that one job's and one instance's series lie side by side on disk.
 */
#ifndef VARVE_STORAGE_SERIES_LABEL_ORDER_H
#define VARVE_STORAGE_SERIES_LABEL_ORDER_H

#include "storage/mergeset/items.h"

/* The sort key of a label name: a constant of three bytes for the common names, else the name itself,
 * borrowed. */
struct item label_sort_key(const char *name, size_t len);

#endif
