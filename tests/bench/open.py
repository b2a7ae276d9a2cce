#!/usr/bin/env python3
"""How long Varve takes from its start until it takes rows, on a store of many series and parts, beside a stock VictoriaMetrics. Called by run.sh.

varve.open_s is from the start of `varve serve` until /ready says yes (the store is open, the sinks are started); peer.open_s from the start
of victoria-metrics until it answers. varve.store_open_s is what storage_open takes of that. `cold`: the page cache holds none of the store's
files. first_row_s is how long after storage_open the first row of a known series is stored; all_series_s and longest_stall_s what a worker
sees that meets all series of the day at once, its cache empty. The store is made through the storage API by open_load and kept in the build
directory for the rest of the day.
"""
import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import time

from ingest import say
from harness import stock as stocks
from harness.scope import ProgramFailed, Scope, free_port, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink

DAY_MS = 86400000


def make_store(options):
    """-> its directory; made if there's none of today's"""
    day = int(time.time() * 1000) // DAY_MS * DAY_MS
    shape = (options.series, options.months, options.commits, options.old_series, day)
    base = os.path.join(options.build, 'bench-open')
    directory = os.path.join(base, '-'.join(map(str, shape)))
    if os.path.isdir(directory):
        return directory, day
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(base)
    begin = time.monotonic()
    new = directory + '.new'
    r = subprocess.run([os.path.join(options.build, 'tests', 'bench', 'open_load'), 'make', new, *map(str, shape)], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False)
    if r.returncode != 0:
        raise ProgramFailed('open_load make: exit %d: %s' % (r.returncode, r.stderr.decode()))
    os.rename(new, directory)
    say('made a store of %d rows in %.1f s' % (int(r.stdout), time.monotonic() - begin))
    return directory, day


def count_parts(directory):
    return sum(os.path.isdir(p) for place in ('small', 'big', 'indexdb') for p in glob.glob(os.path.join(directory, 'data', place, '????_??', '*')))


def files_of(directory):
    return [os.path.join(folder, n) for folder, _, names in os.walk(directory) for n in names]


def chill(directory):
    """The page cache forgets the files of a directory that nobody has open."""
    os.sync()
    for path in files_of(directory):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def warm(directory):
    for path in files_of(directory):
        with open(path, 'rb') as f:
            while f.read(1 << 20):
                pass


def serve(scope, options, store, number, cold):
    directory = scope.path('serve-%d' % number)
    shutil.copytree(store, directory)
    (chill if cold else warm)(directory)
    broker = '127.0.0.1:%d' % free_port()       # nobody is there: being ready doesn't take a broker
    varve = Varve(scope, options.build, directory, [sink(broker, 'bench')], name='serve-%d' % number)
    begin = time.monotonic()
    varve.launch()

    def up():
        if not varve.process.running():
            raise ProgramFailed('varve serve: exit %s\n%s' % (varve.process.exit_code(), varve.process.output()[-2000:]))
        return varve.http.answers('/ready')
    wait_until(up, 60, 'varve is ready', interval=0.005)
    seconds = time.monotonic() - begin
    varve.stop(60)
    shutil.rmtree(directory)
    return seconds


def storage(scope, options, store, day, number, cold):
    directory = scope.path('storage-%d' % number)
    shutil.copytree(store, directory)
    (chill if cold else warm)(directory)
    r = scope.run([os.path.join(options.build, 'tests', 'bench', 'open_load'), 'open', directory, str(options.series), str(day)], timeout=600)
    shutil.rmtree(directory)
    return {name: float(value) for name, value in (line.split(': ') for line in r.stdout.decode().splitlines())}


def peer(scope, store, program, number):
    directory = scope.path('peer-%d' % number)
    shutil.copytree(store, directory)
    warm(directory)
    stock = Stock(scope, directory, 'peer-%d' % number, program=program)
    begin = time.monotonic()
    stock.start()
    seconds = time.monotonic() - begin
    stock.stop()
    shutil.rmtree(directory)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('open',))
    parser.add_argument('--build', required=True)
    parser.add_argument('--series', type=int, default=1000000, help='of the newest day')
    parser.add_argument('--months', type=int, default=72)
    parser.add_argument('--commits', type=int, default=7, help='of each month: so many parts of rows and of the index it has')
    parser.add_argument('--old-series', type=int, default=14000, help='of each older month')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--limit', type=float, default=2.0, help='fail when varve.open_s, warm or cold, is above it (s)')
    options = parser.parse_args()
    with Scope('bench', keep_logs_in=options.build) as scope:
        store, day = make_store(options)
        parts = count_parts(store)
        say('open: %d series, %d parts' % (options.series, parts))
        program = stocks.binary(scope)
        served, served_cold, measured, measured_cold, peers = [], [], [], [], []
        for number in range(1, options.rounds + 1):
            served.append(serve(scope, options, store, number, False))
            served_cold.append(serve(scope, options, store, number, True))
            measured.append(storage(scope, options, store, day, number, False))
            measured_cold.append(storage(scope, options, store, day, number, True))
            peers.append(peer(scope, store, program, number))
            say('round %d: ready after %.3f s, cold %.3f s; peer %.3f s; %s; cold %s' %
                (number, served[-1], served_cold[-1], peers[-1], measured[-1], measured_cold[-1]))
    print('series: %d' % options.series)
    print('parts: %d' % parts)
    results = {'varve.open_s': statistics.median(served), 'varve.open_cold_s': statistics.median(served_cold)}
    for name in measured[0]:
        key = 'varve.' + ('store_open_s' if name == 'open_s' else name)
        results[key] = statistics.median(m[name] for m in measured)
        results[key[:-2] + '_cold_s'] = statistics.median(m[name] for m in measured_cold)
    results['peer.open_s'] = statistics.median(peers)
    for name, value in results.items():
        print('%s: %.3f' % (name, value))
    for name in ('varve.open_s', 'varve.open_cold_s'):
        if results[name] > options.limit:
            raise ProgramFailed('%s is %.3f, and may be %.2f' % (name, results[name], options.limit))


if __name__ == '__main__':
    try:
        main()
    except ProgramFailed as e:
        sys.exit('open.py: %s' % e)
