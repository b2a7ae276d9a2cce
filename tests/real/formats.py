#!/usr/bin/env python3
"""All formats over both kinds of sinks: each payload becomes the rows that a stock VictoriaMetrics makes of it.

    formats.py --build DIR

One Varve drains a real Kafka (one sink a case of formats_messages.py) and a real mosquitto (one sink a format, one subscription a case). What
is to come of it says a second server, a stock one, that gets the same payloads over HTTP with the same labels as extra_label; of the
formats that it doesn't have (json, value) formats_mapping.py. Varve is killed before it commits any of this and started again; then a stock server
opens its directory. Also compared: what is rejected, why, and the bytes that the reject log keeps of it; what is dropped, and why.
"""
import argparse
import collections
import os
import re
import sys
import time
from urllib.parse import urlencode

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import formats_messages
from harness import mqtt, rejects
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export, canonical, value
from harness.kafka import Kafka
from harness.mqtt import Mqtt
from harness.scope import Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink

KEY, TENANT = 'Schlüssel 1/2', 'mandant=ä&"1"'
LABELS = {'topic': '$topic', 'last': '$topic_last', 'line': '$1', 'dup': 'config', 'mix': 'a-$1/${topic_last}$$'}
# (what $1 is, the rest of the topic) of the topics of each case
PLACES = {'kafka': [('press', '.a.b-1'), ('oven_2', '.x'), ('mill', '')], 'mqtt': [('press', '/a/b 1'), ('größe=1', '/x'), ('mill', '')]}
PATHS = {'influx': '/write', 'prometheus_remote_write': '/api/v1/write', 'jsonline': '/api/v1/import'}
EVERYTHING = '{__name__!="no such name"}'      # also series without a name
CLOCKS_APART = 5000     # ms between a publish and the arrival that Varve notes


