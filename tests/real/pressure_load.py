"""The producers of pressure.py: unique rows into a Kafka topic and to one MQTT topic tree a node, without a break."""
import collections
import json
import random
import re
import threading

import workload
from harness.compare import canonical

BATCH_S = 3
KAFKA_RATE, LINES = 80, 10                      # messages a second, lines a message
MQTT_RATE = 120                                 # messages a second, to each node
PAD = 1500                                      # bytes that make a message larger and say nothing
DEVICES = 7
BAD_EVERY = 25                                  # so often a message holds a line that can't be read


class Source:
    """Something that batches are made for, each published by a process of its own; rows: what all of them hold."""

    def __init__(self):
        self.rows, self.batches, self.process = {}, 0, None

    def note(self, rows):
        for key, r in rows.items():
            self.rows.setdefault(key, []).extend(r)
        self.batches += 1

    def count(self):
        return sum(len(r) for r in self.rows.values())


class KafkaSource(Source):
    def __init__(self, kafka, topic, partitions, seed, months):
        super().__init__()
        self.offsets = {}                       # {(host, value of a): (partition, offset)}
        self.ends = collections.Counter()
        self.kafka, self.topic, self.partitions, self.seed, self.months = kafka, topic, partitions, seed, months

    def start_batch(self):
        # first makes values and times unique; it's small, since times grow with it and mustn't come to lie in the future
        made, rows = workload.unique_messages(self.seed + self.batches, KAFKA_RATE * BATCH_S, self.months, self.partitions, lines=LINES,
                                              first=self.batches)
        made = [(p, key, value + b'\nunreadable' if n % BAD_EVERY == 0 else value) for n, (p, key, value) in enumerate(made)]
        self.note(rows)
        for p, _, value in made:
            for m in re.finditer(rb'host=(h\d+),\S+ a=(\d+)i', value):
                self.offsets[m.group(1).decode(), int(m.group(2))] = p, self.ends[p]
            self.ends[p] += 1
        self.process = self.kafka.produce_in_background(self.topic, self.kafka.write(made), rate=KAFKA_RATE)


class MqttSource(Source):
    def __init__(self, broker, node, months):
        """node: the first level of its topics."""
        super().__init__()
        self.broker, self.node, self.start_ms, self.pad, self.made = broker, node, months[0] * 1000, PAD, 0

    def start_batch(self):
        messages, rows = [], {}
        for _ in range(MQTT_RATE * BATCH_S):
            k, device = self.made, self.made % DEVICES
            self.made += 1
            bad = b'\nunreadable' if k % BAD_EVERY == 0 else b''
            messages.append(('%s/d%d' % (self.node, device), b'mq,node=%s,dev=d%d v=%di %d%s\n# %s' %
                             (self.node.encode(), device, k, (self.start_ms + k * 10) * 1000000, bad, b'x' * self.pad)))
            rows.setdefault(canonical({'__name__': 'mq_v', 'node': self.node, 'dev': 'd%d' % device}), []).append((self.start_ms + k * 10, float(k)))
        self.note(rows)
        self.process = self.broker.publish_in_background(self.broker.write(messages), rate=MQTT_RATE)


class Flood(Source):
    """Messages of many rows each, of few series, to one node, once: the store has to keep some ten bytes of each in memory until it can write."""

    MESSAGES, ROWS, SERIES, RATE = 640, 2500, 8, 100

    def __init__(self, broker, node, number, seed, months):
        super().__init__()
        self.broker, chance, messages, at = broker, random.Random(seed), [], months[1] * 1000
        for n in range(self.MESSAGES):
            metric = {'__name__': 'flood', 'node': node, 'flood': str(number), 'n': str(n % self.SERIES)}
            stamps = [at + (n * self.ROWS + k) * 100 + chance.randrange(100) for k in range(self.ROWS)]
            values = [float(chance.randrange(10**13)) for _ in stamps]
            messages.append(('%s/flood/%d' % (node, n), json.dumps({'metric': metric, 'values': values, 'timestamps': stamps}).encode()))
            self.rows.setdefault(canonical(metric), []).extend(zip(stamps, values))
        self.file = broker.write(messages)

    def start(self):
        self.process = self.broker.publish_in_background(self.file, rate=self.RATE)

    def finish(self):
        if self.process is not None and self.process.wait(60) != 0:
            raise RuntimeError('the flood failed:\n' + self.process.output()[-1000:])


class Load:
    """Keeps all sources going in a thread of its own, from start() until stop() or end()."""

    def __init__(self, sources):
        self.sources, self.error, self.stopping = sources, None, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def start(self):
        self.thread.start()

    def _run(self):
        try:
            while not self.stopping.wait(0.05):
                for s in self.sources:
                    self._look(s)
            for s in self.sources:
                if s.process is not None:
                    s.process.wait(60)
                    self._check(s)
        except Exception as e:                  # told by check()
            self.error = e

    def _look(self, source):
        if source.process is None or not source.process.running():
            self._check(source)
            source.start_batch()

    @staticmethod
    def _check(source):
        if source.process is not None and source.process.exit_code() != 0:
            raise RuntimeError('a producer failed:\n' + source.process.output()[-1000:])

    def check(self):
        if self.error is not None:
            raise self.error

    def stop(self):
        """Waits until everything is acknowledged to the producers."""
        self.end()
        self.check()

    def end(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()
