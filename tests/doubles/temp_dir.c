#include "tests/doubles/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
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

void temp_dir_remove(char *dir)
{
    (void)fs_remove_tree(&fs_posix, dir, NULL);
    free(dir);
}
