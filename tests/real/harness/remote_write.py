"""Encodes Prometheus remote write 1.0 requests, field by field: also ones that no client would send."""
import struct

STALE = 0x7ff0000000000002      # the bits of a staleness marker


def varint(n):
    n &= 2 ** 64 - 1
    out = b''
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return varint(n << 1 ^ n >> 63)


def field(number, data):
    """One of wire type 2."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def double(number, value):
    """value: a float, or the bits of one."""
    return varint(number << 3 | 1) + (struct.pack('<Q', value) if isinstance(value, int) else struct.pack('<d', value))


def labels(pairs):
    """pairs: (name, value) texts, in their order."""
    return b''.join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in pairs)


def sample(value, timestamp_ms):
    return field(2, double(1, value) + b'\x10' + varint(timestamp_ms))


def exemplar(value, timestamp_ms, **pairs):
    return field(3, labels(pairs.items()) + double(2, value) + b'\x18' + varint(timestamp_ms))


def histogram(timestamp_ms, count, total, schema, offset, deltas, zero=(0.001, 0)):
    """A native one: its positive buckets, from index offset on, as differences of counts."""
    span = b'\x08' + zigzag(offset) + b'\x10' + varint(len(deltas))
    return field(4, b'\x08' + varint(count) + double(3, total) + b'\x20' + zigzag(schema) + double(5, zero[0]) + b'\x30' + varint(zero[1]) +
                 field(11, span) + field(12, b''.join(map(zigzag, deltas))) + b'\x78' + varint(timestamp_ms))


def series(pairs, *parts):
    return field(1, labels(pairs) + b''.join(parts))


def metadata(name, help_text):
    return field(3, b'\x08\x01' + field(2, name.encode()) + field(4, help_text.encode()))
