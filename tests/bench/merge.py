#!/usr/bin/env python3
"""A forced merge by Varve beside one by a stock VictoriaMetrics, on copies of the same directory, in turn. Called by run.sh.

Varve's CPU is that of `varve merge DIR`, less that of one on the merged directory which finds no such month: what it takes to open and close
isn't counted. The stock server's is that of a server from its start on the copy until it's merged and idle, less that of a start on the
merged directory which is left idle for as long: what it takes to open and to live isn't counted. Bytes per sample are those of all files below data/, the index included, after a clean stop. Both results are asked for
their number of samples and their sum, by a stock server.
"""
import argparse
import datetime
import math
import os
import shutil
import statistics
import subprocess
import sys
import time

from ingest import data_bytes, say, wait_idle
from harness import stock as stocks
from harness.scope import ProgramFailed, Scope
from harness.stock import Stock

MEMORY = ['-memory.allowedPercent=30', '-search.maxSamplesPerQuery=4000000000', '-search.maxSamplesPerSeries=4000000000']


def month_start():
    """Noon of the 2nd of last month: all rows lie in one month."""
    first = datetime.datetime.now(datetime.timezone.utc).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    return int((first - datetime.timedelta(days=1)).replace(day=2).timestamp()) * 1000


class Result:
    def __init__(self, cpu, seconds, rss, size, index, samples, contents):
        self.cpu_per_m, self.seconds, self.rss = cpu / samples * 1e6, seconds, rss
        self.bytes, self.index_bytes, self.contents = size / samples, index / samples, contents

    def __str__(self):
        return '%.4f CPU-s/M, %.2f s, %.0f MiB, %.4f bytes a sample (of these %.4f index)' % \
            (self.cpu_per_m, self.seconds, self.rss, self.bytes, self.index_bytes)


def contents(stock, load, options):
    """[samples, their sum] as a stock server finds them."""
    end = (load.start_ms + options.samples_per_series * options.step_ms) // 1000 + 3600
    out = []
    for f in ('count_over_time', 'sum_over_time'):
        data = stock.query('sum(%s({__name__!=""}[20d]))' % f, end)['result']
        out.append(float(data[0]['value'][1]) if data else 0)
    if out[0] != load.samples:
        raise ProgramFailed('%s holds %d of %d samples' % (stock.name, out[0], load.samples))
    return out


class Load:
    def __init__(self, scope, options):
        self.dir = scope.path('load')
        self.start_ms = month_start()
        program = os.path.join(options.build, 'tests', 'real', 'merge_load')
        args = [program, self.dir, *map(str, (options.series, options.samples_per_series, options.flushes, options.step_ms, self.start_ms,
                                              options.late_percent, options.seed))]
        self.samples = int(scope.run(args, timeout=1800).stdout)
        self.parts = sum(len([n for n in names if n != 'parts.json']) for place in ('small', 'big')
                         for names in (os.listdir(os.path.join(self.dir, 'data', place, month)) for month in self.months(place)))
        size, index = data_bytes(self.dir)
        say('merge: %d samples of %d series in %d parts, %.3f bytes a sample (of these %.3f index); seed %d' %
            (self.samples, options.series, self.parts, size / self.samples, index / self.samples, options.seed))

    def months(self, place):
        path = os.path.join(self.dir, 'data', place)
        return [m for m in os.listdir(path) if m != 'snapshots'] if os.path.isdir(path) else []

    def copy(self, scope, name):
        to = scope.path(name)
        shutil.copytree(self.dir, to)
        os.sync()
        return to


