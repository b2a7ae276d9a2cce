/*
 * The one door to the disk for everything that storage writes.
 *
 * An ops struct, so that tests put a fault_fs in its place that fails, cuts or loses the n-th operation.
 * Reading goes through fs_map and fs_read_file below, which only look. Error codes: ERR_FULL for a full disk
 * (a state to wait out), ERR_IO for the rest, ERR_NOT_FOUND where a path doesn't exist.
 * All functions may be called from any thread; a struct fs_file belongs to one thread at a time.
 */
#ifndef VARVE_STORAGE_FS_FS_H
#define VARVE_STORAGE_FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

struct fs;

struct fs_ops {
    /* Creates (O_EXCL, 0640) a file for appending; *ret_fd is the descriptor. */
    int (*create)(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr);
    /* Opens an existing file for appending at its current end. */
    int (*open_append)(const struct fs *fs, const char *path, int *ret_fd, struct error *reterr);
    /* Writes all size bytes at offset. */
    int (*write)(const struct fs *fs, int fd, const char *path, const void *data, size_t size,
                 uint64_t offset, struct error *reterr);
    /* Makes the file's data and size durable. A failed one must never simply be repeated. */
    int (*sync)(const struct fs *fs, int fd, const char *path, struct error *reterr);
    int (*truncate)(const struct fs *fs, int fd, const char *path, uint64_t size, struct error *reterr);
    /* Reserves size bytes from offset 0; the file reads as zeros there and has that length. */
    int (*preallocate)(const struct fs *fs, int fd, const char *path, uint64_t size, struct error *reterr);
    int (*close)(const struct fs *fs, int fd, const char *path, struct error *reterr);
    int (*rename)(const struct fs *fs, const char *from, const char *to, struct error *reterr);
    int (*link)(const struct fs *fs, const char *from, const char *to, struct error *reterr);
    int (*symlink)(const struct fs *fs, const char *target, const char *path, struct error *reterr);
    int (*unlink)(const struct fs *fs, const char *path, struct error *reterr);
    int (*mkdir)(const struct fs *fs, const char *path, struct error *reterr); /* 0750; 0 if it's there */
    int (*rmdir)(const struct fs *fs, const char *path, struct error *reterr);
    /* Makes the directory's entries durable. */
    int (*sync_dir)(const struct fs *fs, const char *path, struct error *reterr);
    uint64_t (*free_bytes)(const struct fs *fs, const char *path);
    /* May be NULL. Bytes [from, to) were written and won't be read soon: begins to write them to the disk,
     * and lets go of those before `from`, so that a large file doesn't wash others out of the page cache. */
    void (*write_behind)(const struct fs *fs, int fd, uint64_t from, uint64_t to);
};

struct fs {
    const struct fs_ops *ops;
    void *context; /* of a test's file system */
};

/* The real one. */
extern const struct fs fs_posix;

/* --- conveniences over the ops; paths are NUL-terminated --- */

/* Creates path with the given bytes and syncs it (not its directory). */
int fs_write_file(const struct fs *fs, const char *path, const void *data, size_t size, struct error *reterr);
/* Replaces path atomically and durably: path.tmp, sync, rename, sync of the directory. */
int fs_replace_file(const struct fs *fs, const char *path, const void *data, size_t size,
                    struct error *reterr);
/* mkdir -p; the directories that it made and their parents are synced when durable is true. */
int fs_make_dirs(const struct fs *fs, const char *path, bool durable, struct error *reterr);
/* rm -rf; a missing path is fine. */
int fs_remove_tree(const struct fs *fs, const char *path, struct error *reterr);

/* A file that is written front to back through a buffer of its own. */
struct fs_file {
    const struct fs *fs;
    char *path;
    int fd;
    uint64_t size; /* bytes appended so far, buffered ones included */
    uint32_t crc;  /* CRC32C over them */
    struct buffer pending;
    bool is_streamed;        /* set after creation: large, and not read soon */
    uint64_t written_behind; /* bytes handed to write_behind */
};

int fs_file_create(struct fs_file *f, const struct fs *fs, const char *path, struct error *reterr);
int fs_file_append(struct fs_file *f, const void *data, size_t size, struct error *reterr);
/* Writes what is buffered, syncs and closes. The struct is released also on failure. */
int fs_file_finish(struct fs_file *f, struct error *reterr);
/* Closes without syncing, after a failure elsewhere; the file stays. A zeroed or finished struct is fine. */
void fs_file_abandon(struct fs_file *f);

/* --- looking --- */

/* Whole file into dst (appended). ERR_NOT_FOUND if it doesn't exist, ERR_INVALID if larger than max. */
int fs_read_file(const char *path, size_t max, struct buffer *dst, struct error *reterr);
bool fs_exists(const char *path);
bool fs_is_dir(const char *path);
/* Size of a file, or negative. */
int64_t fs_file_size(const char *path);

/* A read-only mapping; data is NULL and size 0 for an empty file. */
struct fs_map {
    const uint8_t *data;
    size_t size;
};
int fs_map_file(struct fs_map *m, const char *path, struct error *reterr);
void fs_map_release(struct fs_map *m);
/* Hints. It's going to be read from front to back (or not any more); [from, to) won't be read again soon. */
void fs_map_sequential(const struct fs_map *m, bool is_sequential);
void fs_map_behind(const struct fs_map *m, uint64_t from, uint64_t to);

/* Names in a directory, sorted bytewise, "." and ".." left out. Free with fs_list_release. */
struct fs_list {
    char **names;
    size_t count;
};
int fs_list_dir(struct fs_list *list, const char *path, struct error *reterr);
void fs_list_release(struct fs_list *list);

#endif
