#include "storage/block/block_merge.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/block/block_gather.h"

/* Blocks between two updates of the counters: microseconds each, so a few ms. */
#define BLOCKS_PER_REPORT 256

struct merge {
    struct block_stream_writer *bsw;
    struct block_stream_reader **heap; /* the one whose block comes next is heap[0] */
    size_t heap_count;
    struct block_gather pending;
    bool has_pending;
    int64_t deadline;
    uint64_t rows_too_old, rows_deleted;
    struct block_stream_reader **readers; /* all, in their order */
    size_t readers_count;
    struct {
        uint64_t rows, too_old, deleted, bytes;
    } told; /* to the counters */
};

static bool comes_before(const struct block_stream_reader *a, const struct block_stream_reader *b)
{
    const struct block_header *x = &a->block.header, *y = &b->block.header;
    int order = tsid_compare(&x->tsid, &y->tsid);
    if (order != 0)
        return order < 0;
    if (x->min_timestamp != y->min_timestamp)
        return x->min_timestamp < y->min_timestamp;
    return a->merge_order < b->merge_order;
}

static void sift_down(struct block_stream_reader **heap, size_t count, size_t i)
{
    struct block_stream_reader *item = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= count)
            break;
        if (child + 1 < count && comes_before(heap[child + 1], heap[child]))
            child++;
        if (!comes_before(heap[child], item))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
}

static int heap_init(struct merge *m, struct block_stream_reader **readers, size_t n, struct error *reterr)
{
    for (size_t i = 0; i < n; i++) {
        readers[i]->merge_order = i;
        int r = block_stream_reader_next(readers[i], reterr);
        if (r < 0)
            return r;
        if (r > 0)
            m->heap[m->heap_count++] = readers[i];
    }
    for (size_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m->heap, m->heap_count, i);
    return 0;
}

/* Puts the next block of heap[0] in its place. */
static int heap_advance(struct merge *m, struct error *reterr)
{
    int r = block_stream_reader_next(m->heap[0], reterr);
    if (r < 0)
        return r;
    if (r == 0)
        m->heap[0] = m->heap[--m->heap_count];
    if (m->heap_count > 1)
        sift_down(m->heap, m->heap_count, 0);
    return 0;
}

static bool is_full(const struct block *b)
{
    return b->header.rows_count >= BLOCK_ROWS_MAX || (b->encoded && b->header.values_size >= BLOCK_BYTES_MAX);
}

static int write_pending(struct merge *m, struct error *reterr)
{
    block_gather_settle(&m->pending);
    return block_stream_writer_write_block(m->bsw, &m->pending.block, reterr);
}

/* Of more rows than a block may hold the first ones are written and the rest stays pending. */
static int split_pending(struct merge *m, struct error *reterr)
{
    struct block *p = &m->pending.block;
    if (p->header.rows_count <= BLOCK_ROWS_MAX)
        return 0;
    block_gather_settle(&m->pending);
    while (p->header.rows_count > BLOCK_ROWS_MAX) {
        struct block head = {.header = p->header};
        block_set_decoded(&head, &p->header.tsid, p->timestamps, p->mantissas, BLOCK_ROWS_MAX,
                          p->header.scale);
        head.header.precision_bits = p->header.precision_bits;
        int r = block_stream_writer_write_block(m->bsw, &head, reterr);
        if (r < 0)
            return r;
        block_gather_drop(&m->pending, BLOCK_ROWS_MAX);
    }
    return 0;
}

/* Merges b, of the same series, into pending. */
static int merge_into_pending(struct merge *m, struct block *b, struct error *reterr)
{
    int r = block_gather_add(&m->pending, b, m->deadline, &m->rows_too_old, reterr);
    if (r < 0)
        return r;
    m->has_pending = m->pending.block.header.rows_count > 0;
    return split_pending(m, reterr);
}

/* Steps 1 to 5 of the header. */
static int take_block(struct merge *m, struct block *b, const struct merge_options *options,
                      struct error *reterr)
{
    const struct block *p = &m->pending.block;
    if (b->header.max_timestamp < m->deadline) {
        m->rows_too_old += b->header.rows_count;
        return 0;
    }
    if (options->is_deleted && options->is_deleted(b->header.tsid.metric_id, options->is_deleted_arg)) {
        m->rows_deleted += b->header.rows_count;
        return 0;
    }
    if (m->has_pending) {
        bool same = p->header.tsid.metric_id == b->header.tsid.metric_id;
        if (same && !(is_full(p) && p->header.max_timestamp <= b->header.min_timestamp))
            return merge_into_pending(m, b, reterr);
        int r = write_pending(m, reterr);
        if (r < 0)
            return r;
    }
    block_gather_begin(&m->pending, b);
    m->has_pending = true;
    return 0;
}

/* What readers have passed of files; those at their end are still in the array. */
static uint64_t bytes_read(const struct merge *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->readers_count; i++)
        sum += m->readers[i]->timestamps_offset + m->readers[i]->values_offset;
    return sum;
}

/* Adds to a counter, if there's one, what has come since it was told last. */
static void tell(_Atomic uint64_t *counter, uint64_t now, uint64_t *told)
{
    if (counter)
        atomic_fetch_add_explicit(counter, now - *told, memory_order_relaxed);
    *told = now;
}

static void report(struct merge *m, const struct merge_options *options)
{
    tell(options->rows_merged, m->bsw->header.rows_count, &m->told.rows);
    tell(options->rows_too_old, m->rows_too_old, &m->told.too_old);
    tell(options->rows_deleted, m->rows_deleted, &m->told.deleted);
    if (options->bytes_read)
        tell(options->bytes_read, bytes_read(m), &m->told.bytes);
}

static int run(struct merge *m, const struct merge_options *options, struct error *reterr)
{
    int r = 0;
    m->told.rows = m->bsw->header.rows_count;
    for (size_t turn = 0; r == 0 && m->heap_count; turn++) {
        if (options->stop && atomic_load_explicit(options->stop, memory_order_relaxed))
            return error_set(reterr, ERR_CANCELLED, "merge into %s: asked to stop", m->bsw->dir);
        if (turn % BLOCKS_PER_REPORT == 0)
            report(m, options);
        r = take_block(m, &m->heap[0]->block, options, reterr);
        if (r == 0)
            r = heap_advance(m, reterr);
    }
    if (r == 0 && m->has_pending)
        r = write_pending(m, reterr);
    report(m, options);
    return r;
}

int merge_block_streams(struct part_header *ret_ph, struct block_stream_writer *bsw,
                        struct block_stream_reader **readers, size_t n, const struct merge_options *options,
                        struct error *reterr)
{
    static const struct merge_options defaults;
    if (!options)
        options = &defaults;
    _cleanup_free_ struct block_stream_reader **heap = xreallocarray(NULL, n, sizeof *heap);
    struct merge m = {.bsw = bsw, .heap = heap, .readers = readers, .readers_count = n};
    m.deadline = options->retention_deadline_ms ? options->retention_deadline_ms : INT64_MIN;
    block_stream_writer_set_dedup(bsw, options->dedup_interval_ms);
    int r = heap_init(&m, readers, n, reterr);
    if (r == 0)
        r = run(&m, options, reterr);
    if (options->rows_deduped)
        atomic_fetch_add_explicit(options->rows_deduped, bsw->rows_deduped, memory_order_relaxed);
    if (r == 0 && bsw->header.rows_count)
        r = block_stream_writer_finish(bsw, ret_ph, NULL, reterr);
    else if (r == 0)
        *ret_ph = (struct part_header){0};
    block_stream_writer_abandon(bsw);
    block_gather_release(&m.pending);
    return r;
}
