#include "storage/part/part_search.h"

#include <stdbool.h>
#include <stdlib.h>

#include "src/base/alloc.h"

static void init(struct part_search *ps, const struct part_header *ph, const struct tsid *tsids,
                 size_t tsids_count, int64_t min_timestamp, int64_t max_timestamp)
{
    ps->tsids = tsids;
    ps->tsids_count = tsids_count;
    ps->min_timestamp = min_timestamp;
    ps->max_timestamp = max_timestamp;
    ps->done =
        (tsids && !tsids_count) || ph->max_timestamp < min_timestamp || ph->min_timestamp > max_timestamp;
}

void part_search_init_file(struct part_search *ps, const struct file_part *part, const struct tsid *tsids,
                           size_t tsids_count, int64_t min_timestamp, int64_t max_timestamp)
{
    *ps = (struct part_search){.part = part};
    init(ps, &part->header, tsids, tsids_count, min_timestamp, max_timestamp);
}

void part_search_init_inmemory(struct part_search *ps, const struct inmemory_part *mp,
                               const struct tsid *tsids, size_t tsids_count, int64_t min_timestamp,
                               int64_t max_timestamp)
{
    *ps = (struct part_search){.inmemory_part = mp};
    init(ps, &mp->header, tsids, tsids_count, min_timestamp, max_timestamp);
}

void part_search_release(struct part_search *ps)
{
    block_release(&ps->block);
    buffer_release(&ps->scratch);
    free(ps->headers);
    *ps = (struct part_search){0};
}

/* lower_bound reads the TSID at the start of an item. */
_Static_assert(!offsetof(struct metaindex_row, tsid) && !offsetof(struct block_header, tsid) &&
                   !offsetof(struct inmemory_block, tsid),
               "the TSID comes first");

/* First of items [from, count) of a TSID-ordered array whose TSID isn't less than tsid. Looks near the start
 * first, as the next one is mostly close by. */
static size_t lower_bound(const void *items, size_t item_size, size_t from, size_t count,
                          const struct tsid *tsid)
{
    const char *base = items;
#define TSID_OF(i) ((const struct tsid *)(base + (i)*item_size))
    size_t step = 1;
    size_t low = from, high = from;
    while (high < count && tsid_compare(TSID_OF(high), tsid) < 0) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    if (high > count)
        high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (tsid_compare(TSID_OF(mid), tsid) < 0)
            low = mid + 1;
        else
            high = mid;
    }
#undef TSID_OF
    return low;
}

/* The TSID looked for is the first of the list from next_tsid on that isn't less than tsid; false: none is
 * left. */
static bool skip_tsids_before(struct part_search *ps, const struct tsid *tsid)
{
    ps->next_tsid = lower_bound(ps->tsids, sizeof *ps->tsids, ps->next_tsid, ps->tsids_count, tsid);
    return ps->next_tsid < ps->tsids_count;
}

static bool overlaps(const struct part_search *ps, int64_t min, int64_t max)
{
    return max >= ps->min_timestamp && min <= ps->max_timestamp;
}

/* Clips the block to the range and makes it the result; false if no row of it is in the range. */
static bool take_rows(struct part_search *ps, const struct tsid *tsid, const int64_t *timestamps,
                      const int64_t *mantissas, size_t count, int16_t scale)
{
    size_t start = 0;
    if (timestamps[0] < ps->min_timestamp) {
        size_t high = count;
        while (start < high) {
            size_t mid = start + (high - start) / 2;
            if (timestamps[mid] < ps->min_timestamp)
                start = mid + 1;
            else
                high = mid;
        }
    }
    size_t end = count;
    if (timestamps[count - 1] > ps->max_timestamp) {
        size_t low = start;
        while (low < end) {
            size_t mid = low + (end - low) / 2;
            if (timestamps[mid] <= ps->max_timestamp)
                low = mid + 1;
            else
                end = mid;
        }
    }
    if (start >= end)
        return false;
    ps->tsid = *tsid;
    ps->timestamps = timestamps + start;
    ps->mantissas = mantissas + start;
    ps->rows_count = end - start;
    ps->scale = scale;
    return true;
}

