#include "sinks/mqtt/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "sinks/mqtt/spool_internal.h"
#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"

/* Memory for what the disk hasn't taken yet: with so much of it, nothing more comes in. */
#define PENDING_MAX (32u * 1024 * 1024)
/* Bytes of a last segment whose records are all stored: a larger one gives its place on the disk back. */
#define TAIL_MAX (64u * 1024)
/* For the headers of segments that are begun for what was taken before the bound. */
#define HEADROOM (4 * SPOOL_SEGMENT_HEADER_SIZE)

void spool_close(struct spool *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->dir_fd >= 0)
        (void)close(s->dir_fd);
    buffer_release(&s->pending);
    buffer_release(&s->writing);
    mutex_destroy(&s->io_lock);
    mutex_destroy(&s->lock);
    cond_destroy(&s->appended);
    cond_destroy(&s->advanced);
    free(s->files);
    free(s);
}

const char *spool_id(const struct spool *s)
{
    return s->id;
}

int spool_dir_fd(const struct spool *s)
{
    return s->dir_fd;
}

const struct spool_fs *spool_filesystem(const struct spool *s)
{
    return s->fs;
}

static uint64_t used_bytes(const struct spool *s)
{
    return s->file_bytes + s->pending.len;
}

int spool_append(struct spool *s, const struct spool_record *record, bool is_forced, uint64_t *ret_lsn)
{
    size_t size = spool_record_size(record);
    int r = 0;
    mutex_lock(&s->lock);
    if (s->failed && !(is_forced && s->keep_unwritten)) {
        r = ERR_IO;
    } else if (!is_forced &&
               (used_bytes(s) + size + HEADROOM > s->max_bytes || s->pending.len >= PENDING_MAX)) {
        r = ERR_FULL;
    } else {
        struct spool_record numbered = *record;
        numbered.lsn = s->next_lsn;
        if (s->pending.len == 0)
            cond_broadcast(&s->appended);
        spool_record_append(&s->pending, &numbered);
        *ret_lsn = s->next_lsn++;
    }
    mutex_unlock(&s->lock);
    return r;
}

/* The list's last entry is the file that begins at lsn, with so many bytes. */
static void list_last_file(struct spool *s, uint64_t lsn, uint64_t bytes) REQUIRES(s->io_lock)
{
    mutex_lock(&s->lock);
    if (!s->files_count || s->files[s->files_count - 1].first_lsn != lsn) {
        GROW(s->files, s->files_count, s->files_capacity);
        s->files[s->files_count++] = (struct spool_file){.first_lsn = lsn};
    }
    struct spool_file *f = &s->files[s->files_count - 1];
    s->file_bytes = s->file_bytes - f->bytes + bytes;
    f->bytes = bytes;
    mutex_unlock(&s->lock);
}

/* A new last file, whose first record is lsn. It's listed even if it can't be finished: it may be there, and
 * has to go before a file that begins earlier is written. */
static int begin_file(struct spool *s, uint64_t lsn) REQUIRES(s->io_lock)
{
    char name[SPOOL_SEGMENT_NAME_SIZE];
    uint8_t header[SPOOL_SEGMENT_HEADER_SIZE];
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint32_t)clock_now_ns();
    spool_segment_name(lsn, name);
    spool_segment_put_header(header, lsn, seed);
    int fd = s->fs->create(s->fs, s->dir_fd, name);
    if (fd < 0)
        return fd;
    s->is_dir_dirty = true;
    int r = spool_fs_write_all(s->fs, fd, header, sizeof header);
    list_last_file(s, lsn, r < 0 ? 0 : sizeof header);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    s->fd = fd;
    s->seed = seed;
    FAULT_POINT("spool_begun");
    return 0;
}

/* What is in s->writing goes to the file; on failure it stays there, and the file is as before. */
static int write_out(struct spool *s, uint64_t first_lsn) REQUIRES(s->io_lock)
{
    int r = 0;
    if (s->fd < 0)
        r = begin_file(s, first_lsn);
    if (r < 0)
        return r;
    spool_records_seal(s->writing.data, s->writing.len, s->seed);
    r = spool_fs_write_all(s->fs, s->fd, s->writing.data, s->writing.len);
    if (r < 0) {
        mutex_lock(&s->lock);
        uint64_t size = s->files[s->files_count - 1].bytes;
        mutex_unlock(&s->lock);
        (void)s->fs->truncate(s->fs, s->fd, size);
    }
    return r;
}

