#!/usr/bin/env python3
"""fenced_commits: two nodes in one consumer group, each with a store of its own, whose partitions move in every way there is.

    fenced.py --build DIR [--moves N] [--rounds N] [--seed N] [--short] [--plain]
                                                                --rounds 0, the default: only the steps around the decision; --short: one kill, one freeze

Nodes are killed and frozen (for longer than their session) at each step of a commit, and the other one takes over; then they come back, at once or
after that. The broker is away when a node comes back with a commit that its group has to decide on. In the end each row is in exactly one store:
missing 0, extra 0. Needs a build with fault points. --plain does the same without fenced_commits, and has to find rows in both.
"""
import argparse
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import two_nodes
import workload
from harness import report as reports
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.scope import ProgramFailed, Scope, wait_until
from harness.varve import has_fault_points
from two_nodes import GROUP, PARTITIONS, TOPIC, Stream, assigned, drain, load_for, wait_for

# Steps of a commit, in order. With fenced_commits the group decides between the second and the third.
FENCED = ['commit.prepared', 'kafka_before_fenced_commit', 'kafka_fenced_commit_taken', 'commit.agreed', 'commit.recorded', 'commit.published']
KILLS = ['kafka_fenced_commit_taken', 'commit.agreed', 'commit.prepared']        # of --rounds 0; the second one comes back after the other took over
FREEZES = ['commit.prepared', 'commit.agreed']
SHORT = {'kills': ['kafka_fenced_commit_taken'], 'freezes': ['commit.agreed']}    # and the kill of without_broker()
PLAIN = ['commit.recorded']
UNDECIDED = 'varve_commit_undecided_seconds'
SESSION_MS = 4000                               # less than Kafka's default allows: much of the time goes by waiting for sessions to end


def node(scope, build, kafka, number, fenced):
    n = two_nodes.node(scope, build, kafka, number, 'range')
    n.config['sinks'][0]['librdkafka']['session.timeout.ms'] = str(SESSION_MS)
    if fenced:
        n.config['sinks'][0]['fenced_commits'] = True
    return n


def stopped(varve):
    """Whether SIGSTOP has it."""
    try:
        with open('/proc/%d/stat' % varve.process.pid) as f:
            return f.read().rpartition(')')[2].split()[0] == 'T'
    except (OSError, IndexError):
        return False


def reach(stream, survivor, victim, point, chance, how):
    """The victim has its half, goes on for some commits, and comes to its fault point."""
    victim.launch(env={'VARVE_FAULT_POINT': '%s:%d:%s' % (point, chance.randrange(4, 8), how)})

    def there():
        return not victim.process.running() if how == 'kill' else stopped(victim)
    wait_for(stream, there, 60, '%s at %s' % (victim.name, point))
    victim.http.close()


