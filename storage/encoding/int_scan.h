/* What an array of int64 looks like from the first item to the last. Pure; any thread. Uses AVX2 where the
 * processor has it; the forms that end in `plain` don't, and are what the others are measured by. */
#ifndef VARVE_STORAGE_ENCODING_INT_SCAN_H
#define VARVE_STORAGE_ENCODING_INT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether no item is less than the one before it. */
bool int_scan_is_ordered(const int64_t *a, size_t n);
bool int_scan_is_ordered_plain(const int64_t *a, size_t n);

/* Whether each item is the one before it plus step, modulo 2^64. step 0: whether all are equal. */
bool int_scan_has_step(const int64_t *a, size_t n, int64_t step);
bool int_scan_has_step_plain(const int64_t *a, size_t n, int64_t step);

/* How many items, a[0] among them, come before the first stride of 32 in which one is less than the one
 * before it; at least 1 of n >= 1, and fewer than 32 less than n if none is. */
size_t int_scan_rise(const int64_t *a, size_t n);
size_t int_scan_rise_plain(const int64_t *a, size_t n);

#endif
