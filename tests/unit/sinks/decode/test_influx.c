#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"
#include "src/base/error.h"

/* "a=1,b=2 __name__" style dump of what a payload decodes to, one line a sample: labels, value, timestamp. */
static void dump(const char *payload, size_t size, enum time_precision precision, struct buffer *ret)
{
    const struct decoder *influx = decoder_find("influx");
    struct sample_batch batch = {0};
    struct label_list labels = {0};
    const char *reason = NULL;
    char *tight = malloc(size ? size : 1);
    memcpy(tight, payload, size);
    buffer_clear(ret);
    if (influx->decode(&(struct decode_options){precision, NULL},
                       &(struct message){.payload = span_of(tight, size)}, &batch,
                       &reason) == DECODE_REJECT) {
        assert_true(batch.samples_count == 0 && batch.groups_count == 0 && batch.bad_lines_count == 0);
        buffer_printf(ret, "reject %s\n", reason);
    }
    size_t samples = 0;
    for (size_t g = 0; g < batch.groups_count; g++) {
        const struct sample_group *group = &batch.groups[g];
        assert_true(group->samples_count > 0 && group->first_sample == samples);
        samples += group->samples_count;
        for (size_t i = group->first_sample; i < samples; i++) {
            const struct sample *s = &batch.samples[i];
            assert_int_equal(
                influx->labels(&(struct decode_options){0}, group->key, s->field, &labels, &reason), 0);
            for (size_t l = 0; l < labels.count; l++)
                buffer_printf(ret, "[%.*s|%.*s]", (int)labels.labels[l].name.len, labels.labels[l].name.data,
                              (int)labels.labels[l].value.len, labels.labels[l].value.data);
            if (s->timestamp_ms == TIMESTAMP_NONE)
                buffer_printf(ret, " %.17g none\n", decimal_to_double(s->value.mantissa, s->value.exponent));
            else
                buffer_printf(ret, " %.17g %lld\n", decimal_to_double(s->value.mantissa, s->value.exponent),
                              (long long)s->timestamp_ms);
        }
    }
    assert_int_equal(samples, batch.samples_count);
    for (size_t i = 0; i < batch.bad_lines_count; i++)
        buffer_printf(ret, "bad %u %s <%.*s>\n", batch.bad_lines[i].line_number, batch.bad_lines[i].reason,
                      (int)batch.bad_lines[i].line.len, batch.bad_lines[i].line.data);
    if (batch.dropped_nan)
        buffer_printf(ret, "nan %llu\n", (unsigned long long)batch.dropped_nan);
    free(tight);
    sample_batch_release(&batch);
    label_list_release(&labels);
}

static void expect(const char *payload, const char *want)
{
    struct buffer got = {0};
    dump(payload, strlen(payload), PRECISION_AUTO, &got);
    assert_string_equal(buffer_cstr(&got), want);
    buffer_release(&got);
}

static void test_plain(void **state)
{
    (void)state;
    expect("cpu,host=h1,dc=x user=1.5,sys=-2i,up=3u 1753800000123456789\n",
           "[host|h1][dc|x][__name__|cpu_user] 1.5 1753800000123\n"
           "[host|h1][dc|x][__name__|cpu_sys] -2 1753800000123\n"
           "[host|h1][dc|x][__name__|cpu_up] 3 1753800000123\n");
    expect("m value=1", "[__name__|m_value] 1 none\n");
    expect(" value=1", "[__name__|value] 1 none\n");
    expect(",a=b value=1", "[a|b][__name__|value] 1 none\n");
    expect("m   a=1,b=t,c=False    1753800000  \n", "reject bad_timestamp\n");
    expect(
        "m   a=1,b=t,c=False    1753800000",
        "[__name__|m_a] 1 1753800000000\n[__name__|m_b] 1 1753800000000\n[__name__|m_c] 0 1753800000000\n");
    expect("m a=1 ", "[__name__|m_a] 1 none\n");
    expect("m a=1,a=2", "[__name__|m_a] 1 none\n[__name__|m_a] 2 none\n");
}

static void test_lines(void **state)
{
    (void)state;
    expect("", "");
    expect("\n\r\n\n# comment a=1\n#\n", "");
    expect("m a=1 1000\r\nm a=2 0\r\n\r\nm a=3",
           "[__name__|m_a] 1 1000000\n[__name__|m_a] 2 none\n[__name__|m_a] 3 none\n");
    expect("m a=1\nbad\n# c\nm a\nm a=2\nm,x a=1\nm a=1 x",
           "[__name__|m_a] 1 none\n[__name__|m_a] 2 none\n"
           "bad 2 missing_fields <bad>\nbad 4 missing_field_value <m a>\nbad 6 missing_tag_value <m,x a=1>\n"
           "bad 7 bad_timestamp <m a=1 x>\n");
    expect("m a=1\r\r",
           "[__name__|m_a] 0 none\n"); /* one \r goes, the other is part of a value that's no number */
    expect(" \n", "reject missing_field_value\n");
    expect("\x01\x02\xff", "reject missing_fields\n");
}

