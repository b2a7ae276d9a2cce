/*
 * Writes, merges and prints data parts with the code under test, for part_vmread.py, which compares with
 * vmread.py, vmwrite.py and a model of its own; and times the way of a row.
 *
 *   part_tool write DIR PARTS < rows   rows "GROUP JOB INSTANCE ID MS FLOATBITS PART": PARTS in-memory parts,
 * merged part_tool merge DIR DEADLINE SOURCE... part_tool dump DIR                 verifies, then a line per
 * block: ID SCALE ROWS, and a line per row: MS MANTISSA part_tool search DIR MIN MAX ID... a line per row
 * found: ID MS MANTISSA SCALE part_tool bench DIR SERIES SAMPLES
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"
#include "src/base/decimal.h"
#include "storage/block/block_merge.h"
#include "storage/part/file_part.h"
#include "storage/part/file_part_verify.h"
#include "storage/part/inmemory_part.h"
#include "storage/part/part_search.h"

static _Noreturn void die(const struct error *e)
{
    fprintf(stderr, "part_tool: %s\n", e->message);
    exit(1);
}

#define TRY(call)       \
    do {                \
        if ((call) < 0) \
            die(&err);  \
    } while (0)

struct series {
    struct tsid *tsids; /* by handle */
    size_t count, capacity;
};

static uint32_t handle_of(struct series *s, const struct tsid *tsid)
{
    for (size_t i = s->count; i-- > 0;)
        if (tsid_equal(&s->tsids[i], tsid))
            return (uint32_t)i;
    GROW(s->tsids, s->count, s->capacity);
    s->tsids[s->count] = *tsid;
    return (uint32_t)s->count++;
}

static const struct tsid *sort_base;

static int compare_handles(const void *a, const void *b)
{
    return tsid_compare(&sort_base[*(const uint32_t *)a], &sort_base[*(const uint32_t *)b]);
}

/* Frees nothing: the tool ends soon. */
static struct series_ranks ranks_of(const struct series *s)
{
    uint32_t *order = xreallocarray(NULL, s->count, sizeof *order);
    uint32_t *rank_by_series = xreallocarray(NULL, s->count, sizeof *rank_by_series);
    struct tsid *tsid_by_rank = xreallocarray(NULL, s->count, sizeof *tsid_by_rank);
    for (uint32_t i = 0; i < s->count; i++)
        order[i] = i;
    sort_base = s->tsids;
    qsort(order, s->count, sizeof *order, compare_handles);
    for (uint32_t rank = 0; rank < s->count; rank++) {
        rank_by_series[order[rank]] = rank;
        tsid_by_rank[rank] = s->tsids[order[rank]];
    }
    free(order);
    return (struct series_ranks){rank_by_series, tsid_by_rank, s->count};
}

static struct part_header flush(const char *dir, struct inmemory_part **parts, size_t n)
{
    struct error err;
    struct block_stream_reader *readers = xcalloc(n, sizeof *readers);
    struct block_stream_reader **list = xcalloc(n, sizeof *list);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < n; i++) {
        block_stream_reader_init_from_inmemory_part(&readers[i], parts[i]);
        list[i] = &readers[i];
        rows += parts[i]->header.rows_count;
        blocks += parts[i]->header.blocks_count;
    }
    struct block_stream_writer bsw;
    struct part_header ph;
    TRY(block_stream_writer_init_from_file_part(&bsw, &fs_posix, dir, rows, blocks, &err));
    TRY(merge_block_streams(&ph, &bsw, list, n, NULL, &err));
    for (size_t i = 0; i < n; i++)
        block_stream_reader_release(&readers[i]);
    free(readers);
    free(list);
    return ph;
}

