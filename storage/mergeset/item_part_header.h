/*
 * metadata.json of an index part (format 7.1; VictoriaMetrics lib/mergeset/part_header.go):
 *
 *   {"ItemsCount":14,"BlocksCount":1,"FirstItem":"<hex>","LastItem":"<hex>"}
 *
 * Written in exactly this form; read with any white space and order of keys, unknown keys skipped.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_PART_HEADER_H
#define VARVE_STORAGE_MERGESET_ITEM_PART_HEADER_H

#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/mergeset/items.h"

struct item_part_header {
    uint64_t items_count;
    uint64_t blocks_count;
    struct buffer first_item;
    struct buffer last_item;
};

void item_part_header_release(struct item_part_header *ph);
/* Appends the JSON text. */
void item_part_header_print(const struct item_part_header *ph, struct buffer *dst);
/* Fills a zeroed struct. ERR_CORRUPT, without the file's name, if the text breaks the format or
 * the counts are impossible (both > 0, blocks <= items, first <= last). Nothing to release then. */
int item_part_header_parse(struct item_part_header *ph, const char *text, size_t size, struct error *reterr);

#endif
