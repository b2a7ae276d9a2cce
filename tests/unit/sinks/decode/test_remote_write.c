#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <snappy-c.h>
#include <stdlib.h>

#include "src/base/endian.h"
#include "tests/unit/sinks/decode/decode_text.h"

#define FORMAT "prometheus_remote_write"

/* --- a small encoder --- */

static void varint(struct buffer *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buffer_append_u8(b, (uint8_t)(v | 0x80));
    buffer_append_u8(b, (uint8_t)v);
}

static void field(struct buffer *b, unsigned number, const void *data, size_t len)
{
    varint(b, number << 3 | 2);
    varint(b, len);
    buffer_append(b, data, len);
}

static void nest(struct buffer *b, unsigned number, struct buffer *inner)
{
    field(b, number, inner->data, inner->len);
    buffer_release(inner);
}

static void label(struct buffer *series, const char *name, const char *value)
{
    struct buffer l = {0};
    field(&l, 1, name, strlen(name));
    field(&l, 2, value, strlen(value));
    nest(series, 1, &l);
}

static void sample_bits(struct buffer *series, uint64_t bits, int64_t timestamp_ms)
{
    struct buffer s = {0};
    uint8_t le[8];
    put_le64(le, bits);
    buffer_append_u8(&s, 0x09);
    buffer_append(&s, le, 8);
    buffer_append_u8(&s, 0x10);
    varint(&s, (uint64_t)timestamp_ms);
    nest(series, 2, &s);
}

static void sample(struct buffer *series, double value, int64_t timestamp_ms)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    sample_bits(series, bits, timestamp_ms);
}

/* The request as a snappy block and bare. */
static void expect(struct buffer *request, const char *want)
{
    size_t n = snappy_max_compressed_length(request->len);
    char *block = malloc(n);
    assert_int_equal(snappy_compress((const char *)request->data, request->len, block, &n), SNAPPY_OK);
    expect_decoded(FORMAT, span_of(block, n), "", want);
    free(block);
    if (request->len && request->data[0] == 0x0a)
        expect_decoded(FORMAT, span_of((const char *)request->data, request->len), "", want);
    buffer_release(request);
}

/* One series. */
static void expect_series(struct buffer *series, const char *want)
{
    struct buffer request = {0};
    nest(&request, 1, series);
    expect(&request, want);
}

/* --- tests --- */

static void test_plain(void **state)
{
    (void)state;
    struct buffer s = {0}, request = {0};
    label(&s, "__name__", "up");
    label(&s, "job", "node");
    sample(&s, 1, 1753800000000);
    sample(&s, -0.25, 1753800015000);
    nest(&request, 1, &s);
    label(&s, "__name__", "x");
    sample(&s, 1e300, -7);
    nest(&request, 1, &s);
    expect(&request, "[__name__|up][job|node] 1 1753800000000\n[__name__|up][job|node] -0.25 1753800015000\n"
                     "[__name__|x] 1.0000000000000001e+300 -7\n");
    expect_decoded(FORMAT, span_of("", 0), "", "");
    expect_decoded(FORMAT, span_of("\0", 1), "", ""); /* an empty block: a request without anything */
}

static void test_timestamps(void **state)
{
    (void)state;
    static const int64_t stamps[] = {0,
                                     1,
                                     127,
                                     128,
                                     INT64_C(1) << 34,
                                     (INT64_C(1) << 35) - 1,
                                     INT64_C(1) << 35,
                                     (INT64_C(1) << 42) - 1,
                                     INT64_C(1) << 42,
                                     INT64_MAX,
                                     -1,
                                     INT64_MIN + 1,
                                     1753800000001};
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        struct buffer s = {0}, want = {0};
        label(&s, "a", "b");
        sample(&s, 1, stamps[i]);
        buffer_printf(&want, "[a|b] 1 %lld\n", (long long)stamps[i]);
        expect_series(&s, buffer_cstr(&want));
        buffer_release(&want);
    }
    struct buffer s = {0};
    sample(&s, 1, INT64_MIN); /* not to be taken for none */
    expect_series(&s, " 1 -9223372036854775807\n");
}

static void test_values(void **state)
{
    (void)state;
    struct buffer s = {0};
    sample_bits(&s, STALE_NAN_BITS, 1);
    sample_bits(&s, UINT64_C(0x7ff8000000000001), 2);
    sample_bits(&s, UINT64_C(0xfff8000000000000), 3);
    sample_bits(&s, UINT64_C(0x7ff0000000000000), 4);
    sample_bits(&s, UINT64_C(0xfff0000000000000), 5);
    sample_bits(&s, UINT64_C(0x8000000000000000), 6);
    expect_series(&s, " stale 1\n inf 4\n -inf 5\n 0 6\nnan 2\n");
    sample_bits(&s, UINT64_C(0x7ff8000000000001), 2);
    expect_series(&s, "nan 1\n");
}

