"""An independent reader of an MQTT sink's spool, after the description of its bytes in sinks/mqtt/spool_segment.h."""
import os
import struct

HEADER = struct.Struct('<8sQIIII')              # magic, first LSN, seed, 0, CRC, 0
RECORD = struct.Struct('<IIQQHBBHH')            # size, CRC, LSN, arrival, packet id, flags, 0, topic length, 0


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = TABLE[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def segments(directory):
    """[(first LSN, path)] in order."""
    found = []
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        stem, dot, ending = name.partition('.')
        if ending == 'spool' and len(stem) == 16:
            found.append((int(stem, 16), os.path.join(directory, name)))
    return sorted(found)


def records(data, first_lsn):
    """[(LSN, payload, size)] of a segment's bytes up to its first record that isn't whole."""
    found = []
    if len(data) < HEADER.size:
        return found
    magic, lsn, seed, _, crc, _ = HEADER.unpack_from(data)
    if magic != b'varvesp1' or lsn != first_lsn or crc != crc32c(data[:24]):
        return found
    at = HEADER.size
    while len(data) - at >= RECORD.size:
        size, crc, number, _, _, _, _, topic, _ = RECORD.unpack_from(data, at)
        if size < RECORD.size + topic or at + size > len(data) or number != lsn:
            break
        if crc != crc32c(data[at + 8:at + size], crc32c(data[at:at + 4], seed)):
            break
        found.append((number, bytes(data[at + RECORD.size + topic:at + size]), size))
        lsn += 1
        at += size
    return found


class Spool:
    """What lies in a spool's directory. records: {LSN: payload}; torn: bytes behind the last whole record."""

    def __init__(self, directory, start=0):
        """start: the LSN from which records are wanted; segments that end before aren't read."""
        self.records, self.torn, self.id = {}, 0, None
        try:
            with open(os.path.join(directory, 'spool-id')) as f:
                self.id = f.read().strip()
        except FileNotFoundError:
            pass
        found = segments(directory)
        ends = [lsn for lsn, _ in found[1:]] + [None]
        for (first, path), end in zip(found, ends):
            if end is not None and end <= start:
                continue
            with open(path, 'rb') as f:
                data = f.read()
            whole = records(data, first)
            self.records.update((lsn, payload) for lsn, payload, _ in whole if lsn >= start and (end is None or lsn < end))
            if end is None:
                self.torn = len(data) - sum(size for _, _, size in whole) - (HEADER.size if whole else 0)


def tear(directory, chance):
    """Leaves part of a record at the end of the last segment, as a crash in the middle of a write does -> bytes added."""
    first, path = segments(directory)[-1]
    with open(path, 'rb') as f:
        data = f.read()
    whole = records(data, first)
    end = HEADER.size + sum(size for _, _, size in whole)
    payload, topic = b'x' * 200, b'torn'
    lsn, seed = first + len(whole), HEADER.unpack_from(data)[2]
    record = bytearray(RECORD.pack(RECORD.size + len(topic) + len(payload), 0, lsn, 1, 7, 1, 0, len(topic), 0) + topic + payload)
    struct.pack_into('<I', record, 4, crc32c(record[8:], crc32c(record[:4], seed)))
    part = record[:chance.randrange(1, len(record))]
    with open(path, 'r+b') as f:
        f.truncate(end)
        f.seek(end)
        f.write(part)
    return len(part)
