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

#define LANES         8
#define ONE_BYTE_MAX  UINT64_C(0x7f)
#define TWO_BYTES_MAX UINT64_C(0x3fff)

/* --- reading --- */

#if defined(__x86_64__)
#include <smmintrin.h>

/* What eight bytes hold, by their continuation bits: integers of one byte and two, up to the first longer one
 * or one that isn't whole. */
static struct window {
    uint8_t shuffle[16]; /* brings each into a lane of 16 bits; 0x80 gives zero */
    uint8_t count, bytes;
} windows[256];
static pthread_once_t windows_once = PTHREAD_ONCE_INIT;

static void fill_windows(void)
{
    for (unsigned mask = 0; mask < 256; mask++) {
        struct window *w = &windows[mask];
        memset(w->shuffle, 0x80, sizeof w->shuffle);
        unsigned i = 0;
        while (i < 8) {
            bool is_two = mask >> i & 1;
            if (is_two && (i == 7 || (mask >> (i + 1) & 1)))
                break;
            w->shuffle[2 * w->count] = (uint8_t)i;
            if (is_two)
                w->shuffle[2 * w->count + 1] = (uint8_t)(i + 1);
            w->count++;
            i += 1 + is_two;
        }
        w->bytes = (uint8_t)i;
    }
}

/* As long as eight bytes and room for eight integers are left; *done of n integers were read then. */
__attribute__((target("sse4.1"))) static const uint8_t *get_windows(int64_t *dst, size_t n, const uint8_t *p,
                                                                    const uint8_t *end, size_t *done)
{
    const __m128i low = _mm_set1_epi16(0x7f), high = _mm_set1_epi16(0x3f80), one = _mm_set1_epi16(1);
    size_t i = 0;
    (void)pthread_once(&windows_once, fill_windows);
    while (n - i >= LANES && end - p >= 8) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
        const struct window *w = &windows[_mm_movemask_epi8(bytes) & 0xff];
        if (!w->count) { /* a long one */
            p = varint_get_signed(p, end, &dst[i]);
            if (!p)
                return NULL;
            i++;
            continue;
        }
        __m128i x = _mm_shuffle_epi8(bytes, _mm_loadu_si128((const __m128i *)(const void *)w->shuffle));
        __m128i v = _mm_or_si128(_mm_and_si128(x, low), _mm_and_si128(_mm_srli_epi16(x, 1), high));
        v = _mm_xor_si128(_mm_srli_epi16(v, 1), _mm_sub_epi16(_mm_setzero_si128(), _mm_and_si128(v, one)));
        __m128i *out = (__m128i *)(void *)(dst + i);
        _mm_storeu_si128(out, _mm_cvtepi16_epi64(v));
        _mm_storeu_si128(out + 1, _mm_cvtepi16_epi64(_mm_srli_si128(v, 4)));
        _mm_storeu_si128(out + 2, _mm_cvtepi16_epi64(_mm_srli_si128(v, 8)));
        _mm_storeu_si128(out + 3, _mm_cvtepi16_epi64(_mm_srli_si128(v, 12)));
        i += w->count;
        p += w->bytes;
    }
    *done = i;
    return p;
}

static bool has_windows(void)
{
    return __builtin_cpu_supports("sse4.1");
}
#else
static bool has_windows(void)
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
    if (n >= LANES && has_windows())
        p = get_windows(dst, n, p, end, &i);
    for (; p && i < n; i++)
        p = varint_get_signed(p, end, &dst[i]);
    return p;
}

/* --- writing --- */

static uint8_t *put_lanes(uint8_t *p, const uint64_t z[LANES])
{
    uint64_t bits = 0;
    for (size_t k = 0; k < LANES; k++)
        bits |= z[k];
    if (bits > TWO_BYTES_MAX) {
        for (size_t k = 0; k < LANES; k++)
            p = varint_put_unsigned(p, z[k]);
        return p;
    }
    if (bits <= ONE_BYTE_MAX) {
        for (size_t k = 0; k < LANES; k++)
            p[k] = (uint8_t)z[k];
        return p + LANES;
    }
    for (size_t k = 0; k < LANES; k++) {
        unsigned two = z[k] > ONE_BYTE_MAX;
        p[0] = (uint8_t)((z[k] & ONE_BYTE_MAX) | two << 7);
        p[1] = (uint8_t)(z[k] >> 7); /* overwritten if it's one byte */
        p += 1 + two;
    }
    return p;
}

static uint64_t delta(const int64_t *a)
{
    return (uint64_t)a[0] - (uint64_t)a[-1];
}

static uint64_t delta2(const int64_t *a)
{
    return delta(a) - delta(a - 1);
}

uint8_t *varint_array_put_deltas(uint8_t *p, const int64_t *a, size_t n)
{
    size_t i = 1;
    for (; i + LANES <= n; i += LANES) {
        uint64_t z[LANES];
        for (size_t k = 0; k < LANES; k++)
            z[k] = zigzag64((int64_t)delta(&a[i + k]));
        p = put_lanes(p, z);
    }
    for (; i < n; i++)
        p = varint_put_signed(p, (int64_t)delta(&a[i]));
    return p;
}

uint8_t *varint_array_put_deltas2(uint8_t *p, const int64_t *a, size_t n)
{
    size_t i = 2;
    for (; i + LANES <= n; i += LANES) {
        uint64_t z[LANES];
        for (size_t k = 0; k < LANES; k++)
            z[k] = zigzag64((int64_t)delta2(&a[i + k]));
        p = put_lanes(p, z);
    }
    for (; i < n; i++)
        p = varint_put_signed(p, (int64_t)delta2(&a[i]));
    return p;
}
