#include "storage/mergeset/item_merge.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_block.h"
#include "storage/mergeset/item_part_reader.h"
#include "storage/mergeset/item_part_writer.h"

/* One source, read block by block; a part in memory is one large block. */
struct stream {
    struct item item;          /* the next one */
    const struct items *block; /* where it is */
    size_t i;
    struct item_part_reader reader; /* of a file part */
    bool is_file, is_at_end;        /* at end: of a file */
};

struct merger {
    struct stream *streams;
    size_t streams_count;
    struct stream **heap; /* smallest next item first */
    size_t heap_count;
    struct items block; /* being filled */
    item_prepare_block_fn prepare;
    void *context;
    struct item_merge_watch watch;
    uint64_t items_reported, bytes_reported;
    const struct fs *fs;
    const char *dir;
    int level;
    struct item_part_writer writer;
    bool writer_created;
    struct buffer first_item, last_item; /* of the block before prepare */
};

/* --- streams --- */

static int stream_next_block(struct stream *s, struct error *reterr)
{
    if (!s->is_file)
        return 0;
    int r = item_part_reader_next(&s->reader, reterr);
    if (r > 0) {
        s->block = &s->reader.block;
        s->i = 0;
        s->item = items_get(s->block, 0);
    }
    s->is_at_end = r == 0;
    return r;
}

static int stream_open(struct stream *s, const struct item_source *source, struct error *reterr)
{
    if (source->part) {
        s->is_file = true;
        item_part_reader_init(&s->reader, source->part);
        return stream_next_block(s, reterr);
    }
    s->block = &source->memory->items;
    if (s->block->count == 0)
        return 0;
    s->item = items_get(s->block, 0);
    return 1;
}

static void sift_down(struct merger *m, size_t i)
{
    struct stream *s = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && item_compare(m->heap[child + 1]->item, m->heap[child]->item) < 0)
            child++;
        if (item_compare(s->item, m->heap[child]->item) <= 0)
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = s;
}

static int open_streams(struct merger *m, const struct item_source *sources, struct error *reterr)
{
    for (size_t i = 0; i < m->streams_count; i++) {
        int r = stream_open(&m->streams[i], &sources[i], reterr);
        if (r < 0)
            return r;
        if (r > 0)
            m->heap[m->heap_count++] = &m->streams[i];
    }
    for (size_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m, i);
    return 0;
}

/* --- the block being filled --- */

static void remember(struct buffer *dst, struct item item)
{
    buffer_clear(dst);
    buffer_append(dst, item.data, item.len);
}

/* Lets prepare rewrite the block and checks what it promised: a part out of order would be found out much
 * later. */
static int prepare_block(struct merger *m, struct error *reterr)
{
    if (!m->prepare)
        return 0;
    size_t bytes = items_bytes(&m->block);
    remember(&m->first_item, items_get(&m->block, 0));
    remember(&m->last_item, items_get(&m->block, m->block.count - 1));
    m->prepare(m->context, &m->block);
    if (m->block.count == 0)
        return 0;
    struct item first = {m->first_item.data, m->first_item.len}, last = {m->last_item.data, m->last_item.len};
    if (items_bytes(&m->block) > bytes || item_compare(items_get(&m->block, 0), first) < 0 ||
        item_compare(items_get(&m->block, m->block.count - 1), last) > 0)
        return error_set(reterr, ERR_INVALID, "%s: BUG: rows of a block were joined into others", m->dir);
    return 0;
}

/* Adds to *counter what came since it was last told. */
static void count_up(_Atomic uint64_t *counter, uint64_t *reported, uint64_t now)
{
    if (counter)
        atomic_fetch_add_explicit(counter, now - *reported, memory_order_relaxed);
    *reported = now;
}

static void report(struct merger *m)
{
    uint64_t items = 0, bytes = 0;
    if (!m->watch.items_read && !m->watch.bytes_read)
        return;
    for (size_t i = 0; i < m->streams_count; i++) {
        const struct stream *s = &m->streams[i];
        items += s->reader.items_count;
        bytes += s->is_at_end ? item_part_size(s->reader.part) : item_part_reader_bytes(&s->reader);
    }
    count_up(m->watch.items_read, &m->items_reported, items);
    count_up(m->watch.bytes_read, &m->bytes_reported, bytes);
}

