#!/usr/bin/env python3
"""Each state that a power loss may leave of a flush over two months, whose rows came from Kafka and from MQTT.

    crash_states.py --build DIR [--rand N] [--proof] [--keep DIR]

`varve serve` runs with a Kafka sink and an MQTT sink, its store on crashfs, which records each change and fsync. Batches come from both sources at
once, each message with a row in either month, some of them no messages at all; flushes are asked for, one of them while more comes in. The proxy
before the MQTT broker marks in the record when PUBACKs go out. Behind every single operation of the record the directories are built that may be
left then: nothing that wasn't synced, everything, and --rand random choices of it, by the rules of posix and of ext4 (crashstates.py --points all).
store_facts.c opens each as Varve does. It has to hold
- the positions of the last record or of the one before, and none below what a flush had been answered for,
- exactly the rows of the messages before these positions, and exactly their rejects, each once,
- in the spool and the store together every message whose PUBACK had gone out,
- and, of the session, the packet ids of all messages that are in the spool or the store: what is sent again is known.
--proof: with one kind of fsync left out (nosync.c), states have to fail.
"""
import argparse
import concurrent.futures
import hashlib
import multiprocessing
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from crash_workload import KAFKA, MQTT, NONE, PARTITIONS, Counts, all_bad, all_rows, counts_of, payload, plus, topic
from harness import report as reports
from harness.crashfs import MEMORY, Mount, crashstates, modes_of, programs
from harness.kafka import Kafka
from harness.mqtt import Mqtt
from harness.puback import Proxy
from harness.scope import ProgramFailed, Scope, wait_until
from harness.store_facts import Teller
from harness.varve import Varve

JOBS = os.cpu_count() or 1
BATCH = Counts(5, 3, 12)
RATE = 150                                      # MQTT messages a second: several fsyncs of the spool for a batch
SHOWN = 5

PART = '[0-9A-F]*'
OMISSIONS = (
    ('part files', ('varve/staging/*/*/*/*/*', 'data/*/*/%s/*' % PART)),
    ('part directories', ('varve/staging/*/*/*/*', 'data/*/*/%s' % PART)),
    ('month directories', ('data/*/*',)),
    ('the directories above the months', ('data', 'data/*')),
    ('parts.json', ('data/*/*/parts.json.tmp',)),
    ('the journal', ('varve/journal', 'varve/journal.tmp')),
    ('the checkpoint', ('varve/checkpoint.tmp',)),
    ('the directory of journal and checkpoint', ('varve',)),
    ('the spool', ('varve/spool/*/*.spool',)),
    ('the spool\'s directory', ('varve/spool/*',)),
    ('the spool\'s id', ('varve/spool/*/spool-id.tmp',)),
    ('the session file', ('varve/spool/*/session.tmp',)),
    ('the reject log', ('varve/rejects/*',)),
    ('the reject log\'s directory', ('varve/rejects',)),
)


class World:
    """The brokers: they outlive every record."""

    def __init__(self, scope, options):
        self.scope, self.options = scope, options
        self.crashfs, self.nosync = programs(scope)
        self.kafka, self.broker = Kafka(scope).start(), Mqtt(scope).start()
        self.control = scope.path('control')    # a link to the control file of the present mount
        self.proxy = Proxy(scope, self.broker.port, '--mark', self.control)

    def session(self, name):
        """What a Teller needs to know."""
        return self.options.build, MQTT, name, self.proxy.port


