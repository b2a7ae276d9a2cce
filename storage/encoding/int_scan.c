#include "storage/encoding/int_scan.h"

#include "storage/encoding/avx2.h"

#define STRIDE 32 /* items without a branch, for vectors; most answers are clear after one */

/* The bodies, inlined into a form for any processor and one for AVX2. */
#define BODY static inline __attribute__((always_inline))

/* count steps from a[0] on. */
BODY int64_t stride_falls(const int64_t *a, size_t count)
{
    int64_t falls = 0;
    for (size_t k = 0; k < count; k++)
        falls |= -(int64_t)(a[k + 1] < a[k]);
    return falls;
}

BODY size_t rise(const int64_t *a, size_t n)
{
    size_t i = 1;
    while (i + STRIDE <= n && !stride_falls(a + i - 1, STRIDE))
        i += STRIDE;
    return i;
}

BODY bool is_ordered(const int64_t *a, size_t n)
{
    return n < 2 || !stride_falls(a, n - 1);
}

BODY uint64_t stride_differs(const int64_t *a, size_t count, int64_t step)
{
    uint64_t differs = 0;
    for (size_t k = 0; k < count; k++)
        differs |= ((uint64_t)a[k + 1] - (uint64_t)a[k]) ^ (uint64_t)step;
    return differs;
}

BODY bool has_step(const int64_t *a, size_t n, int64_t step)
{
    size_t i = 1;
    for (; i + STRIDE <= n; i += STRIDE)
        if (stride_differs(a + i - 1, STRIDE, step))
            return false;
    return i >= n || !stride_differs(a + i - 1, n - i, step);
}

bool int_scan_is_ordered_plain(const int64_t *a, size_t n)
{
    return is_ordered(a, n);
}

bool int_scan_has_step_plain(const int64_t *a, size_t n, int64_t step)
{
    return has_step(a, n, step);
}

size_t int_scan_rise_plain(const int64_t *a, size_t n)
{
    return rise(a, n);
}

TARGET_AVX2 static bool is_ordered_avx2(const int64_t *a, size_t n)
{
    return is_ordered(a, n);
}

TARGET_AVX2 static bool has_step_avx2(const int64_t *a, size_t n, int64_t step)
{
    return has_step(a, n, step);
}

TARGET_AVX2 static size_t rise_avx2(const int64_t *a, size_t n)
{
    return rise(a, n);
}

bool int_scan_is_ordered(const int64_t *a, size_t n)
{
    return has_avx2() ? is_ordered_avx2(a, n) : is_ordered(a, n);
}

bool int_scan_has_step(const int64_t *a, size_t n, int64_t step)
{
    return has_avx2() ? has_step_avx2(a, n, step) : has_step(a, n, step);
}

size_t int_scan_rise(const int64_t *a, size_t n)
{
    return has_avx2() ? rise_avx2(a, n) : rise(a, n);
}
