#include "tests/unit/sinks/mqtt/faulty_spool_fs.h"

#include <errno.h>
#include <sys/stat.h>

#include "src/base/clock.h"

static struct faulty_spool_fs *of(const struct spool_fs *fs)
{
    return (struct faulty_spool_fs *)(uintptr_t)fs;
}

/* 0, or what the operation fails with. */
static int fault(const struct spool_fs *fs)
{
    struct faulty_spool_fs *f = of(fs);
    atomic_fetch_add(&f->operations, 1);
    int at = atomic_load(&f->fail_at);
    if (at == 0)
        return 0;
    if (at > 1) {
        atomic_store(&f->fail_at, at - 1);
        return 0;
    }
    if (atomic_load(&f->fails_after) > 0)
        atomic_fetch_sub(&f->fails_after, 1);
    else
        atomic_store(&f->fail_at, 0);
    return -atomic_load(&f->fail_errno);
}

static int faulty_create(const struct spool_fs *fs, int dir_fd, const char *name)
{
    int r = fault(fs);
    return r < 0 ? r : spool_fs_posix.create(fs, dir_fd, name);
}

static ssize_t faulty_write(const struct spool_fs *fs, int fd, const void *data, size_t size)
{
    int r = fault(fs), limit = atomic_load(&of(fs)->short_writes);
    if (r < 0) {
        (void)spool_fs_posix.write(fs, fd, data, size / 2); /* half of it got there all the same */
        return r;
    }
    int max = atomic_load(&of(fs)->writes_max);
    if (max && size > (size_t)max) {
        (void)spool_fs_posix.write(fs, fd, data, (size_t)max);
        return -ENOSPC;
    }
    return spool_fs_posix.write(fs, fd, data, limit && size > (size_t)limit ? (size_t)limit : size);
}

static int faulty_sync_data(const struct spool_fs *fs, int fd)
{
    struct faulty_spool_fs *f = of(fs);
    int r = fault(fs), ms = atomic_load(&f->sync_ms);
    atomic_fetch_add(&f->syncs, 1);
    if (ms)
        clock_sleep_ms(ms);
    if (r == 0 && atomic_load(&f->sync_fails) > 0) {
        atomic_fetch_sub(&f->sync_fails, 1);
        return -EIO;
    }
    return r < 0 ? r : spool_fs_posix.sync_data(fs, fd);
}

static int faulty_sync_dir(const struct spool_fs *fs, int dir_fd)
{
    struct faulty_spool_fs *f = of(fs);
    struct stat st;
    int r = fault(fs);
    if (r < 0)
        return r;
    int n = atomic_fetch_add(&f->dirs_synced_count, 1);
    if (n < (int)(sizeof f->dirs_synced / sizeof *f->dirs_synced) && fstat(dir_fd, &st) == 0)
        f->dirs_synced[n] = st.st_ino;
    return spool_fs_posix.sync_dir(fs, dir_fd);
}

static int faulty_truncate(const struct spool_fs *fs, int fd, uint64_t size)
{
    int r = fault(fs);
    return r < 0 ? r : spool_fs_posix.truncate(fs, fd, size);
}

static int faulty_remove(const struct spool_fs *fs, int dir_fd, const char *name)
{
    int r = fault(fs);
    return r < 0 ? r : spool_fs_posix.remove(fs, dir_fd, name);
}

static int faulty_rename(const struct spool_fs *fs, int dir_fd, const char *from, const char *to)
{
    int r = fault(fs);
    return r < 0 ? r : spool_fs_posix.rename(fs, dir_fd, from, to);
}

void faulty_spool_fs_init(struct faulty_spool_fs *f)
{
    *f = (struct faulty_spool_fs){.fs = {.create = faulty_create,
                                         .write = faulty_write,
                                         .sync_data = faulty_sync_data,
                                         .sync_dir = faulty_sync_dir,
                                         .truncate = faulty_truncate,
                                         .remove = faulty_remove,
                                         .rename = faulty_rename}};
    atomic_store(&f->fail_errno, EIO);
}