static void test_tags(void **state)
{
    (void)state;
    expect("m,a=,=b,c=d v=1", "[c|d][__name__|m_v] 1 none\n");
    expect("m,a=b=c,__name__=z v=1", "[a|b=c][__name__|z][__name__|m_v] 1 none\n");
    expect("m, v=1", "reject missing_tag_value\n");
    expect("m,a=b, v=1", "reject missing_tag_value\n");
    expect("m,,a=b v=1", "reject missing_tag_value\n");
    expect("m,a=1\nm,a v=1", "reject missing_fields\n");
    /* More than one stretch of 16 bytes in each part. */
    expect("measurement_with_a_long_name,tag_with_a_long_name=value_with_a_long_text,b=c "
           "field_with_a_long_name=1",
           "[tag_with_a_long_name|value_with_a_long_text][b|c][__name__|measurement_with_a_long_name_field_"
           "with_a_long_name] 1 none\n");
}

static void test_escapes(void **state)
{
    (void)state;
    expect("my\\ m\\,x\\=y,t\\ a\\,g=v\\=w\\\\ f\\ i\\,e\\=ld=1",
           "[t a,g|v=w\\][__name__|my m,x=y_f i,e=ld] 1 none\n");
    expect("m\\n,a=\\b\\ c v=1", "[a|\\b c][__name__|m\\n_v] 1 none\n");
    expect("m,a=b\\\\ v=1", "[a|b\\][__name__|m_v] 1 none\n");
    expect("m,a=b\\\\\\ v=1 c=2", "[a|b\\ v=1][__name__|m_c] 2 none\n");
    expect("m v\\=1=2", "[__name__|m_v=1] 2 none\n");
    expect("m v=1\\,w=2", "[__name__|m_v] 0 none\n");
    expect("m v=1\\", "[__name__|m_v] 0 none\n");
    expect("m\\", "reject missing_fields\n");
    expect("m,a=b\\", "reject missing_fields\n");
}

static void test_quotes(void **state)
{
    (void)state;
    expect("m s=\"a b,c=d\",v=1", "[__name__|m_s] 0 none\n[__name__|m_v] 1 none\n");
    expect("m s=\"12.5\",t=\"\",v=\"nan\" 1000000",
           "[__name__|m_s] 12.5 1000000000\n[__name__|m_t] 0 1000000000\nnan 1\n");
    expect("m s=\"say \\\"hi, you\\\"\",v=1", "[__name__|m_s] 0 none\n[__name__|m_v] 1 none\n");
    expect("m s=\"open,v=1 5", "reject missing_closing_quote\n");
    expect("m s=\",v=1\"x 5", "reject missing_closing_quote\n");
    expect("m s=\"", "reject missing_closing_quote\n");
    expect("m \"a b\"=1,c=2", "[__name__|m_\"a b\"] 1 none\n[__name__|m_c] 2 none\n");
    expect("m s=\"5i\"", "[__name__|m_s] 0 none\n");
    expect("m,t=\"a b\" v=1", "[t|\"a][__name__|m_b\" v] 1 none\n"); /* quotes mean nothing in tags */
    expect("m s=\\\"a,v=1", "[__name__|m_s] 0 none\n[__name__|m_v] 1 none\n");
}

static void test_values(void **state)
{
    (void)state;
    expect("m a=NaN,b=1,c=nan", "[__name__|m_b] 1 none\nnan 2\n");
    expect("m a=nan\nbad", "bad 2 missing_fields <bad>\nnan 1\n");
    expect("m a=nan,b=\nm v=1", "[__name__|m_v] 1 none\nbad 1 missing_field_value <m a=nan,b=>\n");
    expect("m a=inf,b=-Inf", "[__name__|m_a] inf none\n[__name__|m_b] -inf none\n");
    expect("m a=text,b=tRUE,c=1e3,d=5.,e=-5.",
           "[__name__|m_a] 0 none\n[__name__|m_b] 0 none\n[__name__|m_c] 1000 none\n"
           "[__name__|m_d] 5 none\n[__name__|m_e] 5 none\n");
    expect("m a=hi", "reject bad_integer\n");
    expect("m a=1.5i", "reject bad_integer\n");
    expect("m a=-1u", "reject bad_integer\n");
    expect("m a=9223372036854775808i", "reject bad_integer\n");
    expect("m a=9999999999999999999i,b=1", "reject bad_integer\n");
    expect("m a=9223372036854775807i,b=18446744073709551615u",
           "[__name__|m_a] 9.2233720368547758e+18 none\n[__name__|m_b] 1.8446744073709548e+19 none\n");
    expect("m a=", "reject missing_field_value\n");
    expect("m a=,b=1", "reject missing_field_value\n");
    expect("m =1", "reject empty_field_key\n");
    expect("m a=1,", "reject missing_field_value\n");
    expect("m a=1,,b=2", "reject missing_field_value\n");
    expect("m a=1=2", "[__name__|m_a] 0 none\n");
    expect("m a=1i2", "[__name__|m_a] 0 none\n");
    expect("m 0.1234567890123456=0.1234567890123456",
           "[__name__|m_0.1234567890123456] 0.12345678901234 none\n");
}