static int next_inmemory(struct part_search *ps)
{
    const struct inmemory_part *mp = ps->inmemory_part;
    while (ps->next_row < mp->blocks_count) {
        const struct inmemory_block *mb = &mp->blocks[ps->next_row];
        if (ps->tsids) {
            if (!skip_tsids_before(ps, &mb->tsid))
                break;
            const struct tsid *want = &ps->tsids[ps->next_tsid];
            if (tsid_compare(&mb->tsid, want) < 0) {
                ps->next_row =
                    lower_bound(mp->blocks, sizeof *mp->blocks, ps->next_row, mp->blocks_count, want);
                continue;
            }
        }
        ps->next_row++;
        if (take_rows(ps, &mb->tsid, mp->timestamps + mb->first_row, mp->mantissas + mb->first_row,
                      mb->rows_count, mb->scale))
            return 1;
    }
    ps->done = true;
    return 0;
}

static int read_index_block(struct part_search *ps, const struct metaindex_row *mr, struct error *reterr)
{
    if (ps->headers_capacity < mr->headers_count) {
        free(ps->headers);
        ps->headers = xreallocarray(NULL, mr->headers_count, sizeof *ps->headers);
        ps->headers_capacity = mr->headers_count;
    }
    ps->headers_count = 0;
    ps->next_header = 0;
    int r =
        index_block_decode(ps->headers, mr, ps->part->index.data + mr->index_offset, &ps->scratch, reterr);
    if (r == 0)
        ps->headers_count = mr->headers_count;
    return r;
}

/* Goes to the next index block that may hold what is looked for: 1, or 0 if there's none. */
static int next_index_block(struct part_search *ps, struct error *reterr)
{
    const struct metaindex_row *rows = ps->part->rows;
    size_t count = ps->part->rows_count;
    while (ps->next_row < count) {
        if (ps->tsids) {
            if (!skip_tsids_before(ps, &rows[ps->next_row].tsid))
                return 0;
            /* Blocks of a series that begins a row may lie at the end of the row before it. */
            size_t row = lower_bound(rows, sizeof *rows, ps->next_row, count, &ps->tsids[ps->next_tsid]);
            if (row > ps->next_row)
                ps->next_row = row - 1;
        }
        const struct metaindex_row *mr = &rows[ps->next_row++];
        if (!overlaps(ps, mr->min_timestamp, mr->max_timestamp))
            continue;
        int r = read_index_block(ps, mr, reterr);
        return r < 0 ? r : 1;
    }
    return 0;
}

/* The next header of the current index block that fits; NULL: none does. */
static const struct block_header *next_header(struct part_search *ps)
{
    while (ps->next_header < ps->headers_count) {
        const struct block_header *bh = &ps->headers[ps->next_header];
        if (ps->tsids) {
            if (!skip_tsids_before(ps, &bh->tsid)) {
                ps->done = true;
                return NULL;
            }
            const struct tsid *want = &ps->tsids[ps->next_tsid];
            if (tsid_compare(&bh->tsid, want) < 0) {
                ps->next_header =
                    lower_bound(ps->headers, sizeof *ps->headers, ps->next_header, ps->headers_count, want);
                continue;
            }
        }
        ps->next_header++;
        if (overlaps(ps, bh->min_timestamp, bh->max_timestamp))
            return bh;
    }
    return NULL;
}

static int next_in_file(struct part_search *ps, struct error *reterr)
{
    for (;;) {
        const struct block_header *bh = next_header(ps);
        if (!bh) {
            int r = ps->done ? 0 : next_index_block(ps, reterr);
            if (r <= 0)
                return r;
            continue;
        }
        int r = file_part_block(ps->part, bh, &ps->block, reterr);
        if (r == 0)
            r = block_decode(&ps->block, reterr);
        if (r < 0)
            return r;
        if (take_rows(ps, &bh->tsid, ps->block.timestamps, ps->block.mantissas, bh->rows_count, bh->scale))
            return 1;
    }
}

int part_search_next(struct part_search *ps, struct error *reterr)
{
    if (ps->done)
        return 0;
    if (ps->inmemory_part)
        return next_inmemory(ps);
    int r = next_in_file(ps, reterr);
    if (r == 1)
        return 1;
    ps->done = true;
    return r < 0 ? error_prefix(reterr, r, "%s: damaged part", ps->part->path) : 0;
}
