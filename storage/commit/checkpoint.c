#include "storage/commit/checkpoint.h"

#include <string.h>

#include "src/base/crc32c.h"
#include "src/base/endian.h"

static const char file_magic[8] = "VARVEC01";
#define HEAD_BYTES           48
#define CHECKPOINT_BYTES_MAX ((size_t)256 << 20)

void checkpoint_release(struct checkpoint *c)
{
    position_table_release(&c->positions);
    *c = (struct checkpoint){0};
}

int checkpoint_parse(struct checkpoint *c, const uint8_t *data, size_t size, struct error *reterr)
{
    if (size < HEAD_BYTES + 8 || memcmp(data, file_magic, 8) != 0)
        return error_set(reterr, ERR_CORRUPT, "not a checkpoint of Varve's");
    if (get_le32(data + size - 4) != crc32c(0, data, size - 4))
        return error_set(reterr, ERR_CORRUPT, "its checksum doesn't fit: the file is damaged");
    struct checkpoint out = {
        .n = get_le64(data + 24),
        .time_ms = (int64_t)get_le64(data + 32),
        .reject_log_length = get_le64(data + 40),
    };
    memcpy(out.store_id, data + 8, STORE_ID_BYTES);
    size_t offset = HEAD_BYTES;
    int r = position_table_decode(&out.positions, data, size - 4, &offset, reterr);
    if (r == 0 && offset != size - 4)
        r = error_set(reterr, ERR_CORRUPT, "bytes behind the last position");
    if (r < 0) {
        checkpoint_release(&out);
        return r;
    }
    *c = out;
    return 0;
}

int checkpoint_read(struct checkpoint *c, const char *path, struct error *reterr)
{
    struct buffer bytes = {0};
    int r = fs_read_file(path, CHECKPOINT_BYTES_MAX, &bytes, reterr);
    if (r == 0) {
        r = checkpoint_parse(c, bytes.data, bytes.len, reterr);
        if (r < 0)
            r = error_prefix(reterr, r, "%s", path);
    }
    buffer_release(&bytes);
    return r;
}

int checkpoint_write(const struct checkpoint *c, const struct fs *fs, const char *path, struct error *reterr)
{
    struct buffer bytes = {0};
    uint8_t *p = buffer_reserve(&bytes, HEAD_BYTES);
    memcpy(p, file_magic, 8);
    memcpy(p + 8, c->store_id, STORE_ID_BYTES);
    put_le64(p + 24, c->n);
    put_le64(p + 32, (uint64_t)c->time_ms);
    put_le64(p + 40, c->reject_log_length);
    bytes.len = HEAD_BYTES;
    position_table_encode(&c->positions, &bytes);
    uint32_t crc = crc32c(0, bytes.data, bytes.len);
    put_le32(buffer_reserve(&bytes, 4), crc);
    bytes.len += 4;
    int r = fs_replace_file(fs, path, bytes.data, bytes.len, reterr);
    buffer_release(&bytes);
    return r;
}
