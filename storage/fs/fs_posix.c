/* The real disk. The only file that may call fsync, rename and their kin (tests/lint holds to it). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/fs/fs.h"

static int posix_create(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr)
{
    (void)fs;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set_errno(reterr, errno, "%s: cannot create", path);
    *ret_fd = fd;
    return 0;
}

static int posix_open_append(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr)
{
    (void)fs;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(reterr, errno, "%s: cannot open for writing", path);
    *ret_fd = fd;
    return 0;
}

static int posix_write(const struct fs *fs, int fd, const char *path, const void *data, size_t size,
                       uint64_t offset, struct error *reterr)
{
    (void)fs;
    const char *p = data;
    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(reterr, errno, "%s: cannot write", path);
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int posix_sync(const struct fs *fs, int fd, const char *path, struct error *reterr)
{
    (void)fs;
    return fdatasync(fd) < 0 ? error_set_errno(reterr, errno, "%s: cannot sync", path) : 0;
}

static int posix_truncate(const struct fs *fs, int fd, const char *path, uint64_t size, struct error *reterr)
{
    (void)fs;
    return ftruncate(fd, (off_t)size) < 0 ? error_set_errno(reterr, errno, "%s: cannot truncate", path) : 0;
}

static int posix_preallocate(const struct fs *fs, int fd, const char *path, uint64_t size,
                             struct error *reterr)
{
    (void)fs;
    int r = posix_fallocate(fd, 0, (off_t)size);
    return r != 0
               ? error_set_errno(reterr, r, "%s: cannot reserve %llu bytes", path, (unsigned long long)size)
               : 0;
}

static int posix_close(const struct fs *fs, int fd, const char *path, struct error *reterr)
{
    (void)fs;
    return close(fd) < 0 ? error_set_errno(reterr, errno, "%s: cannot close", path) : 0;
}

static int posix_rename(const struct fs *fs, const char *from, const char *to, struct error *reterr)
{
    (void)fs;
    return rename(from, to) < 0 ? error_set_errno(reterr, errno, "%s: cannot rename to %s", from, to) : 0;
}

static int posix_link(const struct fs *fs, const char *from, const char *to, struct error *reterr)
{
    (void)fs;
    return link(from, to) < 0 ? error_set_errno(reterr, errno, "%s: cannot link to %s", from, to) : 0;
}

static int posix_symlink(const struct fs *fs, const char *target, const char *path, struct error *reterr)
{
    (void)fs;
    return symlink(target, path) < 0
               ? error_set_errno(reterr, errno, "%s: cannot make a symbolic link to %s", path, target)
               : 0;
}

static int posix_unlink(const struct fs *fs, const char *path, struct error *reterr)
{
    (void)fs;
    return unlink(path) < 0 ? error_set_errno(reterr, errno, "%s: cannot delete", path) : 0;
}

static int posix_mkdir(const struct fs *fs, const char *path, struct error *reterr)
{
    (void)fs;
    if (mkdir(path, 0750) == 0 || (errno == EEXIST && fs_is_dir(path)))
        return 0;
    return error_set_errno(reterr, errno, "%s: cannot make the directory", path);
}

static int posix_rmdir(const struct fs *fs, const char *path, struct error *reterr)
{
    (void)fs;
    return rmdir(path) < 0 ? error_set_errno(reterr, errno, "%s: cannot remove the directory", path) : 0;
}

static int posix_sync_dir(const struct fs *fs, const char *path, struct error *reterr)
{
    (void)fs;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(reterr, errno, "%s: cannot open the directory", path);
    int r = fsync(fd) < 0 ? error_set_errno(reterr, errno, "%s: cannot sync the directory", path) : 0;
    (void)close(fd);
    return r;
}

static uint64_t posix_free_bytes(const struct fs *fs, const char *path)
{
    (void)fs;
    struct statvfs st;
    return statvfs(path, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : 0;
}

static void posix_write_behind(const struct fs *fs, int fd, uint64_t from, uint64_t to)
{
    (void)fs;
    if (from < to)
        (void)sync_file_range(fd, (off_t)from, (off_t)(to - from), SYNC_FILE_RANGE_WRITE);
    if (from > 0)
        (void)posix_fadvise(fd, 0, (off_t)from, POSIX_FADV_DONTNEED); /* of what is on the disk by now */
}

static const struct fs_ops posix_ops = {
    .create = posix_create,
    .open_append = posix_open_append,
    .write = posix_write,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .preallocate = posix_preallocate,
    .close = posix_close,
    .rename = posix_rename,
    .link = posix_link,
    .symlink = posix_symlink,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .sync_dir = posix_sync_dir,
    .free_bytes = posix_free_bytes,
    .write_behind = posix_write_behind,
};

const struct fs fs_posix = {.ops = &posix_ops};
