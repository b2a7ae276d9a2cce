#!/usr/bin/env python3
"""Retention over a directory that a stock VictoriaMetrics has made, and a stock one over what remains.

    retention.py --build DIR [--seed N]

Four months of rows. Varve is started with a short retention: months and parts go, what is answered is what is in retention. A still
shorter one takes effect at the next start. Where the build has fault points, Varve is killed at each step of a month's removal: after
`varve recover` a stock server opens the directory, and has every row that is in retention, and none that wasn't there before.
"""
import argparse
import calendar
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export, canonical
from harness.scope import Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, has_fault_points

DAY_MS = 86400000
DAYS, SERIES, STEP_MS = 125, 20, 3600000
SHORTER = 12                                    # days
POINTS = ('drop.closed', 'drop.moved', 'drop.moved:2', 'drop.moved:3', 'stale.unlisted')


def make_rows(chance, now_ms):
    """Hourly, half an hour off what any retention below can cut at now."""
    first = now_ms - now_ms % STEP_MS - DAYS * DAY_MS
    shift = (now_ms + STEP_MS // 2) % STEP_MS
    rows = {}
    for s in range(SERIES):
        key = canonical({'__name__': 'old_v', 'host': 'h%d' % s})
        rows[key] = [(first + shift + k * STEP_MS, float(chance.randrange(1000))) for k in range(DAYS * 24 - 1)]
    return rows


def mid_month(now_ms):
    """Days since the middle of a month 30 to 61 days ago."""
    t = time.gmtime(now_ms / 1000 - 45 * 86400)
    return (now_ms - calendar.timegm((t.tm_year, t.tm_mon, 16, 0, 0, 0)) * 1000) // DAY_MS


def payloads(rows, from_ms, to_ms):
    for s, r in enumerate(rows.values()):
        yield '\n'.join('old,host=h%d v=%d %d' % (s, v, t * 1000000) for t, v in r if from_ms <= t < to_ms).encode()


def cut(rows, from_ms):
    return Export.of_rows({k: [x for x in r if x[0] >= from_ms] for k, r in rows.items()})


def within(report, found, rows, from_ms, what):
    """Every row in retention is there, and no row that wasn't before."""
    lacking, extra = Difference(found, cut(rows, from_ms)), Difference(found, Export.of_rows(rows))
    report.check(lacking.missing == 0 and extra.extra == 0, '%s: rows in retention missing %d, rows never written %d (%d rows found)'
                 % (what, lacking.missing, extra.extra, found.rows), lambda: lacking)


def months(directory):
    return {place: sorted(n for n in os.listdir(os.path.join(directory, 'data', place)) if n[:2] == '20') for place in ('small', 'indexdb')}


def new_varve(scope, build, directory, days):
    return Varve(scope, build, directory, [], storage={'retention': '%dd' % days})


def kill_at(report, scope, build, program, original, rows, now_ms, retention, point):
    directory = scope.path('killed')
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(original, directory)
    varve = new_varve(scope, build, directory, retention).launch(env={'VARVE_FAULT_POINT': point})
    wait_until(lambda: not varve.process.running(), 60, 'killed at ' + point)
    report.same(varve.process.exit_code(), -9, 'killed at %s' % point)
    within(report, varve.export(), rows, now_ms - retention * DAY_MS, 'varve export, killed at %s' % point)
    r = varve.command('recover', directory)
    report.check(r.returncode == 0, 'varve recover after %s' % point, r.stderr.decode('utf-8', 'replace'))
    stock = Stock(scope, directory, 'stock-killed', program=program).start()
    within(report, Export(stock.export()), rows, now_ms - retention * DAY_MS, 'a stock server, killed at %s' % point)
    stock.stop()


def run_with(report, scope, build, directory, rows, now_ms, days, dropped):
    varve = new_varve(scope, build, directory, days).start()
    wait_until(lambda: varve.metric('varve_months_dropped_total') >= dropped, 30, '%d months dropped' % dropped)
    difference = Difference(Export(varve.http.get('/api/v1/export', {'match[]': '{__name__!=""}', 'start': '1'}).splitlines()),
                            cut(rows, now_ms - days * DAY_MS))
    report.check(not difference, 'retention %d d: answers are what is in retention: missing %d, extra %d' % (days, difference.missing, difference.extra),
                 lambda: difference)
    report.check(varve.metric('varve_rows_removed_total', reason='retention') > 0, 'retention %d d: rows removed are counted' % days)
    code, _ = varve.stop()
    report.same(code, 0, 'retention %d d: it ends cleanly' % days)
    first = time.strftime('%Y_%m', time.gmtime(now_ms / 1000 - days * 86400))
    report.check(all(m >= first for names in months(directory).values() for m in names), 'retention %d d: older months are gone from disk' % days,
                 months(directory))
    within(report, varve.export(), rows, now_ms - days * DAY_MS, 'retention %d d: varve export' % days)
    return varve


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    now_ms = int(time.time() * 1000)
    rows, retention = make_rows(chance, now_ms), mid_month(now_ms)
    with Scope('retention', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        original = scope.path('original')
        stock = Stock(scope, original, program=program).start()
        cuts = (0, now_ms - (retention + 2) * DAY_MS, now_ms)   # a part of the retention's month that is stale as a whole, and the others
        for begin, end in zip(cuts, cuts[1:]):
            stock.ingest(payloads(rows, begin, end))
            stock.settle()
        stock.stop()
        store = scope.path('store')
        shutil.copytree(original, store)
        if has_fault_points(options.fault_build or options.build):
            for point in POINTS:
                kill_at(report, scope, options.fault_build or options.build, program, original, rows, now_ms, retention, point)
        else:
            report.say('no build with fault points given: the kills are left out')
        # The reference leaves out whole blocks only.
        judge = Stock(scope, original, 'stock-judge', flags=('-retentionPeriod=%dd' % retention,), program=program)
        judge.start()
        found = Export(judge.export())
        within(report, found, rows, now_ms - retention * DAY_MS, 'a stock server with the same retention')
        judge.stop()

        first = time.strftime('%Y_%m', time.gmtime(now_ms / 1000 - retention * 86400))
        old = sum(m < first for m in months(store)['small'])
        run_with(report, scope, options.build, store, rows, now_ms, retention, old)
        varve = run_with(report, scope, options.build, store, rows, now_ms, SHORTER, 0)
        verify = varve.command('verify', store)
        report.check(verify.returncode == 0, 'varve verify finds nothing', verify.stderr.decode('utf-8', 'replace'))
        exported = varve.export()
        stock = Stock(scope, store, 'stock-end', program=program).start()
        difference = Difference(Export(stock.export()), exported)
        report.check(not difference, 'a stock server opens what remains, and exports the same', lambda: difference)
        stock.stop()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--fault-build')
    parser.add_argument('--seed', type=int, default=int(time.time()))
    arguments = parser.parse_args()
    reports.run('retention', lambda r: main(r, arguments))