static void test_odd_order(void **state)
{
    (void)state;
    struct buffer s = {0};
    /* Timestamp first, fields missing, repeated or unknown. */
    label(&s, "a", "b");
    field(&s, 2, "\x10\x05\x09\0\0\0\0\0\0\xf0\x3f", 11);
    field(&s, 2, "\x10\x05", 2);
    field(&s, 2, "\x09\0\0\0\0\0\0\xf0\x3f", 9);
    field(&s, 2, "", 0);
    field(&s, 2, "\x10\x05\x10\x06\x18\x01\x22\x01x", 9);
    expect_series(&s, "[a|b] 1 5\n[a|b] 0 5\n[a|b] 1 0\n[a|b] 0 0\n[a|b] 0 6\n");
    /* Labels around samples, and unknown fields between them. */
    sample(&s, 1, 1);
    label(&s, "a", "b");
    sample(&s, 2, 2);
    buffer_append(&s, "\x28\x07", 2);
    field(&s, 3, "exemplar", 8);
    label(&s, "c", "d");
    label(&s, "e", "f");
    sample(&s, 3, 3);
    label(&s, "g", "h");
    expect_series(&s, "[a|b][c|d][e|f][g|h] 1 1\n[a|b][c|d][e|f][g|h] 2 2\n[a|b][c|d][e|f][g|h] 3 3\n");
}

static void test_labels(void **state)
{
    (void)state;
    struct buffer s = {0};
    char text[301];
    memset(text, 'x', 300);
    text[300] = '\0';
    label(&s, "", "name");
    label(&s, "empty", "");
    label(&s, "long", text);
    field(&s, 1, "\x12\x01v\x0a\x01k\x0a\x01n", 9);
    field(&s, 1, "", 0);
    sample(&s, 1, 1);
    struct buffer want = {0};
    buffer_printf(&want, "[__name__|name][long|%s][n|v] 1 1\n", text);
    expect_series(&s, buffer_cstr(&want));
    buffer_release(&want);
    sample(&s, 1, 1);
    expect_series(&s, " 1 1\n");
    label(&s, "a", "b");
    expect_series(&s, "");
}

/* A Histogram of integers: zero bucket, spans and deltas of both sides as given. */
static void histogram(struct buffer *series, int schema, const char *spans_and_deltas, size_t len)
{
    struct buffer h = {0};
    buffer_append(&h, "\x08\x0c\x19\0\0\0\0\0\0\xf8\x3f\x20", 12); /* count 12, sum 1.5 */
    varint(&h, schema < 0 ? 2 * (uint32_t)-schema - 1 : 2 * (uint32_t)schema);
    buffer_append(&h, "\x29\xfc\xa9\xf1\xd2MbP?\x30\x02\x78\x05", 13); /* within 0.001: 2; at 5 ms */
    buffer_append(&h, spans_and_deltas, len);
    nest(series, 4, &h);
}

/* Lengths at and around those that take a second byte. */
static void test_label_lengths(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 2, 59, 60, 61, 62, 63, 120, 121, 122, 123, 124, 125, 126, 127, 128};
    enum { COUNT = sizeof lens / sizeof lens[0] };
    char name[129], value[129];
    for (size_t i = 0; i < COUNT * COUNT; i++) {
        struct buffer s = {0}, want = {0};
        memset(name, 'n', sizeof name);
        memset(value, 'v', sizeof value);
        name[lens[i / COUNT]] = value[lens[i % COUNT]] = '\0';
        label(&s, "a", "b");
        label(&s, name, value);
        label(&s, "y", "z");
        sample(&s, 1, 1);
        if (*value)
            buffer_printf(&want, "[a|b][%s|%s][y|z] 1 1\n", *name ? name : "__name__", value);
        else
            buffer_printf(&want, "[a|b][y|z] 1 1\n");
        expect_series(&s, buffer_cstr(&want));
        buffer_release(&want);
    }
}

static void test_histograms(void **state)
{
    (void)state;
    struct buffer s = {0}, request = {0};
    sample(&s, 7, 7);
    nest(&request, 1, &s);
    label(&s, "a", "b");
    histogram(&s, 0, "\x5a\x04\x08\x00\x10\x02\x62\x02\x02\x02\x42\x04\x08\x03\x10\x01\x4a\x01\x06", 19);
    label(&s, "__name__", "h");
    label(&s, "c", "d");
    nest(&request, 1, &s);
    expect(&request, " 7 7\n"
                     "[a|b][__name__|h_count][c|d] 12 5\n"
                     "[a|b][__name__|h_sum][c|d] 1.5 5\n"
                     "[a|b][__name__|h_bucket][c|d][vmrange|-1.000e-03...1.000e-03] 2 5\n"
                     "[a|b][__name__|h_bucket][c|d][vmrange|5.000e-01...1.000e+00] 1 5\n"
                     "[a|b][__name__|h_bucket][c|d][vmrange|1.000e+00...2.000e+00] 2 5\n"
                     "[a|b][__name__|h_bucket][c|d][vmrange|-2.500e-01...-1.250e-01] 3 5\n");
    /* Without a name nothing; beside samples malformed; of an unknown schema bad. */
    label(&s, "a", "b");
    histogram(&s, 0, "", 0);
    expect_series(&s, "");
    histogram(&s, 0, "", 0);
    sample(&s, 7, 7);
    expect_series(&s, "reject bad_protobuf\n");
    label(&s, "__name__", "h");
    histogram(&s, -53, "", 0);
    nest(&request, 1, &s);
    sample(&s, 7, 7);
    nest(&request, 1, &s);
    expect(&request, " 7 7\nbad 1 histogram_schema\n");
    label(&s, "__name__", "h");
    histogram(&s, 9, "", 0);
    expect_series(&s, "reject histogram_schema\n");
}

