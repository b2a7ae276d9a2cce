#include "storage/block/block_stream_reader.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/part/file_part.h"
#include "storage/part/inmemory_part.h"

#define BEHIND_BYTES (UINT64_C(4) << 20)

void block_stream_reader_init_from_file_part(struct block_stream_reader *bsr, const struct file_part *part)
{
    *bsr = (struct block_stream_reader){.part = part};
}

void block_stream_reader_init_from_inmemory_part(struct block_stream_reader *bsr,
                                                 const struct inmemory_part *mp)
{
    *bsr = (struct block_stream_reader){.inmemory_part = mp};
}

static void set_sequential(const struct file_part *part, bool is_sequential)
{
    fs_map_sequential(&part->timestamps, is_sequential);
    fs_map_sequential(&part->values, is_sequential);
}

void block_stream_reader_set_streamed(struct block_stream_reader *bsr)
{
    bsr->is_streamed = true;
    set_sequential(bsr->part, true);
}

static void let_go(const struct fs_map *m, uint64_t *behind, uint64_t offset)
{
    if (offset - *behind < BEHIND_BYTES)
        return;
    fs_map_behind(m, *behind, offset);
    *behind = offset;
}

void block_stream_reader_release(struct block_stream_reader *bsr)
{
    if (bsr->is_streamed)
        set_sequential(bsr->part, false);
    block_release(&bsr->block);
    buffer_release(&bsr->scratch);
    free(bsr->headers);
    *bsr = (struct block_stream_reader){0};
}

static int read_index_block(struct block_stream_reader *bsr, struct error *reterr)
{
    const struct file_part *part = bsr->part;
    const struct metaindex_row *mr = &part->rows[bsr->next_row++];
    while (bsr->headers_capacity < mr->headers_count)
        GROW(bsr->headers, bsr->headers_capacity, bsr->headers_capacity);
    bsr->headers_count = 0;
    bsr->next_header = 0;
    int r = index_block_decode(bsr->headers, mr, part->index.data + mr->index_offset, &bsr->scratch, reterr);
    if (r == 0)
        bsr->headers_count = mr->headers_count;
    return r;
}

static int check_timestamps_offset(struct block_stream_reader *bsr, const struct block_header *bh,
                                   struct error *reterr)
{
    if (bsr->shared_size && bh->timestamps_offset == bsr->shared_offset) {
        if (bh->timestamps_size != bsr->shared_size)
            return error_set(reterr, ERR_CORRUPT, "shared timestamps of %u bytes, want %u",
                             bh->timestamps_size, bsr->shared_size);
        return 0;
    }
    if (bh->timestamps_offset != bsr->timestamps_offset)
        return error_set(reterr, ERR_CORRUPT, "timestamps at offset %llu, want %llu",
                         (unsigned long long)bh->timestamps_offset,
                         (unsigned long long)bsr->timestamps_offset);
    bsr->shared_offset = bh->timestamps_offset;
    bsr->shared_size = bh->timestamps_size;
    bsr->timestamps_offset += bh->timestamps_size;
    return 0;
}

static int check_block(struct block_stream_reader *bsr, const struct block_header *bh, struct error *reterr)
{
    const struct part_header *ph = &bsr->part->header;
    int r = bsr->has_last ? block_header_check_order(&bsr->last, bh, reterr) : 0;
    if (r == 0)
        r = check_timestamps_offset(bsr, bh, reterr);
    if (r < 0)
        return r;
    if (bh->values_offset != bsr->values_offset)
        return error_set(reterr, ERR_CORRUPT, "values at offset %llu, want %llu",
                         (unsigned long long)bh->values_offset, (unsigned long long)bsr->values_offset);
    if (bh->min_timestamp < ph->min_timestamp || bh->max_timestamp > ph->max_timestamp)
        return error_set(reterr, ERR_CORRUPT, "block with times outside of the part's");
    bsr->values_offset += bh->values_size;
    bsr->blocks_count++;
    bsr->rows_count += bh->rows_count;
    if (bsr->blocks_count > ph->blocks_count || bsr->rows_count > ph->rows_count)
        return error_set(reterr, ERR_CORRUPT, "more than the %llu blocks and %llu rows promised",
                         (unsigned long long)ph->blocks_count, (unsigned long long)ph->rows_count);
    bsr->last = *bh;
    bsr->has_last = true;
    return 0;
}

static int check_end(const struct block_stream_reader *bsr, struct error *reterr)
{
    const struct file_part *part = bsr->part;
    if (bsr->blocks_count != part->header.blocks_count || bsr->rows_count != part->header.rows_count)
        return error_set(reterr, ERR_CORRUPT, "%llu blocks and %llu rows, but %llu and %llu promised",
                         (unsigned long long)bsr->blocks_count, (unsigned long long)bsr->rows_count,
                         (unsigned long long)part->header.blocks_count,
                         (unsigned long long)part->header.rows_count);
    if (bsr->timestamps_offset != part->timestamps.size || bsr->values_offset != part->values.size)
        return error_set(reterr, ERR_CORRUPT, "timestamps.bin or values.bin has more bytes than its blocks");
    return 0;
}

/* 1, 0 at the end, or an error that doesn't name the part yet. */
static int next_in_file(struct block_stream_reader *bsr, struct error *reterr)
{
    int r = 0;
    if (bsr->next_header == bsr->headers_count) {
        if (bsr->next_row == bsr->part->rows_count)
            return check_end(bsr, reterr);
        r = read_index_block(bsr, reterr);
        if (r < 0)
            return r;
    }
    if (bsr->is_streamed) {
        let_go(&bsr->part->timestamps, &bsr->timestamps_behind, bsr->shared_offset);
        let_go(&bsr->part->values, &bsr->values_behind, bsr->last.values_offset);
    }
    const struct block_header *bh = &bsr->headers[bsr->next_header++];
    r = check_block(bsr, bh, reterr);
    if (r == 0)
        r = file_part_block(bsr->part, bh, &bsr->block, reterr);
    return r < 0 ? r : 1;
}

int block_stream_reader_next(struct block_stream_reader *bsr, struct error *reterr)
{
    const struct inmemory_part *mp = bsr->inmemory_part;
    if (mp) {
        if (bsr->next_row == mp->blocks_count)
            return 0;
        const struct inmemory_block *mb = &mp->blocks[bsr->next_row++];
        block_set_decoded(&bsr->block, &mb->tsid, mp->timestamps + mb->first_row,
                          mp->mantissas + mb->first_row, mb->rows_count, mb->scale);
        return 1;
    }
    int r = next_in_file(bsr, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s: damaged part", bsr->part->path) : r;
}
