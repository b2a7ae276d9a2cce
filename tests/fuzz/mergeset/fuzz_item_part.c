/* Opens an index part that lies in memory, reads it through, searches it. The levels that are compressed on
 * disk are compressed here, and sizes that depend on it are put in. u8 flags (0: metaindex from the input,
 * else one row is made), u16 lengths of metadata, metaindex, index block, items data, then these and lens
 * data Without metadata of its own the part gets one that fits its index block. */
#include "storage/encoding/zstd_codec.h"
#include "storage/mergeset/item_part_internal.h"
#include "storage/mergeset/item_part_reader.h"
#include "storage/mergeset/item_search.h"
#include "tests/fuzz/mergeset/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One row over the whole index block, and the metadata of its blocks. */
static void make_upper_levels(const struct item *index_raw, size_t index_size, struct buffer *metaindex,
                              struct buffer *metadata)
{
    struct item_part_header ph = {0};
    struct item_block_header header = {0}, first = {0};
    size_t pos = 0;
    while (item_block_header_get(&header, index_raw->data, index_raw->len, &pos, NULL) == 0) {
        if (ph.blocks_count++ == 0)
            first = header;
        ph.items_count += header.items_count;
    }
    struct item_metaindex_row row = {first.first_item, (uint32_t)ph.blocks_count, 0, (uint32_t)index_size};
    item_metaindex_row_put(metaindex, &row);
    buffer_append(&ph.first_item, first.first_item.data, first.first_item.len);
    buffer_append(&ph.last_item, "\xff\xff", 2);
    item_part_header_print(&ph, metadata);
    item_part_header_release(&ph);
}

static void read_through(struct item_part *part)
{
    struct item_part_reader reader;
    item_part_reader_init(&reader, part);
    while (item_part_reader_next(&reader, NULL) > 0)
        if (!items_is_sorted(&reader.block))
            abort();
    item_part_reader_release(&reader);
}

static void search(struct item_part *part, struct item key)
{
    struct item_source source = {.part = part};
    struct item_search s;
    item_search_init(&s, &source, 1);
    int r = item_search_seek(&s, key.data, key.len, NULL);
    for (int i = 0; i < 1000 && r >= 0 && (r = item_search_next(&s, NULL)) == 1; i++)
        ;
    item_search_release(&s);
    struct buffer last = {0};
    if (item_part_last_before(part, key, &last, NULL) == 1 &&
        item_compare((struct item){last.data, last.len}, key) >= 0)
        abort();
    buffer_release(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    uint32_t flags = fuzz_number(&in, 1);
    uint32_t metadata_len = fuzz_number(&in, 2), metaindex_len = fuzz_number(&in, 2);
    uint32_t index_len = fuzz_number(&in, 2), items_len = fuzz_number(&in, 2);
    struct item metadata = fuzz_bytes(&in, metadata_len), metaindex_raw = fuzz_bytes(&in, metaindex_len);
    struct item index_raw = fuzz_bytes(&in, index_len), items = fuzz_bytes(&in, items_len);
    struct item lens = fuzz_bytes(&in, SIZE_MAX);

    struct buffer index = {0}, rows = {0}, metaindex = {0}, text = {0};
    zstd_compress(&index, index_raw.data, index_raw.len, 1);
    if (flags & 1)
        make_upper_levels(&index_raw, index.len, &rows, &text);
    else
        buffer_append(&rows, metaindex_raw.data, metaindex_raw.len);
    if (metadata.len) {
        buffer_clear(&text);
        buffer_append(&text, metadata.data, metadata.len);
    }
    zstd_compress(&metaindex, rows.data, rows.len, 1);
    struct item_part_bytes bytes = {
        .metadata = {text.data, text.len},
        .metaindex = {metaindex.data, metaindex.len},
        .index = {index.data, index.len},
        .items = items,
        .lens = lens,
    };
    struct item_part *part;
    if (item_part_open_bytes(&part, "fuzz", &bytes, NULL) == 0) {
        read_through(part);
        search(part, (struct item){NULL, 0});
        search(part, (struct item){data, size < 12 ? size : 12});
        search(part, item_part_first_item(part));
        search(part, item_part_last_item(part));
        item_part_free(part);
    }
    buffer_release(&index);
    buffer_release(&rows);
    buffer_release(&metaindex);
    buffer_release(&text);
    free((void *)metadata.data);
    free((void *)metaindex_raw.data);
    free((void *)index_raw.data);
    free((void *)items.data);
    free((void *)lens.data);
    return 0;
}
