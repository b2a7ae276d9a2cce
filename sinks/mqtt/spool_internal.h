/* What spool.c and spool_open.c share. */
#ifndef VARVE_SINKS_MQTT_SPOOL_INTERNAL_H
#define VARVE_SINKS_MQTT_SPOOL_INTERNAL_H

#include "sinks/mqtt/spool.h"
#include "src/base/mutex.h"

struct spool_file {
    uint64_t first_lsn;
    uint64_t bytes;
};

struct spool {
    const struct spool_fs *fs;
    int dir_fd;
    char id[SPOOL_ID_SIZE];
    uint64_t max_bytes, segment_size;
    bool keep_unwritten;

    /* Held over a write, not over an fsync: one write at a time. Before lock. */
    struct mutex io_lock;
    struct buffer writing; /* taken out of pending, not yet in the file */
    int fd;                /* of the last segment; -1: the next write begins one */
    uint32_t seed;         /* of that file */
    bool is_dir_dirty;

    struct mutex lock; /* what follows */
    struct cond appended, advanced;
    struct buffer pending;
    uint64_t next_lsn, written_lsn, durable_lsn;
    uint64_t wakes;
    uint64_t trimmed_lsn; /* the highest that spool_trim was given */
    bool failed;
    struct spool_file *files;
    size_t files_count, files_capacity;
    uint64_t file_bytes;
    struct spool_stats stats; /* totals only */
};

/* Reads what the directory, at path, holds into an otherwise empty spool. */
int spool_load(struct spool *s, const char *path, struct error *reterr);

#endif
