#!/usr/bin/env python3
"""From Kafka into a directory that a stock VictoriaMetrics opens: its answers equal those of a server fed over HTTP.

    e2e.py --build DIR [--samples N] [--series N] [--seed N]

1 Varve takes the samples in from a real Kafka and is stopped; a stock server opens the directory, and export, series, labels, label values,
  instant and range queries equal those of a second stock server that got the same payloads. vmread.py and `varve export` agree.
2 Varve starts again and takes in more: new series, and new samples of old ones. The same comparison.
3 The stock server ingests into the directory and merges it; Varve opens it again and takes in more. The same comparison.
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export, canonical, lists
from harness.judge import Judge
from harness.kafka import Kafka
from harness.scope import Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink

TOPIC, GROUP = 'metrics', 'varve-e2e'
METRICS = ('varve_kafka_lag', 'varve_sink_messages_total', 'varve_sink_rows_total', 'varve_rejected_total', 'varve_flush_duration_seconds',
           'varve_commit_age_seconds', 'varve_oldest_unflushed_seconds', 'varve_parts', 'varve_rows', 'varve_merges_active',
           'varve_series_active', 'varve_new_series_total')


def instant_queries():
    clean = 'dup=""'
    return ['count({__name__!="",%s}[40d])' % clean, 'sum(count_over_time({__name__=~"cpu.*",%s}[30d])) by (site)' % clean,
            'sum(sum_over_time(net_delta{%s}[40d])) by (site)' % clean, 'max(max_over_time(cpu_temp{%s}[30d])) by (zone)' % clean,
            'min(min_over_time(cpu_temp{%s}[30d])) by (zone)' % clean, 'last_over_time(ext_huge{%s,host=~"h000.*"}[60d])' % clean,
            'last_over_time(ext_tiny{%s}[60d])' % clean, 'last_over_time({__name__="ext_wide",%s}[60d])' % clean,
            'increase(net_rx{%s,host=~"h00[0-4].*"}[40d])' % clean, 'quantile_over_time(0.9, cpu_user{%s,site="Werk Süd"}[40d])' % clean,
            'avg_over_time(cpu_load{%s,site=~"工.*|Ω.*"}[40d])' % clean, 'count(cpu_idle{größe="mittel"}[60d])',
            'count(last_over_time({__name__!~"cpu.*|net.*"}[60d])) by (__name__)', 'last_over_time(special_inf{%s}[60d])' % clean,
            'last_over_time(special_text{%s}[60d])' % clean, 'count(count_over_time({site="a,b=c"}[60d])) by (__name__)',
            'count_values("v", last_over_time(net_up{%s}[60d]))' % clean, 'tlast_over_time(cpu_user{%s,host=~".*7"}[60d])' % clean,
            'absent(nosuchmetric)', 'count(last_over_time({host!="",zone=""}[60d]))']


def range_queries():
    clean = 'dup=""'
    return ['sum(rate(net_rx{%s}[1d])) by (site)' % clean, 'avg(cpu_temp{%s}[6h]) by (zone)' % clean, 'count(count_over_time(cpu_user{%s}[6h]))' % clean,
            'max_over_time(ext_huge{%s,host=~"h00.*"}[1d])' % clean, 'sum(increase(net_errors{%s}[2d]))' % clean,
            'topk(3, last_over_time(cpu_load{%s}[1d]))' % clean]


def visible(report, varve, kafka, peer):
    """A row that arrives now is seen through the running Varve within 2 seconds, and so is its series."""
    now = int(time.time() * 1000)
    payload = 'now,probe=a seen=%di %d' % (now % 1000003, now * 1000000)
    begin = time.monotonic()
    kafka.produce(TOPIC, [(0, b'now', payload.encode())])
    produced = time.monotonic()

    def seen():
        return varve.http.get('/api/v1/export', [('match[]', 'now_seen{probe="a"}'), ('start', str(now // 1000 - 60)), ('end', str(now // 1000 + 60))])
    wait_until(seen, 20, 'the row is visible', 0.02)
    took = time.monotonic() - produced
    report.check(took <= 2, 'a row is visible %.2f s after its arrival (%.2f s after it was sent)' % (took, time.monotonic() - begin))
    rows = Export(seen().splitlines())
    report.same(rows.series, {canonical({'__name__': 'now_seen', 'probe': 'a'}): ([now], [now % 1000003])}, 'its export is right')
    series = varve.http.json('/api/v1/series', [('match[]', 'now_seen')])
    report.same((series['status'], series['data']), ('success', [{'__name__': 'now_seen', 'probe': 'a'}]), '/api/v1/series of the running Varve')
    peer.ingest([payload.encode()])


def plausible_metrics(report, varve, load, messages):
    report.check(varve.http.answers('/health'), '/health answers')
    m = varve.metrics()
    names = {n for n, _ in m}
    missing = [n for n in METRICS if n not in names and not any(x.startswith(n + '_') for x in names)]
    report.check(not missing, '/metrics has the fixed names', 'missing: %s' % missing)
    report.same(varve.metric('varve_sink_messages_total', sink='plant'), messages, 'varve_sink_messages_total counts the messages')
    rows = varve.metric('varve_sink_rows_total', sink='plant')
    report.check(rows == load.samples or load.nans and load.samples - load.nans <= rows <= load.samples,
                 'varve_sink_rows_total counts the rows', '%d, produced %d of which %d NaN' % (rows, load.samples, load.nans))
    report.same(varve.metric('varve_rejected_total', sink='plant'), load.bad_lines, 'varve_rejected_total counts the bad lines')
    report.same(varve.metric('varve_kafka_lag', sink='plant', topic=TOPIC), 0, 'the lag is 0')
    new = varve.metric('varve_new_series_total')
    report.check(load.series * 0.95 <= new <= load.series * 1.05 + 10, 'varve_new_series_total is plausible', '%d of %d' % (new, load.series))


def feed(report, kafka, varve, peer, load, stage):
    """Produces a workload and gives the peer the same -> number of messages."""
    messages = list(load.messages())
    report.say('%s: %d samples of %d series in %d messages made' % (stage, load.samples, load.series, len(messages)))
    begin = time.monotonic()
    n = kafka.produce(TOPIC, messages)
    report.say('%s: produced in %.1f s' % (stage, time.monotonic() - begin))
    peer.ingest([m[2] for m in messages])
    varve.wait_durable(kafka, GROUP, TOPIC, 300)
    report.say('%s: durable' % stage)
    return n


def main(report, options):
    months = workload.months_from(time.time())
    report.say('seed %d' % options.seed)
    with Scope('e2e', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        kafka = Kafka(scope).start()
        kafka.create(TOPIC, options.partitions)
        peer = Stock(scope, scope.path('peer'), 'peer', program=program).start()
        varve = Varve(scope, options.build, scope.path('store'), [sink(kafka.brokers, TOPIC, GROUP)], storage={'flush_interval': '2s'})
        judge = Judge(report, scope, varve, peer, program, months, instant_queries(), range_queries(), '{site!=""}')
        part = max(options.samples // 10, 1000)

        def load(seed, samples, first_step, tag=''):
            series = options.series if not tag else max(options.series // 20, 20)
            return workload.Workload(seed, samples, series, months, options.partitions, tag=tag, first_step=first_step)

        report.say('Kafka and stock server run')
        varve.start()
        first = load(options.seed, options.samples, 0)
        n = feed(report, kafka, varve, peer, first, 'first')
        plausible_metrics(report, varve, first, n)
        visible(report, varve, kafka, peer)
        judge.running_answers()
        judge.stop('first')
        judge.compare('first')

        step = 4 * (options.samples // max(options.series, 1) + 2)
        varve.start()
        feed(report, kafka, varve, peer, load(options.seed, part, step), 'again, old series')
        feed(report, kafka, varve, peer, load(options.seed + 1, part // 2, 0, '2'), 'again, new series')
        judge.running_answers()
        judge.stop('again')
        judge.compare('again')

        stock = Stock(scope, varve.dir, 'stock-merging', program=program).start()
        for more in (load(options.seed, part, 2 * step), load(options.seed + 2, part // 2, 0, '3')):
            payloads = [m[2] for m in more.messages()]
            stock.ingest(payloads)
            peer.ingest(payloads)
        stock.flush()
        stock.force_merge()
        stock.stop()
        report.say('the stock server ingested and merged')
        varve.start()
        feed(report, kafka, varve, peer, load(options.seed, part, 3 * step), 'after the stock server, old series')
        feed(report, kafka, varve, peer, load(options.seed + 3, part // 2, 0, '4'), 'after the stock server, new series')
        judge.running_answers()
        judge.stop('after the stock server')
        judge.compare('after the stock server')
        peer.stop()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--samples', type=int, default=1000000)
    parser.add_argument('--series', type=int, default=20000)
    parser.add_argument('--partitions', type=int, default=4)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    reports.run('e2e', lambda r: main(r, arguments))
