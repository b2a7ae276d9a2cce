/* Any bytes as a segment's content: reading never leaves them, and what is taken for a record is one. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/spool_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Walks the records; where only a checksum is wrong it's mended, so that inputs get behind it. */
static void walk(uint8_t *data, size_t size, uint32_t seed, uint64_t lsn, bool is_mended)
{
    size_t at = 0, record_size;
    struct spool_record r;
    for (;;) {
        enum spool_parse p = spool_record_parse(data + at, size - at, seed, lsn, &r, &record_size);
        if (p == SPOOL_PARSE_DAMAGED && is_mended && record_size && record_size <= size - at) {
            spool_records_seal(data + at, record_size, seed);
            p = spool_record_parse(data + at, size - at, seed, lsn, &r, &record_size);
        }
        if (p != SPOOL_PARSE_OK)
            return;
        require(record_size <= size - at && spool_record_size(&r) == record_size);
        volatile char sum = 0;
        for (size_t i = 0; i < r.topic.len; i++)
            sum = (char)(sum ^ r.topic.data[i]);
        for (size_t i = 0; i < r.payload.len; i++)
            sum = (char)(sum ^ r.payload.data[i]);

        struct buffer again = {0};
        struct spool_record out;
        size_t out_size;
        spool_record_append(&again, &r);
        spool_records_seal(again.data, again.len, seed);
        require(spool_record_parse(again.data, again.len, seed, lsn, &out, &out_size) == SPOOL_PARSE_OK);
        require(out_size == record_size && out.arrival_ms == r.arrival_ms && out.packet_id == r.packet_id &&
                out.qos == r.qos && out.retained == r.retained && out.dup == r.dup &&
                out.cut_from == r.cut_from);
        buffer_release(&again);
        at += record_size;
        lsn++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed = 0;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    (void)spool_segment_parse_header(copy, size, 1, &seed);
    if (size >= SPOOL_SEGMENT_HEADER_SIZE) {
        walk(copy + SPOOL_SEGMENT_HEADER_SIZE, size - SPOOL_SEGMENT_HEADER_SIZE, seed, 1, false);
        walk(copy + SPOOL_SEGMENT_HEADER_SIZE, size - SPOOL_SEGMENT_HEADER_SIZE, seed, 1, true);
    }
    free(copy);
    return 0;
}
