#include "tests/unit/sinks/decode/decode_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

static void append_sample(const struct decoder *decoder, const struct sample_group *group,
                          const struct sample *s, struct label_list *labels, struct buffer *ret)
{
    const char *reason = NULL;
    assert_int_equal(decoder->labels(&(struct decode_options){0}, group->key, s->field, labels, &reason), 0);
    for (size_t l = 0; l < labels->count; l++)
        buffer_printf(ret, "[%.*s|%.*s]", (int)labels->labels[l].name.len, labels->labels[l].name.data,
                      (int)labels->labels[l].value.len, labels->labels[l].value.data);
    if (s->value.mantissa == DECIMAL_STALE)
        buffer_append_str(ret, " stale");
    else
        buffer_printf(ret, " %.17g", decimal_to_double(s->value.mantissa, s->value.exponent));
    if (s->timestamp_ms == TIMESTAMP_NONE)
        buffer_append_str(ret, " none\n");
    else
        buffer_printf(ret, " %lld\n", (long long)s->timestamp_ms);
}

void decode_text(const char *format, struct span payload, const char *topic, struct buffer *ret)
{
    const struct decoder *decoder = decoder_find(format);
    struct sample_batch batch = {0};
    struct label_list labels = {0};
    const char *reason = NULL;
    assert_non_null(decoder);
    char *tight = xmemdup(payload.data, payload.len);
    struct message m = {.payload = span_of(tight, payload.len),
                        .topic = span_of(topic, strlen(topic)),
                        .time_ms = TIMESTAMP_NONE};
    buffer_clear(ret);
    if (decoder->decode(&(struct decode_options){0}, &m, &batch, &reason) == DECODE_REJECT) {
        assert_true(batch.samples_count == 0 && batch.groups_count == 0 && batch.bad_lines_count == 0);
        buffer_printf(ret, "reject %s\n", reason);
    }
    size_t samples = 0;
    for (size_t g = 0; g < batch.groups_count; g++) {
        const struct sample_group *group = &batch.groups[g];
        assert_true(group->samples_count > 0 && group->first_sample == samples);
        samples += group->samples_count;
        for (size_t i = group->first_sample; i < samples; i++)
            append_sample(decoder, group, &batch.samples[i], &labels, ret);
    }
    assert_int_equal(samples, batch.samples_count);
    for (size_t i = 0; i < batch.bad_lines_count; i++)
        buffer_printf(ret, "bad %u %s\n", batch.bad_lines[i].line_number, batch.bad_lines[i].reason);
    if (batch.dropped_nan)
        buffer_printf(ret, "nan %llu\n", (unsigned long long)batch.dropped_nan);
    free(tight);
    sample_batch_release(&batch);
    label_list_release(&labels);
}

void expect_decoded(const char *format, struct span payload, const char *topic, const char *want)
{
    struct buffer got = {0};
    decode_text(format, payload, topic, &got);
    assert_string_equal(buffer_cstr(&got), want);
    buffer_release(&got);
}