class Run:
    """One store, whose life is recorded."""

    def __init__(self, world, name, omit=()):
        self.world, self.name, self.made = world, name, NONE
        self.mount = Mount(world.scope, world.crashfs, name)
        store = os.path.join(self.mount.mnt, 'store')
        world.kafka.create(name, PARTITIONS)
        sinks = [{'name': KAFKA, 'type': 'kafka', 'brokers': [world.kafka.brokers], 'topics': [name], 'group': name, 'format': 'influx'},
                 {'name': MQTT, 'type': 'mqtt', 'broker': 'mqtt://127.0.0.1:%d' % world.proxy.port, 'client_id': name, 'max_packet_size': '64KiB',
                  'spool': {'max_size': '1MiB'}, 'subscriptions': [{'filter': name + '/#', 'qos': 1, 'format': 'influx'}]}]
        self.varve = Varve(world.scope, world.options.build, store, sinks, name=name, storage={'flush_interval': '1h'})
        self.env = {'LD_PRELOAD': world.nosync, 'NOSYNC_ROOT': os.path.realpath(store), 'NOSYNC_PATTERNS': ':'.join(omit)} if omit else None

    def mark(self, text):
        self.mount.command('mark ' + text)

    def start(self):
        """Of a store that was killed the messages that it hadn't in a record come again."""
        known = self.varve.inspect()['positions'] if os.path.isdir(os.path.join(self.varve.dir, 'varve')) else ()
        self.begun, _ = counts_of({p['key']: int(p['next']) for p in known})
        self.varve.start(env=self.env)
        self.mount.users.append(self.varve.process)
        wait_until(lambda: self.varve.metric('varve_mqtt_connects_total') == 1, 20, 'the MQTT sink has subscribed')
        self.mark('opened')

    def publish(self, counts):
        """So many more messages, without waiting."""
        of_mqtt = [(topic(self.name, n), payload('mqtt', n)) for n in range(self.made.mqtt, self.made.mqtt + counts.mqtt)]
        of_kafka = [(p, b'', payload('partition%d' % p, n)) for p in range(PARTITIONS) for n in range(self.made[p], self.made[p] + counts[p])]
        self.made = plus(self.made, counts)
        self.world.broker.publish(of_mqtt, inflight=1, rate=RATE)
        self.world.kafka.produce(self.name, of_kafka)

    def taken_in(self):
        def done():
            return all(self.varve.metric('varve_sink_messages_total', sink=sink) >= n for sink, n in (
                (KAFKA, sum(self.made[:PARTITIONS]) - sum(self.begun[:PARTITIONS])), (MQTT, self.made.mqtt - self.begun.mqtt)))
        wait_until(done, 20, 'all messages are taken in', 0.02)

    def asked(self):
        self.mark('asked %d %d %d' % self.made)

    def flush(self, more=None):
        """more: what is published meanwhile."""
        self.asked()
        if more:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                flushing = pool.submit(self.varve.flush)
                self.publish(more)
                flushing.result()
        else:
            self.varve.flush()
        self.mark('flushed')

    def live(self):
        """A new store: two flushes, a clean stop, another flush, a kill, a recovery."""
        if os.path.lexists(self.world.control):
            os.unlink(self.world.control)
        os.symlink(self.mount.control, self.world.control)
        acked = len(self.world.proxy.settle().acked)
        with self.mount:
            self.start()
            self.publish(BATCH)
            self.taken_in()
            self.flush()
            time.sleep(1.1)                     # then a second batch shows that the broker counts packet ids up, which goes into the file
            self.publish(BATCH)
            self.taken_in()
            self.flush(more=BATCH)
            self.taken_in()
            self.asked()
            code, _ = self.varve.stop()
            if code != 0:
                raise ProgramFailed('varve: exit %s\n%s' % (code, self.varve.process.output()[-1500:]))
            self.mark('flushed')
            self.start()
            self.publish(BATCH)
            self.taken_in()
            self.flush(more=BATCH)
            self.taken_in()
            self.varve.kill()
            self.start()
            self.taken_in()
            self.flush()
            self.varve.kill()
            self.world.proxy.settle()
        return Recording(self.name, self.mount.journal, acked)


class Known:
    """What had been said by a moment of the record. acked: PUBACKs, of messages 0, 1, ..."""

    def __init__(self, acked_before):
        self.acked_before, self.acked = acked_before, 0
        self.opened, self.asked, self.answered = False, NONE, NONE

    def note(self, mark):
        word, *numbers = mark.split(' ')
        if word == 'opened':
            self.opened = True
        elif word == 'asked':
            self.asked = Counts(*map(int, numbers))
        elif word == 'flushed':
            self.answered = self.asked
        elif word == 'puback':
            self.acked = int(numbers[0]) - self.acked_before


