#include "storage/part/raw_rows.h"

#include <pthread.h>
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/mutex.h"

/* Of about 24 MiB: what a few workers fill in a second, so that a steady flow allocates nothing. */
#define FREE_CHUNKS_MAX 64

static pthread_once_t free_once = PTHREAD_ONCE_INIT;
static struct mutex free_lock;
static struct raw_rows_chunk *free_chunks GUARDED_BY(free_lock);
static size_t free_chunks_count GUARDED_BY(free_lock);

static void free_init(void)
{
    mutex_init(&free_lock, RANK_PART);
}

static struct raw_rows_chunk *chunk_get(void)
{
    pthread_once(&free_once, free_init);
    mutex_lock(&free_lock);
    struct raw_rows_chunk *chunk = free_chunks;
    if (chunk) {
        free_chunks = chunk->next;
        free_chunks_count--;
    }
    mutex_unlock(&free_lock);
    if (!chunk)
        chunk = xmalloc(sizeof *chunk);
    chunk->next = NULL;
    chunk->count = 0;
    return chunk;
}

void raw_rows_grow(struct raw_rows *rows)
{
    struct raw_rows_chunk *chunk = chunk_get();
    if (rows->last) {
        rows->count += rows->last->count;
        rows->last->next = chunk;
    } else {
        rows->first = chunk;
    }
    rows->last = chunk;
}

size_t raw_rows_memory_bytes(const struct raw_rows *rows)
{
    size_t chunks = 0;
    for (const struct raw_rows_chunk *c = rows->first; c; c = c->next)
        chunks++;
    return chunks * sizeof(struct raw_rows_chunk);
}

void raw_rows_move(struct raw_rows *dst, struct raw_rows *src)
{
    if (!src->first)
        return;
    if (dst->last) {
        dst->count += dst->last->count + src->count;
        dst->last->next = src->first;
        dst->last = src->last;
    } else {
        *dst = *src;
    }
    *src = (struct raw_rows){0};
}

void raw_rows_release(struct raw_rows *rows)
{
    struct raw_rows_chunk *chunk = rows->first;
    *rows = (struct raw_rows){0};
    if (!chunk)
        return;
    mutex_lock(&free_lock);
    while (chunk && free_chunks_count < FREE_CHUNKS_MAX) {
        struct raw_rows_chunk *next = chunk->next;
        chunk->next = free_chunks;
        free_chunks = chunk;
        free_chunks_count++;
        chunk = next;
    }
    mutex_unlock(&free_lock);
    while (chunk) {
        struct raw_rows_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void raw_rows_trim(void)
{
    pthread_once(&free_once, free_init);
    mutex_lock(&free_lock);
    struct raw_rows_chunk *chunk = free_chunks;
    free_chunks = NULL;
    free_chunks_count = 0;
    mutex_unlock(&free_lock);
    while (chunk) {
        struct raw_rows_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}
