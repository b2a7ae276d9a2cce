#!/usr/bin/env python3
"""Kafka into the store, beside a stock VictoriaMetrics that gets the same payloads over HTTP. Called by run.sh.

CPU is user and system time of the whole process from its start until everything is on disk and it's idle, background merges included; the
producer and the HTTP client aren't counted. Resident memory is VmHWM. Bytes per sample are those of all files below data/ (index included)
after a forced merge; Varve's directory is merged by `varve merge` where that's built, else a copy of it by the stock server.
"""
import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'real'))

from harness import frames
from harness import stock as stocks
from harness.kafka import Kafka
from harness.scope import ProgramFailed, Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink

TOPIC = 'bench'
IDLE_CPU = 0.06                                 # of one core, over QUIET seconds: nothing but housekeeping
QUIET = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


def wait_idle(process, timeout=300):
    """Until it has used next to no CPU for a while -> CPU seconds when that began."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        before = process.cpu_seconds()
        time.sleep(QUIET)
        if process.cpu_seconds() - before < IDLE_CPU * QUIET:
            return before
    raise ProgramFailed('still busy after %d s' % timeout)


def data_bytes(directory):
    """-> (all bytes below data/, those of the index)"""
    total = index = 0
    for folder, _, names in os.walk(os.path.join(directory, 'data')):
        for n in names:
            size = os.path.getsize(os.path.join(folder, n))
            total += size
            if '/indexdb' in folder:
                index += size
    return total, index


class Load:
    """The messages, in a file, and how each program is told of their format."""

    def __init__(self, scope, name, options):
        self.path = scope.path('load.frames')
        self.remote_write = name == 'remote_write'
        if self.remote_write:
            self.format, self.codec = 'prometheus_remote_write', 'none'       # they're snappy already
            self.http_path, self.http_headers = '/api/v1/write', {'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf'}
            hosts, fields, step_ms = 250, 400, 15000
        else:
            self.format, self.codec = 'influx', options.codec
            self.http_path, self.http_headers = '/write', {}
            hosts, fields, step_ms = 10000 if name == 'churn' else 1000, 100, 10000
        self.series = hosts * fields
        steps = max(1, options.samples // self.series)
        now = int(time.time() * 1000)
        start = now - steps * step_ms - 60000
        if start // 86400000 != now // 86400000:       # not over midnight: it would be two days of index rows
            start = now // 86400000 * 86400000 - 43200000
        if self.remote_write:
            program = scope.compile(os.path.join(ROOT, 'tests', 'bench', 'remote_write_load.c'), 'snappy')
            args = (hosts, steps, step_ms, start, options.partitions, 500, 2000, options.seed)
        else:
            program = scope.compile(os.path.join(ROOT, 'tests', 'bench', 'influx_load.c'))
            args = (hosts, fields, options.fields_per_line, options.lines, steps, step_ms, start, options.partitions, options.seed)
        with open(self.path, 'wb') as out:
            r = subprocess.run([program, *map(str, args)], stdout=out, stderr=subprocess.PIPE, check=True)
        self.samples, self.messages, self.bytes, *unpacked = map(int, r.stderr.split())
        say('%s: %d samples of %d series in %d messages, %.1f bytes a sample%s' %
            (name, self.samples, self.series, self.messages, self.bytes / self.samples,
             ', %.1f before snappy' % (unpacked[0] / self.samples) if unpacked else ''))

    def payloads(self):
        with open(self.path, 'rb') as f:
            while True:
                h = f.read(frames.HEADER.size)
                if not h:
                    return
                _, _, _, size = struct.unpack('<iiII', h)
                yield f.read(size)


class Result:
    def __init__(self, cpu, seconds, rss, size, index, unmerged, samples):
        self.cpu_per_m = cpu / samples * 1e6
        self.seconds, self.rss = seconds, rss
        self.bytes, self.index_bytes, self.unmerged = size / samples, index / samples, unmerged / samples

    def __str__(self):
        return '%.3f CPU-s/M, %.1f s, %.0f MiB, %.3f bytes a sample (of these %.3f index), %.3f before the merge' % \
            (self.cpu_per_m, self.seconds, self.rss, self.bytes, self.index_bytes, self.unmerged)


def rows_of(stock, load):
    """How many samples a stock server finds: a benchmark of a program that loses some means nothing."""
    data = stock.query('sum(count_over_time({__name__!=""}[2d]))', int(time.time()) + 60)['result']
    rows = int(float(data[0]['value'][1])) if data else 0
    if rows != load.samples:
        raise ProgramFailed('%s holds %d of %d samples' % (stock.name, rows, load.samples))


def run_varve(scope, options, kafka, load, program, number):
    directory = scope.path('varve-%d' % number)
    group = 'bench-%d' % number
    extra = {'threads': options.threads} if options.threads > 1 else {}
    varve = Varve(scope, options.build, directory, [sink(kafka.brokers, TOPIC, group, format=load.format, **extra)], name='varve-%d' % number, storage={'flush_interval': '5s'})
    begin = time.monotonic()
    varve.start()
    varve.wait_durable(kafka, group, TOPIC, 600)
    seconds = time.monotonic() - begin
    cpu = wait_idle(varve.process)
    rss = varve.process.rss_peak_mib()
    code, _ = varve.stop(60)
    if code != 0:
        raise ProgramFailed('varve: exit %s\n%s' % (code, varve.process.output()[-1500:]))
    unmerged, _ = data_bytes(directory)
    open_s = None
    if number == 1:
        begin = time.monotonic()
        varve.start()
        open_s = time.monotonic() - begin
        varve.stop(60)
    merged = varve.command('merge', directory, timeout=600).returncode == 0
    stock = Stock(scope, directory, 'stock-on-varve-%d' % number, program=program, flags=['-memory.allowedPercent=30', '-search.maxSamplesPerQuery=4000000000']).start()
    if not merged:
        stock.force_merge()
    rows_of(stock, load)
    stock.stop()
    size, index = data_bytes(directory)
    shutil.rmtree(directory)
    return Result(cpu, seconds, rss, size, index, unmerged, load.samples), open_s


def run_peer(scope, load, program, number):
    directory = scope.path('peer-%d' % number)
    stock = Stock(scope, directory, 'peer-%d' % number, program=program, flags=['-memory.allowedPercent=60', '-search.maxSamplesPerQuery=4000000000']).start()
    begin = time.monotonic()
    for payload in load.payloads():
        stock.http.post(load.http_path, payload, load.http_headers)
    seconds = time.monotonic() - begin
    time.sleep(6)                               # its in-memory parts go to disk after 5 s
    cpu = wait_idle(stock.process)
    rss = stock.process.rss_peak_mib()
    unmerged, _ = data_bytes(directory)
    stock.flush()
    stock.force_merge()
    rows_of(stock, load)
    stock.stop()
    size, index = data_bytes(directory)
    shutil.rmtree(directory)
    return Result(cpu, seconds, rss, size, index, unmerged, load.samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('ingest', 'churn', 'remote_write'))
    parser.add_argument('--build', required=True)
    parser.add_argument('--samples', type=int)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--lines', type=int, default=100, help='lines a message')
    parser.add_argument('--fields-per-line', type=int, default=10)
    parser.add_argument('--partitions', type=int, default=4)
    parser.add_argument('--threads', type=int, default=1, help='consumers of the sink')
    parser.add_argument('--codec', default='lz4')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--limit', type=float, help='fail when ratio.cpu is above it')
    parser.add_argument('--peer-only', action='store_true', help='only the stock server: to check the load itself')
    options = parser.parse_args()
    options.samples = options.samples or {'ingest': 15000000, 'churn': 2000000, 'remote_write': 10000000}[options.name]
    if options.limit is not None and options.peer_only:
        parser.error('--limit needs both sides')
    with Scope('bench', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        load = Load(scope, options.name, options)
        own, peer, opens = [], [], []
        if not options.peer_only:
            kafka = Kafka(scope).start()
            kafka.create(TOPIC, options.partitions)
            kafka.produce(TOPIC, load.path, codec=load.codec)
            log = sum(os.path.getsize(p) for n in range(options.partitions) for p in kafka.log_segments(TOPIC, n))
            say('seed %d; produced, %.2f bytes a sample in the topic (%s)' % (options.seed, log / load.samples, load.codec))
        for number in range(1, options.rounds + 1):
            if not options.peer_only:
                result, open_s = run_varve(scope, options, kafka, load, program, number)
                own.append(result)
                opens += [open_s] if open_s else []
                say('varve %d: %s' % (number, result))
            peer.append(run_peer(scope, load, program, number))
            say('peer %d: %s' % (number, peer[-1]))
    median = lambda results, name: statistics.median(getattr(r, name) for r in results)
    print('samples: %d' % load.samples)
    print('series: %d' % load.series)
    for who, results in (('varve', own), ('peer', peer)):
        if results:
            print('%s.cpu_s_per_m: %.4f' % (who, median(results, 'cpu_per_m')))
            print('%s.rss_mib: %.0f' % (who, median(results, 'rss')))
            print('%s.bytes_per_sample: %.4f' % (who, median(results, 'bytes')))
            print('%s.index_bytes_per_sample: %.4f' % (who, median(results, 'index_bytes')))
            print('%s.bytes_per_sample_unmerged: %.4f' % (who, median(results, 'unmerged')))
            print('%s.seconds: %.1f' % (who, median(results, 'seconds')))
    if own and peer:
        print('ratio.cpu: %.4f' % (median(own, 'cpu_per_m') / median(peer, 'cpu_per_m')))
        print('ratio.rss: %.4f' % (median(own, 'rss') / median(peer, 'rss')))
        print('ratio.bytes_per_sample: %.4f' % (median(own, 'bytes') / median(peer, 'bytes')))
    if opens:
        print('varve.open_s: %.3f' % opens[0])
    if options.limit is not None:
        ratio = median(own, 'cpu_per_m') / median(peer, 'cpu_per_m')
        if ratio > options.limit:
            raise ProgramFailed('ratio.cpu is %.4f, and may be %.2f' % (ratio, options.limit))


if __name__ == '__main__':
    try:
        main()
    except ProgramFailed as e:
        sys.exit('ingest.py: %s' % e)
