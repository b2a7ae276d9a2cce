#include "storage/commit/journal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

static const char file_magic[8] = "VARVEJ01";
#define HEADER_BYTES           64
#define RECORD_MAGIC           UINT32_C(0x43455256) /* "VREC" */
#define FRAME_BYTES            16
#define FOLD_FRACTION          2 /* fold when half of the preallocated length is used */
#define JOURNAL_FILE_BYTES_MAX ((size_t)256 << 20)

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static void append_header(struct buffer *dst, const uint8_t *store_id, uint64_t base_n)
{
    uint8_t *p = buffer_reserve(dst, HEADER_BYTES);
    memset(p, 0, HEADER_BYTES);
    memcpy(p, file_magic, 8);
    memcpy(p + 8, store_id, STORE_ID_BYTES);
    put_le64(p + 24, base_n);
    put_le32(p + 32, crc32c(0, p, 32));
    dst->len += HEADER_BYTES;
}

static void append_frame(struct buffer *dst, const struct commit_record *record)
{
    size_t start = dst->len;
    memset(buffer_reserve(dst, FRAME_BYTES), 0, FRAME_BYTES);
    dst->len += FRAME_BYTES;
    commit_record_encode(record, dst);
    size_t payload = dst->len - start - FRAME_BYTES;
    size_t padding = align8(payload) - payload;
    memset(buffer_reserve(dst, padding), 0, padding);
    dst->len += padding;
    uint8_t *p = dst->data + start;
    put_le32(p, RECORD_MAGIC);
    put_le32(p + 4, (uint32_t)payload);
    put_le32(p + 8, crc32c(crc32c(0, p + 4, 4), p + FRAME_BYTES, payload));
}

/* A fresh file with these bytes and zeros up to capacity, moved to path; *ret_fd stays open. *ret_renamed
 * also on failure: whether a crash may find the new file. */
