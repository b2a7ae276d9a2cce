#!/usr/bin/env python3
"""kill -9 while messages come in over MQTT: each message whose PUBACK went out is in the spool or in the store.

    mqtt_kill.py --build DIR [--kills N] [--messages N] [--seed N] [--rate N] [--fault-build DIR] [--broker hivemq] [--proof]

A proxy between Varve and mosquitto (puback_proxy.c) writes down each PUBACK before it passes it on. Two sinks, MQTT 5 and 3.1.1, with small
spools. Varve is killed at random moments, and (--fault-build, default --build if it has fault points) at each named fault point of the
sink, the spool and the commit. After each kill the dead directory is read, spool and store, without Varve's server: no acknowledged
message may be missing. Now and then the spool's last segment gets a torn end before the next start. In the end `varve export` and a
stock server find each message that was published, once (--broker hivemq, which gives out packet ids again at once: maybe twice).
--messages: at least so many are published, the kills spread over them.
--proof: the same with PUBACKs that go out too early, sent by the proxy and (with fault points) by Varve itself: the check must find messages
missing; and with a Varve that stores what comes again: it must find doubles.
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import report as reports
from harness import stock as stocks
from harness.mqtt import Mqtt
from harness.puback import SINKS, Judgement, Proxy, Stream, at_the_end, sinks, spool_or_store, spool_path, wait_for_all, wait_until_known
from harness.scope import ProgramFailed, Scope, wait_until
from harness.spool import tear
from harness.varve import Varve, has_fault_points

POINTS = ('spool_before_write', 'spool_written', 'spool_synced', 'spool_begun', 'spool_trimmed', 'mqtt_puback_sent', 'mqtt_pubacks_sent',
          'mqtt_handed_over', 'mqtt_delivered', 'mqtt_before_trim', 'mqtt_connected', 'mqtt_subscribed',
          'commit.before_record', 'commit.recorded', 'commit.published', 'commit.acknowledged')
BACKLOG_MAX = 40000
SLOW = 4000                                     # messages a second that may go on meanwhile
ONCE = {'mqtt_connected', 'mqtt_subscribed'}    # arrivals of a start: one per sink
RARE = {'spool_begun', 'spool_trimmed'}         # of a full segment
AT_OPEN = ('spool_cut',)                        # of an opening that finds a torn end


class Run:
    """A broker, the proxy, a stream of messages, and one store that they fill."""

    def __init__(self, scope, options, chance, proxy_options=()):
        self.scope, self.chance = scope, chance
        self.broker = Mqtt(scope, broker=options.broker).start()
        self.is_exact = options.broker == 'mosquitto'
        self.proxy = Proxy(scope, self.broker.port, *proxy_options)
        self.store = scope.path('store')
        self.stream = Stream(self.broker, options.rate)
        self.varve = Varve(scope, options.build, self.store, sinks(self.proxy.port), storage={'flush_interval': '300ms'})
        self.torn_bytes = self.torn_seen = 0

    def first_start(self):
        """Makes the sessions, without which the broker keeps nothing; then messages come."""
        self.varve.start()
        wait_until(lambda: self.varve.metric('varve_mqtt_connects_total') == len(SINKS), 20, 'both sinks have subscribed')
        self.stream.start()
        if self.is_exact:
            wait_until_known(self.varve)

    def switch(self, build, name):
        """A build with fault points, wrong in one way."""
        self.varve = Varve(self.scope, build, self.store, sinks(self.proxy.port), storage={'flush_interval': '300ms'})
        self.varve.env = {'VARVE_FAULT_SWITCH': name}

    def check(self, report, what):
        """All that was acknowledged is there, in a directory that nobody has open -> numbers missing."""
        self.proxy.settle()
        self.hold_back(0 if self.stream.rate > SLOW else BACKLOG_MAX // 2)   # reading a large store takes seconds
        found = spool_or_store(self.varve)
        missing = [n for n in self.proxy.acked if n not in found.spooled and n not in found.stored.times]
        if report:
            report.check(not missing, '%s: %d acknowledged, %d stored, %d in the spool only, missing %d' % (
                what, len(self.proxy.acked), len(found.stored.times), len(found.spooled - set(found.stored.times)), len(missing)),
                'the first: %s of %s' % (missing[:10], found.where))
        return missing

    def hold_back(self, backlog_max=None):
        """Mosquitto 2.0.11 gives out packet ids twice when more than 65,535 messages of a session are unacknowledged: fewer are in all."""
        self.stream.is_held = self.stream.next - len(self.proxy.read().acked) > (BACKLOG_MAX if backlog_max is None else backlog_max)

    def tear(self):
        """A torn end for one of the spools."""
        name = self.chance.choice(sorted(SINKS))
        self.torn_bytes += tear(spool_path(self.store, name), self.chance)

    def note_torn(self):
        """Called once it's up: what it said of torn ends."""
        self.torn_seen += self.varve.metric('varve_spool_torn_bytes')
        return self.torn_seen


