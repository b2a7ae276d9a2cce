"""The end: everything is taken in, both nodes stop, and stock servers over both stores find each row that was produced, once."""
import re
import time

from full_disk import unlisted
from harness import stock as stocks
from harness.scope import wait_until
from harness.stock import Stock

from .load import GROUP, TOPIC, made_when, node_of
from .rows import SOURCES, Tally
from .world import total

LOST = re.compile(r'sink kafka: lost ([1-9]\d*) partition')
WARNED = re.compile(r'rows of lost partitions can\'t be dropped|let go before their rows are durable|partitions are let go without a flush')


def drain(world):
    """Until all that was produced is durable."""
    report = world.report
    world.kafka_load.finish()
    world.mqtt_load.pause()
    begin = time.monotonic()
    wait_until(lambda: all(n.is_ready() for n in world.nodes), 60, 'both nodes are ready')
    wait_until(lambda: world.backlog() == 0, 180, 'the consumer\'s lag is 0', 0.3)

    def mqtt():
        found = [world.metrics(n) for n in world.nodes]
        return None not in found and [total(m, name) for m in found for name in ('varve_mqtt_received_messages_total', 'varve_mqtt_held_pubacks')]
    last, since = None, time.monotonic()
    while time.monotonic() - since < 4:
        now = mqtt()
        if now != last or not now:
            last, since = now, time.monotonic()
        time.sleep(0.3)
    for n in world.nodes:
        n.varve.flush()
    report.check(True, 'the consumer\'s lag is 0, %.1f s after the last row was produced' % (time.monotonic() - begin))


def stop(world):
    for n in world.nodes:
        n.note_memory()
        code, seconds = n.varve.stop(20)
        world.report.check(code == 0, '%s: SIGTERM ends it cleanly (%.1f s)' % (n.name, seconds), 'exit code %s\n%s' % (code, n.varve.process.output()[-1500:]))


def positions(world):
    """Of each partition the largest one that a node has."""
    found = {}
    for n in world.nodes:
        for p, o in n.varve.positions(TOPIC).items():
            found[p] = max(found.get(p, 0), o)
    high = world.kafka.high(TOPIC)
    world.report.same(found, {p: h for p, h in high.items() if h}, 'the stores\' positions are the ends of the %d partitions' % len(high))
    world.report.same(world.kafka.committed(GROUP, TOPIC), {p: h or -1001 for p, h in high.items()}, 'and so are the group\'s')


def count(world, program):
    """-> (Tally of both stores, rows by node)"""
    report, tally, by_node = world.report, Tally(world.rows), []
    for n in world.nodes:
        report.same(unlisted(n.dir), [], '%s: nothing half-written is left' % n.name)
        verify = n.varve.command('verify', n.dir)
        report.check(verify.returncode == 0, '%s: varve verify finds nothing' % n.name, verify.stderr.decode('utf-8', 'replace')[-1500:])
        own = n.varve.inspect()['rows']
        n.disk.grow(3072)                       # a stock server needs room
        stock = Stock(world.scope, n.dir, 'stock-' + n.name, program=program).start()
        found = 0
        for source in SOURCES:
            found += tally.add(stock.export('{src="%s"}' % source))
        found_in_all = tally.add(stock.export('{src!~"%s"}' % '|'.join(SOURCES)))
        stock.stop()
        report.same((found, found_in_all), (own, 0), '%s: a stock server exports as many rows as Varve counts' % n.name)
        by_node.append(found)
    return tally, by_node


def where(world, source, numbers):
    """Samples of what's wrong, and when it was produced, for whoever looks for the reason."""
    load = world.kafka_load if source == 'k' else world.mqtt_load
    begun = world.report.start
    return ', '.join('%d%s made at %.0f s' % (n, ' (node%d)' % node_of(n) if source == 'm' else '', time.monotonic() - made_when(load, n) - begun)
                     for n in numbers[:12])


def judge(world, tally):
    """-> {source: (made, missing, extra)}, and what the killed mosquittos did"""
    report, result = world.report, {}
    uncertain = world.mqtt_load.uncertain_numbers()
    for source, title in SOURCES.items():
        load = world.kafka_load if source == 'k' else world.mqtt_load
        apart = uncertain if source == 'm' else set()
        missing = tally.missing(source, load.made, apart)
        doubled = tally.doubled(source)
        extra = [n for n in doubled if n not in apart] + tally.beyond(source, load.made)
        result[source] = load.made, len(missing), len(extra)
        report.check(not missing and not extra, '%s: %d rows produced: missing %d, extra %d' % (title, load.made, len(missing), len(extra)),
                     lambda m=missing, e=extra, s=source: 'missing %s\nextra %s' % (where(world, s, m), where(world, s, e)))
    report.check(not tally.foreign, 'no row that was never produced', tally.foreign[:5])
    lost = len(tally.missing('m', world.mqtt_load.made, ())) - result['m'][1]
    doubles = sum(c for n, c in tally.doubled('m').items() if n in uncertain)
    return result, (len(uncertain), lost, doubles)


def ungraceful(world):
    """Partitions that a node lost: rows may then be in both stores. Nothing here takes longer than a session lasts, so there are none."""
    said = [line for n in world.nodes for line in n.output().splitlines() if LOST.search(line) or WARNED.search(line)]
    world.report.check(not said, 'no partition changed hands other than in good order', '\n'.join(said[:10]))


def program(scope):
    return stocks.binary(scope)