def shared(stream, survivor, victim):
    wait_for(stream, lambda: victim.http.answers('/ready') and assigned(victim) == assigned(survivor) == PARTITIONS // 2, 60, 'each has its half')


def verdicts(varve):
    m = varve.metrics()
    return ', '.join('%s %d' % (name, m.get(('varve_kafka_fenced_commits_%stotal' % key, (('sink', 'plant'),)), 0))
                     for name, key in (('made', ''), ('refused', 'refused_'), ('found made', 'found_'), ('unknown', 'unknown_')))


def killed(report, stream, survivor, victim, point, chance, at_once, again=True):
    """again: and at a random moment, after which the other one has all"""
    reach(stream, survivor, victim, point, chance, 'kill')
    victim.kill()
    if not at_once:
        wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the other has all')
        load_for(stream, 0.5)
    victim.start()
    shared(stream, survivor, victim)
    report.say('killed at %s, back %s: %s' % (point, 'at once' if at_once else 'after the other took over', verdicts(victim)))
    load_for(stream, chance.uniform(0, 1))
    if not again:
        stop(stream, survivor, victim)
        return
    victim.kill()
    wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the other has all')


def stop(stream, survivor, victim):
    victim.stop()
    wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the other has all')


def frozen(report, stream, survivor, victim, point, chance, again=True):
    reach(stream, survivor, victim, point, chance, 'stop')
    wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the other has all')
    load_for(stream, 0.7)
    victim.process.signal(signal.SIGCONT)
    shared(stream, survivor, victim)
    report.say('frozen at %s, woken after the other took over: %s' % (point, verdicts(victim)))
    load_for(stream, chance.uniform(0, 1))
    if again:
        victim.process.signal(signal.SIGSTOP)
        wait_for(stream, lambda: assigned(survivor) == PARTITIONS, 60, 'the other has all')
        load_for(stream, 0.5)
        victim.process.signal(signal.SIGCONT)
        shared(stream, survivor, victim)
    stop(stream, survivor, victim)


def rows_of(varve):
    return Export(varve.http.get('/api/v1/export?match[]={__name__!=""}').splitlines()).rows


def without_broker(report, stream, kafka, survivor, victim, chance):
    """The broker is away when the commit is to be decided: what is before it can be read, intake waits and says so."""
    reach(stream, survivor, victim, 'commit.prepared', chance, 'kill')
    stream.finish()
    before = victim.export().rows
    kafka.kill()
    victim.start()
    report.check(rows_of(victim) == before > 0, 'without a broker the store opens with the %d rows before the open commit' % before, lambda: rows_of(victim))
    wait_until(lambda: victim.metric('varve_intake_paused', reason='undecided') == 1 and victim.metric(UNDECIDED) > 4, 20, 'intake waits')
    report.check('waits for group' in victim.process.output() and 'intake waits' in victim.process.output(), 'it says that it waits, and for what',
                 lambda: victim.process.output()[-1500:])
    code, took = victim.stop()
    report.same(code, 0, 'it can be stopped meanwhile, in %.1f s' % took)
    report.same(victim.command('offsets', 'reset', victim.dir, '--sink', 'plant', '--topic', TOPIC, '--partition', '0', '--to', 'earliest', '--execute').returncode != 0,
                True, 'an offset can\'t be moved meanwhile')
    victim.command('recover', victim.dir, check=True)
    report.same(victim.export().rows, before, '`varve recover` leaves it open')
    victim.start()
    kafka.start()
    shared(stream, survivor, victim)
    # Each of its next commits is undecided for a moment, too.
    wait_for(stream, lambda: victim.metric(UNDECIDED) == 0 and victim.metric('varve_intake_paused', reason='undecided') == 0, 10, 'nothing is open')
    wait_for(stream, lambda: rows_of(victim) > before, 10, 'rows come in')
    report.check(True, 'with the broker back it goes on')
    load_for(stream, 1)


def check_union(report, stream, nodes, fenced, what):
    found, expected = two_nodes.union(nodes), Export.of_rows(stream.rows)
    difference = Difference(found, expected)
    report.check(difference.missing == 0, '%s: of %d rows none is missing' % (what, expected.rows), lambda: difference)
    report.check((difference.extra == 0) == fenced, '%s: %d rows are in both stores' % (what, difference.extra), lambda: difference)
    for n in nodes:
        report.same(n.inspect()['rows'], n.export().rows, '%s shows every row that it holds' % n.name)
        report.check(n.export().rows > expected.rows // 20, '%s has its share: %d rows' % (n.name, n.export().rows))


def stop_all(report, stream, kafka, nodes):
    running = [n for n in nodes if n.process and n.process.running()]
    drain(stream, kafka, running[0])
    for n in running:
        code, _ = n.stop()
        report.same(code, 0, '%s stops cleanly' % n.name)


def settle(nodes):
    """What one of them left open is decided by starting it."""
    for n in nodes:
        n.start()
        wait_until(lambda: n.metric(UNDECIDED) == 0 and n.metric('varve_intake_paused', reason='undecided') == 0 and assigned(n) > 0, 60, 'nothing is open')
        n.stop()


def main(report, options):
    chance = random.Random(options.seed)
    fenced = not options.plain
    report.say('seed %d' % options.seed)
    if not has_fault_points(options.build):
        raise ProgramFailed('%s has no fault points' % options.build)
    with Scope('fenced', keep_logs_in=options.build) as scope:
        kafka = Kafka(scope, options=['--set', 'group.initial.rebalance.delay.ms=0', '--set', 'group.min.session.timeout.ms=%d' % SESSION_MS]).start()
        kafka.create(TOPIC, PARTITIONS)
        stream = Stream(kafka, options.seed, workload.months_from(time.time()))
        nodes = [node(scope, options.build, kafka, n, fenced) for n in (1, 2)]
        survivor, victim = two_nodes.graceful(report, stream, nodes, options.moves)
        kills, freezes = (KILLS, FREEZES) if fenced else (PLAIN, PLAIN)
        if options.short:
            kills, freezes = SHORT['kills'], SHORT['freezes']
        elif options.rounds:
            kills = freezes = (FENCED if fenced else PLAIN) * options.rounds
        for i, point in enumerate(kills):
            killed(report, stream, survivor, victim, point, chance, i % 2 == (0 if fenced and not options.short else 1), not options.short)
        for point in freezes:
            frozen(report, stream, survivor, victim, point, chance, not options.short)
        if fenced:
            without_broker(report, stream, kafka, survivor, victim, chance)
        stop_all(report, stream, kafka, nodes)
        settle(nodes)
        check_union(report, stream, nodes, fenced, 'in the end')
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--moves', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=0)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--short', action='store_true', help='one kill, one freeze, and the broker away')
    parser.add_argument('--plain', action='store_true')
    arguments = parser.parse_args()
    reports.run('fenced', lambda r: main(r, arguments))
