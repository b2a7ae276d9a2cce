#include "tests/doubles/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/fs/fs.h"

char *temp_dir_make(const char *file, int line)
{
    const char *base = strrchr(file, '/');
    /* In memory where there is one: a test that crashes a store a thousand times doesn't wait for a disk. */
    const char *tmp = getenv("TMPDIR");
    if (access("/dev/shm", W_OK) == 0)
        tmp = "/dev/shm";
    else if (!tmp || !*tmp)
        tmp = "/tmp";
    char *dir = xasprintf("%s/varve-%s-%d-XXXXXX", tmp, base ? base + 1 : file, line);
    if (!mkdtemp(dir)) {
        perror(dir);
        abort();
    }
    return dir;
}

/* A test has no use for an error. */
static void must(int r, const char *path)
{
    if (r < 0) {
        perror(path);
        abort();
    }
}

static void copy_tree(const char *from, const char *to)
{
    struct fs_list list;
    must(fs_list_dir(&list, from, NULL), from);
    for (size_t i = 0; i < list.count; i++) {
        _cleanup_free_ char *source = xasprintf("%s/%s", from, list.names[i]);
        _cleanup_free_ char *target = xasprintf("%s/%s", to, list.names[i]);
        if (fs_is_dir(source)) {
            must(fs_posix.ops->mkdir(&fs_posix, target, NULL), target);
            copy_tree(source, target);
            continue;
        }
        struct buffer bytes = {0};
        must(fs_read_file(source, SIZE_MAX, &bytes, NULL), source);
        must(fs_write_file(&fs_posix, target, bytes.data, bytes.len, NULL), target);
        buffer_release(&bytes);
    }
    fs_list_release(&list);
}

char *temp_dir_copy(const char *dir)
{
    char *copy = TEMP_DIR();
    copy_tree(dir, copy);
    return copy;
}

void temp_dir_remove(char *dir)
{
    (void)fs_remove_tree(&fs_posix, dir, NULL);
    free(dir);
}
