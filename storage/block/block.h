/*
 * Rows of one series on their way from a reader to a writer: still encoded, decoded, or both.
 *
 * A block borrows its bytes and arrays from the part that it was read from, which must outlive it, until it
 * has to change them; then they're copied into memory of its own. So a block that nothing overlaps passes
 * through a merge without a copy. One thread at a time.
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_H
#define VARVE_STORAGE_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/block_header.h"

struct block {
    /* tsid, times, rows_count, scale and precision_bits hold in either state; the rest describes the encoded
     * bytes. */
    struct block_header header;
    bool encoded; /* timestamps_data and values_data are valid, and header describes them */
    bool decoded; /* timestamps and mantissas are valid, header.rows_count of each */
    const uint8_t *timestamps_data, *values_data; /* borrowed */
    const int64_t *timestamps, *mantissas;        /* borrowed, or in own_* */
    int64_t *own_timestamps, *own_mantissas;
    size_t own_capacity;
};

/* A zeroed struct is an empty block. Frees what is its own. */
void block_release(struct block *b);

/* Makes it an encoded block: borrows the bytes that header describes. Own memory is kept for later use. */
void block_set_encoded(struct block *b, const struct block_header *header, const uint8_t *timestamps_data,
                       const uint8_t *values_data);

/* Makes it a decoded block of rows_count >= 1 rows ordered by time: borrows the arrays. */
void block_set_decoded(struct block *b, const struct tsid *tsid, const int64_t *timestamps,
                       const int64_t *mantissas, size_t rows_count, int16_t scale);

/* Makes b what src is, borrowing what src borrows: src must not be in memory of its own. */
void block_borrow(struct block *b, const struct block *src);

/* Makes room for rows in own_timestamps and own_mantissas; the rows of a block that is in own memory stay. */
void block_reserve_own(struct block *b, size_t rows);

/* Brings a decoded block into own memory, where its rows may be changed, with room for extra more. */
void block_make_own(struct block *b, size_t extra);

/* Decodes it if it isn't decoded yet, and checks that timestamps are ordered and keep within the header's
 * (lossy timestamps are repaired, format 4.6). The block stays encoded as well. ERR_CORRUPT. */
int block_decode(struct block *b, struct error *reterr);

/* Decodes an encoded block into arrays of the caller's, rows_count each, with the same checks; b isn't
 * changed. The arrays' content is undefined on failure. */
int block_decode_into(const struct block *b, int64_t *timestamps, int64_t *mantissas, struct error *reterr);

/* Exchanges two blocks, own memory included. */
void block_swap(struct block *a, struct block *b);

#endif
