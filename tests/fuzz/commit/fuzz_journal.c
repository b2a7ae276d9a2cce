/*
 * A journal's bytes. Input: a file, whose header's checksum, and those of the frames that start where one
 * may, are put right first, so that mutations reach what lies behind them. What parses must, written again,
 * parse to the same.
 */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"
#include "storage/commit/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER_BYTES 64
#define FRAME_BYTES  16
#define RECORD_MAGIC UINT32_C(0x43455256)

static const uint8_t store_id[STORE_ID_BYTES] = "a store, fuzzed";

/* First byte even: sums are put right. */
static void put_sums_right(uint8_t *data, size_t size)
{
    if (size < HEADER_BYTES)
        return;
    memcpy(data + 8, store_id, STORE_ID_BYTES);
    put_le32(data + 32, crc32c(0, data, 32));
    for (size_t o = HEADER_BYTES; o + FRAME_BYTES <= size;) {
        size_t payload = get_le32(data + o + 4);
        if (get_le32(data + o) != RECORD_MAGIC || payload > size - o - FRAME_BYTES) {
            o += 8;
            continue;
        }
        put_le32(data + o + 8, crc32c(crc32c(0, data + o + 4, 4), data + o + FRAME_BYTES, payload));
        o += FRAME_BYTES + (payload + 7) / 8 * 8;
    }
}

static void parse_again(const struct journal_records *records)
{
    struct journal_records again = {0};
    if (journal_parse(&again, records->valid.data, records->valid.len, store_id, NULL) < 0 ||
        again.count != records->count || again.valid.len != records->valid.len)
        abort();
    for (size_t i = 1; i < again.count; i++)
        if (again.records[i].n < again.records[i - 1].n)
            abort();
    journal_records_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *copy = xmemdup(data + 1, size - 1);
    if (data[0] % 2 == 0)
        put_sums_right(copy, size - 1);
    struct journal_records records = {0};
    struct error error;
    if (journal_parse(&records, copy, size - 1, store_id, &error) == 0)
        parse_again(&records);
    journal_records_release(&records);
    free(copy);
    return 0;
}
