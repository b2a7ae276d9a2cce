#!/usr/bin/env python3
"""Power loss while messages come in over MQTT: whatever is left of the unsynced, no message whose PUBACK went out is missing.

    mqtt_powercut.py --build DIR [--cuts N] [--points N] [--rand N] [--seed N] [--rate N] [--proof] [--keep DIR]

Store and spools lie on crashfs, which records each change and fsync. The proxy in front of mosquitto (puback_proxy.c) puts a mark into
that record before it passes PUBACKs on: of each moment it's known what the broker had been told to forget. Varve runs, is killed at a
random operation (now and then its disk fails, or it's killed and started again, before that), and the power is lost: one of the directories that are legal then
is what the next life begins with. The broker knows nothing of it, and sends again what wasn't acknowledged.
At N points of each life, most of them right behind a mark or right before an fsync, the legal directories are built, as in powercut.py,
and Varve opens each of them, without a broker, until its spools are in the store: each message acknowledged before that point has to be
in the export. One in ten is first read by the independent reader of spools. In the end everything published is in the last store, which a
stock server opens too. A double fails as well: what isn't durable isn't in the ring of packet ids either, so a power loss changes nothing.
--proof: with the spool's fsyncs left out (nosync.c), and with PUBACKs that go out too early, states have to fail.
--keep: states that fail are copied there.
"""
import argparse
import concurrent.futures
import os
import random
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import report as reports
from harness import stock as stocks
from harness.crashfs import MEMORY, Mount, crashstates, modes_of, programs
from harness.mqtt import Mqtt
from harness.puback import SINKS, Judgement, Proxy, Stream, at_the_end, positions, sinks, spool_or_store, spool_path, wait_for_all, wait_until_known
from harness.scope import ProgramFailed, Scope, TimedOut, free_port, wait_until
from harness.spool import Spool, segments
from harness.varve import Varve

JOBS = (os.cpu_count() or 1) + 1
READ_EVERY = 10                                 # states that the independent reader looks at, too
LIFE_S = 2.5                                    # at most, of what is recorded
SHOWN = 5

# What --proof leaves out: patterns below the store.
OMISSIONS = (
    ('segments', ('varve/spool/*/*.spool',)),
    ('the spools\' directories', ('varve/spool/*',)),
    ('the directory above the spools', ('varve/spool',)),
    ('the spools\' ids', ('varve/spool/*/spool-id.tmp',)),
)

# Commands for crashfs. Of the fsyncs and writes nearly all are the spools'.
FAULTS = ('fail fsync 5 1', 'fail fsync 5 1', 'fail write 5 1', 'fail write 28 3', 'short 5')
FOUND = ('acknowledged messages missing', 'spool-id is damaged')     # how that is noticed


