/* Opening a spool: its id, its segments, its torn tail. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sinks/mqtt/spool_internal.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"

#define ID_FILE          "spool-id"
#define SEGMENTS_WANTED  16
#define SEGMENT_SIZE_MIN (64u * 1024)
#define SEGMENT_SIZE_MAX (16u * 1024 * 1024)
#define DIRECTORY_MODE   0750

static int make_directories(const char *path, struct error *reterr)
{
    _cleanup_free_ char *copy = xstrdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(copy, DIRECTORY_MODE) < 0 && errno != EEXIST)
            return error_set_errno(reterr, errno, "spool: cannot create %s", copy);
        *p = c;
        if (!c)
            return 0;
    }
}

/* Makes the directory's name durable, and those of the directories above it: which of them are new isn't
 * known, as a killed process may have made them. Ends at the first that can't be read; one of a file system
 * that can't sync, or isn't written to, holds nothing new. */
static int sync_above(const struct spool_fs *fs, const char *path, struct error *reterr)
{
    _cleanup_free_ char *copy = xstrdup(path);
    size_t len = strlen(copy);
    int r = 0;
    while (r == 0 && len) {
        while (len > 1 && copy[len - 1] == '/')
            len--;
        while (len && copy[len - 1] != '/')
            len--;
        copy[len] = '\0';
        const char *parent = len ? copy : ".";
        int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            break;
        r = fs->sync_dir(fs, fd);
        (void)close(fd);
        if (r == -EINVAL || r == -EROFS)
            r = 0;
        if (r < 0)
            return error_set_errno(reterr, -r, "spool: cannot fsync %s", parent);
        if (len == 1)
            break;
    }
    return 0;
}

