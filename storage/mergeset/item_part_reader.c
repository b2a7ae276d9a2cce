#include "storage/mergeset/item_part_reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "storage/mergeset/item_part_internal.h"
#include "storage/part/part_sums.h"

void item_part_reader_init(struct item_part_reader *reader, const struct item_part *part)
{
    *reader = (struct item_part_reader){.part = part};
}

void item_part_reader_release(struct item_part_reader *reader)
{
    items_release(&reader->block);
    item_block_codec_release(&reader->codec);
    buffer_release(&reader->raw);
    buffer_release(&reader->last_item);
    free(reader->headers);
    *reader = (struct item_part_reader){0};
}

uint64_t item_part_reader_bytes(const struct item_part_reader *reader)
{
    return reader->items_offset + reader->lens_offset;
}

static struct item buffer_item(const struct buffer *b)
{
    return (struct item){b->data, b->len};
}

static int check_end(const struct item_part_reader *reader, struct error *reterr)
{
    const struct item_part *part = reader->part;
    if (reader->items_offset != part->items.len || reader->lens_offset != part->lens.len)
        return error_set(reterr, ERR_CORRUPT, "%s: %s or %s is longer than its blocks", part->dir,
                         ITEM_PART_ITEMS_FILE, ITEM_PART_LENS_FILE);
    if (reader->items_count != part->ph.items_count || reader->blocks_count != part->ph.blocks_count)
        return error_set(reterr, ERR_CORRUPT,
                         "%s/%s: counts %" PRIu64 " items, %" PRIu64 " blocks; the part has %" PRIu64
                         ", %" PRIu64,
                         part->dir, ITEM_PART_METADATA_FILE, part->ph.items_count, part->ph.blocks_count,
                         reader->items_count, reader->blocks_count);
    if (!item_equal(buffer_item(&reader->last_item), item_part_last_item(part)))
        return error_set(reterr, ERR_CORRUPT, "%s/%s: another last item than the part's", part->dir,
                         ITEM_PART_METADATA_FILE);
    return 0;
}

static int next_index_block(struct item_part_reader *reader, struct error *reterr)
{
    free(reader->headers);
    reader->headers = NULL;
    reader->headers_count = reader->header = 0;
    int r = item_part_read_index_block(reader->part, reader->row, &reader->raw, &reader->headers, reterr);
    if (r < 0)
        return r;
    reader->headers_count = reader->part->rows[reader->row++].headers_count;
    return 0;
}

int item_part_reader_next(struct item_part_reader *reader, struct error *reterr)
{
    const struct item_part *part = reader->part;
    if (reader->header == reader->headers_count) {
        if (reader->row == part->rows_count) {
            int r = check_end(reader, reterr);
            return r < 0 ? r : 0;
        }
        int r = next_index_block(reader, reterr);
        if (r < 0)
            return r;
    }
    const struct item_block_header *header = &reader->headers[reader->header++];
    if (header->items_offset != reader->items_offset || header->lens_offset != reader->lens_offset)
        return error_set(reterr, ERR_CORRUPT, "%s/%s: blocks don't follow each other", part->dir,
                         ITEM_PART_INDEX_FILE);
    int r = item_part_read_block(part, header, &reader->codec, &reader->block, reterr);
    if (r < 0)
        return r;
    if (reader->blocks_count > 0 && item_compare(buffer_item(&reader->last_item), header->first_item) > 0)
        return error_set(reterr, ERR_CORRUPT, "%s/%s: blocks out of order", part->dir, ITEM_PART_INDEX_FILE);
    struct item last = items_get(&reader->block, reader->block.count - 1);
    buffer_clear(&reader->last_item);
    buffer_append(&reader->last_item, last.data, last.len);
    reader->items_offset += header->items_size;
    reader->lens_offset += header->lens_size;
    reader->items_count += header->items_count;
    reader->blocks_count++;
    return 1;
}

int item_part_verify(const char *dir, struct error *reterr)
{
    /* Sums first: they name the very file that changed. */
    int r = part_sums_verify(dir, reterr);
    if (r < 0)
        return r;
    struct item_part *part;
    r = item_part_open(&part, dir, reterr);
    if (r < 0)
        return r;
    struct item_part_reader reader;
    item_part_reader_init(&reader, part);
    do
        r = item_part_reader_next(&reader, reterr);
    while (r > 0);
    item_part_reader_release(&reader);
    item_part_free(part);
    return r;
}
