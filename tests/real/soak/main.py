#!/usr/bin/env python3
"""The soak: two Varve nodes of one group take in Kafka and MQTT for as long as wanted, while everything breaks and heals at random.

    tests/soak --minutes N [--build DIR] [--fault-build DIR] [--seed N] [--rate SAMPLES-A-SECOND] [--keep DIR]
               [--wrong SWITCH]

Rows that are unique by series, time and value go through two real Kafka brokers and a real mosquitto, and a proxy. Meanwhile, several at a time:
Varve is killed, at random moments, at named fault points, and while it recovers; it's frozen, its disk is full, its clock is stepped, it leaves
the group and comes back; brokers are killed, restarted and frozen, ways to them are cut and slowed down; partitions are added; merges are forced,
snapshots taken, queries asked, whose answers must be true at any moment. In the end all is healed, the consumer's lag has to become 0, and stock
VictoriaMetrics' exports of both stores must hold each row once: missing 0, extra 0.

A mosquitto that is killed loses what it hadn't saved, and brings again what it had forgotten to be acknowledged: messages of the seconds before
are counted apart. All else is exact, as no node is away for longer than its session.
Mounts a small file system for each store, so it needs root, or user namespaces. --keep: where both stores go when something is wrong.
"""
import argparse
import collections
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import workload
from harness import report as reports
from harness.scope import REPO, ProgramFailed, Scope
from harness.small_disk import enter_namespace
from soak import verdict
from soak.observer import INTEREST, WATCHED, LagWatch, Observer
from soak.rows import SOURCES
from soak.schedule import SHARES, Schedule
from soak.world import World


def summary(report, world, schedule, observers, lag, seconds, result, apart, by_node, seed):
    asked = collections.Counter()
    totals = collections.Counter()
    for o in observers:
        asked.update(o.done)
        totals.update(o.totals)
    said = [('seed', seed), ('disturbed for', '%.0f s' % seconds), ('partitions', world.partitions), ('rows in the stores', by_node)]
    said += [('disturbances', '%d: %s' % (sum(schedule.counts.values()), ', '.join('%s %d' % (k, schedule.counts.get(k, 0)) for k in SHARES)))]
    said += [(k, v) for k, v in world.counts.items()]
    said += [('asked meanwhile', ', '.join('%s %d' % pair for pair in sorted(asked.items())))]
    said += [(name, int(totals[name])) for name in INTEREST]
    said += [('peak memory', ', '.join('%s %.0f MiB' % (n.name, n.peak_mib) for n in world.nodes)),
             ('largest lag', '%d messages' % lag.peak),
             ('samples', sum(made for made, _, _ in result.values())),
             ('missing', sum(m for _, m, _ in result.values())), ('extra', sum(e for _, _, e in result.values())),
             ('apart, of killed mosquittos', '%d messages, of which they lost %d and brought %d again' % apart)]
    for key, value in said:
        report.say('%s: %s' % (key, value))


def keep(world, to):
    for n in world.nodes:
        shutil.copytree(n.dir, os.path.join(to, n.name), symlinks=True, dirs_exist_ok=True)
    world.scope.keep_logs_in = to


def soak(report, options, scope, chance):
    program = verdict.program(scope)
    world = World(scope, report, chance, workload.months_from(time.time()), options)
    try:
        world.start()
        report.check(True, 'two nodes, two Kafka brokers, a mosquitto: rows come in')
        observers = [Observer(world, n, chance.randrange(1 << 30)) for n in world.nodes]
        lag = LagWatch(world)
        schedule, begin = Schedule(world), time.monotonic()
        schedule.run(options.minutes * 60)
        seconds = time.monotonic() - begin
        report.check(len(schedule.counts) == len(SHARES) or options.minutes < 3, '%d disturbances of %d kinds' % (sum(schedule.counts.values()), len(schedule.counts)))
        verdict.drain(world)
        for o in (*observers, lag):
            o.stop()
        verdict.stop(world)
        verdict.positions(world)
        verdict.ungraceful(world)
        tally, by_node = verdict.count(world, program)
        result, apart = verdict.judge(world, tally)
        report.check(not any(o.wrong for o in observers), '%d queries meanwhile were answered truly' % sum(o.done['query'] for o in observers),
                     lambda: [o.wrong[:5] for o in observers])
        for name in WATCHED:
            report.same(int(sum(o.totals[name] for o in observers)), 0, name)
        summary(report, world, schedule, observers, lag, seconds, result, apart, by_node, options.seed)
        return result
    except BaseException:
        scope.failed = True
        raise
    finally:
        if (scope.failed or report.failed) and options.keep:
            keep(world, options.keep)


def find_wrong(report, options, scope, chance):
    """The same with a Varve that is wrong in one way."""
    inner = reports.Report()
    try:
        result = soak(inner, options, scope, chance)
    except ProgramFailed as e:
        report.check(False, 'a Varve with %s soaks to the end' % options.wrong, e)
        return
    report.check(result and any(m or e for _, m, e in result.values()), 'a Varve with %s is found: %s' %
                 (options.wrong, ', '.join('%s missing %d, extra %d' % (SOURCES[s], m, e) for s, (_, m, e) in result.items())))


def main(report, options):
    report.say('seed %d, %g minutes, %d samples a second' % (options.seed, options.minutes, options.rate))
    with Scope('soak', keep_logs_in=options.build) as scope:
        (find_wrong if options.wrong else soak)(report, options, scope, random.Random(options.seed))
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=3)
    parser.add_argument('--build', default=os.path.join(REPO, 'build', 'release'), help='what is soaked (default: build/release)')
    parser.add_argument('--fault-build', default=os.path.join(REPO, 'build', 'dev'), help='a build with fault points (default: build/dev)')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--rate', type=int, default=2000, help='samples a second (default 2000)')
    parser.add_argument('--keep', metavar='DIR', help='where both stores go if something is wrong')
    parser.add_argument('--wrong', metavar='SWITCH', help='of the build with fault points, with a FAULT_SWITCH on: passes if the soak finds what is wrong')
    arguments = parser.parse_args()
    enter_namespace()
    reports.run('soak', lambda r: main(r, arguments))
