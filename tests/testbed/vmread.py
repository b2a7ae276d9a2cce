#!/usr/bin/env python3
"""Independent reader of a VictoriaMetrics single-node data directory.

It shares no code with Varve and was written from the format's description
alone, so that agreement of the two means something.  It reads the file
formats of v1.79 (part names carry the header, legacy indexdb generations) and
of v1.133+ (parts.json, metadata.json, one index per monthly partition) and
prints every series with all its samples, one JSON object per line:

    {"metric": {"__name__": "...", ...}, "values": [...], "timestamps": [...]}

Stale markers print as null, infinities as "Infinity" / "-Infinity".

    vmread.py DIR               print all series
    vmread.py --index DIR       dump every index row (hex key kinds decoded)
    vmread.py --stats DIR       per part statistics, after a full verification

Needs the `zstandard` package.  The directory must not be open in a server.
"""
import argparse
import json
import math
import os
import re
import struct
import sys
from collections import defaultdict

import zstandard

MAX_ROWS = 8192                 # rows in one data block
MAX_BLOCK = 65536               # nominal size limit of blocks of all kinds
NS_NAMES = ['name->tsid', 'tag->ids', 'id->tsid', 'id->name', 'deleted', 'date->id', 'date,tag->ids', 'date,name->tsid']


class FormatError(Exception):
    pass


def check(cond, msg, *args):
    if not cond:
        raise FormatError(msg % args if args else msg)


# --------------------------------------------------------------- primitives

def u32(b, o): return struct.unpack_from('>I', b, o)[0]
def u64(b, o): return struct.unpack_from('>Q', b, o)[0]


def unzigzag(u):
    return (u >> 1) ^ -(u & 1)


def i64(b, o): return unzigzag(u64(b, o))
def i16(b, o): return unzigzag(struct.unpack_from('>H', b, o)[0])


def varuint(b, o):
    n = shift = 0
    start = o
    while True:
        check(o < len(b), 'varint runs past the end')
        c = b[o]
        o += 1
        n |= (c & 0x7f) << shift
        if c < 0x80:
            return n & (2**64 - 1), o
        shift += 7
        check(o - start < 10, 'varint longer than 10 bytes')


def varint(b, o):
    u, o = varuint(b, o)
    return unzigzag(u), o


def lenbytes(b, o):
    n, o = varuint(b, o)
    check(o + n <= len(b), 'length prefix past the end')
    return b[o:o + n], o + n


_dctx = zstandard.ZstdDecompressor()


def unzstd(b):
    return _dctx.decompressobj().decompress(b)


def wrap64(v):
    return (v + 2**63) % 2**64 - 2**63


# ------------------------------------------------- integer arrays (one block)

ZSTD_D2, DELTA_CONST, CONST, ZSTD_D, D2, D = 1, 2, 3, 4, 5, 6


def decode_ints(mt, data, first, n):
    check(n >= 1, 'no items')
    if mt == CONST:
        check(not data, 'const block with data')
        return [first] * n
    if mt == DELTA_CONST:
        d, o = varint(data, 0)
        check(o == len(data), 'tail after delta const')
        return [wrap64(first + d * k) for k in range(n)]
    if mt in (ZSTD_D2, ZSTD_D):
        data = unzstd(data)
    check(mt in (ZSTD_D2, ZSTD_D, D2, D), 'unknown marshal type %d', mt)
    deltas = []
    o = 0
    for _ in range(n - 1):
        d, o = varint(data, o)
        deltas.append(d)
    check(o == len(data), 'tail after deltas')
    out = [first]
    v = first
    if mt in (ZSTD_D, D):
        for d in deltas:
            v = wrap64(v + d)
            out.append(v)
    else:
        check(n >= 2, 'delta2 needs two items')
        d1 = 0
        for d in deltas:      # the first one is the first delta itself
            d1 = wrap64(d1 + d)
            v = wrap64(v + d1)
            out.append(v)
    return out


# ------------------------------------------------------------------- decimals