static int fail(struct spool *s, int errnum, const char *what, struct error *reterr)
{
    mutex_lock(&s->lock);
    s->failed = true;
    s->stats.failures_total++;
    cond_broadcast(&s->advanced);
    mutex_unlock(&s->lock);
    return error_set_errno(reterr, errnum, "spool: %s", what);
}

static int write_locked(struct spool *s, struct error *reterr) REQUIRES(s->io_lock)
{
    mutex_lock(&s->lock);
    if (s->failed) {
        mutex_unlock(&s->lock);
        return error_set(reterr, ERR_IO, "spool: it has failed");
    }
    uint64_t first = s->written_lsn, end = s->next_lsn;
    if (s->writing.len == 0) {
        struct buffer taken = s->pending;
        s->pending = s->writing;
        s->writing = taken;
    } else if (s->pending.len) { /* kept from a write that failed */
        buffer_append(&s->writing, s->pending.data, s->pending.len);
        buffer_clear(&s->pending);
    }
    s->file_bytes += s->writing.len;
    mutex_unlock(&s->lock);
    if (s->writing.len == 0)
        return 0;

    FAULT_POINT("spool_before_write");
    int r = write_out(s, first);
    mutex_lock(&s->lock);
    if (r < 0)
        s->file_bytes -= s->writing.len;
    else {
        s->files[s->files_count - 1].bytes += s->writing.len;
        s->written_lsn = end;
        buffer_clear(&s->writing);
    }
    mutex_unlock(&s->lock);
    if (r < 0)
        return fail(s, -r, "cannot write", reterr);
    FAULT_POINT("spool_written");
    return 0;
}

int spool_write(struct spool *s, struct error *reterr)
{
    mutex_lock(&s->io_lock);
    int r = write_locked(s, reterr);
    mutex_unlock(&s->io_lock);
    return r;
}

/* Whether all of the last segment is below what was trimmed, and it's worth a new one. */
static bool is_last_done(const struct spool *s) REQUIRES(s->lock)
{
    return s->files_count && s->trimmed_lsn >= s->written_lsn && s->durable_lsn == s->written_lsn &&
           s->files[s->files_count - 1].bytes > TAIL_MAX;
}

static bool is_commit_due(const struct spool *s) REQUIRES(s->lock)
{
    return !s->failed && (s->next_lsn != s->durable_lsn || is_last_done(s));
}

bool spool_wait_appended(struct spool *s, int64_t timeout_ms)
{
    mutex_lock(&s->lock);
    if (!is_commit_due(s))
        (void)cond_wait_ms(&s->appended, &s->lock, timeout_ms);
    bool is_due = is_commit_due(s);
    mutex_unlock(&s->lock);
    return is_due;
}

int spool_commit(struct spool *s, struct error *reterr)
{
    mutex_lock(&s->io_lock);
    mutex_lock(&s->lock);
    uint64_t trimmed = s->trimmed_lsn, written = s->written_lsn;
    bool is_done = !s->failed && is_last_done(s);
    if (is_done)
        s->trimmed_lsn = 0; /* tried once, or it would be tried all the time while it fails */
    mutex_unlock(&s->lock);
    if (is_done && s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
    }
    int r = write_locked(s, reterr);
    if (r == 0 && is_done && s->fd < 0) /* nothing was written */
        (void)begin_file(s, written);
    int fd = s->fd;
    mutex_lock(&s->lock);
    uint64_t end = s->written_lsn, durable = s->durable_lsn;
    bool is_full = fd >= 0 && s->files[s->files_count - 1].bytes >= s->segment_size;
    mutex_unlock(&s->lock);
    if (r == 0 && is_full) {
        /* Synced and closed below. The next one is there at once, so that this one can be trimmed; if that
         * fails now, the next write tries it again. */
        s->fd = -1;
        (void)begin_file(s, end);
    }
    bool is_dir_dirty = s->is_dir_dirty;
    if (r == 0)
        s->is_dir_dirty = false; /* when the fsync fails, spool_recover has one of its own */
    mutex_unlock(&s->io_lock);
    if (r < 0 || (end == durable && !is_full && !is_dir_dirty))
        return r;

    const char *what = "cannot fsync a segment";
    if (end != durable && fd >= 0)
        r = s->fs->sync_data(s->fs, fd);
    if (r == 0 && is_dir_dirty) {
        what = "cannot fsync the directory";
        r = s->fs->sync_dir(s->fs, s->dir_fd);
    }
    if (is_full)
        (void)close(fd);
    if (r < 0)
        return fail(s, -r, what, reterr);

    FAULT_POINT("spool_synced");
    mutex_lock(&s->lock);
    s->durable_lsn = end;
    s->stats.commits_total++;
    cond_broadcast(&s->advanced);
    mutex_unlock(&s->lock);
    if (is_done)
        spool_trim(s, trimmed);
    return 0;
}

