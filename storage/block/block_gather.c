#include "storage/block/block_gather.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/encoding/scale.h"

/* Rows are put in order at once if they move at most so many times as many: late rows usually fall into the
 * block before theirs. */
#define LATER_ROWS_MAX 4

/* Rows somewhere: a run, or what runs were merged into. */
struct rows {
    int64_t *timestamps, *mantissas;
};

static struct rows rows_at(struct rows r, size_t i)
{
    return (struct rows){r.timestamps + i, r.mantissas + i};
}

static void copy_rows(struct rows dst, struct rows src, size_t count)
{
    memcpy(dst.timestamps, src.timestamps, count * sizeof *dst.timestamps);
    memcpy(dst.mantissas, src.mantissas, count * sizeof *dst.mantissas);
}

static void move_rows(struct rows dst, struct rows src, size_t count)
{
    memmove(dst.timestamps, src.timestamps, count * sizeof *dst.timestamps);
    memmove(dst.mantissas, src.mantissas, count * sizeof *dst.mantissas);
}

static struct rows own_rows(const struct block_gather *g)
{
    return (struct rows){g->block.own_timestamps, g->block.own_mantissas};
}

void block_gather_release(struct block_gather *g)
{
    block_release(&g->block);
    free(g->runs);
    free(g->tmp_timestamps);
    free(g->tmp_mantissas);
    *g = (struct block_gather){0};
}

void block_gather_begin(struct block_gather *g, const struct block *b)
{
    block_borrow(&g->block, b);
    g->ordered = b->header.rows_count;
    g->runs_count = 0;
}

/* --- putting in order --- */

/* The reference's merge of two blocks: runs of rows of the one that aren't later than the other's next, in
 * turn; which of equal timestamps comes first depends on whose turn it is (format 10.4). */
static void interleave(struct rows dst, struct rows a, size_t a_count, struct rows b, size_t b_count)
{
    while (a_count) {
        size_t run = 0;
        if (b_count)
            while (run < a_count && a.timestamps[run] <= b.timestamps[0])
                run++;
        else
            run = a_count;
        copy_rows(dst, a, run);
        dst = rows_at(dst, run);
        /* Roles are swapped: the block whose run ended waits for the other's. */
        struct rows rest = rows_at(a, run);
        size_t rest_count = a_count - run;
        a = b;
        a_count = b_count;
        b = rest;
        b_count = rest_count;
    }
    copy_rows(dst, b, b_count);
}