def varve_merge(options, directory, month, want):
    """-> rusage of one run"""
    p = subprocess.Popen([os.path.join(options.build, 'src', 'varve'), 'merge', directory, *month], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = p.stdout.read() + p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != want:
        raise ProgramFailed('varve merge: exit %d\n%s' % (p.returncode, output.decode('utf-8', 'replace')))
    return usage


def run_varve(scope, options, load, program, number):
    directory = load.copy(scope, 'varve-%d' % number)
    begin = time.monotonic()
    usage = varve_merge(options, directory, [], 0)
    seconds = time.monotonic() - begin
    idle = varve_merge(options, directory, ['2000'], 2)        # there's no such month
    cpu, opening = usage.ru_utime + usage.ru_stime, idle.ru_utime + idle.ru_stime
    say('varve %d: %.2f CPU-s, of these %.2f of opening and closing' % (number, cpu, opening))
    size, index = data_bytes(directory)
    stock = Stock(scope, directory, 'stock-on-varve-%d' % number, program=program, flags=MEMORY).start()
    found = contents(stock, load, options)
    stock.stop()
    shutil.rmtree(directory)
    return Result(cpu - opening, seconds, usage.ru_maxrss / 1024, size, index, load.samples, found)


def run_peer(scope, options, load, program, number):
    directory = load.copy(scope, 'peer-%d' % number)
    stock = Stock(scope, directory, 'peer-%d' % number, program=program, flags=MEMORY)
    started = time.monotonic()
    stock.start()
    begin = time.monotonic()
    stock.force_merge()
    seconds = time.monotonic() - begin
    wait_idle(stock.process)
    cpu, lived = stock.process.cpu_seconds(), time.monotonic() - started
    rss = stock.process.rss_peak_mib()
    stock.stop()
    size, index = data_bytes(directory)
    started = time.monotonic()
    stock.start()
    time.sleep(max(0, lived - (time.monotonic() - started)))
    idle = stock.process.cpu_seconds()
    found = contents(stock, load, options)
    stock.stop()
    shutil.rmtree(directory)
    say('peer %d: %.2f CPU-s, of these %.2f of a server that only lives' % (number, cpu, idle))
    return Result(cpu - idle, seconds, rss, size, index, load.samples, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('merge',))
    parser.add_argument('--build', required=True)
    parser.add_argument('--series', type=int, default=10000)
    parser.add_argument('--samples-per-series', type=int, default=4000)
    parser.add_argument('--flushes', type=int, default=100)
    parser.add_argument('--step-ms', type=int, default=10000)
    parser.add_argument('--late-percent', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--limit', type=float, help='fail when ratio.cpu is above it')
    parser.add_argument('--bytes-limit', type=float, default=1.005, help='fail when ratio.bytes_per_sample is above it (default: %(default)s)')
    options = parser.parse_args()
    with Scope('bench', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        load = Load(scope, options)
        own, peer = [], []
        for number in range(1, options.rounds + 1):
            own.append(run_varve(scope, options, load, program, number))
            say('varve %d: %s' % (number, own[-1]))
            peer.append(run_peer(scope, options, load, program, number))
            say('peer %d: %s' % (number, peer[-1]))
            if not math.isclose(own[-1].contents[1], peer[-1].contents[1], rel_tol=1e-12):   # a sum of doubles, in any order
                raise ProgramFailed('the results differ: %s, peer %s' % (own[-1].contents, peer[-1].contents))
    median = lambda results, name: statistics.median(getattr(r, name) for r in results)
    print('samples: %d' % load.samples)
    print('series: %d' % options.series)
    print('parts: %d' % load.parts)
    for who, results in (('varve', own), ('peer', peer)):
        print('%s.cpu_s_per_m: %.4f' % (who, median(results, 'cpu_per_m')))
        print('%s.rss_mib: %.0f' % (who, median(results, 'rss')))
        print('%s.bytes_per_sample: %.4f' % (who, median(results, 'bytes')))
        print('%s.index_bytes_per_sample: %.4f' % (who, median(results, 'index_bytes')))
        print('%s.seconds: %.2f' % (who, median(results, 'seconds')))
    ratio = median(own, 'cpu_per_m') / median(peer, 'cpu_per_m')
    print('ratio.cpu: %.4f' % ratio)
    bytes_ratio = median(own, 'bytes') / median(peer, 'bytes')
    print('ratio.bytes_per_sample: %.4f' % bytes_ratio)
    if bytes_ratio > options.bytes_limit:
        raise ProgramFailed('ratio.bytes_per_sample is %.4f, and may be %.3f' % (bytes_ratio, options.bytes_limit))
    if options.limit is not None and ratio > options.limit:
        raise ProgramFailed('ratio.cpu is %.4f, and may be %.2f' % (ratio, options.limit))


if __name__ == '__main__':
    try:
        main()
    except ProgramFailed as e:
        sys.exit('merge.py: %s' % e)
