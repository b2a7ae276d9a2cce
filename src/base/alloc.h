/*
 * Allocation that doesn't return NULL.
 *
 * Linux overcommits: malloc seldom fails, the OOM killer comes instead, and what protects against both is
 * the memory limit that pauses intake. So when malloc does fail there is nothing better to do than stop at
 * once, loudly: everything acknowledged is on disk, and the restart reads the rest again from its source.
 */
#ifndef VARVE_BASE_ALLOC_H
#define VARVE_BASE_ALLOC_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* count * size is checked for overflow. */
void *xreallocarray(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
/* A copy of size bytes; NULL-free even for size 0. */
void *xmemdup(const void *src, size_t size) __attribute__((malloc, returns_nonnull));

/* Makes room for one more element: grows *array (of element_size each) geometrically when count == *capacity.
 * Use: GROW(items, count, capacity); items[count++] = x; */
void *grow_array(void *array, size_t count, size_t *capacity, size_t element_size);
#define GROW(array, count, capacity) ((array) = grow_array((array), (count), &(capacity), sizeof *(array)))

#endif
