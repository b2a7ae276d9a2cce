#!/usr/bin/env python3
"""Writes a VictoriaMetrics single-node data directory from JSON lines, from scratch.

Checked against stock VictoriaMetrics, as is vmread.py.  Input lines look like
the output of /api/v1/export and of vmread.py:

    {"metric": {"__name__": "...", ...}, "values": [...], "timestamps": [ms, ...]}

null is the stale marker, "Infinity"/"-Infinity" are accepted.  Layouts:

    legacy     old part names plus metadata.json, one indexdb generation pair:
               opens in v1.79.5 and in v1.151.0
    partition  new part names, parts.json, one index per month: v1.133 and later;
               what Varve writes
    both       legacy parts with both kinds of index

    vmwrite.py [--layout L] [--parts-per-month N] [--index-parts N] [--now-ns NS] IN.jsonl OUTDIR

Needs the `zstandard` package.
"""
import argparse
import json
import math
import os
import struct
import sys
import time
from collections import defaultdict

import zstandard

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vmread import (CONST, D, D2, DELTA_CONST, INF_NEG, INF_POS, MAX_BLOCK, MAX_ROWS, STALE, TSID_FMT, V_MAX, V_MIN, ZSTD_D,  # noqa: E402
                    ZSTD_D2, pow10, wrap64)

DAY_MS = 86400000


# --------------------------------------------------------------- primitives

def be32(n): return struct.pack('>I', n)
def be64(n): return struct.pack('>Q', n)
def zig(v): return ((v << 1) ^ (v >> 63)) & (2**64 - 1)
def zi64(v): return be64(zig(v))
def zi16(v): return struct.pack('>H', ((v << 1) ^ (v >> 15)) & 0xffff)


def varuint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(v): return varuint(zig(v))
def lenbytes(b): return varuint(len(b)) + b


_cctx = {}


def zstd(b, level):
    if level not in _cctx:
        _cctx[level] = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
    return _cctx[level].compress(b)


# XXH64 with seed 0
_P1, _P2, _P3, _P4, _P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
_M = 2**64 - 1


def xxh64(b):
    rotl = lambda x, r: ((x << r) | (x >> (64 - r))) & _M
    rnd = lambda a, x: rotl((a + x * _P2) & _M, 31) * _P1 & _M
    o, n = 0, len(b)
    if n >= 32:
        v = [(_P1 + _P2) & _M, _P2, 0, -_P1 & _M]
        while o + 32 <= n:
            for k in range(4):
                v[k] = rnd(v[k], struct.unpack_from('<Q', b, o)[0])
                o += 8
        h = (rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18)) & _M
        for x in v:
            h = ((h ^ rnd(0, x)) * _P1 + _P4) & _M
    else:
        h = _P5
    h = (h + n) & _M
    while o + 8 <= n:
        h = (rotl(h ^ rnd(0, struct.unpack_from('<Q', b, o)[0]), 27) * _P1 + _P4) & _M
        o += 8
    if o + 4 <= n:
        h = (rotl(h ^ struct.unpack_from('<I', b, o)[0] * _P1 & _M, 23) * _P2 + _P3) & _M
        o += 4
    for c in b[o:]:
        h = rotl(h ^ c * _P5 & _M, 11) * _P1 & _M
    h ^= h >> 33
    h = h * _P2 & _M
    h ^= h >> 29
    h = h * _P3 & _M
    return h ^ h >> 32


# ----------------------------------------------------------- float -> decimal

LOG10_2 = 0.30102999566398119521373889472449302676818988146210854131


def from_float(f):
    """(mantissa, exponent) of one float; None is the stale marker."""
    if f is None:
        return STALE, 0
    if f == 0:
        return 0, 0
    if math.isinf(f):
        return (INF_POS if f > 0 else INF_NEG), 0
    if f > 0:
        v, e = positive_to_decimal(f)
        return min(v, V_MAX), e
    v, e = positive_to_decimal(-f)
    return max(-v, V_MIN), e


