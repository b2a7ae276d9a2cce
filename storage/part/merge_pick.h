/*
 * Which parts to merge: pure functions over sizes, for data and index alike (format 10.3;
 * lib/storage/partition.go:appendPartsToMerge, lib/mergeset/table.go:appendPartsToMerge).
 */
#ifndef VARVE_STORAGE_PART_MERGE_PICK_H
#define VARVE_STORAGE_PART_MERGE_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGE_PARTS_MAX 15 /* parts merged at once */

struct merge_candidate {
    uint64_t size;         /* bytes */
    int64_t min_timestamp; /* ms; data parts only */
};

/* Picks at least eight neighbours of like size out of parts[0..n), none of which is in a merge, so that the
 * output has at most max_out_bytes, and max_parts (MERGE_PARTS_MAX) are merged at once. Returns how many, 0
 * for none, and their indexes, in the order of size; ret_indexes has room for max_parts. by_time: among parts
 * of equal size later data comes first (data parts); else their order is kept (index parts). */
size_t merge_pick(const struct merge_candidate *parts, size_t n, size_t max_parts, uint64_t max_out_bytes,
                  bool by_time, size_t *ret_indexes);

/* Splits all parts into groups of at most max_parts, each to be merged into one part, as a flush or a forced
 * merge does (lib/storage/partition.go:mergePartsToFiles): the best pick without a size limit again and
 * again, then the rest. The rest is cut by size where the reference would merge it all at once. Returns the
 * number of groups; ret_group[i] is the group of parts[i], from 0. */
size_t merge_groups(const struct merge_candidate *parts, size_t n, size_t max_parts, bool by_time,
                    size_t *ret_group);

#endif
