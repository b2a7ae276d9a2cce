/*
 * decode_dump FORMAT FILE...: what the decoder of that name makes of each file, unpacked as the sinks do it,
 * as JSON lines for influx_oracle.py and decode_oracle.py.
 *
 * One line a sample: {"metric":{...},"values":[V],"timestamps":[T]}, as /api/v1/export prints it, but with
 * labels in order of arrival, repeated names included, and null for a timestamp that the payload doesn't
 * have; the staleness marker is the value null. Bytes from 0x80 on are printed as they are. Then one line a
 * message:
 * {"bad_lines":[NUMBER...],"dropped_nan":N,"reject":REASON|null}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/decode/decode.h"
#include "sinks/decode/unpack.h"

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t size = 0, capacity = 1 << 20;
    char *data = malloc(capacity);
    for (;;) {
        size_t n = fread(data + size, 1, capacity - size, f);
        size += n;
        if (size < capacity)
            break;
        data = realloc(data, capacity *= 2);
    }
    fclose(f);
    /* As tight as the decoder must bear: a sanitizer sees each byte read beyond. */
    char *tight = malloc(size ? size : 1);
    memcpy(tight, data, size);
    free(data);
    *ret_size = size;
    return tight;
}

static void print_string(struct span s)
{
    putchar('"');
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c < 0x20 || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_sample(const struct label_list *labels, const struct sample *sample)
{
    printf("{\"metric\":{");
    for (size_t i = 0; i < labels->count; i++) {
        if (i)
            putchar(',');
        print_string(labels->labels[i].name);
        putchar(':');
        print_string(labels->labels[i].value);
    }
    double value = decimal_to_double(sample->value.mantissa, sample->value.exponent);
    if (sample->value.mantissa == DECIMAL_STALE)
        printf("},\"values\":[null]");
    else if (sample->value.mantissa == DECIMAL_INF_POS || sample->value.mantissa == DECIMAL_INF_NEG)
        printf("},\"values\":[\"%sInfinity\"]", value < 0 ? "-" : "");
    else
        printf("},\"values\":[%.17g]", value);
    if (sample->timestamp_ms == TIMESTAMP_NONE)
        printf(",\"timestamps\":[null]}\n");
    else
        printf(",\"timestamps\":[%lld]}\n", (long long)sample->timestamp_ms);
}

static void print_groups(const struct decoder *decoder, const struct sample_batch *batch,
                         struct label_list *labels)
{
    for (size_t g = 0; g < batch->groups_count; g++) {
        const struct sample_group *group = &batch->groups[g];
        for (size_t i = group->first_sample; i < group->first_sample + group->samples_count; i++) {
            const char *reason;
            if (decoder->labels(&(struct decode_options){0}, group->key, batch->samples[i].field, labels,
                                &reason) < 0) {
                fprintf(stderr, "decode_dump: labels: %s\n", reason);
                exit(1);
            }
            print_sample(labels, &batch->samples[i]);
        }
    }
}

int main(int argc, char **argv)
{
    const struct decoder *decoder = argc > 1 ? decoder_find(argv[1]) : NULL;
    if (!decoder) {
        fprintf(stderr, "usage: decode_dump FORMAT FILE...\n");
        return 64;
    }
    struct sample_batch batch = {0};
    struct label_list labels = {0};
    struct unpacker unpacker = {0};
    for (int f = 2; f < argc; f++) {
        size_t size;
        char *data = read_file(argv[f], &size);
        const char *reason = NULL;
        struct message message = {.time_ms = TIMESTAMP_NONE};
        sample_batch_clear(&batch);
        if (unpack(&unpacker, span_of(data, size), unpack_limit(0), &message.payload, &reason) == 0)
            decoder->decode(&(struct decode_options){PRECISION_AUTO, NULL}, &message, &batch, &reason);
        print_groups(decoder, &batch, &labels);
        printf("{\"bad_lines\":[");
        for (size_t i = 0; i < batch.bad_lines_count; i++)
            printf("%s%u", i ? "," : "", batch.bad_lines[i].line_number);
        printf("],\"dropped_nan\":%llu,\"reject\":", (unsigned long long)batch.dropped_nan);
        printf(reason ? "\"%s\"}\n" : "null}\n", reason);
        free(data);
    }
    sample_batch_release(&batch);
    label_list_release(&labels);
    unpacker_release(&unpacker);
    return 0;
}
