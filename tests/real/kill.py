#!/usr/bin/env python3
"""kill -9 in the middle of the stream: nothing is missing, nothing is there twice.

    kill.py --build DIR [--kills N] [--seed N] [--fault-build DIR]

A producer runs all the time; Varve is killed at random moments and started again. At each kill the group's committed offsets must not be ahead
of the positions that `varve inspect --json` finds in the directory. In a build with fault points (--fault-build, default --build if it has
them) the process is also killed at each step of a commit, and frozen before and after the commit record and then killed. In the end the
directory holds exactly the rows produced.
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export
from harness.kafka import Kafka
from harness.kafka_stream import GROUP, PARTITIONS, TOPIC, Stream
from harness.scope import ProgramFailed, Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, has_fault_points, sink

POINTS = ('commit.before_record', 'commit.recorded', 'commit.published', 'commit.acknowledged', 'publish.index', 'publish.parts_json')
FROZEN = ('commit.before_record', 'commit.recorded')


def check_offsets(report, kafka, varve, what, directory=None):
    """The group's committed offsets are not ahead of the directory's positions."""
    committed = kafka.committed(GROUP, TOPIC)
    r = varve.command('inspect', directory or varve.dir, '--json')
    if r.returncode != 0:
        report.check(False, what + ': varve inspect reads the killed store', r.stderr.decode('utf-8', 'replace'))
        return
    positions = varve.positions(TOPIC, directory)
    later = kafka.committed(GROUP, TOPIC)       # what was still under way at the kill
    ahead = {p: (o, positions.get(p)) for c in (committed, later) for p, o in c.items() if o > 0 and o > positions.get(p, 0)}
    report.check(not ahead, '%s: committed offsets %s are not ahead of positions %s' % (what, later, positions), ahead)


def random_kills(report, varve, kafka, stream, chance, kills):
    for n in range(kills):
        stream.keep_going()
        varve.config['storage']['flush_interval'] = '%dms' % chance.choice((200, 350, 500, 1000))
        varve.start()
        pause = chance.uniform(0.05, 4)
        time.sleep(pause)
        varve.kill()
        check_offsets(report, kafka, varve, 'kill %d after %.2f s' % (n + 1, pause))


def arrive(varve, stream, point, how, timeout=30):
    """Waits until the process is at its fault point: dead, or stopped. Messages go on coming: without any there's no commit."""
    def there():
        stream.keep_going()
        return not varve.process.running() or how == 'stop' and varve.process.state() == 'T'
    wait_until(there, timeout, '%s reached' % point)
    if how == 'kill':
        if varve.process.exit_code() != -9:
            raise ProgramFailed('at %s it ended with %s\n%s' % (point, varve.process.exit_code(), varve.process.output()[-1500:]))
    else:
        if not varve.process.running():
            raise ProgramFailed('at %s it ended with %s\n%s' % (point, varve.process.exit_code(), varve.process.output()[-1500:]))


def fault_points(report, varve, kafka, stream, chance):
    varve.config['storage']['flush_interval'] = '300ms'
    for point, how in [(p, 'kill') for p in POINTS] + [(p, 'stop') for p in FROZEN]:
        arrival = chance.randrange(1, 6)
        what = '%s at arrival %d of %s' % ('frozen' if how == 'stop' else 'killed', arrival, point)
        stream.keep_going()
        # The process may get there before it's ready: that's no failure of the start.
        varve.launch(env={'VARVE_FAULT_POINT': '%s:%d:%s' % (point, arrival, how)})
        try:
            arrive(varve, stream, point, how)
        except Exception as e:
            report.check(False, what, e)
            varve.kill()
            continue
        if how == 'stop':
            check_offsets(report, kafka, varve, what, varve.copy('frozen'))
            varve.kill()
        check_offsets(report, kafka, varve, what)


def recover_then_stock(report, scope, varve, program):
    """A killed store isn't opened by a stock server; `varve recover` finishes the stop, then it is."""
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
    before = varve.export()
    stock = Stock(scope, varve.dir, 'stock-recovered', program=program).start()
    difference = Difference(Export(stock.export()), before)
    report.check(not difference, 'a stock server opens the recovered store and exports the same', lambda: difference)
    stock.stop()


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    months = workload.months_from(time.time())
    fault_build = options.fault_build or (options.build if has_fault_points(options.build) else None)
    with Scope('kill', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, PARTITIONS)
        store = scope.path('store')
        varve = Varve(scope, options.build, store, [sink(kafka.brokers, TOPIC, GROUP)])
        stream = Stream(scope, kafka, options.seed, months)
        random_kills(report, varve, kafka, stream, chance, options.kills)
        if fault_build:
            fault = Varve(scope, fault_build, store, [sink(kafka.brokers, TOPIC, GROUP)], name='varve-fault')
            fault_points(report, fault, kafka, stream, chance)
        else:
            report.say('no build with fault points given: the frozen process is left out')
        recover_then_stock(report, scope, varve, program)

        varve.config['storage']['flush_interval'] = '1s'
        varve.start()
        stream.finish()
        varve.wait_durable(kafka, GROUP, TOPIC)
        code, seconds = varve.stop()
        report.check(code == 0 and seconds <= 10, 'SIGTERM ends it cleanly within 10 s (%.1f s)' % seconds, 'exit code %s' % code)
        expected = stream.expected()
        report.say('%d rows produced in %d series' % (expected.rows, len(expected.series)))
        report.same(varve.positions(TOPIC), kafka.high(TOPIC), 'positions are the ends of the partitions')
        for what, found in (('varve export', varve.export()), ('a stock server', None)):
            if found is None:
                stock = Stock(scope, store, 'stock-end', program=program).start()
                found = Export(stock.export())
                stock.stop()
            difference = Difference(found, expected)
            report.check(not difference, '%s: missing %d, extra %d' % (what, difference.missing, difference.extra), lambda: difference)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--fault-build')
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('kill', lambda r: main(r, arguments))
