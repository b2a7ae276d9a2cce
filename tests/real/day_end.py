#!/usr/bin/env python3
"""Index rows that are made ahead for the first day of a month, before a stock VictoriaMetrics and back.

    day_end.py --build DIR

A store is stopped when the next month has index rows, and no rows. Varve and a stock server must answer alike: the series of that day, of
the day before, of the day after, of all the time; no samples on that day. A snapshot taken by Varve opens as well.
Then the stock server takes rows for that day, under the same ids, and Varve reads them.
"""
import argparse
import calendar
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import report as reports
from harness import stock as stocks
from harness.compare import Export
from harness.scope import Scope, free_port
from harness.stock import EVERYTHING, Stock
from harness.varve import Varve, sink

DAY = 86400
SERIES = 50


def month_start():
    """The first of this month, in seconds."""
    now = time.gmtime()
    return calendar.timegm((now.tm_year, now.tm_mon, 1, 0, 0, 0))


def names(series):
    return sorted(str(sorted(s.items())) for s in series)


def spans(start):
    return {'the day before': (start - DAY, start - 1), 'that day': (start, start + DAY - 1), 'the day after': (start + DAY, start + 2 * DAY - 1),
            'both days': (start - DAY, start + DAY - 1), 'all the time': (start - 20 * DAY, start + 20 * DAY)}


def answers(http, start):
    """-> {question: answer}"""
    out = {}
    for what, (begin, end) in spans(start).items():
        span = [('start', str(begin)), ('end', str(end))]
        out['series of ' + what] = names(http.json('/api/v1/series', [('match[]', EVERYTHING), *span])['data'])
        out['rows of ' + what] = Export(http.get('/api/v1/export', [('match[]', EVERYTHING), *span]).splitlines()).rows
    return out


def same(report, found, expected, who):
    for question in expected:
        report.check(found[question] == expected[question], '%s: %s' % (who, question),
                     lambda q=question: 'found %s, expected %s' % (found[q], expected[q]))


def stock_answers(scope, directory, name, program, start, take=None):
    stock = Stock(scope, directory, name, program=program).start()
    if take:
        stock.write('/api/v1/import/prometheus', take)
        stock.flush()
    found = answers(stock.http, start)
    ids = stock.http.json('/api/v1/status/tsdb', [('date', time.strftime('%Y-%m-%d', time.gmtime(start)))])['data']['totalSeries']
    stock.stop()
    return found, ids


def main(report, options):
    with Scope('day-end', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        start = month_start()
        directory = scope.path('store')
        scope.run([os.path.join(options.build, 'tests', 'real', 'day_end_load'), directory, str(SERIES), str(start * 1000)])
        varve = Varve(scope, options.build, directory, [sink('127.0.0.1:%d' % free_port(), 'none')])
        varve.start()
        own = answers(varve.http, start)
        report.same(own['rows of that day'], 0, 'Varve: no rows on that day')
        report.same(len(own['series of that day']), SERIES, 'Varve: its series are in the index')
        report.same(own['rows of the day before'], SERIES, 'Varve: rows on the day before')
        snapshot = varve.http.json('/snapshot/create')['snapshot']
        copy = scope.path('snapshot')
        scope.run(['cp', '-rL', os.path.join(directory, 'snapshots', snapshot), copy])
        varve.stop(60)
        found, _ = stock_answers(scope, copy, 'snapshot', program, start)
        same(report, found, own, 'a stock server on a snapshot')
        found, _ = stock_answers(scope, directory, 'store', program, start)
        same(report, found, own, 'a stock server')
        lines = ''.join('load{host="h%d"} %d %d\n' % (i, i, (start + 60) * 1000) for i in range(SERIES))
        found, total = stock_answers(scope, directory, 'takes', program, start, lines.encode())
        report.same(total, SERIES, 'rows that a stock server takes for that day belong to the same series')
        varve.start()
        same(report, answers(varve.http, start), found, 'Varve, after a stock server took rows for that day')
        varve.stop(60)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    arguments = parser.parse_args()
    reports.run('day_end.py', lambda r: main(r, arguments))
