#!/usr/bin/env python3
"""A forced merge makes the part that a stock server's makes of the same parts, block by block.

    merge_oracle.py --build DIR [--seed N]

Stores of many parts (merge_load.c: parts that overlap in time, late rows, blocks of several scales, series of a few rows and of many blocks;
no NaN, no equal timestamps, no digits lost), each copied twice: `varve merge` merges one copy, a stock server the other. Block headers, sizes
and offsets apart, and the blocks' bytes, decompressed, must be equal.
"""
import argparse
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'testbed'))

import vmread
from harness import report as reports
from harness import stock as stocks
from harness import varve as varves
from harness.scope import Scope
from harness.stock import Stock

START_MS = 1790899200000                        # 2026-10-02T00:00:00Z
COMPRESSED = (1, 4)
FIELDS = ('tsid', 'min_ts', 'max_ts', 'first', 'rows', 'scale', 'ts_mt', 'val_mt', 'bits')
# name, series, samples of each, flushes, step in ms, percent of late rows
STORES = [('few long series', 24, 25000, 60, 7000, 3), ('many series', 3000, 200, 40, 10000, 10), ('nearly all of them late', 40, 2000, 25, 10000, 60),
          ('two parts', 8, 9000, 2, 10000, 0)]


def part_of(directory, month='2026_10'):
    """The only part of the month -> DataPart, or how many there are."""
    paths = vmread.data_parts(directory, month)
    return vmread.DataPart(paths[0]) if len(paths) == 1 else len(paths)


def raw(data, kind):
    return vmread.unzstd(data) if kind in COMPRESSED else data


def blocks(part):
    """-> [(header fields, bytes of timestamps, bytes of values)]"""
    return [(tuple(getattr(h, f) for f in FIELDS), raw(part.ts[h.ts_off:h.ts_off + h.ts_size], h.ts_mt),
             raw(part.vals[h.val_off:h.val_off + h.val_size], h.val_mt)) for h in part.headers()]


def difference(own, peer):
    """The first difference of two lists of blocks, or None."""
    for i, (a, b) in enumerate(zip(own, peer)):
        for name, x, y in zip(FIELDS, a[0], b[0]):
            if x != y:
                return 'block %d of series %d: %s is %s, the stock server has %s' % (i, b[0][0].metric_id, name, x, y)
        for name, x, y in (('timestamps', a[1], b[1]), ('values', a[2], b[2])):
            if x != y:
                return 'block %d of series %d: other bytes of %s (%d and %d)' % (i, b[0][0].metric_id, name, len(x), len(y))
    return None if len(own) == len(peer) else '%d blocks, the stock server has %d' % (len(own), len(peer))


def compare(report, scope, options, program, name, numbers):
    source = scope.path('source')
    load = os.path.join(options.build, 'tests', 'real', 'merge_load')
    series, samples, flushes, step_ms, late = numbers
    rows = int(scope.run([load, source, *map(str, (series, samples, flushes, step_ms, START_MS, late, options.seed))], timeout=600).stdout)
    parts = len(vmread.data_parts(source, '2026_10'))
    report.say('%s: %d rows in %d parts, seed %d' % (name, rows, parts, options.seed))
    report.check(parts > 1, name + ': there is something to merge')
    own_dir, peer_dir = scope.path('own'), scope.path('peer')
    for to in (own_dir, peer_dir):
        shutil.copytree(source, to)
    scope.run([varves.binary(options.build), 'merge', own_dir, '2026_10'], timeout=600)
    stock = Stock(scope, peer_dir, 'stock', program=program).start()
    stock.force_merge()
    stock.stop()
    own, peer = part_of(own_dir), part_of(peer_dir)
    if report.check(not isinstance(own, int) and not isinstance(peer, int), name + ': one part each', 'parts: %s and %s' % (own, peer)):
        found, expected = blocks(own), blocks(peer)
        why = difference(found, expected)
        report.check(why is None, '%s: %d blocks are equal' % (name, len(expected)), why)
        report.same(own.rows, rows, name + ': every row is there')
    scope.run([varves.binary(options.build), 'verify', own_dir], timeout=600)
    for directory in (source, own_dir, peer_dir):
        shutil.rmtree(directory)


def main(report, options):
    with Scope('merge-oracle', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        for name, *numbers in STORES:
            compare(report, scope, options, program, name, numbers)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    reports.run('merge_oracle', lambda r: main(r, arguments))
