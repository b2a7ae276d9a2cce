"""The reject log of a store, read as sinks/reject_segment.h describes its files."""
import collections
import os
import struct

from .compression import crc32c

FILE_HEADER = struct.Struct('<8sQQII')
ENTRY_HEADER = struct.Struct('<IIQqQIHHHH')
Entry = collections.namedtuple('Entry', 'sequence time_ms sink position reason payload full_size record_time_ms key', defaults=(0, b''))


def read(directory):
    """All entries, oldest first. Raises on whatever isn't whole."""
    entries = []
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), 'rb') as f:
            data = f.read()
        mark, start, sequence, zero, crc = FILE_HEADER.unpack_from(data)
        if mark != b'VARVERJ1' or zero or crc != crc32c(data[:28]) or name != '%016x.rejects' % start:
            raise ValueError('%s: not the header of a segment of the reject log' % name)
        at = FILE_HEADER.size
        while at < len(data):
            crc, size, number, time_ms, full_size, kept, *lengths, around = ENTRY_HEADER.unpack_from(data, at)
            whole = data[at:at + size]
            if len(whole) != size or crc32c(whole[4:]) != crc or number != sequence:
                raise ValueError('%s: a damaged entry at %d' % (name, at))
            texts, p = [], ENTRY_HEADER.size
            for length in (*lengths, around, kept):
                texts.append(whole[p:p + length])
                p += length
            sink, position, reason, surroundings, payload = texts
            record_time = struct.unpack('<q', surroundings[:8])[0] if around else 0
            entries.append(Entry(number, time_ms, sink.decode(), position.decode(), reason.decode(), payload, full_size, record_time, surroundings[8:]))
            sequence += 1
            at += size
    return entries
