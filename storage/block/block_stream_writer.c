#include "storage/block/block_stream_writer.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/block/block_header.h"
#include "storage/block/dedup.h"
#include "storage/encoding/int_array.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/part/part_files.h"
#include "storage/part/part_sums.h"

/* Format 3.6. */
static int index_level(uint64_t rows, uint64_t blocks)
{
    double per_block = blocks ? (double)rows / (double)blocks : 0;
    return per_block <= 10     ? -5
           : per_block <= 50   ? -2
           : per_block <= 200  ? -1
           : per_block <= 500  ? 1
           : per_block <= 1000 ? 2
                               : 3;
}

static int create_file(struct fs_file *f, const struct block_stream_writer *bsw, const char *name,
                       struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", bsw->dir, name);
    return fs_file_create(f, bsw->fs, path, reterr);
}

int block_stream_writer_init_from_file_part(struct block_stream_writer *bsw, const struct fs *fs,
                                            const char *dir, uint64_t rows, uint64_t blocks,
                                            struct error *reterr)
{
    *bsw = (struct block_stream_writer){.fs = fs, .dir = xstrdup(dir), .level = index_level(rows, blocks)};
    int r = fs->ops->mkdir(fs, dir, reterr);
    if (r == 0)
        r = create_file(&bsw->timestamps, bsw, PART_TIMESTAMPS_FILE, reterr);
    if (r == 0)
        r = create_file(&bsw->values, bsw, PART_VALUES_FILE, reterr);
    if (r == 0)
        r = create_file(&bsw->index, bsw, PART_INDEX_FILE, reterr);
    if (r < 0)
        block_stream_writer_abandon(bsw);
    return r;
}

void block_stream_writer_abandon(struct block_stream_writer *bsw)
{
    fs_file_abandon(&bsw->timestamps);
    fs_file_abandon(&bsw->values);
    fs_file_abandon(&bsw->index);
    buffer_release(&bsw->timestamps_data);
    buffer_release(&bsw->values_data);
    buffer_release(&bsw->compressed);
    buffer_release(&bsw->index_block);
    buffer_release(&bsw->metaindex);
    buffer_release(&bsw->last_timestamps);
    block_release(&bsw->deduped);
    free(bsw->dir);
    *bsw = (struct block_stream_writer){0};
}

static int check_block(const struct block_stream_writer *bsw, const struct block_header *bh,
                       struct error *reterr)
{
    if (bh->rows_count < 1 || bh->rows_count > BLOCK_ROWS_READ_MAX)
        return error_set(reterr, ERR_INVALID, "%s: a block of %u rows can't be written", bsw->dir,
                         bh->rows_count);
    if (!bsw->header.blocks_count)
        return 0;
    if (tsid_compare(&bsw->last_tsid, &bh->tsid) > 0)
        return error_set(reterr, ERR_INVALID, "%s: blocks must be written in order (series %llu after %llu)",
                         bsw->dir, (unsigned long long)bh->tsid.metric_id,
                         (unsigned long long)bsw->last_tsid.metric_id);
    return 0;
}

static void encode_block(struct block_stream_writer *bsw, struct block *b)
{
    struct block_header *bh = &b->header;
    int64_t first_timestamp;
    if (bh->tsid.metric_group_id != bsw->last_tsid.metric_group_id) {
        int_array_effort_restart(&bsw->values_effort);
        int_array_effort_restart(&bsw->timestamps_effort);
    }
    buffer_clear(&bsw->values_data);
    int_array_encode_lightly(&bsw->values_data, b->mantissas, bh->rows_count, &bsw->values_effort,
                             &bh->values_type, &bh->first_value);
    buffer_clear(&bsw->timestamps_data);
    int_array_encode_lightly(&bsw->timestamps_data, b->timestamps, bh->rows_count, &bsw->timestamps_effort,
                             &bh->timestamps_type, &first_timestamp);
    bh->timestamps_size = (uint32_t)bsw->timestamps_data.len;
    bh->values_size = (uint32_t)bsw->values_data.len;
}

