#include "storage/mergeset/items.h"

#include <stdlib.h>

#include "src/base/endian.h"

/* A reference with eight bytes of its item, big endian, from the depth that is being sorted. */
struct keyed_ref {
    uint64_t key;
    struct item_ref ref;
};

#define INSERTION_SORT_MAX  16
#define MEDIAN_OF_THREE_MAX 128

/* Zero-padded past the end of the item: equal keys of items that end inside the word are told apart by
 * length. */
static inline uint64_t key_at(const uint8_t *bytes, struct item_ref ref, size_t depth)
{
    const uint8_t *p = bytes + ref.offset + depth;
    if (ref.len >= depth + 8)
        return get_be64(p);
    uint64_t key = 0;
    for (size_t i = depth; i < ref.len; i++)
        key |= (uint64_t)bytes[ref.offset + i] << (56 - 8 * (i - depth));
    return key;
}

/* Order of two items whose first depth bytes are equal. */
static bool keyed_less(const uint8_t *bytes, struct keyed_ref a, struct keyed_ref b, size_t depth)
{
    if (a.key != b.key)
        return a.key < b.key;
    depth += 8;
    if (a.ref.len <= depth || b.ref.len <= depth)
        return a.ref.len < b.ref.len;
    struct item rest_a = {bytes + a.ref.offset + depth, a.ref.len - depth};
    struct item rest_b = {bytes + b.ref.offset + depth, b.ref.len - depth};
    return item_compare(rest_a, rest_b) < 0;
}

static void insertion_sort(const uint8_t *bytes, struct keyed_ref *a, size_t n, size_t depth)
{
    for (size_t i = 1; i < n; i++) {
        struct keyed_ref x = a[i];
        size_t j = i;
        for (; j > 0 && keyed_less(bytes, x, a[j - 1], depth); j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

static inline uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
    if (a < b)
        return b < c ? b : a < c ? c : a;
    return a < c ? a : b < c ? c : b;
}

static uint64_t random_key(const struct keyed_ref *a, size_t n, uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return a[(*random >> 32) * n >> 32].key;
}

/* The median of three for short ranges; of nine random places for long ones, so that no input that a sender
 * could think of makes the sort quadratic. */
static uint64_t pick_pivot(const struct keyed_ref *a, size_t n, uint64_t *random)
{
    if (n < MEDIAN_OF_THREE_MAX)
        return median(a[0].key, a[n / 2].key, a[n - 1].key);
    uint64_t m[3];
    for (int i = 0; i < 3; i++)
        m[i] = median(random_key(a, n, random), random_key(a, n, random), random_key(a, n, random));
    return median(m[0], m[1], m[2]);
}

static inline void swap_refs(struct keyed_ref *a, struct keyed_ref *b)
{
    struct keyed_ref t = *a;
    *a = *b;
    *b = t;
}

/* Items of one key: those that end within the word come first, by length (equal length: equal items). Returns
 * how many they are; the rest get their next eight bytes. */
static size_t split_ended(const uint8_t *bytes, struct keyed_ref *a, size_t n, size_t depth)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        if (a[i].ref.len <= depth + 8)
            swap_refs(&a[done++], &a[i]);
    size_t placed = 0;
    for (size_t len = depth; placed < done; len++)
        for (size_t i = placed; i < done; i++)
            if (a[i].ref.len == len)
                swap_refs(&a[placed++], &a[i]);
    for (size_t i = done; i < n; i++)
        a[i].key = key_at(bytes, a[i].ref, depth + 8);
    return done;
}

/* Three-way partition by the cached word. The largest of the three parts is left to the loop, so the
 * recursion is at most log2(n) deep. */
static void sort_range(const uint8_t *bytes, struct keyed_ref *a, size_t n, size_t depth, uint64_t *random)
{
    while (n > INSERTION_SORT_MAX) {
        uint64_t pivot = pick_pivot(a, n, random);
        size_t less = 0, i = 0, greater = n;
        while (i < greater) {
            if (a[i].key < pivot)
                swap_refs(&a[less++], &a[i++]);
            else if (a[i].key > pivot)
                swap_refs(&a[i], &a[--greater]);
            else
                i++;
        }
        struct keyed_ref *equal = a + less;
        size_t equal_count = greater - less;
        size_t ended = split_ended(bytes, equal, equal_count, depth);
        equal += ended;
        equal_count -= ended;

        struct {
            struct keyed_ref *a;
            size_t n, depth;
        } parts[3] = {{a, less, depth}, {equal, equal_count, depth + 8}, {a + greater, n - greater, depth}};
        int largest = parts[0].n > parts[1].n ? 0 : 1;
        if (parts[2].n > parts[largest].n)
            largest = 2;
        for (int k = 0; k < 3; k++)
            if (k != largest)
                sort_range(bytes, parts[k].a, parts[k].n, parts[k].depth, random);
        a = parts[largest].a;
        n = parts[largest].n;
        depth = parts[largest].depth;
    }
    insertion_sort(bytes, a, n, depth);
}

void items_sort(struct items *items)
{
    size_t n = items->count;
    if (n < 2)
        return;
    const uint8_t *bytes = items->bytes.data;
    struct keyed_ref *a = xreallocarray(NULL, n, sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = (struct keyed_ref){.key = key_at(bytes, items->refs[i], 0), .ref = items->refs[i]};
    uint64_t random = n;
    sort_range(bytes, a, n, 0, &random);
    for (size_t i = 0; i < n; i++)
        items->refs[i] = a[i].ref;
    free(a);
}

bool items_is_sorted(const struct items *items)
{
    for (size_t i = 1; i < items->count; i++)
        if (item_compare(items_get(items, i - 1), items_get(items, i)) > 0)
            return false;
    return true;
}

size_t items_lower_bound(const struct items *items, struct item key)
{
    size_t low = 0, high = items->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (item_compare(items_get(items, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void items_clear(struct items *items)
{
    buffer_clear(&items->bytes);
    items->count = 0;
}

void items_release(struct items *items)
{
    buffer_release(&items->bytes);
    free(items->refs);
    *items = (struct items){0};
}
