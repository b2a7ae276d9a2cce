#include "storage/fs/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"

/* Large enough that a part's files are written in few calls, small enough for many writers at once. */
#define FS_FILE_BUFFER_BYTES ((size_t)256 << 10)

/* A streamed file goes to the disk in steps of these. */
#define FS_BEHIND_BYTES ((uint64_t)8 << 20)

static char *parent_of(const char *path)
{
    char *copy = xstrdup(path);
    char *parent = xstrdup(dirname(copy));
    free(copy);
    return parent;
}

int fs_write_file(const struct fs *fs, const char *path, const void *data, size_t size, struct error *reterr)
{
    struct fs_file f;
    int r = fs_file_create(&f, fs, path, reterr);
    if (r < 0)
        return r;
    r = fs_file_append(&f, data, size, reterr);
    if (r < 0) {
        fs_file_abandon(&f);
        return r;
    }
    return fs_file_finish(&f, reterr);
}

int fs_replace_file(const struct fs *fs, const char *path, const void *data, size_t size,
                    struct error *reterr)
{
    _cleanup_free_ char *tmp = xasprintf("%s.tmp", path);
    _cleanup_free_ char *parent = parent_of(path);
    int r = 0;
    if (fs_exists(tmp))
        r = fs->ops->unlink(fs, tmp, reterr);
    if (r == 0)
        r = fs_write_file(fs, tmp, data, size, reterr);
    if (r == 0)
        r = fs->ops->rename(fs, tmp, path, reterr);
    if (r == 0)
        r = fs->ops->sync_dir(fs, parent, reterr);
    return r;
}

int fs_make_dirs(const struct fs *fs, const char *path, bool durable, struct error *reterr)
{
    if (fs_is_dir(path))
        return 0;
    _cleanup_free_ char *parent = parent_of(path);
    int r = fs_make_dirs(fs, parent, durable, reterr);
    if (r == 0)
        r = fs->ops->mkdir(fs, path, reterr);
    if (r == 0 && durable)
        r = fs->ops->sync_dir(fs, parent, reterr);
    return r;
}

int fs_remove_tree(const struct fs *fs, const char *path, struct error *reterr)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_set_errno(reterr, errno, "%s: cannot look at it", path);
    if (!S_ISDIR(st.st_mode))
        return fs->ops->unlink(fs, path, reterr);
    struct fs_list list;
    int r = fs_list_dir(&list, path, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        _cleanup_free_ char *child = xasprintf("%s/%s", path, list.names[i]);
        r = fs_remove_tree(fs, child, reterr);
    }
    fs_list_release(&list);
    return r < 0 ? r : fs->ops->rmdir(fs, path, reterr);
}

int fs_file_create(struct fs_file *f, const struct fs *fs, const char *path, struct error *reterr)
{
    int fd;
    int r = fs->ops->create(fs, path, &fd, reterr);
    if (r < 0) {
        *f = (struct fs_file){.fd = -1};
        return r;
    }
    *f = (struct fs_file){.fs = fs, .path = xstrdup(path), .fd = fd};
    return 0;
}

static int write_pending(struct fs_file *f, struct error *reterr)
{
    if (!f->pending.len)
        return 0;
    int r = f->fs->ops->write(f->fs, f->fd, f->path, f->pending.data, f->pending.len,
                              f->size - f->pending.len, reterr);
    if (r < 0)
        return r;
    buffer_clear(&f->pending);
    if (f->is_streamed && f->fs->ops->write_behind && f->size - f->written_behind >= FS_BEHIND_BYTES) {
        f->fs->ops->write_behind(f->fs, f->fd, f->written_behind, f->size);
        f->written_behind = f->size;
    }
    return 0;
}

int fs_file_append(struct fs_file *f, const void *data, size_t size, struct error *reterr)
{
    buffer_append(&f->pending, data, size);
    f->size += size;
    f->crc = crc32c(f->crc, data, size);
    return f->pending.len < FS_FILE_BUFFER_BYTES ? 0 : write_pending(f, reterr);
}

int fs_file_finish(struct fs_file *f, struct error *reterr)
{
    int r = write_pending(f, reterr);
    if (r == 0)
        r = f->fs->ops->sync(f->fs, f->fd, f->path, reterr);
    if (r == 0 && f->is_streamed && f->fs->ops->write_behind)
        f->fs->ops->write_behind(f->fs, f->fd, f->size, f->size);
    if (r == 0) {
        int fd = f->fd;
        f->fd = -1;
        r = f->fs->ops->close(f->fs, fd, f->path, reterr);
    }
    fs_file_abandon(f);
    return r;
}

void fs_file_abandon(struct fs_file *f)
{
    if (!f->path)
        return;
    if (f->fd >= 0)
        (void)f->fs->ops->close(f->fs, f->fd, f->path, NULL);
    buffer_release(&f->pending);
    free(f->path);
    uint64_t size = f->size;
    uint32_t crc = f->crc;
    *f = (struct fs_file){.fd = -1, .size = size, .crc = crc};
}

int fs_read_file(const char *path, size_t max, struct buffer *dst, struct error *reterr)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(reterr, errno, "%s: cannot open", path);
    if ((uint64_t)st.st_size > max)
        return error_set(reterr, ERR_INVALID, "%s: %lld bytes, more than the %zu expected of such a file",
                         path, (long long)st.st_size, max);
    size_t left = (size_t)st.st_size;
    uint8_t *p = buffer_reserve(dst, left);
    while (left > 0) {
        ssize_t n = read(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(reterr, n < 0 ? errno : EIO, "%s: cannot read", path);
        p += n;
        left -= (size_t)n;
    }
    dst->len += (size_t)st.st_size;
    return 0;
}

bool fs_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t fs_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

int fs_map_file(struct fs_map *m, const char *path, struct error *reterr)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(reterr, errno, "%s: cannot open", path);
    if (!S_ISREG(st.st_mode))
        return error_set(reterr, ERR_CORRUPT, "%s: not a regular file", path);
    struct fs_map map = {.data = NULL, .size = (size_t)st.st_size};
    if (map.size) {
        void *p = mmap(NULL, map.size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            return error_set_errno(reterr, errno, "%s: cannot map", path);
        map.data = p;
    }
    *m = map;
    return 0;
}

void fs_map_release(struct fs_map *m)
{
    if (m->data)
        (void)munmap((void *)m->data, m->size);
    *m = (struct fs_map){0};
}

void fs_map_sequential(const struct fs_map *m, bool is_sequential)
{
    if (m->data)
        (void)madvise((void *)m->data, m->size, is_sequential ? MADV_SEQUENTIAL : MADV_NORMAL);
}

void fs_map_behind(const struct fs_map *m, uint64_t from, uint64_t to)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGE_SIZE);
    from -= from % page;
    to -= to % page;
#ifdef MADV_COLD
    if (m->data && from < to)
        (void)madvise((void *)(m->data + from), to - from,
                      MADV_COLD); /* the first to go when memory is short */
#else
    (void)m;
#endif
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_list_dir(struct fs_list *list, const char *path, struct error *reterr)
{
    DIR *dir = opendir(path);
    if (!dir)
        return error_set_errno(reterr, errno, "%s: cannot list", path);
    struct fs_list out = {0};
    size_t capacity = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        GROW(out.names, out.count, capacity);
        out.names[out.count++] = xstrdup(entry->d_name);
    }
    closedir(dir);
    if (out.count)
        qsort(out.names, out.count, sizeof *out.names, compare_names);
    *list = out;
    return 0;
}

void fs_list_release(struct fs_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct fs_list){0};
}