/* Closes the open index block. */
static int flush_index_block(struct block_stream_writer *bsw, struct error *reterr)
{
    if (!bsw->index_block.len)
        return 0;
    buffer_clear(&bsw->compressed);
    zstd_compress(&bsw->compressed, bsw->index_block.data, bsw->index_block.len, bsw->level);
    bsw->row.index_offset = bsw->index.size;
    bsw->row.index_size = (uint32_t)bsw->compressed.len;
    metaindex_row_put(buffer_reserve(&bsw->metaindex, METAINDEX_ROW_SIZE), &bsw->row);
    bsw->metaindex.len += METAINDEX_ROW_SIZE;
    buffer_clear(&bsw->index_block);
    bsw->row = (struct metaindex_row){0};
    return fs_file_append(&bsw->index, bsw->compressed.data, bsw->compressed.len, reterr);
}

static void widen(int64_t *min, int64_t *max, bool first, const struct block_header *bh)
{
    if (first || bh->min_timestamp < *min)
        *min = bh->min_timestamp;
    if (first || bh->max_timestamp > *max)
        *max = bh->max_timestamp;
}

static int add_header(struct block_stream_writer *bsw, const struct block_header *bh, struct error *reterr)
{
    if (bsw->index_block.len + BLOCK_HEADER_SIZE > BLOCK_BYTES_MAX) {
        int r = flush_index_block(bsw, reterr);
        if (r < 0)
            return r;
    }
    struct metaindex_row *mr = &bsw->row;
    if (!mr->headers_count)
        mr->tsid = bh->tsid;
    widen(&mr->min_timestamp, &mr->max_timestamp, mr->headers_count == 0, bh);
    mr->headers_count++;
    block_header_put(buffer_reserve(&bsw->index_block, BLOCK_HEADER_SIZE), bh);
    bsw->index_block.len += BLOCK_HEADER_SIZE;

    struct part_header *ph = &bsw->header;
    widen(&ph->min_timestamp, &ph->max_timestamp, ph->blocks_count == 0, bh);
    ph->blocks_count++;
    ph->rows_count += bh->rows_count;
    bsw->last_tsid = bh->tsid;
    return 0;
}

void block_stream_writer_set_streamed(struct block_stream_writer *bsw)
{
    bsw->timestamps.is_streamed = bsw->values.is_streamed = bsw->index.is_streamed = true;
}

void block_stream_writer_set_dedup(struct block_stream_writer *bsw, int64_t interval_ms)
{
    bsw->header.min_dedup_interval = interval_ms;
}

/* Makes *b a block of the rows that stay, if some don't. */
static int dedup_block(struct block_stream_writer *bsw, struct block **b, struct error *reterr)
{
    int64_t interval = bsw->header.min_dedup_interval;
    const struct block_header *bh = &(*b)->header;
    size_t n = bh->rows_count;
    if (n < 2)
        return 0;
    int r = block_decode(*b, reterr);
    if (r < 0 || !dedup_is_needed((*b)->timestamps, n, interval))
        return r;
    struct block *kept = &bsw->deduped;
    block_reserve_own(kept, n);
    memcpy(kept->own_timestamps, (*b)->timestamps, n * sizeof *kept->own_timestamps);
    memcpy(kept->own_mantissas, (*b)->mantissas, n * sizeof *kept->own_mantissas);
    size_t left = dedup_mantissas(kept->own_timestamps, kept->own_mantissas, n, interval);
    block_set_decoded(kept, &bh->tsid, kept->own_timestamps, kept->own_mantissas, left, bh->scale);
    kept->header.precision_bits = bh->precision_bits;
    bsw->rows_deduped += n - left;
    *b = kept;
    return 0;
}

