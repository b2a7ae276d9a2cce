#!/usr/bin/env python3
"""Snapshots taken in the middle of the stream: what a stock server, and a restored Varve, make of them.

    snapshot.py --build DIR [--snapshots N] [--seed N] [--vmbackup]

A producer runs all the time. Each snapshot, copied with symlinks followed, is opened by a stock server, which answers what `varve export` reads
from the snapshot in place. Then a Varve starts from the copy of one: the group's offsets are far ahead by then, and it reads on from the
snapshot's own positions until nothing is missing and nothing is there twice. --vmbackup: vmbackup takes one too, and vmrestore brings it back.
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
from harness.scope import Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink


def take(report, varve):
    begin = time.monotonic()
    answer = varve.http.json('/snapshot/create')
    report.check(answer.get('status') == 'ok', 'snapshot %s, %.2f s' % (answer.get('snapshot'), time.monotonic() - begin), answer)
    return answer['snapshot']


def copy(scope, varve, name, why):
    to = scope.path('%s-%s' % (why, name))
    scope.run(['cp', '-rL', os.path.join(varve.dir, 'snapshots', name), to])
    return to


def opened_by_stock(report, scope, program, directory, expected, what):
    stock = Stock(scope, directory, 'stock-' + os.path.basename(directory), program=program).start()
    difference = Difference(Export(stock.export()), expected)
    report.check(not difference and expected.rows > 0, '%s: a stock server answers its %d rows' % (what, expected.rows), lambda: difference)
    stock.stop()


def look(report, scope, varve, program, name, remember):
    """What the snapshot holds, by three readers; rows only ever become more."""
    here = os.path.join(varve.dir, 'snapshots', name)
    in_place = varve.export(here)
    to = copy(scope, varve, name, 'stock')
    report.check(in_place.rows >= remember['rows'], '%s: %d rows, no fewer than the one before' % (name, in_place.rows), remember)
    remember['rows'] = in_place.rows
    positions = varve.positions(TOPIC, here)
    report.check(sum(positions.values()) > 0, '%s: positions %s' % (name, positions))
    report.same(varve.command('verify', here).returncode, 0, '%s: varve verify finds nothing' % name)
    opened_by_stock(report, scope, program, to, in_place, name)


def restore(report, scope, options, varve, kafka, stream, to):
    """From the copy on, with the group's offsets ahead: everything once."""
    begin = varve.positions(TOPIC, to)
    restored = Varve(scope, options.build, to, varve.config['sinks'], name='restored').start()

    missing = sum(kafka.high(TOPIC).values()) - sum(begin.values())

    def caught_up():
        restored.flush()
        return restored.metric('varve_sink_messages_total') >= missing
    wait_until(caught_up, 60, 'the restored store has caught up', 0.3)
    restored.stop()
    report.same(restored.positions(TOPIC), kafka.high(TOPIC), 'restored at %s: positions are the ends of the partitions' % begin)
    difference = Difference(restored.export(), stream.expected())
    report.check(not difference, 'restored: missing %d, extra %d' % (difference.missing, difference.extra), lambda: difference)


def back_up(report, scope, varve, program):
    """vmbackup asks for the snapshot itself, and deletes it afterwards."""
    tools = {}
    for line in scope.run(['bash', os.path.join(stocks.TESTBED, 'oracle.sh'), 'backup'], timeout=900).stdout.decode().splitlines():
        key, _, path = line.partition('=')
        tools[key] = path
    url = 'http://127.0.0.1:%d/snapshot/' % varve.port
    backup, restored = scope.path('backup'), scope.path('vmrestored')
    r = scope.run([tools['VMBACKUP'], '-storageDataPath=' + varve.dir, '-snapshot.createURL=%screate' % url, '-snapshot.deleteURL=%sdelete' % url,
                   '-dst=fs://' + backup], check=False)
    report.check(r.returncode == 0, 'vmbackup takes a snapshot', r.stderr[-1500:])
    report.same(varve.http.json('/snapshot/list')['snapshots'], [], 'and deletes it')
    r = scope.run([tools['VMRESTORE'], '-src=fs://' + backup, '-storageDataPath=' + restored], check=False)
    report.check(r.returncode == 0, 'vmrestore brings it back', r.stderr[-1500:])
    opened_by_stock(report, scope, program, restored, varve.export(restored), 'backup')


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    with Scope('snapshot', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, PARTITIONS)
        varve = Varve(scope, options.build, scope.path('store'), [sink(kafka.brokers, TOPIC, GROUP)], storage={'flush_interval': '300ms'}).start()
        stream = Stream(scope, kafka, options.seed, workload.months_from(time.time()))
        stream.keep_going()
        wait_until(lambda: varve.metric('varve_sink_rows_total') > 0, 60, 'the first rows are in')
        names = []
        for _ in range(options.snapshots):
            stream.keep_going()
            time.sleep(chance.uniform(0.2, 2))
            names.append(take(report, varve))
        report.same(varve.http.json('/snapshot/list')['snapshots'], names, 'all of them are listed, in order')
        remember = {'rows': 0}
        for name in names:
            look(report, scope, varve, program, name, remember)
        stream.finish()
        varve.wait_durable(kafka, GROUP, TOPIC)
        kept = copy(scope, varve, names[len(names) // 2], 'restored')
        gone = varve.http.json('/snapshot/delete', [('snapshot', names[0])])
        report.same(gone, {'status': 'ok'}, 'one is deleted')
        report.same(varve.http.json('/snapshot/list')['snapshots'], names[1:], 'the others stay')
        varve.http.json('/snapshot/delete_all')
        report.same(varve.http.json('/snapshot/list')['snapshots'], [], 'all are deleted')
        if options.vmbackup:
            back_up(report, scope, varve, program)
        varve.stop()
        left = [d for p in ('small', 'big', 'indexdb') for d in os.listdir(os.path.join(varve.dir, 'data', p, 'snapshots'))]
        report.same(left, [], 'nothing is left of them')
        difference = Difference(varve.export(), stream.expected())
        report.check(not difference, 'the store itself: missing %d, extra %d' % (difference.missing, difference.extra), lambda: difference)
        restore(report, scope, options, varve, kafka, stream, kept)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--snapshots', type=int, default=5)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--vmbackup', action='store_true')
    arguments = parser.parse_args()
    reports.run('snapshot', lambda r: main(r, arguments))
