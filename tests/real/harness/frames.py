"""The file format of produce.c and of the benchmark's load generator: messages with their partition."""
import struct

HEADER = struct.Struct('<iiII')
NULL = 0xffffffff


def frame(value, partition=-1, key=None, time_offset_ms=0):
    """One message; value None is a tombstone."""
    return b''.join((HEADER.pack(partition, time_offset_ms, NULL if key is None else len(key), NULL if value is None else len(value)),
                     key or b'', value or b''))


def write(path, messages):
    """messages: iterable of (partition, key, value)."""
    with open(path, 'wb') as f:
        for partition, key, value in messages:
            f.write(frame(value, partition, key))
    return path
