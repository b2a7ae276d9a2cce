/*
 * nosync - an LD_PRELOAD library that leaves out the fsync of some files: what a forgotten one does is then
 * to be seen.
 *
 *   NOSYNC_ROOT      a directory, as the kernel names it; paths are looked at from there ("." is itself)
 *   NOSYNC_PATTERNS  fnmatch(3) patterns, separated by ':'; * doesn't match '/'. Unset or empty: every fsync
 * below NOSYNC_ROOT is left out (without NOSYNC_ROOT: every single one) Acts on fsync and fdatasync, of files
 * and directories; they return 0.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int matches(const char *patterns, const char *path)
{
    char pattern[512];
    while (*patterns) {
        size_t n = strcspn(patterns, ":");
        if (n < sizeof pattern) {
            memcpy(pattern, patterns, n);
            pattern[n] = '\0';
            if (fnmatch(pattern, path, FNM_PATHNAME) == 0)
                return 1;
        }
        patterns += n + (patterns[n] == ':');
    }
    return 0;
}

static int is_left_out(int fd)
{
    const char *root = getenv("NOSYNC_ROOT"), *patterns = getenv("NOSYNC_PATTERNS");
    if (!root)
        return 1;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    size_t root_len = strlen(root);
    if (len < 0)
        return 0;
    path[len] = '\0';
    if (strncmp(path, root, root_len) != 0 || (path[root_len] != '/' && path[root_len] != '\0'))
        return 0;
    const char *below = path[root_len] ? path + root_len + 1 : ".";
    return !patterns || !*patterns || matches(patterns, below);
}

static int pass_on(const char *name, int fd)
{
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd)
{
    return is_left_out(fd) ? 0 : pass_on("fsync", fd);
}

int fdatasync(int fd)
{
    return is_left_out(fd) ? 0 : pass_on("fdatasync", fd);
}
