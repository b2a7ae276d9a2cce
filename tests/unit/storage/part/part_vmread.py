#!/usr/bin/env python3
"""Parts that our code writes, read by vmread.py, and compared with what vmwrite.py makes of the same rows; parts of
vmwrite.py, read by our code; merges of ours against a model of format 10.4 in plain Python.

    part_vmread.py PART_TOOL [SEED]
"""
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', '..', 'testbed'))
import vmread  # noqa: E402
import vmwrite  # noqa: E402

TOOL = sys.argv[1]
STALE_BITS = 0x7ff0000000000002
T0 = 1791763200000


def run(*args, **kw):
    return subprocess.run([TOOL, *map(str, args)], check=True, stdout=subprocess.PIPE, text=True, **kw).stdout


def bits_of(v):
    return STALE_BITS if v is None else struct.unpack('>Q', struct.pack('>d', v))[0]


# ------------------------------------------------------------------ input

def values_of(rng, n):
    """One series' worth of values of some kind."""
    kind = rng.randrange(12)
    if kind == 0:
        return [float(rng.randrange(-50, 50))] * n
    if kind == 1:
        return [float(k * 7) for k in range(n)]
    if kind == 2:
        return [rng.random() for _ in range(n)]
    if kind == 3:
        v, out = 0, []
        for _ in range(n):
            v = 0 if rng.random() < 0.02 else v + rng.randrange(1000)
            out.append(float(v))
        return out
    if kind == 4:
        return [round(rng.uniform(-100, 100), rng.randrange(4)) for _ in range(n)]
    if kind == 5:
        return [rng.choice([None, math.inf, -math.inf]) for _ in range(n)]
    if kind == 6:
        return [rng.choice([None, math.inf, -math.inf, 1.5, 2.0, 0.0]) for _ in range(n)]
    if kind == 7:
        return [rng.uniform(1, 10) * 10.0 ** rng.randrange(-12, 13) for _ in range(n)]
    if kind == 8:
        return [rng.uniform(1, 10) * 10.0 ** rng.randrange(200, 210) for _ in range(n)]
    if kind == 9:
        return [float(rng.randrange(2**62)) for _ in range(n)]
    if kind == 10:
        return [0.0] * n
    return [float(rng.randrange(-2**40, 2**40)) for _ in range(n)]


def series_rows(rng, n):
    ts, t = [], T0 + rng.randrange(10) * 1000
    step = rng.choice([0, 1, 1000, 15000])
    jitter = rng.choice([0, 0, 0, 30])
    for _ in range(n):
        ts.append(t)
        t += step + (rng.randrange(jitter) if jitter else 0)
    return list(zip(ts, values_of(rng, n)))


def random_series(rng, count, longest):
    out = []
    for k in range(count):
        tsid = (rng.randrange(4), rng.randrange(3), rng.randrange(2), 1000 + k)
        n = rng.choice([1, 2, 3, 10, 100, longest])
        out.append((tsid, series_rows(rng, n)))
    return sorted(out, key=lambda s: s[0])


def feed(rng, series, part_of):
    """The lines of `part_tool write`: series interleaved as they would arrive, each in its own order."""
    lines = []
    for tsid, rows in series:
        for k, (t, v) in enumerate(rows):
            lines.append((k, '%d %d %d %d' % tsid + ' %d %x %d' % (t, bits_of(v), part_of(k, len(rows)))))
    lines.sort(key=lambda x: x[0])
    return ''.join(line + '\n' for _, line in lines)


# ------------------------------------------------------------ comparing parts

def raw(mt, data):
    return vmread.unzstd(data) if mt in (vmread.ZSTD_D, vmread.ZSTD_D2) else data


def blocks_of(path):
    """Everything of a part but what depends on the version of zstd: compressed bytes, and offsets."""
    p = vmread.DataPart(path)
    out = []
    shared = 0
    for h in p.headers():
        ts, vs = p.block_ints(h)
        out.append((tuple(h.tsid), h.min_ts, h.max_ts, h.first, h.rows, h.scale, h.ts_mt, h.val_mt, h.bits,
                    raw(h.ts_mt, p.ts[h.ts_off:h.ts_off + h.ts_size]), raw(h.val_mt, p.vals[h.val_off:h.val_off + h.val_size]),
                    tuple(ts), tuple(vs)))
        shared = p.shared_ts
    return p, out, shared


