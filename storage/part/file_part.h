/*
 * A part on disk, open for reading: its four files mapped, its metaindex in memory (lib/storage/part.go).
 * Immutable, so any number of threads may read it; who removes its files does so after file_part_free.
 *
 * Every byte is distrusted. Opening checks metadata.json, the metaindex and the sizes in varve.sums; the rest
 * is checked when it's read. (A file that is cut while it's mapped raises SIGBUS; that isn't covered.)
 */
#ifndef VARVE_STORAGE_PART_FILE_PART_H
#define VARVE_STORAGE_PART_FILE_PART_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/block.h"
#include "storage/block/metaindex_row.h"
#include "storage/fs/fs.h"
#include "storage/part/part_header.h"

struct file_part {
    char *path; /* the directory */
    struct part_header header;
    struct fs_map timestamps, values, index;
    struct metaindex_row *rows;
    size_t rows_count;
    uint64_t size_bytes; /* of the four .bin files: what merging goes by */
    bool mapped;         /* else the bytes are borrowed */
};

/* Errors name the damaged file. */
int file_part_open(struct file_part **ret, const char *dir, struct error *reterr);

/* The same over bytes in memory, which are borrowed; path only goes into messages. For tests and fuzzing. */
int file_part_open_bytes(struct file_part **ret, const char *path, const struct part_header *header,
                         struct fs_map timestamps, struct fs_map values, struct fs_map index,
                         struct fs_map metaindex, struct error *reterr);

/* NULL is fine. */
void file_part_free(struct file_part *part);

/* Makes b the encoded block that header describes, borrowed from the part. ERR_CORRUPT if it lies outside the
 * files. */
int file_part_block(const struct file_part *part, const struct block_header *header, struct block *b,
                    struct error *reterr);

#endif