bool spool_has_failed(struct spool *s)
{
    mutex_lock(&s->lock);
    bool failed = s->failed;
    mutex_unlock(&s->lock);
    return failed;
}

/* Files that begin at lsn or later hold nothing that counts, and would be taken for what comes later: they
 * have to be gone. */
static int drop_files_from(struct spool *s, uint64_t lsn) REQUIRES(s->io_lock)
{
    int r = 0;
    mutex_lock(&s->lock);
    while (r == 0 && s->files_count && s->files[s->files_count - 1].first_lsn >= lsn) {
        struct spool_file f = s->files[s->files_count - 1];
        char name[SPOOL_SEGMENT_NAME_SIZE];
        spool_segment_name(f.first_lsn, name);
        r = s->fs->remove(s->fs, s->dir_fd, name);
        if (r == -ENOENT)
            r = 0;
        if (r == 0) {
            s->files_count--;
            s->file_bytes -= f.bytes;
        }
    }
    mutex_unlock(&s->lock);
    return r;
}

static void give_up_undurable(struct spool *s) REQUIRES(s->io_lock)
{
    mutex_lock(&s->lock);
    uint64_t durable = s->durable_lsn;
    s->stats.discarded_total += s->next_lsn - durable;
    s->next_lsn = s->written_lsn = durable;
    buffer_clear(&s->pending);
    buffer_clear(&s->writing);
    mutex_unlock(&s->lock);
}

int spool_recover(struct spool *s, struct error *reterr)
{
    mutex_lock(&s->io_lock);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    if (!s->keep_unwritten)
        give_up_undurable(s);
    mutex_lock(&s->lock);
    uint64_t first = s->written_lsn;
    mutex_unlock(&s->lock);
    int r = drop_files_from(s, first);
    if (r == 0)
        r = begin_file(s, first);
    if (r == 0)
        r = s->fs->sync_data(s->fs, s->fd);
    if (r == 0)
        r = s->fs->sync_dir(s->fs, s->dir_fd);
    if (r == 0) {
        s->is_dir_dirty = false;
        mutex_lock(&s->lock);
        s->failed = false;
        s->durable_lsn = first; /* with keep_unwritten: what the page cache still has, it has */
        cond_broadcast(&s->appended);
        mutex_unlock(&s->lock);
    }
    mutex_unlock(&s->io_lock);
    return r < 0 ? error_set_errno(reterr, -r, "spool: cannot begin a new segment") : 0;
}

uint64_t spool_durable_lsn(struct spool *s)
{
    mutex_lock(&s->lock);
    uint64_t lsn = s->durable_lsn;
    mutex_unlock(&s->lock);
    return lsn;
}

bool spool_wait_durable(struct spool *s, uint64_t lsn, int64_t timeout_ms)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    mutex_lock(&s->lock);
    uint64_t wakes = s->wakes;
    while (s->durable_lsn <= lsn && wakes == s->wakes) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0 || !cond_wait_ms(&s->advanced, &s->lock, left))
            break;
    }
    bool is_durable = s->durable_lsn > lsn;
    mutex_unlock(&s->lock);
    return is_durable;
}

