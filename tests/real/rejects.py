#!/usr/bin/env python3
"""Rejects: each message that can't be decoded is kept once, whatever kills the process; and replayed once.

    rejects.py --build DIR [--kills N] [--messages N] [--seed N]

Into topics of every format go good messages and bad ones of every kind, and through an MQTT broker as well. Varve is killed at random moments and, in a build with fault points, at
the steps of a commit. In the end all good rows are stored, all bad messages and lines are in the reject log exactly once, and the group's lag is
zero. Then the configuration of one sink is mended, and `varve rejects replay` is killed in its middle, run again, and run once more.
"""
import argparse
import collections
import gzip
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import mqtt, rejects
from harness import remote_write as rw
from harness import report as reports
from harness.compare import Difference, Export, canonical
from harness.compress import snappy_block, zstd
from harness.kafka import Kafka
from harness.scope import Scope, wait_until
from harness.varve import Varve, has_fault_points, sink, yaml

HEAD = 64 << 10                                 # kept of a message that is too large
POINTS = ('commit.before_record', 'commit.recorded', 'commit.published', 'publish.parts_json')
PARTITIONS = 2
WORDS = (b'warm', b'', b'12 degrees', b'{}')    # no numbers
RUBBISH = bytes(b for b in range(1, 256) if b not in b' \n') * 3


def remote_write_request(*series):
    return snappy_block(b''.join(series))


def kinds(form):
    """Payloads that are rejected whole -> {payload: reason}: each reason that the format has, and what is no whole compressed payload."""
    deep = b'{"a":' * 100
    out = {magic + RUBBISH: 'bad_compression' for magic in (b'\x1f\x8b\x08', b'\x28\xb5\x2f\xfd', b'\x04\x22\x4d\x18', b'\xff\x06\x00\x00sNaPpY',
                                                             b'\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01')}
    out[zstd(bytes(70 << 20))] = 'unpacked_too_large'
    named = b'{"metric":{"__name__":"x"},'
    out.update({
        'influx': {b'm,host v=1': 'missing_tag_value', b'm v': 'missing_field_value', b'm =1': 'empty_field_key', b'm v="abc': 'missing_closing_quote',
                   b'm v=3x9i 5': 'bad_integer', b'm v=1 x': 'bad_timestamp', b'cpu,host=a': 'missing_fields'},
        'jsonline': {b'{}': 'missing_metric', named + b'"timestamps":[1]}': 'missing_values', named + b'"values":[1]}': 'missing_timestamps',
                     named + b'"values":[1,2],"timestamps":[1]}': 'values_timestamps_differ', named + b'"values":["x"],"timestamps":[1]}': 'bad_value',
                     named + b'"values":[1],"timestamps":["x"]}': 'bad_timestamp', b'{"metric":{}}': 'missing_tags', b'{"metric"': 'bad_json',
                     deep: 'json_too_deep'},
        'json': {b'{"v":1,"ts":1}': 'missing_label', b'{"s":{"a":1},"v":1,"ts":1}': 'bad_label', b'{"s":"x","v":1,"ts":"soon"}': 'bad_time',
                 b'{"s":"x","v":"text","ts":1}': 'bad_field', b'{"s":"x","v"': 'bad_json', deep: 'json_too_deep'},
        'shapes': {b'{"x":1}': 'no_readings', b'{"r":[{"v":1}]}': 'missing_name', b'{"r":[{"n":{},"v":1}]}': 'bad_name',
                   b'{"r":[{"n":"x","%s":1}]}' % (b'k' * 2000): 'field_name_too_long', b'{"r"': 'bad_json'},
        'prometheus_remote_write': {RUBBISH: 'bad_snappy', snappy_block(b'\xff' * 50): 'bad_protobuf',
                                    remote_write_request(rw.series([('__name__', 'h')], rw.histogram(1, 1, 1.0, 100, 1, [1]))): 'histogram_schema'},
    }[form])
    return out


