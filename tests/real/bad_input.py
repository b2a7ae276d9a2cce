#!/usr/bin/env python3
"""Bad input of every kind: each has its defined answer, is counted, and loses nothing else.

    bad_input.py --build DIR
"""
import argparse
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload
from harness import report as reports
from harness import stock as stocks
from harness.compare import Difference, Export, canonical
from harness.kafka import Kafka
from harness.scope import ProgramFailed, Scope, wait_until
from harness.stock import Stock
from harness.varve import Varve, sink, yaml

GROUP = 'varve-bad'
BIG = 200 << 20                                 # limits of the broker for the message of 100 MB


def run_to_end(varve, timeout=30):
    """`varve serve` that is expected to refuse -> (exit code, output)."""
    varve.launch()
    try:
        code = varve.process.wait(timeout)
    except Exception:
        varve.process.kill()
        code = None
    return code, varve.process.output()


def refuses(report, varve, code, words, what):
    """It ends with that code, and says all the words (regular expressions)."""
    found, text = run_to_end(varve)
    missing = [w for w in words if not re.search(w, text)]
    report.check(found == code and not missing, '%s: exit %d, and says so' % (what, code),
                 'exit code %s; not said: %s\n%s' % (found, missing, text[-1500:]))
    return text


# ------------------------------------------------------------------ configuration

