/* The JSON decoder over any bytes, with mappings of every kind, and the labels of every sample. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"
#include "sinks/decode/json_mapping.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define MAPPINGS 5

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_json: %s\n", what);
        abort();
    }
}

static const struct json_mapping *mapping(size_t i)
{
    static struct json_mapping *mappings[MAPPINGS];
    static const struct json_label_text labels[] = {{"id", "$.id"}, {"site", "$$.site"}};
    static const char *const fields[] = {"$.a", "$.a.b as c", "$.v[1]", "$.d.*"};
    static const struct json_mapping_text texts[MAPPINGS] = {
        {0},
        {.time = "$.t", .labels = labels, .labels_count = 1, .name = "n"},
        {.each = "$.r[*]", .labels = labels, .labels_count = 2, .time = "$$.t", .name = "${$.id}$1"},
        {.fields = fields, .fields_count = 4, .time = "$.t", .time_format = "rfc3339", .name = ""},
        {.each = "$.*[0].a", .time = "$", .time_format = "s"},
    };
    struct error error;
    if (!mappings[i])
        require(json_mapping_compile(&mappings[i], &texts[i], 1, NULL, &error) == 0, error.message);
    return mappings[i];
}

static bool is_in(struct span s, const struct buffer *b)
{
    return (const uint8_t *)s.data >= b->data && (const uint8_t *)s.data + s.len <= b->data + b->len;
}

static void check(const struct decode_options *options, const struct sample_batch *batch, size_t size)
{
    static struct label_list labels;
    size_t samples = 0;
    require(batch->samples_count + batch->dropped_nan <= size, "a sample is a byte at least");
    for (size_t g = 0; g < batch->groups_count; g++) {
        const struct sample_group *group = &batch->groups[g];
        require(group->samples_count > 0 && group->first_sample == samples, "groups cover the samples");
        require(is_in(group->key, &batch->scratch), "the key lies in scratch");
        samples += group->samples_count;
        for (size_t i = group->first_sample; i < samples; i++) {
            const char *reason = NULL;
            struct span field = batch->samples[i].field;
            require(is_in(field, &batch->scratch), "the field lies in scratch");
            require(decoder_find("json")->labels(options, group->key, field, &labels, &reason) == 0,
                    "a decoded key has labels");
            require(labels.count > 0 && labels.labels[labels.count - 1].value.len > 0, "a series has a name");
        }
    }
    require(samples == batch->samples_count, "no sample without a group");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct sample_batch batch;
    static const struct span capture = {"x", 1};
    const struct message m = {.payload = span_of((const char *)data, size),
                              .topic = span_of("a/b", 3),
                              .captures = &capture,
                              .captures_count = 1};
    for (size_t i = 0; i < MAPPINGS; i++) {
        const struct decode_options options = {.json = mapping(i)};
        const char *reason = NULL;
        sample_batch_clear(&batch);
        if (decoder_find("json")->decode(&options, &m, &batch, &reason) == DECODE_REJECT) {
            require(reason && batch.samples_count == 0 && batch.groups_count == 0 && !batch.bad_lines_count,
                    "a rejected message leaves nothing");
            continue;
        }
        check(&options, &batch, size);
        for (size_t k = 0; k < batch.bad_lines_count; k++) {
            struct span line = batch.bad_lines[k].line;
            require(line.len && line.data >= m.payload.data && line.data + line.len <= m.payload.data + size,
                    "a bad reading lies in the payload");
        }
    }
    return 0;
}
