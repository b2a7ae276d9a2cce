/*
 * What the spool asks of the file system, in one table: tests put failures, short writes and slow fsyncs in
 * front of the real one. Every function returns 0 (or a count or descriptor) or -errno. Any thread.
 */
#ifndef VARVE_SINKS_MQTT_SPOOL_FS_H
#define VARVE_SINKS_MQTT_SPOOL_FS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spool_fs {
    /* A new empty file to append to; one that's there is emptied. */
    int (*create)(const struct spool_fs *fs, int dir_fd, const char *name);
    /* Bytes written, maybe fewer than size. */
    ssize_t (*write)(const struct spool_fs *fs, int fd, const void *data, size_t size);
    int (*sync_data)(const struct spool_fs *fs, int fd);
    int (*sync_dir)(const struct spool_fs *fs, int dir_fd);
    int (*truncate)(const struct spool_fs *fs, int fd, uint64_t size);
    int (*remove)(const struct spool_fs *fs, int dir_fd, const char *name);
    int (*rename)(const struct spool_fs *fs, int dir_fd, const char *from, const char *to);
};

extern const struct spool_fs spool_fs_posix;

/* All of it, over short writes and EINTR. 0 or -errno. */
int spool_fs_write_all(const struct spool_fs *fs, int fd, const void *data, size_t size);

/* Replaces the file called name by these bytes, durably: temporary file, fsync, rename, fsync of the
 * directory. 0 or -errno. */
int spool_fs_replace(const struct spool_fs *fs, int dir_fd, const char *name, const void *data, size_t size);

#endif