def configuration(report, scope, build):
    def fresh(name, **more):
        return Varve(scope, build, scope.path(name), [sink('127.0.0.1:1', 'm', GROUP, **more)], name=name)

    def check_command(varve, text, words, what):
        path = scope.path(varve.name + '-check.yaml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        for command in ('check', 'serve'):
            r = varve.command(command, '-c', path, timeout=30)
            said = (r.stderr + r.stdout).decode('utf-8', 'replace')
            missing = [w for w in [re.escape(path)] + words if not re.search(w, said)]
            report.check(r.returncode == 1 and not missing, '%s: varve %s exits 1 with the place' % (what, command),
                         'exit code %d; not said: %s\n%s' % (r.returncode, missing, said[-800:]))

    varve = fresh('yaml')
    good = yaml(varve.config)
    path = scope.path('good.yaml')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(good)
    r = varve.command('check', '-c', path, timeout=30)
    report.check(r.returncode == 0, 'a right configuration: varve check exits 0', (r.stderr + r.stdout).decode('utf-8', 'replace'))
    lines = good.splitlines()
    at = next(i for i, line in enumerate(lines) if 'flush_interval' in line)
    check_command(varve, '\n'.join(lines[:at] + ['  flush_intervall: 5s'] + lines[at + 1:]), [r':%d:3\b' % (at + 1), 'flush_intervall'], 'an unknown key')
    check_command(varve, '\n'.join(lines[:at] + ['  flush_interval: soon'] + lines[at + 1:]), [r':%d:19\b' % (at + 1), 'flush_interval'], 'a wrong type')
    check_command(varve, '\n'.join(lines[:at] + ['  flush_interval: [5s'] + lines[at + 1:]), [r':\d+:\d+'], 'no YAML')
    check_command(varve, good.replace('format: influx', 'format: nosuch'), [r':\d+:\d+', 'nosuch'], 'an unknown format')
    check_command(varve, good.replace('format: influx', 'format: sparkplug_b'), [r':\d+:\d+', 'sparkplug_b'], 'a format that is not built yet')

    certificate = scope.path('no', 'such', 'ca.pem')
    varve = fresh('certificate', librdkafka={'security.protocol': 'ssl', 'ssl.ca.location': certificate})
    refuses(report, varve, 1, [re.escape(certificate)], 'a certificate that is not there')
    bad = scope.path('bad-ca.pem')
    with open(bad, 'w', encoding='utf-8') as f:
        f.write('no certificate\n')
    varve = fresh('certificate2', librdkafka={'security.protocol': 'ssl', 'ssl.ca.location': bad})
    refuses(report, varve, 1, [r'certificate|ssl\.ca\.location|' + re.escape(bad)], 'a certificate that is none')


# ------------------------------------------------------------------ the directory

def part_directories(root):
    """Data parts of a store at rest."""
    out = []
    for kind in ('small', 'big'):
        base = os.path.join(root, 'data', kind)
        for month in sorted(os.listdir(base)) if os.path.isdir(base) else ():
            folder = os.path.join(base, month)
            out += [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if os.path.exists(os.path.join(folder, n, 'metaindex.bin'))]
    return out


def flip(path, at=None):
    with open(path, 'r+b') as f:
        size = f.seek(0, 2)
        at = size // 2 if at is None else at
        f.seek(at)
        b = f.read(1)
        f.seek(at)
        f.write(bytes([b[0] ^ 0x41]))


def directories(report, scope, build, store, program):
    """store: a stopped store with data."""
    def server(directory, name):
        return Varve(scope, build, directory, [sink('127.0.0.1:1', 'm', GROUP)], name=name)

    owner = server(store, 'owner').start()
    refuses(report, server(store, 'second'), 2, [re.escape(store)], 'a directory that a running Varve owns')
    stock = Stock(scope, store, 'stock-second', program=program).launch()
    try:
        code = stock.process.wait(20)
    except Exception:
        code = None
        stock.process.kill()
    report.check(code not in (None, 0), 'a stock server refuses a directory that a running Varve owns', 'exit code %s' % code)
    code, _ = owner.stop()
    report.same(code, 0, 'the owner stops cleanly afterwards')
    stock = Stock(scope, store, 'stock-owner', program=program).start()
    refuses(report, server(store, 'third'), 2, [re.escape(store)], 'a directory that a running stock server owns')
    stock.stop()

    guard = os.path.join(store, 'restore-in-progress')
    for text, what in (('', 'an empty restore-in-progress'), ('vmrestore was here', 'a foreign restore-in-progress')):
        with open(guard, 'w', encoding='utf-8') as f:
            f.write(text)
        refuses(report, server(store, 'restore'), 2, ['restore'], what)
        report.check(os.path.exists(guard), what + ' is left alone')
        r = server(store, 'restore').command('recover', store)
        report.same(r.returncode, 2, what + ': varve recover exits 2 too')
    os.unlink(guard)

    whole = server(store, 'whole').export()
    for name, damage in (('metaindex.bin', flip), ('values.bin', lambda p: os.truncate(p, os.path.getsize(p) - 1)),
                         ('timestamps.bin', lambda p: os.truncate(p, 0)), ('metadata.json', os.unlink)):
        varve = server(store, 'damaged')
        directory = varve.copy('damaged')
        varve.dir = varve.config['storage']['path'] = directory
        part = max(part_directories(directory), key=lambda p: os.path.getsize(os.path.join(p, 'timestamps.bin')))
        damage(os.path.join(part, name))
        refuses(report, varve, 2, [os.path.basename(part)], 'a part with a damaged ' + name)
        r = varve.command('verify', directory)
        said = (r.stderr + r.stdout).decode('utf-8', 'replace')
        report.check(r.returncode == 2 and os.path.basename(part) in said, 'varve verify: exit 2, naming the part with a damaged ' + name,
                     'exit code %d\n%s' % (r.returncode, said[-800:]))
    varve = server(store, 'silent')
    directory = varve.copy('damaged')
    part = max(part_directories(directory), key=lambda p: os.path.getsize(os.path.join(p, 'values.bin')))
    for name in ('values.bin', 'timestamps.bin', 'index.bin'):
        flip(os.path.join(part, name))
        r = varve.command('verify', directory)
        said = (r.stderr + r.stdout).decode('utf-8', 'replace')
        report.check(r.returncode == 2 and os.path.basename(part) in said, 'varve verify finds a flipped byte within ' + name,
                     'exit code %d\n%s' % (r.returncode, said[-800:]))
        flip(os.path.join(part, name))      # and back
    difference = Difference(varve.export(store), whole)
    report.check(not difference, 'nothing else is lost by all this', lambda: difference)


# ------------------------------------------------------------------ messages

class Good:
    """Good rows between the bad ones."""

    def __init__(self, month):
        self.month, self.n, self.rows = month, 0, {}

    def line(self, partition):
        self.n += 1
        when = (self.month * 1000) + self.n * 1000
        key = canonical({'__name__': 'good_v', 'p': 'p%d' % partition})
        self.rows.setdefault(key, []).append((when, float(self.n)))
        return b'good,p=p%d v=%di %d' % (partition, self.n, when * 1000000)


class Messages:
    """The topic, the running Varve, and what each bad message adds to which counter."""

    def __init__(self, report, kafka, varve, topic, good):
        self.report, self.kafka, self.varve, self.topic, self.good = report, kafka, varve, topic, good

    def counters(self):
        m = self.varve.metrics()
        return {kind: {dict(labels).get('reason', ''): v for (n, labels), v in m.items() if n == name and v}
                for kind, name in (('rejected', 'varve_rejected_total'), ('dropped', 'varve_rows_dropped_total'))}

    def bad(self, value, what, rejected=0, dropped=0, **options):
        """One bad message between two good ones."""
        before = self.counters()
        self.kafka.produce(self.topic, [(0, b'k', self.good.line(0))])
        self.kafka.produce(self.topic, [(0, b'k', value)], **options)
        self.kafka.produce(self.topic, [(0, b'k', self.good.line(0)), (1, b'k', self.good.line(1))])
        self.varve.wait_durable(self.kafka, GROUP, self.topic, 120)
        after = self.counters()
        grown = {kind: {r: v - before[kind].get(r, 0) for r, v in after[kind].items() if v != before[kind].get(r, 0)} for kind in after}
        self.report.check(sum(grown['rejected'].values()) == rejected and sum(grown['dropped'].values()) == dropped,
                          '%s: counted %s' % (what, {k: v for k, v in grown.items() if v} or 'nowhere'), 'expected rejected %d, dropped %d' % (rejected, dropped))


def messages(report, scope, build, kafka, store, months):
    kafka.create('bad', 2, max_message_bytes=BIG)
    varve = Varve(scope, build, store, [sink(kafka.brokers, 'bad', GROUP)], name='messages', storage={'flush_interval': '300ms'}).start()
    good = Good(months[0])
    m = Messages(report, kafka, varve, 'bad', good)
    m.bad(b'', 'an empty message')
    m.bad(None, 'a tombstone')
    m.bad(b'\n\n# only a comment\n', 'a message without rows')
    m.bad(b'this is no influx line', 'a bad line', rejected=1)
    m.bad(b'\n'.join([b'bad line one', good.line(0), b'cpu,host=a', good.line(0), b'm v=1 x']), 'three bad lines among good ones', rejected=3)
    m.bad(bytes(b for b in range(256) if b not in b' \n') * 40, 'binary rubbish', rejected=1)
    m.bad(b'm,host=' + b'x' * (1 << 20) + b' v=1 %d' % (months[0] * 10**9), 'a label of 1 MB', dropped=1, max_bytes=BIG)
    m.bad(b'm,host=a v=1 3600', 'a timestamp in 1970', dropped=1)
    m.bad(b'm,host=a v=1 7258118400000000000', 'a timestamp in 2200', dropped=1)
    m.bad(b'm,host=a v=1,w=2 -5000000000000', 'a negative timestamp', dropped=2)
    begin = time.monotonic()
    line = b'big,host=a v=1 %d\n' % (months[0] * 10**9)
    m.bad(line * (100 * 1000 * 1000 // len(line)), 'a message of 100 MB', rejected=1, codec='none', max_bytes=BIG)
    report.say('the message of 100 MB took %.1f s' % (time.monotonic() - begin))
    rejects = os.path.join(store, 'varve', 'rejects')
    files = [os.path.join(d, n) for d, _, names in os.walk(rejects) for n in names]
    report.check(sum(map(os.path.getsize, files)) > 64 << 10, 'the rejects hold what was refused', '%s' % files)
    code, _ = varve.stop()
    report.same(code, 0, 'it stops cleanly')
    difference = Difference(varve.export(), Export.of_rows(good.rows))
    report.check(not difference, 'all good rows are stored, and no others', lambda: difference)
    made = {n for kind in ('small', 'indexdb') for n in os.listdir(os.path.join(store, 'data', kind)) if n != 'snapshots'}
    report.same(made, {time.strftime('%Y_%m', time.gmtime(months[0]))}, 'no month was made for the bad timestamps')


def bad_crc(report, scope, build, kafka, months):
    """A record batch whose bytes rotted on the broker's disk."""
    kafka.create('crc', 2)
    good = Good(months[0])
    mark = b'rotten,p=p0 v=1 %d' % (months[0] * 10**9)
    kafka.produce('crc', [(0, b'k', good.line(0)), (1, b'k', good.line(1))], codec='none')
    kafka.produce('crc', [(0, b'k', mark)], codec='none')
    kafka.produce('crc', [(0, b'k', b'after,p=p0 v=2 %d' % (months[0] * 10**9)), (1, b'k', good.line(1))], codec='none')
    kafka.stop()
    found = 0
    for path in kafka.log_segments('crc', 0):
        with open(path, 'r+b') as f:
            data = f.read()
            at = data.find(mark)
            if at >= 0:
                f.seek(at + 2)
                f.write(b'X')
                found += 1
    if not found:
        raise ProgramFailed('the message is not in the log')
    kafka.start()
    store = scope.path('crc')
    varve = Varve(scope, build, store, [sink(kafka.brokers, 'crc', GROUP + '-crc')], name='crc', storage={'flush_interval': '300ms'}).start()

    def halted():
        return {dict(labels).get('partition'): dict(labels).get('reason') for (n, labels), v in varve.metrics().items()
                if n == 'varve_kafka_partition_halted' and v}
    try:
        wait_until(halted, 30, 'the partition is halted')
        report.check(set(halted()) == {'0'}, 'a message with a bad CRC: its partition is halted, reason %s' % halted().get('0'), halted())
    except Exception as e:
        report.check(False, 'a message with a bad CRC: its partition is halted', '%s\n%s' % (e, varve.process.output()[-1500:]))
    kafka.produce('crc', [(1, b'k', good.line(1))])
    wait_until(lambda: kafka.committed(GROUP + '-crc', 'crc')[1] == 3, 30, 'the other partition goes on')
    report.check(True, 'the other partition goes on')
    code, _ = varve.stop()
    report.same(code, 0, 'it stops cleanly')
    report.same(varve.positions('crc'), {0: 1, 1: 3}, 'the halted partition stays at the bad message')
    difference = Difference(varve.export(), Export.of_rows(good.rows))
    report.check(not difference, 'all rows but those behind the bad message are stored', lambda: difference)
    return store


def main(report, options):
    months = workload.months_from(time.time())
    with Scope('bad', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        configuration(report, scope, options.build)
        kafka = Kafka(scope, options=['--heap', '1200', '--set', 'message.max.bytes=%d' % BIG, '--set', 'socket.request.max.bytes=%d' % (BIG + 4096),
                                      '--set', 'replica.fetch.max.bytes=%d' % BIG]).start()
        store = scope.path('store')
        for step in (lambda: messages(report, scope, options.build, kafka, store, months),
                     lambda: bad_crc(report, scope, options.build, kafka, months),
                     lambda: kafka.stop(),
                     lambda: directories(report, scope, options.build, store, program)):
            try:
                step()
            except Exception as e:      # the other kinds of bad input are still to be tried
                import traceback
                traceback.print_exc()
                report.check(False, 'a step ran to its end', '%s: %s' % (type(e).__name__, e))
                for p in scope.processes:
                    p.kill()
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    arguments = parser.parse_args()
    reports.run('bad_input', lambda r: main(r, arguments))
