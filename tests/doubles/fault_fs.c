#include "tests/doubles/fault_fs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"

#define FAULT_EXIT_CODE 137

static struct fault_fs *of_fs(const struct fs *fs)
{
    return fs->context;
}

/* Whether this operation fails: 0, or the code to return. needs_space: a full disk would refuse it. chosen:
 * `at` is now. */
static int strike_at(const struct fs *fs, const char *path, bool needs_space, bool chosen,
                     struct error *reterr)
{
    struct fault_fs *f = of_fs(fs);
    long n = atomic_fetch_add(&f->operations, 1) + 1;
    if (chosen)
        f->at = n;
    long at = f->at;
    if (f->exit_after && n == at + f->exit_after)
        _exit(FAULT_EXIT_CODE);
    bool hit = n >= at && n <= at + f->length;
    if (!hit || f->kind == FAULT_NONE)
        return 0;
    if (f->kind == FAULT_EXIT)
        _exit(FAULT_EXIT_CODE);
    bool full = f->kind == FAULT_FULL || f->kind == FAULT_FULL_FOR;
    if (full && !needs_space)
        return 0;
    atomic_fetch_add(&f->faults, 1);
    return error_set(reterr, full ? ERR_FULL : ERR_IO, "%s: fault %ld", path, n);
}

static int strike(const struct fs *fs, const char *path, bool needs_space, struct error *reterr)
{
    return strike_at(fs, path, needs_space, false, reterr);
}

static bool is_sync_of(const struct fault_fs *f, const char *path)
{
    const char *wanted = f->sync_of;
    size_t len = strlen(path), end = wanted ? strlen(wanted) : 0;
    return wanted && len >= end && strcmp(path + len - end, wanted) == 0;
}

#define REAL fs_posix.ops

static int fault_create(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr)
{
    int r = strike(fs, path, true, reterr);
    return r < 0 ? r : REAL->create(&fs_posix, path, ret_fd, reterr);
}

static int fault_open_append(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr)
{
    int r = strike(fs, path, false, reterr);
    return r < 0 ? r : REAL->open_append(&fs_posix, path, ret_fd, reterr);
}

static int fault_write(const struct fs *fs, int fd, const char *path, const void *data, size_t size,
                       uint64_t offset, struct error *reterr)
{
    struct fault_fs *f = of_fs(fs);
    int r = strike(fs, path, true, reterr);
    if (r < 0 && f->kind != FAULT_IO)
        (void)REAL->write(&fs_posix, fd, path, data, size / 2, offset, NULL);
    if (is_sync_of(f, path)) {
        f->last_offset = (long)offset;
        f->last_size = (long)size;
    }
    return r < 0 ? r : REAL->write(&fs_posix, fd, path, data, size, offset, reterr);
}

static int fault_sync(const struct fs *fs, int fd, const char *path, struct error *reterr)
{
    struct fault_fs *f = of_fs(fs);
    bool chosen = is_sync_of(f, path) && atomic_fetch_sub(&f->syncs_left, 1) == 1;
    int r = strike_at(fs, path, true, chosen, reterr);
    if (r < 0 && chosen && f->lose_write) {
        uint8_t *zeros = xcalloc(1, (size_t)f->last_size);
        (void)REAL->write(&fs_posix, fd, path, zeros, (size_t)f->last_size, (uint64_t)f->last_offset, NULL);
        free(zeros);
    }
    return r < 0 ? r : REAL->sync(&fs_posix, fd, path, reterr);
}

static int fault_truncate(const struct fs *fs, int fd, const char *path, uint64_t size, struct error *reterr)
{
    int r = strike(fs, path, false, reterr);
    return r < 0 ? r : REAL->truncate(&fs_posix, fd, path, size, reterr);
}

static int fault_preallocate(const struct fs *fs, int fd, const char *path, uint64_t size,
                             struct error *reterr)
{
    int r = strike(fs, path, true, reterr);
    return r < 0 ? r : REAL->preallocate(&fs_posix, fd, path, size, reterr);
}

static int fault_close(const struct fs *fs, int fd, const char *path, struct error *reterr)
{
    int r = strike(fs, path, false, reterr);
    int real = REAL->close(&fs_posix, fd, path, reterr); /* also when it "fails": the descriptor is gone */
    return r < 0 ? r : real;
}

static int fault_rename(const struct fs *fs, const char *from, const char *to, struct error *reterr)
{
    int r = strike(fs, from, !of_fs(fs)->renames_fit, reterr);
    return r < 0 ? r : REAL->rename(&fs_posix, from, to, reterr);
}

static int fault_link(const struct fs *fs, const char *from, const char *to, struct error *reterr)
{
    int r = strike(fs, from, true, reterr);
    return r < 0 ? r : REAL->link(&fs_posix, from, to, reterr);
}

static int fault_symlink(const struct fs *fs, const char *target, const char *path, struct error *reterr)
{
    int r = strike(fs, path, true, reterr);
    return r < 0 ? r : REAL->symlink(&fs_posix, target, path, reterr);
}

static int fault_unlink(const struct fs *fs, const char *path, struct error *reterr)
{
    int r = strike(fs, path, false, reterr);
    return r < 0 ? r : REAL->unlink(&fs_posix, path, reterr);
}

static int fault_mkdir(const struct fs *fs, const char *path, struct error *reterr)
{
    int r = strike(fs, path, true, reterr);
    return r < 0 ? r : REAL->mkdir(&fs_posix, path, reterr);
}

static int fault_rmdir(const struct fs *fs, const char *path, struct error *reterr)
{
    int r = strike(fs, path, false, reterr);
    return r < 0 ? r : REAL->rmdir(&fs_posix, path, reterr);
}

static int fault_sync_dir(const struct fs *fs, const char *path, struct error *reterr)
{
    int r = strike(fs, path, !of_fs(fs)->renames_fit, reterr);
    return r < 0 ? r : REAL->sync_dir(&fs_posix, path, reterr);
}

static uint64_t fault_free_bytes(const struct fs *fs, const char *path)
{
    (void)fs;
    return REAL->free_bytes(&fs_posix, path);
}

static const struct fs_ops fault_ops = {
    .create = fault_create,
    .open_append = fault_open_append,
    .write = fault_write,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .preallocate = fault_preallocate,
    .close = fault_close,
    .rename = fault_rename,
    .link = fault_link,
    .symlink = fault_symlink,
    .unlink = fault_unlink,
    .mkdir = fault_mkdir,
    .rmdir = fault_rmdir,
    .sync_dir = fault_sync_dir,
    .free_bytes = fault_free_bytes,
};

void fault_fs_init(struct fault_fs *f, enum fault_kind kind, long at)
{
    *f = (struct fault_fs){.fs = {.ops = &fault_ops}, .kind = kind};
    f->at = at;
    f->fs.context = f;
}
