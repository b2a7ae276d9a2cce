#!/usr/bin/env python3
"""storage.dedup_interval beside -dedup.minScrapeInterval of a stock VictoriaMetrics, over the same parts.

    dedup.py --build DIR [--rounds N] [--seed N]

In each round a stock server without deduplication makes a directory of random rows: several parts a month, equal and late timestamps,
staleness markers, infinities, values of many scales. Varve and a stock server open a copy each with the same interval: their answers must
be equal before a forced merge and after it, and so must what is on disk then; each part's metadata says the interval.
"""
import argparse
import json
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export
from harness.scope import Scope
from harness.stock import EVERYTHING, FAR, Stock
from harness.varve import Varve

SERIES, PARTS = 24, 4
INTERVALS_MS = (1, 7, 1000, 15000, 60000, 3600000)


def values(chance, kind):
    """JSON texts of values; of series of kind `mixed` a merge may round some to nothing."""
    if kind == 'integers':
        return lambda: str(chance.randrange(-100, 100))
    if kind == 'scales':
        return lambda: '%de%d' % (chance.randrange(1, 1000), chance.randrange(-6, 6))
    if kind == 'mixed':
        return lambda: chance.choice(('1e17', '0.001', '-2.5e15', '7', 'null', '"Infinity"'))
    if kind == 'markers':
        return lambda: chance.choice(('null', 'null', '1', '2', '-3'))
    return lambda: chance.choice(('null', '"Infinity"', '"-Infinity"'))


def stamps_of(chance, start, step, interval_ms, count):
    stamps = []
    for _ in range(count):
        start += chance.choice((0, 0, 1, step, step, step, interval_ms, 3 * interval_ms))
        stamps.append(start)
    return stamps


def lines(chance, months, interval_ms, part):
    """JSON lines of one batch: every series, in either month."""
    kinds = ('integers', 'scales', 'mixed', 'markers', 'specials')
    step = max(1, interval_ms // chance.choice((1, 3, 10)))
    for s in range(SERIES):
        make = values(chance, kinds[s % len(kinds)])
        for month in months:
            start = month * 1000 + 3600000
            if s == 0:
                # Longer than a block: which rows share a block depends on the order of merging, which is free where blocks of two
                # parts begin at the same time. So no two parts have a timestamp in common.
                stamps = [start + PARTS * t + part for t in stamps_of(chance, 0, step, interval_ms, 9000)]
            else:
                stamps = stamps_of(chance, start + part * chance.choice((0, 500)) * step, step, interval_ms, chance.randrange(1, 200))
            if chance.random() < 0.3:
                chance.shuffle(stamps)
            yield '{"metric":{"__name__":"dedup_v","s":"%d"},"values":[%s],"timestamps":[%s]}' % (
                s, ','.join(make() for _ in stamps), ','.join(map(str, stamps)))


def intervals(directory):
    """The interval in each data part's metadata."""
    found = set()
    for place in ('small', 'big'):
        base = os.path.join(directory, 'data', place)
        for folder, _, files in os.walk(base):
            if 'metadata.json' in files:
                with open(os.path.join(folder, 'metadata.json')) as f:
                    found.add(json.load(f)['MinDedupInterval'])
    return found


def same(report, found, expected, what):
    difference = Difference(found, expected)
    return report.check(not difference, '%s: %d rows, missing %d, extra %d' % (what, expected.rows, difference.missing, difference.extra),
                        lambda: difference)


def run_round(report, scope, build, program, chance, number, interval_ms, months):
    what = 'round %d, %d ms' % (number, interval_ms)
    original, stock_dir, varve_dir = (scope.path('%s-%d' % (n, number)) for n in ('original', 'stock', 'varve'))
    stock = Stock(scope, original, program=program).start()
    for part in range(PARTS):
        stock.http.post('/api/v1/import', '\n'.join(lines(chance, months, interval_ms, part)).encode())
        stock.settle()
    before = Export(stock.export())
    stock.stop()
    for to in (stock_dir, varve_dir):
        shutil.copytree(original, to)
    judge = Stock(scope, stock_dir, 'stock-dedup', flags=('-dedup.minScrapeInterval=%dms' % interval_ms,), program=program).start()
    varve = Varve(scope, build, varve_dir, [], storage={'dedup_interval': '%dms' % interval_ms}).start()

    def answers():
        return Export(varve.http.get('/api/v1/export', [('match[]', EVERYTHING), *FAR]).splitlines())
    expected = Export(judge.export())
    report.check(expected.rows < before.rows, '%s: there is something to leave out (%d rows of %d stay)' % (what, expected.rows, before.rows))
    same(report, answers(), expected, what + ': answers before a merge')
    judge.force_merge()
    merged = varve.command('merge', 'http://127.0.0.1:%d' % varve.port)
    report.check(merged.returncode == 0, what + ': varve merge', merged.stderr.decode('utf-8', 'replace'))
    same(report, answers(), Export(judge.export()), what + ': answers after it')
    removed = varve.metric('varve_rows_removed_total', reason='dedup')
    judge.stop()
    code, _ = varve.stop()
    report.same(code, 0, what + ': it ends cleanly')
    report.same(intervals(varve_dir), {interval_ms}, what + ': the parts say so')
    on_disk = varve.export()
    report.same(removed, before.rows - on_disk.rows, what + ': rows left out are counted')
    plain = Stock(scope, stock_dir, 'stock-plain', program=program).start()
    same(report, on_disk, Export(plain.export()), what + ': what is on disk')
    plain.stop()


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    months = workload.months_from(time.time())
    with Scope('dedup', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        for n in range(options.rounds):
            run_round(report, scope, options.build, program, chance, n + 1, INTERVALS_MS[(n + options.seed) % len(INTERVALS_MS)], months)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('dedup', lambda r: main(r, arguments))
