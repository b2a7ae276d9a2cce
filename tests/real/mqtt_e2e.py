#!/usr/bin/env python3
"""From MQTT brokers into a directory that a stock VictoriaMetrics opens: each message once, and the answers of a server fed over HTTP.

    mqtt_e2e.py --build DIR [--messages N] [--topics N] [--broker mosquitto|hivemq] [--seed N]

Messages with QoS 1 over a plant's topics, formats mixed by topic and an eighth of them compressed (mqtt_workload.py), to a session of MQTT 5 and
one of 3.1.1; retained ones; and some with QoS 0, which are counted apart: of those, what is stored was published, and is there once.

1 Varve takes them in. Counters are right, nothing is rejected, the spool gets empty. A message that arrives on an idle broker is in the store
  within 2.5 s. What the running Varve answers equals what a second stock server has, which got the same payloads.
2 Varve is stopped and started again while messages come. Nothing is missing or there twice; a stock server opens the directory, and
  export, series, labels, label values, instant and range queries equal those of the second one. vmread.py and `varve export` agree.
3 The stock server ingests into the directory and merges it; Varve opens it again and takes in more, of old and of new topics. The same comparison.
"""
import argparse
import collections
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mqtt_workload
import workload
from harness import mqtt
from harness import report as reports
from harness import stock as stocks
from harness.compare import Export, canonical
from harness.judge import Judge
from harness.mqtt import Mqtt
from harness.scope import Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve

SINKS = ('edge', 'hall', 'fast')
ACKNOWLEDGED = SINKS[:2]
RETAINED = 20                       # before the first start, of those with a time and of those without one
ARRIVAL_LIMIT_S = 2.5
SPOOL_REST = (4 << 20) + 65536       # less isn't worth a trim: its packet ids would have to be kept first
ZERO = ('varve_rejected_total', 'varve_mqtt_connect_failures_total', 'varve_mqtt_lost_connections_total', 'varve_mqtt_unmatched_messages_total',
        'varve_mqtt_refused_messages_total', 'varve_mqtt_subscriptions_refused_total', 'varve_spool_failures_total', 'varve_mqtt_hand_overs_refused_total',
        'varve_spool_damaged_messages_total', 'varve_spool_discarded_messages_total', 'varve_mqtt_spool_full_dropped_messages_total', 'varve_mqtt_held_pubacks')
INSTANT = ['count({__name__!=""}[40d])', 'sum(count_over_time(cpu_load[40d])) by (plant, line)', 'max(max_over_time(cpu_temp[40d])) by (plant)',
           'sum(sum_over_time(zigbee_temperature[40d])) by (line)', 'count(last_over_time({line="own"}[60d])) or count(last_over_time({line="L0"}[60d]))',
           'avg_over_time(plc_pos_x{cell="a"}[40d])', 'last_over_time(plc_hot[60d])', 'quantile_over_time(0.9, press[40d])',
           'sum(last_over_time(power_watts[60d])) by (plant, phase)', 'sum(increase(net_rx[40d])) by (plant)', 'count(last_over_time(hall_n[60d])) by (plant)',
           'count(last_over_time({größe="mittel"}[60d]))', 'min(min_over_time(zigbee_bat[40d])) by (plant)', 'tlast_over_time(hall_door[60d])',
           'count(last_over_time({rest=~"dev.*/x/y"}[60d])) by (__name__)', 'absent(nosuchmetric)']
RANGE = ['avg(cpu_temp[6h]) by (plant)', 'sum(rate(net_rx[1d])) by (line)', 'count(count_over_time(press[6h]))', 'sum(increase(power_watts[2d])) by (phase)',
         'topk(3, last_over_time(cpu_load[1d]))']


