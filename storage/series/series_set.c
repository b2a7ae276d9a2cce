#include "storage/series/series_set.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

bool series_set_add(struct series_set *set, uint32_t handle)
{
    size_t word = handle / 64;
    if (word >= set->words_count) {
        size_t count = set->words_count ? set->words_count : 16;
        while (count <= word)
            count += count / 2;
        set->words = xreallocarray(set->words, count, sizeof *set->words);
        memset(set->words + set->words_count, 0, (count - set->words_count) * sizeof *set->words);
        set->words_count = count;
    }
    uint64_t bit = UINT64_C(1) << (handle % 64);
    if (set->words[word] & bit)
        return false;
    set->words[word] |= bit;
    set->count++;
    return true;
}

bool series_set_remove(struct series_set *set, uint32_t handle)
{
    if (!series_set_has(set, handle))
        return false;
    set->words[handle / 64] &= ~(UINT64_C(1) << (handle % 64));
    set->count--;
    return true;
}

size_t series_set_memory(const struct series_set *set)
{
    return set->words_count * sizeof *set->words;
}

void series_set_release(struct series_set *set)
{
    free(set->words);
    *set = (struct series_set){0};
}