class Source:
    """A case on one kind of sink: its place in the configuration, its messages, what is expected of them."""

    def __init__(self, kind, case, base):
        self.kind, self.case, self.base = kind, case, base
        self.sink = case.name if kind == 'kafka' else 'edge-' + case.form
        self.labels = {'kind': kind, **LABELS, **case.labels, 'rest': '$2' if kind == 'kafka' else '$#'}
        if kind == 'kafka':
            self.labels.update(key='$key', tenant='$header:tenant')
        times = formats_messages.Times(base + 3600000, len(self.rendered(0, False, KEY)), self.record_ms)
        self.messages = case.make(times)

    def record_ms(self, n):
        """Kafka's time of the n-th message."""
        return self.base + n * 1001 + 7

    def topic(self, place):
        line, rest = PLACES[self.kind][place]
        separator = '.' if self.kind == 'kafka' else '/'
        return 'f%s%s%s%s%s' % (separator, self.case.name, separator, line, rest)

    def surroundings(self, place):
        line, rest = PLACES[self.kind][place]
        topic = self.topic(place)
        return {'topic': topic, '1': line, '2' if self.kind == 'kafka' else '#': rest[1:], 'topic_last': re.split('[./]' if self.kind == 'kafka' else '/', topic)[-1]}

    def rendered(self, place, plain, key):
        """The labels that the configuration adds to a message."""
        around = self.surroundings(place)
        out = {'kind': self.kind, 'topic': around['topic'], 'last': around['topic_last'], 'line': around['1'], 'rest': around['2' if self.kind == 'kafka' else '#'],
               'dup': 'config', 'mix': 'a-%s/%s$' % (around['1'], around['topic_last']), **({'key': key, 'tenant': TENANT} if self.kind == 'kafka' and not plain else {})}
        if self.case.labels:
            out.update({'__name__': 'forced_' + around['1'], 'job': 'configured'})
        return {k: v for k, v in out.items() if v}

    def labels_of(self, message):
        return self.rendered(message.place, message.plain, message.key.decode() if message.key else KEY)

    def subscription(self):
        return mqtt.subscription('f/%s/+/#' % self.case.name, self.case.form, labels=self.labels, **self.case.options)

    def kafka_sink(self, brokers):
        return sink(brokers, r'^f\.%s\.([^.]+)\.?(.*)$' % self.case.name, 'formats-' + self.case.name, name=self.sink, **{'format': self.case.form}, labels=self.labels, **self.case.options)

    def topics(self):
        return sorted({self.topic(m.place) for m in self.messages})

    def kafka_messages(self):
        for n, m in enumerate(self.messages):
            headers = () if m.plain else ((b'tenant', b'not the last one'), (b'other', b''), (b'tenant', TENANT.encode()))
            yield self.topic(m.place), m.payload, None if m.plain else m.key or KEY.encode(), self.record_ms(n), headers

    # -------------------------------------------------------- what is expected

    def feed(self, stock):
        """The payloads to a stock server. The unpacked ones: what they're compressed with is Varve's business."""
        if self.case.form not in PATHS:
            return
        headers = {'influx': {'Stream-Mode': '1'}, 'prometheus_remote_write': {'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf'},
                   'jsonline': {'Content-Type': 'text/plain'}}[self.case.form]
        for m in self.messages:
            if not m.stock:
                continue
            query = [('extra_label', '%s=%s' % label) for label in self.labels_of(m).items()]
            if 'precision' in self.case.options:
                query.append(('precision', self.case.options['precision']))
            stock.http.post(PATHS[self.case.form] + '?' + urlencode(query), m.stock, headers)

    def rows(self):
        """Of formats that stock doesn't have -> (canonical labels, time in ms or None: its arrival, value)"""
        for n, m in enumerate(self.messages):
            if not hasattr(m, 'read'):
                continue
            own = self.record_ms(n) if self.kind == 'kafka' else None
            for labels, when, v in m.read(self.surroundings(m.place)):
                if when is None or self.case.options.get('timestamp') == 'record':
                    when = own
                yield canonical({**labels, **self.labels_of(m)}), when, v

    def rejected(self):
        """-> (sink, position, reason, bytes kept, size); the position of MQTT without its number in the spool"""
        offsets = collections.Counter()
        for m in self.messages:
            topic = self.topic(m.place)
            where = '%s/0@%d' % (topic, 1 + offsets[topic]) if self.kind == 'kafka' else topic + '@N'
            offsets[topic] += 1
            if self.kind == 'mqtt' and not m.payload:
                continue                # clears a retained message
            for reason, line, kept in m.rejects:
                kept = m.payload if kept is None else kept
                yield self.sink, where + (' line %d' % line if line else ''), reason, kept[:65536], len(kept)


def configuration(sources, kafka, broker):
    sinks = [s.kafka_sink(kafka.brokers) for s in sources if s.kind == 'kafka']
    for form in dict.fromkeys(s.case.form for s in sources):
        subscriptions = [s.subscription() for s in sources if s.kind == 'mqtt' and s.case.form == form]
        sinks.append(mqtt.sink(broker, subscriptions, name='edge-' + form, client_id='formats-' + form))
    return sinks


def wait_taken_in(varve, want):
    """Until each sink has delivered so many messages since its start. want: {sink: messages}"""

    def lacking():
        if not varve.process.running():
            raise RuntimeError('varve ended: exit %s\n%s' % (varve.process.exit_code(), varve.process.output()[-3000:]))
        m = varve.metrics()
        found = {dict(labels)['sink']: v for (name, labels), v in m.items() if name == 'varve_sink_messages_total'}
        return {name: (found.get(name, 0), n) for name, n in want.items() if found.get(name, 0) < n}
    try:
        wait_until(lambda: not lacking(), 90, 'all messages taken in', 0.1)
    except Exception as e:
        raise RuntimeError('%s: %s' % (e, lacking())) from None


def wait_visible(varve):
    """-> Export of the running Varve, with all rows that were taken in"""
    rows = varve.metric('varve_sink_rows_total')
    wait_until(lambda: export(varve).rows >= rows, 20, 'all rows are visible', 0.2)
    return export(varve)


def export(varve):
    return Export(varve.http.get('/api/v1/export', [('match[]', EVERYTHING), *stocks.FAR]).splitlines())