class Plant:
    """The broker's side, and what has to be in the store because of it."""

    def __init__(self, report, broker, varve, peer, judge):
        self.report, self.broker, self.varve, self.peer, self.judge = report, broker, varve, peer, judge
        self.total = collections.Counter()          # messages published with QoS 1, by sink
        self.base = collections.Counter()           # of those, the ones that were in the store when Varve started
        self.arrival, self.fast = {}, {}            # {canonical labels: what mqtt_workload says of it}
        self.handed_over = collections.Counter()    # rows of those that the peer has
        self.begin_ms = int(time.time() * 1000)
        self.fast_sent = 0
        self.rows = 0                               # samples that have to be in the store, but for those of QoS 0

    def start(self):
        self.varve.start()
        for name in SINKS:
            mqtt.wait_connected(self.varve, name)

    def stop(self, what):
        self.judge.stop(what)
        self.base.update({name: mqtt.position(self.varve, name) - 1 - self.base[name] for name in ACKNOWLEDGED})

    def compare(self, stage):
        """Varve is stopped."""
        self.report.same(self.varve.inspect()['rows'], self.rows + self.fast_stored, stage + ': as many rows as were published')
        self.judge.compare(stage)

    def due(self):
        """-> {sink: messages that it has to take in after this start of Varve}"""
        return {name: self.total[name] - self.base[name] for name in ACKNOWLEDGED}

    def note(self, load):
        """The workload has been published, or given to a stock server on the directory."""
        self.rows += sum(load.rows.values())
        for key, values in load.arrival.items():
            self.arrival.setdefault(key, []).extend(values)
        mqtt_workload.feed(self.peer, load)

    def wait_durable(self):
        for name, messages in self.due().items():
            mqtt.wait_durable(self.varve, messages, name, 600)

    def taken(self):
        return {name: int(self.varve.metric('varve_sink_messages_total', sink=name)) for name in ACKNOWLEDGED}

    def publish_fast(self, count, months):
        """-> file with messages of QoS 0"""
        messages, rows = mqtt_workload.fast_messages(count, months, self.fast_sent)
        self.fast_sent += count
        for key, r in rows.items():
            self.fast.setdefault(key, []).extend(r)
        return self.broker.write(messages)

    def settle(self, stage):
        """Looks at the rows that only Varve can tell (their time, or whether they came), and hands them to the peer."""
        found = Export(self.varve.http.get('/api/v1/export', [('match[]', '{clock="arrival"}'), ('match[]', '{qos="0"}'), *stocks.FAR]).splitlines())
        self._check_arrival(stage, found)
        self._check_fast(stage, found)
        rows = {}
        for key, (stamps, values) in found.series.items():
            all_rows = sorted(zip(stamps, map(float, values)))
            rows[key] = all_rows[self.handed_over[key]:]
            self.handed_over[key] = len(all_rows)
        mqtt_workload.import_rows(self.peer, {k: r for k, r in rows.items() if r})

    def _check_arrival(self, stage, found):
        bad, count, end_ms = [], 0, int(time.time() * 1000)
        for key, values in self.arrival.items():
            rows = sorted(zip(*found.series.get(key, ((), ()))))
            count += len(rows)
            if [v for _, v in rows] != values:
                bad.append('%s: %d values, expected %d; in the order of arrival %s...' % (key, len(rows), len(values), rows[:5]))
            elif rows[0][0] < self.begin_ms or rows[-1][0] > end_ms:
                bad.append('%s: arrived from %d to %d, published from %d to %d' % (key, rows[0][0], rows[-1][0], self.begin_ms, end_ms))
        bad += ['not published: ' + k for k in found.series if 'clock' in k and k not in self.arrival]
        self.report.check(not bad, '%s: %d samples with their arrival as time, each there once, in their order' % (stage, count),
                          lambda: '%d of %d series\n%s' % (len(bad), len(self.arrival), '\n'.join(bad[:5])))

    def _check_fast(self, stage, found):
        stored = {k: sorted(zip(*found.series.get(k, ((), ())))) for k in self.fast}
        bad = [k for k, rows in stored.items() if len(set(rows)) != len(rows) or not set(rows) <= set(self.fast[k])]
        bad += ['not published: ' + k for k in found.series if '"qos"' in k and k not in self.fast]
        lost = self.fast_sent - sum(map(len, stored.values()))
        self.fast_stored = self.fast_sent - lost
        self.report.check(not bad, '%s: of %d messages with QoS 0, the broker lost %d; the others are there once' % (stage, self.fast_sent, lost),
                          lambda: '\n'.join(bad[:5]))