static int write_fresh(const struct fs *fs, const char *path, const struct buffer *content, uint64_t capacity,
                       int *ret_fd, bool *ret_renamed, struct error *reterr)
{
    _cleanup_free_ char *tmp = xasprintf("%s.tmp", path);
    _cleanup_free_ char *parent = xstrdup(path);
    *strrchr(parent, '/') = '\0';
    int fd, r = 0;
    *ret_renamed = false;
    if (fs_exists(tmp))
        r = fs->ops->unlink(fs, tmp, reterr);
    if (r == 0)
        r = fs->ops->create(fs, tmp, &fd, reterr);
    if (r < 0)
        return r;
    r = fs->ops->preallocate(fs, fd, tmp, capacity, reterr);
    if (r == 0)
        r = fs->ops->write(fs, fd, tmp, content->data, content->len, 0, reterr);
    if (r == 0)
        r = fs->ops->sync(fs, fd, tmp, reterr);
    if (r == 0)
        r = fs->ops->rename(fs, tmp, path, reterr);
    *ret_renamed = r == 0;
    if (r == 0)
        r = fs->ops->sync_dir(fs, parent, reterr);
    if (r < 0) {
        (void)fs->ops->close(fs, fd, tmp, NULL);
        (void)fs->ops->unlink(fs, tmp, NULL);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static uint64_t capacity_for(size_t bytes)
{
    uint64_t capacity = JOURNAL_SIZE_MIN;
    while (capacity / FOLD_FRACTION < bytes)
        capacity *= 2;
    return capacity;
}

int journal_create(struct journal *j, const struct fs *fs, const char *path,
                   const uint8_t store_id[STORE_ID_BYTES], uint64_t base_n, struct error *reterr)
{
    struct journal fresh = {
        .fs = fs, .path = xstrdup(path), .fd = -1, .base_n = base_n, .capacity = JOURNAL_SIZE_MIN};
    memcpy(fresh.store_id, store_id, STORE_ID_BYTES);
    append_header(&fresh.content, store_id, base_n);
    bool renamed;
    int r = write_fresh(fs, path, &fresh.content, fresh.capacity, &fresh.fd, &renamed, reterr);
    if (r < 0) {
        journal_release(&fresh);
        return r;
    }
    *j = fresh;
    return 0;
}

/* Replaces the file by one that holds content and nothing else. */
static int replace_file(struct journal *j, bool *ret_renamed, struct error *reterr)
{
    uint64_t capacity = capacity_for(j->content.len);
    int fd;
    int r = write_fresh(j->fs, j->path, &j->content, capacity, &fd, ret_renamed, reterr);
    if (r < 0)
        return r;
    (void)j->fs->ops->close(j->fs, j->fd, j->path, NULL);
    j->fd = fd;
    j->capacity = capacity;
    j->must_replace = false;
    return 0;
}

int journal_settle(struct journal *j, struct error *reterr)
{
    bool renamed;
    int r = replace_file(j, &renamed, reterr);
    j->fate_open = r < 0;
    return r < 0 ? error_prefix(reterr, r, "%s: can't be replaced by one without its last record", j->path)
                 : 0;
}

int journal_append(struct journal *j, const struct commit_record *record, struct error *reterr)
{
    size_t old_len = j->content.len;
    append_frame(&j->content, record);
    size_t size = j->content.len - old_len;
    if (size > JOURNAL_RECORD_BYTES_MAX) {
        j->content.len = old_len;
        return error_set(reterr, ERR_INVALID, "%s: a commit record of %zu bytes is too large", j->path, size);
    }
    int r;
    bool may_be_found = true; /* the record, after a crash, although its append failed */
    if (j->must_replace || j->content.len > j->capacity) {
        r = replace_file(j, &may_be_found, reterr);
    } else {
        r = j->fs->ops->write(j->fs, j->fd, j->path, j->content.data + old_len, size, old_len, reterr);
        if (r == 0)
            r = j->fs->ops->sync(j->fs, j->fd, j->path, reterr);
    }
    if (r == 0) {
        j->last_offset = old_len;
        return 0;
    }
    j->content.len = old_len;
    if (!may_be_found)
        return r;
    /* Settle it before anything else happens. */
    struct error second = {0};
    int settled = journal_settle(j, &second);
    if (settled == 0)
        return r;
    return error_set(reterr, r == ERR_FULL ? settled : r, "%s", second.message);
}

int journal_withdraw(struct journal *j, struct error *reterr)
{
    j->content.len = j->last_offset;
    return journal_settle(j, reterr);
}

bool journal_wants_fold(const struct journal *j)
{
    return j->content.len > j->capacity / FOLD_FRACTION;
}

void journal_release(struct journal *j)
{
    if (j->path && j->fd >= 0)
        (void)j->fs->ops->close(j->fs, j->fd, j->path, NULL);
    free(j->path);
    buffer_release(&j->content);
    *j = (struct journal){.fd = -1};
}

void journal_records_release(struct journal_records *records)
{
    for (size_t i = 0; i < records->count; i++)
        commit_record_release(&records->records[i]);
    free(records->records);
    buffer_release(&records->valid);
    *records = (struct journal_records){0};
}

/* Size of the valid frame at data[offset..], or 0. */
static size_t valid_frame(const uint8_t *data, size_t size, size_t offset)
{
    if (size - offset < FRAME_BYTES || get_le32(data + offset) != RECORD_MAGIC)
        return 0;
    size_t payload = get_le32(data + offset + 4);
    if (payload > JOURNAL_RECORD_BYTES_MAX || align8(payload) > size - offset - FRAME_BYTES)
        return 0;
    const uint8_t *p = data + offset;
    if (get_le32(p + 8) != crc32c(crc32c(0, p + 4, 4), p + FRAME_BYTES, payload))
        return 0;
    return FRAME_BYTES + align8(payload);
}

static int parse_records(struct journal_records *ret, const uint8_t *data, size_t size, struct error *reterr)
{
    size_t offset = HEADER_BYTES, frame;
    uint64_t last_n = get_le64(data + 24);
    while (offset < size && (frame = valid_frame(data, size, offset)) > 0) {
        GROW(ret->records, ret->count, ret->capacity);
        struct commit_record record = {0};
        int r =
            commit_record_decode(&record, data + offset + FRAME_BYTES, get_le32(data + offset + 4), reterr);
        if (r < 0)
            return r;
        ret->records[ret->count++] = record;
        if (record.n < last_n || record.published > record.n)
            return error_set(reterr, ERR_CORRUPT, "record %llu follows record %llu",
                             (unsigned long long)record.n, (unsigned long long)last_n);
        last_n = record.n;
        offset += frame;
    }
    buffer_append(&ret->valid, data, offset);
    for (size_t o = offset; o < size; o += 8) {
        if (valid_frame(data, size, o) > 0)
            return error_set(reterr, ERR_CORRUPT,
                             "the record at byte %zu is damaged, but a valid one follows at byte %zu", offset,
                             o);
    }
    return 0;
}

int journal_parse(struct journal_records *ret, const uint8_t *data, size_t size,
                  const uint8_t store_id[STORE_ID_BYTES], struct error *reterr)
{
    if (size < HEADER_BYTES || memcmp(data, file_magic, 8) != 0 || get_le32(data + 32) != crc32c(0, data, 32))
        return error_set(reterr, ERR_CORRUPT, "not a journal of Varve's, or its header is damaged");
    if (memcmp(data + 8, store_id, STORE_ID_BYTES) != 0)
        return error_set(reterr, ERR_CORRUPT, "belongs to another store");
    struct journal_records records = {0};
    int r = parse_records(&records, data, size, reterr);
    if (r < 0) {
        journal_records_release(&records);
        return r;
    }
    *ret = records;
    return 0;
}

int journal_read(struct journal_records *ret, const char *path, const uint8_t store_id[STORE_ID_BYTES],
                 struct error *reterr)
{
    struct buffer bytes = {0};
    int r = fs_read_file(path, JOURNAL_FILE_BYTES_MAX, &bytes, reterr);
    if (r == 0) {
        r = journal_parse(ret, bytes.data, bytes.len, store_id, reterr);
        if (r < 0)
            r = error_prefix(reterr, r, "%s", path);
    }
    buffer_release(&bytes);
    return r;
}

int journal_rewrite(const struct journal_records *records, const struct fs *fs, const char *path,
                    struct error *reterr)
{
    int fd;
    bool renamed;
    int r = write_fresh(fs, path, &records->valid, capacity_for(records->valid.len), &fd, &renamed, reterr);
    return r < 0 ? r : fs->ops->close(fs, fd, path, reterr);
}
