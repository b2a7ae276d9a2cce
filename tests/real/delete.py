#!/usr/bin/env python3
"""Series are deleted in mid-stream: what Varve, and a stock server on its directory, answer afterwards.

    delete.py --build DIR [--seed N]

A producer runs all the time. The series of one host are deleted over HTTP, as from a stock server: gone from answers at once, also after
kill -9; later samples of theirs make new series. A stock server opens the directory and answers the same; it deletes another host's series;
Varve opens what it leaves, and answers the same again. A forced merge takes the rows off the disk.
"""
import argparse
import json
import os
import sys
import time
import urllib.parse

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

API = '/api/v1/admin/tsdb/delete_series'


def host_of(key):
    return json.loads(key).get('host')


def of_host(export, host):
    """Rows of one host."""
    return sum(len(rows[0]) for key, rows in export.series.items() if host_of(key) == host)


def of_others(export, host):
    others = Export(())
    others.series = {key: rows for key, rows in export.series.items() if host_of(key) != host}
    others.rows = export.rows - of_host(export, host)
    return others


def delete(server, host):
    server.http.post('%s?%s' % (API, urllib.parse.urlencode({'match[]': '{host="%s"}' % host})), b'')


def exported(varve):
    return Export(varve.http.get('/api/v1/export', [('match[]', '{__name__!=""}'), ('start', '1'), ('end', '4102444800')]).splitlines())


def main(report, options):
    report.say('seed %d' % options.seed)
    with Scope('delete', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, PARTITIONS)
        varve = Varve(scope, options.build, scope.path('store'), [sink(kafka.brokers, TOPIC, GROUP)], storage={'flush_interval': '400ms'}).start()
        stream = Stream(scope, kafka, options.seed, workload.months_from(time.time()))
        stream.keep_going()
        wait_until(lambda: varve.metric('varve_sink_rows_total') > 8000, 60, 'some thousand rows are in')
        varve.flush()
        hosts = sorted({host_of(key) for key in exported(varve).series})
        report.check(len(hosts) > 4, '%d hosts' % len(hosts))
        one, two = hosts[0], hosts[1]

        # In mid-stream: rows of the host are on their way all the time.
        before = of_host(exported(varve), one)
        begin = time.monotonic()
        delete(varve, one)
        took = time.monotonic() - begin
        after = of_host(exported(varve), one)
        report.check(before > 0 and after < before / 2, 'host %s: %d rows, %d after %.2f s of deleting' % (one, before, after, took))
        varve.kill()
        stream.finish()
        stream.keep_going()
        varve.start()
        stream.finish()
        varve.wait_durable(kafka, GROUP, TOPIC)
        # What came before the delete stays away, what comes after it is a series again, without a hole.
        expected, found = stream.expected(), exported(varve)
        lost = of_host(expected, one) - of_host(found, one)
        report.check(of_host(found, one) > 0 and lost >= before, 'after kill -9: %d rows of it are gone, %d have come since' % (lost, of_host(found, one)))
        others = Difference(of_others(found, one), of_others(expected, one))
        report.check(not others, 'of other hosts missing %d, extra %d' % (others.missing, others.extra), lambda: others)
        varve.stop()
        report.same(varve.command('verify', varve.dir).returncode, 0, 'varve verify finds nothing')

        stock = Stock(scope, varve.dir, program=program).start()
        difference = Difference(Export(stock.export()), found)
        report.check(not difference, 'a stock server answers the same', lambda: difference)
        delete(stock, two)
        left = Export(stock.export())
        report.check(of_host(left, two) == 0, 'it deletes host %s' % two)
        stock.stop()
        difference = Difference(varve.export(), left)
        report.check(not difference, 'varve export leaves out what it deleted', lambda: difference)
        varve.start()
        difference = Difference(exported(varve), left)
        report.check(not difference, 'and so does the server', lambda: difference)
        stream.add(100)
        stream.finish()
        varve.wait_durable(kafka, GROUP, TOPIC)
        report.check(of_host(exported(varve), two) > 0, 'later samples of host %s are series again' % two)
        varve.stop()
        last = varve.export()
        varve.command('merge', varve.dir, check=True)
        difference = Difference(varve.export(), last)
        report.check(not difference, 'a forced merge changes no answer', lambda: difference)
        on_disk = sum(m['rows'] for m in varve.inspect()['months'])
        report.same(on_disk, last.rows, 'and leaves no deleted row on the disk')
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('delete', lambda r: main(r, arguments))
