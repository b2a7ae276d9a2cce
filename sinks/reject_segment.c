#include "sinks/reject_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

#define MAGIC  "VARVERJ1"
#define SUFFIX ".rejects"

void reject_segment_name(uint64_t start, char ret[REJECT_SEGMENT_NAME_SIZE])
{
    (void)snprintf(ret, REJECT_SEGMENT_NAME_SIZE, "%016" PRIx64 SUFFIX, start);
}

bool reject_segment_parse_name(const char *name, uint64_t *ret_start)
{
    char again[REJECT_SEGMENT_NAME_SIZE];
    if (strlen(name) != REJECT_SEGMENT_NAME_SIZE - 1)
        return false;
    uint64_t start = strtoull(name, NULL, 16);
    reject_segment_name(start, again);
    if (strcmp(name, again) != 0)
        return false;
    *ret_start = start;
    return true;
}

void reject_segment_put_header(uint8_t dst[REJECT_SEGMENT_HEADER_SIZE], uint64_t start, uint64_t sequence)
{
    memset(dst, 0, REJECT_SEGMENT_HEADER_SIZE);
    memcpy(dst, MAGIC, 8);
    put_le64(dst + 8, start);
    put_le64(dst + 16, sequence);
    put_le32(dst + 28, crc32c(0, dst, 28));
}

bool reject_segment_parse_header(const uint8_t *data, size_t size, uint64_t start, uint64_t *ret_sequence)
{
    if (size < REJECT_SEGMENT_HEADER_SIZE || memcmp(data, MAGIC, 8) != 0 || get_le64(data + 8) != start ||
        get_le32(data + 24) != 0 || get_le32(data + 28) != crc32c(0, data, 28))
        return false;
    *ret_sequence = get_le64(data + 16);
    return true;
}

static struct span cut_to(struct span s, uint32_t max)
{
    return s.len > max ? span_of(s.data, max) : s;
}

void reject_entry_append(struct buffer *dst, const struct reject_entry *entry)
{
    struct span sink = cut_to(entry->sink, UINT16_MAX), position = cut_to(entry->position, UINT16_MAX);
    struct span reason = cut_to(entry->reason, UINT16_MAX);
    struct span payload = cut_to(entry->payload, REJECT_PAYLOAD_MAX);
    struct span key = cut_to(entry->key, REJECT_KEY_MAX);
    uint32_t around = key.len || entry->record_time_ms ? 8 + key.len : 0;
    uint32_t size = REJECT_ENTRY_HEADER_SIZE + sink.len + position.len + reason.len + around + payload.len;
    size_t at = dst->len;
    uint8_t *p = buffer_reserve(dst, size);
    put_le32(p + 4, size);
    put_le64(p + 8, entry->sequence);
    put_le64(p + 16, (uint64_t)entry->time_ms);
    put_le64(p + 24, entry->full_size);
    put_le32(p + 32, payload.len);
    put_le16(p + 36, (uint16_t)sink.len);
    put_le16(p + 38, (uint16_t)position.len);
    put_le16(p + 40, (uint16_t)reason.len);
    put_le16(p + 42, (uint16_t)around);
    dst->len += REJECT_ENTRY_HEADER_SIZE;
    buffer_append(dst, sink.data, sink.len);
    buffer_append(dst, position.data, position.len);
    buffer_append(dst, reason.data, reason.len);
    if (around) {
        put_le64(buffer_reserve(dst, 8), (uint64_t)entry->record_time_ms);
        dst->len += 8;
        buffer_append(dst, key.data, key.len);
    }
    buffer_append(dst, payload.data, payload.len);
    p = dst->data + at;
    put_le32(p, crc32c(0, p + 4, size - 4));
}

size_t reject_entry_parse(const uint8_t *data, size_t size, uint64_t sequence, struct reject_entry *ret)
{
    if (size < REJECT_ENTRY_HEADER_SIZE)
        return 0;
    uint32_t entry_size = get_le32(data + 4), payload_len = get_le32(data + 32);
    uint16_t sink_len = get_le16(data + 36), position_len = get_le16(data + 38),
             reason_len = get_le16(data + 40), around = get_le16(data + 42);
    if (entry_size > size || payload_len > REJECT_PAYLOAD_MAX || (around && around < 8) ||
        entry_size !=
            REJECT_ENTRY_HEADER_SIZE + payload_len + sink_len + position_len + reason_len + around ||
        get_le32(data) != crc32c(0, data + 4, entry_size - 4) || get_le64(data + 8) != sequence)
        return 0;
    const char *text = (const char *)data + REJECT_ENTRY_HEADER_SIZE;
    *ret = (struct reject_entry){
        .sequence = sequence,
        .time_ms = (int64_t)get_le64(data + 16),
        .sink = span_of(text, sink_len),
        .position = span_of(text + sink_len, position_len),
        .reason = span_of(text + sink_len + position_len, reason_len),
        .payload = span_of(text + sink_len + position_len + reason_len + around, payload_len),
        .full_size = get_le64(data + 24),
    };
    if (around) {
        const char *surroundings = text + sink_len + position_len + reason_len;
        ret->record_time_ms = (int64_t)get_le64((const uint8_t *)surroundings);
        ret->key = span_of(surroundings + 8, around - 8u);
    }
    return entry_size;
}

static int read_whole(int fd, uint8_t *data, size_t size, size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, data + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_size = done;
    return 0;
}

int reject_segment_read(int dir_fd, uint64_t start, struct reject_segment_data *ret, struct error *reterr)
{
    char name[REJECT_SEGMENT_NAME_SIZE];
    reject_segment_name(start, name);
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(reterr, errno, "reject log: cannot open %s", name);
    struct reject_segment_data s = {.start = start};
    s.data = xmalloc((size_t)st.st_size + 1);
    int r = read_whole(fd, s.data, (size_t)st.st_size, &s.size);
    if (r < 0) {
        free(s.data);
        return error_set_errno(reterr, -r, "reject log: cannot read %s", name);
    }
    if (!reject_segment_parse_header(s.data, s.size, start, &s.first_sequence)) {
        free(s.data);
        return error_set(reterr, ERR_CORRUPT, "reject log: the header of %s is damaged", name);
    }
    *ret = s;
    return 0;
}

void reject_segment_data_release(struct reject_segment_data *s)
{
    free(s->data);
    *s = (struct reject_segment_data){0};
}

static int compare_starts(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int reject_segment_list(int dir_fd, uint64_t **ret_starts, size_t *ret_count, struct error *reterr)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return error_set_errno(reterr, errnum, "reject log: cannot list its directory");
    }
    uint64_t *starts = NULL;
    size_t count = 0, capacity = 0;
    struct dirent *entry;
    while ((errno = 0, entry = readdir(dir))) {
        uint64_t start;
        if (!reject_segment_parse_name(entry->d_name, &start))
            continue;
        GROW(starts, count, capacity);
        starts[count++] = start;
    }
    int errnum = errno;
    closedir(dir);
    if (errnum) {
        free(starts);
        return error_set_errno(reterr, errnum, "reject log: cannot list its directory");
    }
    if (count)
        qsort(starts, count, sizeof *starts, compare_starts);
    *ret_starts = starts;
    *ret_count = count;
    return 0;
}