def loose_series(sources, expected):
    """Series of MQTT messages without a time of their own: {canonical labels: values}"""
    loose = collections.defaultdict(list)
    for key, (_, values) in expected.series.items():
        if '"loose": "yes"' in key and '"kind": "mqtt"' in key:
            loose[key] += values
    for s in sources:
        for key, when, v in s.rows():
            if when is None:
                loose[key].append(v)
    return loose


def expectation(report, sources, peer, found, sent_ms):
    """What has to be there -> Export. The times of `loose` rows are taken from what was found, if they are right."""
    peer.settle()
    expected = Export(peer.export(EVERYTHING))
    report.say('stock says %d rows in %d series' % (expected.rows, len(expected.series)))
    loose = loose_series(sources, expected)
    rows = {key: list(zip(*series)) for key, series in expected.series.items() if key not in loose}
    for s in sources:
        for key, when, v in s.rows():
            if when is not None:
                rows.setdefault(key, []).append((when, v))
    wrong = []
    for key, values in loose.items():
        rows[key] = []
        have = collections.defaultdict(list)
        for when, v in zip(*found.series.get(key, ((), ()))):
            have[value(v)].append(when)
        for v in values:
            when = have[value(v)].pop() if have[value(v)] else 0
            if not sent_ms[0] - CLOCKS_APART <= when <= sent_ms[1] + CLOCKS_APART:
                wrong.append('%s %s: %d, sent %d to %d' % (key, v, when, *sent_ms))
            rows[key].append((when, v))
    report.check(loose and not wrong, '%d series of MQTT messages without a time have that of their arrival' % len(loose), '\n'.join(wrong[:5]))
    return Export.of_rows(rows)


def case_of(key):
    """Canonical labels -> name of the case, as the topic has it."""
    topic = re.search(r'"topic": "f[./]([^./]*)', key)
    return topic.group(1) if topic else None


def compare(report, found, expected, what):
    difference = Difference(found, expected, examples=12)
    report.check(not difference and expected.rows, '%s: %d rows in %d series' % (what, expected.rows, len(expected.series)), lambda: '%s\nby case: missing %s, extra %s' % (
        difference, *(dict(collections.Counter(map(case_of, keys))) for keys in (difference.missing_series, difference.extra_series))))


def compare_parts(report, found, expected, sources):
    """Each format over each kind of sink, and what belongs to none."""
    forms = {s.case.name: s.case.form for s in sources}

    def parts(export):
        out = collections.defaultdict(lambda: Export(()))
        for key, series in export.series.items():
            kind = re.search(r'"kind": "(\w+)"', key)
            part = out[forms.get(case_of(key), '?') + ' over ' + (kind.group(1) if kind else '?')]
            part.series[key] = series
            part.rows += len(series[0])
        return out
    found, expected = parts(found), parts(expected)
    for name in sorted({*found, *expected, *('%s over %s' % (s.case.form, s.kind) for s in sources)}):
        compare(report, found[name], expected[name], 'stock on Varve\'s directory has the rows of %s' % name)


def check_counters(report, varve, sources):
    m = varve.metrics()
    want = collections.Counter((sink_name, reason) for s in sources for sink_name, _, reason, _, _ in s.rejected())
    have = {(dict(labels)['sink'], dict(labels)['reason']): int(v) for (name, labels), v in m.items() if name == 'varve_rejected_total' and v}
    report.check(have == want, 'varve_rejected_total has each sink\'s reasons, %d in all' % sum(want.values()), lambda: 'missing %s, extra %s' % (want - collections.Counter(have), collections.Counter(have) - want))
    want = collections.Counter()
    for s in sources:
        for message in s.messages:
            for reason, n in message.dropped.items():
                # a long key is Kafka's only
                if not (s.kind == 'mqtt' and message.key):
                    want[reason] += n
    have = {dict(labels)['reason']: int(v) for (name, labels), v in m.items() if name == 'varve_rows_dropped_total' and v}
    report.same(have, dict(want), 'varve_rows_dropped_total has the reasons')


