/*
 * What a decoder makes of one message: samples grouped by the series key that they share.
 *
 * A group is what has to be looked up once: an influx line (measurement and tag set), a remote-write time
 * series. Its key is raw payload bytes; each sample adds a field name to it (empty where a
 * format has none). All pointers borrow from the payload, or from the batch's own scratch where a decoder had
 * to rewrite bytes: they live until the batch is cleared or the payload is given back.
 *
 * One thread at a time. Cleared and refilled for each message; no allocation once it has grown.
 */
#ifndef VARVE_SINKS_SAMPLE_BATCH_H
#define VARVE_SINKS_SAMPLE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/decimal.h"

struct span {
    const char *data;
    uint32_t len;
};

/* timestamp_ms of a sample whose payload has none: the hand-over puts the record's own time in. */
#define TIMESTAMP_NONE INT64_MIN

struct sample {
    struct span field;
    int64_t timestamp_ms;
    struct decimal value;
};

struct sample_group {
    struct span key;      /* raw bytes that name the series, equal for equal series of one producer */
    size_t first_sample;  /* index into samples */
    size_t samples_count; /* at least 1 */
};

/* A line (or item) that couldn't be decoded while the rest of its message could. */
struct bad_line {
    struct span line;
    uint32_t line_number; /* from 1 */
    const char *reason; /* static text; also the label value of varve_rejected_total: short, lower case, _ */
};

struct sample_batch {
    struct sample *samples;
    size_t samples_count, samples_capacity;
    struct sample_group *groups;
    size_t groups_count, groups_capacity;
    struct bad_line *bad_lines;
    size_t bad_lines_count, bad_lines_capacity;
    uint64_t
        dropped_nan; /* samples whose value can't be stored (NaN), dropped as VictoriaMetrics drops them */
    struct buffer
        scratch; /* unescaped bytes; may move while a decoder appends, so decoders store offsets until done */
};

/* A zeroed struct is an empty batch. */
void sample_batch_clear(struct sample_batch *batch);
void sample_batch_release(struct sample_batch *batch);

/* The labels of one series, in the order in which VictoriaMetrics' own ingestion would add them (it matters
 * for aliases, format 6). __name__ is a label like any other; values may be any bytes. Borrowed like above.
 */
struct label {
    struct span name;
    struct span value;
};

struct label_list {
    struct label *labels;
    size_t count, capacity;
    struct buffer scratch; /* rewritten bytes; see sample_batch.scratch */
};

void label_list_clear(struct label_list *list);
void label_list_release(struct label_list *list);
void label_list_add(struct label_list *list, struct span name, struct span value);

static inline struct span span_of(const char *data, size_t len)
{
    return (struct span){data, (uint32_t)len};
}

#endif
