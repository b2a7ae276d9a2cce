/* Metaindex rows and index blocks from bytes: as they'd be on disk, and raw ones that are compressed here, as
 * few changes of a zstd frame leave one. */
#include <stdlib.h>

#include "storage/block/metaindex_row.h"
#include "storage/encoding/zstd_codec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_metaindex(const uint8_t *data, size_t size, uint64_t index_bytes)
{
    struct metaindex_row *rows;
    size_t count;
    struct error err;
    if (metaindex_rows_decode(&rows, &count, data, size, index_bytes, &err) < 0)
        return;
    for (size_t i = 1; i < count; i++)
        if (tsid_compare(&rows[i - 1].tsid, &rows[i].tsid) > 0)
            abort();
    free(rows);
}

static void read_index_block(const uint8_t *data, size_t size, const struct metaindex_row *row)
{
    static struct block_header headers[INDEX_BLOCK_HEADERS_READ_MAX];
    struct metaindex_row mr = *row;
    struct buffer scratch = {0};
    struct error err;
    mr.index_size = (uint32_t)size;
    if (size <= INDEX_BLOCK_READ_MAX && index_block_decode(headers, &mr, data, &scratch, &err) == 0)
        for (uint32_t i = 0; i < mr.headers_count; i++)
            if (headers[i].min_timestamp > headers[i].max_timestamp || headers[i].rows_count < 1)
                abort();
    buffer_release(&scratch);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct error err;
    struct metaindex_row mr;
    struct buffer packed = {0};
    if (size < METAINDEX_ROW_SIZE || size > 1 << 17)
        return 0;
    /* The input is a metaindex of which the last row's end is the size of index.bin... */
    const uint8_t *last = data + size - METAINDEX_ROW_SIZE;
    uint64_t index_bytes = get_be64(last + 44) + get_be32(last + 52);
    read_metaindex(data, size, size);
    zstd_compress(&packed, data, size, 1);
    read_metaindex(packed.data, packed.len, index_bytes < 1 << 20 ? index_bytes : 1 << 20);
    /* ...or a row and the index block that belongs to it. */
    if (metaindex_row_get(&mr, data, &err) == 0) {
        read_index_block(data + METAINDEX_ROW_SIZE, size - METAINDEX_ROW_SIZE, &mr);
        buffer_clear(&packed);
        zstd_compress(&packed, data + METAINDEX_ROW_SIZE, size - METAINDEX_ROW_SIZE, 1);
        read_index_block(packed.data, packed.len, &mr);
    }
    buffer_release(&packed);
    return 0;
}
