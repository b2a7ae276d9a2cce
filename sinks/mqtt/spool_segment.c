#include "sinks/mqtt/spool_segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/base/crc32c.h"
#include "src/base/endian.h"

#define MAGIC         "varvesp1"
#define NAME_SUFFIX   ".spool"
#define FLAG_QOS      3u
#define FLAG_RETAINED 4u
#define FLAG_DUP      8u
#define FLAG_CUT      16u
#define CUT_SIZE      4 /* of the size before the head */

void spool_segment_name(uint64_t first_lsn, char ret[SPOOL_SEGMENT_NAME_SIZE])
{
    snprintf(ret, SPOOL_SEGMENT_NAME_SIZE, "%016" PRIx64 NAME_SUFFIX, first_lsn);
}

bool spool_segment_parse_name(const char *name, uint64_t *ret_first_lsn)
{
    uint64_t lsn = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return false;
        lsn = lsn << 4 | digit;
    }
    if (strcmp(name + 16, NAME_SUFFIX) != 0)
        return false;
    *ret_first_lsn = lsn;
    return true;
}

void spool_segment_put_header(uint8_t dst[SPOOL_SEGMENT_HEADER_SIZE], uint64_t first_lsn, uint32_t seed)
{
    memset(dst, 0, SPOOL_SEGMENT_HEADER_SIZE);
    memcpy(dst, MAGIC, 8);
    put_le64(dst + 8, first_lsn);
    put_le32(dst + 16, seed);
    put_le32(dst + 24, crc32c(0, dst, 24));
}

bool spool_segment_parse_header(const uint8_t *data, size_t size, uint64_t first_lsn, uint32_t *ret_seed)
{
    if (size < SPOOL_SEGMENT_HEADER_SIZE || memcmp(data, MAGIC, 8) != 0 || get_le64(data + 8) != first_lsn ||
        get_le32(data + 24) != crc32c(0, data, 24))
        return false;
    *ret_seed = get_le32(data + 16);
    return true;
}

size_t spool_record_size(const struct spool_record *record)
{
    return SPOOL_RECORD_HEADER_SIZE + (size_t)record->topic.len + (record->cut_from ? CUT_SIZE : 0) +
           record->payload.len;
}

void spool_record_append(struct buffer *dst, const struct spool_record *record)
{
    size_t size = spool_record_size(record);
    uint8_t *p = buffer_reserve(dst, size);
    memset(p, 0, SPOOL_RECORD_HEADER_SIZE);
    put_le32(p, (uint32_t)size);
    put_le64(p + 8, record->lsn);
    put_le64(p + 16, (uint64_t)record->arrival_ms);
    put_le16(p + 24, record->packet_id);
    p[26] = (uint8_t)((record->qos & FLAG_QOS) | (record->retained ? FLAG_RETAINED : 0) |
                      (record->dup ? FLAG_DUP : 0) | (record->cut_from ? FLAG_CUT : 0));
    put_le16(p + 28, (uint16_t)record->topic.len);
    p += SPOOL_RECORD_HEADER_SIZE;
    if (record->topic.len)
        memcpy(p, record->topic.data, record->topic.len);
    p += record->topic.len;
    if (record->cut_from) {
        put_le32(p, record->cut_from);
        p += CUT_SIZE;
    }
    if (record->payload.len)
        memcpy(p, record->payload.data, record->payload.len);
    dst->len += size;
}

static uint32_t record_crc(const uint8_t *p, size_t size, uint32_t seed)
{
    return crc32c(crc32c(seed, p, 4), p + 8, size - 8);
}

void spool_records_seal(uint8_t *data, size_t size, uint32_t seed)
{
    while (size >= SPOOL_RECORD_HEADER_SIZE) {
        uint32_t record_size = get_le32(data);
        put_le32(data + 4, record_crc(data, record_size, seed));
        data += record_size;
        size -= record_size;
    }
}

enum spool_parse spool_record_parse(const uint8_t *data, size_t size, uint32_t seed, uint64_t lsn,
                                    struct spool_record *ret, size_t *ret_size)
{
    *ret_size = 0;
    if (size < SPOOL_RECORD_HEADER_SIZE)
        return SPOOL_PARSE_SHORT;
    uint32_t record_size = get_le32(data);
    uint16_t topic_len = get_le16(data + 28);
    if (record_size < SPOOL_RECORD_HEADER_SIZE + (uint32_t)topic_len || record_size > SPOOL_RECORD_SIZE_MAX)
        return SPOOL_PARSE_DAMAGED;
    *ret_size = record_size;
    if (size < record_size)
        return SPOOL_PARSE_SHORT;
    uint32_t crc = get_le32(data + 4);
    if (crc != record_crc(data, record_size, seed) || get_le64(data + 8) != lsn)
        return SPOOL_PARSE_DAMAGED;
    const char *body = (const char *)data + SPOOL_RECORD_HEADER_SIZE;
    size_t payload_at = topic_len, body_len = record_size - SPOOL_RECORD_HEADER_SIZE;
    uint32_t cut_from = 0;
    if (data[26] & FLAG_CUT) {
        payload_at += CUT_SIZE;
        cut_from = payload_at <= body_len ? get_le32(data + SPOOL_RECORD_HEADER_SIZE + topic_len) : 0;
        if (!cut_from)
            return SPOOL_PARSE_DAMAGED;
    }
    *ret = (struct spool_record){
        .lsn = lsn,
        .arrival_ms = (int64_t)get_le64(data + 16),
        .crc = crc,
        .packet_id = get_le16(data + 24),
        .qos = data[26] & FLAG_QOS,
        .retained = data[26] & FLAG_RETAINED,
        .dup = data[26] & FLAG_DUP,
        .cut_from = cut_from,
        .topic = span_of(body, topic_len),
        .payload = span_of(body + payload_at, body_len - payload_at),
    };
    return SPOOL_PARSE_OK;
}