def special_only(block):
    return all(vmwrite.is_special(v) for v in block[12])


def same_blocks(got, want, what):
    assert len(got) == len(want), (what, len(got), len(want))
    for g, w in zip(got, want):
        if special_only(w):            # ours have scale 400 (format 10.5)
            assert g[5] == 400, (what, g[5])
            w = w[:5] + (400,) + w[6:]
        assert g == w, (what, g[:9], w[:9])


def ours_equals_vmwrite(rng, tmp, name, series):
    ours, theirs = os.path.join(tmp, name), os.path.join(tmp, name + '-vmwrite')
    run('write', ours, 1, input=feed(rng, series, lambda k, n: 0))
    os.makedirs(theirs)
    theirs = os.path.join(theirs, vmwrite.write_data_part(theirs, series, 1, old_name=rng.random() < 0.5))
    pg, got, shared_g = blocks_of(ours)
    pw, want, shared_w = blocks_of(theirs)
    same_blocks(got, want, name)
    assert (pg.rows, pg.blocks, pg.min_ts, pg.max_ts, pg.index_blocks) == (pw.rows, pw.blocks, pw.min_ts, pw.max_ts, pw.index_blocks)
    assert shared_g == shared_w, (shared_g, shared_w)
    with open(os.path.join(ours, 'metadata.json')) as f, open(os.path.join(theirs, 'metadata.json')) as g:
        assert f.read() == g.read()
    # and the other way round: a part of vmwrite.py through our reader
    if rng.random() < 0.3:
        os.remove(os.path.join(theirs, 'metadata.json')) if '_' in os.path.basename(theirs) else None
    assert parse_dump(run('dump', theirs)) == [(b[0][3], b[5], b[11], b[12]) for b in want]
    return ours, got


def parse_dump(text):
    out = []
    lines = iter(text.splitlines())
    for line in lines:
        mid, scale, n = map(int, line.split())
        rows = [tuple(map(int, next(lines).split())) for _ in range(n)]
        out.append((mid, scale, tuple(t for t, _ in rows), tuple(v for _, v in rows)))
    return out


# ------------------------------------------------------------ model of a merge

class Block:
    def __init__(self, tsid, scale, ts, vs, encoded_size):
        self.tsid, self.scale, self.ts, self.vs = tsid, scale, list(ts), list(vs)
        self.encoded_size = encoded_size        # of its values; None once it was decoded


def calibrate(a, b):
    """One scale for two blocks (format 10.5)."""
    if a.scale == b.scale:
        return
    if a.scale < b.scale:
        a, b = b, a
    up = a.scale - b.scale
    down = max([0] + [up - vmwrite.max_up(v) for v in a.vs])
    a.vs = [v if vmwrite.is_special(v) else v * 10 ** (up - down) for v in a.vs]
    b.vs = [v if vmwrite.is_special(v) else vmwrite.trunc_div(v, 10 ** down) for v in b.vs]
    a.scale = b.scale = b.scale + down


def merge_rows(a, b):
    out = []
    a, b = list(zip(a.ts, a.vs)), list(zip(b.ts, b.vs))
    while a and b:
        while a and a[0][0] <= b[0][0]:
            out.append(a.pop(0))
        a, b = b, a
    return out + a + b


def model_merge(streams, deadline):
    """Streams of Blocks -> blocks of the merged part as (tsid, scale, ts, vs)."""
    out = []
    pos = [0] * len(streams)
    pending = None

    def write(x, n=None):
        out.append((x.tsid, x.scale, tuple(x.ts[:n]), tuple(x.vs[:n])))

    while True:
        live = [(s[p].tsid, s[p].ts[0], k) for k, (s, p) in enumerate(zip(streams, pos)) if p < len(s)]
        if not live:
            break
        k = min(live)[2]
        b = streams[k][pos[k]]
        pos[k] += 1
        if b.ts[-1] < deadline:
            continue
        if pending is None:
            pending = b
            continue
        full = len(pending.ts) >= 8192 or (pending.encoded_size or 0) >= 65536
        if pending.tsid != b.tsid or (full and pending.ts[-1] <= b.ts[0]):
            write(pending)
            pending = b
            continue
        calibrate(pending, b)
        for x in (pending, b):
            keep = next((i for i, t in enumerate(x.ts) if t >= deadline), len(x.ts))
            x.ts, x.vs = x.ts[keep:], x.vs[keep:]
        rows = merge_rows(pending, b)
        if not rows:
            pending = None
            continue
        pending = Block(b.tsid, b.scale, [t for t, _ in rows], [v for _, v in rows], None)
        if len(rows) > 8192:
            write(pending, 8192)
            pending = Block(b.tsid, b.scale, pending.ts[8192:], pending.vs[8192:], None)
    if pending is not None:
        write(pending)
    return out


