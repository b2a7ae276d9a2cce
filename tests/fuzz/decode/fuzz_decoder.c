/*
 * A decoder (FUZZ_FORMAT) over any bytes, and the labels of every sample that it finds. The bytes are a
 * topic, a line end and the payload with FUZZ_TOPIC, else the payload alone; with FUZZ_SNAPPY the payload
 * also goes in as the content of a snappy block.
 */
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"

#ifndef FUZZ_TOPIC
#define FUZZ_TOPIC 0
#endif
#ifndef FUZZ_SNAPPY
#define FUZZ_SNAPPY 0
#endif

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_decoder " FUZZ_FORMAT ": %s\n", what);
        abort();
    }
}

/* Reads every byte, so that a sanitizer sees it. */
static void read_all(struct span s)
{
    unsigned sum = 0;
    for (uint32_t i = 0; i < s.len; i++)
        sum += (unsigned char)s.data[i];
    __asm__ volatile("" : : "r"(sum)); /* or the loop would be left out */
}

static void check_labels(const struct decoder *decoder, struct span key, struct span field)
{
    static struct label_list labels;
    const char *reason = NULL;
    require(decoder->labels(&(struct decode_options){0}, key, field, &labels, &reason) == 0,
            "a decoded key has labels");
    for (size_t i = 0; i < labels.count; i++) {
        require(labels.labels[i].name.len > 0, "labels have names");
        read_all(labels.labels[i].name);
        read_all(labels.labels[i].value);
    }
}

static void check_message(const struct decoder *decoder, const struct message *m)
{
    static struct sample_batch batch;
    const char *reason = NULL;
    sample_batch_clear(&batch);
    if (decoder->decode(&(struct decode_options){0}, m, &batch, &reason) == DECODE_REJECT) {
        require(reason && !batch.samples_count && !batch.groups_count && !batch.bad_lines_count &&
                    !batch.dropped_nan,
                "a rejected message leaves nothing");
        return;
    }
    size_t samples = 0;
    for (size_t g = 0; g < batch.groups_count; g++) {
        const struct sample_group *group = &batch.groups[g];
        require(group->samples_count > 0 && group->first_sample == samples, "groups cover the samples");
        samples += group->samples_count;
        check_labels(decoder, group->key, batch.samples[group->first_sample].field);
    }
    require(samples == batch.samples_count, "no sample without a group");
    for (size_t i = 0; i < batch.bad_lines_count; i++) {
        require(batch.bad_lines[i].reason && batch.bad_lines[i].line_number > 0, "bad lines have reasons");
        read_all(batch.bad_lines[i].line);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const struct decoder *decoder = decoder_find(FUZZ_FORMAT);
    struct message m = {.payload = span_of((const char *)data, size), .time_ms = TIMESTAMP_NONE};
    const char *line_end = FUZZ_TOPIC && size ? memchr(data, '\n', size) : NULL;
    if (line_end) {
        m.topic = span_of(m.payload.data, (size_t)(line_end - m.payload.data));
        m.payload = span_of(line_end + 1, size - m.topic.len - 1);
    }
    check_message(decoder, &m);
    if (FUZZ_SNAPPY && size) {
        size_t n = snappy_max_compressed_length(size);
        char *block = malloc(n);
        if (block && snappy_compress((const char *)data, size, block, &n) == SNAPPY_OK) {
            m.payload = span_of(block, n);
            check_message(decoder, &m);
        }
        free(block);
    }
    return 0;
}