static int read_id(struct spool *s, struct error *reterr)
{
    _cleanup_close_ int fd = openat(s->dir_fd, ID_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(reterr, errno, "spool: cannot open %s", ID_FILE);
    char text[SPOOL_ID_SIZE + 1];
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return error_set_errno(reterr, errno, "spool: cannot read %s", ID_FILE);
    if (n != SPOOL_ID_SIZE || text[SPOOL_ID_SIZE - 1] != '\n')
        return error_set(reterr, ERR_CORRUPT, "spool: %s is damaged", ID_FILE);
    for (int i = 0; i < SPOOL_ID_SIZE - 1; i++) {
        if (!strchr("0123456789abcdef", text[i]) || !text[i])
            return error_set(reterr, ERR_CORRUPT, "spool: %s is damaged", ID_FILE);
    }
    memcpy(s->id, text, SPOOL_ID_SIZE - 1);
    s->id[SPOOL_ID_SIZE - 1] = '\0';
    return 0;
}

static int make_id(struct spool *s, struct error *reterr)
{
    uint8_t random[(SPOOL_ID_SIZE - 1) / 2];
    char text[SPOOL_ID_SIZE + 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set_errno(reterr, errno, "spool: no random bytes for its id");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    text[SPOOL_ID_SIZE - 1] = '\n';
    int r = spool_fs_replace(s->fs, s->dir_fd, ID_FILE, text, SPOOL_ID_SIZE);
    if (r < 0)
        return error_set_errno(reterr, -r, "spool: cannot write %s", ID_FILE);
    memcpy(s->id, text, SPOOL_ID_SIZE - 1);
    s->id[SPOOL_ID_SIZE - 1] = '\0';
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct spool_file *x = a, *y = b;
    return x->first_lsn < y->first_lsn ? -1 : x->first_lsn > y->first_lsn;
}

static int list_files(struct spool *s, struct error *reterr)
{
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return error_set_errno(reterr, errno, "spool: cannot read its directory");
    int r = 0;
    for (struct dirent *e; r == 0 && (errno = 0, e = readdir(dir));) {
        struct spool_file f;
        struct stat st;
        if (!spool_segment_parse_name(e->d_name, &f.first_lsn))
            continue;
        if (fstatat(s->dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            r = error_set_errno(reterr, errno, "spool: cannot stat %s", e->d_name);
            break;
        }
        f.bytes = (uint64_t)st.st_size;
        GROW(s->files, s->files_count, s->files_capacity);
        s->files[s->files_count++] = f;
        s->file_bytes += f.bytes;
    }
    if (r == 0 && errno)
        r = error_set_errno(reterr, errno, "spool: cannot read its directory");
    (void)closedir(dir);
    if (s->files_count)
        qsort(s->files, s->files_count, sizeof *s->files, compare_files);
    return r;
}

/* Everything found has to be on disk before it's announced as durable: a killed process leaves records that
 * only the page cache has. */
static int sync_file(struct spool *s, uint64_t first_lsn, struct error *reterr)
{
    char name[SPOOL_SEGMENT_NAME_SIZE];
    spool_segment_name(first_lsn, name);
    _cleanup_close_ int fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(reterr, errno, "spool: cannot open %s", name);
    int r = s->fs->sync_data(s->fs, fd);
    return r < 0 ? error_set_errno(reterr, -r, "spool: cannot fsync %s", name) : 0;
}

/* Where the whole records of a segment end, and the LSN after the last. False if its header is damaged. */
static bool scan(const uint8_t *data, size_t size, uint64_t first_lsn, uint64_t *ret_lsn, size_t *ret_end)
{
    uint32_t seed;
    if (!spool_segment_parse_header(data, size, first_lsn, &seed))
        return false;
    size_t end = SPOOL_SEGMENT_HEADER_SIZE, record_size;
    uint64_t lsn = first_lsn;
    struct spool_record record;
    while (spool_record_parse(data + end, size - end, seed, lsn, &record, &record_size) == SPOOL_PARSE_OK) {
        end += record_size;
        lsn++;
    }
    *ret_lsn = lsn;
    *ret_end = end;
    return true;
}

struct scanned {
    int fd;
    uint64_t next_lsn; /* after the last whole record */
    size_t end;        /* of that record */
    bool is_whole;     /* the header is */
};

static int scan_file(struct spool *s, const struct spool_file *f, struct scanned *ret, struct error *reterr)
{
    char name[SPOOL_SEGMENT_NAME_SIZE];
    spool_segment_name(f->first_lsn, name);
    *ret = (struct scanned){.next_lsn = f->first_lsn};
    ret->fd = openat(s->dir_fd, name, O_RDWR | O_APPEND | O_CLOEXEC);
    if (ret->fd < 0)
        return error_set_errno(reterr, errno, "spool: cannot open %s", name);
    size_t size = (size_t)f->bytes;
    if (!size)
        return 0;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, ret->fd, 0);
    if (data == MAP_FAILED) {
        int errnum = errno;
        (void)close(ret->fd);
        return error_set_errno(reterr, errnum, "spool: cannot map %s", name);
    }
    ret->is_whole = scan(data, size, f->first_lsn, &ret->next_lsn, &ret->end);
    (void)munmap(data, size);
    return 0;
}

static int remove_last(struct spool *s, struct error *reterr)
{
    struct spool_file f = s->files[--s->files_count];
    char name[SPOOL_SEGMENT_NAME_SIZE];
    spool_segment_name(f.first_lsn, name);
    s->file_bytes -= f.bytes;
    int r = s->fs->remove(s->fs, s->dir_fd, name);
    return r < 0 ? error_set_errno(reterr, -r, "spool: cannot remove %s", name) : 0;
}

/* A segment is begun before the one before it is synced: after a power failure the older one may lack its
 * end, and the newer one has nothing yet. Then the older one is the last. */
static int drop_if_begun_too_early(struct spool *s, bool *ret_dropped, struct error *reterr)
{
    const struct spool_file *last = &s->files[s->files_count - 1];
    struct scanned before;
    *ret_dropped = false;
    if (s->files_count < 2)
        return 0;
    int r = scan_file(s, last - 1, &before, reterr);
    if (r < 0)
        return r;
    (void)close(before.fd);
    *ret_dropped = before.next_lsn < last->first_lsn;
    return *ret_dropped ? remove_last(s, reterr) : 0;
}

/* The last segment: cut at its last whole record. It isn't gone on with: if an fsync of it failed before this
 * process began, its end may be in the page cache only, where an fsync that succeeds now doesn't tell. What
 * comes next has to be found even if that end is lost, so it goes to a segment of its own. */
static int open_last(struct spool *s, struct error *reterr)
{
    struct spool_file *f = &s->files[s->files_count - 1];
    struct scanned found;
    bool was_dropped = false;
    int r = scan_file(s, f, &found, reterr);
    if (r < 0)
        return r;
    s->next_lsn = found.next_lsn;
    if (found.next_lsn == f->first_lsn) {
        r = drop_if_begun_too_early(s, &was_dropped, reterr);
        if (r < 0 || was_dropped) {
            (void)close(found.fd);
            return r < 0 ? r : open_last(s, reterr);
        }
    }
    uint64_t size = f->bytes;
    if (!found.is_whole) { /* what a power failure leaves of a file just begun */
        (void)close(found.fd);
        s->stats.torn_bytes += size;
        return remove_last(s, reterr);
    }
    if (found.end < size)
        r = s->fs->truncate(s->fs, found.fd, found.end);
    if (found.end < size)
        FAULT_POINT("spool_cut");
    if (r == 0)
        r = s->fs->sync_data(s->fs, found.fd);
    (void)close(found.fd);
    if (r < 0)
        return error_set_errno(reterr, -r, "spool: cannot cut the torn end of the last segment");
    s->stats.torn_bytes += size - found.end;
    s->file_bytes -= size - found.end;
    f->bytes = found.end;
    return 0;
}

int spool_load(struct spool *s, const char *path, struct error *reterr)
{
    int r = list_files(s, reterr);
    if (r < 0)
        return r;
    r = read_id(s, reterr);
    if (r == ERR_NOT_FOUND && s->files_count)
        return error_set(reterr, ERR_CORRUPT, "spool: segments but no %s; move them away, or bring it back",
                         ID_FILE);
    if (r == ERR_NOT_FOUND) { /* with an id, the spool's directory has been made durable */
        r = sync_above(s->fs, path, reterr);
        if (r == 0)
            r = make_id(s, reterr);
    }
    for (size_t i = 0; r == 0 && i + 1 < s->files_count; i++)
        r = sync_file(s, s->files[i].first_lsn, reterr);
    s->next_lsn = 1;
    if (r == 0 && s->files_count)
        r = open_last(s, reterr);
    if (r == 0) {
        r = s->fs->sync_dir(s->fs, s->dir_fd);
        if (r < 0)
            return error_set_errno(reterr, -r, "spool: cannot fsync its directory");
    }
    s->written_lsn = s->durable_lsn = s->next_lsn;
    return r;
}

int spool_open(struct spool **ret, const struct spool_options *options, struct error *reterr)
{
    int r = make_directories(options->path, reterr);
    if (r < 0)
        return r;
    int dir_fd = open(options->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_set_errno(reterr, errno, "spool: cannot open %s", options->path);
    if (flock(dir_fd, LOCK_EX | LOCK_NB) < 0) {
        int errnum = errno;
        (void)close(dir_fd);
        return errnum == EWOULDBLOCK
                   ? error_set(reterr, ERR_BUSY, "spool: %s is in use by another process", options->path)
                   : error_set_errno(reterr, errnum, "spool: cannot lock %s", options->path);
    }
    struct spool *s = xcalloc(1, sizeof *s);
    s->fs = options->fs ? options->fs : &spool_fs_posix;
    s->dir_fd = dir_fd;
    s->fd = -1;
    s->max_bytes = options->max_bytes;
    s->keep_unwritten = options->keep_unwritten;
    s->segment_size = options->max_bytes / SEGMENTS_WANTED;
    if (s->segment_size < SEGMENT_SIZE_MIN)
        s->segment_size = SEGMENT_SIZE_MIN;
    if (s->segment_size > SEGMENT_SIZE_MAX)
        s->segment_size = SEGMENT_SIZE_MAX;
    mutex_init(&s->io_lock, RANK_REJECTS);
    mutex_init(&s->lock, RANK_LEAF);
    cond_init(&s->appended);
    cond_init(&s->advanced);
    r = spool_load(s, options->path, reterr);
    if (r < 0) {
        spool_close(s);
        return error_prefix(reterr, r, "%s", options->path);
    }
    *ret = s;
    return 0;
}
