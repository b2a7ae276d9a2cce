#include "storage/mergeset/item_part_writer.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/encoding/zstd_codec.h"
#include "storage/mergeset/item_metaindex.h"
#include "storage/mergeset/item_part.h"
#include "storage/part/part_sums.h"

static int create_file(struct item_part_writer *w, struct fs_file *f, const char *name, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", w->dir, name);
    return fs_file_create(f, w->fs, path, reterr);
}

int item_part_writer_create(struct item_part_writer *w, const struct fs *fs, const char *dir, int level,
                            struct error *reterr)
{
    *w = (struct item_part_writer){.fs = fs, .dir = xstrdup(dir), .level = level};
    int r = fs->ops->mkdir(fs, dir, reterr);
    if (r == 0)
        r = create_file(w, &w->items, ITEM_PART_ITEMS_FILE, reterr);
    if (r == 0)
        r = create_file(w, &w->lens, ITEM_PART_LENS_FILE, reterr);
    if (r == 0)
        r = create_file(w, &w->index, ITEM_PART_INDEX_FILE, reterr);
    if (r < 0)
        item_part_writer_abandon(w);
    return r;
}

static int flush_index_block(struct item_part_writer *w, struct error *reterr)
{
    if (w->index_block_headers == 0)
        return 0;
    buffer_clear(&w->compressed);
    zstd_compress(&w->compressed, w->index_block.data, w->index_block.len, w->level);
    struct item_metaindex_row row = {
        .first_item = {w->index_block_first_item.data, w->index_block_first_item.len},
        .headers_count = w->index_block_headers,
        .offset = w->index.size,
        .size = (uint32_t)w->compressed.len,
    };
    item_metaindex_row_put(&w->metaindex, &row);
    buffer_clear(&w->index_block);
    w->index_block_headers = 0;
    return fs_file_append(&w->index, w->compressed.data, w->compressed.len, reterr);
}

/* Closes the index block before a header that would take it past its limit. */
static int add_header(struct item_part_writer *w, const struct item_block_header *header,
                      struct error *reterr)
{
    size_t before = w->index_block.len;
    item_block_header_put(&w->index_block, header);
    if (w->index_block_headers > 0 && w->index_block.len > ITEM_INDEX_BLOCK_BYTES_MAX) {
        w->index_block.len = before;
        int r = flush_index_block(w, reterr);
        if (r < 0)
            return r;
        item_block_header_put(&w->index_block, header);
    }
    if (w->index_block_headers++ == 0) {
        buffer_clear(&w->index_block_first_item);
        buffer_append(&w->index_block_first_item, header->first_item.data, header->first_item.len);
    }
    return 0;
}

int item_part_writer_add(struct item_part_writer *w, const struct items *block, struct error *reterr)
{
    struct item_block_header header;
    item_block_encode(&w->codec, block, w->level, &w->items_data, &w->lens_data, &header);
    header.items_offset = w->items.size;
    header.lens_offset = w->lens.size;
    int r = fs_file_append(&w->items, w->items_data.data, w->items_data.len, reterr);
    if (r == 0)
        r = fs_file_append(&w->lens, w->lens_data.data, w->lens_data.len, reterr);
    if (r == 0)
        r = add_header(w, &header, reterr);
    if (r < 0)
        return r;
    struct item last = items_get(block, block->count - 1);
    if (w->ph.blocks_count++ == 0)
        buffer_append(&w->ph.first_item, header.first_item.data, header.first_item.len);
    buffer_clear(&w->ph.last_item);
    buffer_append(&w->ph.last_item, last.data, last.len);
    w->ph.items_count += block->count;
    return 0;
}

static int write_whole_file(struct item_part_writer *w, struct part_sums *sums, const char *name,
                            const struct buffer *data, struct error *reterr)
{
    struct fs_file f;
    int r = create_file(w, &f, name, reterr);
    if (r < 0)
        return r;
    r = fs_file_append(&f, data->data, data->len, reterr);
    if (r < 0) {
        fs_file_abandon(&f);
        return r;
    }
    r = fs_file_finish(&f, reterr);
    if (r == 0)
        part_sums_add_file(sums, name, &f);
    return r;
}

static int finish_file(struct fs_file *f, struct part_sums *sums, const char *name, struct error *reterr)
{
    int r = fs_file_finish(f, reterr);
    if (r == 0)
        part_sums_add_file(sums, name, f);
    return r;
}

static int finish_files(struct item_part_writer *w, struct part_sums *sums, struct error *reterr)
{
    int r = flush_index_block(w, reterr);
    if (r == 0)
        r = finish_file(&w->items, sums, ITEM_PART_ITEMS_FILE, reterr);
    if (r == 0)
        r = finish_file(&w->lens, sums, ITEM_PART_LENS_FILE, reterr);
    if (r == 0)
        r = finish_file(&w->index, sums, ITEM_PART_INDEX_FILE, reterr);
    if (r < 0)
        return r;
    buffer_clear(&w->compressed);
    zstd_compress(&w->compressed, w->metaindex.data, w->metaindex.len, w->level);
    r = write_whole_file(w, sums, ITEM_PART_METAINDEX_FILE, &w->compressed, reterr);
    if (r < 0)
        return r;
    buffer_clear(&w->compressed);
    item_part_header_print(&w->ph, &w->compressed);
    r = write_whole_file(w, sums, ITEM_PART_METADATA_FILE, &w->compressed, reterr);
    if (r == 0)
        r = part_sums_write(sums, w->fs, w->dir, reterr);
    if (r == 0)
        r = w->fs->ops->sync_dir(w->fs, w->dir, reterr);
    return r;
}

int item_part_writer_finish(struct item_part_writer *w, struct item_part_header *ret_ph, struct error *reterr)
{
    struct part_sums sums = {0};
    int r = finish_files(w, &sums, reterr);
    part_sums_release(&sums);
    if (r == 0) {
        *ret_ph = w->ph;
        w->ph = (struct item_part_header){0};
    }
    item_part_writer_abandon(w);
    return r;
}

void item_part_writer_abandon(struct item_part_writer *w)
{
    fs_file_abandon(&w->items);
    fs_file_abandon(&w->lens);
    fs_file_abandon(&w->index);
    item_part_header_release(&w->ph);
    item_block_codec_release(&w->codec);
    buffer_release(&w->items_data);
    buffer_release(&w->lens_data);
    buffer_release(&w->index_block);
    buffer_release(&w->index_block_first_item);
    buffer_release(&w->metaindex);
    buffer_release(&w->compressed);
    free(w->dir);
    *w = (struct item_part_writer){0};
}
