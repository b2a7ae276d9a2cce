/*
 * Writes a part: timestamps.bin, values.bin and index.bin in step, then metaindex.bin, metadata.json and
 * varve.sums (format 3.2-3.6; lib/storage/block_stream_writer.go). One thread at a time.
 *
 * The directory is the caller's business once it's finished: it isn't renamed or listed here. After a
 * failure, or when it's no longer wanted: abandon, then fs_remove_tree.
 */
#ifndef VARVE_STORAGE_BLOCK_BLOCK_STREAM_WRITER_H
#define VARVE_STORAGE_BLOCK_BLOCK_STREAM_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/block/block.h"
#include "storage/block/metaindex_row.h"
#include "storage/encoding/int_array.h"
#include "storage/fs/fs.h"
#include "storage/part/part_header.h"

struct block_stream_writer {
    const struct fs *fs;
    char *dir;
    int level; /* of index.bin and metaindex.bin */
    struct fs_file timestamps, values, index;
    struct buffer timestamps_data, values_data, compressed; /* scratch of the block being written */
    struct int_array_effort timestamps_effort, values_effort;
    struct buffer index_block;     /* raw headers of the open index block */
    struct metaindex_row row;      /* of the open index block */
    struct buffer metaindex;       /* raw rows */
    struct buffer last_timestamps; /* bytes of the timestamps block stored last; equal ones are shared */
    uint64_t last_timestamps_offset;
    struct tsid last_tsid;
    struct part_header header; /* of what was written so far */
    struct block deduped;      /* scratch: what is left of the block being written */
    uint64_t rows_deduped;     /* left out so far */
};

/* Creates the directory dir and the files in it. rows and blocks are expected counts (blocks 0: unknown);
 * they choose the compression of the index (format 3.6). The struct needs abandon on failure of any later
 * call, not of this. */
int block_stream_writer_init_from_file_part(struct block_stream_writer *bsw, const struct fs *fs,
                                            const char *dir, uint64_t rows, uint64_t blocks,
                                            struct error *reterr);

/* Of the rows of each block only one in each such interval is written (dedup.h); the part's metadata says so.
 * Before the first block. 0: all rows. */
void block_stream_writer_set_dedup(struct block_stream_writer *bsw, int64_t interval_ms);

/* The part will be large, and isn't read soon: it shall not fill the page cache. After init. */
void block_stream_writer_set_streamed(struct block_stream_writer *bsw);

/* Adds a block: an encoded one with its bytes as they are, else it's encoded here (and b->header filled).
 * Blocks must come ordered by TSID: anything else is ERR_INVALID. Those of one series come by min timestamp,
 * but for the rows that deduplication or retention leaves out. Equal neighbouring timestamps are stored once.
 * The block's own bytes aren't kept. */
int block_stream_writer_write_block(struct block_stream_writer *bsw, struct block *b, struct error *reterr);

/* Writes the rest, syncs every file and the directory, and releases the struct, also on failure. *ret_ph says
 * what the part holds, *ret_size (may be NULL) the bytes of its four .bin files. A part without rows is
 * ERR_INVALID: abandon it instead. */
int block_stream_writer_finish(struct block_stream_writer *bsw, struct part_header *ret_ph,
                               uint64_t *ret_size, struct error *reterr);

/* Closes and releases; what was written stays in the directory. Fine on a zeroed or finished struct. */
void block_stream_writer_abandon(struct block_stream_writer *bsw);

#endif
