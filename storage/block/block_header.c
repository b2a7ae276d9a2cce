#include "storage/block/block_header.h"

#include "src/base/endian.h"
#include "storage/encoding/int_array.h"
#include "storage/encoding/varint.h"

void block_header_put(uint8_t *dst, const struct block_header *bh)
{
    tsid_put(dst, &bh->tsid);
    put_be64(dst + 24, zigzag64(bh->min_timestamp));
    put_be64(dst + 32, zigzag64(bh->max_timestamp));
    put_be64(dst + 40, zigzag64(bh->first_value));
    put_be64(dst + 48, bh->timestamps_offset);
    put_be64(dst + 56, bh->values_offset);
    put_be32(dst + 64, bh->timestamps_size);
    put_be32(dst + 68, bh->values_size);
    put_be32(dst + 72, bh->rows_count);
    put_be16(dst + 76, zigzag16(bh->scale));
    dst[78] = bh->timestamps_type;
    dst[79] = bh->values_type;
    dst[80] = bh->precision_bits;
}

static bool needs_two_rows(uint8_t type)
{
    return type == INT_ARRAY_ZSTD_NEAREST_DELTA2 || type == INT_ARRAY_NEAREST_DELTA2;
}

int block_header_get(struct block_header *ret, const uint8_t *src, struct error *reterr)
{
    struct block_header bh;
    tsid_get(&bh.tsid, src);
    bh.min_timestamp = unzigzag64(get_be64(src + 24));
    bh.max_timestamp = unzigzag64(get_be64(src + 32));
    bh.first_value = unzigzag64(get_be64(src + 40));
    bh.timestamps_offset = get_be64(src + 48);
    bh.values_offset = get_be64(src + 56);
    bh.timestamps_size = get_be32(src + 64);
    bh.values_size = get_be32(src + 68);
    bh.rows_count = get_be32(src + 72);
    bh.scale = unzigzag16(get_be16(src + 76));
    bh.timestamps_type = src[78];
    bh.values_type = src[79];
    bh.precision_bits = src[80];

    if (bh.rows_count < 1 || bh.rows_count > BLOCK_ROWS_READ_MAX)
        return error_set(reterr, ERR_CORRUPT, "block header with %u rows", bh.rows_count);
    if (bh.timestamps_type > INT_ARRAY_NEAREST_DELTA || bh.values_type > INT_ARRAY_NEAREST_DELTA)
        return error_set(reterr, ERR_CORRUPT, "block header with encodings %u and %u", bh.timestamps_type,
                         bh.values_type);
    if (bh.rows_count < 2 && (needs_two_rows(bh.timestamps_type) || needs_two_rows(bh.values_type)))
        return error_set(reterr, ERR_CORRUPT,
                         "block header with an encoding that needs two rows, for one row");
    if (bh.precision_bits < 1 || bh.precision_bits > 64)
        return error_set(reterr, ERR_CORRUPT, "block header with %u precision bits", bh.precision_bits);
    if (bh.timestamps_size > BLOCK_DATA_READ_MAX || bh.values_size > BLOCK_DATA_READ_MAX)
        return error_set(reterr, ERR_CORRUPT, "block header with %u bytes of timestamps and %u of values",
                         bh.timestamps_size, bh.values_size);
    if (bh.min_timestamp > bh.max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "block header with times from %lld to %lld",
                         (long long)bh.min_timestamp, (long long)bh.max_timestamp);
    *ret = bh;
    return 0;
}

int block_header_check_order(const struct block_header *prev, const struct block_header *next,
                             struct error *reterr)
{
    int order = tsid_compare(&prev->tsid, &next->tsid);
    if (order > 0)
        return error_set(reterr, ERR_CORRUPT, "blocks out of order: series %llu after %llu",
                         (unsigned long long)next->tsid.metric_id, (unsigned long long)prev->tsid.metric_id);
    if (order < 0 && prev->tsid.metric_id == next->tsid.metric_id)
        return error_set(reterr, ERR_CORRUPT, "series %llu has two TSIDs",
                         (unsigned long long)next->tsid.metric_id);
    return 0;
}
