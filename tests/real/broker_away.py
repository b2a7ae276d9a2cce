#!/usr/bin/env python3
"""Kafka away: at the start, in the middle, back on another of its listed ports, and at the stop.

    broker_away.py --build DIR [--away SECONDS]     (default 30; the usual test run takes 10)

Varve carries on by itself, loses nothing, doubles nothing, says that the broker is away once and not a thousand times, and its clean stop doesn't
wait for a broker.
"""
import argparse
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.scope import Scope, free_port, wait_until
from harness.varve import Varve, sink

TOPIC, GROUP, PARTITIONS = 'away', 'varve-away', 2
ABOUT_BROKER = re.compile(r'broker|connect|transport|resolve|down', re.I)
FEW = 6                                         # lines about one absence: gone, back, and what librdkafka says of each listed broker once


class Produced:
    """Unique rows produced so far."""

    def __init__(self, months):
        self.months, self.rows, self.count = months, {}, 0

    def send(self, kafka, messages):
        made, rows = workload.unique_messages(7, messages, self.months, PARTITIONS, lines=20, first=self.count)
        self.count += messages
        for key, r in rows.items():
            self.rows.setdefault(key, []).extend(r)
        kafka.produce(TOPIC, made)


class Lines:
    """Log lines about brokers that came since the last call."""

    def __init__(self, varve):
        self.varve, self.seen = varve, 0

    def new(self):
        text = self.varve.process.output()
        fresh, self.seen = text[self.seen:], len(text)
        return [line for line in fresh.splitlines() if ABOUT_BROKER.search(line)]


def few(report, lines, what):
    found = lines.new()
    report.check(len(found) <= FEW, '%s: %d log lines about it' % (what, len(found)), '\n'.join(found[:12]))
    return found


def ready_and_steady(report, varve, seconds, what):
    """It stays ready, and its metrics answer quickly, all the while."""
    end, bad = time.monotonic() + seconds, []
    while time.monotonic() < end:
        begin = time.monotonic()
        if not varve.process.running() or not varve.http.answers('/ready'):
            bad.append('not ready')
            break
        varve.metrics()
        if time.monotonic() - begin > 1:
            bad.append('answered after %.1f s' % (time.monotonic() - begin))
        time.sleep(0.25)
    report.check(not bad, what + ': ready and answering all the while', bad[:3])


def main(report, options):
    months = workload.months_from(time.time())
    with Scope('away', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope)
        other_port = free_port()
        first_port = kafka.port
        listed = ['127.0.0.1:%d' % first_port, '127.0.0.1:%d' % other_port]
        kafka.start()
        kafka.create(TOPIC, PARTITIONS)
        produced = Produced(months)
        produced.send(kafka, 20)
        kafka.stop()

        begin = time.monotonic()
        varve = Varve(scope, options.build, scope.path('store'), [sink(listed, TOPIC, GROUP)], storage={'flush_interval': '500ms'}).start(timeout=20)
        lines = Lines(varve)
        report.check(True, 'it starts without a broker, ready after %.1f s' % (time.monotonic() - begin))
        ready_and_steady(report, varve, min(options.away, 10), 'away at the start')
        report.check(few(report, lines, 'away at the start'), 'the log says that the broker is away')
        kafka.start()
        varve.wait_durable(kafka, GROUP, TOPIC, 60)
        report.check(True, 'it goes on when the broker is there')
        produced.send(kafka, 20)
        varve.wait_durable(kafka, GROUP, TOPIC, 60)
        lines.new()

        kafka.kill()
        ready_and_steady(report, varve, options.away, 'away for %g s in the middle' % options.away)
        few(report, lines, 'away in the middle')
        kafka.start()
        produced.send(kafka, 20)
        varve.wait_durable(kafka, GROUP, TOPIC, 90)
        few(report, lines, 'back again')

        kafka.stop()
        time.sleep(2)
        kafka.start(other_port)
        produced.send(kafka, 20)
        begin = time.monotonic()
        varve.wait_durable(kafka, GROUP, TOPIC, 120)
        report.check(True, 'it goes on with the broker on another listed port (after %.1f s)' % (time.monotonic() - begin))
        few(report, lines, 'on another port')

        # rows that are taken in but perhaps not committed yet, and the broker gone: the stop makes them durable without it
        produced.send(kafka, 20)
        wait_until(lambda: varve.metric('varve_sink_messages_total', sink='plant') >= produced.count, 30, 'all taken in')
        kafka.kill()
        code, seconds = varve.stop(15)
        report.check(code == 0 and seconds <= 10, 'SIGTERM with the broker away: exit 0 within 10 s (%.1f s)' % seconds,
                     'exit code %s\n%s' % (code, varve.process.output()[-1500:]))
        difference = Difference(varve.export(), Export.of_rows(produced.rows))
        if os.environ.get('VARVE_TEST_FENCED'):     # not without the group's word: they're read again
            report.check(not difference.extra, 'extra 0, and what the group could not decide on is not there yet: %d rows' % difference.missing, lambda: difference)
        else:
            report.check(not difference, 'missing 0, extra 0', lambda: difference)

        # stopped before it ever saw a broker
        varve.start(timeout=20)
        code, seconds = varve.stop(15)
        report.check(code == 0 and seconds <= 10, 'SIGTERM without ever a broker: exit 0 within 10 s (%.1f s)' % seconds, 'exit code %s' % code)

        kafka.start(first_port)
        produced.send(kafka, 20)
        varve.start()
        varve.wait_durable(kafka, GROUP, TOPIC, 60)
        code, seconds = varve.stop()
        report.check(code == 0, 'stopped cleanly at the end', 'exit code %s' % code)
        difference = Difference(varve.export(), Export.of_rows(produced.rows))
        report.check(not difference, 'missing 0, extra 0 at the end', lambda: difference)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--away', type=float, default=30)
    arguments = parser.parse_args()
    reports.run('broker_away', lambda r: main(r, arguments))