def check_rejects(report, store, sources):
    entries = rejects.read(os.path.join(store, 'varve', 'rejects'))
    have = collections.Counter((e.sink, re.sub(r'@\d+', '@N', e.position) if e.sink.startswith('edge-') else e.position, e.reason, e.payload, e.full_size) for e in entries)
    want = collections.Counter(r for s in sources for r in s.rejected())

    def short(counter):
        return '\n'.join('%d x %s %s %s %.80r (%d)' % (n, *r) for r, n in list(counter.items())[:8])
    report.check(have == want, 'the reject log holds the %d refused ones, once each, with position, reason and bytes' % sum(want.values()),
                 lambda: 'missing:\n%s\nextra:\n%s' % (short(want - have), short(have - want)))
    now = time.time() * 1000
    report.check(all(now - 600000 < e.time_ms <= now for e in entries), 'with the time')


def main(report, options):
    base = int(time.time()) // 86400 * 86400000 - 5 * 86400000
    sources = [Source(kind, case, base + n * 7200000) for kind in ('kafka', 'mqtt') for n, case in enumerate(formats_messages.CASES)
               if kind == 'mqtt' or not case.retained]
    messages, later = collections.Counter(), collections.Counter()      # later: than those first commits, below
    for s in sources:
        messages[s.sink] += len(s.messages)
        later[s.sink] += 0 if s.case.retained else len(s.messages)
    report.say('%d messages, %d sources' % (sum(messages.values()), len(sources)))
    with Scope('formats', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        peer = Stock(scope, scope.path('peer'), 'peer', program=program).launch()
        kafka, broker = Kafka(scope).start(), Mqtt(scope).start()
        # Each topic begins with a tombstone, so that it's there: a new one would be found late.
        topics = {s.sink: s.topics() for s in sources if s.kind == 'kafka'}
        kafka.produce_rich((topic, None) for names in topics.values() for topic in names)
        broker.publish(((s.topic(m.place), m.payload, 1, True) for s in sources if s.case.retained for m in s.messages), to_nobody='allow')
        store = scope.path('store')
        varve = Varve(scope, options.build, store, configuration(sources, kafka, broker), storage={'flush_interval': '1h'}).start()
        for name in sorted({s.sink for s in sources if s.kind == 'mqtt'}):
            mqtt.wait_connected(varve, name)
        # Each Kafka sink commits once, when it records where its partitions start: before anything else is there.
        wait_taken_in(varve, {name: len(names) for name, names in topics.items()})
        kafka.produce_rich(m for s in sources if s.kind == 'kafka' for m in s.kafka_messages())
        sent_ms = [int(time.time() * 1000)]
        broker.publish((s.topic(m.place), m.payload) for s in sources if s.kind == 'mqtt' and not s.case.retained for m in s.messages)
        sent_ms.append(int(time.time() * 1000))
        wait_taken_in(varve, {name: n + len(topics.get(name, ())) for name, n in messages.items()})
        before = wait_visible(varve)
        check_counters(report, varve, sources)
        report.same(varve.metric('varve_mqtt_retained_dropped_messages_total'), 2, 'retained messages without a time are dropped, and counted')
        varve.kill()
        report.say('killed')
        varve.start()
        wait_taken_in(varve, later)
        wait_until(lambda: export(varve).rows >= before.rows, 20, 'the rows are there again', 0.2)
        compare(report, export(varve), before, 'killed before the commit and started again, it has the same rows')
        check_counters(report, varve, sources)
        code, _ = varve.stop(30)
        report.same(code, 0, 'it stops cleanly')
        wait_until(lambda: peer.http.answers('/health'), 30, 'the peer answers')
        for s in sources:
            s.feed(peer)
        expected = expectation(report, sources, peer, before, sent_ms)
        compare(report, varve.export(), expected, 'varve export equals what stock and the mappings say')
        stock = Stock(scope, store, 'stock-on-varve', program=program).start()
        compare_parts(report, Export(stock.export(EVERYTHING)), expected, sources)
        stock.stop()
        check_rejects(report, store, sources)
        peer.stop()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    arguments = parser.parse_args()
    reports.run('formats', lambda r: main(r, arguments))
