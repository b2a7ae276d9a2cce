/*
 * A whole part from bytes, opened, verified, searched, and walked as a merge does. The input, big endian:
 *   u8 flags, u16 size of timestamps.bin, u16 of values.bin, u8 number of index blocks; per index block u8
 * headers; u64 rows, u64 blocks, i64 min, i64 max of the part; timestamps, values; per index block its
 * metaindex row and its raw headers. They are compressed here, and unless flag 1 is set the parts fit
 * together where it's about places and counts: else the fuzzer would hardly ever get past the first check.
 */
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/block/block_stream_reader.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/part/file_part_verify.h"
#include "storage/part/part_search.h"

#define FIXED_BYTES 38

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct input {
    const uint8_t *p, *end;
};

static const uint8_t *take(struct input *in, size_t n)
{
    if ((size_t)(in->end - in->p) < n)
        return NULL;
    const uint8_t *p = in->p;
    in->p += n;
    return p;
}

struct image {
    struct part_header header;
    struct buffer index, metaindex_raw, metaindex;
    struct fs_map timestamps, values;
};

static bool add_index_block(struct image *im, struct input *in, uint8_t headers, bool as_is)
{
    const uint8_t *row = take(in, METAINDEX_ROW_SIZE);
    const uint8_t *raw = row ? take(in, (size_t)headers * BLOCK_HEADER_SIZE) : NULL;
    if (!raw)
        return false;
    uint64_t offset = im->index.len;
    zstd_compress(&im->index, raw, (size_t)headers * BLOCK_HEADER_SIZE, 1);
    uint8_t out[METAINDEX_ROW_SIZE];
    memcpy(out, row, sizeof out);
    put_be64(out + 44, offset);
    put_be32(out + 52, (uint32_t)(im->index.len - offset));
    if (!as_is) {
        memcpy(out, raw, headers ? TSID_SIZE : 0);
        put_be32(out + 24, headers);
        for (unsigned i = 0; i < headers; i++)
            im->header.rows_count += get_be32(raw + i * BLOCK_HEADER_SIZE + 72);
        im->header.blocks_count += headers;
    }
    buffer_append(&im->metaindex_raw, out, sizeof out);
    return true;
}

static bool build(struct image *im, struct input *in)
{
    const uint8_t *fixed = take(in, FIXED_BYTES);
    if (!fixed)
        return false;
    bool as_is = fixed[0] & 1;
    uint8_t blocks = fixed[5] % 8;
    im->timestamps.size = get_be16(fixed + 1);
    im->values.size = get_be16(fixed + 3);
    im->header.min_timestamp = (int64_t)get_be64(fixed + 22);
    im->header.max_timestamp = (int64_t)get_be64(fixed + 30);
    if (as_is) {
        im->header.rows_count = get_be64(fixed + 6);
        im->header.blocks_count = get_be64(fixed + 14);
    }
    const uint8_t *headers = take(in, blocks);
    im->timestamps.data = headers ? take(in, im->timestamps.size) : NULL;
    im->values.data = im->timestamps.data ? take(in, im->values.size) : NULL;
    if (!im->values.data)
        return false;
    for (uint8_t b = 0; b < blocks; b++)
        if (!add_index_block(im, in, headers[b], as_is))
            return false;
    zstd_compress(&im->metaindex, im->metaindex_raw.data ? im->metaindex_raw.data : (const uint8_t *)"",
                  im->metaindex_raw.len, 1);
    return true;
}

static int first_tsids(const struct block_header *bh, void *arg)
{
    struct tsid *tsids = arg;
    memmove(tsids + 1, tsids, sizeof *tsids);
    tsids[0] = bh->tsid;
    return 0;
}

static void search(const struct file_part *part, const struct tsid *tsids, size_t n, int64_t min, int64_t max)
{
    struct error err;
    struct part_search ps;
    part_search_init_file(&ps, part, tsids, n, min, max);
    while (part_search_next(&ps, &err) > 0)
        for (size_t i = 0; i < ps.rows_count; i++)
            if (ps.timestamps[i] < min || ps.timestamps[i] > max)
                abort();
    part_search_release(&ps);
}

static void exercise(const struct file_part *part)
{
    struct error err;
    struct file_part_stats stats;
    struct tsid tsids[2] = {{0}};
    if (file_part_verify(part, &stats, &err) == 0 && stats.rows_count != part->header.rows_count)
        abort();
    (void)file_part_each_header(part, first_tsids, tsids, &err);
    if (tsid_compare(&tsids[0], &tsids[1]) < 0)
        tsids[1] = tsids[0];
    search(part, NULL, 0, INT64_MIN, INT64_MAX);
    search(part, tsids, 1, part->header.min_timestamp, part->header.max_timestamp);
    search(part, &tsids[1], 1, part->header.min_timestamp + (part->header.min_timestamp < INT64_MAX),
           INT64_MAX);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct image im = {0};
    struct input in = {data, data + size};
    struct file_part *part;
    struct error err;
    if (build(&im, &in)) {
        struct fs_map index = {im.index.data, im.index.len},
                      metaindex = {im.metaindex.data, im.metaindex.len};
        if (file_part_open_bytes(&part, "part", &im.header, im.timestamps, im.values, index, metaindex,
                                 &err) == 0) {
            exercise(part);
            file_part_free(part);
        }
    }
    buffer_release(&im.index);
    buffer_release(&im.metaindex_raw);
    buffer_release(&im.metaindex);
    return 0;
}