static int flush_block(struct merger *m, struct error *reterr)
{
    if (m->watch.stop && atomic_load_explicit(m->watch.stop, memory_order_relaxed))
        return error_set(reterr, ERR_CANCELLED, "%s: merge stopped", m->dir);
    report(m);
    if (m->block.count == 0)
        return 0;
    int r = prepare_block(m, reterr);
    if (r < 0 || m->block.count == 0)
        return r;
    if (!m->writer_created) {
        r = item_part_writer_create(&m->writer, m->fs, m->dir, m->level, reterr);
        if (r < 0)
            return r;
        m->writer_created = true;
    }
    r = item_part_writer_add(&m->writer, &m->block, reterr);
    items_clear(&m->block);
    return r;
}

static int add_item(struct merger *m, struct item item, struct error *reterr)
{
    if (m->block.count > 0 && item_equal(items_get(&m->block, m->block.count - 1), item))
        return 0;
    if (items_bytes(&m->block) + item.len > ITEM_BLOCK_BYTES_MAX) {
        int r = flush_block(m, reterr);
        if (r < 0)
            return r;
    }
    items_add(&m->block, item.data, item.len);
    return 0;
}

/* Takes items from the first stream as long as they aren't larger than the other streams' next. When the
 * whole block isn't, nothing needs comparing. Leaves the stream at its next item; 0 at its end. */
static int take_run(struct merger *m, struct stream *s, struct error *reterr)
{
    struct stream *other = m->heap_count > 1 ? m->heap[1] : NULL;
    if (m->heap_count > 2 && item_compare(m->heap[2]->item, other->item) < 0)
        other = m->heap[2];
    for (;;) {
        size_t count = s->block->count;
        bool compare = other && item_compare(items_get(s->block, count - 1), other->item) > 0;
        for (; s->i < count; s->i++) {
            struct item item = items_get(s->block, s->i);
            if (compare && item_compare(item, other->item) > 0) {
                s->item = item;
                return 1;
            }
            int r = add_item(m, item, reterr);
            if (r < 0)
                return r;
        }
        int r = stream_next_block(s, reterr);
        if (r <= 0 || (other && item_compare(s->item, other->item) > 0))
            return r;
    }
}

static int merge_streams(struct merger *m, struct error *reterr)
{
    while (m->heap_count > 0) {
        int r = take_run(m, m->heap[0], reterr);
        if (r < 0)
            return r;
        if (r == 0)
            m->heap[0] = m->heap[--m->heap_count];
        if (m->heap_count > 0)
            sift_down(m, 0);
    }
    int r = flush_block(m, reterr);
    report(m);
    return r;
}

int item_merge(const struct fs *fs, const char *dir, const struct item_source *sources, size_t sources_count,
               item_prepare_block_fn prepare, void *context, const struct item_merge_watch *watch,
               struct item_part_header *ret_ph, struct error *reterr)
{
    if (fs_exists(dir)) /* and therefore isn't ours to remove */
        return error_set(reterr, ERR_INVALID, "%s: already there", dir);
    struct merger m = {
        .streams = xcalloc(sources_count ? sources_count : 1, sizeof *m.streams),
        .streams_count = sources_count,
        .heap = xcalloc(sources_count ? sources_count : 1, sizeof(struct stream *)),
        .prepare = prepare,
        .context = context,
        .fs = fs,
        .dir = dir,
    };
    if (watch)
        m.watch = *watch;
    uint64_t items_count = 0;
    for (size_t i = 0; i < sources_count; i++)
        items_count += item_source_items_count(&sources[i]);
    m.level = item_compress_level(items_count);

    int r = open_streams(&m, sources, reterr);
    if (r == 0)
        r = merge_streams(&m, reterr);
    if (r == 0 && m.writer_created) {
        r = item_part_writer_finish(&m.writer, ret_ph, reterr);
        if (r == 0)
            r = 1;
    } else if (m.writer_created) {
        item_part_writer_abandon(&m.writer);
    }
    if (r < 0 && fs_exists(dir))
        (void)fs_remove_tree(fs, dir, NULL);

    for (size_t i = 0; i < m.streams_count; i++)
        if (m.streams[i].is_file)
            item_part_reader_release(&m.streams[i].reader);
    free(m.streams);
    free(m.heap);
    items_release(&m.block);
    buffer_release(&m.first_item);
    buffer_release(&m.last_item);
    return r;
}
