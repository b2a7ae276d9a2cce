#!/usr/bin/env python3
"""A month of rows through the storage API, late and out of order: parts stay few, a forced merge leaves one a month, and a stock VictoriaMetrics
finds of each series what the generator has counted, before and after. Called by run.sh.

The generator, month_load.c, keeps of each series its count, sum, least and greatest value, first and last row. The stock server is asked for
all of these on a copy of the store, as it changes what it opens. A second, smaller store is read row by row by vmread.py.
"""
import argparse
import array
import calendar
import json
import os
import shutil
import subprocess
import time

from harness import report as reports
from harness import stock as stocks
from harness.scope import Scope
from harness.stock import Stock
from harness.varve import binary, vmread_program

DAY_MS = 86400000
DAYS = 32                                   # two of the month before, so that there's a month's end
NAMES = ('bytes_sent', 'temperature', 'flow', 'queue_length')
ROLLUPS = ('count_over_time', 'sum_over_time', 'min_over_time', 'max_over_time', 'tfirst_over_time', 'first_over_time', 'tlast_over_time',
           'last_over_time')
FIELDS = ('count', 'sum', 'min', 'max', 'first_ms', 'first', 'last_ms', 'last')     # as month_load writes them
COUNT, SUM, MIN, MAX, FIRST_MS, FIRST, LAST_MS, LAST = range(8)
LATE_PERCENT = 3
PARTS_MAX = 64                              # of a month, of data and of its index: eight or more of like size are merged
AMPLIFICATION_MAX = 6
HUGE = ['-search.maxSamplesPerQuery=4000000000', '-search.maxSamplesPerSeries=4000000000', '-search.maxQueryDuration=600s',
        '-memory.allowedPercent=30']


def span_start(now):
    """Two days before the last month that is over begins, in ms."""
    t = time.gmtime(now)
    year, month = (t.tm_year, t.tm_mon - 1) if t.tm_mon > 1 else (t.tm_year - 1, 12)
    return calendar.timegm((year, month, 1, 0, 0, 0)) * 1000 - 2 * DAY_MS


class Truth:
    """What the generator has counted, of each series."""

    def __init__(self, path):
        self.values = array.array('q')
        with open(path, 'rb') as f:
            self.values.frombytes(f.read())
        self.series = len(self.values) // len(FIELDS)
        self.rows = sum(self.values[COUNT::len(FIELDS)])

    def of(self, number):
        return self.values[number * len(FIELDS):(number + 1) * len(FIELDS)]

    def difference(self, number, found):
        """found: count, sum, ... of the series in units of values and ms -> text, empty if they agree."""
        expected = self.of(number)
        bad = [FIELDS[i] for i in (COUNT, FIRST_MS, LAST_MS) if found[i] != expected[i]]
        bad += [FIELDS[i] for i in (MIN, MAX, FIRST, LAST) if found[i] != expected[i] / 1000]
        # A sum of doubles, in any order.
        if abs(found[SUM] - expected[SUM] / 1000) > 1e-15 * expected[COUNT] * max(1, abs(expected[MIN]), abs(expected[MAX])):
            bad.append('sum')
        if not bad:
            return ''
        return 'series %d: %s differ: found %s, expected %s (values in thousandths)' % (number, ', '.join(bad), list(found), list(expected))


class Comparison:
    def __init__(self, truth):
        self.truth, self.seen, self.bad, self.examples = truth, set(), 0, []

    def _wrong(self, text):
        self.bad += 1
        if len(self.examples) < 5:
            self.examples.append(text)

    def add(self, metric, found):
        number = int(metric.get('n', -1))
        if metric != {'__name__': NAMES[number % 4], 'n': str(number), 'rack': str(number % 50)}:
            self._wrong('no series has these labels: %s' % metric)
        elif number in self.seen:
            self._wrong('series %d is there twice' % number)
        else:
            self.seen.add(number)
            text = self.truth.difference(number, found)
            if text:
                self._wrong(text)

    def report(self, report, who):
        missing = self.truth.series - len(self.seen)
        report.check(not self.bad and not missing, '%s agrees with the generator on count, sum, min, max, first and last of %d series (%d rows)'
                     % (who, len(self.seen), self.truth.rows), '%d series differ, %d are missing\n%s' % (self.bad, missing, '\n'.join(self.examples)))