static void expect_stamp(const char *text, enum time_precision precision, const char *want)
{
    struct buffer payload = {0}, got = {0}, line = {0};
    buffer_printf(&payload, "m v=1 %s", text);
    buffer_printf(&line, "[__name__|m_v] 1 %s\n", want);
    dump((const char *)payload.data, payload.len, precision, &got);
    assert_string_equal(buffer_cstr(&got), buffer_cstr(&line));
    buffer_release(&payload);
    buffer_release(&got);
    buffer_release(&line);
}

static void test_timestamps(void **state)
{
    (void)state;
    expect_stamp("99999999999", PRECISION_AUTO, "99999999999000");
    expect_stamp("100000000000", PRECISION_AUTO, "100000000000");
    expect_stamp("99999999999999", PRECISION_AUTO, "99999999999999");
    expect_stamp("100000000000000", PRECISION_AUTO, "100000000000");
    expect_stamp("99999999999999999", PRECISION_AUTO, "99999999999999");
    expect_stamp("100000000000000000", PRECISION_AUTO, "100000000000");
    expect_stamp("1753800000123999999", PRECISION_AUTO, "1753800000123");
    expect_stamp("-5", PRECISION_AUTO, "-5000");
    expect_stamp("-0", PRECISION_AUTO, "none");
    expect_stamp("-1152921504606846976", PRECISION_AUTO, "-9223372036854775807");
    expect_stamp("999999", PRECISION_NS, "0");
    expect_stamp("-1999999", PRECISION_NS, "-1");
    expect_stamp("1999", PRECISION_US, "1");
    expect_stamp("1999", PRECISION_MS, "1999");
    expect_stamp("-9223372036854775808", PRECISION_MS, "-9223372036854775807");
    expect_stamp("1999", PRECISION_S, "1999000");
    expect_stamp("0", PRECISION_S, "none");
}

/* Whatever comes before and behind, near the payload's end or not, a line means the same. */
static void test_position_does_not_matter(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "cpu,host=h1 usage_user_time_total=12.345,b=1i,c=0.1234567890123456 1753800000123456789",
        "m\\ x,a\\,b=c\\ d s=\"text, with = and \\\" inside\",v=1e5",
        "a b=1234567890123456789,c=\"1",
        "broken",
        "m v=12345678.123456",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct buffer alone = {0}, got = {0}, payload = {0};
        dump(lines[i], strlen(lines[i]), PRECISION_AUTO, &alone);
        for (int padding = 0; padding < 40; padding++) {
            buffer_clear(&payload);
            buffer_append_str(&payload, lines[i]);
            buffer_append_str(&payload, "\n#");
            for (int n = 0; n < padding; n++)
                buffer_append_str(&payload, n % 3 ? "," : "1");
            dump((const char *)payload.data, payload.len, PRECISION_AUTO, &got);
            assert_string_equal(buffer_cstr(&got), buffer_cstr(&alone));
        }
        buffer_release(&alone);
        buffer_release(&got);
        buffer_release(&payload);
    }
}

static void test_keys_and_reuse(void **state)
{
    (void)state;
    const struct decoder *influx = decoder_find("influx");
    struct sample_batch batch = {0};
    const char *reason;
    const char *text = "m,a=b v=1\nm,a=b w=2\nm,a=c v=3";
    for (int round = 0; round < 3; round++) {
        sample_batch_clear(&batch);
        assert_int_equal(influx->decode(&(struct decode_options){0},
                                        &(struct message){.payload = span_of(text, strlen(text))}, &batch,
                                        &reason),
                         DECODE_OK);
        assert_int_equal(batch.groups_count, 3);
        assert_memory_equal(batch.groups[0].key.data, text, 5);
        assert_memory_equal(batch.groups[2].key.data, "m,a=c", 5);
        assert_true(batch.groups[1].key.data == text + 10 && batch.groups[1].key.len == 5);
        assert_true(batch.samples[1].field.data == text + 16 && batch.samples[1].field.len == 1);
    }
    struct label_list labels = {0};
    assert_int_equal(
        influx->labels(&(struct decode_options){0}, span_of("m,a", 3), span_of("v", 1), &labels, &reason),
        ERR_INVALID);
    label_list_release(&labels);
    sample_batch_release(&batch);
}

static void test_names(void **state)
{
    (void)state;
    assert_non_null(decoder_find("influx"));
    assert_null(decoder_find("otlp"));
    assert_null(decoder_find(""));
    bool found = false;
    for (const char *const *name = decoder_names_known; *name; name++)
        found |= strcmp(*name, "influx") == 0;
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_lines),
        cmocka_unit_test(test_tags),       cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_quotes),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_position_does_not_matter),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_keys_and_reuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