class Maker:
    """Good and bad messages of one format. Bad ones as (payload, [(number of the line or 0, bytes kept)])."""

    def __init__(self, form, month):
        self.form, self.next_ms, self.n, self.rows = form, month * 1000, 0, {}

    def row(self):
        """-> (series number, value, time in ms) of a new good row."""
        self.n += 1
        self.next_ms += 997
        key = canonical({'__name__': 'good_%s_v' % self.form, 's': 's%d' % (self.n % 7)})
        self.rows.setdefault(key, []).append((self.next_ms, float(self.n)))
        return self.n % 7, self.n, self.next_ms

    def good(self):
        s, v, t = self.row()
        return {'influx': lambda: b'good_influx,s=s%d v=%d %d' % (s, v, t * 10 ** 6),
                'jsonline': lambda: json.dumps({'metric': {'__name__': 'good_jsonline_v', 's': 's%d' % s}, 'values': [v], 'timestamps': [t]}).encode(),
                'json': lambda: json.dumps({'s': 's%d' % s, 'v': v, 'ts': t}).encode(),
                'shapes': lambda: json.dumps({'r': [{'n': 'good_shapes', 's': 's%d' % s, 'v': v, 'ts': t}]}).encode(),
                'prometheus_remote_write': lambda: rw.field(1, rw.labels([('__name__', 'good_prometheus_remote_write_v'), ('s', 's%d' % s)]) +
                                                            rw.sample(float(v), t))}[self.form]()

    def bad(self):
        """One of each kind."""
        large = b'x' * 100000
        cut = gzip.compress(self.form.encode() * 1000)[:-9]
        out = [(RUBBISH, [(0, RUBBISH)]), (cut, [(0, cut)]), (large, [(0, large[:HEAD])]), (b'null', [(0, b'null')])]
        out += [(payload, [(0, payload)]) for payload in kinds(self.form)]
        if self.form == 'influx':
            a, b = self.good(), self.good()
            out += [(b'\n'.join((b'bad line', a, b'cpu,host=a', b, b'm v=1 x')), [(1, b'bad line'), (3, b'cpu,host=a'), (5, b'm v=1 x')])]
        if self.form == 'jsonline':
            a, b = self.good(), self.good()
            out.append((b'\n'.join((a, b'{"metric":{}}', b, b'{"metric"')), [(2, b'{"metric":{}}'), (4, b'{"metric"')]))
        if self.form == 'json':
            a, b = self.good(), self.good()
            out.append((b'[' + b','.join((a, b'{"s":"x","v":"text","ts":"soon"}', b)) + b']', [(2, b'{"s":"x","v":"text","ts":"soon"}')]))
        return out


class Topic:
    """What was made for one topic, in the order of its partitions' offsets."""

    def __init__(self, kafka, name, sink_name):
        self.kafka, self.name, self.sink_name = kafka, name, sink_name
        self.offsets = [0] * PARTITIONS
        self.expected = collections.Counter()
        kafka.create(name, PARTITIONS)

    def add(self, out, payload, bad=(), partition=0, key=b'k'):
        where = '%s/%d@%d' % (self.name, partition, self.offsets[partition])
        self.offsets[partition] += 1
        out.append((partition, key, payload))
        for line, kept in bad:
            self.expected[(self.sink_name, where + (' line %d' % line if line else ''), kept, len(kept) if line else len(payload))] += 1


FORMATS = ('influx', 'jsonline', 'json', 'prometheus_remote_write', 'shapes')       # shapes: JSON by another mapping


def sinks(kafka, numbers):
    """numbers: of the sink whose configuration is wrong at first."""
    more = {'shapes': {'format': 'json', 'json': {'each': '$.r[*]', 'name': '${$.n}', 'time': '$.ts', 'labels': {'s': '$.s'}}},
            'json': {'json': {'name': 'good_json', 'time': '$.ts', 'labels': {'s': '$.s'}, 'fields': ['$.v as v']}}}
    out = [sink(kafka.brokers, form, 'varve-rejects-' + form, name='sink-' + form[:10].replace('_', '-'), max_message_size='64KiB',
                **{'format': form, **more.get(form, {})}) for form in FORMATS]
    return out + [sink(kafka.brokers, 'numbers', 'varve-rejects-numbers', name='numbers', **numbers)]


def shown(counter, limit=4):
    return '\n'.join('%s %s %d of %d bytes: %r, %d times' % (*key[:2], len(key[2]), key[3], key[2][:40], n) for key, n in list(counter.items())[:limit])


def stored_rejects(varve):
    return rejects.read(os.path.join(varve.dir, 'varve', 'rejects'))


def as_counter(entries):
    return collections.Counter((e.sink, e.position, e.payload, e.full_size) for e in entries)


def check_rejects(report, entries, expected, what):
    found = as_counter(entries)
    missing, extra = expected - found, found - expected
    report.check(not missing and not extra, '%s: %d rejects, missing %d, extra %d' % (what, sum(expected.values()), sum(missing.values()), sum(extra.values())),
                 lambda: 'missing:\n%s\nextra:\n%s' % (shown(missing), shown(extra)))


