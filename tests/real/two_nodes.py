#!/usr/bin/env python3
"""Two nodes in one consumer group, each with a store of its own.

    two_nodes.py --build DIR [--moves N] [--kills N] [--freezes N] [--assignor NAME] [--seed N]

Under load, partitions move in good order (a node joins; one stops with leave_on_stop): each row is in exactly one store. Then nodes are killed, at
random moments and just behind a commit record, and frozen for longer than their session: nothing is missing, and what is in both stores is what
the node had made durable and the group didn't know of yet. How much that was is measured, in records and as time of the stream. Some messages
have a line that can't be decoded: the rejects of both nodes hold each once, and once more where it lies in such a window.
"""
import argparse
import collections
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import rejects
from harness import report as reports
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.scope import ProgramFailed, Scope, wait_until
from harness.varve import Varve, has_fault_points, sink

TOPIC, GROUP, PARTITIONS = 'shared', 'varve-nodes', 6
RATE, LINES = 120, 10                           # messages a second, lines a message
FLUSH = 1.0                                     # seconds
SESSION_MS = 6000
BAD_EVERY = 5                                   # messages


class Stream:
    """Unique rows in the background, until it's told to end."""

    def __init__(self, kafka, seed, months):
        self.kafka, self.seed, self.months = kafka, seed, months
        self.rows, self.count, self.running, self.bad = {}, 0, None, 0

    def keep_going(self):
        if self.running is not None and self.running.running():
            return
        self.finish()
        # first makes values and times unique; it's small, since times grow with it and mustn't come to lie in the future
        made, rows = workload.unique_messages(self.seed + self.count, RATE * 5, self.months, PARTITIONS, lines=LINES, first=self.count * PARTITIONS)
        self.count += 1
        made = [(p, key, text + b'\nnofields' if n % BAD_EVERY == 0 else text) for n, (p, key, text) in enumerate(made)]
        self.bad += (len(made) + BAD_EVERY - 1) // BAD_EVERY
        for key, r in rows.items():
            self.rows.setdefault(key, []).extend(r)
        self.running = self.kafka.produce_in_background(TOPIC, self.kafka.write(made), rate=RATE)

    def finish(self):
        if self.running is not None and self.running.wait(60) != 0:
            raise ProgramFailed('the producer failed:\n' + self.running.output())
        self.running = None


def node(scope, build, kafka, number, assignor):
    properties = {'session.timeout.ms': str(SESSION_MS), 'heartbeat.interval.ms': '1000', 'partition.assignment.strategy': assignor}
    return Varve(scope, build, scope.path('node%d' % number), [sink(kafka.brokers, TOPIC, GROUP, leave_on_stop=True, librdkafka=properties)],
                 name='node%d' % number, storage={'flush_interval': '%dms' % (FLUSH * 1000)}, node='node%d' % number)


def assigned(varve):
    return varve.metric('varve_kafka_partitions_assigned')


def wait_for(stream, condition, timeout, what):
    def step():
        stream.keep_going()
        return condition()
    return wait_until(step, timeout, what)


