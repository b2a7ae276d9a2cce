/*
 * stall - an LD_PRELOAD library under which a disk hangs for as long as a test wants: what is to be made
 * durable waits, reading goes on.
 *
 *   STALL_FILE   while this file exists, what changes a file or makes it durable waits, if the file's path
 *                below STALL_ROOT matches one of the patterns that the file holds, separated by ':'
 *   STALL_ROOT   a directory, as the kernel names it
 *
 * Patterns are fnmatch(3)'s, in which * also matches '/'; one that begins with '!' excludes, and the first that
 * matches counts. Waited for: fsync, fdatasync, rename and renameat (by the new name), ftruncate,
 * posix_fallocate. Not write: it ends in the page cache, whatever the disk does, unless there's no memory left.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 10000000 /* how often the file is looked for */

static bool matches(char *patterns, const char *path)
{
    char *saved = NULL;
    for (char *p = strtok_r(patterns, ":\n", &saved); p; p = strtok_r(NULL, ":\n", &saved)) {
        bool is_excluding = *p == '!';
        if (fnmatch(p + is_excluding, path, 0) == 0)
            return !is_excluding;
    }
    return false;
}

/* Whether the disk hangs for that path now. */
static bool is_stalled(const char *path)
{
    const char *file = getenv("STALL_FILE"), *root = getenv("STALL_ROOT");
    char patterns[1024];
    size_t root_len = root ? strlen(root) : 0;
    if (!file || !root || strncmp(path, root, root_len) != 0 || (path[root_len] != '/' && path[root_len]))
        return false;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, patterns, sizeof patterns - 1);
    (void)close(fd);
    patterns[n > 0 ? n : 0] = '\0';
    return matches(patterns, path[root_len] ? path + root_len + 1 : ".");
}

static void wait_for_path(const char *path)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    while (is_stalled(path))
        (void)nanosleep(&look, NULL);
}

static void wait_for(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return;
    path[len] = '\0';
    wait_for_path(path);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int fsync(int fd)
{
    int (*real)(int);
    *(void **)&real = next("fsync");
    wait_for(fd);
    return real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int);
    *(void **)&real = next("fdatasync");
    wait_for(fd);
    return real(fd);
}

int ftruncate(int fd, off_t length)
{
    int (*real)(int, off_t);
    *(void **)&real = next("ftruncate");
    wait_for(fd);
    return real(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    int (*real)(int, off_t, off_t);
    *(void **)&real = next("posix_fallocate");
    wait_for(fd);
    return real(fd, offset, length);
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *);
    *(void **)&real = next("rename");
    wait_for_path(to);
    return real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int (*real)(int, const char *, int, const char *);
    *(void **)&real = next("renameat");
    wait_for(to_dir);
    return real(from_dir, from, to_dir, to);
}
