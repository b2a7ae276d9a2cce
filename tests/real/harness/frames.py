"""The file format of produce.c and of the benchmark's load generator: messages with their partition."""
import struct

HEADER = struct.Struct('<iiII')
NULL = 0xffffffff


def frame(value, partition=-1, key=None, time_offset_ms=0):
    """One message; value None is a tombstone."""
    return b''.join((HEADER.pack(partition, time_offset_ms, NULL if key is None else len(key), NULL if value is None else len(value)),
                     key or b'', value or b''))


def rich_frame(topic, value, key=None, time_ms=0, headers=()):
    """One message for `produce --rich`. headers: (name, value) pairs of bytes."""
    packed = b''.join(struct.pack('<HH', len(n), len(v)) + n + v for n, v in headers)
    topic = topic.encode()
    return b''.join((HEADER.pack(-1, 0, NULL if key is None else len(key), NULL if value is None else len(value)),
                     struct.pack('<qII', time_ms, len(topic), len(packed)), topic, packed, key or b'', value or b''))


def write(path, messages):
    """messages: iterable of (partition, key, value)."""
    with open(path, 'wb') as f:
        for partition, key, value in messages:
            f.write(frame(value, partition, key))
    return path
