#!/usr/bin/env python3
"""storage.memory_limit: new series until it's reached. Intake waits and says so, memory stays there, and nothing is lost.

    memory_limit.py --build DIR [--series N] [--limit MIB]

A backlog of more series than the limit has room for. Intake must pause for the reason `memory`, the process stays near its limit for as long
as it's watched, answers, and ends cleanly; started with a larger limit it goes on and has every row once.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness.compare import Difference, Export, canonical
from harness.kafka import Kafka
from harness.scope import Scope, wait_until
from harness.varve import Varve, sink

TOPIC, GROUP = 'memory', 'varve-memory'
LINES = 200
WATCHED_S = 5
OVER = 80 << 20         # the messages at hand are still taken in, and making parts of what is in memory needs some, too


def backlog(series, at_s):
    messages, rows = [], {}
    for first in range(0, series, LINES):
        numbers = range(first, min(first + LINES, series))
        messages.append((0, b'k', '\n'.join('wide,host=host-number-%09d,rack=r%d v=%di %d' % (n, n % 1000, n, at_s * 10**9) for n in numbers).encode()))
        for n in numbers:
            rows[canonical({'__name__': 'wide_v', 'host': 'host-number-%09d' % n, 'rack': 'r%d' % (n % 1000)})] = [(at_s * 1000, float(n))]
    return messages, rows


def used(varve):
    return varve.metric('varve_memory_used_bytes')


def main(report, options):
    limit = options.limit << 20
    with Scope('memory-limit', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, 1)
        messages, rows = backlog(options.series, workload.months_from(time.time())[1] + 1000)
        kafka.produce(TOPIC, messages)
        varve = Varve(scope, options.build, scope.path('store'), [sink(kafka.brokers, TOPIC, GROUP, queue_size='4MiB')],
                      storage={'memory_limit': '%dMiB' % options.limit}).start()
        wait_until(lambda: varve.metric('varve_intake_paused', reason='memory') == 1 or not varve.process.running(), 60, 'intake pauses for want of memory')
        report.same(varve.metric('varve_memory_limit_bytes'), limit, 'the limit is the one that was set')
        end, most = time.monotonic() + WATCHED_S, 0
        while time.monotonic() < end and varve.process.running():
            most = max(most, used(varve))
            time.sleep(0.1)
        report.check(varve.process.running() and most < limit + OVER,
                     'paused: %d of %d MiB in use for %d s' % (most / 2**20, options.limit, WATCHED_S), varve.process.output()[-1000:])
        settled = used(varve)
        report.check(settled < limit * 1.1, 'and %d MiB once it has settled' % (settled / 2**20))
        taken = varve.metric('varve_sink_rows_total')
        report.check(0 < taken < options.series, 'a part of the backlog was taken in: %d rows of %d' % (taken, options.series))
        report.check(varve.http.answers('/ready'), 'it is ready all the same')
        code, seconds = varve.stop()
        report.check(code == 0, 'SIGTERM ends it cleanly (%.1f s)' % seconds, 'exit code %s' % code)
        varve.config['storage']['memory_limit'] = '%dMiB' % (options.limit * 16)
        varve.start()
        varve.wait_durable(kafka, GROUP, TOPIC)
        code, _ = varve.stop()
        report.same(code, 0, 'with more memory it takes the rest, and ends cleanly')
        difference = Difference(varve.export(), Export.of_rows(rows))
        report.check(not difference, 'missing %d, extra %d' % (difference.missing, difference.extra), lambda: difference)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--series', type=int, default=600000)
    parser.add_argument('--limit', type=int, default=96, help='MiB')
    arguments = parser.parse_args()
    reports.run('memory_limit', lambda r: main(r, arguments))