def check_reasons(report, entries, names):
    """Each kind of payload is there, with its own reason."""
    found = collections.defaultdict(set)
    for e in entries:
        found[(e.sink, e.payload)].add(e.reason)
    wrong = ['%s %r: %s instead of %s' % (form, payload[:60], sorted(found[(names[form], payload)]), reason) for form in FORMATS
             for payload, reason in kinds(form).items() if found[(names[form], payload)] != {reason}]
    report.check(not wrong, '%d kinds of payloads, each with its reason' % sum(len(kinds(form)) for form in FORMATS), '\n'.join(wrong))


def check_topic(report, scope, kafka, entries):
    """At least once, with the position as key."""
    r = scope.run(['kcat', '-C', '-b', kafka.brokers, '-t', 'rejected', '-o', 'beginning', '-e', '-q', '-f', '%k\t%h\n'])
    records = collections.Counter(line.split('\t')[0] for line in r.stdout.decode('utf-8', 'replace').splitlines() if '\t' in line)
    wanted = collections.Counter('%s/%s' % (e.sink, e.position) for e in entries)
    missing, strange = wanted - records, set(records) - set(wanted)
    report.check(not missing and not strange and b'varve.reason=' in r.stdout, 'the topic has all %d rejects under their positions, in %d records' %
                 (sum(wanted.values()), sum(records.values())), 'missing %s, strange %s' % (list(missing.items())[:4], list(strange)[:4]))


def bounded(report, varve, kafka):
    """The oldest go first, and are counted; the stream doesn't mind."""
    directory = os.path.join(varve.dir, 'varve', 'rejects')
    varve.config['rejects'] = {'max_size': '1MiB'}
    varve.start()
    before = varve.metric('varve_sink_messages_total', sink='sink-influx')
    messages = [(0, b'k', b'bad %d ' % n + b'x' * 50000) for n in range(60)] + [(0, b'k', b'bounded v=1 1700000000000')]
    kafka.produce('influx', messages)
    wait_until(lambda: varve.metric('varve_sink_messages_total', sink='sink-influx') >= before + len(messages), 30, 'all taken in')
    varve.flush()
    report.check(varve.metric('varve_rejects_dropped_total') > 0, 'what had to go is counted: %d' % varve.metric('varve_rejects_dropped_total'))
    report.same(varve.stop()[0], 0, 'it stops')
    size = sum(os.path.getsize(os.path.join(directory, f)) for f in os.listdir(directory))
    kept = [e.payload for e in stored_rejects(varve)]
    report.check(size <= 1 << 20 and kept[-1].startswith(b'bad 59 ') and len(kept) > 10, 'the rejects keep within rejects.max_size: %d bytes, the last %d' % (size, len(kept)),
                 '%d bytes, %s' % (size, [k[:8] for k in kept]))
    report.check(any('bounded_v' in s for s in varve.export().series), 'the good one behind them is stored')


