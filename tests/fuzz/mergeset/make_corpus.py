#!/usr/bin/env python3
"""Writes the seed corpora beside this file. Run it again when a target's input changes."""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def save(corpus, name, data):
    folder = os.path.join(HERE, 'corpus_' + corpus)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as f:
        f.write(data)


def uv(n):
    out = b''
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def u16(n): return struct.pack('>H', n)
def u64(n): return struct.pack('>Q', n)


ID, TSID, DATE = u64(0x18eae66e747ab5c9), bytes(range(16)) + u64(0x18eae66e747ab5c9), u64(20738)
NAME = b'm\x01job\x01x\x01instance\x01y\x01'
TAGS = [b'\x01m\x01', b'job\x01x\x01', b'instance\x01y\x01', b'\xfe\x001mjob\x01x\x01', b'\xfe\x001minstance\x01y\x01']
ROWS = sorted([b'\x01' + t + ID for t in TAGS] + [b'\x06' + DATE + t + ID for t in TAGS] +
              [b'\x02' + ID + TSID, b'\x03' + ID + NAME, b'\x04' + ID, b'\x05' + DATE + ID, b'\x07' + DATE + NAME + b'\x02' + TSID])


def plain_block(items):
    """-> items data, lens data without a common prefix"""
    return b''.join(items[1:]), b''.join(u64(len(i)) for i in items[1:])


def zstd_block(items):
    """-> the same before compression"""
    suffixes = prefixes = lens = b''
    shared_before, before = 0, items[0]
    for item in items[1:]:
        shared = len(os.path.commonprefix([before, item]))
        suffixes += item[shared:]
        prefixes += uv(shared ^ shared_before)
        lens += uv(len(item) ^ len(before))
        shared_before, before = shared, item
    return suffixes, prefixes + lens


def block_seed(flags, items, data, lens):
    return bytes([flags, 0]) + u16(len(items[0])) + u16(len(items)) + u16(len(data)) + items[0] + data + lens


save('item_block', 'plain', block_seed(0, ROWS, *plain_block(ROWS)))
save('item_block', 'zstd', block_seed(3, ROWS, *zstd_block(ROWS)))
save('item_block', 'single', block_seed(0, [b'item'], b'', b''))
save('item_block', 'equal', block_seed(3, [b'a'] * 5, *zstd_block([b'a'] * 5)))


def header(items, data, lens, items_offset, lens_offset):
    return (uv(0) + uv(len(items[0])) + items[0] + b'\x00' + struct.pack('>IQQII', len(items), items_offset, lens_offset, len(data), len(lens)))


def part_seed(flags, metadata, metaindex, blocks):
    index = items = lens = b''
    for block in blocks:
        d, n = plain_block(block)
        index += header(block, d, n, len(items), len(lens))
        items += d
        lens += n
    return bytes([flags]) + b''.join(u16(len(s)) for s in (metadata, metaindex, index, items)) + metadata + metaindex + index + items + lens


METADATA = b'{"ItemsCount":%d,"BlocksCount":2,"FirstItem":"%s","LastItem":"%s"}' % (len(ROWS), ROWS[0].hex().encode(), ROWS[-1].hex().encode())
METAINDEX = uv(len(ROWS[0])) + ROWS[0] + struct.pack('>IQI', 2, 0, 200)
save('item_part', 'two_blocks', part_seed(1, METADATA, b'', [ROWS[:6], ROWS[6:]]))
save('item_part', 'no_metadata', part_seed(1, b'', b'', [ROWS[:6], ROWS[6:7], ROWS[7:]]))
save('item_part', 'metaindex', part_seed(0, METADATA, METAINDEX, [ROWS[:6], ROWS[6:]]))

save('index_row', 'series', b''.join(bytes([len(r)]) + r for r in ROWS))
MANY = [b'\x01k\x01v\x01' + u64(i) for i in range(12)] + [b'\x06' + DATE + b'k\x01v\x01' + u64(i) + u64(i + 5) for i in range(8)]
save('index_row', 'joined', b''.join(bytes([len(r)]) + r for r in MANY))
save('index_row', 'legacy', b'\x2c\x00' + NAME + b'\x02' + TSID)

save('metric_name', 'name', b'temp\x01job\x01j\x01instance\x01i:1\x01room\x01a\x001b\x01')
LABELS = [(b'__name__', b'cpu.load'), (b'Job', b'a'), (b'job', b'b'), (b'host', b'\x00\x01\x02'), (b'zone', b''), (b'zone', b'z'), (b'zone', b'y')]
save('metric_name', 'labels', b''.join(bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in LABELS))