def positive_to_decimal(f):
    if f < 2.0**64 and f == math.floor(f):
        u = int(f)
        if u < 1 << 55 and u % 10:
            return u, 0
        e = 0
        while u >= 1 << 55:             # digits past 2^55 are noise of the float
            u //= 10
            e += 1
        while u and u % 10 == 0:
            u //= 10
            e += 1
        return u, e
    e = 0
    prec = 1e12
    if f > 1e6 or f < 1e-6:
        if f > 1e6:
            prec = 1e15
        _, x = math.frexp(f)
        x = min(max(x, -1022), 1023)
        e = int(x * LOG10_2)            # truncates toward zero
        f *= pow10(-e)
    while f < prec:
        frac, whole = math.modf(f)
        if frac * prec < whole:
            f = whole
            break
        if (1 - frac) * prec < whole:
            f = whole + 1
            break
        f *= 100
        e -= 2
    u = int(f)
    if u % 10:
        return u, e
    return u // 10, e + 1


def is_special(v): return v > V_MAX or v < V_MIN


def max_up(v):
    """How many times v may be multiplied by ten."""
    if v == 0 or is_special(v):
        return 1024
    v = abs(v)
    if v >= 2**63:
        return 0
    for k in range(18, 0, -1):
        if v <= (2**63 - 1) // 10**k:
            return k
    return 0


def trunc_div(a, b):
    q = abs(a) // b
    return q if a >= 0 else -q


def to_decimals(fs):
    """Floats of one block to (list of int64 mantissas, common exponent)."""
    if all(f is not None and f == 0 and math.copysign(1, f) > 0 for f in fs):
        return [0] * len(fs), 0
    if all(f == 1 for f in fs):
        return [1] * len(fs), 0
    ve = [from_float(f) for f in fs]
    if all(is_special(v) for v, _ in ve):
        return [v for v, _ in ve], -1024      # what int16 wrap-around yields in VictoriaMetrics; any scale reads the same
    scale = min(e for v, e in ve if not is_special(v))
    scale += max(0, max(e - scale - max_up(v) for v, e in ve))
    out = []
    for v, e in ve:
        if not is_special(v):
            if e > scale:
                v *= 10 ** (e - scale)
            elif e < scale:
                v = trunc_div(v, 10 ** (scale - e))
        out.append(v)
    return out, scale


# ------------------------------------------------------------ integer arrays

def is_gauge(a):
    resets = 0
    prev = a[0]
    if prev < 0:
        return True
    for v in a[1:]:
        if v < prev:
            if v < 0 or v > prev >> 3:
                return True
            resets += 1
        prev = v
    return resets > 2 and resets > len(a) >> 3


def array_level(n):
    for lim, lev in ((64, 1), (256, 2), (1024, 3), (4096, 4)):
        if n <= lim:
            return lev
    return 5


def encode_ints(a):
    """-> (marshal type, first value, data), for 64 precision bits (lossless)"""
    if all(v == a[0] for v in a):
        return CONST, a[0], b''
    d = [wrap64(y - x) for x, y in zip(a, a[1:])]
    if all(x == d[0] for x in d):
        return DELTA_CONST, a[0], varint(d[0])
    if is_gauge(a):
        mt, plain = ZSTD_D, D
    else:
        mt, plain = ZSTD_D2, D2
        d = d[:1] + [wrap64(y - x) for x, y in zip(d, d[1:])]
    raw = b''.join(map(varint, d))
    if len(raw) >= 128:
        z = zstd(raw, array_level(len(a)))
        if len(z) <= 0.9 * len(raw):
            return mt, a[0], z
    return plain, a[0], raw


# ------------------------------------------------------------------ data part

def rows_level(rows, blocks):
    for lim, lev in ((10, -5), (50, -2), (200, -1), (500, 1), (1000, 2)):
        if rows / blocks <= lim:
            return lev
    return 3


