#include "storage/part/file_part_verify.h"

#include "storage/block/block_stream_reader.h"
#include "storage/part/part_sums.h"

static void count_block(struct file_part_stats *stats, const struct block_header *bh,
                        const struct block_header *prev)
{
    stats->blocks_count++;
    stats->rows_count += bh->rows_count;
    stats->series_count += !prev || prev->tsid.metric_id != bh->tsid.metric_id;
    stats->shared_timestamps_count +=
        prev && bh->timestamps_size && bh->timestamps_offset == prev->timestamps_offset;
    stats->timestamps_types[bh->timestamps_type]++;
    stats->values_types[bh->values_type]++;
    if (bh->rows_count > stats->rows_max)
        stats->rows_max = bh->rows_count;
}

int file_part_verify(const struct file_part *part, struct file_part_stats *ret, struct error *reterr)
{
    struct file_part_stats stats = {.index_blocks_count = part->rows_count};
    int r = part->mapped ? part_sums_verify(part->path, reterr) : 0;
    if (r < 0)
        return r;
    stats.has_sums = r > 0;
    struct block_stream_reader bsr;
    struct block_header prev;
    block_stream_reader_init_from_file_part(&bsr, part);
    while ((r = block_stream_reader_next(&bsr, reterr)) > 0) {
        r = block_decode(&bsr.block, reterr);
        if (r < 0) {
            error_prefix(reterr, r, "%s: damaged part", part->path);
            break;
        }
        count_block(&stats, &bsr.block.header, stats.blocks_count ? &prev : NULL);
        prev = bsr.block.header;
    }
    block_stream_reader_release(&bsr);
    if (r == 0 && ret)
        *ret = stats;
    return r;
}

int file_part_each_header(const struct file_part *part, int (*fn)(const struct block_header *bh, void *arg),
                          void *arg, struct error *reterr)
{
    struct block_stream_reader bsr;
    block_stream_reader_init_from_file_part(&bsr, part);
    int r;
    while ((r = block_stream_reader_next(&bsr, reterr)) > 0) {
        r = fn(&bsr.block.header, arg);
        if (r)
            break;
    }
    block_stream_reader_release(&bsr);
    return r;
}
