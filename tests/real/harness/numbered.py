"""Samples that carry their number, as many as wanted, into a Kafka topic: what was produced is known without being remembered.

Line n of the stream is the same whenever it's made. Message m holds the lines from m * LINES on, goes to partition m % PARTITIONS, and is
there the record with offset m // PARTITIONS. A row's time says which line it's of, so that each export can be counted against any
positions: rows missing, there twice, and such as nobody produced.
"""
import collections
import json
import subprocess
import threading
import time

from .frames import frame
from .scope import ProgramFailed

PARTITIONS, LINES, HOSTS = 3, 50, 40
DAY_MS = 86400000                               # more lines than that would have times twice
NEW_SERIES_EVERY = 20000                        # lines, of each eighth host
VALUES = {'kill_n': float, 'kill_half': lambda n: n + 0.5, 'kill_gauge': lambda n: n * 7919 % 10007 / 100, 'kill_step': lambda n: float(n // 100)}
SAMPLES = LINES * len(VALUES)                   # of a message


def shift_of(n, host):
    return n // NEW_SERIES_EVERY if host % 8 == 0 else 0


def time_of(n, host, months):
    """ms: in one of both months, on one of 20 days, each tenth late by some days."""
    day = (host + n // 40000 + (17 if n % 10 == 0 else 0)) % 20
    return months[(n // 1000 + host) % 2] * 1000 + day * DAY_MS + n


def message(m, months):
    lines = []
    for n in range(m * LINES, (m + 1) * LINES):
        host = n % HOSTS
        lines.append('kill,host=h%d,shift=s%d n=%di,half=%d.5,gauge=%.2f,step=%d %d' % (
            host, shift_of(n, host), n, n, n * 7919 % 10007 / 100, n // 100, time_of(n, host, months) * 1000000))
    return '\n'.join(lines).encode()


class Stream:
    """Messages 0, 1, 2 ... to kafka's topic, made and produced in the background, some a second; each goes out once it's allowed."""

    def __init__(self, kafka, topic, months, rate):
        """rate: samples a second."""
        self.kafka, self.topic, self.months, self.rate = kafka, topic, months, rate / SAMPLES
        self.next = self.allowed = 0
        self.ending, self.error = False, None
        self.producer = kafka.scope.spawn(kafka.produce_args(topic, '-'), log=kafka.dir + '.produce.log', stdin=subprocess.PIPE)
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    @property
    def samples(self):
        return self.next * SAMPLES

    def _feed(self):
        try:
            due = time.monotonic()
            while not self.ending or self.next < self.allowed:
                if self.next >= self.allowed or due > time.monotonic() + 0.01:
                    due = max(due, time.monotonic())
                    self.producer.popen.stdin.flush()
                    time.sleep(0.01)
                    continue
                m = self.next
                self.producer.popen.stdin.write(frame(message(m, self.months), m % PARTITIONS, b'k'))
                self.next, due = m + 1, due + 1 / self.rate
        except Exception as e:                  # finish() says why
            self.error = e

    def reached(self, samples):
        """Whether so many have gone out; if they have, a few more go on, so that whoever waits for something else has a stream."""
        wanted = -(-samples // SAMPLES)
        is_reached = self.next >= wanted
        self.allowed = max(self.allowed, self.next + 2 if is_reached else wanted)
        return is_reached

    def finish(self, timeout=300):
        """Ends it, and waits until all is acknowledged -> number of messages."""
        self.ending = True
        self.thread.join(timeout)
        if self.error is None:
            self.producer.popen.stdin.close()
            if self.producer.wait(timeout) == 0:
                return self.next
        raise ProgramFailed('the producer failed: %s\n%s' % (self.error, self.producer.output()))


def _text(value):
    return repr(float(value) if isinstance(value, int) else value)


class Judgement:
    """An export counted against what positions ({partition: next offset}) say of the stream."""

    def __init__(self, lines, positions, months):
        """lines: JSON lines of an export, in any order, read once."""
        self.positions, self.months = positions, months
        self.rows = self.missing = self.extra = 0
        self.examples = []
        self.messages = max((end - 1) * PARTITIONS + p + 1 for p, end in positions.items())
        self.times = {}
        exact, odd = set(), {}
        for line in lines:
            if not line.strip():
                continue
            line = json.loads(line)
            times, values, series = line['timestamps'], line['values'], self._series(line['metric'])
            self.rows += len(times)
            if series is not None and series not in exact and series not in odd and (times, values) == self._expected(*series):
                exact.add(series)
            else:                               # a series may come in several lines
                odd.setdefault(series, collections.Counter()).update(zip(times, map(_text, values)))
        every = {(name, host, shift) for host in range(HOSTS) for shift in self._shifts(host) for name in VALUES}
        self.series = len(exact) + len(odd)
        for series in (every | odd.keys()) - exact:
            self._compare(series, odd.get(series, collections.Counter()))
        for series in exact & odd.keys():
            self._compare(series, odd[series], collections.Counter())

    @staticmethod
    def _series(labels):
        """None for one that can't be."""
        try:
            name, host, shift = labels['__name__'], int(labels['host'][1:]), int(labels['shift'][1:])
        except (KeyError, ValueError):
            return None
        is_ours = name in VALUES and labels == {'__name__': name, 'host': 'h%d' % host, 'shift': 's%d' % shift}
        return (name, host, shift) if is_ours and 0 <= host < HOSTS and shift >= 0 else None

    def _shifts(self, host):
        return range(self.messages * LINES // NEW_SERIES_EVERY + 1 if host % 8 == 0 else 1)

    def _expected(self, name, host, shift):
        """Times and values of a series."""
        if (host, shift) not in self.times:
            first, end = (shift * NEW_SERIES_EVERY, (shift + 1) * NEW_SERIES_EVERY) if host % 8 == 0 else (0, self.messages * LINES)
            positions = self.positions
            self.times[(host, shift)] = sorted(
                time_of(n, host, self.months) for n in range(first + (host - first) % HOSTS, min(end, self.messages * LINES), HOSTS)
                if n // LINES // PARTITIONS < positions[n // LINES % PARTITIONS])
        times, value = self.times[(host, shift)], VALUES[name]
        return times, [value(t % DAY_MS) for t in times]

    def _compare(self, series, found, expected=None):
        if expected is None:
            times, values = self._expected(*series) if series else ((), ())
            expected = collections.Counter(zip(times, map(_text, values)))
        missing, extra = expected - found, found - expected
        self.missing += sum(missing.values())
        self.extra += sum(extra.values())
        for what, rows in (('missing', missing), ('extra', extra)):
            for (t, v), times in list(rows.items())[:2] if len(self.examples) < 10 else ():
                m = t % DAY_MS // LINES
                self.examples.append('%s %d times: %s at %d %s, of message %d (partition %d, offset %d)' % (
                    what, times, series, t, v, m, m % PARTITIONS, m // PARTITIONS))

    @property
    def is_exact(self):
        return self.missing == 0 and self.extra == 0

    def __str__(self):
        return 'missing %d, extra %d' % (self.missing, self.extra)


def stock_export(stock):
    """Lines of a stock server's export, one name after another: a large one isn't held whole."""
    for name in VALUES:
        yield from stock.export('{__name__="%s"}' % name)
    yield from stock.export('{__name__!~"%s"}' % '|'.join(VALUES))
