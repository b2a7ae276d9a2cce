/*
 * Readings of machines change by little: nearly all of their differences take one byte or two, in no order
 * that a processor could foresee. So eight at a time are written without a branch between one byte and two,
 * and are read by a table of shuffles, indexed by which of eight bytes have their continuation bit set (the
 * idea of Masked VByte, Plaisant, Kurz, Lemire 2015).
 */
#include "storage/encoding/varint_array.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "src/base/endian.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/varint_windows.h"

#define LANES         8
#define TWO_BYTES_MAX UINT64_C(0x3fff)

/* --- reading --- */

#if defined(__x86_64__)
#include <smmintrin.h>

/* Closes the gaps in lanes of 16 bits of which some, those of the mask, hold two bytes. */
static struct packing {
    uint8_t shuffle[16];
    uint8_t bytes;
} packings[256];
static pthread_once_t packings_once = PTHREAD_ONCE_INIT;

static void fill_packing(struct packing *k, unsigned mask)
{
    memset(k->shuffle, 0x80, sizeof k->shuffle);
    for (unsigned lane = 0; lane < LANES; lane++) {
        k->shuffle[k->bytes++] = (uint8_t)(2 * lane);
        if (mask >> lane & 1)
            k->shuffle[k->bytes++] = (uint8_t)(2 * lane + 1);
    }
}

static void fill_packings(void)
{
    for (unsigned mask = 0; mask < 256; mask++)
        fill_packing(&packings[mask], mask);
}

/* Widens the lanes of a window at p into dst[0..8). */
__attribute__((target("sse4.1"))) static inline void get_lanes(int64_t *dst, __m128i bytes,
                                                               const struct varint_window *w)
{
    const __m128i low = _mm_set1_epi16(0x7f), high = _mm_set1_epi16(0x3f80), one = _mm_set1_epi16(1);
    __m128i x = _mm_shuffle_epi8(bytes, _mm_loadu_si128((const __m128i *)(const void *)w->shuffle));
    __m128i v = _mm_or_si128(_mm_and_si128(x, low), _mm_and_si128(_mm_srli_epi16(x, 1), high));
    v = _mm_xor_si128(_mm_srli_epi16(v, 1), _mm_sub_epi16(_mm_setzero_si128(), _mm_and_si128(v, one)));
    __m128i *out = (__m128i *)(void *)dst;
    _mm_storeu_si128(out, _mm_cvtepi16_epi64(v));
    _mm_storeu_si128(out + 1, _mm_cvtepi16_epi64(_mm_srli_si128(v, 4)));
    _mm_storeu_si128(out + 2, _mm_cvtepi16_epi64(_mm_srli_si128(v, 8)));
    _mm_storeu_si128(out + 3, _mm_cvtepi16_epi64(_mm_srli_si128(v, 12)));
}

/* Two windows at a time, as long as their bytes and room for their integers are left; *done of n integers
 * were read then. */
__attribute__((target("sse4.1"))) static const uint8_t *get_windows(int64_t *dst, size_t n, const uint8_t *p,
                                                                    const uint8_t *end, size_t *done)
{
    size_t i = 0;
    const struct varint_window *windows = varint_windows();
    while (n - i >= 2 * LANES && end - p >= 2 * LANES) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned mask = (unsigned)_mm_movemask_epi8(bytes);
        const struct varint_window *first = &windows[mask & 0xff];
        const struct varint_window *second = &windows[mask >> first->bytes & 0xff];
        if (!first->count || !second->count) { /* a long one */
            size_t count = first->count + 1u;
            for (size_t k = 0; p && k < count; k++, i++)
                p = varint_get_signed(p, end, &dst[i]);
            if (!p)
                return NULL;
            continue;
        }
        get_lanes(dst + i, bytes, first);
        i += first->count;
        p += first->bytes;
        get_lanes(dst + i, _mm_loadl_epi64((const __m128i *)(const void *)p), second);
        i += second->count;
        p += second->bytes;
    }
    *done = i;
    return p;
}

static bool has_shuffles(void)
{
    return __builtin_cpu_supports("sse4.1");
}
#else
static bool has_shuffles(void)
{
    return false;
}

static const uint8_t *get_windows(int64_t *dst, size_t n, const uint8_t *p, const uint8_t *end, size_t *done)
{
    (void)dst;
    (void)n;
    (void)end;
    *done = 0;
    return p;
}
#endif

const uint8_t *varint_array_get(int64_t *dst, size_t n, const uint8_t *p, const uint8_t *end)
{
    size_t i = 0;
    if (n >= 2 * LANES && has_shuffles())
        p = get_windows(dst, n, p, end, &i);
    for (; p && i < n; i++)
        p = varint_get_signed(p, end, &dst[i]);
    return p;
}

/* --- writing --- */

static uint64_t delta(const int64_t *a)
{
    return (uint64_t)a[0] - (uint64_t)a[-1];
}

static uint64_t delta2(const int64_t *a)
{
    return delta(a) - delta(a - 1);
}

