#include "storage/part/merge_pick.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"

/* The least by which the output must be larger than the largest input: keeps write amplification down. */
#define MULTIPLIER_MIN 1.7

struct candidate {
    struct merge_candidate part;
    size_t index; /* in the caller's array */
    bool by_time;
};

static int compare_candidates(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->part.size != b->part.size)
        return a->part.size < b->part.size ? -1 : 1;
    if (a->by_time && a->part.min_timestamp != b->part.min_timestamp)
        return a->part.min_timestamp > b->part.min_timestamp ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* The best window of sorted parts; returns its length, 0 for none. */
static size_t best_window(const struct candidate *parts, size_t n, size_t max_parts, uint64_t max_out_bytes,
                          size_t *ret_start)
{
    size_t longest = max_parts < n ? max_parts : n;
    size_t shortest = (longest + 1) / 2 > 2 ? (longest + 1) / 2 : 2;
    size_t best_length = 0;
    double best = 0;
    for (size_t length = shortest; length <= longest; length++) {
        for (size_t start = 0; start + length <= n; start++) {
            uint64_t first = parts[start].part.size, last = parts[start + length - 1].part.size;
            if (first * length < last)
                continue; /* too different in size */
            uint64_t sum = 0;
            for (size_t i = start; i < start + length; i++)
                sum += parts[i].part.size;
            if (sum > max_out_bytes)
                break; /* later windows are larger still */
            double score = last ? (double)sum / (double)last : (double)length;
            if (score < best)
                continue;
            best = score;
            best_length = length;
            *ret_start = start;
        }
    }
    double accepted = (double)max_parts / 2 > MULTIPLIER_MIN ? (double)max_parts / 2 : MULTIPLIER_MIN;
    return best < accepted ? 0 : best_length;
}

size_t merge_pick(const struct merge_candidate *parts, size_t n, size_t max_parts, uint64_t max_out_bytes,
                  bool by_time, size_t *ret_indexes)
{
    if (n < 2 || max_parts < 2)
        return 0;
    uint64_t max_in_bytes = (uint64_t)((double)max_out_bytes / MULTIPLIER_MIN);
    _cleanup_free_ struct candidate *sorted = xreallocarray(NULL, n, sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (parts[i].size <= max_in_bytes)
            sorted[count++] = (struct candidate){parts[i], i, by_time};
    if (count < 2)
        return 0;
    qsort(sorted, count, sizeof *sorted, compare_candidates);
    size_t start = 0;
    size_t length = best_window(sorted, count, max_parts, max_out_bytes, &start);
    for (size_t i = 0; i < length; i++)
        ret_indexes[i] = sorted[start + i].index;
    return length;
}

size_t merge_groups(const struct merge_candidate *parts, size_t n, size_t max_parts, bool by_time,
                    size_t *ret_group)
{
    if (!n)
        return 0;
    _cleanup_free_ struct merge_candidate *rest = xreallocarray(NULL, n, sizeof *rest);
    _cleanup_free_ size_t *rest_index = xreallocarray(NULL, n, sizeof *rest_index);
    _cleanup_free_ size_t *picked = xreallocarray(NULL, max_parts, sizeof *picked);
    size_t groups = 0;
    for (size_t i = 0; i < n; i++)
        ret_group[i] = SIZE_MAX; /* not in a group yet */
    for (;;) {
        size_t rest_count = 0;
        for (size_t i = 0; i < n; i++) {
            if (ret_group[i] != SIZE_MAX)
                continue;
            rest[rest_count] = parts[i];
            rest_index[rest_count++] = i;
        }
        size_t count = merge_pick(rest, rest_count, max_parts, UINT64_MAX, by_time, picked);
        if (count) {
            for (size_t i = 0; i < count; i++)
                ret_group[rest_index[picked[i]]] = groups;
            groups++;
            continue;
        }
        if (!rest_count)
            return groups;
        /* The rest, by size, in groups as even as can be. */
        _cleanup_free_ struct candidate *sorted = xreallocarray(NULL, rest_count, sizeof *sorted);
        for (size_t i = 0; i < rest_count; i++)
            sorted[i] = (struct candidate){rest[i], rest_index[i], by_time};
        qsort(sorted, rest_count, sizeof *sorted, compare_candidates);
        size_t rest_groups = (rest_count + max_parts - 1) / max_parts;
        for (size_t i = 0; i < rest_count; i++)
            ret_group[sorted[i].index] = groups + i * rest_groups / rest_count;
        return groups + rest_groups;
    }
}
