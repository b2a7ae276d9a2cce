#!/usr/bin/env python3
"""The harness against stock VictoriaMetrics alone: does the comparison find what is different, and nothing else?

    harness_check.py [--samples N] [--series N] [--build DIR]     (DIR: where logs of a failure go)

Two stock servers get the same payloads: all comparisons must be equal. Then one gets a row more, a row less, another value, another label.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export
from harness.judge import Judge
from harness.scope import Scope
from harness.stock import Stock
from harness.varve import vmread

from e2e import instant_queries, range_queries


class Own:
    """In place of Varve: a stock server's directory."""

    def __init__(self, scope, directory):
        self.scope, self.dir = scope, directory

    def export(self):
        return vmread(self.scope, self.dir)

    def command(self, *_args):
        class Done:
            returncode = 0
        return Done


def main(report, options):
    months = workload.months_from(time.time())
    with Scope('harness', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        one = Stock(scope, scope.path('one'), 'one', program=program).start()
        peer = Stock(scope, scope.path('peer'), 'peer', program=program).start()
        load = workload.Workload(1, options.samples, options.series, months)
        payloads = [m[2] for m in load.messages()]
        report.say('%d samples of %d series, %d messages, %d bad lines' % (load.samples, load.series, len(payloads), load.bad_lines))
        again = [m[2] for m in workload.Workload(1, options.samples, options.series, months).messages()]
        report.check(payloads == again, 'the workload is the same for the same seed')
        for n, payload in enumerate(payloads):         # in many small parts, merged in between
            one.ingest([payload])
            if n % 40 == 0:
                one.flush()
            if n == len(payloads) // 2:
                one.force_merge()
        report.say('one server fed')
        peer.ingest(payloads)
        report.say('the other server fed')
        one.flush()
        one.force_merge()
        one.stop()
        judge = Judge(report, scope, Own(scope, one.dir), peer, program, months, instant_queries(), range_queries(), '{site!=""}')
        judge.compare('equal servers')
        expected = Export(peer.export())
        report.check(expected.rows == load.samples - load.nans, 'every sample but NaN is there', '%d of %d, %d NaN' % (expected.rows, load.samples, load.nans))
        report.check(load.series * 0.95 <= len(expected.series) <= load.series, 'every series is there', '%d of %d' % (len(expected.series), load.series))

        one.start()
        when = months[0] * 1000 + 5000
        for what, payload, missing, extra, series in (
                ('one row more', b'cpu,host=h00000,site=plant1 more=1 %d' % when, 0, 1, 1),
                ('an existing row again', payloads[0].split(b'\n')[0], 0, 5, 0)):
            one.ingest([payload])
            one.settle()
            d = Difference(Export(one.export()), expected)
            report.same((d.missing, d.extra, len(d.extra_series)), (missing, extra, series), 'found: ' + what)
            expected = Export(one.export())
        e, f = Export(peer.export()), Export(peer.export())
        report.check(not Difference(e, f), 'two exports of one server are equal')
        key = sorted(f.series)[0]
        f.series[key] = (f.series[key][0], [1234.5] + f.series[key][1][1:])
        d = Difference(e, f)
        report.same((d.missing, d.extra), (1, 1), 'found: another value')
        del f.series[key]
        d = Difference(e, f)
        report.same((d.missing, len(d.extra_series)), (0, 1), 'found: a series more')
        one.stop()
        peer.stop()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build')
    parser.add_argument('--samples', type=int, default=200000)
    parser.add_argument('--series', type=int, default=5000)
    arguments = parser.parse_args()
    reports.run('harness_check', lambda r: main(r, arguments))
