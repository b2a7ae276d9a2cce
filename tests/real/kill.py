#!/usr/bin/env python3
"""kill -9 in the middle of the stream: nothing is missing, nothing is there twice.

    kill.py --build DIR [--fault-build DIR] [--kills N] [--samples N] [--rate N] [--seed N] [--proof]

So many samples come from Kafka, spread over the kills, while Varve flushes each 200 ms. In a build with fault points (--fault-build, default
--build if it has them) every second kill is at a named point of a commit, in turn, some after it was frozen there, and some are followed by one
in the recovery; the longer ones go on to points of a merge. The others are at random moments, after at least 3 commits. At each kill the group's
committed offsets must not be ahead of the positions that `varve inspect --json` finds in the directory. In the end the directory holds exactly
the rows produced, as `varve export` and a stock server count them.
--proof: the same finds builds that are wrong in one way (kill_proof.py).
"""
import argparse
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kill_proof
import workload
from harness import report as reports
from harness import stock as stocks
from harness.kafka import Kafka
from harness.numbered import PARTITIONS, Judgement, Stream, stock_export
from harness.scope import ProgramFailed, Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, has_fault_points, sink
from harness.varve import positions as positions_in

TOPIC, GROUP = 'stream', 'varve-stream'
# What a commit passes, in this order. Each is one kill of a round, maybe after it was frozen there.
POINTS = ('index.built', 'commit.cut', 'commit.rows_staged', 'commit.before_record', 'commit.recorded', 'commit.acknowledged',
          'kafka_before_acknowledge', 'publish.parts_json', 'publish.index', 'commit.published')
if os.environ.get('VARVE_TEST_FENCED'):         # the group's offsets come with the commit then (harness/varve.py)
    POINTS = tuple(p for p in POINTS if p != 'kafka_before_acknowledge') + ('commit.prepared', 'kafka_fenced_commit_taken', 'commit.agreed')
FROZEN = {'commit.before_record', 'commit.recorded'}    # in each other round, from the first on
OFTEN = {'publish.parts_json', 'index.built'}           # several times a commit
# Kills that leave something to recover, and where the recovery is killed then; not counted.
IN_RECOVERY = {'commit.recorded': 'recover.moved', 'commit.acknowledged': 'recover.listed', 'publish.index': 'recover.checkpoint'}
MERGE_POINTS = ('merge.begun', 'merge.built', 'merge.synced', 'merge.listed', 'merge.done', 'merge.source_removed')    # after the first round