int block_stream_writer_write_block(struct block_stream_writer *bsw, struct block *b, struct error *reterr)
{
    int r = check_block(bsw, &b->header, reterr);
    if (r == 0 && bsw->header.min_dedup_interval)
        r = dedup_block(bsw, &b, reterr);
    if (r < 0)
        return r;
    const uint8_t *timestamps_data = b->timestamps_data, *values_data = b->values_data;
    if (!b->encoded) {
        encode_block(bsw, b);
        timestamps_data = bsw->timestamps_data.data;
        values_data = bsw->values_data.data;
    }

    /* The header on disk has this part's offsets; the block keeps those of where it came from. */
    struct block_header bh = b->header;
    bh.values_offset = bsw->values.size;
    bool shared = bh.timestamps_size && bh.timestamps_size == bsw->last_timestamps.len &&
                  memcmp(timestamps_data, bsw->last_timestamps.data, bh.timestamps_size) == 0;
    if (shared) {
        bh.timestamps_offset = bsw->last_timestamps_offset;
    } else {
        bh.timestamps_offset = bsw->timestamps.size;
        bsw->last_timestamps_offset = bh.timestamps_offset;
        buffer_clear(&bsw->last_timestamps);
        buffer_append(&bsw->last_timestamps, timestamps_data, bh.timestamps_size);
    }
    r = add_header(bsw, &bh, reterr);
    if (r == 0 && !shared && bh.timestamps_size)
        r = fs_file_append(&bsw->timestamps, timestamps_data, bh.timestamps_size, reterr);
    if (r == 0 && bh.values_size)
        r = fs_file_append(&bsw->values, values_data, bh.values_size, reterr);
    return r;
}

/* Finishes f, a file of the part, and notes its sum. */
static int finish_file(struct fs_file *f, const char *name, struct part_sums *sums, struct error *reterr)
{
    int r = fs_file_finish(f, reterr);
    if (r == 0)
        part_sums_add_file(sums, name, f);
    return r;
}

static int write_small_file(const struct block_stream_writer *bsw, const char *name,
                            const struct buffer *content, struct part_sums *sums, struct error *reterr)
{
    struct fs_file f = {0};
    int r = create_file(&f, bsw, name, reterr);
    if (r < 0)
        return r;
    r = fs_file_append(&f, content->data, content->len, reterr);
    if (r < 0) {
        fs_file_abandon(&f);
        return r;
    }
    return finish_file(&f, name, sums, reterr);
}

static int finish_files(struct block_stream_writer *bsw, struct part_sums *sums, uint64_t *ret_size,
                        struct error *reterr)
{
    int r = flush_index_block(bsw, reterr);
    if (r < 0)
        return r;
    buffer_clear(&bsw->compressed);
    zstd_compress(&bsw->compressed, bsw->metaindex.data, bsw->metaindex.len, bsw->level);
    uint64_t size = bsw->timestamps.size + bsw->values.size + bsw->index.size + bsw->compressed.len;
    r = finish_file(&bsw->timestamps, PART_TIMESTAMPS_FILE, sums, reterr);
    if (r == 0)
        r = finish_file(&bsw->values, PART_VALUES_FILE, sums, reterr);
    if (r == 0)
        r = finish_file(&bsw->index, PART_INDEX_FILE, sums, reterr);
    if (r == 0)
        r = write_small_file(bsw, PART_METAINDEX_FILE, &bsw->compressed, sums, reterr);
    if (r < 0)
        return r;
    buffer_clear(&bsw->compressed);
    part_header_write_json(&bsw->compressed, &bsw->header);
    r = write_small_file(bsw, PART_METADATA_FILE, &bsw->compressed, sums, reterr);
    if (r == 0)
        r = part_sums_write(sums, bsw->fs, bsw->dir, reterr);
    if (r == 0)
        r = bsw->fs->ops->sync_dir(bsw->fs, bsw->dir, reterr);
    if (r == 0)
        *ret_size = size;
    return r;
}

int block_stream_writer_finish(struct block_stream_writer *bsw, struct part_header *ret_ph,
                               uint64_t *ret_size, struct error *reterr)
{
    struct part_sums sums = {0};
    uint64_t size = 0;
    int r = bsw->header.rows_count
                ? finish_files(bsw, &sums, &size, reterr)
                : error_set(reterr, ERR_INVALID, "%s: a part without rows can't be written", bsw->dir);
    if (r == 0) {
        *ret_ph = bsw->header;
        if (ret_size)
            *ret_size = size;
    }
    part_sums_release(&sums);
    block_stream_writer_abandon(bsw);
    return r;
}
