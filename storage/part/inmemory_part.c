#include "storage/part/inmemory_part.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/block/block_header.h"
#include "storage/encoding/scale.h"

/*
 * Rows are sorted by a key of 8 bytes, (rank of the series, place of the row), with a radix sort over the
 * rank's bits alone: it's stable, so rows of one series stay in their order of arrival, which is nearly
 * always that of time. Then they are fetched once, in order. Only a series whose times turn out unordered is
 * sorted by time.
 */
#define RADIX_BITS_MAX 11
/* How far ahead rows are prefetched: a few memory latencies' worth of work. */
#define PREFETCH_ROWS 24

/* A row's place: chunk << PLACE_BITS | row in the chunk. */
#define PLACE_BITS 14
_Static_assert(RAW_ROWS_CHUNK == 1 << PLACE_BITS, "a place must tell the row in its chunk");

struct row_source {
    const struct raw_rows_chunk **chunks;
    size_t chunks_count;
    size_t rows_count;
};

static void source_init(struct row_source *src, struct raw_rows *const *shards, size_t shards_count)
{
    size_t capacity = 0;
    *src = (struct row_source){0};
    for (size_t s = 0; s < shards_count; s++) {
        for (const struct raw_rows_chunk *c = shards[s]->first; c; c = c->next) {
            if (!c->count)
                continue;
            GROW(src->chunks, src->chunks_count, capacity);
            src->chunks[src->chunks_count++] = c;
            src->rows_count += c->count;
        }
    }
    if (src->chunks_count > (size_t)1 << (32 - PLACE_BITS))
        abort(); /* 100 GB of rows */
}

static inline const struct raw_row *row_at(const struct row_source *src, uint32_t place)
{
    return &src->chunks[place >> PLACE_BITS]->rows[place & (RAW_ROWS_CHUNK - 1)];
}

/* Fills keys; false if they're in order already. */
static bool make_keys(uint64_t *keys, const struct row_source *src, const uint32_t *rank_by_series)
{
    uint64_t *key = keys;
    uint64_t last = 0;
    bool unordered = false;
    for (size_t c = 0; c < src->chunks_count; c++) {
        const struct raw_rows_chunk *chunk = src->chunks[c];
        uint64_t place = (uint64_t)c << PLACE_BITS;
        for (size_t i = 0; i < chunk->count; i++) {
            uint64_t k = (uint64_t)rank_by_series[chunk->rows[i].series] << 32 | (place + i);
            unordered |= k < last;
            last = k;
            *key++ = k;
        }
    }
    return unordered;
}

/* One stable pass over the bits from shift on; to gets what from holds. */
static void radix_pass(uint64_t *to, const uint64_t *from, size_t n, unsigned shift, unsigned bits)
{
    uint32_t starts[1 << RADIX_BITS_MAX] = {0};
    uint32_t mask = (1u << bits) - 1;
    for (size_t i = 0; i < n; i++)
        starts[(from[i] >> shift) & mask]++;
    uint32_t sum = 0;
    for (uint32_t d = 0; d <= mask; d++) {
        uint32_t count = starts[d];
        starts[d] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[starts[(from[i] >> shift) & mask]++] = from[i];
}

/* Sorts keys by rank, stably; returns the array that holds them in the end, keys or spare. */
static uint64_t *sort_keys(uint64_t *keys, uint64_t *spare, size_t n, size_t ranks_count)
{
    unsigned bits = ranks_count > 1 ? 64 - (unsigned)__builtin_clzll(ranks_count - 1) : 1;
    unsigned passes = (bits + RADIX_BITS_MAX - 1) / RADIX_BITS_MAX;
    unsigned bits_each = (bits + passes - 1) / passes;
    for (unsigned p = 0; p < passes; p++) {
        radix_pass(spare, keys, n, 32 + p * bits_each, bits_each);
        uint64_t *t = keys;
        keys = spare;
        spare = t;
    }
    return keys;
}

/* Stable merge sort by timestamp, bottom-up over insertion-sorted runs of 16. tmp has room for n rows. */
static void sort_by_time(struct raw_row *rows, struct raw_row *tmp, size_t n)
{
    const size_t run = 16;
    for (size_t start = 0; start < n; start += run) {
        size_t end = start + run < n ? start + run : n;
        for (size_t i = start + 1; i < end; i++) {
            struct raw_row row = rows[i];
            size_t k = i;
            for (; k > start && rows[k - 1].timestamp > row.timestamp; k--)
                rows[k] = rows[k - 1];
            rows[k] = row;
        }
    }
    struct raw_row *from = rows, *to = tmp;
    for (size_t width = run; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t mid = start + width < n ? start + width : n;
            size_t end = mid + width < n ? mid + width : n;
            size_t i = start, j = mid, k = start;
            while (i < mid && j < end)
                to[k++] = from[j].timestamp < from[i].timestamp ? from[j++] : from[i++];
            memcpy(to + k, from + i, (mid - i) * sizeof *to);
            memcpy(to + k + (mid - i), from + j, (end - j) * sizeof *to);
        }
        struct raw_row *t = from;
        from = to;
        to = t;
    }
    if (from != rows)
        memcpy(rows, from, n * sizeof *rows);
}

struct build {
    struct inmemory_part *mp;
    int16_t *exponents; /* of each row, beside mp's arrays */
};

