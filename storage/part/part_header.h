/*
 * What a data part holds in all: metadata.json of the current release, or the name of the part in directories
 * of older ones (format 2.4, 3.1; lib/storage/part_header.go).
 */
#ifndef VARVE_STORAGE_PART_PART_HEADER_H
#define VARVE_STORAGE_PART_PART_HEADER_H

#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

struct part_header {
    uint64_t rows_count;
    uint64_t blocks_count;
    int64_t min_timestamp; /* ms */
    int64_t max_timestamp;
    int64_t min_dedup_interval; /* ms */
};

/* Appends the text of metadata.json: VictoriaMetrics' key order, no spaces, no newline. */
void part_header_write_json(struct buffer *dst, const struct part_header *ph);

/* Reads the text of metadata.json: keys in any order, white space and unknown keys allowed. ERR_CORRUPT if it
 * isn't JSON, if counts or times are missing, or don't make sense (blocks 0, blocks > rows, min > max). */
int part_header_read_json(struct part_header *ret, const void *text, size_t size, struct error *reterr);

/* Reads an old name, ROWS_BLOCKS_MIN_MAX_SUFFIX with times as YYYYMMDDhhmmss.mmm; ERR_CORRUPT if it isn't
 * one. */
int part_header_read_name(struct part_header *ret, const char *name, struct error *reterr);

/* The header of the part in directory dir: dir/metadata.json, or if there's none, dir's own name. */
int part_header_read(struct part_header *ret, const char *dir, struct error *reterr);

#endif