def keep_some(plant, months):
    """Retained messages, before anybody subscribes."""
    timed, untimed = [], []
    for n in range(RETAINED):
        timed.append(('plants/kept/lines/L%d/influx/k%d' % (n, n), b'kept,host=k%d a=%di,b=%d.5 %d' % (n, n, n, (months[0] * 1000 + n) * 1000000), 1, True))
        untimed.append(('plants/kept/lines/L%d/value/k%d' % (n, n), b'%d' % n, 1, True))
    plant.broker.publish(timed + untimed, to_nobody='allow')
    plant.total['edge'] += 2 * RETAINED
    plant.rows += 2 * RETAINED
    for n, message in enumerate(timed):
        plant.peer.write('/write', message[1], [('extra_label', 'plant=kept'), ('extra_label', 'line=L%d' % n), ('extra_label', 'rest=k%d' % n)])
    return [m[0] for m in timed + untimed]


def check_counters(report, plant, load):
    varve = plant.varve
    report.check(varve.http.answers('/health'), '/health answers')
    for name in SINKS:
        report.same(varve.metric('varve_mqtt_connected', sink=name), 1, 'varve_mqtt_connected of ' + name)
    report.same(plant.taken(), plant.due(), 'varve_sink_messages_total')
    rows = {name: varve.metric('varve_sink_rows_total', sink=name) for name in ACKNOWLEDGED}
    report.same(rows, {'edge': load.rows['edge'] + 2 * RETAINED, 'hall': load.rows['hall']}, 'varve_sink_rows_total')
    received = varve.metric('varve_mqtt_received_messages_total', sink='fast')
    report.same((varve.metric('varve_sink_messages_total', sink='fast'), varve.metric('varve_sink_rows_total', sink='fast')), (received, received),
                'what was received with QoS 0 is stored')
    report.same(varve.metric('varve_mqtt_retained_dropped_messages_total'), RETAINED, 'retained messages without a time are left out')
    found = {m: varve.metric(m) for m in ZERO}
    report.check(not any(found.values()), '%d counters of what went wrong are 0' % len(ZERO), {m: v for m, v in found.items() if v})


def check_spool(report, varve, stage):
    """Once all is in the store, the spools give their place back."""
    def rest():
        return {name: int(varve.metric('varve_spool_bytes', sink=name)) for name in SINKS}
    try:
        wait_until(lambda: max(rest().values()) <= SPOOL_REST, 15, 'the spools are trimmed', 0.2)
    except Exception as e:
        report.check(False, stage + ': varve_spool_bytes falls to less than is worth a trim', e)
    report.check(max(rest().values()) <= SPOOL_REST, '%s: varve_spool_bytes is %s' % (stage, rest()))