static void write_part(const char *dir, size_t parts_count)
{
    struct series series = {0};
    struct raw_rows(*shards)[2] = xcalloc(parts_count, sizeof *shards);
    struct tsid tsid;
    int64_t ms;
    uint64_t bits;
    size_t part;
    while (scanf("%" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNd64 " %" SCNx64 " %zu",
                 &tsid.metric_group_id, &tsid.job_id, &tsid.instance_id, &tsid.metric_id, &ms, &bits,
                 &part) == 7) {
        double value;
        memcpy(&value, &bits, sizeof value);
        struct decimal d = decimal_from_double(value);
        uint32_t handle = handle_of(&series, &tsid);
        raw_rows_append(&shards[part][handle % 2], handle, ms, d.mantissa, d.exponent);
    }
    struct series_ranks ranks = ranks_of(&series);
    struct inmemory_part **parts = xcalloc(parts_count, sizeof *parts);
    size_t n = 0;
    for (size_t i = 0; i < parts_count; i++) {
        struct raw_rows *list[2] = {&shards[i][0], &shards[i][1]};
        parts[n] = inmemory_part_new(list, 2, &ranks);
        n += parts[n] != NULL;
        raw_rows_release(list[0]);
        raw_rows_release(list[1]);
    }
    flush(dir, parts, n);
    for (size_t i = 0; i < n; i++)
        inmemory_part_free(parts[i]);
    free(parts);
    free(shards);
    free(series.tsids);
    free((void *)ranks.rank_by_series);
    free((void *)ranks.tsid_by_rank);
    raw_rows_trim();
}

static void merge(const char *dir, int64_t deadline, char **sources, size_t n)
{
    struct error err;
    struct file_part **parts = xcalloc(n, sizeof *parts);
    struct block_stream_reader *readers = xcalloc(n, sizeof *readers);
    struct block_stream_reader **list = xcalloc(n, sizeof *list);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < n; i++) {
        TRY(file_part_open(&parts[i], sources[i], &err));
        block_stream_reader_init_from_file_part(&readers[i], parts[i]);
        list[i] = &readers[i];
        rows += parts[i]->header.rows_count;
        blocks += parts[i]->header.blocks_count;
    }
    struct block_stream_writer bsw;
    struct part_header ph;
    struct merge_options options = {.retention_deadline_ms = deadline};
    TRY(block_stream_writer_init_from_file_part(&bsw, &fs_posix, dir, rows, blocks, &err));
    TRY(merge_block_streams(&ph, &bsw, list, n, &options, &err));
    for (size_t i = 0; i < n; i++) {
        block_stream_reader_release(&readers[i]);
        file_part_free(parts[i]);
    }
    free(list);
    free(readers);
    free(parts);
}

static void dump(const char *dir)
{
    struct error err;
    struct file_part *part;
    TRY(file_part_open(&part, dir, &err));
    TRY(file_part_verify(part, NULL, &err));
    struct part_search ps;
    part_search_init_file(&ps, part, NULL, 0, INT64_MIN, INT64_MAX);
    int r;
    while ((r = part_search_next(&ps, &err)) > 0) {
        printf("%" PRIu64 " %d %zu\n", ps.tsid.metric_id, ps.scale, ps.rows_count);
        for (size_t i = 0; i < ps.rows_count; i++)
            printf("%" PRId64 " %" PRId64 "\n", ps.timestamps[i], ps.mantissas[i]);
    }
    TRY(r);
    part_search_release(&ps);
    file_part_free(part);
}

static int collect_tsid(const struct block_header *bh, void *arg)
{
    struct series *s = arg;
    if (!s->count || !tsid_equal(&s->tsids[s->count - 1], &bh->tsid)) {
        GROW(s->tsids, s->count, s->capacity);
        s->tsids[s->count++] = bh->tsid;
    }
    return 0;
}