/* Many buckets, each with all of the labels. */
static void test_histogram_bomb(void **state)
{
    (void)state;
    struct buffer s = {0}, h = {0}, counts = {0};
    char *text = calloc(1, 100001);
    memset(text, 'x', 100000);
    label(&s, "__name__", "h");
    label(&s, "l", text);
    free(text);
    field(&h, 11, "\x10\xff\xff\x03", 4);
    for (int i = 0; i < 60000; i++)
        buffer_append_u8(&counts, i ? 0 : 2);
    nest(&h, 12, &counts);
    nest(&s, 4, &h);
    expect_series(&s, "reject unpacked_too_large\n");
}

static void test_metadata(void **state)
{
    (void)state;
    struct buffer request = {0}, s = {0};
    sample(&s, 1, 1);
    nest(&request, 1, &s);
    field(&request, 3, "\x08\x01\x12\x02up\x58\x01", 8);
    field(&request, 2, "reserved", 8);
    buffer_append(&request, "\x20\x01", 2);
    expect(&request, " 1 1\n");
    field(&request, 3, "\x08", 1);
    expect(&request, "reject bad_protobuf\n");
}

static void test_malformed(void **state)
{
    (void)state;
    struct buffer s = {0}, request = {0};
    static const struct {
        const char *data;
        size_t len;
    } series[] = {
        {"\x08\x01", 2},                              /* labels as a number */
        {"\x10\x01", 2},                              /* samples as one */
        {"\x20\x01", 2},                              /* histograms as one */
        {"\x0a\x02\x08\x01", 4},                      /* a name as a number */
        {"\x0a\x02\x0a\x05", 4},                      /* a name that's cut short */
        {"\x0a\x06\x0a\x01k\x12\x02v", 8},            /* a value that's cut short */
        {"\x0a\x06\x0a\x05k\x12\x01v", 8},            /* a name that ends behind its label */
        {"\x0a\x06\x0a\x01k\x12\x01v\x12", 9},        /* a label that goes on behind the series */
        {"\x12\x02\x08\x01", 4},                      /* a value as a varint */
        {"\x12\x02\x12\x00", 4},                      /* a timestamp as bytes */
        {"\x12\x05\x09\0\0\0\0", 7},                  /* half a double */
        {"\x12\x0b\x09\0\0\0\0\0\0\0\0\x10\x80", 13}, /* a varint that doesn't end */
        {"\x12\x14\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 13}, /* cut, and beyond 64 bits */
        {"\x0b\x0c", 2},                                              /* groups */
        {"\x0a", 1},
        {"\x0a\x80", 2},
    };
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++) {
        sample(&s, 1, 1);
        nest(&request, 1, &s); /* a good one before it */
        buffer_append(&s, series[i].data, series[i].len);
        nest(&request, 1, &s);
        expect(&request, "reject bad_protobuf\n");
    }
    expect_decoded(FORMAT, span_of("\x0a\x7f", 2), "", "reject bad_protobuf\n");
    expect_decoded(FORMAT, span_of("hello", 5), "", "reject bad_snappy\n");
    expect_decoded(FORMAT, span_of("\xff\xff\xff\xff\x0f", 5), "", "reject bad_snappy\n");
}

static void test_too_large(void **state)
{
    (void)state;
    /* 64 MiB and a byte, of copies: 3 bytes for 64. */
    size_t size = ((size_t)64 << 20) + 1, copies = (size - 1) / 64;
    struct buffer b = {0};
    varint(&b, size);
    buffer_append(&b, "\0x", 2);
    for (size_t i = 0; i < copies; i++)
        buffer_append(&b, "\xfe\x01\0", 3);
    expect_decoded(FORMAT, span_of((const char *)b.data, b.len), "", "reject unpacked_too_large\n");
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_values),         cmocka_unit_test(test_odd_order),
        cmocka_unit_test(test_labels),         cmocka_unit_test(test_label_lengths),
        cmocka_unit_test(test_metadata),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_large),      cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_histogram_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