def user_time(ms):
    t = time.gmtime(ms // 1000)
    return '%04d%02d%02d%02d%02d%02d.%03d' % (t[:6] + (ms % 1000,))


def write_file(path, data):
    with open(path, 'wb') as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def sync_dir(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def write_data_part(parent, series, suffix, old_name):
    """series: sorted list of (tsid tuple, [(timestamp, float or None)] sorted). Returns the part's name."""
    blocks = []
    for tsid, rows in series:
        for k in range(0, len(rows), MAX_ROWS):
            blocks.append((tsid, rows[k:k + MAX_ROWS]))
    total = sum(len(r) for _, r in blocks)
    level = rows_level(total, len(blocks))
    ts_f, val_f, ix_f, meta = bytearray(), bytearray(), bytearray(), bytearray()
    cur, cur_first, cur_n, cur_min, cur_max = bytearray(), None, 0, 0, 0
    prev_ts, prev_off = b'', 0
    lo, hi = 2**63, -2**63

    def flush():
        nonlocal cur, cur_first, cur_n
        if not cur:
            return
        z = zstd(bytes(cur), level)
        meta.extend(TSID_FMT.pack(*cur_first) + be32(cur_n) + zi64(cur_min) + zi64(cur_max) + be64(len(ix_f)) + be32(len(z)))
        ix_f.extend(z)
        cur, cur_first, cur_n = bytearray(), None, 0

    for tsid, rows in blocks:
        ts = [t for t, _ in rows]
        vs, scale = to_decimals([v for _, v in rows])
        vmt, vfirst, vdata = encode_ints(vs)
        tmt, tfirst, tdata = encode_ints(ts)
        if tdata and tdata == prev_ts:
            off = prev_off
        else:
            off = len(ts_f)
            prev_ts, prev_off = tdata, off
            ts_f += tdata
        hdr = (TSID_FMT.pack(*tsid) + zi64(ts[0]) + zi64(ts[-1]) + zi64(vfirst) + be64(off) + be64(len(val_f)) +
               be32(len(tdata)) + be32(len(vdata)) + be32(len(rows)) + zi16(scale) + bytes([tmt, vmt, 64]))
        val_f += vdata
        if len(cur) + len(hdr) > MAX_BLOCK:
            flush()
        if not cur:
            cur_first, cur_min, cur_max = tsid, ts[0], ts[-1]
        cur_min, cur_max = min(cur_min, ts[0]), max(cur_max, ts[-1])
        cur += hdr
        cur_n += 1
        lo, hi = min(lo, ts[0]), max(hi, ts[-1])
    flush()
    name = '%016X' % suffix
    if old_name:
        name = '%d_%d_%s_%s_%s' % (total, len(blocks), user_time(lo), user_time(hi), name)
    d = os.path.join(parent, name)
    os.makedirs(d)
    write_file(os.path.join(d, 'timestamps.bin'), ts_f)
    write_file(os.path.join(d, 'values.bin'), val_f)
    write_file(os.path.join(d, 'index.bin'), ix_f)
    write_file(os.path.join(d, 'metaindex.bin'), zstd(bytes(meta), level))
    write_file(os.path.join(d, 'metadata.json'), json.dumps(
        {'RowsCount': total, 'BlocksCount': len(blocks), 'MinTimestamp': lo, 'MaxTimestamp': hi, 'MinDedupInterval': 0}, separators=(',', ':')).encode())
    sync_dir(d)
    return name


# ------------------------------------------------------------- mergeset part

def common_prefix(a, b):
    n = min(len(a), len(b))
    for k in range(n):
        if a[k] != b[k]:
            return k
    return n


def items_level(n):
    for lim, lev in ((1 << 16, -5), (1 << 17, -4), (1 << 18, -3), (1 << 19, -2), (1 << 20, -1), (1 << 22, 1), (1 << 25, 2)):
        if n <= lim:
            return lev
    return 3


def encode_item_block(items, level):
    """-> (common prefix, marshal type, items data, lens data)"""
    cp = items[0][:common_prefix(items[0], items[-1])] if len(items) > 1 else b''
    c = len(cp)
    size = sum(len(i) - c for i in items)
    plain = lambda: (cp, 0, b''.join(i[c:] for i in items[1:]), b''.join(be64(len(i) - c) for i in items[1:]))
    if size < 64 or len(items) < 2:
        return plain()
    pre, lens, data = [], [], []
    prev_pre, prev_len, prev = 0, len(items[0]) - c, items[0][c:]
    for it in items[1:]:
        it = it[c:]
        p = common_prefix(prev, it)
        data.append(it[p:])
        pre.append(varuint(p ^ prev_pre))
        lens.append(varuint(len(it) ^ prev_len))
        prev_pre, prev_len, prev = p, len(it), it
    z = zstd(b''.join(data), level)
    if len(z) > 0.9 * size:
        return plain()
    return cp, 1, z, zstd(b''.join(pre) + b''.join(lens), level)


def write_index_part(parent, items, suffix, old_name):
    items = sorted(items)
    level = items_level(len(items))
    groups, cur, size = [], [], 0
    for it in items:
        assert len(it) <= MAX_BLOCK
        if size + len(it) > MAX_BLOCK:
            groups.append(cur)
            cur, size = [], 0
        cur.append(it)
        size += len(it)
    groups.append(cur)
    it_f, ln_f, ix_f, meta = bytearray(), bytearray(), bytearray(), bytearray()
    ix, ix_first, ix_n = bytearray(), None, 0

    def flush():
        nonlocal ix, ix_n
        if ix_n:
            z = zstd(bytes(ix), level)
            meta.extend(lenbytes(ix_first) + be32(ix_n) + be64(len(ix_f)) + be32(len(z)))
            ix_f.extend(z)
            ix, ix_n = bytearray(), 0

    for g in groups:
        cp, mt, data, lens = encode_item_block(g, level)
        h = lenbytes(cp) + lenbytes(g[0]) + bytes([mt]) + be32(len(g)) + be64(len(it_f)) + be64(len(ln_f)) + be32(len(data)) + be32(len(lens))
        it_f += data
        ln_f += lens
        if len(ix) + len(h) > MAX_BLOCK:
            flush()
        if ix_n == 0:
            ix_first = g[0]
        ix += h
        ix_n += 1
    flush()
    name = '%016X' % suffix
    if old_name:
        name = '%d_%d_%s' % (len(items), len(groups), name)
    d = os.path.join(parent, name)
    os.makedirs(d)
    for n, b in (('items.bin', it_f), ('lens.bin', ln_f), ('index.bin', ix_f), ('metaindex.bin', zstd(bytes(meta), level))):
        write_file(os.path.join(d, n), b)
    write_file(os.path.join(d, 'metadata.json'), json.dumps(
        {'ItemsCount': len(items), 'BlocksCount': len(groups), 'FirstItem': items[0].hex(), 'LastItem': items[-1].hex()}, separators=(',', ':')).encode())
    sync_dir(d)
    return name


# ----------------------------------------------------------------- index rows

def esc(b):
    """One escaped string with its separator."""
    if b'\x00' in b or b'\x01' in b or b'\x02' in b:
        b = b.replace(b'\x00', b'\x000').replace(b'\x01', b'\x001').replace(b'\x02', b'\x002')
    return b + b'\x01'


_RANK = {}
for _n, _r in (('namespace', 0), ('ns', 1), ('datacenter', 8), ('dc', 9), ('environment', 12), ('env', 13), ('cluster', 16), ('service', 24), ('job', 32),
               ('model', 40), ('type', 48), ('sensor_type', 56), ('SensorType', 56), ('db', 64)):
    _RANK[_n] = _RANK[_n[0].upper() + _n[1:]] = bytes([0, 0, _r])
for _n, _r in (('instance', 0), ('host', 8), ('server', 16), ('pod', 24), ('node', 32), ('device', 40), ('tenant', 48), ('client', 56), ('name', 64),
               ('measurement', 72)):
    _RANK[_n] = _RANK[_n[0].upper() + _n[1:]] = bytes([0, 1, _r])


def canonical(labels):
    """labels: list of (name, value) strings in the order of arrival -> (group, sorted tags) as bytes"""
    group, tags = b'', []
    for k, v in labels:
        k, v = k.encode('utf-8', 'surrogateescape'), v.encode('utf-8', 'surrogateescape')
        if not v:
            continue                    # an empty label value is the same as no label
        if k == b'__name__':
            group = v
        else:
            tags.append((k, v))
    tags.sort(key=lambda t: _RANK.get(t[0].decode('utf-8', 'surrogateescape'), t[0]))
    out = []
    for t in tags:                      # the last one of equal neighbours wins
        if out and out[-1][0] == t[0]:
            out[-1] = t
        else:
            out.append(t)
    return group, out


def marshal_name(group, tags):
    return esc(group) + b''.join(esc(k) + esc(v) for k, v in tags)


def tag_rows(prefix, group, tags):
    """Prefixes of the tag -> metric ids rows of one series."""
    yield prefix + esc(b'') + esc(group)
    if b'.' in group:
        yield prefix + esc(b'\xff') + esc(group[::-1])
    for k, v in tags:
        yield prefix + esc(k) + esc(v)
    for k, v in tags:
        yield prefix + esc(b'\xfe' + lenbytes(group) + k) + esc(v)


class IndexBuilder:
    def __init__(self, global_names):
        self.global_names = global_names    # write kind 0 rows
        self.items, self.ids = set(), defaultdict(set)

    def add_global(self, tsid, group, tags):
        name, mid, t = marshal_name(group, tags), be64(tsid[3]), TSID_FMT.pack(*tsid)
        if self.global_names:
            self.items.add(b'\x00' + name + b'\x02' + t)
        self.items.add(b'\x03' + mid + name)
        self.items.add(b'\x02' + mid + t)
        for p in tag_rows(b'\x01', group, tags):
            self.ids[p].add(tsid[3])

    def add_day(self, date, tsid, group, tags):
        name, mid, t, d = marshal_name(group, tags), be64(tsid[3]), TSID_FMT.pack(*tsid), be64(date)
        self.items.add(b'\x05' + d + mid)
        self.items.add(b'\x07' + d + name + b'\x02' + t)
        for p in tag_rows(b'\x06' + d, group, tags):
            self.ids[p].add(tsid[3])

    def rows(self):
        out = list(self.items)
        for p, ids in self.ids.items():
            ids = sorted(ids)
            for k in range(0, len(ids), 64):
                out.append(p + b''.join(map(be64, ids[k:k + 64])))
        return out


# ----------------------------------------------------------------------- main

def month_of(ms):
    t = time.gmtime(ms // 1000)
    return '%04d_%02d' % t[:2]


def value(v):
    if v is None:
        return None
    if isinstance(v, str):
        return {'Infinity': math.inf, '-Infinity': -math.inf}[v]
    return float(v)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('input')
    ap.add_argument('out')
    ap.add_argument('--layout', choices=('legacy', 'partition', 'both'), default='legacy')
    ap.add_argument('--parts-per-month', type=int, default=1)
    ap.add_argument('--index-parts', type=int, default=1, help='spread the index rows over this many parts per table')
    ap.add_argument('--parts-json', action='store_true', help='legacy: write parts.json too (see the spec for the danger)')
    ap.add_argument('--now-ns', type=int, default=time.time_ns())
    a = ap.parse_args()
    legacy, per_month = a.layout in ('legacy', 'both'), a.layout in ('partition', 'both')
    uniq = a.now_ns

    series = {}                     # canonical name -> [group, tags, rows]
    for line in open(a.input, encoding='utf-8', errors='surrogateescape', newline='\n'):
        if line.strip():
            o = json.loads(line)
            g, tags = canonical(list(o['metric'].items()))
            s = series.setdefault(marshal_name(g, tags), (g, tags, []))
            s[2].extend(zip(o['timestamps'], map(value, o['values'])))
    all_series = []
    for name in sorted(series):
        g, tags, rows = series[name]
        uniq += 1
        h = lambda k: xxh64(tags[k][1]) & 0xffffffff if len(tags) > k else 0
        rows.sort(key=lambda r: r[0])
        all_series.append(((xxh64(g), h(0), h(1), uniq), g, tags, rows))
    all_series.sort(key=lambda s: s[0])

    for d in ('data/small/snapshots', 'data/big/snapshots', 'metadata', 'snapshots'):
        os.makedirs(os.path.join(a.out, d))
    write_file(os.path.join(a.out, 'metadata', 'minTimestampForCompositeIndex'), zi64(0))

    months = sorted({month_of(t) for s in all_series for t, _ in s[3]})
    for m in months:
        small = os.path.join(a.out, 'data', 'small', m)
        os.makedirs(small)
        os.makedirs(os.path.join(a.out, 'data', 'big', m))
        chunks = [[] for _ in range(a.parts_per_month)]
        for tsid, _, _, rows in all_series:
            rows = [r for r in rows if month_of(r[0]) == m]
            for k, c in enumerate(chunks):
                part = rows[k::a.parts_per_month]
                if part:
                    c.append((tsid, part))
        names = []
        for c in chunks:
            if c:
                uniq += 1
                names.append(write_data_part(small, c, uniq, legacy))
        if not legacy or a.parts_json:
            write_file(os.path.join(small, 'parts.json'), json.dumps({'Small': sorted(names), 'Big': []}, separators=(',', ':')).encode())
        sync_dir(small)

    def write_index(table, rows, old_name):
        nonlocal uniq
        rows.sort()
        names = []
        for k in range(a.index_parts):
            if rows[k::a.index_parts]:
                uniq += 1
                names.append(write_index_part(table, rows[k::a.index_parts], uniq, old_name))
        if not old_name or a.parts_json:
            write_file(os.path.join(table, 'parts.json'), json.dumps(sorted(names)).encode())
        sync_dir(table)

    if per_month:
        for m in months:
            ib = IndexBuilder(False)
            for tsid, g, tags, rows in all_series:
                dates = {t // DAY_MS for t, _ in rows if month_of(t) == m}
                if dates:
                    ib.add_global(tsid, g, tags)
                    for d in dates:
                        ib.add_day(d, tsid, g, tags)
            table = os.path.join(a.out, 'data', 'indexdb', m)
            os.makedirs(table)
            write_index(table, ib.rows(), False)
    if legacy:
        ib = IndexBuilder(True)
        for tsid, g, tags, rows in all_series:
            ib.add_global(tsid, g, tags)
            for d in {t // DAY_MS for t, _ in rows}:
                ib.add_day(d, tsid, g, tags)
        uniq += 1
        prev, curr = '%016X' % uniq, '%016X' % (uniq + 1)       # two generations: an empty previous one, the current one
        uniq += 2
        for gen in (prev, curr):
            table = os.path.join(a.out, 'indexdb', gen)
            os.makedirs(table)
            write_file(os.path.join(table, 'converted-to-v1.28.0'), b'ok')
        write_index(table, ib.rows(), True)
        os.makedirs(os.path.join(a.out, 'indexdb', 'snapshots'))
    sync_dir(a.out)


if __name__ == '__main__':
    main()