/* Rows [first, first + n) of one series came out of order. */
static void sort_series_by_time(struct build *b, size_t first, size_t n)
{
    int64_t *timestamps = b->mp->timestamps + first, *mantissas = b->mp->mantissas + first;
    int16_t *exponents = b->exponents + first;
    struct raw_row *rows = xreallocarray(NULL, n, 2 * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct raw_row){timestamps[i], mantissas[i], 0, exponents[i]};
    sort_by_time(rows, rows + n, n);
    for (size_t i = 0; i < n; i++) {
        timestamps[i] = rows[i].timestamp;
        mantissas[i] = rows[i].mantissa;
        exponents[i] = rows[i].exponent;
    }
    free(rows);
}

/* Cuts the rows [first, first + n) of one series, in order now, into blocks. */
static void add_blocks(struct build *b, const struct tsid *tsid, size_t first, size_t n)
{
    struct inmemory_part *mp = b->mp;
    struct part_header *ph = &mp->header;
    if (mp->timestamps[first] < ph->min_timestamp)
        ph->min_timestamp = mp->timestamps[first];
    if (mp->timestamps[first + n - 1] > ph->max_timestamp)
        ph->max_timestamp = mp->timestamps[first + n - 1];
    while (n) {
        size_t rows = n < BLOCK_ROWS_MAX ? n : BLOCK_ROWS_MAX;
        int16_t scale = scale_unify(mp->mantissas + first, b->exponents + first, rows);
        mp->blocks[mp->blocks_count++] = (struct inmemory_block){*tsid, first, (uint32_t)rows, scale};
        first += rows;
        n -= rows;
    }
}

/* Blocks that sorted keys make: one a series, or more if it has many rows (then this may be more than
 * needed). */
static size_t count_blocks(const uint64_t *keys, size_t n)
{
    size_t series = 1;
    for (size_t i = 1; i < n; i++)
        series += (keys[i] ^ keys[i - 1]) >> 32 != 0;
    return series + n / BLOCK_ROWS_MAX;
}

/* Fetches the rows in the order of keys, series by series. */
static void build_blocks(struct build *b, const struct row_source *src, const uint64_t *keys,
                         const struct series_ranks *ranks)
{
    struct inmemory_part *mp = b->mp;
    int64_t *timestamps = mp->timestamps, *mantissas = mp->mantissas;
    size_t n = src->rows_count;
    size_t i = 0;
    while (i < n) {
        size_t first = i;
        uint32_t rank = (uint32_t)(keys[i] >> 32);
        int64_t last = INT64_MIN;
        bool unordered = false;
        for (; i < n && (uint32_t)(keys[i] >> 32) == rank; i++) {
            if (i + PREFETCH_ROWS < n)
                __builtin_prefetch(row_at(src, (uint32_t)keys[i + PREFETCH_ROWS]));
            const struct raw_row *row = row_at(src, (uint32_t)keys[i]);
            unordered |= row->timestamp < last;
            last = row->timestamp;
            timestamps[i] = row->timestamp;
            mantissas[i] = row->mantissa;
            b->exponents[i] = row->exponent;
        }
        if (unordered)
            sort_series_by_time(b, first, i - first);
        add_blocks(b, &ranks->tsid_by_rank[rank], first, i - first);
    }
}

struct inmemory_part *inmemory_part_new(struct raw_rows *const *shards, size_t shards_count,
                                        const struct series_ranks *ranks)
{
    struct row_source src;
    source_init(&src, shards, shards_count);
    size_t n = src.rows_count;
    if (!n) {
        free(src.chunks);
        return NULL;
    }
    struct inmemory_part *mp = xcalloc(1, sizeof *mp);
    _cleanup_free_ uint64_t *keys = xreallocarray(NULL, n, 2 * sizeof *keys);
    const uint64_t *sorted = keys;
    if (make_keys(keys, &src, ranks->rank_by_series))
        sorted = sort_keys(keys, keys + n, n, ranks->count);

    mp->header =
        (struct part_header){.rows_count = n, .min_timestamp = INT64_MAX, .max_timestamp = INT64_MIN};
    mp->timestamps = xreallocarray(NULL, n, sizeof *mp->timestamps);
    mp->mantissas = xreallocarray(NULL, n, sizeof *mp->mantissas);
    size_t blocks_capacity = count_blocks(sorted, n);
    mp->blocks = xreallocarray(NULL, blocks_capacity, sizeof *mp->blocks);
    struct build b = {.mp = mp, .exponents = xreallocarray(NULL, n, sizeof *b.exponents)};
    build_blocks(&b, &src, sorted, ranks);
    free(b.exponents);
    free(src.chunks);

    if (mp->blocks_count < blocks_capacity)
        mp->blocks = xreallocarray(mp->blocks, mp->blocks_count, sizeof *mp->blocks);
    mp->header.blocks_count = mp->blocks_count;
    mp->memory_bytes = sizeof *mp + mp->blocks_count * sizeof *mp->blocks +
                       n * (sizeof *mp->timestamps + sizeof *mp->mantissas);
    return mp;
}

void inmemory_part_free(struct inmemory_part *mp)
{
    if (!mp)
        return;
    free(mp->blocks);
    free(mp->timestamps);
    free(mp->mantissas);
    free(mp);
}
