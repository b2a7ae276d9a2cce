#include "tests/unit/storage/partition/partition_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "storage/series/series_ranks.h"
#include "tests/doubles/temp_dir.h"

void world_open(struct partition_world *world, const struct fs *fs)
{
    world->dir = TEMP_DIR();
    table_init(&world->table);
    world->table.env.fs = fs;
    world->table.env.root = world->dir;
    atomic_store(&world->table.env.next_part, 0xA0);
    world->registry = series_registry_new(1000);
    world->lookup = series_lookup_new(&world->table, world->registry);
}

void world_restart(struct partition_world *world)
{
    uint64_t next = series_registry_next_metric_id(world->registry);
    series_lookup_free(world->lookup);
    series_registry_free(world->registry);
    world->registry = series_registry_new(next);
    world->lookup = series_lookup_new(&world->table, world->registry);
}

void world_close(struct partition_world *world)
{
    series_lookup_free(world->lookup);
    series_registry_free(world->registry);
    table_release(&world->table);
    temp_dir_remove(world->dir);
}

uint32_t resolve(struct partition_world *world, const char *metric, const char *host, int64_t timestamp_ms)
{
    struct metric_label labels[] = {{"__name__", 8, metric, (uint32_t)strlen(metric)},
                                    {"host", 4, host, (uint32_t)strlen(host)}};
    uint32_t series = UINT32_MAX;
    const char *reason = NULL;
    struct error error = {0};
    if (series_lookup_resolve(world->lookup, labels, 2, &metric_name_limits_default, timestamp_ms, &series,
                              &reason, &error) < 0)
        fail_msg("%s: %s", host, error.message);
    return series;
}

uint64_t metric_id_of(struct partition_world *world, uint32_t series)
{
    return series_registry_tsid(world->registry, series).metric_id;
}

struct inmemory_part *rows_part(struct partition_world *world, uint32_t series, int64_t from, unsigned rows)
{
    struct raw_rows raw = {0}, *shards[] = {&raw};
    for (unsigned i = 0; i < rows; i++)
        raw_rows_append(&raw, series, from + i * SECOND_MS, i, 0);
    struct series_ranks_snapshot *snapshot;
    series_registry_ranks(world->registry, &snapshot);
    struct series_ranks ranks = {snapshot->rank_by_series, snapshot->tsid_by_rank, snapshot->count};
    struct inmemory_part *mp = inmemory_part_new(shards, 1, &ranks);
    series_ranks_unref(snapshot);
    raw_rows_release(&raw);
    return mp;
}
