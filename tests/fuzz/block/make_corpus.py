#!/usr/bin/env python3
"""Makes the seed corpora of this folder's fuzz targets from parts that vmwrite.py writes.

    make_corpus.py      rewrites corpus/ beside it; the same files each time
"""
import os
import random
import shutil
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'testbed'))
from vmread import DataPart, TSID_FMT, u32, unzstd  # noqa: E402
from vmwrite import encode_ints, write_data_part  # noqa: E402

T0 = 1791763200000


def save(target, name, data):
    path = os.path.join(HERE, 'corpus', target)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), 'wb') as f:
        f.write(data)


def int_arrays(rng):
    arrays = {
        'const': [7] * 5,
        'delta_const': [k * 3 for k in range(9)],
        'gauge': [rng.randrange(-100, 100) for _ in range(20)],
        'counter': [k * k for k in range(20)],
        'zstd_gauge': [rng.randrange(3) for _ in range(600)],
        'zstd_counter': [k * 100 + rng.randrange(3) for k in range(600)],
        'noise': [rng.randrange(-2**63, 2**63) for _ in range(10)],
    }
    for name, a in arrays.items():
        mt, first, data = encode_ints(a)
        save('int_array', name, struct.pack('>BHq', mt, len(a) - 1, first) + data)


def series_of(rng, count):
    out = []
    for k in range(count):
        n = rng.choice([1, 2, 3, 30])
        jitter = rng.choice([0, 5])
        rows = [(T0 + i * 1000 + (rng.randrange(jitter) if jitter else 0), rng.choice([1.5, float(i), None, 0.0])) for i in range(n)]
        out.append(((k // 3, 0, 0, 1 + k), sorted(rows, key=lambda r: r[0])))
    return out


def parts(rng):
    for name, count in (('one', 1), ('few', 4), ('many', 12)):
        with tempfile.TemporaryDirectory() as tmp:
            p = DataPart(os.path.join(tmp, write_data_part(tmp, series_of(rng, count), 1, False)))
            list(p.headers())
            meta = unzstd(p.metaindex)
            blocks = [(meta[k:k + 56], unzstd(p.index)) for k in range(0, len(meta), 56)]
            fixed = struct.pack('>BHHBQQqq', 0, len(p.ts), len(p.vals), len(blocks), p.rows, p.blocks, p.min_ts, p.max_ts)
            counts = bytes(len(raw) // 81 for _, raw in blocks)
            save('part', name, fixed + counts + p.ts + p.vals + b''.join(row + raw for row, raw in blocks))
            save('part', name + '_as_is', b'\1' + fixed[1:] + counts + p.ts + p.vals + b''.join(row + raw for row, raw in blocks))
            save('index_block', name, b''.join(row + raw for row, raw in blocks))
            save('index_block', name + '_metaindex', meta)
            save('index_block', name + '_packed', meta[:56] + p.index)
            assert u32(meta, 24) == counts[0] and TSID_FMT.unpack_from(meta, 0)
            with open(os.path.join(p.path, 'metadata.json'), 'rb') as f:
                save('part_text', name, f.read())


def main():
    shutil.rmtree(os.path.join(HERE, 'corpus'), ignore_errors=True)
    rng = random.Random(1)
    int_arrays(rng)
    parts(rng)
    save('part_text', 'nested', b'{"x":{"a":[1,"\\"]",null]},"RowsCount":1,"BlocksCount":1,"MinTimestamp":-1,"MaxTimestamp":1}')
    save('part_text', 'sums', b'e3069283 9 a.bin\n75d10088 17 varve.sums\n')
    save('part_text', 'name', b'97024_151_20261001000000.000_20261031235700.801_18EAE5449917B854')


if __name__ == '__main__':
    main()