class Run:
    def __init__(self, report, scope, options, chance, months):
        self.report, self.chance, self.months = report, chance, months
        self.kafka = Kafka(scope).start()
        self.kafka.create(TOPIC, PARTITIONS)
        sinks = [sink(self.kafka.brokers, TOPIC, GROUP)]
        self.varve = Varve(scope, options.build, scope.path('store'), sinks, storage={'flush_interval': '200ms'})
        build = options.fault_build or (options.build if has_fault_points(options.build) else None)
        self.fault = build and Varve(scope, build, self.varve.dir, sinks, name='varve-fault', storage={'flush_interval': '200ms'})
        self.stream = Stream(self.kafka, TOPIC, months, options.rate)

    def check_offsets(self, what, directory=None):
        """The group's committed offsets are not ahead of the directory's positions."""
        committed = self.kafka.committed(GROUP, TOPIC)
        r = self.varve.command('inspect', directory or self.varve.dir, '--json')
        if r.returncode != 0:
            self.report.check(False, what + ': varve inspect reads the killed store', r.stderr.decode('utf-8', 'replace'))
            return
        positions = positions_in(json.loads(r.stdout), TOPIC, prepared=True)
        later = self.kafka.committed(GROUP, TOPIC)      # what was still under way at the kill
        ahead = {p: (o, positions.get(p)) for c in (committed, later) for p, o in c.items() if o > 0 and o > positions.get(p, 0)}
        self.report.check(not ahead, '%s: committed offsets %s are not ahead of positions %s' % (what, later, positions), ahead)

    def random_kill(self, goal):
        """At a random moment, after at least 3 commits, and once so many samples are on their way."""
        begun, wanted = time.monotonic(), self.chance.randrange(3, 7)
        self.varve.start()

        def under_way():
            is_reached = self.stream.reached(goal)
            return self.varve.metric('varve_commits_total') >= wanted and is_reached
        wait_until(under_way, 60, '%d commits' % wanted)
        commits = self.varve.metric('varve_commits_total')
        time.sleep(self.chance.uniform(0, 0.25))
        self.varve.kill()
        self.check_offsets('killed after %.2f s and at least %d commits' % (time.monotonic() - begun, commits))

    def kill_at(self, point, arrival, goal, frozen=False):
        what = '%s at arrival %d of %s' % ('frozen' if frozen else 'killed', arrival, point)
        # The process may get there before it's ready: that's no failure of the start.
        self.fault.launch(env={'VARVE_FAULT_POINT': '%s:%d:%s' % (point, arrival, 'stop' if frozen else 'kill')})

        def there():                            # messages go on coming: without any there's no commit
            self.stream.reached(goal)
            return not self.fault.process.running() or frozen and self.fault.process.state() == 'T'
        try:
            wait_until(there, 60, '%s reached' % point, 0.02)
            if self.fault.process.exit_code() != (None if frozen else -9):
                raise ProgramFailed('it ended with %s\n%s' % (self.fault.process.exit_code(), self.fault.process.output()[-1500:]))
        except Exception as e:
            self.report.check(False, what, e)
            self.fault.kill()
            return
        if frozen:
            self.check_offsets(what, self.varve.copy('frozen'))
            self.fault.kill()
        self.check_offsets(what)

    def kills(self, count, samples):
        """So many, half of them at fault points, while that many samples come."""
        points = self.points(count // 2 if self.fault else 0)
        for n in range(count):
            goal = samples * (n + 1) // count
            if n % 2 and points:
                point, arrival, frozen = points.pop(0)
                self.kill_at(point, arrival, goal, frozen)
                if point in IN_RECOVERY:
                    self.kill_at(IN_RECOVERY[point], 1, goal)
            else:
                self.random_kill(goal)

    def points(self, count):
        """[(point, arrival, frozen)] of that many kills."""
        out, turn = [], 0
        while len(out) < count:
            names = list(POINTS + (MERGE_POINTS if turn else ()))
            self.chance.shuffle(names)
            for name in names:
                most = 2 if name in MERGE_POINTS else 20 if name in OFTEN else 6
                out.append((name, self.chance.randrange(1, most + 1), name in FROZEN and turn % 2 == 0))
            turn += 1
        return out[:count]


def recover_then_stock(report, scope, run, program):
    """A killed store isn't opened by a stock server; `varve recover` finishes the stop, then it is."""
    varve = run.varve
    guard = os.path.join(varve.dir, 'restore-in-progress')
    report.check(os.path.exists(guard), 'the guard is there after kill -9')
    stock = Stock(scope, varve.dir, 'stock-refused', program=program).launch()
    try:
        code = stock.process.wait(20)
    except Exception:
        code = None
        stock.process.kill()
    report.check(code not in (None, 0), 'a stock server refuses to start on the killed store', 'exit code %s' % code)
    r = varve.command('recover', varve.dir)
    report.check(r.returncode == 0, 'varve recover finishes the stop', r.stderr.decode('utf-8', 'replace'))
    report.check(not os.path.exists(guard), 'the guard is gone after varve recover')
    report.check(varve.command('verify', varve.dir).returncode == 0, 'varve verify finds nothing after varve recover')
    judge(report, 'varve export of the recovered store, up to its positions', varve.export_lines(), varve.positions(TOPIC), run.months)


def judge(report, what, lines, positions, months):
    found = Judgement(lines, positions, months)
    report.check(found.is_exact, '%s: %d samples in %d series, %s' % (what, found.rows, found.series, found), lambda: '\n'.join(found.examples))


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    with Scope('kill', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        run = Run(report, scope, options, chance, workload.months_from(time.time()))
        varve, kafka = run.varve, run.kafka
        if not run.fault:
            report.say('no build with fault points given: they are left out')
        run.kills(options.kills, options.samples)
        recover_then_stock(report, scope, run, program)

        varve.start()
        run.stream.reached(options.samples)
        messages = run.stream.finish()
        varve.wait_durable(kafka, GROUP, TOPIC)
        code, seconds = varve.stop()
        report.check(code == 0 and seconds <= 10, 'SIGTERM ends it cleanly within 10 s (%.1f s)' % seconds, 'exit code %s' % code)
        positions = kafka.high(TOPIC)
        report.check(sum(positions.values()) == messages and run.stream.samples >= options.samples, '%d messages with %d samples were produced' % (
            messages, run.stream.samples), positions)
        report.same(varve.positions(TOPIC), positions, 'positions are the ends of the partitions')
        judge(report, 'varve export', varve.export_lines(), positions, run.months)
        stock = Stock(scope, varve.dir, 'stock-end', program=program).start()
        judge(report, 'a stock server', stock_export(stock), positions, run.months)
        stock.stop()
        if options.proof:
            if run.fault:
                kill_proof.prove(report, scope, options.fault_build or options.build, kafka, run.months, chance)
            else:
                report.check(False, '--proof: a build with fault points is given')
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--fault-build')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--samples', type=int, default=2000000, help='produced at least (default 2,000,000)')
    parser.add_argument('--rate', type=int, default=100000, help='samples a second (default 100,000)')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--proof', action='store_true')
    arguments = parser.parse_args()
    reports.run('kill', lambda r: main(r, arguments))
