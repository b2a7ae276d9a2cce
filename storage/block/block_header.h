/*
 * Where the bytes of one block lie and how to read them (format 3.3; lib/storage/block_header.go), 81 bytes:
 *
 *   off size field                     off size field
 *     0   24 TSID                       64    4 timestamps size
 *    24    8 min timestamp (zigzag)     68    4 values size
 *    32    8 max timestamp (zigzag)     72    4 rows count
 *    40    8 first value (zigzag)       76    2 scale (zigzag)
 *    48    8 offset, timestamps.bin     78    1 timestamps type (int_array.h)
 *    56    8 offset, values.bin         79    1 values type
 *                                       80    1 precision bits, 64 = lossless
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_HEADER_H
#define VARVE_STORAGE_BLOCK_BLOCK_HEADER_H

#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/tsid.h"

#define BLOCK_HEADER_SIZE 81

#define BLOCK_ROWS_MAX      8192  /* what a writer puts into a block */
#define BLOCK_ROWS_READ_MAX 16384 /* what readers accept */
#define BLOCK_BYTES_MAX \
    65536 /* raw size of an index block; values data from which on a block counts as full */
#define BLOCK_DATA_READ_MAX 131072 /* encoded timestamps or values of one block, as readers accept it */

struct block_header {
    struct tsid tsid;
    int64_t min_timestamp; /* ms, of the first row */
    int64_t max_timestamp; /* of the last row */
    int64_t first_value;   /* first mantissa */
    uint64_t timestamps_offset;
    uint64_t values_offset;
    uint32_t timestamps_size;
    uint32_t values_size;
    uint32_t rows_count;
    int16_t scale;
    uint8_t timestamps_type;
    uint8_t values_type;
    uint8_t precision_bits;
};

/* Writes BLOCK_HEADER_SIZE bytes. */
void block_header_put(uint8_t *dst, const struct block_header *bh);

/* Reads BLOCK_HEADER_SIZE bytes and makes the checks of format 3.3, and min <= max; ERR_CORRUPT says what is
 * off. */
int block_header_get(struct block_header *ret, const uint8_t *src, struct error *reterr);

/* Checks that next may follow prev in a part: TSIDs ascend, one MetricID has one TSID. Blocks of a series are
 * made in order of min timestamp, but deduplication takes rows out of them afterwards, also in the reference,
 * which looks at TSIDs only. ERR_CORRUPT. */
int block_header_check_order(const struct block_header *prev, const struct block_header *next,
                             struct error *reterr);

#endif
