#include "sinks/reject_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sinks/reject_segment.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/mutex.h"

/* A segment is read as a whole, and goes as a whole. */
#define SEGMENTS_WANTED  8
#define SEGMENT_SIZE_MAX (32 * 1024 * 1024)

struct segment {
    uint64_t start, first_sequence;
    uint64_t size; /* of the file */
    bool is_dirty; /* written to since the last sync */
};

struct reject_log {
    int dir_fd;
    uint64_t max_size, segment_size;

    struct mutex lock;
    struct segment *segments GUARDED_BY(lock); /* by start; the last one is appended to, through fd */
    size_t segments_count, segments_capacity;
    int fd;                 /* -1: the next entry starts a segment */
    uint64_t next_sequence; /* of the next entry; its logical offset is stats.length */
    bool is_dir_dirty;      /* segments came or went since the last sync */
    struct buffer entry;
    struct reject_log_stats stats;
};

static void close_current(struct reject_log *log) REQUIRES(log->lock)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

static int unlink_segment(struct reject_log *log, uint64_t start)
{
    char name[REJECT_SEGMENT_NAME_SIZE];
    reject_segment_name(start, name);
    return unlinkat(log->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int write_at(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* ---- appending ---- */

/* A fresh file for the entry at the log's end. One of the same start may be there: it never got an entry. */
static int start_segment(struct reject_log *log) REQUIRES(log->lock)
{
    char name[REJECT_SEGMENT_NAME_SIZE];
    uint8_t header[REJECT_SEGMENT_HEADER_SIZE];
    close_current(log);
    reject_segment_name(log->stats.length, name);
    reject_segment_put_header(header, log->stats.length, log->next_sequence);
    _cleanup_close_ int fd = openat(log->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    int r = write_at(fd, header, sizeof header, 0);
    if (r < 0) {
        (void)unlinkat(log->dir_fd, name, 0);
        return r;
    }
    if (log->segments_count && log->segments[log->segments_count - 1].start == log->stats.length)
        log->stats.size_bytes -= log->segments[--log->segments_count].size;
    GROW(log->segments, log->segments_count, log->segments_capacity);
    log->segments[log->segments_count++] = (struct segment){
        .start = log->stats.length,
        .first_sequence = log->next_sequence,
        .size = sizeof header,
        .is_dirty = true,
    };
    log->stats.size_bytes += sizeof header;
    log->is_dir_dirty = true;
    log->fd = fd;
    fd = -1;
    return 0;
}

/* Makes room for size more bytes. The last segment stays: what it may hold is far below max_size. */
static void drop_oldest(struct reject_log *log, uint64_t size) REQUIRES(log->lock)
{
    size_t n = 0;
    while (n + 1 < log->segments_count && log->stats.size_bytes + size > log->max_size) {
        if (unlink_segment(log, log->segments[n].start) < 0)
            break; /* tried again at the next entry */
        log->stats.size_bytes -= log->segments[n].size;
        log->stats.dropped_total += log->segments[n + 1].first_sequence - log->segments[n].first_sequence;
        n++;
    }
    if (!n)
        return;
    log->segments_count -= n;
    memmove(log->segments, log->segments + n, log->segments_count * sizeof *log->segments);
    log->is_dir_dirty = true;
}

static int append_bytes(struct reject_log *log, const uint8_t *data, size_t size) REQUIRES(log->lock)
{
    if (log->fd >= 0 && log->segments[log->segments_count - 1].size + size > log->segment_size)
        close_current(log);
    if (log->fd < 0) {
        int r = start_segment(log);
        if (r < 0)
            return r;
    }
    drop_oldest(log, size);
    struct segment *last = &log->segments[log->segments_count - 1];
    last->is_dirty = true;
    int r = write_at(log->fd, data, size, last->size);
    if (r < 0) {
        /* Half an entry must not stand before the next one. */
        if (ftruncate(log->fd, (off_t)last->size) < 0)
            close_current(log);
        return r;
    }
    last->size += size;
    log->stats.size_bytes += size;
    return 0;
}

void reject_log_append(struct reject_log *log, const struct reject_entry *entry)
{
    struct reject_entry numbered = *entry;
    mutex_lock(&log->lock);
    numbered.sequence = log->next_sequence;
    buffer_clear(&log->entry);
    reject_entry_append(&log->entry, &numbered);
    if (append_bytes(log, log->entry.data, log->entry.len) == 0) {
        log->stats.length += log->entry.len;
        log->stats.appended_total++;
        log->next_sequence++;
    } else {
        log->stats.failed_total++;
    }
    mutex_unlock(&log->lock);
}

uint64_t reject_log_length(struct reject_log *log)
{
    mutex_lock(&log->lock);
    uint64_t length = log->stats.length;
    mutex_unlock(&log->lock);
    return length;
}

void reject_log_get_stats(struct reject_log *log, struct reject_log_stats *ret)
{
    mutex_lock(&log->lock);
    *ret = log->stats;
    ret->segments = log->segments_count;
    mutex_unlock(&log->lock);
}

void reject_log_keep_all(struct reject_log *log)
{
    mutex_lock(&log->lock);
    log->max_size = UINT64_MAX;
    mutex_unlock(&log->lock);
}

void reject_log_drop_before(struct reject_log *log, uint64_t offset)
{
    size_t n = 0;
    mutex_lock(&log->lock);
    while (n + 1 < log->segments_count && log->segments[n + 1].start <= offset &&
           unlink_segment(log, log->segments[n].start) == 0)
        log->stats.size_bytes -= log->segments[n++].size;
    log->segments_count -= n;
    memmove(log->segments, log->segments + n, log->segments_count * sizeof *log->segments);
    log->is_dir_dirty |= n > 0;
    mutex_unlock(&log->lock);
}

/* ---- sync ---- */

static int sync_segment(struct reject_log *log, uint64_t start, struct error *reterr)
{
    char name[REJECT_SEGMENT_NAME_SIZE];
    reject_segment_name(start, name);
    _cleanup_close_ int fd = openat(log->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; /* dropped in the meantime */
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(reterr, errno, "reject log: cannot sync %s", name);
    return 0;
}

int reject_log_sync(struct reject_log *log, struct error *reterr)
{
    uint64_t *starts = NULL;
    size_t count = 0, capacity = 0;
    mutex_lock(&log->lock);
    for (size_t i = 0; i < log->segments_count; i++) {
        if (!log->segments[i].is_dirty)
            continue;
        log->segments[i].is_dirty = false;
        GROW(starts, count, capacity);
        starts[count++] = log->segments[i].start;
    }
    bool is_dir_dirty = log->is_dir_dirty;
    log->is_dir_dirty = false;
    mutex_unlock(&log->lock);

    int result = 0;
    for (size_t i = 0; i < count; i++) {
        int r = sync_segment(log, starts[i], reterr);
        result = r < 0 ? r : result;
    }
    free(starts);
    if (is_dir_dirty && fsync(log->dir_fd) < 0)
        result = error_set_errno(reterr, errno, "reject log: cannot sync its directory");
    return result;
}

/* ---- opening and cutting ---- */

/* Cuts segment s, the last one, at the end of its last whole entry that ends at max_end (a logical offset) at
 * most, and makes it the one that is appended to. Sets length and next_sequence. */
static int open_last(struct reject_log *log, struct segment *s, uint64_t max_end, bool *ret_was_cut,
                     struct error *reterr) REQUIRES(log->lock)
{
    struct reject_segment_data data;
    struct reject_entry entry;
    int r = reject_segment_read(log->dir_fd, s->start, &data, reterr);
    if (r < 0)
        return r;
    size_t at = REJECT_SEGMENT_HEADER_SIZE, n;
    log->next_sequence = s->first_sequence;
    while ((n = reject_entry_parse(data.data + at, data.size - at, log->next_sequence, &entry))) {
        if (s->start + (at + n - REJECT_SEGMENT_HEADER_SIZE) > max_end)
            break;
        at += n;
        log->next_sequence++;
    }
    log->stats.length = s->start + (at - REJECT_SEGMENT_HEADER_SIZE);
    *ret_was_cut = at < data.size;
    size_t old_size = data.size;
    reject_segment_data_release(&data);

    char name[REJECT_SEGMENT_NAME_SIZE];
    reject_segment_name(s->start, name);
    close_current(log);
    _cleanup_close_ int fd = openat(log->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || (at < old_size && ftruncate(fd, (off_t)at) < 0))
        return error_set_errno(reterr, errno, "reject log: cannot cut %s", name);
    log->stats.size_bytes -= s->size - at;
    s->size = at;
    s->is_dirty |= *ret_was_cut;
    log->fd = fd;
    fd = -1;
    return 0;
}

/* Size and first sequence of the segment at start; ERR_CORRUPT if its header is damaged. */
static int read_segment_info(struct reject_log *log, uint64_t start, struct segment *ret,
                             struct error *reterr)
{
    char name[REJECT_SEGMENT_NAME_SIZE];
    uint8_t header[REJECT_SEGMENT_HEADER_SIZE];
    struct stat st;
    reject_segment_name(start, name);
    _cleanup_close_ int fd = openat(log->dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 || fstat(fd, &st) < 0 ? -1 : pread(fd, header, sizeof header, 0);
    if (n < 0)
        return error_set_errno(reterr, errno, "reject log: cannot read %s", name);
    *ret = (struct segment){.start = start, .size = (uint64_t)st.st_size};
    if (!reject_segment_parse_header(header, (size_t)n, start, &ret->first_sequence))
        return error_set(reterr, ERR_CORRUPT, "reject log: the header of %s is damaged", name);
    return 0;
}

static int load(struct reject_log *log, struct error *reterr) REQUIRES(log->lock)
{
    _cleanup_free_ uint64_t *starts = NULL;
    size_t count;
    int r = reject_segment_list(log->dir_fd, &starts, &count, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        struct segment s;
        r = read_segment_info(log, starts[i], &s, reterr);
        if (r == ERR_CORRUPT) {
            /* What a power failure leaves of a new file; nothing of it can be read. */
            log->stats.torn_total++;
            (void)unlink_segment(log, starts[i]);
            continue;
        }
        if (r < 0)
            return r;
        GROW(log->segments, log->segments_count, log->segments_capacity);
        log->segments[log->segments_count++] = s;
        log->stats.size_bytes += s.size;
    }
    if (!log->segments_count)
        return 0;
    bool was_cut;
    r = open_last(log, &log->segments[log->segments_count - 1], UINT64_MAX, &was_cut, reterr);
    if (r < 0)
        return r;
    log->stats.torn_total += was_cut;
    return 0;
}

int reject_log_open(const char *dir, uint64_t max_size, struct reject_log **ret, struct error *reterr)
{
    if (mkdir(dir, 0750) < 0 && errno != EEXIST)
        return error_set_errno(reterr, errno, "reject log: cannot create %s", dir);
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_set_errno(reterr, errno, "reject log: cannot open %s", dir);
    struct reject_log *log = xcalloc(1, sizeof *log);
    log->dir_fd = dir_fd;
    log->fd = -1;
    log->is_dir_dirty = true;
    log->max_size = max_size < REJECT_LOG_SIZE_MIN ? REJECT_LOG_SIZE_MIN : max_size;
    log->segment_size = log->max_size / SEGMENTS_WANTED;
    if (log->segment_size > SEGMENT_SIZE_MAX)
        log->segment_size = SEGMENT_SIZE_MAX;
    mutex_init(&log->lock, RANK_REJECTS);
    mutex_lock(&log->lock);
    int r = load(log, reterr);
    mutex_unlock(&log->lock);
    if (r < 0) {
        reject_log_close(log);
        return r;
    }
    *ret = log;
    return 0;
}

void reject_log_close(struct reject_log *log)
{
    if (!log)
        return;
    mutex_lock(&log->lock);
    close_current(log);
    mutex_unlock(&log->lock);
    close(log->dir_fd);
    mutex_destroy(&log->lock);
    buffer_release(&log->entry);
    free(log->segments);
    free(log);
}

static int cut(struct reject_log *log, uint64_t length, struct error *reterr) REQUIRES(log->lock)
{
    while (log->segments_count && log->segments[log->segments_count - 1].start >= length) {
        const struct segment *s = &log->segments[log->segments_count - 1];
        close_current(log);
        int r = unlink_segment(log, s->start);
        if (r < 0)
            return error_set_errno(reterr, -r, "reject log: cannot cut it back to %llu bytes",
                                   (unsigned long long)length);
        log->stats.size_bytes -= s->size;
        log->next_sequence = s->first_sequence;
        log->segments_count--;
        log->is_dir_dirty = true;
    }
    if (log->segments_count) {
        bool was_cut;
        int r = open_last(log, &log->segments[log->segments_count - 1], length, &was_cut, reterr);
        if (r < 0)
            return r;
        if (log->stats.length < length)
            close_current(log); /* a segment's entries have no gaps: the next one starts another */
    }
    return 0;
}

int reject_log_cut(struct reject_log *log, uint64_t length, struct error *reterr)
{
    int r = 0;
    mutex_lock(&log->lock);
    if (length < log->stats.length)
        r = cut(log, length, reterr);
    else if (length > log->stats.length)
        close_current(log);
    if (r == 0)
        log->stats.length = length;
    mutex_unlock(&log->lock);
    return r;
}