def random_kills(report, run, kills, messages):
    for n in range(kills):
        goal = messages * (n + (run.chance.uniform(0.3, 1) if n + 1 < kills else 1)) / kills
        torn = n % 2 == 1
        if torn:
            run.tear()
        run.varve.config['storage']['flush_interval'] = '%dms' % run.chance.choice((200, 350, 1000))
        if n:
            run.varve.start()
        if torn:
            before, added = run.torn_seen, run.torn_bytes
            found = run.note_torn() - before
            report.check(found > 0, 'the torn end of a spool is cut (%d bytes, %d added so far)' % (found, added))
        pause = run.chance.uniform(0.05, 3)
        begun = time.monotonic()
        while run.stream.next < goal or time.monotonic() - begun < pause:
            run.hold_back()
            time.sleep(0.02)
        run.varve.kill()
        run.check(report, 'kill %d after %.2f s' % (n + 1, time.monotonic() - begun))


def fault_points(report, run, fault):
    fault.config['storage']['flush_interval'] = '300ms'
    for point in POINTS + AT_OPEN:
        arrival = run.chance.randrange(1, 3) if point in ONCE | RARE | set(AT_OPEN) else run.chance.randrange(1, 30)
        if point.startswith('commit.'):
            arrival = run.chance.randrange(1, 4)
        if point in AT_OPEN:
            run.tear()
            arrival = 1
        what = 'killed at arrival %d of %s' % (arrival, point)
        fault.launch(env={'VARVE_FAULT_POINT': '%s:%d:kill' % (point, arrival)})
        try:
            def ended():
                run.hold_back()
                return not fault.process.running()
            wait_until(ended, 30, '%s reached' % point)
            if fault.process.exit_code() != -9:
                raise ProgramFailed('it ended with %s\n%s' % (fault.process.exit_code(), fault.process.output()[-1500:]))
        except Exception as e:
            report.check(False, what, e)
            fault.kill()
        run.check(report, what)


def prove_early(report, options, chance, who, proxy_options=(), build=None):
    """PUBACKs before the message is on disk: kills have to show it."""
    with Scope('mqtt-kill-proof') as scope:
        run = Run(scope, options, chance, proxy_options)
        if build:
            run.switch(build, 'mqtt_early_puback')
        run.first_start()
        missing = []
        for kill in range(5):
            if kill:
                run.varve.start()
            time.sleep(chance.uniform(0.3, 1))
            run.varve.kill()
            missing = run.check(None, '')
            if missing:
                break
        report.check(missing, 'PUBACKs that %s sends too early are found: %d of %d acknowledged are missing after %d kills' % (
            who, len(missing), len(run.proxy.acked), kill + 1))
        run.stream.finish()


def prove_doubles(report, options, chance, build):
    """A Varve that stores what the broker sends again."""
    with Scope('mqtt-kill-proof') as scope:
        run = Run(scope, options, chance)
        run.switch(build, 'mqtt_no_ring')
        run.first_start()
        for kill in range(5):
            if kill:
                run.varve.start()
            time.sleep(chance.uniform(0.3, 1))
            run.varve.kill()
        run.varve.start()
        published = run.stream.finish()
        wait_for_all(run.varve, run.proxy, published)
        run.varve.stop()
        judgement = Judgement(run.varve.export())
        report.check(judgement.doubles() and not judgement.missing(range(published)), 'a Varve without its ring is found: %d doubles of %d messages '
                     'after 5 kills, missing %d' % (judgement.doubles(), published, len(judgement.missing(range(published)))))


def prove(report, options, chance, fault_build):
    prove_early(report, options, chance, 'the proxy', ('--early',))
    if fault_build:
        prove_early(report, options, chance, 'Varve', build=fault_build)
        prove_doubles(report, options, chance, fault_build)


def main(report, options):
    chance = random.Random(options.seed)
    report.say('seed %d' % options.seed)
    fault_build = options.fault_build or (options.build if has_fault_points(options.build) else None)
    with Scope('mqtt-kill', keep_logs_in=options.build) as scope:
        program = stocks.binary(scope)
        run = Run(scope, options, chance)
        run.first_start()
        random_kills(report, run, options.kills, options.messages)
        if fault_build:
            fault_points(report, run, Varve(scope, fault_build, run.store, sinks(run.proxy.port), name='varve-fault'))
        else:
            report.say('no build with fault points given: they are left out')

        run.varve.config['storage']['flush_interval'] = '1s'
        run.varve.start()
        run.stream.is_held = False
        published = run.stream.finish()
        wait_for_all(run.varve, run.proxy, published)
        code, seconds = run.varve.stop()
        report.check(code == 0 and seconds <= 10, 'SIGTERM ends it cleanly within 10 s (%.1f s)' % seconds, 'exit code %s' % code)
        run.proxy.settle()
        report.check(not run.proxy.unknown and not run.proxy.errors, 'each PUBACK answers a message', run.proxy.unknown[:5] + run.proxy.errors)
        report.same(sorted(set(run.proxy.levels.values())), ['4', '5'], 'both protocol versions were spoken')
        report.check(run.proxy.dups > 0, 'what wasn\'t acknowledged came again: %d messages with DUP' % run.proxy.dups)
        at_the_end(report, scope, run.varve, run.proxy, published, program, run.is_exact)
        scope.failed = report.failed > 0
    if options.proof:
        prove(report, options, chance, fault_build)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--fault-build')
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--broker', default='mosquitto', choices=('mosquitto', 'hivemq'))
    parser.add_argument('--messages', type=int, default=0, help='published at least (default: as many as come meanwhile)')
    parser.add_argument('--rate', type=int, default=2000, help='messages a second (default 2000)')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--proof', action='store_true')
    arguments = parser.parse_args()
    reports.run('mqtt_kill', lambda r: main(r, arguments))