def ask_stock(report, scope, program, directory, truth, end_ms, who):
    """All of it from a stock server on a copy."""
    copy = scope.path('copy')
    shutil.copytree(directory, copy)
    stock = Stock(scope, copy, 'stock', program=program, flags=HUGE).start()
    comparison = Comparison(truth)
    for name in NAMES:
        text = 'aggr_over_time((%s), %s[%dd])' % (','.join('"%s"' % r for r in ROLLUPS), name, DAYS + 2)
        found = {}
        for r in stock.query(text, end_ms // 1000)['result']:
            metric = r['metric']
            kind = ROLLUPS.index(metric.pop('rollup'))
            metric['__name__'] = name       # a rollup has no name
            values = found.setdefault(metric.get('n', ''), [metric, [None] * len(ROLLUPS)])[1]
            value = float(r['value'][1])
            values[kind] = round(value * 1000) if kind in (FIRST_MS, LAST_MS) else value
        for metric, values in found.values():
            comparison.add(metric, values)
    comparison.report(report, who)
    stock.stop()
    shutil.rmtree(copy)


class Load:
    """A store that month_load makes."""

    def __init__(self, scope, options, name, series, rows, commits):
        self.dir, self.truth_file = scope.path(name), scope.path(name + '.truth')
        start = span_start(time.time())
        self.end_ms = start + DAYS * DAY_MS
        program = os.path.join(options.build, 'tests', 'real', 'month_load')
        args = [program, self.dir, self.truth_file, *map(str, (series, rows, commits, start, DAYS * DAY_MS, LATE_PERCENT, options.seed))]
        self.figures = json.loads(scope.run(args, timeout=3600).stdout)
        self.truth = Truth(self.truth_file)


def parts(report, scope, varve, directory):
    """{month: (data parts, index parts)}"""
    found = json.loads(scope.run([varve, 'inspect', directory, '--json'], timeout=300).stdout)
    for m in found['months']:
        # What is due was merged before the generator ended.
        waiting = {kind: sums for kind, sums in m['kinds'].items() if sums['unlisted_parts'] or sums['merge_waits']}
        report.check(not waiting, 'nothing of %s waits, as inspect says' % m['month'], waiting)
    return {m['month']: (m['data_parts'], m['index_parts']) for m in found['months']}, found['rows']


def verify(report, scope, varve, directory, when):
    r = scope.run([varve, 'verify', directory], check=False, timeout=1800)
    report.check(r.returncode == 0, 'varve verify %s' % when, (r.stdout + r.stderr).decode('utf-8', 'replace')[-2000:])


def force_merge(report, scope, varve, directory):
    """-> seconds, CPU seconds, peak MiB of `varve merge`."""
    begin = time.monotonic()
    with open(scope.path('merge.log'), 'wb') as log:
        p = subprocess.Popen([varve, 'merge', directory], stdout=log, stderr=log, start_new_session=True)
        _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    with open(log.name, 'rb') as f:
        report.check(p.returncode == 0, 'varve merge ends well', f.read()[-1000:].decode('utf-8', 'replace'))
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Reader:
    """vmread.py on a store of its own, at the same time as the rest."""

    def __init__(self, scope, options):
        self.load = Load(scope, options, 'small', options.read_rows // 250, options.read_rows, 100)
        self.output = scope.path('vmread.json')
        with open(self.output, 'wb') as out:
            self.process = scope.spawn([*vmread_program(scope), self.load.dir], log=scope.path('vmread.log'), stdout=out)

    def finish(self, report):
        code = self.process.wait(1800)
        report.check(code == 0, 'vmread.py ends well', self.process.output()[-1000:])
        comparison = Comparison(self.load.truth)
        with open(self.output, 'rb') as f:
            for line in f:
                o = json.loads(line)
                ts, vs = o['timestamps'], o['values']
                first, last = ts.index(min(ts)), ts.index(max(ts))
                comparison.add(o['metric'], [len(vs), sum(vs), min(vs), max(vs), ts[first], vs[first], ts[last], vs[last]])
        comparison.report(report, 'vmread.py')


def main(report, options):
    report.say('seed %d' % options.seed)
    with Scope('lifecycle', keep_logs_in=options.build) as scope:
        program, varve = stocks.binary(scope), binary(options.build)
        reader = Reader(scope, options)
        load = Load(scope, options, 'month', options.series, options.rows, options.commits)
        f, truth = load.figures, load.truth
        report.say('%d rows of %d series in %d commits: %.1f s (%.0f rows/s), %.1f CPU-s, %d MiB at most; %d merges, write amplification %.2f; '
                   'intake slowed for %.1f s; at most %d parts of data and %d of index in a month'
                   % (f['rows'], truth.series, f['commits'], f['seconds'], f['rows'] / f['seconds'], f['cpu_seconds'], f['rss_mib'], f['merges'],
                      f['write_amplification'], f['slowed_seconds'], f['data_parts_max'], f['index_parts_max']))
        report.check(abs(f['rows'] - options.rows) <= truth.series and truth.rows == f['rows'], 'as many rows as asked for', str(f))
        before, rows = parts(report, scope, varve, load.dir)
        report.same(rows, truth.rows, 'rows on disk')
        report.check(len(before) == 2 and all(n <= PARTS_MAX for p in before.values() for n in p), 'at most %d parts in each month, data and index: %s'
                     % (PARTS_MAX, before))
        report.check(f['write_amplification'] <= AMPLIFICATION_MAX, 'write amplification %.2f, at most %d' % (f['write_amplification'], AMPLIFICATION_MAX))
        verify(report, scope, varve, load.dir, 'before the forced merge')
        ask_stock(report, scope, program, load.dir, truth, load.end_ms, 'a stock server before the forced merge')

        seconds, cpu, rss = force_merge(report, scope, varve, load.dir)
        report.say('varve merge: %.1f s, %.1f CPU-s (%.3f CPU-s a million rows), %.0f MiB at most' % (seconds, cpu, cpu / f['rows'] * 1e6, rss))
        after, rows = parts(report, scope, varve, load.dir)
        report.same(rows, truth.rows, 'rows on disk after the forced merge')
        report.same(after, {m: (1, 1) for m in before}, 'a forced merge leaves one part a month')
        verify(report, scope, varve, load.dir, 'after the forced merge')
        ask_stock(report, scope, program, load.dir, truth, load.end_ms, 'a stock server after the forced merge')
        reader.finish(report)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--rows', type=int, default=10000000)
    parser.add_argument('--series', type=int, default=100000)
    parser.add_argument('--commits', type=int, default=480)
    parser.add_argument('--read-rows', type=int, default=5000000)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('lifecycle', lambda r: main(r, arguments))