/* Eight differences of order 1 or 2. */
static uint8_t *put_one_by_one(uint8_t *p, const int64_t *a, int order)
{
    for (size_t k = 0; k < LANES; k++)
        p = varint_put_signed(p, (int64_t)(order == 1 ? delta(&a[k]) : delta2(&a[k])));
    return p;
}

#if defined(__x86_64__)
/* Two zigzagged differences. */
__attribute__((target("sse4.1"))) static inline __m128i two_differences(const int64_t *a, int order)
{
    __m128i d = _mm_sub_epi64(_mm_loadu_si128((const __m128i *)(const void *)a),
                              _mm_loadu_si128((const __m128i *)(const void *)(a - 1)));
    if (order == 2)
        d = _mm_sub_epi64(d, _mm_sub_epi64(_mm_loadu_si128((const __m128i *)(const void *)(a - 1)),
                                           _mm_loadu_si128((const __m128i *)(const void *)(a - 2))));
    __m128i sign = _mm_shuffle_epi32(_mm_srai_epi32(d, 31), 0xf5);
    return _mm_xor_si128(_mm_add_epi64(d, d), sign);
}

/* The low halves of two pairs. */
__attribute__((target("sse4.1"))) static inline __m128i low_halves(__m128i x, __m128i y)
{
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(x), _mm_castsi128_ps(y), 0x88));
}

/* Whole eights of a[i..n). *done is where it ended. */
__attribute__((target("sse4.1"))) static inline uint8_t *put_eights(uint8_t *p, const int64_t *a, size_t i,
                                                                    size_t n, int order, size_t *done)
{
    const __m128i long_bits = _mm_set1_epi64x((int64_t)~TWO_BYTES_MAX), one_byte = _mm_set1_epi16(0x7f),
                  high = _mm_set1_epi16(0x7f00), more = _mm_set1_epi16(0x80);
    (void)pthread_once(&packings_once, fill_packings);
    for (; i + LANES <= n; i += LANES) {
        __m128i x = two_differences(&a[i], order), y = two_differences(&a[i + 2], order);
        __m128i u = two_differences(&a[i + 4], order), v = two_differences(&a[i + 6], order);
        if (!_mm_testz_si128(_mm_or_si128(_mm_or_si128(x, y), _mm_or_si128(u, v)), long_bits)) {
            p = put_one_by_one(p, &a[i], order);
            continue;
        }
        __m128i z = _mm_packus_epi32(low_halves(x, y), low_halves(u, v));
        __m128i two = _mm_cmpgt_epi16(z, one_byte);
        __m128i bytes = _mm_or_si128(_mm_and_si128(z, one_byte), _mm_and_si128(_mm_slli_epi16(z, 1), high));
        bytes = _mm_or_si128(bytes, _mm_and_si128(two, more));
        const struct packing *k =
            &packings[_mm_movemask_epi8(_mm_packs_epi16(two, _mm_setzero_si128())) & 0xff];
        __m128i shuffle = _mm_loadu_si128((const __m128i *)(const void *)k->shuffle);
        _mm_storeu_si128((__m128i *)(void *)p, _mm_shuffle_epi8(bytes, shuffle)); /* there's room for 80 */
        p += k->bytes;
    }
    *done = i;
    return p;
}

__attribute__((target("sse4.1"))) static uint8_t *put_eights_1(uint8_t *p, const int64_t *a, size_t n,
                                                               size_t *done)
{
    return put_eights(p, a, 1, n, 1, done);
}

__attribute__((target("sse4.1"))) static uint8_t *put_eights_2(uint8_t *p, const int64_t *a, size_t n,
                                                               size_t *done)
{
    return put_eights(p, a, 2, n, 2, done);
}
#else
static uint8_t *put_eights(uint8_t *p, const int64_t *a, size_t i, size_t n, int order, size_t *done)
{
    for (; i + LANES <= n; i += LANES)
        p = put_one_by_one(p, &a[i], order);
    *done = i;
    return p;
}

static uint8_t *put_eights_1(uint8_t *p, const int64_t *a, size_t n, size_t *done)
{
    return put_eights(p, a, 1, n, 1, done);
}

static uint8_t *put_eights_2(uint8_t *p, const int64_t *a, size_t n, size_t *done)
{
    return put_eights(p, a, 2, n, 2, done);
}
#endif

uint8_t *varint_array_put_deltas(uint8_t *p, const int64_t *a, size_t n)
{
    size_t i = 1;
    if (has_shuffles())
        p = put_eights_1(p, a, n, &i);
    for (; i < n; i++)
        p = varint_put_signed(p, (int64_t)delta(&a[i]));
    return p;
}

uint8_t *varint_array_put_deltas2(uint8_t *p, const int64_t *a, size_t n)
{
    size_t i = 2;
    if (has_shuffles())
        p = put_eights_2(p, a, n, &i);
    for (; i < n; i++)
        p = varint_put_signed(p, (int64_t)delta2(&a[i]));
    return p;
}
