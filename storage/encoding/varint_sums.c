/*
 * Eight bytes at a time become up to eight integers in lanes of 16 bits, of at most 14 bits each; so the sums
 * of four fit their lanes, and are widened only then. What one window hands to the next is a single addition.
 */
#include "storage/encoding/varint_sums.h"

#include "storage/encoding/avx2.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/varint_array.h"
#include "storage/encoding/varint_windows.h"

#define LANES 8 /* of a window, and bytes too */

void int_sums_plain(int64_t *a, size_t n, int64_t start)
{
    uint64_t sum = (uint64_t)start;
    for (size_t i = 0; i < n; i++)
        a[i] = (int64_t)(sum += (uint64_t)a[i]);
}

const uint8_t *varint_sums_get_plain(int64_t *dst, size_t n, int64_t start, const uint8_t *p,
                                     const uint8_t *end)
{
    p = varint_array_get(dst, n, p, end);
    if (p)
        int_sums_plain(dst, n, start);
    return p;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The last of four, in all four. */
TARGET_AVX2 static inline __m256i last_of(__m256i x)
{
    return _mm256_permute4x64_epi64(x, 0xff);
}

/* Adds up integers in lanes of 16 bits into dst[0..8); returns the sum of all. Empty lanes are zero. */
TARGET_AVX2 static inline __m256i put_sums(int64_t *dst, __m128i v, __m256i sum)
{
    v = _mm_add_epi16(v, _mm_slli_epi64(v, 16));
    v = _mm_add_epi16(v, _mm_slli_epi64(v, 32));
    __m256i low = _mm256_cvtepi16_epi64(v), high = _mm256_cvtepi16_epi64(_mm_srli_si128(v, 8));
    __m256i middle = _mm256_add_epi64(sum, last_of(low));
    _mm256_storeu_si256((__m256i *)(void *)dst, _mm256_add_epi64(low, sum));
    _mm256_storeu_si256((__m256i *)(void *)(dst + 4), _mm256_add_epi64(high, middle));
    return _mm256_add_epi64(middle, last_of(high));
}

TARGET_AVX2 static inline __m128i unzigzag_lanes(__m128i v)
{
    __m128i sign = _mm_sub_epi16(_mm_setzero_si128(), _mm_and_si128(v, _mm_set1_epi16(1)));
    return _mm_xor_si128(_mm_srli_epi16(v, 1), sign);
}

/* The integers of a window in lanes of 16 bits. */
TARGET_AVX2 static inline __m128i window_lanes(__m128i bytes, const struct varint_window *w)
{
    const __m128i seven_bits = _mm_set1_epi8(0x7f), weights = _mm_set1_epi16((short)0x8001);
    __m128i x = _mm_shuffle_epi8(bytes, _mm_loadu_si128((const __m128i *)(const void *)w->shuffle));
    return unzigzag_lanes(_mm_maddubs_epi16(weights, _mm_and_si128(x, seven_bits)));
}

/* As long as two windows' bytes and room for their integers are left; *done of n integers were read then. */
TARGET_AVX2 static const uint8_t *sum_windows(int64_t *dst, size_t n, int64_t start, const uint8_t *p,
                                              const uint8_t *end, size_t *done)
{
    const struct varint_window *windows = varint_windows();
    __m256i sum = _mm256_set1_epi64x(start);
    size_t i = 0;
    while (n - i >= 2 * LANES && end - p >= 2 * LANES) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned mask = (unsigned)_mm_movemask_epi8(bytes);
        if (!mask) { /* sixteen of one byte */
            sum = put_sums(dst + i, unzigzag_lanes(_mm_cvtepu8_epi16(bytes)), sum);
            sum = put_sums(dst + i + LANES, unzigzag_lanes(_mm_cvtepu8_epi16(_mm_srli_si128(bytes, 8))), sum);
            i += 2 * LANES;
            p += 2 * LANES;
        } else if (!(mask & mask << 1)) { /* none of more than two: a window ends with its 7th or 8th byte */
            const struct varint_window *first = &windows[mask & 0xff];
            unsigned first_bytes = LANES - (mask >> 7 & 1);
            unsigned second_mask = mask >> first_bytes & 0xff;
            const struct varint_window *second = &windows[second_mask];
            sum = put_sums(dst + i, window_lanes(bytes, first), sum);
            i += first->count;
            __m128i rest = _mm_loadl_epi64((const __m128i *)(const void *)(p + first_bytes));
            sum = put_sums(dst + i, window_lanes(rest, second), sum);
            i += second->count;
            p += first_bytes + LANES - (second_mask >> 7);
        } else {
            const struct varint_window *w = &windows[mask & 0xff];
            sum = put_sums(dst + i, window_lanes(bytes, w), sum);
            i += w->count;
            p += w->bytes;
            if ((mask >> w->bytes & 3) == 3) { /* a long one is next */
                int64_t v;
                p = varint_get_signed(p, end, &v);
                if (!p)
                    return NULL;
                sum = _mm256_add_epi64(sum, _mm256_set1_epi64x(v));
                dst[i++] = _mm_cvtsi128_si64(_mm256_castsi256_si128(sum));
            }
        }
    }
    *done = i;
    return p;
}

/* Whole fours of a; returns how many. */
TARGET_AVX2 static size_t sum_fours(int64_t *a, size_t n, int64_t start)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum = _mm256_set1_epi64x(start);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256i *at = (__m256i *)(void *)(a + i), x = _mm256_loadu_si256(at);
        x = _mm256_add_epi64(x, _mm256_slli_si256(x, 8)); /* in halves */
        x = _mm256_add_epi64(x, _mm256_blend_epi32(zero, _mm256_permute4x64_epi64(x, 0x50), 0xf0));
        _mm256_storeu_si256(at, _mm256_add_epi64(x, sum));
        sum = _mm256_add_epi64(sum, last_of(x));
    }
    return i;
}

#else
static const uint8_t *sum_windows(int64_t *dst, size_t n, int64_t start, const uint8_t *p, const uint8_t *end,
                                  size_t *done)
{
    (void)dst;
    (void)n;
    (void)start;
    (void)end;
    *done = 0;
    return p;
}

static size_t sum_fours(int64_t *a, size_t n, int64_t start)
{
    (void)a;
    (void)n;
    (void)start;
    return 0;
}
#endif

const uint8_t *varint_sums_get(int64_t *dst, size_t n, int64_t start, const uint8_t *p, const uint8_t *end)
{
    size_t i = 0;
    if (n >= 2 * LANES && has_avx2())
        p = sum_windows(dst, n, start, p, end, &i);
    return p ? varint_sums_get_plain(dst + i, n - i, i ? dst[i - 1] : start, p, end) : NULL;
}

void int_sums(int64_t *a, size_t n, int64_t start)
{
    size_t i = has_avx2() ? sum_fours(a, n, start) : 0;
    int_sums_plain(a + i, n - i, i ? a[i - 1] : start);
}
