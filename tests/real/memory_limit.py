#!/usr/bin/env python3
"""storage.memory_limit: new series until it's reached. Intake waits and says so, memory stays there, and nothing is lost.

    memory_limit.py --build DIR [--series N] [--limit MIB]

A backlog of more series than the limit has room for. Intake must pause for the reason `memory`, the process stays near its limit until it has
settled, answers, and ends cleanly; started with a larger limit it goes on and has every row once.
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
SETTLES_S = 60          # what is in memory goes to disk meanwhile, and makes room for more; several times, on a slow machine
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


def watch(varve, limit):
    """Until it has stood still below limit for WATCHED_S; returns the most that it used, what it uses now (None: it didn't come to that), and
    the seconds."""
    begun = since = time.monotonic()
    most, rows = 0, -1
    while varve.process.running() and time.monotonic() < begun + SETTLES_S:
        now_used, now_rows = used(varve), varve.metric('varve_sink_rows_total')
        most = max(most, now_used)
        if now_rows != rows or now_used > limit * 1.1:
            rows, since = now_rows, time.monotonic()
        elif time.monotonic() > since + WATCHED_S and varve.metric('varve_intake_paused', reason='memory') == 1:
            return most, int(now_used), time.monotonic() - begun
        time.sleep(0.1)
    return most, None, time.monotonic() - begun


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
        most, settled, seconds = watch(varve, limit)
        report.check(varve.process.running() and most < limit + OVER,
                     'never more than %d of %d MiB in use over %.0f s' % (most / 2**20, options.limit, seconds), varve.process.output()[-1000:])
        report.check(settled is not None, 'and %s MiB once it has settled' % (settled and settled >> 20),
                     'it takes in rows, or has %.0f MiB, %d s after its first pause' % (used(varve) / 2**20, SETTLES_S))
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
    parser.add_argument('--series', type=int, default=700000)
    parser.add_argument('--limit', type=int, default=96, help='MiB')
    arguments = parser.parse_args()
    reports.run('memory_limit', lambda r: main(r, arguments))
