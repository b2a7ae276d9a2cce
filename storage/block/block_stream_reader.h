/*
 * Walks over all blocks of a part in their order, and checks as it goes: order of TSIDs and times, offsets
 * without gaps, counts, ranges (format 3.5; lib/storage/block_stream_reader.go). One thread at a time; the
 * part must outlive the reader and the blocks read.
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_STREAM_READER_H
#define VARVE_STORAGE_BLOCK_BLOCK_STREAM_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/block/block.h"
#include "storage/block/block_header.h"

struct file_part;
struct inmemory_part;

struct block_stream_reader {
    struct block block; /* the current one, still encoded if it comes from a file */
    const struct file_part *part;
    const struct inmemory_part *inmemory_part;
    size_t next_row;              /* metaindex row to read next; of an in-memory part, its next block */
    struct block_header *headers; /* of the current index block */
    size_t headers_count, headers_capacity, next_header;
    struct buffer scratch;
    size_t merge_order; /* block_merge's: breaks ties between readers */
    /* What has been seen so far, to check against. */
    struct block_header last;
    bool has_last;
    uint64_t timestamps_offset, values_offset; /* where the next stored bytes must begin */
    uint64_t shared_offset;                    /* of the timestamps block stored last */
    uint32_t shared_size;
    uint64_t rows_count, blocks_count;
    bool is_streamed;
    uint64_t timestamps_behind, values_behind; /* bytes let go of */
};

void block_stream_reader_init_from_file_part(struct block_stream_reader *bsr, const struct file_part *part);
/* The part is large: it's read ahead, and what has been read is the first to leave the page cache. After init
 * from a file part. */
void block_stream_reader_set_streamed(struct block_stream_reader *bsr);
void block_stream_reader_init_from_inmemory_part(struct block_stream_reader *bsr,
                                                 const struct inmemory_part *mp);

/* 1: bsr->block is the next block; the one before is gone, unless block_swap took it. 0: the end, and
 * everything that the part's header promises was seen. ERR_CORRUPT names the part. */
int block_stream_reader_next(struct block_stream_reader *bsr, struct error *reterr);

void block_stream_reader_release(struct block_stream_reader *bsr);

#endif
