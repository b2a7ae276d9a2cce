#include "storage/block/block.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/encoding/int_array.h"
#include "storage/encoding/int_scan.h"

void block_release(struct block *b)
{
    free(b->own_timestamps);
    free(b->own_mantissas);
    *b = (struct block){0};
}

void block_set_encoded(struct block *b, const struct block_header *header, const uint8_t *timestamps_data,
                       const uint8_t *values_data)
{
    b->header = *header;
    b->encoded = true;
    b->decoded = false;
    b->timestamps_data = timestamps_data;
    b->values_data = values_data;
}

void block_set_decoded(struct block *b, const struct tsid *tsid, const int64_t *timestamps,
                       const int64_t *mantissas, size_t rows_count, int16_t scale)
{
    b->header.tsid = *tsid;
    b->header.min_timestamp = timestamps[0];
    b->header.max_timestamp = timestamps[rows_count - 1];
    b->header.rows_count = (uint32_t)rows_count;
    b->header.scale = scale;
    b->header.precision_bits = 64;
    b->encoded = false;
    b->decoded = true;
    b->timestamps = timestamps;
    b->mantissas = mantissas;
}

void block_borrow(struct block *b, const struct block *src)
{
    b->header = src->header;
    b->encoded = src->encoded;
    b->decoded = src->decoded;
    b->timestamps_data = src->timestamps_data;
    b->values_data = src->values_data;
    b->timestamps = src->timestamps;
    b->mantissas = src->mantissas;
}

void block_reserve_own(struct block *b, size_t rows)
{
    if (rows <= b->own_capacity)
        return;
    size_t capacity = b->own_capacity ? b->own_capacity : 64;
    while (capacity < rows)
        capacity *= 2;
    bool own_t = b->timestamps == b->own_timestamps;
    bool own_m = b->mantissas == b->own_mantissas;
    b->own_timestamps = xreallocarray(b->own_timestamps, capacity, sizeof *b->own_timestamps);
    b->own_mantissas = xreallocarray(b->own_mantissas, capacity, sizeof *b->own_mantissas);
    b->own_capacity = capacity;
    if (own_t)
        b->timestamps = b->own_timestamps;
    if (own_m)
        b->mantissas = b->own_mantissas;
}

void block_make_own(struct block *b, size_t extra)
{
    size_t n = b->header.rows_count;
    block_reserve_own(b, n + extra);
    if (b->timestamps != b->own_timestamps)
        memcpy(b->own_timestamps, b->timestamps, n * sizeof *b->own_timestamps);
    if (b->mantissas != b->own_mantissas)
        memcpy(b->own_mantissas, b->mantissas, n * sizeof *b->own_mantissas);
    b->timestamps = b->own_timestamps;
    b->mantissas = b->own_mantissas;
}

static int check_timestamps(const int64_t *a, const struct block_header *bh, struct error *reterr)
{
    size_t n = bh->rows_count;
    if (!int_scan_is_ordered(a, n))
        return error_set(reterr, ERR_CORRUPT, "timestamps of a block aren't in order");
    if (a[0] != bh->min_timestamp || a[n - 1] != bh->max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "timestamps of a block don't end where its header says");
    return 0;
}

/* lib/encoding/encoding.go:EnsureNonDecreasingSequence. */
static void repair_lossy_timestamps(int64_t *a, const struct block_header *bh)
{
    size_t n = bh->rows_count;
    int64_t max = bh->max_timestamp;
    int64_t last = bh->min_timestamp;
    for (size_t i = 0; i < n; i++) {
        if (a[i] < last || i == 0)
            a[i] = last;
        if (a[i] > max)
            a[i] = max;
        last = a[i];
    }
    a[n - 1] = max;
}

static int decode_arrays(int64_t *timestamps, int64_t *mantissas, const struct block *b, struct error *reterr)
{
    const struct block_header *bh = &b->header;
    int r = int_array_decode(timestamps, bh->rows_count, bh->timestamps_type, bh->min_timestamp,
                             b->timestamps_data, bh->timestamps_size, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "timestamps");
    if (bh->precision_bits < 64)
        repair_lossy_timestamps(timestamps, bh);
    else
        r = check_timestamps(timestamps, bh, reterr);
    if (r < 0)
        return r;
    r = int_array_decode(mantissas, bh->rows_count, bh->values_type, bh->first_value, b->values_data,
                         bh->values_size, reterr);
    return r < 0 ? error_prefix(reterr, r, "values") : 0;
}

int block_decode_into(const struct block *b, int64_t *timestamps, int64_t *mantissas, struct error *reterr)
{
    int r = decode_arrays(timestamps, mantissas, b, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "block of series %llu at offset %llu of values.bin",
                            (unsigned long long)b->header.tsid.metric_id,
                            (unsigned long long)b->header.values_offset);
    return 0;
}

int block_decode(struct block *b, struct error *reterr)
{
    if (b->decoded)
        return 0;
    b->timestamps = NULL;
    b->mantissas = NULL;
    block_reserve_own(b, b->header.rows_count);
    int r = block_decode_into(b, b->own_timestamps, b->own_mantissas, reterr);
    if (r < 0)
        return r;
    b->timestamps = b->own_timestamps;
    b->mantissas = b->own_mantissas;
    b->decoded = true;
    return 0;
}

void block_swap(struct block *a, struct block *b)
{
    struct block tmp = *a;
    *a = *b;
    *b = tmp;
}
