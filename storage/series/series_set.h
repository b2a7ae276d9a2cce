/* A growable set of series handles: a bitmap. For "registered on this date". Zeroed is empty. Not
 * thread-safe. */
#ifndef VARVE_STORAGE_SERIES_SERIES_SET_H
#define VARVE_STORAGE_SERIES_SERIES_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct series_set {
    uint64_t *words;
    size_t words_count;
    size_t count; /* handles in the set */
};

static inline bool series_set_has(const struct series_set *set, uint32_t handle)
{
    size_t word = handle / 64;
    return word < set->words_count && (set->words[word] >> (handle % 64) & 1);
}

/* Puts the handle in; true if it wasn't there. */
bool series_set_add(struct series_set *set, uint32_t handle);
/* Takes it out; true if it was there. */
bool series_set_remove(struct series_set *set, uint32_t handle);
/* Memory held. */
size_t series_set_memory(const struct series_set *set);
void series_set_release(struct series_set *set);

#endif