class Tally:
    """What the states of a life have shown. Under its own lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.states = self.torn = self.acked_max = self.doubles_max = self.doubles = 0
        self.failures = []

    def add(self, name, acked, wrong, torn, doubles):
        with self.lock:
            self.states += 1
            self.torn += torn > 0
            self.acked_max = max(self.acked_max, acked)
            self.doubles += doubles
            self.doubles_max = max(self.doubles_max, doubles)
            if wrong:
                self.failures.append('%s: %s' % (name, wrong))


class World:
    """The broker, the proxy, a stream of messages: they outlive every power loss."""

    def __init__(self, scope, options, chance, proxy_options=()):
        self.scope, self.options, self.chance = scope, options, chance
        self.crashfs, self.nosync = programs(scope)
        self.broker = Mqtt(scope).start()
        self.control = scope.path('control')    # a link to the control file of the present mount
        self.proxy = Proxy(scope, self.broker.port, '--mark', self.control, *proxy_options)
        self.stream = Stream(self.broker, options.rate)
        self.begun = False
        self.lives = self.faults = self.recoveries = 0

    def varve(self, store, name, port=None):
        return Varve(self.scope, self.options.build, store, sinks(port or self.proxy.port), name=name, storage={'flush_interval': '300ms'})

    def live(self, before=None, omit=(), is_calm=False):
        """One life, which ends with the loss of power, on a copy of the directory `before` -> Life

        is_calm: killed after some time, without faults of the disk.
        """
        self.lives += 1
        name = 'life%d' % self.lives
        mount = Mount(self.scope, self.crashfs, name)
        if before:
            shutil.copytree(before, mount.back, symlinks=True, dirs_exist_ok=True)
        if os.path.lexists(self.control):
            os.unlink(self.control)
        os.symlink(mount.control, self.control)
        known = len(self.proxy.settle().acked)
        with mount:
            store = os.path.join(mount.mnt, 'store')
            varve = self.varve(store, name)
            env = {'LD_PRELOAD': self.nosync, 'NOSYNC_ROOT': os.path.realpath(store), 'NOSYNC_PATTERNS': ':'.join(omit)} if omit else None
            runs = self.chance.choice((1, 1, 2, 3)) if self.begun else 1
            for n in range(runs):
                varve.launch(env=env)
                mount.users.append(varve.process)
                if not self.begun:              # the sessions, without which the broker keeps nothing
                    wait_until(lambda: varve.http.answers('/ready') and varve.metric('varve_mqtt_connects_total') == len(SINKS), 20,
                               'both sinks have subscribed')
                    self.stream.start()
                    self.begun = True
                    wait_until_known(varve)
                if is_calm:
                    time.sleep(1)
                    varve.kill()
                    continue
                self.run_and_kill(varve, mount, self.chance.uniform(0.5, LIFE_S) if n + 1 == runs else self.chance.uniform(0.1, 1))
            self.proxy.settle()
            if self.proxy.errors:
                raise ProgramFailed('the proxy: %s' % self.proxy.errors)
        return Life(name, mount.journal, known, list(self.proxy.acked))

    @staticmethod
    def survives(varve, seconds):
        try:
            varve.process.wait(seconds)
            return False
        except TimedOut:
            return True

    def run_and_kill(self, varve, mount, seconds):
        """At a random operation, or after that time; now and then the disk fails before: then the store may end the process itself."""
        fault = self.chance.choice(FAULTS) if self.chance.random() < 0.4 else None
        if self.chance.random() < 0.6:
            operation = self.chance.choice((self.chance.randrange(1, 200), self.chance.randrange(200, 3000)))
            mount.command('kill %d %d' % (varve.process.pid, operation))
        try:
            if fault and self.survives(varve, 0.4):
                mount.command(fault)
                self.faults += 1
                seconds += 0.5                  # the sinks have to connect again
            code = varve.process.wait(seconds)
            if code != -9 and not fault:
                raise ProgramFailed('varve ended by itself: exit %s\n%s' % (code, varve.process.output()[-1500:]))
        except TimedOut:
            self.recoveries += bool(fault) and varve.metric('varve_spool_failures_total') > 0
        varve.kill()
        mount.command('reset')


class Life:
    """A record of changes, and what was acknowledged by when."""

    def __init__(self, name, journal, known, acked):
        self.name, self.journal, self.known, self.acked = name, journal, known, acked

    def points(self, chance, count):
        """Sequence numbers at which the power may be lost: behind marks, before fsyncs, anywhere; and the end."""
        ops = [(o.seq, o.op) for o in crashstates.read_journal(self.journal) if o.op != crashstates.BASE]
        kinds = ([s for s, op in ops if op == crashstates.MARK],
                 [s - 1 for s, op in ops if op == crashstates.FSYNC],
                 [s for s, _ in ops])
        shares = (count - 2 * (count // 4), count // 4, count // 4)
        return {s for seqs, n in zip(kinds, shares) for s in chance.sample(seqs, min(n, len(seqs)))} | {ops[-1][0] if ops else 0}

    def replay(self):
        """Yields (op, {model: Replay}, PUBACKs by then) after each record."""
        replays = {m: crashstates.Replay(m) for m in ('posix', 'ext4')}
        acked = self.known
        for o in crashstates.read_journal(self.journal):
            for r in replays.values():
                r.step(o)
            if o.op == crashstates.MARK and o.data.startswith(b'puback '):
                acked = max(acked, int(o.data.split()[1]))
            yield o, replays, acked

    def final_state(self, chance):
        """One of the directories that the loss of power at the end may leave."""
        for _, replays, _ in self.replay():
            pass
        model, mode = chance.choice([('posix', 'min'), ('ext4', 'min'), ('posix', 'max')] + 3 * [
            (m, chance.randrange(1 << 31)) for m in replays])
        return replays[model].state(mode), '%s, %s' % (model, mode)


def shown(lost, acked):
    return '%d of %d acknowledged messages missing, the first: %s' % (len(lost), len(acked), sorted(lost)[:5])


def replay_spools(varve):
    """Opens a state, waits until its spools are in the store, stops -> (what is wrong or '', torn bytes)"""
    store = varve.dir
    known = positions(varve) if os.path.isdir(os.path.join(store, 'varve')) else {}
    starts = {}
    for name in SINKS:
        path = spool_path(store, name)
        first = [lsn for lsn, _ in segments(path)[:1]]
        starts[name] = known.get(name, {}).get(Spool(path, start=1 << 62).id, first[0] if first else 1)
    varve.start()
    ends, torn = {}, 0

    def done():
        m = varve.metrics()
        for name in SINKS:
            ends[name] = int(m[('varve_spool_durable_lsn', (('sink', name),))])
            if m[('varve_sink_messages_total', (('sink', name),))] < ends[name] - starts[name]:
                return False
        return True
    try:
        wait_until(done, 30, 'the spools are in the store', 0.02)
        torn = varve.metric('varve_spool_torn_bytes')
        damaged = varve.metric('varve_spool_damaged_messages_total')
    finally:
        code, _ = varve.stop()
    if code != 0:
        return 'exit %s\n%s' % (code, varve.process.output()[-1500:]), torn
    after = positions(varve)
    for name, end in ends.items():
        if list(after[name].values()).count(end) != 1:
            return 'positions %s after the spool of %s was read from %d to %d' % (after, name, starts[name], end), torn
    return ('%d messages of the spools are damaged' % damaged if damaged else ''), torn


def check_state(world, top, name, acked, with_reader):
    """What Varve makes of one state -> (what is wrong or '', torn bytes, doubles)"""
    store = os.path.join(top, 'store')
    varve = world.varve(store, os.path.basename(top), port=free_port())  # nobody listens there
    if with_reader and acked and os.path.isdir(os.path.join(store, 'varve')):
        found = spool_or_store(varve)
        lost = [n for n in acked if n not in found.spooled and n not in found.stored.times]
        if lost:
            return 'neither in the spool nor in the store before Varve opens it: ' + shown(lost, acked), 0, 0
    wrong, torn = replay_spools(varve)
    judgement = Judgement(varve.export())
    lost = judgement.missing(acked)
    if lost:
        wrong = shown(lost, acked) + (', ' + wrong if wrong else '')
    if judgement.foreign:
        wrong += ' foreign: %s' % judgement.foreign[:3]
    if judgement.doubles():
        wrong += ' doubled: %s' % sorted(judgement.doubled())[:5]
    return wrong, torn, judgement.doubles()


def check_life(world, life, points, models=('posix', 'ext4'), stop_after=1000):
    """Each state of a life at these points -> Tally"""
    tally, running, number = Tally(), [], 0
    last = max(points, default=0)

    def one(state, name, acked, number):
        top = world.scope.path('state-%s-%d' % (life.name, number))
        state.materialize(top)
        try:
            wrong, torn, doubles = check_state(world, top, name, life.acked[:acked], number % READ_EVERY == 0)
        except Exception as e:
            wrong, torn, doubles = '%s: %s' % (type(e).__name__, e), 0, 0
        if wrong and world.options.keep:
            shutil.rmtree(top, ignore_errors=True)
            state.materialize(os.path.join(world.options.keep, name.replace(', ', '-').replace(' ', '-')))
            shutil.copyfile(life.journal, os.path.join(world.options.keep, life.name + '.journal'))
        shutil.rmtree(top, ignore_errors=True)
        for ending in ('.log', '.yaml') if not wrong else ():
            if os.path.exists(top + ending):
                os.unlink(top + ending)
        tally.add(name, acked, wrong, torn, doubles)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for o, replays, acked in life.replay():
            if o.seq > last or len(tally.failures) >= stop_after:
                break
            if o.seq not in points:
                continue
            for model, mode in modes_of(o.seq, models, world.options.rand):
                if mode != 'min' and not replays[model].pending:
                    continue                    # that is the same directory
                while len(running) >= 2 * JOBS:
                    running.pop(0).result()
                running.append(pool.submit(one, replays[model].state(mode), '%s at %d, %s, %s' % (life.name, o.seq, model, mode), acked, number))
                number += 1
        for r in running:
            r.result()
    return tally


def cuts(report, world, options):
    """Lives one after the other, each of them begun with what the power loss of the one before has left -> the last directory."""
    before, states, torn = None, 0, 0
    for n in range(options.cuts):
        life = world.live(before)
        with world.stream.paused():
            tally = check_life(world, life, life.points(world.chance, options.points))
        states += tally.states
        torn += tally.torn
        report.check(tally.states and not tally.failures,
                     'power cut %d: %d PUBACKs in this life, %d in all; %d states opened, %d of them with a torn spool: missing 0; doubles up to %d in one' % (
                         n + 1, len(life.acked) - life.known, len(life.acked), tally.states, tally.torn, tally.doubles_max),
                     '%d failed\n%s' % (len(tally.failures), '\n'.join(tally.failures[:SHOWN])))
        state, how = life.final_state(world.chance)
        before = world.scope.path('after%d' % (n + 1))
        state.materialize(before)
        report.say('going on with a state of %s' % how)
    summary = '%d power cuts, %d states, %d of them with a torn spool; %d faults of the disk, %d times a spool failed and went on' % (
        options.cuts, states, torn, world.faults, world.recoveries)
    if options.cuts * options.points >= 100:    # with fewer it's a matter of luck
        report.check(torn, summary)
    else:
        report.say(summary)
    return before


def the_end(report, world, before, program):
    """No power loss any more: all that was published gets there."""
    if os.path.lexists(world.control):
        os.unlink(world.control)
    varve = world.varve(os.path.join(before, 'store'), 'varve-end').start()
    published = world.stream.finish()
    wait_for_all(varve, world.proxy, published)
    code, seconds = varve.stop()
    report.check(code == 0 and seconds <= 10, 'SIGTERM ends it cleanly within 10 s (%.1f s)' % seconds, 'exit code %s' % code)
    at_the_end(report, world.scope, varve, world.proxy.settle(), published, program)


def prove(report, options, chance):
    """What forgets an fsync, or acknowledges too early, is found out."""
    for what, proxy_options, omit in [('without the fsync of ' + w, (), p) for w, p in OMISSIONS] + [
            ('with PUBACKs that go out too early', ('--early',), ())]:
        with Scope('mqtt-powercut-proof', base=MEMORY) as scope:
            world = World(scope, options, chance, proxy_options)
            life = world.live(omit=omit, is_calm=True)
            tally = check_life(world, life, life.points(chance, 24), ('posix',), stop_after=1)
            report.check(any(found in f for f in tally.failures for found in FOUND), '%s %d of %d states fail: %s' % (
                what, len(tally.failures), tally.states, (tally.failures or [''])[0][:300]), tally.failures[:SHOWN])
            world.stream.finish()


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    if options.cuts:
        with Scope('mqtt-powercut', keep_logs_in=options.build, base=MEMORY) as scope:
            program = stocks.binary(scope)
            world = World(scope, options, chance)
            the_end(report, world, cuts(report, world, options), program)
            scope.failed = report.failed > 0
    if options.proof:
        prove(report, options, chance)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cuts', type=int, default=10, help='power losses, one after the other (default 10; 0: the proof only)')
    parser.add_argument('--points', type=int, default=20, help='moments of each life at which states are built (default 20)')
    parser.add_argument('--rand', type=int, default=1, help='random states of each point and model (default 1)')
    parser.add_argument('--rate', type=int, default=1500, help='messages a second (default 1500)')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--proof', action='store_true')
    parser.add_argument('--keep')
    arguments = parser.parse_args()
    reports.run('mqtt_powercut', lambda r: main(r, arguments))