class Recording:
    def __init__(self, name, journal, acked_before):
        self.name, self.journal, self.acked_before = name, journal, acked_before
        self.commits, self.last_at, self.names = [NONE], {}, {}

    def replay(self, models=('posix', 'ext4')):
        """Yields (op, {model: Replay}, Known) after each record."""
        replays = {m: crashstates.Replay(m) for m in models}
        known = Known(self.acked_before)
        for o in crashstates.read_journal(self.journal):
            for r in replays.values():
                r.step(o)
            if o.op == crashstates.MARK:
                known.note(o.data.decode())
            if o.op != crashstates.BASE:
                yield o, replays, known

    def points(self):
        """Sequence numbers of all operations."""
        return [o.seq for o in crashstates.read_journal(self.journal) if o.op != crashstates.BASE]

    def learn(self, seq, facts):
        """From what a process killed then leaves, in the order of the record: which commits there are, and the session's packet ids."""
        if facts.found and not facts.error:
            counts, _ = counts_of(facts.positions)
            if counts != self.commits[-1]:
                self.commits.append(counts)
        self.last_at[seq] = len(self.commits) - 1
        self.names.update(facts.names)


def judge(recording, seq, known, facts):
    """What is wrong; '' if nothing."""
    if facts.error:
        return facts.error
    if not facts.found:
        return 'no store, though it had been open' if known.opened else ''
    counts, spool_read = counts_of(facts.positions)
    last = recording.last_at[seq]
    if counts not in recording.commits[max(0, last - 1):last + 1]:
        return 'positions %s, neither of the last record nor of the one before: %s' % (counts, recording.commits[max(0, last - 1):last + 1])
    if any(have < want for have, want in zip(counts, known.answered)):
        return 'positions %s, but a flush up to %s had been answered' % (counts, known.answered)
    rows = all_rows(counts)
    if facts.rows != rows or facts.doubled:
        return 'rows at %s: missing %s, foreign %s, doubled %d' % (counts, sorted(rows - facts.rows)[:3], sorted(facts.rows - rows)[:3], facts.doubled)
    if sorted(facts.rejects) != all_bad(counts):
        return 'rejects at %s: %s' % (counts, sorted(facts.rejects))
    return judge_spool(recording, known, facts, counts, spool_read)


def judge_spool(recording, known, facts, counts, spool_read):
    name, _, next_lsn, _, damaged = facts.spool
    if spool_read not in (None, name):
        return 'the store has read spool %s, this is %s' % (spool_read, name)
    if damaged or next_lsn <= counts.mqtt:
        return 'the spool ends at %d with %d damaged records, the store has read %d messages' % (next_lsn, damaged, counts.mqtt)
    wanted = {lsn: payload('mqtt', lsn - 1) for lsn in range(counts.mqtt + 1, next_lsn)}
    unread = {lsn: data for lsn, data in facts.records.items() if lsn > counts.mqtt}
    if unread != wanted:
        return 'records %s of the spool are to be read, not %s' % (sorted(wanted), sorted(unread))
    if next_lsn - 1 < known.acked:
        return '%d messages acknowledged, %d in store and spool' % (known.acked, next_lsn - 1)
    ring = [recording.names[lsn] for lsn in range(1, next_lsn)]
    if facts.ring != ring:
        return 'the session knows %d packet ids of %d messages, the first that differs is number %d' % (
            len(facts.ring), len(ring), next((i for i, (a, b) in enumerate(zip(facts.ring, ring)) if a != b), min(len(facts.ring), len(ring))))
    return ''


def digest(state):
    """Of a state's directory: the same states come again and again."""
    h, todo = hashlib.blake2b(digest_size=16), [(crashstates.ROOT, b'')]
    while todo:
        d, path = todo.pop()
        for name, i in sorted(state.dirs.get(d, {}).items()):
            where = path + b'/' + os.fsencode(name)
            kind = state.kind.get(i, 'f')
            h.update(b'%s %s %d ' % (where, kind.encode(), 0 if kind == 'd' else len(state.data.get(i, b''))))
            if kind == 'd':
                todo.append((i, where))
            else:
                h.update(state.data.get(i, b''))
    return h.digest()


class Tally:
    def __init__(self):
        self.states, self.different, self.failures = 0, 0, []

    def add(self, other):
        self.states += other.states
        self.different += other.different
        self.failures += other.failures


