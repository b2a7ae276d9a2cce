#include "tests/doubles/slow_fs.h"

#include <string.h>

#include "src/base/clock.h"

static int slow_write(const struct fs *fs, int fd, const char *path, const void *data, size_t size,
                      uint64_t offset, struct error *reterr)
{
    struct slow_fs *f = fs->context;
    if (f->gated && strstr(path, f->gated)) {
        atomic_fetch_add(&f->waiting, 1);
        while (!atomic_load(&f->is_open))
            clock_sleep_ms(5);
        atomic_fetch_sub(&f->waiting, 1);
    }
    return fs_posix.ops->write(&fs_posix, fd, path, data, size, offset, reterr);
}

static uint64_t slow_free_bytes(const struct fs *fs, const char *path)
{
    struct slow_fs *f = fs->context;
    uint64_t bytes = atomic_load(&f->free_bytes);
    return bytes ? bytes : fs_posix.ops->free_bytes(&fs_posix, path);
}

void slow_fs_init(struct slow_fs *f, const char *gated)
{
    *f = (struct slow_fs){.ops = *fs_posix.ops, .gated = gated};
    f->ops.write = slow_write;
    f->ops.free_bytes = slow_free_bytes;
    f->fs = (struct fs){.ops = &f->ops, .context = f};
}
