#!/usr/bin/env python3
"""The disk is full, freed, full again, while a producer runs: nothing is missing, nothing is there twice, nobody has to lend a hand.

    full_disk.py --build DIR [--cycles N] [--seed N] [--fs tmpfs|ext4] [--size MIB]

The store lies on a small file system of its own. In each cycle a file takes what is left of it, up to a few KiB or a few MiB, so that
the disk is full at whatever Varve does then, or only below storage.min_free_disk. Intake must pause and say so, answers go on, the process
stays; when the file is gone everything goes on by itself. In one cycle Varve is killed while the disk is full, and started again.
In the end the directory holds exactly the rows produced, and no file that isn't listed.
Needs root, or user namespaces, for its mount (in a mount namespace of its own). ext4: a loop device, so root.
"""
import argparse
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.kafka_stream import GROUP, PARTITIONS, TOPIC, Stream
from harness.scope import Scope, TimedOut, wait_until
from harness.small_disk import SmallDisk, enter_namespace
from harness.stock import Stock
from harness.varve import Varve, sink

MIN_FREE_MIB = 2


def unlisted(directory):
    """Parts below data/ that no parts.json names."""
    found = []
    data = os.path.join(directory, 'data')
    for place in ('small', 'big', 'indexdb'):
        for month in os.listdir(os.path.join(data, place)):
            if month == 'snapshots':            # beside the months, and empty once they're deleted
                found += ['%s/snapshots/%s' % (place, n) for n in os.listdir(os.path.join(data, place, month))]
                continue
            lists = os.path.join(data, 'small' if place == 'big' else place, month, 'parts.json')
            with open(lists) as f:
                names = json.load(f)
            listed = names if place == 'indexdb' else names[place.capitalize()]
            for name in os.listdir(os.path.join(data, place, month)):
                if name not in listed and not name.startswith('parts.json') and name != 'snapshots':
                    found.append('%s/%s/%s' % (place, month, name))
    staging = os.path.join(directory, 'varve', 'staging')
    return found + ['staging/' + n for n in (os.listdir(staging) if os.path.isdir(staging) else ())
                    if n != 'dropped' or os.listdir(os.path.join(staging, n))]


def paused(varve):
    return varve.metric('varve_intake_paused', reason='disk') == 1


class Run:
    def __init__(self, report, varve, disk, stream):
        self.report, self.varve, self.disk, self.stream = report, varve, disk, stream

    def wait(self, condition, timeout, what):
        def there():
            self.stream.keep_going()
            if not self.varve.process.running():
                return 'ended'
            return condition()
        try:
            r = wait_until(there, timeout, what, 0.1)
        except TimedOut as e:
            return self.report.check(False, what, '%s\n%s' % (e, self.varve.process.output()[-1500:]))
        return self.report.check(r != 'ended', what, 'exit code %s\n%s' % (self.varve.process.exit_code(), self.varve.process.output()[-1500:]))

    def exported(self):
        return self.varve.http.get('/api/v1/export?match[]=kill_a').splitlines()

    def answers(self, what):
        lines = self.exported()
        self.report.check(lines and self.varve.http.answers('/ready'), '%s: it answers (%d series)' % (what, len(lines)))

    def fill_until_paused(self, leave, what):
        """Again and again: a merge that ends meanwhile makes room."""
        def full():
            self.disk.fill(leave)
            return paused(self.varve)
        return self.wait(full, 20, '%s: intake pauses' % what)

    def cycle(self, what, leave, seconds):
        """The disk full for so long, then not."""
        if not self.fill_until_paused(leave, what):
            return
        self.disk.fill(leave)                   # what went away meanwhile, a merge's sources for example
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.stream.keep_going()
            time.sleep(0.1)
        self.answers(what)
        self.resume(what)

    def resume(self, what):
        commit = self.varve.metric('varve_commit_number')
        rows = self.varve.metric('varve_sink_rows_total')
        self.disk.empty()
        self.wait(lambda: not paused(self.varve), 20, '%s: and goes on when there is room' % what)
        self.wait(lambda: self.varve.metric('varve_commit_number') > commit and self.varve.metric('varve_sink_rows_total') > rows, 20,
                  '%s: rows come in and are committed' % what)

    def killed_while_full(self):
        what = 'killed while full'
        if not self.fill_until_paused(0, what):
            return
        self.varve.kill()
        self.varve.launch()
        time.sleep(3)
        self.report.check(self.varve.process.running(), '%s: started again, it waits for room' % what,
                          'exit code %s\n%s' % (self.varve.process.exit_code(), self.varve.process.output()[-1500:]))
        self.disk.empty()
        self.wait(lambda: self.varve.http.answers('/ready'), 30, '%s: it starts when there is room' % what)


def check_end(report, scope, varve, kafka, stream):
    stream.finish()
    varve.wait_durable(kafka, GROUP, TOPIC)
    code, seconds = varve.stop()
    report.check(code == 0, 'SIGTERM ends it cleanly (%.1f s)' % seconds, 'exit code %s\n%s' % (code, varve.process.output()[-1500:]))
    report.same(unlisted(varve.dir), [], 'nothing half-written is left')
    verify = varve.command('verify', varve.dir)
    report.check(verify.returncode == 0, 'varve verify finds nothing', verify.stderr.decode('utf-8', 'replace'))
    expected = stream.expected()
    report.say('%d rows produced in %d series' % (expected.rows, len(expected.series)))
    copy = varve.copy('copy')                   # a stock server needs room of its own
    stock = Stock(scope, copy, 'stock-end', program=stocks.binary(scope)).start()
    found = (('varve export', varve.export()), ('a stock server', Export(stock.export())))
    stock.stop()
    for what, export in found:
        difference = Difference(export, expected)
        report.check(not difference, '%s: missing %d, extra %d' % (what, difference.missing, difference.extra), lambda: difference)


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d, %s' % (options.seed, options.fs))
    with Scope('full-disk', keep_logs_in=options.build) as scope:
        disk = SmallDisk(scope, options.fs, options.size)
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, PARTITIONS)
        varve = Varve(scope, options.build, os.path.join(disk.dir, 'store'), [sink(kafka.brokers, TOPIC, GROUP)],
                      storage={'flush_interval': '300ms', 'min_free_disk': '%dMiB' % MIN_FREE_MIB})
        stream = Stream(scope, kafka, options.seed, workload.months_from(time.time()))
        run = Run(report, varve.start(), disk, stream)
        run.wait(run.exported, 20, 'the first rows are there')  # partitions that begin are commits, too
        for n in range(options.cycles):
            leave = (0, chance.randrange(1 << 18), MIN_FREE_MIB << 19)[n % 3]
            run.cycle('cycle %d, %d bytes left' % (n + 1, leave), leave, chance.uniform(1, 3))
            if not varve.process.running():
                break
            if n == options.cycles // 2:
                run.killed_while_full()
        check_end(report, scope, varve, kafka, stream)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cycles', type=int, default=10)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--fs', choices=('tmpfs', 'ext4'), default='tmpfs')
    parser.add_argument('--size', type=int, default=96, help='MiB')
    arguments = parser.parse_args()
    enter_namespace()
    reports.run('full_disk', lambda r: main(r, arguments))
