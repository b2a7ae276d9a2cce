#include "storage/commit/prepared.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

static const char file_magic[8] = "VARVEP01";
#define HEAD_BYTES     36
#define FILE_BYTES_MAX (JOURNAL_RECORD_BYTES_MAX + HEAD_BYTES + 4)

void prepared_record_release(struct prepared_record *p)
{
    commit_record_release(&p->record);
    *p = (struct prepared_record){0};
}

bool prepared_parse(struct prepared_record *p, const uint8_t *data, size_t size,
                    const uint8_t store_id[STORE_ID_BYTES])
{
    if (size < HEAD_BYTES + 4 || memcmp(data, file_magic, 8) != 0 ||
        memcmp(data + 8, store_id, STORE_ID_BYTES) != 0)
        return false;
    uint32_t record_size = get_le32(data + 32);
    if (record_size > size - HEAD_BYTES - 4 ||
        get_le32(data + HEAD_BYTES + record_size) != crc32c(0, data, HEAD_BYTES + record_size))
        return false;
    struct commit_record record = {0};
    if (commit_record_decode(&record, data + HEAD_BYTES, record_size, NULL) < 0)
        return false;
    *p = (struct prepared_record){.token = get_le64(data + 24), .record = record};
    return true;
}

int prepared_read(struct prepared_record *p, const char *path, const uint8_t store_id[STORE_ID_BYTES],
                  bool *ret_found, struct error *reterr)
{
    *ret_found = false;
    if (!fs_exists(path))
        return 0;
    struct buffer bytes = {0};
    int r = fs_read_file(path, FILE_BYTES_MAX, &bytes, reterr);
    if (r == 0)
        *ret_found = prepared_parse(p, bytes.data, bytes.len, store_id);
    buffer_release(&bytes);
    return r;
}

static int sync_parent(const struct prepared_file *f, struct error *reterr)
{
    _cleanup_free_ char *parent = xstrdup(f->path);
    *strrchr(parent, '/') = '\0';
    return f->fs->ops->sync_dir(f->fs, parent, reterr);
}

static int ensure_open(struct prepared_file *f, struct error *reterr)
{
    if (f->fd >= 0)
        return 0;
    int fd;
    int r = fs_exists(f->path) ? f->fs->ops->open_append(f->fs, f->path, &fd, reterr)
                               : f->fs->ops->create(f->fs, f->path, &fd, reterr);
    if (r < 0)
        return r;
    /* Also if it was there: whoever made it may have been killed before its name was on disk. */
    r = sync_parent(f, reterr);
    if (r < 0)
        (void)f->fs->ops->close(f->fs, fd, f->path, NULL);
    else
        f->fd = fd;
    return r;
}

static int write_and_sync(struct prepared_file *f, const struct buffer *bytes, struct error *reterr)
{
    int r = f->fs->ops->write(f->fs, f->fd, f->path, bytes->data, bytes->len, 0, reterr);
    return r < 0 ? r : f->fs->ops->sync(f->fs, f->fd, f->path, reterr);
}

int prepared_write(struct prepared_file *f, const struct prepared_record *p,
                   const uint8_t store_id[STORE_ID_BYTES], struct error *reterr)
{
    struct buffer bytes = {0};
    memset(buffer_reserve(&bytes, HEAD_BYTES), 0, HEAD_BYTES);
    bytes.len = HEAD_BYTES;
    commit_record_encode(&p->record, &bytes);
    size_t record_size = bytes.len - HEAD_BYTES;
    memcpy(bytes.data, file_magic, 8);
    memcpy(bytes.data + 8, store_id, STORE_ID_BYTES);
    put_le64(bytes.data + 24, p->token);
    put_le32(bytes.data + 32, (uint32_t)record_size);
    uint32_t crc = crc32c(0, bytes.data, bytes.len);
    put_le32(buffer_reserve(&bytes, 4), crc);
    bytes.len += 4;
    int r = record_size > JOURNAL_RECORD_BYTES_MAX
                ? error_set(reterr, ERR_INVALID, "%s: a commit record of %zu bytes is too large", f->path,
                            record_size)
                : ensure_open(f, reterr);
    if (r == 0)
        r = write_and_sync(f, &bytes, reterr);
    buffer_release(&bytes);
    return r;
}

int prepared_strike_out(struct prepared_file *f, struct error *reterr)
{
    struct buffer zeros = {0};
    memset(buffer_reserve(&zeros, HEAD_BYTES), 0, HEAD_BYTES);
    zeros.len = HEAD_BYTES;
    int r = ensure_open(f, reterr);
    if (r == 0)
        r = write_and_sync(f, &zeros, reterr);
    buffer_release(&zeros);
    return r;
}

void prepared_file_release(struct prepared_file *f)
{
    if (f->path && f->fd >= 0)
        (void)f->fs->ops->close(f->fs, f->fd, f->path, NULL);
    free(f->path);
    *f = (struct prepared_file){.fd = -1};
}
