/*
 * Reads protobuf's wire format (protobuf.dev/programming-guides/encoding), one field after another, as
 * github.com/VictoriaMetrics/easyproto (v1.2.0) does: groups and varints beyond 64 bits are errors, field
 * numbers above 2^32 - 1 too; 0 isn't. Pure, nothing allocated or copied.
 */
#ifndef VARVE_SINKS_DECODE_PROTOBUF_H
#define VARVE_SINKS_DECODE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/endian.h"

enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_I64 = 1, PROTOBUF_LEN = 2, PROTOBUF_I32 = 5 };

/* A run of bytes being read. */
struct protobuf_bytes {
    const uint8_t *p, *end;
};

struct protobuf_field {
    uint32_t number;
    enum protobuf_wire wire;
    uint64_t value;             /* of PROTOBUF_LEN: its size */
    struct protobuf_bytes data; /* of PROTOBUF_LEN: within the message */
};

/* False if it's cut short or doesn't fit 64 bits. */
static inline bool protobuf_read_varint(struct protobuf_bytes *b, uint64_t *ret)
{
    uint64_t value = 0;
    const uint8_t *p = b->p;
    for (unsigned shift = 0; p < b->end && shift < 70; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            b->p = p;
            *ret = value;
            return true;
        }
    }
    return false;
}

/* The next field of a message that isn't at its end; false if it's malformed. */
static inline bool protobuf_read_field(struct protobuf_bytes *message, struct protobuf_field *ret)
{
    uint64_t tag, len;
    size_t left;
    if (!protobuf_read_varint(message, &tag) || tag >> 3 > UINT32_MAX)
        return false;
    ret->number = (uint32_t)(tag >> 3);
    ret->wire = (enum protobuf_wire)(tag & 7);
    switch (tag & 7) {
    case PROTOBUF_VARINT:
        return protobuf_read_varint(message, &ret->value);
    case PROTOBUF_I64:
        if (message->end - message->p < 8)
            return false;
        ret->value = get_le64(message->p);
        message->p += 8;
        return true;
    case PROTOBUF_LEN:
        if (!protobuf_read_varint(message, &len))
            return false;
        ret->value = len;
        left = (size_t)(message->end - message->p);
        if (len > left)
            return false;
        ret->data = (struct protobuf_bytes){message->p, message->p + len};
        message->p += len;
        return true;
    case PROTOBUF_I32:
        if (message->end - message->p < 4)
            return false;
        ret->value = get_le32(message->p);
        message->p += 4;
        return true;
    default:
        return false;
    }
}

#endif
