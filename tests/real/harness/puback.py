"""Messages over MQTT of which is known what was acknowledged: the workload, its publisher, the proxy that keeps the ledger, the judgement."""
import collections
import contextlib
import json
import os
import re
import threading
import time

from .compare import Export
from .scope import REPO, ProgramFailed, free_port, wait_until
from .spool import Spool
from .stock import Stock

REAL = os.path.join(REPO, 'tests', 'real')
NUMBER = re.compile(r' v=(\d+) ')
BASE_MS = 1_760_000_000_000                     # 2025-10-09; one message a millisecond from here
TOPICS = 40
# Sinks by the protocol that they speak; a message goes to one of them. Each has a session and a spool of its own.
SINKS = {'five': '5', 'three': '3.1.1'}


def sink_of(number):
    return 'three' if number % 4 == 3 else 'five'


def source_of(number):
    return '%s-%d' % (sink_of(number), number // 4 % TOPICS)


def message(number):
    """(topic, payload): its series, time and value are of no other message."""
    source = source_of(number)
    return '%s/%s' % (sink_of(number), source), ('m,t=%s v=%d %d000000' % (source, number, BASE_MS + number)).encode()


def number_of(payload):
    return int(NUMBER.search(payload if isinstance(payload, str) else payload.decode()).group(1))


def sinks(port, max_size='1MiB'):
    """The YAML of the sinks. The spool is small, so that segments are begun and trimmed all the time."""
    return [{'name': name, 'type': 'mqtt', 'broker': 'mqtt://127.0.0.1:%d' % port, 'client_id': 'varve-' + name, 'version': version,
             'max_packet_size': '64KiB', 'spool': {'max_size': max_size},
             'subscriptions': [{'filter': name + '/#', 'qos': 1, 'format': 'influx'}]} for name, version in SINKS.items()]


def spool_path(store, name):
    return os.path.join(store, 'varve', 'spool', name)


Found = collections.namedtuple('Found', 'stored spooled where')


def positions(varve, directory=None):
    """Where the store goes on reading the spools -> {sink: {spool id: next LSN}}"""
    found = {}
    for p in varve.inspect(directory)['positions']:
        key = p['key'] if 'key' in p else bytes.fromhex(p['key_hex']).decode('utf-8', 'replace')
        parts = key.split('/')
        if len(parts) == 3 and parts[1] == 'mqtt':
            found.setdefault(parts[0], {})[parts[2]] = int(p['next'])
    return found


def spool_or_store(varve, directory=None):
    """What a directory that nobody has open holds: stored (a Judgement), and the numbers that the store has still to read from the spools."""
    directory = directory or varve.dir
    known, spooled, where = positions(varve, directory), set(), {}
    for name in SINKS:
        path = spool_path(directory, name)
        spool = Spool(path)
        start = known.get(name, {}).get(spool.id, 0)
        spooled.update(number_of(payload) for lsn, payload in spool.records.items() if lsn >= start)
        where[name] = {'position': start, 'records': (min(spool.records, default=0), max(spool.records, default=0)), 'torn': spool.torn}
    return Found(Judgement(varve.export(directory)), spooled, where)


class Stream:
    """Messages 0, 1, 2 ... at a rate, from start() to finish()."""

    def __init__(self, broker, rate):
        self.broker, self.rate, self.next, self.begun = broker, rate, 0, 0
        self.is_held = False                    # nothing is published meanwhile

    def start(self):
        self.begun, self.ending = self.next, False
        self.publisher = self.broker.publisher(rate=self.rate, client_id='stream')
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _feed(self):
        try:
            while not self.ending:
                if self.is_held:
                    time.sleep(0.02)
                    continue
                self.publisher.send(*message(self.next))    # waits while the pipe is full
                self.next += 1
        except OSError:
            pass                                # finish() says why

    def finish(self, timeout=60):
        """Ends it once the broker has all of them -> how many since the first start."""
        self.ending = True
        self.thread.join(timeout)
        acked, _ = self.publisher.close(timeout)
        if acked != self.next - self.begun:
            raise ProgramFailed('publish: %d of %d messages acknowledged' % (acked, self.next - self.begun))
        return self.next

    @contextlib.contextmanager
    def paused(self):
        """with stream.paused(): nothing more is published, and nothing is made up for afterwards."""
        self.finish()
        yield
        self.start()


def wait_until_known(varve):
    """Until Varve has seen how the broker gives out packet ids, which takes a second of messages; what a crash brings again before that is
    stored twice (sinks/mqtt/mqtt_dedup.h), and counted."""
    wait_until(lambda: varve.metric('varve_mqtt_packet_ids_count_up') == len(SINKS), 20, 'the broker is seen to count packet ids up')
    time.sleep(0.3)                             # and it's in the file


class Proxy:
    """puback_proxy.c between Varve and the broker, and its ledger."""

    def __init__(self, scope, broker_port, *options, name='proxy'):
        self.port, self.path, self.position = free_port(), scope.path(name + '-ledger.txt'), 0
        self.acked, self.deliveries, self.dups = [], collections.Counter(), 0
        self.unknown, self.errors, self.levels, self.open = [], [], {}, set()
        open(self.path, 'w').close()
        program = scope.compile(os.path.join(REAL, 'puback_proxy.c'))
        self.process = scope.spawn([program, str(self.port), str(broker_port), self.path, *options], log=scope.path(name + '.log'))
        wait_until(lambda: 'ready' in self.process.output() or not self.process.running(), 10, 'the proxy listens')

    def read(self):
        """Takes in what the ledger has got since. acked: numbers in the order of their PUBACKs."""
        with open(self.path, 'rb') as f:
            f.seek(self.position)
            data = f.read()
        data = data[:data.rfind(b'\n') + 1]
        self.position += len(data)
        for line in data.decode().splitlines():
            kind, _, rest = line.partition(' ')
            if kind == 'A':
                self.acked.append(number_of(rest))
            elif kind == 'P':
                self.deliveries[number_of(rest)] += 1
                self.dups += rest.split(' ', 3)[2] == '1'
            elif kind == 'C':
                number, level = rest.split()
                self.levels[number] = level
                self.open.add(number)
            elif kind == 'D':
                self.open.discard(rest)
            else:
                (self.unknown if kind == 'U' else self.errors).append(line)
        return self

    def settle(self, timeout=10):
        """After the client is dead: until everything that it had sent is in the ledger."""
        wait_until(lambda: not self.read().open, timeout, 'the proxy has seen the end of the killed connections', 0.01)
        return self

    def redelivered(self):
        return {n for n, times in self.deliveries.items() if times > 1}


class Judgement:
    """Which messages an export holds, and how often."""

    def __init__(self, export):
        self.times, self.foreign = collections.Counter(), []
        for key, (timestamps, values) in export.series.items():
            metric = json.loads(key)
            for t, v in zip(timestamps, values):
                number = int(v)
                if v != number or t != BASE_MS + number or metric != {'__name__': 'm_v', 't': source_of(number)}:
                    self.foreign.append((key, t, v))
                self.times[number] += 1

    def missing(self, numbers):
        return [n for n in numbers if n not in self.times]

    def doubled(self):
        """{number: copies beyond the first}"""
        return {n: times - 1 for n, times in self.times.items() if times > 1}

    def doubles(self):
        return sum(self.doubled().values())


def wait_for_all(varve, proxy, published):
    """Until each message is durable in the store, or nothing has moved for 20 s."""
    def state():
        m = varve.metrics()
        return [sum(v for (name, _), v in m.items() if name == x)
                for x in ('varve_sink_messages_total', 'varve_spool_next_lsn', 'varve_mqtt_held_pubacks')]

    last, since = None, time.monotonic()
    while time.monotonic() - since < 20:
        now = state()
        if now != last:
            last, since = now, time.monotonic()
        elif now[2] == 0 and time.monotonic() - since > 1 and len(set(proxy.read().acked)) == published:
            break
        time.sleep(0.2)
    varve.flush()


def at_the_end(report, scope, varve, proxy, published, program, is_exact=True):
    """The verdict over a store that was stopped cleanly, by `varve export` and by a stock server (program). Not is_exact: what the broker
    sent again may be there twice."""
    proxy.read()
    never = sorted(set(range(published)) - set(proxy.acked))
    report.check(not never, 'each of %d messages was acknowledged in the end' % published, 'not: %d, the first %s' % (len(never), never[:5]))
    found = spool_or_store(varve)
    report.check(not found.spooled, 'the store has read all of the spools', found.where)
    redelivered = proxy.redelivered()
    for what in ('varve export', 'a stock server'):
        if what == 'varve export':
            judgement = Judgement(varve.export())
        else:
            stock = Stock(scope, varve.dir, 'stock-end', program=program).start()
            judgement = Judgement(Export(stock.export()))
            stock.stop()
        missing = judgement.missing(range(published))
        doubled = judgement.doubled()
        wrong = set(doubled) if is_exact else set(doubled) - redelivered
        report.check(not missing and not judgement.foreign and not wrong, '%s: %d messages, %d of them sent again by the broker, PUBACKs %d: '
                     'missing %d, foreign %d, doubles %d' % (what, published, len(redelivered), len(proxy.acked), len(missing),
                                                             len(judgement.foreign), judgement.doubles()),
                     'missing %s, foreign %s, doubled %s' % (missing[:10], judgement.foreign[:5], sorted(wrong)[:10]))
