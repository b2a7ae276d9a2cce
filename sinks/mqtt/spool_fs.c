#include "sinks/mqtt/spool_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int posix_create(const struct spool_fs *fs, int dir_fd, const char *name)
{
    (void)fs;
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

static ssize_t posix_write(const struct spool_fs *fs, int fd, const void *data, size_t size)
{
    (void)fs;
    ssize_t n = write(fd, data, size);
    return n < 0 ? -errno : n;
}

static int posix_sync_data(const struct spool_fs *fs, int fd)
{
    (void)fs;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int posix_sync_dir(const struct spool_fs *fs, int dir_fd)
{
    (void)fs;
    return fsync(dir_fd) < 0 ? -errno : 0;
}

static int posix_truncate(const struct spool_fs *fs, int fd, uint64_t size)
{
    (void)fs;
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int posix_remove(const struct spool_fs *fs, int dir_fd, const char *name)
{
    (void)fs;
    return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

static int posix_rename(const struct spool_fs *fs, int dir_fd, const char *from, const char *to)
{
    (void)fs;
    return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : 0;
}

const struct spool_fs spool_fs_posix = {
    .create = posix_create,
    .write = posix_write,
    .sync_data = posix_sync_data,
    .sync_dir = posix_sync_dir,
    .truncate = posix_truncate,
    .remove = posix_remove,
    .rename = posix_rename,
};

int spool_fs_write_all(const struct spool_fs *fs, int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size) {
        ssize_t n = fs->write(fs, fd, p, size);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int spool_fs_replace(const struct spool_fs *fs, int dir_fd, const char *name, const void *data, size_t size)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int fd = fs->create(fs, dir_fd, temporary);
    if (fd < 0)
        return fd;
    int r = spool_fs_write_all(fs, fd, data, size);
    if (r == 0)
        r = fs->sync_data(fs, fd);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0)
        r = fs->rename(fs, dir_fd, temporary, name);
    if (r == 0)
        r = fs->sync_dir(fs, dir_fd);
    return r;
}