class Checker:
    """Builds states one after the other in a directory of its own, and judges them."""

    def __init__(self, recording, teller, scratch, keep=None):
        self.recording, self.teller, self.scratch, self.keep = recording, teller, scratch, keep
        self.tally, self.told = Tally(), {}

    def facts(self, state):
        key = digest(state)
        if key not in self.told:
            shutil.rmtree(self.scratch, ignore_errors=True)
            state.materialize(self.scratch)
            self.told[key] = self.teller.of(os.path.join(self.scratch, 'store'))
            self.tally.different += 1
        return self.told[key]

    def check(self, o, known, state, how, facts):
        self.tally.states += 1
        try:
            wrong = judge(self.recording, o.seq, known, facts)
        except Exception as e:
            wrong = '%s: %s' % (type(e).__name__, e)
        if wrong:
            name = '%s at %d, %s' % (self.recording.name, o.seq, how)
            self.tally.failures.append('%s: %s' % (name, wrong.replace(self.scratch, '')))
            if self.keep:
                state.materialize(os.path.join(self.keep, name.replace(', ', '-').replace(' ', '-').replace(':', '-')))
                shutil.copyfile(self.recording.journal, os.path.join(self.keep, self.recording.name + '.journal'))


def check_kills(world, recording, keep):
    """What a process killed at any point leaves; and what there is to be known of the whole record -> Tally"""
    with Teller(*world.session(recording.name)) as teller:
        checker = Checker(recording, teller, world.scope.path('state'), keep)
        for o, replays, known in recording.replay(('posix',)):
            state = replays['posix'].state('max')
            facts = checker.facts(state)
            recording.learn(o.seq, facts)
            checker.check(o, known, state, 'max', facts)
        shutil.rmtree(checker.scratch, ignore_errors=True)
    return checker.tally


def check_share(session, recording, points, models, rand, scratch, keep):
    with Teller(*session) as teller:
        checker = Checker(recording, teller, scratch, keep)
        for o, replays, known in recording.replay(models):
            for model, mode in modes_of(o.seq, models, rand) if o.seq in points else ():
                if mode == 'max' or mode != 'min' and not replays[model].pending:
                    continue                    # it's been checked; that is the same directory
                state = replays[model].state(mode)
                checker.check(o, known, state, '%s, %s' % (model, mode if mode == 'min' else 'rand:%d' % mode), checker.facts(state))
        shutil.rmtree(checker.scratch, ignore_errors=True)
    return checker.tally


def check(world, recording, models, rand, keep=None):
    """All states behind all operations, on all processors -> Tally"""
    points = recording.points()
    tally = check_kills(world, recording, keep)
    with concurrent.futures.ProcessPoolExecutor(JOBS, multiprocessing.get_context('fork')) as pool:
        # Neighbours have states in common.
        shares = [points[i * len(points) // JOBS:(i + 1) * len(points) // JOBS] for i in range(JOBS)]
        for done in [pool.submit(check_share, world.session(recording.name), recording, set(s), models, rand, world.scope.path('state-%d' % i), keep)
                     for i, s in enumerate(shares)]:
            tally.add(done.result())
    return tally


def prove(report, world):
    """Each fsync that is left out must be noticed; not when a process is killed, as nothing is lost then."""
    for number, (what, patterns) in enumerate(OMISSIONS):
        recording = Run(world, 'omission%d' % number, patterns).live()
        tally = check(world, recording, ('posix',), 1)
        killed = [f for f in tally.failures if ', max: ' in f]
        report.check(tally.failures and not killed, 'without the fsync of %s %d of %d states fail: %s' % (
            what, len(tally.failures), tally.states, (tally.failures or [''])[0][:250]), killed[:SHOWN])
        os.unlink(recording.journal)


def main(report, options):
    with Scope('crash-states', keep_logs_in=options.build, base=MEMORY) as scope:
        world = World(scope, options)
        if not options.only_proof:
            recording = Run(world, 'crash').live()
            points = recording.points()
            report.say('%d operations recorded' % len(points))
            tally = check(world, recording, ('posix', 'ext4'), options.rand, options.keep)
            report.check(tally.states and not tally.failures, '%d points, %d states, %d of them different: each of one of %d commits, whole' % (
                len(points), tally.states, tally.different, len(recording.commits) - 1), '%d failed\n%s' % (len(tally.failures), '\n'.join(tally.failures[:SHOWN])))
        if options.proof or options.only_proof:
            prove(report, world)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--rand', type=int, default=2, help='random states of each point and model (default 2)')
    parser.add_argument('--proof', action='store_true')
    parser.add_argument('--only-proof', action='store_true')
    parser.add_argument('--keep')
    arguments = parser.parse_args()
    reports.run('crash_states', lambda r: main(r, arguments))
