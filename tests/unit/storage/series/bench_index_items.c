/* How long the index side takes for new series: names, registry, rows, sorting, parts. Not a test: run it by
 * hand. bench_index_items [series]   (10 labels each, 100 series a host; default 100,000) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_merge.h"
#include "storage/series/index_rows.h"
#include "storage/series/series_registry.h"

#define FLUSH_SERIES 20000 /* about what a second brings */

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(const char *what, double seconds, size_t count, const char *unit)
{
    printf("%-34s %8.1f ns/%s\n", what, 1e9 * seconds / (double)count, unit);
}

static void make_name(struct buffer *dst, size_t i)
{
    static const char *const names[] = {
        "__name__", "host",    "region",          "datacenter",         "rack", "os", "arch",
        "team",     "service", "service_version", "service_environment"};
    char values[11][32];
    struct metric_label labels[11];
    size_t host = i / 100;
    snprintf(values[0], 32, "cpu_usage_%zu", i % 100);
    snprintf(values[1], 32, "host_%zu", host);
    for (size_t k = 2; k < 11; k++)
        snprintf(values[k], 32, "%s-%zu", names[k], host * 7 % (k * 5));
    for (size_t k = 0; k < 11; k++)
        labels[k] = (struct metric_label){names[k], (uint32_t)strlen(names[k]), values[k],
                                          (uint32_t)strlen(values[k])};
    buffer_clear(dst);
    metric_name_canonical(dst, labels, 11);
}

int main(int argc, char **argv)
{
    size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    char dir[] = "/tmp/varve-bench-XXXXXX";
    struct error err;
    if (!mkdtemp(dir))
        return 1;
    struct items names = {0};
    struct buffer name = {0};
    double t = cpu_now();
    for (size_t i = 0; i < series; i++) {
        make_name(&name, i);
        items_add(&names, name.data, name.len);
    }
    report("labels printed, canonical name", cpu_now() - t, series, "series");

    struct series_registry *reg = series_registry_new(1);
    uint32_t handle;
    t = cpu_now();
    for (size_t i = 0; i < series; i++) {
        struct item n = items_get(&names, i);
        if (series_registry_add(reg, n.data, n.len, series_name_hash(n.data, n.len), NULL, &handle, &err) !=
            1)
            return 1;
    }
    report("registry: add", cpu_now() - t, series, "series");
    t = cpu_now();
    for (size_t i = 0; i < series; i++) {
        struct item n = items_get(&names, i * 7919 % series);
        if (!series_registry_find(reg, n.data, n.len, series_name_hash(n.data, n.len), &handle))
            return 1;
    }
    report("registry: hash and find, random", cpu_now() - t, series, "series");
    struct series_ranks_snapshot *ranks;
    t = cpu_now();
    series_registry_ranks(reg, &ranks);
    printf("%-34s %8.1f ms\n", "registry: first ranks", 1e3 * (cpu_now() - t));
    (void)series_ranks_unref(ranks);
    for (size_t i = 0; i < 1000; i++) {
        make_name(&name, series + i);
        series_registry_add(reg, name.data, name.len, series_name_hash(name.data, name.len), NULL, &handle,
                            &err);
    }
    t = cpu_now();
    series_registry_ranks(reg, &ranks);
    printf("%-34s %8.1f ms\n", "registry: ranks of 1,000 more", 1e3 * (cpu_now() - t));
    (void)series_ranks_unref(ranks);
    printf("%-34s %8.1f bytes/series\n", "registry: memory",
           (double)series_registry_memory(reg) / (double)series);

    struct index_item_writer w = {0};
    struct index_rows rows = {0};
    struct item_source *sources = xcalloc(series / FLUSH_SERIES + 1, sizeof *sources);
    size_t sources_count = 0, rows_count = 0, joined = 0, memory = 0;
    double adding = 0, sorting = 0;
    for (size_t i = 0; i < series;) {
        t = cpu_now();
        size_t end = i + FLUSH_SERIES < series ? i + FLUSH_SERIES : series;
        for (; i < end; i++) {
            struct item n = items_get(&names, i);
            struct tsid tsid = series_registry_tsid(reg, (uint32_t)i);
            if (index_item_writer_set(&w, n.data, n.len, &err) < 0)
                return 1;
            index_rows_add_series(&rows, &w, &tsid);
            index_rows_add_date(&rows, &w, 20738, &tsid);
            rows_count += 4 + 2 * w.tags_count;
        }
        adding += cpu_now() - t;
        t = cpu_now();
        sources[sources_count].memory = index_rows_build(&rows);
        joined += inmemory_item_part_items_count(sources[sources_count].memory);
        memory += inmemory_item_part_memory(sources[sources_count++].memory);
        sorting += cpu_now() - t;
    }
    printf("%-34s %8.1f rows, %.1f joined, %.0f bytes in memory\n", "rows a series",
           (double)rows_count / (double)series, (double)joined / (double)series,
           (double)memory / (double)series);
    report("rows: add", adding, rows_count, "row");
    report("rows: sort, join (in-memory part)", sorting, rows_count, "row");

    char part_dir[sizeof dir + 8];
    struct item_part_header ph = {0};
    snprintf(part_dir, sizeof part_dir, "%s/part", dir);
    t = cpu_now();
    if (item_merge(&fs_posix, part_dir, sources, sources_count, index_items_merge_tag_rows, NULL, NULL, &ph,
                   &err) != 1) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double merging = cpu_now() - t;
    report("rows: merge to a file part", merging, rows_count, "row");
    report("all of the above for a new series", adding + sorting + merging, series, "series");
    struct item_part *part;
    if (item_part_open(&part, part_dir, &err) < 0)
        return 1;
    printf("%-34s %8.1f bytes/series, %" PRIu64 " items\n", "file part",
           (double)item_part_size(part) / (double)series, ph.items_count);
    item_part_free(part);
    item_part_header_release(&ph);
    for (size_t i = 0; i < sources_count; i++)
        inmemory_item_part_free((struct inmemory_item_part *)sources[i].memory);
    free(sources);
    index_item_writer_release(&w);
    index_rows_release(&rows);
    items_release(&names);
    buffer_release(&name);
    series_registry_free(reg);
    (void)fs_remove_tree(&fs_posix, dir, NULL);
    return 0;
}
