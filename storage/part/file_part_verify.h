/* A look at every byte of a part: for `varve verify` and `varve inspect`. Any thread. */
#ifndef VARVE_STORAGE_PART_FILE_PART_VERIFY_H
#define VARVE_STORAGE_PART_FILE_PART_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/block_header.h"
#include "storage/part/file_part.h"

struct file_part_stats {
    uint64_t rows_count;
    uint64_t blocks_count;
    uint64_t series_count;
    uint64_t index_blocks_count;
    uint64_t shared_timestamps_count; /* blocks whose timestamps are those of the block before */
    uint64_t timestamps_types[7];     /* blocks by int_array_type */
    uint64_t values_types[7];
    uint32_t rows_max; /* of one block */
    bool has_sums;     /* varve.sums was there, and right */
};

/* Checks the sums, every header and every row of every block. *ret (may be NULL) is filled on success. */
int file_part_verify(const struct file_part *part, struct file_part_stats *ret, struct error *reterr);

/* Calls fn for each block header in order, checked but not decoded, until it returns other than 0, which is
 * then returned; 0 at the end. */
int file_part_each_header(const struct file_part *part, int (*fn)(const struct block_header *bh, void *arg),
                          void *arg, struct error *reterr);

#endif
