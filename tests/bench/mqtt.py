#!/usr/bin/env python3
"""Durable MQTT QoS 1 intake beside a bare paho subscriber that writes nothing. Called by run.sh.

Each side drains the same backlog from a session of its own at the same mosquitto, in turn, with the same receive maximum. A side's rate is
that from the first messages to the last: for Varve, until all PUBACKs are out, and it decodes and stores meanwhile. Then the same with 5 ms
added to each of Varve's fsyncs and a short keepalive, which must hold.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'real'))

from harness.mqtt import HEADER, Mqtt, sink, subscription
from harness.scope import ProgramFailed, Scope, wait_until
from harness.varve import Varve

HERE = os.path.join(ROOT, 'tests', 'bench')
FILTER = 'plant/+/+/+'
TOPICS = 2000
KEEPALIVE = 2                                   # seconds, with slow fsyncs
POLL = 0.1


def say(text):
    print(text, file=sys.stderr, flush=True)


class Backlog:
    """The messages in a file: each a machine's line of 12 or 13 fields, one a second."""

    def __init__(self, scope, messages, seed):
        self.path, self.messages, self.samples, size = scope.path('load.frames'), messages, 0, 0
        start = int(time.time()) - messages // TOPICS - 60
        state = seed * 2 + 1
        with open(self.path, 'wb') as f:
            for n in range(messages):
                machine, step = n % TOPICS, n // TOPICS
                state = state * 6364136223846793005 + 1442695040888963407 & 0xffffffffffffffff
                r = state >> 20
                line = ('press,serial=SN%06d temperature=%d.%d,pressure=%d.%02d,vibration_x=0.%03d,vibration_y=0.%03d,current_a=%d.%d,'
                        'voltage=%d.%d,rpm=%di,cycles=%di,good=%di,scrap=%di,oil_level=%d.%d,running=%s%s %d' %
                        (machine, 40 + r % 30, r % 10, 3 + r % 4, r % 97, r % 991, r % 883, r % 40, r % 9, 228 + r % 8, r % 7, 1400 + r % 50,
                         step * 3, step * 2, step // 50, 50 + r % 40, r % 6, 'true' if r % 50 else 'false', ',power=%d' % (r % 9000) if n % 2 else '',
                         (start + step) * 1000000000 + machine * 1000)).encode()
                topic = b'plant/hall-%d/line-%d/machine-%d' % (machine % 5, machine % 40, machine)
                f.write(HEADER.pack(1, len(topic), len(line)))
                f.write(topic)
                f.write(line)
                self.samples += 12 + n % 2
                size += len(line)
        say('%d messages over %d topics, %.1f samples and %.0f bytes each; seed %d' % (messages, TOPICS, self.samples / messages, size / messages, seed))