INF_POS, INF_NEG, STALE = 2**63 - 1, -2**63, 2**63 - 2
V_MAX, V_MIN = 2**63 - 3, -2**63 + 1
_POS32 = [float('1e%d' % (32 * k)) for k in range(10)]
_NEG32 = [float('1e-%d' % (32 * k)) for k in range(11)]
_TAB = [float('1e%d' % k) for k in range(32)]


def pow10(n):
    """Go's math.Pow10: two table look-ups and one rounded operation."""
    if 0 <= n <= 308:
        return _POS32[n // 32] * _TAB[n % 32]
    if -323 <= n < 0:
        return _NEG32[-n // 32] / _TAB[-n % 32]
    return math.inf if n > 0 else 0.0


def to_float(v, e):
    """Returns a float, or None for the stale marker."""
    if v == INF_POS:
        return math.inf
    if v == INF_NEG:
        return -math.inf
    if v == STALE:
        return None
    if e < 0:
        return float(v) / pow10(-e)
    if e == 0:
        return float(v)
    if v == 0:
        return 0.0
    return float(v) * pow10(e)


# ----------------------------------------------------------------------- TSID

TSID_FMT = struct.Struct('>QIIQ')   # metric group, job, instance, metric id


class Tsid(tuple):
    """(metricGroupID, jobID, instanceID, metricID): compares like the format."""
    @classmethod
    def read(cls, b, o):
        return cls(TSID_FMT.unpack_from(b, o))

    @property
    def metric_id(self):
        return self[3]


# ------------------------------------------------------------------ data part

class BlockHeader:
    SIZE = 81
    __slots__ = ('tsid', 'min_ts', 'max_ts', 'first', 'ts_off', 'val_off', 'ts_size', 'val_size', 'rows', 'scale', 'ts_mt', 'val_mt', 'bits')

    def __init__(self, b, o):
        self.tsid = Tsid.read(b, o)
        self.min_ts, self.max_ts, self.first = i64(b, o + 24), i64(b, o + 32), i64(b, o + 40)
        self.ts_off, self.val_off = u64(b, o + 48), u64(b, o + 56)
        self.ts_size, self.val_size, self.rows = u32(b, o + 64), u32(b, o + 68), u32(b, o + 72)
        self.scale = i16(b, o + 76)
        self.ts_mt, self.val_mt, self.bits = b[o + 78], b[o + 79], b[o + 80]
        check(1 <= self.rows <= 2 * MAX_ROWS, 'rows %d', self.rows)
        check(self.ts_mt <= 6 and self.val_mt <= 6, 'marshal type')
        check(1 <= self.bits <= 64, 'precision bits %d', self.bits)
        check(self.ts_size <= 2 * MAX_ROWS * 8 and self.val_size <= 2 * MAX_ROWS * 8, 'block size')


USER_TIME = re.compile(r'^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.(\d{3})$')


def user_time(s):
    m = USER_TIME.match(s)
    check(m, 'bad time %r', s)
    import calendar
    y, mo, d, h, mi, sec, ms = map(int, m.groups())
    return calendar.timegm((y, mo, d, h, mi, sec)) * 1000 + ms


class DataPart:
    def __init__(self, path):
        self.path = path
        meta = os.path.join(path, 'metadata.json')
        if os.path.exists(meta):
            m = json.load(open(meta))
            self.rows, self.blocks = m['RowsCount'], m['BlocksCount']
            self.min_ts, self.max_ts = m['MinTimestamp'], m['MaxTimestamp']
            self.style, self.dedup = 'metadata.json', m.get('MinDedupInterval', 0)
        else:
            a = os.path.basename(path).split('_')
            check(len(a) == 5, 'part name %r has no header and there is no metadata.json', path)
            self.rows, self.blocks = int(a[0]), int(a[1])
            self.min_ts, self.max_ts = user_time(a[2]), user_time(a[3])
            self.style, self.dedup = 'name', 0
        check(self.min_ts <= self.max_ts and 0 < self.blocks <= self.rows, 'part header')
        rd = lambda n: open(os.path.join(path, n), 'rb').read()
        self.ts, self.vals, self.index = rd('timestamps.bin'), rd('values.bin'), rd('index.bin')
        self.metaindex = rd('metaindex.bin')

    def headers(self):
        """All block headers in file order; verifies what the stream reader of VictoriaMetrics verifies, and more."""
        mi = unzstd(self.metaindex)
        check(len(mi) > 0 and len(mi) % 56 == 0, 'metaindex size %d', len(mi))
        ix_off = ts_off = val_off = 0
        prev_ts = None              # (offset, size) of the last stored timestamps block
        blocks = rows = 0
        prev = None
        prev_mr = None
        self.index_blocks = self.shared_ts = 0
        for k in range(0, len(mi), 56):
            tsid = Tsid.read(mi, k)
            count = u32(mi, k + 24)
            mn, mx = i64(mi, k + 28), i64(mi, k + 36)
            off, size = u64(mi, k + 44), u32(mi, k + 52)
            check(count > 0 and size <= 2 * MAX_BLOCK, 'metaindex row')
            check(prev_mr is None or prev_mr <= tsid, 'metaindex rows out of order')
            prev_mr = tsid
            check(off == ix_off, 'index block offset %d, want %d', off, ix_off)
            check(self.min_ts <= mn and mx <= self.max_ts, 'metaindex time range')
            ix_off += size
            self.index_blocks += 1
            raw = unzstd(self.index[off:off + size])
            check(len(raw) == count * BlockHeader.SIZE, 'index block holds %d bytes for %d headers', len(raw), count)
            for j in range(count):
                h = BlockHeader(raw, j * BlockHeader.SIZE)
                if j == 0:
                    check(h.tsid == tsid, 'first TSID of the index block')
                check(mn <= h.min_ts and h.max_ts <= mx, 'header outside of the metaindex time range')
                if prev is not None:
                    check(prev.tsid <= h.tsid, 'TSIDs out of order')
                    if prev.tsid.metric_id == h.tsid.metric_id:
                        check(prev.tsid == h.tsid, 'one metric id with two TSIDs')
                        check(prev.min_ts <= h.min_ts or self.dedup, 'blocks of one TSID out of order')
                prev = h
                if prev_ts and prev_ts[1] > 0 and h.ts_off == prev_ts[0]:
                    check(h.ts_size == prev_ts[1], 'shared timestamps with another size')
                    self.shared_ts += 1
                else:
                    check(h.ts_off == ts_off, 'timestamps offset %d, want %d', h.ts_off, ts_off)
                    prev_ts = (ts_off, h.ts_size)
                    ts_off += h.ts_size
                check(h.val_off == val_off, 'values offset %d, want %d', h.val_off, val_off)
                val_off += h.val_size
                blocks += 1
                rows += h.rows
                yield h
        check(ix_off == len(self.index), 'index.bin has %d bytes, metaindex covers %d', len(self.index), ix_off)
        check(ts_off == len(self.ts) and val_off == len(self.vals), 'file sizes')
        check(blocks == self.blocks and rows == self.rows, 'part counts %d/%d, want %d/%d', blocks, rows, self.blocks, self.rows)

    def block_ints(self, h):
        ts = decode_ints(h.ts_mt, self.ts[h.ts_off:h.ts_off + h.ts_size], h.min_ts, h.rows)
        vs = decode_ints(h.val_mt, self.vals[h.val_off:h.val_off + h.val_size], h.first, h.rows)
        if h.bits == 64:
            check(ts[0] == h.min_ts and ts[-1] == h.max_ts, 'block time range')
            check(all(a <= b for a, b in zip(ts, ts[1:])), 'timestamps not sorted')
        else:                      # lossy timestamps are repaired on read
            ts = fix_order(ts, h.min_ts, h.max_ts)
        return ts, vs

    def read(self, sink):
        for h in self.headers():
            ts, vs = self.block_ints(h)
            sink(h, ts, [to_float(v, h.scale) for v in vs])


def fix_order(a, lo, hi):
    a[0] = lo
    for k in range(1, len(a)):
        if a[k] < a[k - 1]:
            a[k] = a[k - 1]
    k = len(a) - 1
    if a[k] != hi:
        a[k] = hi
        k -= 1
        while k >= 0 and a[k] > hi:
            a[k] = hi
            k -= 1
    return a


# ------------------------------------------------------------- mergeset parts

class IndexPart:
    def __init__(self, path):
        self.path = path
        m = json.load(open(os.path.join(path, 'metadata.json')))
        self.items, self.blocks = m['ItemsCount'], m['BlocksCount']
        self.first, self.last = bytes.fromhex(m['FirstItem']), bytes.fromhex(m['LastItem'])
        a = os.path.basename(path).split('_')
        if len(a) == 3:
            check((int(a[0]), int(a[1])) == (self.items, self.blocks), 'part name and metadata.json differ')
        rd = lambda n: open(os.path.join(path, n), 'rb').read()
        self.f_items, self.f_lens, self.f_index, self.f_meta = rd('items.bin'), rd('lens.bin'), rd('index.bin'), rd('metaindex.bin')

    def read_blocks(self):
        """Yields the list of items of every block."""
        mi = unzstd(self.f_meta)
        o = ix_off = it_off = ln_off = 0
        items = blocks = 0
        prev = None
        last = None
        while o < len(mi):
            first, o = lenbytes(mi, o)
            count, off, size = u32(mi, o), u64(mi, o + 4), u32(mi, o + 12)
            o += 16
            check(count > 0 and size <= 4 * MAX_BLOCK, 'metaindex row')
            check(off == ix_off, 'index block offset')
            ix_off += size
            raw = unzstd(self.f_index[off:off + size])
            p = 0
            for j in range(count):
                cp, p = lenbytes(raw, p)
                fi, p = lenbytes(raw, p)
                mt, n = raw[p], u32(raw, p + 1)
                ioff, loff, isz, lsz = u64(raw, p + 5), u64(raw, p + 13), u32(raw, p + 21), u32(raw, p + 25)
                p += 29
                if j == 0:
                    check(fi == first, 'first item of the index block')
                check(mt <= 1 and n > 0, 'block header')
                check(ioff == it_off and loff == ln_off, 'block offsets')
                it_off += isz
                ln_off += lsz
                blk = self.decode_block(cp, fi, mt, n, self.f_items[ioff:ioff + isz], self.f_lens[loff:loff + lsz])
                check(all(a <= b for a, b in zip(blk, blk[1:])), 'items not sorted')
                check(prev is None or prev <= blk[0], 'blocks not sorted')
                prev = blk[-1]
                if blocks == 0:
                    check(blk[0] == self.first, 'first item of the part')
                last = blk[-1]
                items += n
                blocks += 1
                yield blk, (cp, mt, isz, lsz)
            check(p == len(raw), 'tail in the index block')
        check(ix_off == len(self.f_index) and it_off == len(self.f_items) and ln_off == len(self.f_lens), 'file sizes')
        check((items, blocks) == (self.items, self.blocks), 'part counts')
        check(last == self.last, 'last item of the part')

    @staticmethod
    def decode_block(cp, first, mt, n, data, lens):
        check(first.startswith(cp), 'first item without the common prefix')
        out = [first]
        if mt == 0:
            check(len(lens) == 8 * (n - 1), 'plain lens size')
            o = 0
            for k in range(n - 1):
                ln = u64(lens, 8 * k)
                out.append(cp + data[o:o + ln])
                o += ln
            check(o == len(data), 'tail in plain items')
            return out
        data, lens = unzstd(data), unzstd(lens)
        o = 0
        pre, ln = [0], [len(first) - len(cp)]
        for dst in (pre, ln):
            for _ in range(n - 1):
                x, o = varuint(lens, o)
                dst.append(x ^ dst[-1])
        check(o == len(lens), 'tail in lens')
        cur = first[len(cp):]
        o = 0
        for k in range(1, n):
            suf = ln[k] - pre[k]
            check(suf >= 0 and pre[k] <= len(cur) and o + suf <= len(data), 'item lengths')
            cur = cur[:pre[k]] + data[o:o + suf]
            o += suf
            out.append(cp + cur)
        check(o == len(data), 'tail in items')
        return out


# ------------------------------------------------------------------ index rows

def tag_value(b, o):
    e = b.index(b'\x01', o)
    s = b[o:e]
    if b'\x00' in s:
        out = bytearray()
        k = 0
        while k < len(s):
            if s[k] == 0:
                check(k + 1 < len(s) and s[k + 1] in b'012', 'bad escape')
                out.append(s[k + 1] - 0x30)
                k += 2
            else:
                out.append(s[k])
                k += 1
        s = bytes(out)
    return s, e + 1


def parse_name(b):
    group, o = tag_value(b, 0)
    tags = []
    while o < len(b):
        k, o = tag_value(b, o)
        v, o = tag_value(b, o)
        tags.append((k, v))
    return group, tags


class Index:
    """The content of one mergeset table, decoded."""
    def __init__(self):
        self.names, self.tsids, self.deleted = {}, {}, set()
        self.name_tsid = defaultdict(set)       # canonical name -> TSIDs (kinds 0 and 7)
        self.tag_ids = defaultdict(set)         # (date or 0, key, value) -> ids
        self.date_ids = defaultdict(set)
        self.kinds = defaultdict(int)

    def add(self, it):
        k = it[0]
        self.kinds[k] += 1
        if k == 0 or k == 7:
            o = 1
            date = 0
            if k == 7:
                date, o = u64(it, 1), 9
            check(it[-25] == 2, 'no separator before the TSID')
            self.name_tsid[(date, it[o:-25])].add(Tsid.read(it, len(it) - 24))
        elif k == 1 or k == 6:
            o = 1
            date = 0
            if k == 6:
                date, o = u64(it, 1), 9
            key, o = tag_value(it, o)
            val, o = tag_value(it, o)
            check((len(it) - o) % 8 == 0 and len(it) > o, 'tag row tail')
            ids = struct.unpack('>%dQ' % ((len(it) - o) // 8), it[o:])
            self.tag_ids[(date, key, val)].update(ids)
        elif k == 2:
            check(len(it) == 33, 'id->tsid row')
            mid, t = u64(it, 1), Tsid.read(it, 9)
            check(t.metric_id == mid, 'id->tsid row with another id')
            check(self.tsids.setdefault(mid, t) == t, 'two TSIDs for one metric id')
        elif k == 3:
            mid = u64(it, 1)
            check(self.names.setdefault(mid, it[9:]) == it[9:], 'two names for one metric id')
        elif k == 4:
            check(len(it) == 9, 'deleted row')
            self.deleted.add(u64(it, 1))
        elif k == 5:
            check(len(it) == 17, 'date->id row')
            self.date_ids[u64(it, 1)].add(u64(it, 9))
        else:
            raise FormatError('index row kind %d' % k)


def list_dirs(p):
    return sorted(n for n in os.listdir(p) if os.path.isdir(os.path.join(p, n)))


def index_parts(table):
    pj = os.path.join(table, 'parts.json')
    if os.path.exists(pj):
        names = json.load(open(pj))
    else:
        names = [n for n in list_dirs(table) if n not in ('tmp', 'txn', 'snapshots', 'cache')]
    return [os.path.join(table, n) for n in names]


def data_parts(root, month):
    small, big = (os.path.join(root, 'data', s, month) for s in ('small', 'big'))
    pj = os.path.join(small, 'parts.json')
    if os.path.exists(pj):
        m = json.load(open(pj))
        return [os.path.join(small, n) for n in m['Small'] or []] + [os.path.join(big, n) for n in m['Big'] or []]
    out = []
    for d in (small, big):
        if os.path.isdir(d):
            out += [os.path.join(d, n) for n in list_dirs(d) if n not in ('tmp', 'txn', 'snapshots') and os.listdir(os.path.join(d, n))]
    return out


class Storage:
    def __init__(self, root):
        self.root = root
        self.tables = {}        # label -> table path
        leg = os.path.join(root, 'indexdb')
        if os.path.isdir(leg):
            gens = [n for n in list_dirs(leg) if re.match('^[0-9A-F]{16}$', n)]
            for n in gens:
                self.tables['legacy ' + n] = os.path.join(leg, n)
        pt = os.path.join(root, 'data', 'indexdb')
        if os.path.isdir(pt):
            for n in list_dirs(pt):
                if re.match(r'^\d{4}_\d\d$', n):
                    self.tables['partition ' + n] = os.path.join(pt, n)
        months = set()
        for s in ('small', 'big', 'indexdb'):
            d = os.path.join(root, 'data', s)
            if os.path.isdir(d):
                months.update(n for n in list_dirs(d) if re.match(r'^\d{4}_\d\d$', n))
        self.months = sorted(months)

    def load_index(self):
        self.index = {}
        for label, path in self.tables.items():
            ix = Index()
            for p in index_parts(path):
                for blk, _ in IndexPart(p).read_blocks():
                    for it in blk:
                        ix.add(it)
            self.index[label] = ix
        self.names, self.deleted, self.tsids = {}, set(), {}
        for label, ix in self.index.items():
            for mid, n in ix.names.items():
                check(self.names.setdefault(mid, n) == n, 'metric id %d has two names', mid)
            for mid, t in ix.tsids.items():
                check(self.tsids.setdefault(mid, t) == t, 'metric id %d has two TSIDs', mid)
            self.deleted |= ix.deleted

    def series(self):
        """canonical name -> list of (timestamp, value)"""
        out = defaultdict(list)
        orphans = set()
        for m in self.months:
            for path in data_parts(self.root, m):
                part = DataPart(path)

                def sink(h, ts, vs):
                    mid = h.tsid.metric_id
                    if mid in self.deleted:
                        return
                    name = self.names.get(mid)
                    if name is None:
                        orphans.add(mid)
                        return
                    check(self.tsids[mid] == h.tsid, 'block TSID differs from the index')
                    out[name] += zip(ts, vs)
                part.read(sink)
        for rows in out.values():
            rows.sort(key=lambda r: r[0])
        self.orphans = orphans
        return out


def labels_of(name):
    group, tags = parse_name(name)
    d = {}
    if group:
        d['__name__'] = group.decode('utf-8', 'surrogateescape')
    for k, v in tags:
        d[k.decode('utf-8', 'surrogateescape')] = v.decode('utf-8', 'surrogateescape')
    return d


def json_value(v):
    if v is None:
        return None
    if math.isinf(v):
        return 'Infinity' if v > 0 else '-Infinity'
    return v


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('dir')
    ap.add_argument('--index', action='store_true')
    ap.add_argument('--stats', action='store_true')
    a = ap.parse_args()
    st = Storage(a.dir)
    if a.index:
        for label, path in st.tables.items():
            for p in index_parts(path):
                for blk, info in IndexPart(p).read_blocks():
                    for it in blk:
                        print(label, NS_NAMES[it[0]], it.hex())
        return
    st.load_index()
    if a.stats:
        for label, path in st.tables.items():
            kinds = {NS_NAMES[k]: n for k, n in sorted(st.index[label].kinds.items())}
            print('index', label, 'parts', len(index_parts(path)), 'rows', json.dumps(kinds))
            for p in index_parts(path):
                ip = IndexPart(p)
                sizes = [(len(b), info[1], info[2], info[3]) for b, info in ip.read_blocks()]
                print('   ', os.path.basename(p), 'items', ip.items, 'blocks', ip.blocks, 'zstd blocks', sum(s[1] for s in sizes))
        for m in st.months:
            for p in data_parts(a.dir, m):
                dp = DataPart(p)
                mts = defaultdict(int)
                n = 0
                for h in dp.headers():
                    dp.block_ints(h)
                    mts['ts%d' % h.ts_mt] += 1
                    mts['val%d' % h.val_mt] += 1
                    n = max(n, h.rows)
                print('data', m, os.path.basename(p), 'rows', dp.rows, 'blocks', dp.blocks, 'index blocks', dp.index_blocks,
                      'shared timestamps', dp.shared_ts, 'max rows', n, json.dumps(mts, sort_keys=True))
        return
    for name, rows in sorted(st.series().items()):
        print(json.dumps({'metric': labels_of(name), 'values': [json_value(v) for _, v in rows], 'timestamps': [t for t, _ in rows]}))
    if st.orphans:
        print('warning: %d metric ids in data have no name in the index' % len(st.orphans), file=sys.stderr)


if __name__ == '__main__':
    main()
