#!/usr/bin/env python3
"""Makes the tables that unit tests of src/base/decimal.h and storage/encoding compare with, out of vmwrite.py, whose results
were compared with those of stock servers.

    make_tables.py ROOT     rewrites the tables in the source tree ROOT; the same ones each time
"""
import math
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmread import CONST, D, D2, DELTA_CONST, ZSTD_D, ZSTD_D2, to_float, unzstd  # noqa: E402
from vmwrite import encode_ints, from_float, is_special, max_up, to_decimals, trunc_div  # noqa: E402


def bits(f):
    return struct.unpack('>Q', struct.pack('>d', f))[0]


def random_double(rng):
    kind = rng.randrange(9)
    if kind == 0:
        return struct.unpack('>d', struct.pack('>Q', rng.getrandbits(64)))[0]
    if kind == 1:
        return float(rng.randrange(-10**6, 10**6)) / 10 ** rng.randrange(7)
    if kind == 2:
        return float(rng.randrange(-2**63, 2**63))
    if kind == 3:
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30)
    if kind == 4:
        return float(rng.randrange(1, 1000)) * 10.0 ** rng.randrange(0, 40)
    if kind == 5:
        return math.ldexp(rng.choice([1, -1]), rng.randrange(-1074, 1024))
    if kind == 6:
        return float(2 ** rng.randrange(50, 66) + rng.randrange(-3, 4))
    if kind == 7:
        return round(rng.uniform(-1000, 1000), rng.randrange(10))
    return rng.uniform(0, 1)


def decimal_table(f):
    """BITS MANTISSA EXPONENT READS-AS-BITS"""
    rng = random.Random(1)
    for _ in range(3000):
        x = random_double(rng)
        if math.isnan(x):
            continue
        m, e = from_float(x)
        f.write('%x %d %d %x\n' % (bits(x), m, e, bits(to_float(m, e))))


def random_ints(rng):
    n = rng.choice([1, 2, 3, 4, 5, 8, 20, 63, 64, 65, 90, 150])
    kind = rng.randrange(9)
    if kind == 0:
        return [rng.randrange(-2**63, 2**63)] * n
    if kind == 1:
        step = rng.choice([0, 1, -1, 15000, 2**62])
        first = rng.randrange(-1000, 1000)
        return [(first + k * step + 2**63) % 2**64 - 2**63 for k in range(n)]
    if kind == 2:
        return [rng.randrange(-100, 100) for _ in range(n)]
    if kind == 3:
        v, out = rng.randrange(1000), []
        for _ in range(n):
            v = rng.randrange(5) if rng.random() < rng.choice([0.0, 0.02, 0.2]) else v + rng.randrange(100)
            out.append(v)
        return out
    if kind == 4:
        t = 1791763200000
        return [t + 15000 * k + rng.randrange(5) for k in range(n)]
    if kind == 5:
        return [rng.choice([0, 1, 2**63 - 2, 2**63 - 1, -2**63]) for _ in range(n)]
    if kind == 6:
        return [10 ** rng.randrange(19) for _ in range(n)]
    if kind == 7:
        return [rng.randrange(3) for _ in range(n)]
    return [rng.randrange(-2**63, 2**63) for _ in range(min(n, 20))]


def int_array_table(f):
    """TYPE FIRST DATA|- N ITEM...; DATA of the zstd types is what was compressed, as the frame depends on zstd's version"""
    rng = random.Random(2)
    for _ in range(260):
        a = random_ints(rng)
        mt, first, data = encode_ints(a)
        if mt in (ZSTD_D, ZSTD_D2):
            data = unzstd(data)
        assert mt in (CONST, D, D2, DELTA_CONST, ZSTD_D, ZSTD_D2)
        f.write('%d %d %s %d %s\n' % (mt, first, data.hex() or '-', len(a), ' '.join(map(str, a))))


def random_block(rng):
    n = rng.choice([1, 2, 3, 5, 9])
    kind = rng.randrange(6)
    if kind == 0:
        return [rng.choice([0.0, 1.0]) for _ in range(n)]
    if kind == 1:
        return [rng.uniform(1, 10) * 10.0 ** rng.randrange(-25, 25) for _ in range(n)]
    if kind == 2:
        return [rng.choice([None, math.inf, -math.inf, 0.0, 1.5, 1e9, 1e300]) for _ in range(n)]
    if kind == 3:
        return [round(rng.uniform(-100, 100), rng.randrange(5)) for _ in range(n)]
    if kind == 4:
        return [0.0, rng.uniform(1, 2) * 10.0 ** rng.randrange(-300, 300)]
    return [float(rng.randrange(-2**62, 2**62)) / rng.choice([1, 1, 8]) for _ in range(n)]


def scale_table(f):
    """SCALE N, then for each value MANTISSA EXPONENT SCALED"""
    rng = random.Random(3)
    for _ in range(400):
        fs = random_block(rng)
        pairs = [from_float(x) for x in fs]
        out, scale = to_decimals(fs)
        if all(is_special(m) for m, _ in pairs):
            scale = 400
        f.write('%d %d %s\n' % (scale, len(fs), ' '.join('%d %d %d' % (m, e, o) for (m, e), o in zip(pairs, out))))


def calibrate(a, a_scale, b, b_scale):
    """Format 10.5."""
    if a_scale == b_scale:
        return a, b, a_scale
    if a_scale < b_scale:
        b, a, scale = calibrate(b, b_scale, a, a_scale)
        return a, b, scale
    up = a_scale - b_scale
    down = max([0] + [up - max_up(v) for v in a])
    return ([v if is_special(v) else v * 10 ** (up - down) for v in a],
            [v if is_special(v) else trunc_div(v, 10 ** down) for v in b], b_scale + down)


def calibrate_table(f):
    """RESULT A-SCALE B-SCALE N, then N lines' worth of A B A-RESULT B-RESULT"""
    rng = random.Random(4)
    for _ in range(300):
        n = rng.choice([1, 2, 4])
        sides = []
        for _ in range(2):
            kind = rng.randrange(4)
            sides.append([rng.choice([2**63 - 1, 2**63 - 2, -2**63]) if kind == 0 else 0 if kind == 1 else
                          rng.randrange(-10 ** rng.randrange(1, 19), 10 ** rng.randrange(1, 19)) for _ in range(n)])
        a_scale, b_scale = rng.randrange(-20, 20), rng.randrange(-20, 20)
        if all(map(is_special, sides[0])):
            a_scale = 400
        a, b, scale = calibrate(sides[0], a_scale, sides[1], b_scale)
        rows = zip(sides[0], sides[1], a, b)
        f.write('%d %d %d %d %s\n' % (scale, a_scale, b_scale, n, ' '.join('%d %d %d %d' % r for r in rows)))


def main():
    root = sys.argv[1]
    for path, make in (('tests/unit/base/decimal_table.txt', decimal_table),
                       ('tests/unit/storage/encoding/int_array_table.txt', int_array_table),
                       ('tests/unit/storage/encoding/scale_table.txt', scale_table),
                       ('tests/unit/storage/encoding/calibrate_table.txt', calibrate_table)):
        with open(os.path.join(root, path), 'w') as f:
            make(f)


if __name__ == '__main__':
    main()