def load_for(stream, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stream.keep_going()
        time.sleep(0.05)


def graceful(report, stream, nodes, moves):
    """Both take part in turn; between the moves one has all, or each a half."""
    a, b = nodes
    a.start()
    wait_for(stream, lambda: assigned(a) == PARTITIONS, 30, 'the first node has all partitions')
    for move in range(moves):
        load_for(stream, 1)
        b.start()
        wait_for(stream, lambda: assigned(a) == assigned(b) == PARTITIONS // 2, 30, 'each node has its half')
        load_for(stream, 1.5)
        begin = time.monotonic()
        code, _ = a.stop()
        report.same(code, 0, 'move %d: a node stops and leaves' % (move + 1))
        wait_for(stream, lambda: assigned(b) == PARTITIONS, 30, 'the other has all')
        report.check(time.monotonic() - begin < SESSION_MS / 1000, 'move %d: the other took over in %.1f s, before a session ends' % (move + 1, time.monotonic() - begin))
        a, b = b, a
    return a, b


def union(nodes):
    lines = []
    for n in nodes:
        lines += n.command('export', n.dir, check=True).stdout.splitlines()
    return Export(lines)


def drain(stream, kafka, alive):
    stream.finish()
    alive.wait_durable(kafka, GROUP, TOPIC, 60)


def window(kafka, victim, directory=None):
    """Offsets that the victim's store has and that the group, once it's at rest, doesn't know of: {(partition, offset)}."""
    time.sleep(0.7)                             # a commit that was under way
    committed = kafka.committed(GROUP, TOPIC)
    durable = victim.positions(TOPIC, directory)
    return {(p, n) for p, c in committed.items() for n in range(max(0, c), durable.get(p, 0))}


def take_over(stream, survivor):
    wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the survivor has all')


def join(stream, survivor, victim, env=None):
    victim.launch(env=env)

    def shared():
        if not victim.process.running():
            return True                         # at its fault point already
        return victim.http.answers('/ready') and assigned(victim) == assigned(survivor) == PARTITIONS // 2
    wait_for(stream, shared, 40, 'the victim has its half')


def killed(report, stream, kafka, survivor, victim, chance, at_record):
    env = {'VARVE_FAULT_POINT': 'commit.recorded:%d:kill' % chance.randrange(5, 9)} if at_record else None
    join(stream, survivor, victim, env)
    if at_record:
        wait_for(stream, lambda: not victim.process.running(), 30, 'the fault point')
    else:
        load_for(stream, chance.uniform(0.5, 3))
    victim.kill()
    repeated = window(kafka, victim)
    report.say('killed %s: %d records are durable there and unknown to the group, %.2f s of the stream' %
               ('behind a commit record' if at_record else 'at a random moment', len(repeated), len(repeated) / (RATE / 2)))
    take_over(stream, survivor)
    return repeated


def frozen(report, stream, kafka, survivor, victim, chance):
    """Stopped for longer than its session, while rows of it are on their way; then it wakes and finds that it has lost them."""
    if not victim.process.running():            # it's a member still, after another freeze
        join(stream, survivor, victim)
    load_for(stream, chance.uniform(0.5, 2))
    victim.process.signal(signal.SIGSTOP)
    repeated = window(kafka, victim, victim.copy('frozen'))
    take_over(stream, survivor)
    load_for(stream, 0.5)
    before = victim.process.output()
    victim.process.signal(signal.SIGCONT)
    wait_for(stream, lambda: assigned(victim) == assigned(survivor) == PARTITIONS // 2, 40, 'the woken node is a member again')
    said = victim.process.output()[len(before):]
    report.check('lost' in said, 'the woken node says that it lost its partitions', said[-1500:])
    report.say('frozen: %d records were durable and unknown to the group' % len(repeated))
    return repeated


def check_rejects(report, stream, nodes, windows, what):
    have = collections.Counter()
    for n in nodes:
        for entry in rejects.read(os.path.join(n.dir, 'varve', 'rejects')):
            have[tuple(int(x) for x in re.fullmatch(r'%s/(\d+)@(\d+) line \d+' % TOPIC, entry.position).groups())] += 1
    wrong = {where: count for where, count in have.items() if count != 1 + sum(where in w for w in windows)}
    report.same(len(have), stream.bad, '%s: each bad line is in the rejects of a node' % what)
    report.check(not wrong, '%s: once, and again where the windows have it: %d entries' % (what, sum(have.values())), lambda: 'times: %s' % wrong)


def check_union(report, stream, nodes, windows, what):
    records = sum(len(w) for w in windows)
    found, expected = union(nodes), Export.of_rows(stream.rows)
    rows = records * LINES * 2
    difference = Difference(found, expected)
    report.check(difference.missing == 0, '%s: of %d rows none is missing' % (what, expected.rows), lambda: difference)
    report.check(difference.extra == rows, '%s: %d rows are in both stores, as many as the windows hold' % (what, difference.extra),
                 lambda: 'expected %d\n%s' % (rows, difference))
    for n in nodes:
        report.same(n.inspect()['rows'], n.export().rows, '%s shows every row that it holds' % n.name)
        report.check(n.export().rows > expected.rows // 20, '%s has its share: %d rows' % (n.name, n.export().rows))
    check_rejects(report, stream, nodes, windows, what)


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    fault = has_fault_points(options.build)
    with Scope('nodes', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope, options=['--set', 'group.initial.rebalance.delay.ms=0']).start()
        kafka.create(TOPIC, PARTITIONS)
        stream = Stream(kafka, options.seed, workload.months_from(time.time()))
        nodes = [node(scope, options.build, kafka, n, options.assignor) for n in (1, 2)]
        survivor, victim = graceful(report, stream, nodes, options.moves)
        drain(stream, kafka, survivor)
        code, _ = survivor.stop()
        report.same(code, 0, 'it stops cleanly')
        check_union(report, stream, nodes, [], 'after %d moves in good order' % options.moves)

        survivor.start()
        windows = [killed(report, stream, kafka, survivor, victim, chance, fault and n % 2 == 0) for n in range(options.kills)]
        windows += [frozen(report, stream, kafka, survivor, victim, chance) for _ in range(options.freezes)]
        drain(stream, kafka, survivor)
        for n in nodes:
            if n.process.running():
                code, _ = n.stop()
                report.same(code, 0, '%s stops cleanly' % n.name)
                continue
            n.start()                           # a killed one recovers, its rejects too
            n.stop()
        longest = max((len(w) for w in windows), default=0) / (RATE / 2)
        # One commit's records; a node that has just got partitions catches up with what came while they were nobody's.
        report.check(longest <= FLUSH + 1.5, 'the longest window: %.2f s of the stream, with flush_interval %g s' % (longest, FLUSH))
        check_union(report, stream, nodes, windows, 'after %d kills and %d freezes' % (options.kills, options.freezes))
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--moves', type=int, default=2)
    parser.add_argument('--kills', type=int, default=2)
    parser.add_argument('--freezes', type=int, default=1)
    parser.add_argument('--assignor', default='range')
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('nodes', lambda r: main(r, arguments))