def stream_of(path):
    p = vmread.DataPart(path)
    out = []
    for h in p.headers():
        ts, vs = p.block_ints(h)
        out.append(Block(tuple(h.tsid), h.scale, ts, vs, h.val_size))
    return out


def merge_equals_model(rng, tmp, name, paths, deadline):
    dst = os.path.join(tmp, name)
    want = model_merge([stream_of(p) for p in paths], deadline or -2**63)
    run('merge', dst, deadline, *paths)
    got = [(b[0], b[5], b[11], b[12]) for b in blocks_of(dst)[1]]
    assert len(got) == len(want), (name, len(got), len(want))
    for g, w in zip(got, want):
        assert g == w, (name, g[:2], w[:2], len(g[2]), len(w[2]))
    return dst


# ----------------------------------------------------------------------- tests

def search_equals_scan(rng, path):
    p, blocks, _ = blocks_of(path)
    ids = sorted({b[0][3] for b in blocks})
    for _ in range(6):
        chosen = set(rng.sample(ids, rng.randrange(1, min(len(ids), 9) + 1)))
        lo = rng.randrange(p.min_ts - 10, p.max_ts + 10)
        hi = lo + rng.choice([0, 1000, 100000, 10**9])
        want = [(b[0][3], t, v, b[5]) for b in blocks if b[0][3] in chosen for t, v in zip(b[11], b[12]) if lo <= t <= hi]
        got = [tuple(map(int, line.split())) for line in run('search', path, lo, hi, *chosen).splitlines()]
        assert got == want, (path, lo, hi, chosen, len(got), len(want))


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix='varve-part-') as tmp:
        for k, (count, longest) in enumerate(((1, 1), (3, 5), (40, 300), (25, 9000), (1700, 4))):
            path, _ = ours_equals_vmwrite(rng, tmp, 'w%d' % k, random_series(rng, count, longest))
            search_equals_scan(rng, path)

        # several in-memory parts into one file part: their rows, whatever the blocks
        series = random_series(rng, 60, 400)
        path = os.path.join(tmp, 'flushed')
        run('write', path, 7, input=feed(rng, series, lambda k, n: k % 7))
        rows = {}
        for b in blocks_of(path)[1]:
            rows.setdefault(b[0], []).extend(b[11])
        assert {t: sorted(r) for t, r in rows.items()} == {t: sorted(x for x, _ in r) for t, r in series}

        # merges of parts that share series, in time ranges that follow on each other, overlap, or are the same
        for turn in range(4):
            paths = []
            shape = rng.randrange(3)
            series = random_series(rng, 30, 5000)
            for part in range(rng.randrange(2, 6)):
                piece = []
                for tsid, full in series:
                    n = len(full)
                    if shape == 0:
                        rows = full[n * part // 5:n * (part + 1) // 5]
                    elif shape == 1:
                        rows = [r for r in full if rng.random() < 0.4]
                    else:
                        rows = sorted(((t, v) for (t, _), v in zip(full, values_of(rng, n))), key=lambda r: r[0])
                    if rows and rng.random() < 0.9:
                        piece.append((tsid, rows))
                if piece:
                    paths.append(os.path.join(tmp, 'm%d-%d' % (turn, part)))
                    run('write', paths[-1], 1, input=feed(rng, piece, lambda k, n: 0))
            deadline = rng.choice([0, 0, T0 + 40000])
            search_equals_scan(rng, merge_equals_model(rng, tmp, 'merged%d' % turn, paths, deadline))
    print('ok')


if __name__ == '__main__':
    main()