def kills(report, scope, options, kafka, varve, chance, producers):
    """Until the producers are through, and at least options.kills times."""
    fault = has_fault_points(options.build)
    done, points = 0, list(POINTS)
    while done < options.kills or any(p.running() for p in producers):
        env = None
        if fault and done % 2:
            point = points[done // 2 % len(points)]
            env = {'VARVE_FAULT_POINT': '%s:%d:kill' % (point, chance.randrange(1, 5))}
        varve.launch(env=env)
        end = time.monotonic() + (8 if env else chance.uniform(0.2, 3))
        while time.monotonic() < end and varve.process.running():
            time.sleep(0.02)
        varve.kill()
        done += 1
        if done >= options.kills and time.monotonic() - report.start > 240:
            break
    report.say('killed %d times%s' % (done, ', half of them at fault points' if fault else ''))


def listed(varve, *arguments):
    r = varve.command('rejects', 'list', varve.dir, *arguments, check=True)
    return [line for line in r.stdout.decode().splitlines() if line]


def lists(report, varve, expected):
    lines = [json.loads(line) for line in listed(varve, '--json')]
    report.same(len(lines), sum(expected.values()), 'varve rejects list --json shows all')
    by_sink = collections.Counter(line['sink'] for line in lines)
    name = 'sink-influx'
    report.same(len(listed(varve, '--sink', name)), by_sink[name], '--sink shows those of that sink')
    reason, count = collections.Counter(line['reason'] for line in lines).most_common(1)[0]
    report.same(len(listed(varve, '--reason', reason)), count, '--reason %s shows those of that reason' % reason)
    plain = '\n'.join(listed(varve, '--full'))
    report.check(all(c == '\n' or ' ' <= c <= '~' for c in plain), 'nothing but printable text reaches the terminal')
    report.check(any('payload_base64' in line for line in lines), 'bytes that are no text are base64 in JSON')


def replay(report, varve, numbers, still_bad, expected, numbers_rows, good_rows, chance, fault):
    varve.config['sinks'] = sinks_of(varve, numbers)
    with open(varve.file, 'w', encoding='utf-8') as f:
        f.write(yaml(varve.config))
    arguments = ('rejects', 'replay', varve.dir, '-c', varve.file, '--sink', 'numbers')
    before = varve.inspect()['positions']
    if fault:
        for point in ('rejects_replayed:%d' % chance.randrange(1, 80), 'commit.before_record:1', 'commit.recorded:1'):
            p = varve.scope.spawn([varve.program, *arguments], log=varve.scope.path('replay.log'), env={'VARVE_FAULT_POINT': point + ':kill'})
            report.check(p.wait(60) == -9, 'a replay is killed at ' + point, p.output)
    r = varve.command(*arguments)
    report.check(r.returncode == 0, 'varve rejects replay', r.stderr.decode())
    report.say(r.stdout.decode().strip())
    def kafka_positions(positions):
        return [p for p in positions if p.get('type') == 'kafka']
    report.same(kafka_positions(varve.inspect()['positions']), kafka_positions(before), "Kafka's positions are where they were")
    rows = {**good_rows, **numbers_rows}
    for again in (False, True):
        if again:
            r = varve.command(*arguments)
            report.check(r.returncode == 0 and b' 0 stored as 0 samples' in r.stdout, 'a second replay stores nothing', (r.stdout + r.stderr).decode())
        difference = Difference(varve.export(), Export.of_rows(rows))
        report.check(not difference, 'what was rejected is stored exactly once, with its own time and labels%s' % (', after a second replay, too' if again else ''),
                     lambda: difference)
        lines = [json.loads(line) for line in listed(varve, '--json')]
        waiting = collections.Counter((line['sink'], line['position']) for line in lines)
        want = collections.Counter((s, p) for (s, p, _, _) in (expected + still_bad).elements())
        report.check(waiting == want, 'the others wait as rejects, each once: %d' % sum(want.values()),
                     lambda: 'missing %s, extra %s' % (list((want - waiting).items())[:4], list((waiting - want).items())[:4]))


class OverMqtt:
    """A sink of MQTT's, with good and bad messages of its own, each of them another."""

    def __init__(self, scope, month):
        self.broker = mqtt.Mqtt(scope, persist=True).start()
        self.sink = mqtt.sink(self.broker, [mqtt.subscription('field/#')], name='field', client_id='rejects')
        self.bad, self.rows, self.count, self.month = [], {}, 0, month

    def publish(self, count):
        """-> Process. Every third is bad."""
        messages, key = [], canonical({'__name__': 'good_mqtt_v'})
        for n in range(count):
            when = (self.month * 1000 + n * 13)
            if n % 3 == 0:
                self.bad.append(RUBBISH + b'%d' % n if n % 2 else b'm v=%dx9i %d' % (n, when))
            else:
                self.rows.setdefault(key, []).append((when, float(n)))
            messages.append(('field/%d' % (n % 5), self.bad[-1] if n % 3 == 0 else b'good_mqtt v=%d %d' % (n, when * 10 ** 6)))
        self.count = count
        return self.broker.publish_in_background(self.broker.write(messages), rate=count / 10)

    def wait(self, varve):
        wait_until(lambda: varve.metric('varve_spool_durable_lsn', sink='field') > self.count and varve.metric('varve_mqtt_held_pubacks', sink='field') == 0, 60,
                   'the spool has all messages')
        varve.flush()

    def check(self, report, entries):
        found, expected = collections.Counter(e.payload for e in entries), collections.Counter(self.bad)
        report.check(found == expected, 'over MQTT: %d rejects, each once' % len(self.bad),
                     'missing %s, extra %s' % (list((expected - found).items())[:4], list((found - expected).items())[:4]))


def sinks_of(varve, numbers):
    return [s if s['name'] != 'numbers' else {**{k: v for k, v in s.items() if k not in ('format',)}, **numbers} for s in varve.config['sinks']]


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    month = workload.months_from(time.time())[0]
    with Scope('rejects', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope).start()
        wrong, right = {'format': 'influx'}, {'format': 'value', 'labels': {'device': '$key'}}
        varve = Varve(scope, options.build, scope.path('store'), sinks(kafka, wrong), storage={'flush_interval': '300ms'},
                      rejects={'kafka': {'brokers': [kafka.brokers], 'topic': 'rejected'}})
        kafka.create('rejected', PARTITIONS)
        field = OverMqtt(scope, month)
        varve.config['sinks'].append(field.sink)
        varve.start()                           # makes the session at the broker
        mqtt.wait_connected(varve, 'field')
        varve.kill()
        names = {form: s['name'] for form, s in zip(FORMATS, varve.config['sinks'])}
        topics, good_rows, producers = {}, {}, []
        for form in FORMATS:
            maker, out = Maker(form, month), []
            topic = topics[form] = Topic(kafka, form, names[form])
            bads = []
            for n in range(options.messages):
                if n % 4 == 0:
                    bads = bads or maker.bad()
                    payload, bad = bads.pop()
                    topic.add(out, payload, bad, partition=n // 4 % PARTITIONS)
                topic.add(out, maker.good(), partition=n % PARTITIONS)
            for payload, bad in bads:           # good rows within them count as made
                topic.add(out, payload, bad)
            topic.add(out, None)                # a tombstone is none
            good_rows.update(maker.rows)
            producers.append(kafka.produce_in_background(form, kafka.write(out), rate=options.messages / 10))
        numbers, numbers_rows, still_bad = [], {}, collections.Counter()
        topic = topics['numbers'] = Topic(kafka, 'numbers', 'numbers')
        when = month * 1000
        offsets = {}
        for n in range(120):
            when += 1009
            value = WORDS[n // 10 % len(WORDS)] if n % 10 == 0 else b'%d.5' % n
            key = b'dev%d' % (n % 3)
            numbers.append(('numbers', value, key, when, ()))
            offsets[n] = value
            if n % 10:
                numbers_rows.setdefault(canonical({'__name__': 'numbers', 'device': key.decode()}), []).append((when, n + 0.5))
        kafka.produce_rich(numbers)
        producers.append(field.publish(options.messages))
        kills(report, scope, options, kafka, varve, chance, producers)
        for p in producers:
            report.same(p.wait(120), 0, 'the producer is through')

        varve.start()
        for name, topic in topics.items():
            varve.wait_durable(kafka, 'varve-rejects-' + name, name)
        field.wait(varve)
        lag = wait_until(lambda: ('zero',) if not varve.metric('varve_kafka_lag') else None, 20, 'lag zero')
        report.check(lag, "the consumers' lag is zero")
        halted = [labels for (n, labels), v in varve.metrics().items() if n == 'varve_kafka_partition_halted' and v]
        report.check(not halted, 'no partition stands still', halted)
        expected = collections.Counter()
        for form in FORMATS:
            expected += topics[form].expected
        wanted = len(stored_rejects(varve))
        wait_until(lambda: sum(kafka.high('rejected').values()) >= wanted, 20, 'all rejects are in the topic')
        code, _ = varve.stop()
        report.same(code, 0, 'it stops cleanly')
        entries = stored_rejects(varve)
        of_field = [e for e in entries if e.sink == 'field']
        check_rejects(report, [e for e in entries if e.sink not in ('numbers', 'field')], expected, 'after the kills')
        field.check(report, of_field)
        good_rows.update(field.rows)
        expected += as_counter(of_field)
        check_reasons(report, entries, names)
        check_topic(report, scope, kafka, entries)
        report.say('reasons: %s' % dict(collections.Counter(e.reason for e in entries)))
        of_numbers = [e for e in entries if e.sink == 'numbers']
        report.same(sorted(e.payload for e in of_numbers), sorted(v for v in offsets.values() if v), 'numbers are no Influx lines: all rejected, but empty ones')
        report.check(all(e.record_time_ms and e.key.startswith(b'dev') for e in of_numbers), "they're kept with their time and key")
        difference = Difference(varve.export(), Export.of_rows(good_rows))
        report.check(not difference, 'all good rows are stored, and no others', lambda: difference)
        lists(report, varve, expected + as_counter(of_numbers))
        for e in of_numbers:
            if e.payload in WORDS:
                still_bad[(e.sink, e.position, e.payload, e.full_size)] += 1
        replay(report, varve, right, still_bad, expected, numbers_rows, good_rows, chance, has_fault_points(options.build))

        # And the service goes on with such a store.
        varve.start()
        varve.flush()
        code, _ = varve.stop()
        report.same(code, 0, 'the service starts on it, and stops')
        bounded(report, varve, kafka)
        r = varve.command('verify', varve.dir)
        report.check(r.returncode == 0, 'varve verify finds nothing', r.stderr.decode())
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--kills', type=int, default=8)
    parser.add_argument('--messages', type=int, default=400)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('rejects', lambda r: main(r, arguments))