class Bench:
    def __init__(self, scope, options):
        self.scope, self.options = scope, options
        self.backlog = Backlog(scope, options.messages, options.seed)
        self.broker = Mqtt(scope).start()
        self.drain = scope.compile(os.path.join(HERE, 'mqtt_drain.c'), 'paho-mqtt3as', 'pthread')
        self.slow_sync = scope.path('slow_sync.so')
        scope.run([os.environ.get('CC', 'cc'), '-O2', '-shared', '-fPIC', '-o', self.slow_sync, os.path.join(HERE, 'slow_sync.c'), '-ldl'])

    def drain_args(self, client_id, messages):
        return [self.drain, 'tcp://' + self.broker.address, client_id, FILTER, str(messages), str(self.options.receive_maximum)]

    def fill(self, client_ids):
        """Sessions of these names, each with the whole backlog."""
        for client_id in client_ids:
            self.scope.run(self.drain_args(client_id, 0))
        acked, _ = self.broker.publish(self.backlog.path)
        if acked != self.backlog.messages:
            raise ProgramFailed('the broker took %d of %d messages' % (acked, self.backlog.messages))

    def run_peer(self, client_id):
        """-> messages a second"""
        messages, seconds = self.scope.run(self.drain_args(client_id, self.backlog.messages), timeout=300).stdout.split()
        return int(messages) / float(seconds)

    def run_varve(self, client_id, slow):
        """-> (messages a second acknowledged, the same stored, CPU seconds a million messages, commits of the spool)"""
        directory = self.scope.path(client_id)
        config = sink(self.broker, [subscription(FILTER, labels={'hall': '$1', 'line': '$2'})], client_id=client_id,
                      receive_maximum=self.options.receive_maximum, **({'keepalive': '%ds' % KEEPALIVE} if slow else {}))
        varve = Varve(self.scope, self.options.build, directory, [config], name=client_id, storage={'flush_interval': '5s'})
        varve.start(env={'LD_PRELOAD': self.slow_sync, 'SLOW_SYNC_MS': '5'} if slow else None)
        looks = []                              # (time, acknowledged, stored)

        def look():
            m = {name: value for (name, labels), value in varve.metrics().items() if ('sink', 'edge') in labels}
            received, stored = m.get('varve_mqtt_received_messages_total', 0), m.get('varve_sink_messages_total', 0)
            if received:
                looks.append((time.monotonic(), received - m['varve_mqtt_held_pubacks'], stored))
            if not varve.process.running():
                raise ProgramFailed('varve ended by itself: exit %s\n%s' % (varve.process.exit_code(), varve.process.output()[-2000:]))
            return received >= self.backlog.messages and stored >= self.backlog.messages and not m['varve_mqtt_held_pubacks']
        try:
            wait_until(look, 300, 'all messages acknowledged and stored', POLL)
        finally:
            if looks:
                say('  %s: %d of %d acknowledged, %d stored' % (client_id, looks[-1][1], self.backlog.messages, looks[-1][2]))
        cpu = varve.process.cpu_seconds()
        varve.flush()
        if slow:
            time.sleep(3 * KEEPALIVE)           # only pings now
        m = {name: value for (name, labels), value in varve.metrics().items() if ('sink', 'edge') in labels}
        wrong = {name: (m[name], want) for name, want in (
            ('varve_mqtt_received_messages_total', self.backlog.messages), ('varve_sink_messages_total', self.backlog.messages),
            ('varve_sink_rows_total', self.backlog.samples), ('varve_mqtt_connects_total', 1), ('varve_mqtt_connected', 1),
            ('varve_mqtt_lost_connections_total', 0), ('varve_mqtt_refused_messages_total', 0)) if m[name] != want}
        if wrong:
            raise ProgramFailed('%s: (seen, expected): %s\n%s' % (client_id, json.dumps(wrong), varve.process.output()[-1500:]))
        code, _ = varve.stop(60)
        if code != 0:
            raise ProgramFailed('varve: exit %s\n%s' % (code, varve.process.output()[-1500:]))
        shutil.rmtree(directory)

        def rate(column):
            first = looks[0]
            last = next(x for x in looks if x[column] >= self.backlog.messages)
            if last is first:
                raise ProgramFailed('too few messages to measure %s' % client_id)
            return (last[column] - first[column]) / (last[0] - first[0])
        return rate(1), rate(2), cpu / self.backlog.messages * 1e6, m['varve_spool_commits_total']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=('mqtt',))
    parser.add_argument('--build', required=True)
    parser.add_argument('--messages', type=int, default=700000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--receive-maximum', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--limit', type=float, help='fail when a ratio.msgs_s is below it')
    options = parser.parse_args()
    plain, slow, peer, stored, cpus = [], [], [], [], []
    with Scope('bench', keep_logs_in=options.build) as scope:
        bench = Bench(scope, options)
        for number in range(1, options.rounds + 1):
            names = ['%s-%d' % (who, number) for who in ('varve', 'peer', 'slow')]
            bench.fill(names)
            for name in names if number % 2 else reversed(names):
                if name.startswith('peer'):
                    peer.append(bench.run_peer(name))
                    say('%s: %.0f messages a second' % (name, peer[-1]))
                    continue
                rate, stored_rate, cpu, commits = bench.run_varve(name, name.startswith('slow'))
                (slow if name.startswith('slow') else plain).append(rate)
                if name.startswith('varve'):
                    stored.append(stored_rate)
                    cpus.append(cpu)
                say('%s: %.0f messages a second, %.0f stored, %.2f CPU-s a million, %d commits of the spool' % (name, rate, stored_rate, cpu, commits))
    own, own_slow, other = map(statistics.median, (plain, slow, peer))
    print('messages: %d' % bench.backlog.messages)
    print('samples: %d' % bench.backlog.samples)
    print('varve.msgs_s: %.0f' % own)
    print('peer.msgs_s: %.0f' % other)
    print('ratio.msgs_s: %.4f' % (own / other))
    print('slow_fsync.varve.msgs_s: %.0f' % own_slow)
    print('slow_fsync.ratio.msgs_s: %.4f' % (own_slow / other))
    print('varve.stored_msgs_s: %.0f' % statistics.median(stored))
    print('varve.cpu_s_per_m_msgs: %.3f' % statistics.median(cpus))
    if options.limit is not None and min(own, own_slow) / other < options.limit:
        raise ProgramFailed('ratio.msgs_s is %.4f, with slow fsyncs %.4f, and may be no less than %.2f' % (own / other, own_slow / other, options.limit))


if __name__ == '__main__':
    try:
        main()
    except ProgramFailed as e:
        sys.exit('mqtt.py: %s' % e)
