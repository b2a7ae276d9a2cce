#include "tests/unit/storage/part/part_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/fs/fs.h"
#include "storage/part/part_search.h"

int temp_dir_setup(void **state)
{
    char *dir = xstrdup("/tmp/varve-test-XXXXXX");
    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}

int temp_dir_teardown(void **state)
{
    int r = fs_remove_tree(&fs_posix, *state, NULL);
    free(*state);
    raw_rows_trim();
    return r;
}

const char *path_in(void **state, const char *name)
{
    static char paths[16][256];
    static size_t next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", (const char *)*state, name);
    return path;
}

struct tsid fixture_tsid(uint32_t series)
{
    return (struct tsid){1 + series / 100, series / 10 % 10, series % 10, 1000000 - series};
}

struct inmemory_part *fixture_inmemory(const struct sample_row *rows, size_t n)
{
    static uint32_t rank_by_series[FIXTURE_SERIES];
    static struct tsid tsid_by_rank[FIXTURE_SERIES];
    for (uint32_t i = 0; i < FIXTURE_SERIES; i++) {
        /* Handles aren't ranks. */
        rank_by_series[FIXTURE_SERIES - 1 - i] = i;
        tsid_by_rank[i] = fixture_tsid(i);
    }
    struct series_ranks ranks = {rank_by_series, tsid_by_rank, FIXTURE_SERIES};
    struct raw_rows shard = {0}, *list = &shard;
    for (size_t i = 0; i < n; i++)
        raw_rows_append(&shard, FIXTURE_SERIES - 1 - rows[i].series, rows[i].timestamp, rows[i].mantissa,
                        rows[i].exponent);
    struct inmemory_part *mp = inmemory_part_new(&list, 1, &ranks);
    raw_rows_release(&shard);
    return mp;
}

struct file_part *fixture_file(const char *dir, const struct sample_row *rows, size_t n)
{
    struct error err = {0};
    struct inmemory_part *mp = fixture_inmemory(rows, n);
    struct block_stream_reader bsr, *list = &bsr;
    struct block_stream_writer bsw;
    struct part_header ph;
    block_stream_reader_init_from_inmemory_part(&bsr, mp);
    if (block_stream_writer_init_from_file_part(&bsw, &fs_posix, dir, n, mp->blocks_count, &err) < 0 ||
        merge_block_streams(&ph, &bsw, &list, 1, NULL, &err) < 0)
        fail_msg("%s", err.message);
    block_stream_reader_release(&bsr);
    assert_memory_equal(&ph, &mp->header, sizeof ph);
    inmemory_part_free(mp);
    struct file_part *part = NULL;
    if (file_part_open(&part, dir, &err) < 0)
        fail_msg("%s", err.message);
    assert_memory_equal(&ph, &part->header, sizeof ph);
    return part;
}

int fixture_merge(const char *dir, struct file_part *const *parts, size_t n,
                  const struct merge_options *options, struct part_header *ret_ph, struct error *reterr)
{
    struct block_stream_reader *readers = xcalloc(n, sizeof *readers);
    struct block_stream_reader **list = xcalloc(n, sizeof *list);
    uint64_t rows = 0, blocks = 0;
    for (size_t i = 0; i < n; i++) {
        block_stream_reader_init_from_file_part(&readers[i], parts[i]);
        list[i] = &readers[i];
        rows += parts[i]->header.rows_count;
        blocks += parts[i]->header.blocks_count;
    }
    struct block_stream_writer bsw;
    int r = block_stream_writer_init_from_file_part(&bsw, &fs_posix, dir, rows, blocks, reterr);
    if (r == 0)
        r = merge_block_streams(ret_ph, &bsw, list, n, options, reterr);
    for (size_t i = 0; i < n; i++)
        block_stream_reader_release(&readers[i]);
    free(readers);
    free(list);
    return r;
}

struct sample_row *fixture_rows(const struct file_part *part, size_t *ret_n)
{
    struct error err = {0};
    struct sample_row *rows = xcalloc(part->header.rows_count, sizeof *rows);
    size_t n = 0;
    struct part_search ps;
    part_search_init_file(&ps, part, NULL, 0, INT64_MIN, INT64_MAX);
    int r;
    while ((r = part_search_next(&ps, &err)) > 0)
        for (size_t i = 0; i < ps.rows_count; i++)
            rows[n++] = (struct sample_row){1000000 - (uint32_t)ps.tsid.metric_id, ps.timestamps[i],
                                            ps.mantissas[i], ps.scale};
    if (r < 0)
        fail_msg("%s", err.message);
    part_search_release(&ps);
    assert_int_equal(n, part->header.rows_count);
    *ret_n = n;
    return rows;
}
