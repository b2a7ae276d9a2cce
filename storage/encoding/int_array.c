#include "storage/encoding/int_array.h"

#include <stdbool.h>
#include <string.h>

#include "storage/encoding/int_scan.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/varint_array.h"
#include "storage/encoding/varint_sums.h"
#include "storage/encoding/zstd_codec.h"

/* From this raw size on compression is tried; it's kept if it saves a tenth. */
#define COMPRESS_BYTES_MIN   128
#define LIGHT_LEVEL          1
#define TRIAL_INTERVAL_MIN   8 /* arrays */
#define TRIAL_INTERVAL_MAX   128
#define TRIAL_INTERVAL_HEAVY 16
#define TRIAL_MEMORY         0.9   /* what a trial still counts for after the next */
#define LIGHT_EXCESS_MAX     0.05  /* by which part of its size a frame may be larger */
#define EXCESS_SHARE_MAX     0.002 /* and all arrays together */
#define MARGIN_MIN           1.01
#define UNSURE_SHARE_MAX     4 /* one in so many arrays may have to be compressed both ways */

static int zstd_level(size_t n)
{
    return n <= 64 ? 1 : n <= 256 ? 2 : n <= 1024 ? 3 : n <= 4096 ? 4 : 5;
}

static int64_t difference(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* A counter grows, but for a few resets to nearly nothing. */
static bool is_gauge(const int64_t *a, size_t n)
{
    if (a[0] < 0)
        return true;
    size_t i = int_scan_rise(a, n), resets = 0; /* nearly always all of it */
    for (; i < n; i++) {
        if (a[i] >= a[i - 1])
            continue;
        if (a[i] < 0 || a[i] > a[i - 1] >> 3)
            return true;
        resets++;
    }
    return resets > 2 && resets > n >> 3;
}

static uint8_t *put_nearest_delta2(uint8_t *p, const int64_t *a, size_t n)
{
    return varint_array_put_deltas2(varint_put_signed(p, difference(a[1], a[0])), a, n);
}

/* Whether a frame is kept rather than the raw bytes. */
static bool is_worth_it(size_t frame_size, size_t raw_size)
{
    return (double)frame_size <= 0.9 * (double)raw_size;
}

void int_array_effort_restart(struct int_array_effort *effort)
{
    effort->interval = TRIAL_INTERVAL_MIN;
    if (effort->since_trial >= TRIAL_INTERVAL_MIN) {
        effort->until_trial = 0;
        effort->light_bytes = effort->bytes = 0;
    }
}

/* By which part the light frames of such arrays are larger; 0 if they aren't. */
static double light_excess(const struct int_array_effort *effort)
{
    double excess = effort->light_bytes / effort->bytes - 1;
    return excess > 0 ? excess : 0;
}

/* Whether the next array may be compressed lightly. */
static bool is_light_enough(const struct int_array_effort *effort)
{
    double excess = light_excess(effort);
    return excess == 0 ||
           (excess <= LIGHT_EXCESS_MAX &&
            effort->excess + excess * (double)effort->last_size <= EXCESS_SHARE_MAX * effort->written);
}

static void judge_trial(struct int_array_effort *effort, size_t light_size, size_t size)
{
    double gain = (double)light_size / (double)size;
    effort->larger = (gain < 1 ? 1 / gain : 1) * MARGIN_MIN;
    effort->smaller = (gain > 1 ? gain : 1) * MARGIN_MIN;
    /* Single arrays differ by some hundredths either way: what counts is the last ten or so together. */
    effort->light_bytes = effort->light_bytes * TRIAL_MEMORY + (double)light_size;
    effort->bytes = effort->bytes * TRIAL_MEMORY + (double)size;
    effort->last_size = size;
    /* A trial costs little more than what's done without one when it's not the light way. */
    unsigned longest = is_light_enough(effort) ? TRIAL_INTERVAL_MAX : TRIAL_INTERVAL_HEAVY;
    unsigned interval = effort->interval < TRIAL_INTERVAL_MIN ? TRIAL_INTERVAL_MIN : effort->interval * 2;
    effort->interval = interval < longest ? interval : longest;
    effort->until_trial = effort->interval;
    effort->since_trial = 0;
    effort->unsure = 0;
    effort->is_doubtful = false;
}

/* Whether VictoriaMetrics' frame would certainly be kept, or certainly not, just as the light one. */
static bool is_decided(const struct int_array_effort *effort, size_t light_size, size_t raw_size)
{
    return is_worth_it((size_t)((double)light_size * effort->larger), raw_size) ||
           !is_worth_it((size_t)((double)light_size / effort->smaller), raw_size);
}

/* Makes the frame of raw[0..raw_size) at VictoriaMetrics' level, or an equally good one with less effort. */
static size_t compress(uint8_t *frame, size_t bound, const uint8_t *raw, size_t raw_size, int level,
                       struct int_array_effort *effort)
{
    if (!effort || level <= LIGHT_LEVEL)
        return zstd_compress_into(frame, bound, raw, raw_size, level);
    bool trial = effort->until_trial == 0;
    effort->until_trial -= !trial;
    effort->since_trial++;
    size_t light_size = 0;
    if (trial || (!effort->is_doubtful && is_light_enough(effort))) {
        light_size = zstd_compress_into(frame, bound, raw, raw_size, LIGHT_LEVEL);
        /* Near the limit the decision must be the one that VictoriaMetrics' level leads to. */
        if (!trial && is_decided(effort, light_size, raw_size)) {
            effort->excess +=
                is_worth_it(light_size, raw_size) ? light_excess(effort) * (double)light_size : 0;
            return light_size;
        }
        effort->is_doubtful = ++effort->unsure > effort->interval / UNSURE_SHARE_MAX;
    }
    size_t size = zstd_compress_into(frame, bound, raw, raw_size, level);
    if (trial)
        judge_trial(effort, light_size, size);
    return size;
}

static void encode(struct buffer *dst, const int64_t *a, size_t n, struct int_array_effort *effort,
                   uint8_t *ret_type, int64_t *ret_first)
{
    *ret_first = a[0];
    if (int_scan_has_step(a, n, 0)) {
        *ret_type = INT_ARRAY_CONST;
        return;
    }
    if (int_scan_has_step(a, n, difference(a[1], a[0]))) {
        uint8_t *p = buffer_reserve(dst, VARINT_MAX_BYTES);
        dst->len += (size_t)(varint_put_signed(p, difference(a[1], a[0])) - p);
        *ret_type = INT_ARRAY_DELTA_CONST;
        return;
    }
    bool gauge = is_gauge(a, n);
    uint8_t *raw = buffer_reserve(dst, n * VARINT_MAX_BYTES);
    uint8_t *end = gauge ? varint_array_put_deltas(raw, a, n) : put_nearest_delta2(raw, a, n);
    size_t raw_size = (size_t)(end - raw);
    if (raw_size >= COMPRESS_BYTES_MIN) {
        /* The frame is made right behind the raw bytes and moved over them if it's the better one. */
        size_t bound = zstd_compress_bound(raw_size);
        raw = buffer_reserve(dst, raw_size + bound);
        size_t frame_size = compress(raw + raw_size, bound, raw, raw_size, zstd_level(n), effort);
        if (is_worth_it(frame_size, raw_size)) {
            memmove(raw, raw + raw_size, frame_size);
            dst->len += frame_size;
            *ret_type = gauge ? INT_ARRAY_ZSTD_NEAREST_DELTA : INT_ARRAY_ZSTD_NEAREST_DELTA2;
            return;
        }
    }
    dst->len += raw_size;
    *ret_type = gauge ? INT_ARRAY_NEAREST_DELTA : INT_ARRAY_NEAREST_DELTA2;
}

void int_array_encode(struct buffer *dst, const int64_t *a, size_t n, uint8_t *ret_type, int64_t *ret_first)
{
    encode(dst, a, n, NULL, ret_type, ret_first);
}

void int_array_encode_lightly(struct buffer *dst, const int64_t *a, size_t n, struct int_array_effort *effort,
                              uint8_t *ret_type, int64_t *ret_first)
{
    size_t before = dst->len;
    encode(dst, a, n, effort, ret_type, ret_first);
    effort->written += (double)(dst->len - before);
}

static int tail_or_short(struct error *reterr, const uint8_t *p)
{
    return error_set(reterr, ERR_CORRUPT, "damaged integers: %s",
                     p ? "bytes after the last one" : "they end early");
}

static int decode_delta_const(int64_t *dst, size_t n, int64_t first, const uint8_t *p, const uint8_t *end,
                              struct error *reterr)
{
    int64_t d;
    p = varint_get_signed(p, end, &d);
    if (p != end || !p)
        return tail_or_short(reterr, p);
    uint64_t v = (uint64_t)first;
    for (size_t i = 0; i < n; i++) {
        dst[i] = (int64_t)v;
        v += (uint64_t)d;
    }
    return 0;
}

static int decode_nearest_delta(int64_t *dst, size_t n, int64_t first, const uint8_t *p, const uint8_t *end,
                                struct error *reterr)
{
    dst[0] = first;
    p = varint_sums_get(dst + 1, n - 1, first, p, end);
    return p == end && p ? 0 : tail_or_short(reterr, p);
}

static int decode_nearest_delta2(int64_t *dst, size_t n, int64_t first, const uint8_t *p, const uint8_t *end,
                                 struct error *reterr)
{
    if (n < 2)
        return error_set(reterr, ERR_CORRUPT, "damaged integers: second differences of one item");
    dst[0] = first;
    p = varint_sums_get(dst + 1, n - 1, 0, p, end); /* the first one is the first difference itself */
    if (p != end || !p)
        return tail_or_short(reterr, p);
    int_sums(dst + 1, n - 1, first);
    return 0;
}

int int_array_decode(int64_t *dst, size_t n, uint8_t type, int64_t first, const uint8_t *data, size_t size,
                     struct error *reterr)
{
    static const uint8_t empty[1];
    if (!size)
        data = empty; /* the end of nothing must not be NULL, which means failure below */
    switch (type) {
    case INT_ARRAY_CONST:
        if (size)
            return tail_or_short(reterr, data);
        for (size_t i = 0; i < n; i++)
            dst[i] = first;
        return 0;
    case INT_ARRAY_DELTA_CONST:
        return decode_delta_const(dst, n, first, data, data + size, reterr);
    case INT_ARRAY_NEAREST_DELTA:
        return decode_nearest_delta(dst, n, first, data, data + size, reterr);
    case INT_ARRAY_NEAREST_DELTA2:
        return decode_nearest_delta2(dst, n, first, data, data + size, reterr);
    case INT_ARRAY_ZSTD_NEAREST_DELTA:
    case INT_ARRAY_ZSTD_NEAREST_DELTA2:
        break;
    default:
        return error_set(reterr, ERR_CORRUPT, "damaged integers: unknown type %u", type);
    }
    const uint8_t *raw;
    size_t raw_size;
    int r = zstd_decompress_scratch(&raw, &raw_size, data, size, n * VARINT_MAX_BYTES, reterr);
    if (r < 0)
        return r;
    if (type == INT_ARRAY_ZSTD_NEAREST_DELTA)
        return decode_nearest_delta(dst, n, first, raw, raw + raw_size, reterr);
    return decode_nearest_delta2(dst, n, first, raw, raw + raw_size, reterr);
}
