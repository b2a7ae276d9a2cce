#include "storage/commit/commit_record.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"

#define HEAD_BYTES 36
#define PART_BYTES (1 + 7 + 16)

const char *part_place_dir(enum part_place place)
{
    static const char *const dirs[PART_PLACES] = {DIR_SMALL, DIR_BIG, DIR_INDEX};
    return dirs[place];
}

void commit_record_release(struct commit_record *record)
{
    free(record->parts);
    position_table_release(&record->positions);
    *record = (struct commit_record){0};
}

void commit_record_add_part(struct commit_record *record, enum part_place place, const char *month,
                            const char *name)
{
    GROW(record->parts, record->parts_count, record->parts_capacity);
    struct record_part *part = &record->parts[record->parts_count++];
    *part = (struct record_part){.place = place};
    memcpy(part->month, month, sizeof part->month - 1);
    memcpy(part->name, name, sizeof part->name - 1);
}

void commit_record_encode(const struct commit_record *record, struct buffer *dst)
{
    uint8_t *p = buffer_reserve(dst, HEAD_BYTES);
    put_le64(p, record->n);
    put_le64(p + 8, record->published);
    put_le64(p + 16, (uint64_t)record->time_ms);
    put_le64(p + 24, record->reject_log_length);
    put_le32(p + 32, (uint32_t)record->parts_count);
    dst->len += HEAD_BYTES;
    for (size_t i = 0; i < record->parts_count; i++) {
        buffer_append_u8(dst, (uint8_t)record->parts[i].place);
        buffer_append(dst, record->parts[i].month, 7);
        buffer_append(dst, record->parts[i].name, 16);
    }
    position_table_encode(&record->positions, dst);
}

static bool is_month(const char *s)
{
    for (int i = 0; i < 7; i++)
        if (i == 4 ? s[i] != '_' : s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

static bool is_part_name(const char *s)
{
    for (int i = 0; i < 16; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'F')))
            return false;
    return true;
}

int commit_record_decode(struct commit_record *record, const uint8_t *data, size_t size, struct error *reterr)
{
    if (size < HEAD_BYTES)
        return error_set(reterr, ERR_CORRUPT, "commit record of %zu bytes is too short", size);
    struct commit_record r = {
        .n = get_le64(data),
        .published = get_le64(data + 8),
        .time_ms = (int64_t)get_le64(data + 16),
        .reject_log_length = get_le64(data + 24),
    };
    uint32_t parts_count = get_le32(data + 32);
    size_t offset = HEAD_BYTES;
    if (parts_count > (size - offset) / PART_BYTES)
        return error_set(reterr, ERR_CORRUPT, "commit record %llu names more parts than it holds",
                         (unsigned long long)r.n);
    for (uint32_t i = 0; i < parts_count; i++, offset += PART_BYTES) {
        const char *month = (const char *)data + offset + 1, *name = month + 7;
        if (data[offset] >= PART_PLACES || !is_month(month) || !is_part_name(name)) {
            int rc = error_set(reterr, ERR_CORRUPT, "commit record %llu names a malformed part",
                               (unsigned long long)r.n);
            commit_record_release(&r);
            return rc;
        }
        commit_record_add_part(&r, data[offset], month, name);
    }
    int rc = position_table_decode(&r.positions, data, size, &offset, reterr);
    if (rc == 0 && offset != size)
        rc = error_set(reterr, ERR_CORRUPT, "commit record %llu has bytes behind its end",
                       (unsigned long long)r.n);
    if (rc < 0) {
        commit_record_release(&r);
        return rc;
    }
    *record = r;
    return 0;
}