/* Index of the first of count ordered rows that is later than timestamp. */
static size_t first_later(const int64_t *timestamps, size_t count, int64_t timestamp)
{
    size_t low = 0;
    while (count) {
        size_t half = count / 2;
        if (timestamps[low + half] <= timestamp) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

/* Merges the ordered rows [0, at) with [at, at + count) in place; tmp has room for all of them. */
static void interleave_in_place(struct rows rows, size_t at, size_t count, struct rows tmp)
{
    size_t from = first_later(rows.timestamps, at, rows.timestamps[at]);
    if (from == at)
        return;
    interleave(tmp, rows_at(rows, from), at - from, rows_at(rows, at), count);
    copy_rows(rows_at(rows, from), tmp, at - from + count);
}

/* Merges two runs that share no timestamp; false if they do. */
static bool merge_two(struct rows dst, struct rows a, size_t a_count, struct rows b, size_t b_count)
{
    size_t i = 0, j = 0, n = 0;
    while (i < a_count && j < b_count) {
        for (int64_t y = b.timestamps[j]; i < a_count && a.timestamps[i] < y; i++, n++) {
            dst.timestamps[n] = a.timestamps[i];
            dst.mantissas[n] = a.mantissas[i];
        }
        if (i == a_count)
            break;
        int64_t x = a.timestamps[i];
        if (x == b.timestamps[j])
            return false;
        for (; j < b_count && b.timestamps[j] < x; j++, n++) {
            dst.timestamps[n] = b.timestamps[j];
            dst.mantissas[n] = b.mantissas[j];
        }
    }
    copy_rows(rows_at(dst, n), rows_at(a, i), a_count - i);
    copy_rows(rows_at(dst, n + a_count - i), rows_at(b, j), b_count - j);
    return true;
}

static struct rows tmp_rows(struct block_gather *g, size_t rows)
{
    if (g->tmp_capacity < rows) {
        g->tmp_capacity = rows * 2;
        free(g->tmp_timestamps);
        free(g->tmp_mantissas);
        g->tmp_timestamps = xreallocarray(NULL, g->tmp_capacity, sizeof *g->tmp_timestamps);
        g->tmp_mantissas = xreallocarray(NULL, g->tmp_capacity, sizeof *g->tmp_mantissas);
    }
    return (struct rows){g->tmp_timestamps, g->tmp_mantissas};
}

/* Merges the runs behind the ordered rows into one, pairs of neighbours at a time. *ret is where it is. The
 * block's own rows are left alone. False if two share a timestamp: then their order isn't free. */
static bool merge_runs(struct block_gather *g, struct rows tmp, struct rows *ret)
{
    size_t total = g->block.header.rows_count, count = g->runs_count, behind = total - g->ordered;
    struct rows from = rows_at(own_rows(g), g->ordered), to = tmp, other = rows_at(tmp, total);
    size_t *begins = xreallocarray(NULL, count + 1, sizeof *begins);
    for (size_t i = 0; i < count; i++)
        begins[i] = g->runs[i] - g->ordered;
    begins[count] = behind;
    bool unique = true;
    while (count > 1 && unique) {
        size_t merged = 0;
        for (size_t i = 0; i < count && unique; i += 2) {
            size_t begin = begins[i], middle = begins[i + 1], end = i + 1 < count ? begins[i + 2] : middle;
            unique = merge_two(rows_at(to, begin), rows_at(from, begin), middle - begin,
                               rows_at(from, middle), end - middle);
            begins[merged++] = begin;
        }
        begins[merged] = behind;
        count = merged;
        from = to;
        to = other;
        other = from;
    }
    free(begins);
    *ret = from;
    return unique;
}

static bool settle_unique(struct block_gather *g, struct rows tmp)
{
    size_t total = g->block.header.rows_count, behind = total - g->ordered;
    struct rows run, own = own_rows(g);
    if (!merge_runs(g, tmp, &run))
        return false;
    size_t from = first_later(own.timestamps, g->ordered, run.timestamps[0]);
    if (from && own.timestamps[from - 1] == run.timestamps[0])
        return false;
    struct rows dst = run.timestamps == tmp.timestamps ? rows_at(tmp, total) : tmp;
    if (!merge_two(dst, rows_at(own, from), g->ordered - from, run, behind))
        return false;
    copy_rows(rows_at(own, from), dst, total - from);
    return true;
}

void block_gather_settle(struct block_gather *g)
{
    if (!g->runs_count)
        return;
    size_t total = g->block.header.rows_count;
    struct rows tmp = tmp_rows(g, 2 * total);
    if (g->runs_count == 1 || !settle_unique(g, tmp)) {
        /* One by one, as the reference does. */
        for (size_t i = 0; i < g->runs_count; i++) {
            size_t end = i + 1 < g->runs_count ? g->runs[i + 1] : total;
            interleave_in_place(own_rows(g), g->runs[i], end - g->runs[i], tmp);
        }
    }
    g->ordered = total;
    g->runs_count = 0;
}

/* --- adding --- */

/* Decodes b, or copies it, behind the rows that are there. */
static int append_rows(struct block_gather *g, struct block *b, struct error *reterr)
{
    struct block *p = &g->block;
    int r = block_decode(p, reterr);
    if (r < 0)
        return r;
    size_t n = p->header.rows_count;
    block_make_own(p, b->header.rows_count);
    p->encoded = false;
    if (!b->decoded)
        return block_decode_into(b, p->own_timestamps + n, p->own_mantissas + n, reterr);
    memcpy(p->own_timestamps + n, b->timestamps, b->header.rows_count * sizeof *b->timestamps);
    memcpy(p->own_mantissas + n, b->mantissas, b->header.rows_count * sizeof *b->mantissas);
    return 0;
}

static size_t first_kept(const int64_t *timestamps, size_t count, int64_t deadline)
{
    size_t i = 0;
    while (i < count && timestamps[i] < deadline)
        i++;
    return i;
}

/* Drops rows before the deadline from the settled rows [0, n) and from the *b_count behind them. */
static void drop_old(struct block_gather *g, size_t *b_count, int64_t deadline, uint64_t *rows_deleted)
{
    struct block *p = &g->block;
    struct rows own = own_rows(g);
    size_t n = p->header.rows_count;
    size_t i = first_kept(own.timestamps, n, deadline),
           j = first_kept(own.timestamps + n, *b_count, deadline);
    move_rows(own, rows_at(own, i), n - i);
    move_rows(rows_at(own, n - i), rows_at(own, n + j), *b_count - j);
    p->header.rows_count = (uint32_t)(n - i);
    g->ordered = n - i;
    *b_count -= j;
    *rows_deleted += i + j;
    if (p->header.rows_count) {
        p->header.min_timestamp = own.timestamps[0];
        p->header.max_timestamp = own.timestamps[p->header.rows_count - 1];
    }
}

static void take_run(struct block_gather *g, size_t count)
{
    struct block_header *bh = &g->block.header;
    const int64_t *timestamps = g->block.own_timestamps;
    size_t n = bh->rows_count;
    int64_t first = timestamps[n], last = timestamps[n + count - 1];
    if (!n) { /* the deadline left nothing of what was there */
        bh->min_timestamp = first;
        bh->max_timestamp = last;
    }
    size_t later = g->runs_count || first >= bh->max_timestamp ? 0 : n - first_later(timestamps, n, first);
    if (g->runs_count || later > LATER_ROWS_MAX * count) {
        GROW(g->runs, g->runs_count, g->runs_capacity);
        g->runs[g->runs_count++] = n;
    } else {
        if (later)
            interleave_in_place(own_rows(g), n, count, tmp_rows(g, later + count));
        g->ordered = n + count;
    }
    bh->min_timestamp = first < bh->min_timestamp ? first : bh->min_timestamp;
    bh->max_timestamp = last > bh->max_timestamp ? last : bh->max_timestamp;
    bh->rows_count = (uint32_t)(n + count);
}

int block_gather_add(struct block_gather *g, struct block *b, int64_t deadline, uint64_t *rows_deleted,
                     struct error *reterr)
{
    struct block_header *p = &g->block.header;
    int r = append_rows(g, b, reterr);
    if (r < 0)
        return r;
    size_t n = p->rows_count, b_count = b->header.rows_count;
    if (b->header.precision_bits < p->precision_bits)
        p->precision_bits = b->header.precision_bits;
    if (p->scale != b->header.scale)
        p->scale = scale_calibrate(g->block.own_mantissas, n, p->scale, g->block.own_mantissas + n, b_count,
                                   b->header.scale);
    if (p->min_timestamp < deadline || b->header.min_timestamp < deadline) {
        block_gather_settle(g);
        drop_old(g, &b_count, deadline, rows_deleted);
    }
    if (b_count)
        take_run(g, b_count);
    return 0;
}

void block_gather_drop(struct block_gather *g, size_t rows)
{
    struct block_header *bh = &g->block.header;
    size_t rest = bh->rows_count - rows;
    move_rows(own_rows(g), rows_at(own_rows(g), rows), rest);
    bh->rows_count = (uint32_t)rest;
    bh->min_timestamp = g->block.own_timestamps[0];
    g->ordered = rest;
}
