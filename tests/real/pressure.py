#!/usr/bin/env python3
"""Two nodes under load from Kafka and MQTT; one is put under pressure, and meanwhile its group's partitions are assigned anew.

    pressure.py --build DIR [--plan quick|full] [--assignor range|cooperative-sticky] [--kind NAME]... [--proof] [--seed N]

Each node has a store of its own, partitions of one Kafka topic, in one group with the other, and an MQTT session (QoS 1). The producers never rest.
A node's storage hangs for longer than a session, a keepalive and a revoke's patience; its spool is full; its disk is full; its memory is used up.
During each the other node leaves, or joins, or the topic gets more partitions. It has to be seen that nothing is committed meanwhile and the
brokers keep what comes; that metrics name the reason; that the node is polled and kept alive: the coordinator throws nobody out and the rebalance
ends, mosquitto misses no keepalive; and that everything goes on by itself. In the end stock servers over both stores have each row, once.
Needs root, or user namespaces, for its small file systems.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pressure_group
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.mqtt import Mqtt
from harness.scope import Scope, wait_until
from harness.small_disk import enter_namespace
from harness.stock import Stock
from pressure_kinds import KINDS
from pressure_world import SESSION_MS, World

REVOKE_S = 10                                   # how long a revoke waits for a flush
# (pressure, which node, what the group does, seconds that it lasts after that)
QUICK = {'range': [('stall', 0, 'join', 14), ('disk', 0, 'leave', 1)],
         'cooperative-sticky': [('spool', 0, 'grow', 1), ('memory', 1, 'leave', 1)]}
LONG_S = 15
FULL = {name: [(kind, n % 2, event, LONG_S) for n, kind in enumerate(KINDS) for event in ('leave', 'join', 'grow')] for name in QUICK}
for episodes in FULL.values():                  # each flood is 1.6 million rows, to be compared at the end
    episodes.remove(('memory', 0, 'grow', LONG_S))
PLANS = {'quick': QUICK, 'full': FULL}


# ------------------------------------------------------------ what the group does meanwhile

def leave(report, world, other, what):
    code, seconds = other.stop(15)
    report.check(code == 0, '%s: the other node leaves (%.1f s)' % (what, seconds), 'exit code %s\n%s' % (code, other.process.output()[-1500:]))
    return 1, lambda: True


def join(report, world, other, what):
    other.launch()
    return 2, lambda: other.http.answers('/ready') and world.assigned(other) == world.partitions // 2


def grow(report, world, other, what):
    world.partitions += 2
    world.kafka.kt('grow', world.topic, world.partitions)
    world.kafka_source.partitions = world.partitions
    return 2, lambda: world.assigned(other) == world.partitions // 2


EVENTS = {'leave': leave, 'join': join, 'grow': grow}


def episode(report, world, group, kind, number, event, seconds):
    victim, other = world.nodes[number], world.nodes[1 - number]
    what = '%s: %s, %s' % (world.name, kind, event)
    if not victim.process.running():
        victim.start()
    if event == 'join' and other.process.running():
        other.stop()
    elif event != 'join' and not other.process.running():
        other.start()
    if world.configure(victim, kind):
        victim.stop()
        victim.start()
    world.wait_shared()
    world.prepare(victim, kind)
    pressure = KINDS[kind](world, victim)
    group.mark()
    begin = time.monotonic()
    report.say('--- %s' % what)
    pressure.begin()
    try:
        pressure.felt()
        pressure.check(report, what)
        event_at = time.monotonic()
        members, reached = EVENTS[event](report, world, other, what)
        # A revoke waits for a flush unless intake is paused; that belongs to the rebalance.
        bound = (2 if pressure.paused else REVOKE_S + 3) + SESSION_MS / 1000
        stable = group.wait_stable(members, reached, bound, event_at)
        report.check(stable is not None, '%s: the rebalance ends under pressure, after %.1f s of %.0f' % (what, stable or 0, bound), group.since_mark)
        while time.monotonic() < event_at + seconds:
            world.load.check()
            report_answer(report, victim, what)
            time.sleep(0.5)
        lasted = time.monotonic() - begin
    finally:
        pressure.end()
    resumed(report, world, victim, what)
    report.say('%s: lasted %.1f s, all goes on %.1f s later' % (what, lasted, time.monotonic() - begin - lasted))
    report.same(group.thrown_out(), [], '%s: the coordinator throws nobody out' % what)
    report.check(victim.metric('varve_mqtt_lost_connections_total') == 0, '%s: no MQTT connection is lost' % what)
    if pressure.keeps_connection:
        report.same(victim.metric('varve_mqtt_connects_total'), 1, '%s: one MQTT connection all the while' % what)


def report_answer(report, node, what):
    begin = time.monotonic()
    if not node.http.answers('/health') or not node.metrics() or time.monotonic() - begin > 2:
        report.check(False, '%s: it answers' % what, 'after %.1f s' % (time.monotonic() - begin))


def resumed(report, world, victim, what):
    """By itself, once the pressure is gone."""
    commit = victim.metric('varve_commit_number')
    taken = victim.metric('varve_sink_messages_total', sink='plant'), victim.metric('varve_sink_messages_total', sink='edge')
    try:
        world.wait_shared(40)
        wait_until(lambda: victim.metric('varve_commit_number') > commit and victim.metric('varve_intake_paused') == 0 and
                   victim.metric('varve_sink_messages_total', sink='plant') > taken[0] and
                   victim.metric('varve_sink_messages_total', sink='edge') > taken[1], 30, 'it takes in from both brokers, and commits', 0.1)
        report.check(True, '%s: both sources go on by themselves' % what)
    except Exception as e:
        report.check(False, '%s: both sources go on by themselves' % what, '%s\n%s\n%s' % (
            e, {n.name: world.assigned(n) for n in world.nodes}, victim.process.output()[-2500:]))
        raise


def check_end(report, world, program):
    expected = world.end()
    lines, stores = [], {}
    for node in world.nodes:
        code, seconds = node.stop()
        report.check(code == 0, '%s stops cleanly (%.1f s)' % (node.name, seconds), 'exit code %s\n%s' % (code, node.process.output()[-1500:]))
        verify = node.command('verify', node.dir)
        report.check(verify.returncode == 0, '%s: varve verify finds nothing' % node.name, verify.stderr.decode('utf-8', 'replace'))
        stock = Stock(world.scope, node.copy('copy-' + node.name), 'stock-' + node.name, program=program).start()
        found = stock.export()
        stock.stop()
        own = world.mqtt_sources[node.name]
        report.same(sum(r for r in [len(Export([x]).series) for x in found if b'"mq_v"' in x]), len(own.rows), '%s holds its own MQTT series only' % node.name)
        stores[node.name] = Export(found)
        report.say('%s: %d rows' % (node.name, stores[node.name].rows))
        lines += found
    difference = Difference(Export(lines), expected)
    report.check(not difference, '%s: stock servers over both stores: of %d rows missing %d, extra %d' %
                 (world.name, expected.rows, difference.missing, difference.extra), lambda: '%s\n%s' % (difference, where(stores, expected, world.kafka_source.offsets)))
    return difference


def where(stores, expected, offsets):
    """Of each Kafka partition, which records are in which stores more often than once."""
    found = collections.defaultdict(set)
    for key, (stamps, _) in expected.series.items():
        if sum(len(e.series.get(key, ((),))[0]) for e in stores.values()) <= len(stamps):
            continue
        of = {name: collections.Counter(e.multiset(key)) for name, e in stores.items()}
        for row, n in sum(of.values(), collections.Counter()).items():
            record = offsets.get((json.loads(key).get('host'), int(row[1][1])))
            if n > 1 and record:
                found[record[0], ' '.join('%s*%d' % (name, c[row]) for name, c in of.items() if c[row])].add(record[1])
    return '\n'.join('partition %d, %d records of offsets %d to %d twice: %s' % (p, len(o), min(o), max(o), what) for (p, what), o in sorted(found.items()))


class Quiet(reports.Report):
    """Counts, and says nothing."""

    def say(self, text):
        pass


def prove(report, world, program):
    """A build that lets a hanging commit have what went to the other node: its rows have to be found twice."""
    world.nodes[0].env = {**world.nodes[0].env, 'VARVE_FAULT_SWITCH': 'commit_discarded'}
    difference = run_world(Quiet(), world, [('journal', 0, 'join', 14)], program)
    report.check(difference.extra > 0 and not difference.missing, 'a wrong build is found: missing %d, extra %d' % (difference.missing, difference.extra))


def run_world(report, world, episodes, program):
    for kind, number, _, _ in reversed(episodes):
        world.configure(world.nodes[number], kind)
    group = pressure_group.Group(world.kafka, world.group)
    try:
        world.start()
        for kind, number, event, seconds in episodes:
            episode(report, world, group, kind, number, event, seconds)
        for node in world.nodes:
            if not node.process.running():
                node.start()
        world.wait_shared()
        return check_end(report, world, program)
    finally:
        world.load.end()


def main(report, options):
    report.say('seed %d, plan %s' % (options.seed, options.plan))
    with Scope('pressure', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope, options=['--set', 'group.initial.rebalance.delay.ms=0']).start()
        broker = Mqtt(scope).start()
        program, worlds = stocks.binary(scope), []
        for assignor, episodes in PLANS[options.plan].items():
            wanted = [e for e in episodes if not options.kind or e[0] in options.kind]
            if wanted and options.assignor in (None, assignor):
                worlds.append((World(scope, options, kafka, broker, assignor, assignor.split('-')[0]), wanted))
        with concurrent.futures.ThreadPoolExecutor(len(worlds)) as pool:      # most of it is waiting
            runs = [pool.submit(run_world, report, world, wanted, program) for world, wanted in worlds]
        if options.proof:
            prove(report, World(scope, options, kafka, broker, 'range', 'proof'), program)
        with open(os.path.join(broker.dir, 'out.log'), errors='replace') as f:
            late = [line for line in f if 'exceeded timeout' in line]
        report.same(late, [], 'mosquitto misses no keepalive')
        scope.failed = report.failed > 0
        for r in runs:
            r.result()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--plan', choices=sorted(PLANS), default='quick')
    parser.add_argument('--assignor', choices=sorted(QUICK))
    parser.add_argument('--kind', choices=sorted(KINDS), action='append', help='only these')
    parser.add_argument('--proof', action='store_true', help='also that a wrong build is found; needs fault points')
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    enter_namespace()
    reports.run('pressure', lambda r: main(r, arguments))