def check_arrival(report, plant, probes=30):
    """Messages that come one at a time, each a series of its own, are seen through the running Varve in time."""
    publisher, sent, seen = plant.broker.publisher(), {}, {}
    by_topic = {'plant': 'p1', 'line': 'L1'}

    def look():
        found = Export(plant.varve.http.get('/api/v1/export', [('match[]', '{__name__=~"probe.*"}'), ('start', str(plant.begin_ms // 1000))]).splitlines())
        now = time.monotonic()
        for key in found.series:
            seen.setdefault(key, now)
    for n in range(probes):
        rest = 'probe%d' % n
        labels = {**by_topic, 'rest': rest}
        if n % 3 == 0:
            key = canonical({'__name__': rest, **labels, **mqtt_workload.ARRIVAL})
            message = 'plants/p1/lines/L1/value/' + rest, b'%d' % n
            plant.arrival[key] = [float(n)]
        elif n % 3 == 1:
            key = canonical({'__name__': rest + '_n', **labels, **mqtt_workload.ARRIVAL})
            message = 'plants/p1/lines/L1/live/' + rest, b'%s n=%di' % (rest.encode(), n)
            plant.arrival[key] = [float(n)]
        else:
            key = canonical({'__name__': rest + '_n', **labels})
            message = 'plants/p1/lines/L1/influx/' + rest, b'%s n=%di %d' % (rest.encode(), n, time.time_ns())
            plant.peer.write('/write', message[1], [('extra_label', '%s=%s' % pair) for pair in labels.items()])
        sent[key] = time.monotonic()
        publisher.send(*message)
        until = time.monotonic() + 0.13
        while time.monotonic() < until:
            look()
            time.sleep(0.02)
    end = time.monotonic() + 10
    while len(seen) < probes and time.monotonic() < end:
        look()
        time.sleep(0.02)
    report.same(publisher.close(), (probes, 0), 'the probes are acknowledged')
    plant.total['edge'] += probes
    plant.rows += probes
    took = {key: seen[key] - at for key, at in sent.items() if key in seen}
    slow = {key: seconds for key, seconds in took.items() if seconds > ARRIVAL_LIMIT_S}
    slow.update((key, 'not within 10 s') for key in sent if key not in seen)
    report.check(not slow, '%d messages on an idle broker were in the store at most %.2f s after publishing (mean %.2f s)' %
                 (probes, max(took.values(), default=0), sum(took.values()) / max(len(took), 1)), slow)


def publish(report, plant, load, stage, fast=None):
    """Publishes a workload and waits until it's durable."""
    path = plant.broker.write(load.messages())
    count = sum(load.counts.values())
    report.say('%s: %d messages made, %d of them compressed, %d samples' % (stage, count, load.compressed, sum(load.rows.values())))
    cpu, broker_cpu, begin = plant.varve.process.cpu_seconds(), plant.broker.cpu_seconds(), time.monotonic()
    background = plant.broker.publish_in_background(fast, rate=2000, to_nobody='allow') if fast else None
    report.same(plant.broker.publish(path), (count, 0), stage + ': every message is acknowledged to the publisher')
    published = time.monotonic() - begin
    os.unlink(path)
    plant.total.update(load.counts)
    plant.wait_durable()
    took, cpu, broker_cpu = time.monotonic() - begin, plant.varve.process.cpu_seconds() - cpu, plant.broker.cpu_seconds() - broker_cpu
    report.say('%s: published in %.1f s, durable after %.1f s: %.0f messages a second; CPU seconds a million messages: varve %.2f, broker %.2f' %
               (stage, published, took, count / took, cpu * 1e6 / count, broker_cpu * 1e6 / count))
    if background:
        report.same(background.wait(120), 0, stage + ': the publisher with QoS 0 ends well')
        wait_quiet(plant.varve)
    plant.note(load)


def wait_quiet(varve):
    """Until what came with QoS 0 is taken in: nobody knows how many that will be."""
    def still():
        before = varve.metric('varve_mqtt_received_messages_total', sink='fast')
        time.sleep(0.5)
        return varve.metric('varve_mqtt_received_messages_total', sink='fast') == before == varve.metric('varve_sink_messages_total', sink='fast')
    wait_until(still, 60, 'QoS 0 taken in')
    varve.flush()


def restart_amid(report, plant, load):
    """Varve is stopped and started again while messages come."""
    varve, path = plant.varve, plant.broker.write(load.messages())
    before, count = plant.taken()['edge'], sum(load.counts.values())
    publishing = plant.broker.publish_in_background(path)
    wait_until(lambda: plant.taken()['edge'] - before >= load.counts['edge'] // 4, 300, 'a quarter is taken in', 0.01)
    plant.stop('restart')
    more = publishing.running()
    plant.start()
    report.same(publishing.wait(600), 0, 'restart: the publisher ends well')
    plant.total.update(load.counts)
    report.say('restart: %d messages made, stopped with %s in the store; more were being published: %s' % (count, dict(plant.base), more))
    plant.wait_durable()
    plant.note(load)
    received = {name: int(varve.metric('varve_spool_next_lsn', sink=name)) - 1 for name in ACKNOWLEDGED}
    report.same(received, {name: plant.total[name] for name in ACKNOWLEDGED}, 'restart: each message was received once')
    os.unlink(path)


def stock_in_between(report, scope, plant, program, loads):
    """A stock server opens the directory, ingests and merges; the peer gets the same."""
    stock = Stock(scope, plant.varve.dir, 'stock-merging', program=program).start()
    for load in loads:
        for _ in load.messages():
            pass
        load.forget_arrivals()
        mqtt_workload.feed(stock, load)
        plant.note(load)
    stock.flush()
    stock.force_merge()
    stock.stop()
    report.say('the stock server ingested and merged')


def main(report, options):
    months = workload.months_from(time.time())
    report.say('seed %d, %s' % (options.seed, options.broker))
    with Scope('mqtt-e2e', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        broker = Mqtt(scope, broker=options.broker).start()
        peer = Stock(scope, scope.path('peer'), 'peer', program=program).start()
        varve = Varve(scope, options.build, scope.path('store'), storage={'flush_interval': '2s'}, sinks=[
            mqtt.sink(broker, mqtt_workload.EDGE, 'edge', 'varve-edge'),
            mqtt.sink(broker, mqtt_workload.HALL, 'hall', 'varve-hall', version='3.1.1'),
            {k: v for k, v in mqtt.sink(broker, mqtt_workload.FAST, 'fast').items() if k != 'client_id'}])
        plant = Plant(report, broker, varve, peer, Judge(report, scope, varve, peer, program, months, INSTANT, RANGE, '{plant!=""}'))

        def load(share, first_step, tag='', topics=options.topics):
            return mqtt_workload.Workload(options.seed, max(int(options.messages * share), topics), topics, months, first_step, tag)
        steps = -(-options.messages // options.topics) + 2

        report.say('%s and stock server run' % options.broker)
        kept = keep_some(plant, months)
        plant.start()
        first = load(0.65, 0)
        publish(report, plant, first, 'first', fast=plant.publish_fast(options.messages // 100, months))
        check_counters(report, plant, first)
        check_spool(report, varve, 'first')
        check_arrival(report, plant)
        plant.settle('first')
        plant.judge.running_answers()

        restart_amid(report, plant, load(0.25, steps))
        plant.settle('restart')
        plant.stop('after the restart')
        plant.compare('after the restart')

        few = max(options.topics // 20, 20)
        stock_in_between(report, scope, plant, program, [load(0.02, 3 * steps), load(0, 0, '-s', few)])
        plant.start()
        publish(report, plant, load(0.08, 2 * steps), 'after the stock server, old topics')
        publish(report, plant, load(0.02, 0, '-n', few), 'after the stock server, new topics')
        broker.publish([(topic, b'', 1, True) for topic in kept])   # how retained messages are cleared
        plant.total['edge'] += len(kept)
        plant.wait_durable()
        report.same(varve.metric('varve_mqtt_empty_messages_total'), len(kept), 'empty messages are none')
        report.same({m: varve.metric(m) for m in ZERO}, {m: 0 for m in ZERO}, 'counters of what goes wrong')
        plant.settle('after the stock server')
        plant.judge.running_answers()
        plant.stop('after the stock server')
        plant.compare('after the stock server')
        peer.stop()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--messages', type=int, default=500000)
    parser.add_argument('--topics', type=int, default=2000)
    parser.add_argument('--broker', choices=('mosquitto', 'hivemq'), default='mosquitto')
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    reports.run('mqtt_e2e', lambda r: main(r, arguments))
