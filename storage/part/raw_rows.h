/*
 * Rows as they arrive: a list of fixed chunks, one list (shard) per worker and month. The first stop of a
 * sample in the store; inmemory_part sorts what is here.
 *
 * A list belongs to one thread at a time: no lock per row. Chunks come from, and go back to, a bounded list
 * of free ones that all threads share (RANK_PART, taken once per chunk).
 */
#ifndef VARVE_STORAGE_PART_RAW_ROWS_H
#define VARVE_STORAGE_PART_RAW_ROWS_H

#include <stddef.h>
#include <stdint.h>

struct raw_row {
    int64_t timestamp; /* ms */
    int64_t mantissa;
    uint32_t series; /* handle of the series registry */
    int16_t exponent;
};
_Static_assert(sizeof(struct raw_row) == 24, "a row is 24 bytes");

#define RAW_ROWS_CHUNK 16384 /* rows; 384 KiB */

struct raw_rows_chunk {
    struct raw_rows_chunk *next;
    size_t count;
    struct raw_row rows[RAW_ROWS_CHUNK];
};

/* A zeroed struct is an empty list. */
struct raw_rows {
    struct raw_rows_chunk *first, *last;
    size_t count; /* rows in all chunks but the last; see raw_rows_count */
};

/* Puts an empty chunk at the end. */
void raw_rows_grow(struct raw_rows *rows);

static inline void raw_rows_append(struct raw_rows *rows, uint32_t series, int64_t timestamp,
                                   int64_t mantissa, int16_t exponent)
{
    struct raw_rows_chunk *chunk = rows->last;
    if (__builtin_expect(!chunk || chunk->count == RAW_ROWS_CHUNK, 0)) {
        raw_rows_grow(rows);
        chunk = rows->last;
    }
    chunk->rows[chunk->count++] = (struct raw_row){timestamp, mantissa, series, exponent};
}

static inline size_t raw_rows_count(const struct raw_rows *rows)
{
    return rows->count + (rows->last ? rows->last->count : 0);
}

/* Bytes held, free rows of the last chunk included. */
size_t raw_rows_memory_bytes(const struct raw_rows *rows);

/* Takes all rows of src to the end of dst, keeping their order; src is empty then. O(1). */
void raw_rows_move(struct raw_rows *dst, struct raw_rows *src);

/* Gives the chunks back and leaves an empty list. */
void raw_rows_release(struct raw_rows *rows);

/* Frees the chunks that wait for use; at the end of the program, so that leak checkers stay quiet. Any
 * thread. */
void raw_rows_trim(void);

#endif
