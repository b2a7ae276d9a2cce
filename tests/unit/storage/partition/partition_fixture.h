/* A table of partitions without the store's threads around it. */
#ifndef VARVE_TESTS_PARTITION_FIXTURE_H
#define VARVE_TESTS_PARTITION_FIXTURE_H

#include "storage/partition/series_lookup.h"
#include "storage/partition/table.h"

/* 2026-10-31T00:00:00Z and 2026-11-01T00:00:00Z. */
#define LAST_OF_OCTOBER   INT64_C(1793404800000)
#define FIRST_OF_NOVEMBER INT64_C(1793491200000)

struct partition_world {
    char *dir;
    struct table table;
    struct series_registry *registry;
    struct series_lookup *lookup;
};

/* The file system is borrowed. */
void world_open(struct partition_world *world, const struct fs *fs);
void world_close(struct partition_world *world);
/* A new registry and lookup over the same table, as after a restart; metric ids go on from there. */
void world_restart(struct partition_world *world);

/* The handle of metric{host="<host>"} on that day. */
uint32_t resolve(struct partition_world *world, const char *metric, const char *host, int64_t timestamp_ms);
uint64_t metric_id_of(struct partition_world *world, uint32_t series);

/* Rows of the series at timestamps from `from` on, a second apart, with values from 0. One reference. */
struct inmemory_part *rows_part(struct partition_world *world, uint32_t series, int64_t from, unsigned rows);

#endif
