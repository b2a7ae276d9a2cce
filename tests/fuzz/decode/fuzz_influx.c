/* The influx decoder over any bytes, and the labels of every sample that it finds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_influx: %s\n", what);
        abort();
    }
}

static bool is_within(struct span s, const char *payload, size_t size)
{
    return s.data >= payload && s.data + s.len <= payload + size;
}

static void check_groups(const struct decoder *influx, const struct sample_batch *batch, const char *payload,
                         size_t size)
{
    static struct label_list labels;
    size_t samples = 0;
    for (size_t g = 0; g < batch->groups_count; g++) {
        const struct sample_group *group = &batch->groups[g];
        require(group->samples_count > 0 && group->first_sample == samples, "groups cover the samples");
        require(is_within(group->key, payload, size), "key lies in the payload");
        samples += group->samples_count;
        for (size_t i = group->first_sample; i < samples; i++) {
            const char *reason = NULL;
            struct span field = batch->samples[i].field;
            require(field.len > 0 && is_within(field, payload, size), "field lies in the payload");
            require(influx->labels(&(struct decode_options){0}, group->key, field, &labels, &reason) == 0,
                    "a decoded key has labels");
            require(labels.count > 0 && labels.labels[labels.count - 1].value.len > 0, "a series has a name");
            for (size_t l = 0; l < labels.count; l++) /* read every byte */
                require(labels.labels[l].name.len > 0 &&
                            memchr(labels.labels[l].value.data, '\n', labels.labels[l].value.len) == NULL,
                        "no line end in a label");
        }
    }
    require(samples == batch->samples_count, "no sample without a group");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct sample_batch batch;
    const struct decoder *influx = decoder_find("influx");
    const char *payload = (const char *)data;
    for (enum time_precision precision = PRECISION_AUTO; precision <= PRECISION_S; precision += 2) {
        const char *reason = NULL;
        sample_batch_clear(&batch);
        if (influx->decode(&(struct decode_options){precision, NULL},
                           &(struct message){.payload = span_of(payload, size)}, &batch,
                           &reason) == DECODE_REJECT) {
            require(reason && batch.samples_count == 0 && batch.groups_count == 0,
                    "a rejected message leaves nothing");
            continue;
        }
        check_groups(influx, &batch, payload, size);
        for (size_t i = 0; i < batch.bad_lines_count; i++)
            require(is_within(batch.bad_lines[i].line, payload, size) && batch.bad_lines[i].reason,
                    "bad lines lie in the payload");
    }
    return 0;
}
