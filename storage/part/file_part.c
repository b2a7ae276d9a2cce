#include "storage/part/file_part.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/part/part_files.h"
#include "storage/part/part_sums.h"

void file_part_free(struct file_part *part)
{
    if (!part)
        return;
    if (part->mapped) {
        fs_map_release(&part->timestamps);
        fs_map_release(&part->values);
        fs_map_release(&part->index);
    }
    free(part->rows);
    free(part->path);
    free(part);
}

static void file_part_freep(struct file_part **part)
{
    file_part_free(*part);
}

static int check_row_times(const struct file_part *part, struct error *reterr)
{
    for (size_t i = 0; i < part->rows_count; i++)
        if (part->rows[i].min_timestamp < part->header.min_timestamp ||
            part->rows[i].max_timestamp > part->header.max_timestamp)
            return error_set(reterr, ERR_CORRUPT, "metaindex row %zu has times outside of the part's", i);
    return 0;
}

static int read_metaindex(struct file_part *part, struct fs_map metaindex, struct error *reterr)
{
    int r = metaindex_rows_decode(&part->rows, &part->rows_count, metaindex.data, metaindex.size,
                                  part->index.size, reterr);
    if (r == 0)
        r = check_row_times(part, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "%s/%s: damaged file", part->path, PART_METAINDEX_FILE);
    part->size_bytes = part->timestamps.size + part->values.size + part->index.size + metaindex.size;
    return 0;
}

int file_part_open_bytes(struct file_part **ret, const char *path, const struct part_header *header,
                         struct fs_map timestamps, struct fs_map values, struct fs_map index,
                         struct fs_map metaindex, struct error *reterr)
{
    _cleanup_(file_part_freep) struct file_part *part = xcalloc(1, sizeof *part);
    part->path = xstrdup(path);
    part->header = *header;
    part->timestamps = timestamps;
    part->values = values;
    part->index = index;
    int r = read_metaindex(part, metaindex, reterr);
    if (r == 0)
        *ret = TAKE(part);
    return r;
}

static int map_file(struct fs_map *m, const char *dir, const char *name, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    int r = fs_map_file(m, path, reterr);
    return r == ERR_NOT_FOUND ? error_set(reterr, ERR_CORRUPT, "%s: damaged part: the file is missing", path)
                              : r;
}

int file_part_open(struct file_part **ret, const char *dir, struct error *reterr)
{
    if (!fs_is_dir(dir))
        return error_set(reterr, ERR_NOT_FOUND, "%s: no such part", dir);
    _cleanup_(file_part_freep) struct file_part *part = xcalloc(1, sizeof *part);
    part->path = xstrdup(dir);
    part->mapped = true;
    int r = part_sums_check_at_open(dir, reterr);
    if (r == 0)
        r = part_header_read(&part->header, dir, reterr);
    if (r == 0)
        r = map_file(&part->timestamps, dir, PART_TIMESTAMPS_FILE, reterr);
    if (r == 0)
        r = map_file(&part->values, dir, PART_VALUES_FILE, reterr);
    if (r == 0)
        r = map_file(&part->index, dir, PART_INDEX_FILE, reterr);
    struct fs_map metaindex = {0};
    if (r == 0)
        r = map_file(&metaindex, dir, PART_METAINDEX_FILE, reterr);
    if (r == 0)
        r = read_metaindex(part, metaindex, reterr);
    fs_map_release(&metaindex);
    if (r == 0)
        *ret = TAKE(part);
    return r;
}

static bool lies_within(const struct fs_map *m, uint64_t offset, uint32_t size)
{
    return offset <= m->size && size <= m->size - offset;
}

int file_part_block(const struct file_part *part, const struct block_header *header, struct block *b,
                    struct error *reterr)
{
    if (!lies_within(&part->timestamps, header->timestamps_offset, header->timestamps_size) ||
        !lies_within(&part->values, header->values_offset, header->values_size))
        return error_set(reterr, ERR_CORRUPT, "block of series %llu lies outside of the part's files",
                         (unsigned long long)header->tsid.metric_id);
    /* A file without bytes isn't mapped; the blocks in it have no bytes either. */
    block_set_encoded(b, header,
                      part->timestamps.data ? part->timestamps.data + header->timestamps_offset : NULL,
                      part->values.data ? part->values.data + header->values_offset : NULL);
    return 0;
}