void spool_wake(struct spool *s)
{
    mutex_lock(&s->lock);
    s->wakes++;
    cond_broadcast(&s->advanced);
    cond_broadcast(&s->appended);
    mutex_unlock(&s->lock);
}

void spool_skip_to(struct spool *s, uint64_t lsn)
{
    mutex_lock(&s->io_lock);
    mutex_lock(&s->lock);
    bool is_ahead = lsn > s->next_lsn;
    if (is_ahead)
        s->next_lsn = s->written_lsn = s->durable_lsn = lsn;
    mutex_unlock(&s->lock);
    if (is_ahead && s->fd >= 0) {
        (void)close(s->fd); /* records of a segment have no gaps */
        s->fd = -1;
    }
    mutex_unlock(&s->io_lock);
}

uint64_t spool_trimmable(struct spool *s, uint64_t lsn)
{
    uint64_t bytes = 0;
    mutex_lock(&s->lock);
    for (size_t i = 0; i + 1 < s->files_count && s->files[i + 1].first_lsn <= lsn &&
                       s->files[i + 1].first_lsn <= s->durable_lsn;
         i++)
        bytes += s->files[i].bytes;
    if (s->files_count && lsn >= s->written_lsn && s->durable_lsn == s->written_lsn &&
        s->files[s->files_count - 1].bytes > TAIL_MAX)
        bytes += s->files[s->files_count - 1].bytes;
    mutex_unlock(&s->lock);
    return bytes;
}

void spool_trim(struct spool *s, uint64_t lsn)
{
    uint64_t *gone = NULL;
    size_t n = 0, capacity = 0;
    mutex_lock(&s->lock);
    if (lsn > s->trimmed_lsn) {
        s->trimmed_lsn = lsn;
        if (is_last_done(s))
            cond_broadcast(&s->appended);
    }
    while (n + 1 < s->files_count && s->files[n + 1].first_lsn <= lsn &&
           s->files[n + 1].first_lsn <= s->durable_lsn) {
        GROW(gone, n, capacity);
        gone[n] = s->files[n].first_lsn;
        s->file_bytes -= s->files[n].bytes;
        n++;
    }
    if (n) {
        memmove(s->files, s->files + n, (s->files_count - n) * sizeof *s->files);
        s->files_count -= n;
    }
    mutex_unlock(&s->lock);
    /* Without the lock: appends don't wait for it. One that can't be removed is found again at the next open.
     */
    for (size_t i = 0; i < n; i++) {
        char name[SPOOL_SEGMENT_NAME_SIZE];
        spool_segment_name(gone[i], name);
        (void)s->fs->remove(s->fs, s->dir_fd, name);
        FAULT_POINT("spool_trimmed");
    }
    free(gone);
}

bool spool_has_room(struct spool *s)
{
    mutex_lock(&s->lock);
    bool has_room = used_bytes(s) <= s->max_bytes - s->max_bytes / 4 && s->pending.len <= PENDING_MAX / 4;
    mutex_unlock(&s->lock);
    return has_room;
}

void spool_get_stats(struct spool *s, struct spool_stats *ret)
{
    mutex_lock(&s->lock);
    *ret = s->stats;
    ret->bytes = used_bytes(s);
    ret->first_lsn = s->files_count ? s->files[0].first_lsn : s->next_lsn;
    ret->next_lsn = s->next_lsn;
    ret->durable_lsn = s->durable_lsn;
    ret->segments = s->files_count;
    mutex_unlock(&s->lock);
}

bool spool_find_segment(struct spool *s, uint64_t lsn, uint64_t *ret_first, uint64_t *ret_end,
                        bool *ret_is_last)
{
    bool found = false;
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->files_count && !found; i++) {
        bool is_last = i + 1 == s->files_count;
        uint64_t end = is_last ? s->durable_lsn : s->files[i + 1].first_lsn;
        if (end > s->durable_lsn)
            end = s->durable_lsn;
        if (lsn >= end)
            continue;
        *ret_first = s->files[i].first_lsn;
        *ret_end = end;
        *ret_is_last = is_last;
        found = true;
    }
    mutex_unlock(&s->lock);
    return found;
}