static void search(const char *dir, int64_t min, int64_t max, char **ids, size_t n)
{
    struct error err;
    struct file_part *part;
    struct series all = {0};
    TRY(file_part_open(&part, dir, &err));
    TRY(file_part_each_header(part, collect_tsid, &all, &err));
    size_t count = 0;
    for (size_t i = 0; i < all.count; i++)
        for (size_t k = 0; k < n; k++)
            if (strtoull(ids[k], NULL, 10) == all.tsids[i].metric_id)
                all.tsids[count++] = all.tsids[i];
    struct part_search ps;
    part_search_init_file(&ps, part, all.tsids, count, min, max);
    int r;
    while ((r = part_search_next(&ps, &err)) > 0)
        for (size_t i = 0; i < ps.rows_count; i++)
            printf("%" PRIu64 " %" PRId64 " %" PRId64 " %d\n", ps.tsid.metric_id, ps.timestamps[i],
                   ps.mantissas[i], ps.scale);
    TRY(r);
    part_search_release(&ps);
    file_part_free(part);
    free(all.tsids);
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* samples of each series a part, series in the order of hosts, 5 in-memory parts a flush, 4 flushes, one
 * merge. */
static void bench(const char *dir, size_t series_count, size_t samples)
{
    enum { PARTS = 5, FLUSHES = 4 };
    struct series series = {0};
    for (size_t i = 0; i < series_count; i++) {
        struct tsid t = {i * 0x9e3779b97f4a7c15u % 100, (uint32_t)(i % 7), 0, i};
        GROW(series.tsids, series.count, series.capacity);
        series.tsids[series.count++] = t;
    }
    struct series_ranks ranks = ranks_of(&series);
    double append_ns = 0, new_ns = 0, flush_ns = 0, merge_ns = 0;
    double rows = (double)(series_count * samples * PARTS * FLUSHES);
    int64_t ms = 1791763200000;
    char *dirs[FLUSHES];
    srand(1);
    for (size_t f = 0; f < FLUSHES; f++) {
        struct inmemory_part *parts[PARTS];
        for (size_t p = 0; p < PARTS; p++) {
            struct raw_rows shard = {0}, *list = &shard;
            double start = cpu_ns();
            for (size_t k = 0; k < samples; k++, ms += 1000)
                for (size_t i = 0; i < series_count; i++)
                    raw_rows_append(&shard, (uint32_t)i, ms, rand() % 1000 + (i & 1 ? ms / 1000 * 1000 : 0),
                                    -1);
            append_ns += cpu_ns() - start;
            start = cpu_ns();
            parts[p] = inmemory_part_new(&list, 1, &ranks);
            new_ns += cpu_ns() - start;
            raw_rows_release(&shard);
        }
        dirs[f] = xasprintf("%s/f%zu", dir, f);
        double start = cpu_ns();
        flush(dirs[f], parts, PARTS);
        flush_ns += cpu_ns() - start;
        for (size_t p = 0; p < PARTS; p++)
            inmemory_part_free(parts[p]);
    }
    char *merged = xasprintf("%s/merged", dir);
    double start = cpu_ns();
    merge(merged, 0, dirs, FLUSHES);
    merge_ns = cpu_ns() - start;
    printf("series %zu, %zu rows of each a part: append %.1f, inmemory_part_new %.1f, flush of 5 %.1f, merge "
           "of 4 %.1f "
           "ns a row\n",
           series_count, samples, append_ns / rows, new_ns / rows, flush_ns / rows, merge_ns / rows);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0)
        write_part(argv[2], strtoul(argv[3], NULL, 10));
    else if (argc > 4 && strcmp(argv[1], "merge") == 0)
        merge(argv[2], strtoll(argv[3], NULL, 10), argv + 4, (size_t)argc - 4);
    else if (argc == 3 && strcmp(argv[1], "dump") == 0)
        dump(argv[2]);
    else if (argc > 4 && strcmp(argv[1], "search") == 0)
        search(argv[2], strtoll(argv[3], NULL, 10), strtoll(argv[4], NULL, 10), argv + 5, (size_t)argc - 5);
    else if (argc == 5 && strcmp(argv[1], "bench") == 0)
        bench(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    else
        return 2;
    return 0;
}
