"""What pressure.py puts a node under, and how the node must take it: what it tells, and what it leaves at the brokers."""
import threading
import time

from harness.scope import wait_until

STORE_ONLY = ('!varve/spool', '!varve/spool/*', '*')


class Seen:
    """What a node and the brokers have, at one moment."""

    def __init__(self, world, node):
        m = node.metrics()
        self.at = time.monotonic()
        self.partitions = sorted(int(dict(labels)['partition']) for (name, labels) in m if name == 'varve_kafka_lag')
        self.commit = m.get(('varve_commit_number', ()))
        self.commit_age = m.get(('varve_commit_age_seconds', ()))
        edge = {name: value for (name, labels), value in m.items() if ('sink', 'edge') in labels}
        self.connected, self.received = edge['varve_mqtt_connected'], edge['varve_mqtt_received_messages_total']
        self.durable, self.held, self.spool = edge['varve_spool_durable_lsn'], edge['varve_mqtt_held_pubacks'], edge['varve_spool_bytes']
        self.taken = m.get(('varve_sink_messages_total', (('sink', 'plant'),)))
        self.paused = sorted(dict(labels)['reason'] for (name, labels), value in m.items() if name == 'varve_intake_paused' and value)
        self.high = world.kafka.high(world.topic)
        committed = world.kafka.committed(world.group, world.topic)
        self.committed = {p: committed[p] for p in self.partitions}
        self.lag = sum(self.high[p] - max(0, c) for p, c in self.committed.items())


class Pressure:
    """begin, felt (raises TimedOut if it isn't), then `after` at any time until end."""

    paused = None                               # the reason that varve_intake_paused has to name
    keeps_connection = True                     # the MQTT connection must stay

    def __init__(self, world, node):
        self.world, self.node = world, node

    def look(self):
        return Seen(self.world, self.node)

    def felt(self):
        if self.paused:
            wait_until(lambda: self.node.metric('varve_intake_paused', reason=self.paused) == 1, 25, 'intake is paused: ' + self.paused)

    def check(self, report, what):
        """Over one second: positions stand still, and the brokers keep what comes."""
        time.sleep(0.3)                         # what was under way
        before = self.look()
        time.sleep(1)
        after = self.look()
        report.same(after.commit, before.commit, '%s: nothing is committed' % what)
        report.same(after.committed, before.committed, '%s: the group\'s offsets of its %d partitions don\'t move' % (what, len(before.partitions)))
        report.check(after.lag > before.lag, '%s: the lag grows, %d to %d records' % (what, before.lag, after.lag))
        report.same(after.paused, [self.paused] if self.paused else [], '%s: varve_intake_paused names the reason' % what)
        if self.paused:
            report.same(after.taken, before.taken, '%s: nothing is taken in from Kafka' % what)
        report.check(after.commit_age > before.commit_age, '%s: varve_commit_age_seconds grows: %.1f' % (what, after.commit_age))
        self.check_mqtt(report, what, before, after)

    def check_mqtt(self, report, what, before, after):
        report.check(before.connected == after.connected == 1, '%s: the MQTT connection stays' % what)
        report.check(before.durable == after.durable and after.held > 0, '%s: %d PUBACKs are held, none goes out' % (what, after.held),
                     'durable before %d: %d, then %d' % (before.durable, after.durable, after.held))


class Stalled(Pressure):
    """Nothing becomes durable: every fsync hangs, the spool's too."""

    def begin(self):
        self.world.stalls[self.node.name].begin('*')

    def felt(self):
        time.sleep(1)

    def end(self):
        self.world.stalls[self.node.name].end()


class StalledJournal(Stalled):
    """Only the record's fsync hangs: the moment at which it isn't known whether a commit is one."""

    def begin(self):
        self.world.stalls[self.node.name].begin('varve/journal*')

    def check_mqtt(self, report, what, before, after):
        report.check(before.connected == after.connected == 1, '%s: the MQTT connection stays' % what)


class SpoolFull(Stalled):
    """The store hangs, the spool doesn't, until it's full."""

    keeps_connection = False                    # it's ended on purpose

    def begin(self):
        self.world.stalls[self.node.name].begin(*STORE_ONLY)

    def felt(self):
        """What was durable before is still trimmed, and makes room once more."""
        def stays_full():
            before = self.look()
            time.sleep(1)
            return before.connected == 0 and self.look().received == before.received
        wait_until(stays_full, 20, 'the spool is full')

    def check_mqtt(self, report, what, before, after):
        bound = self.world.spool_bytes(self.node)
        report.check(before.connected == after.connected == 0, '%s: the MQTT connection is ended' % what)
        report.check(bound * 0.8 < after.spool <= bound, '%s: %d bytes of spool, %d allowed' % (what, after.spool, bound))
        report.same(after.received, before.received, '%s: the broker keeps the messages' % what)


class DiskFull(Pressure):
    """The store's and the spool's file system is full."""

    paused = 'disk'
    keeps_connection = False

    def begin(self):
        self.ended = threading.Event()
        self.filler = threading.Thread(target=self._keep_full)
        self.filler.start()

    def _keep_full(self):
        """Merges and trims give place back."""
        while True:
            self.world.disks[self.node.name].fill(0)
            if self.ended.wait(0.05):
                break

    def felt(self):
        """What merges, trims and a flush that fails give back makes room, and intake goes on, until the filler has had that, too."""
        super().felt()

        def stays_full():
            before = self.look()
            time.sleep(1)
            after = self.look()
            return after.connected == 0 and after.paused == before.paused == [self.paused] and (after.taken, after.commit) == (before.taken, before.commit)
        wait_until(stays_full, 20, 'the disk is full, and intake and the spool stay so')

    def check_mqtt(self, report, what, before, after):
        report.check(before.durable == after.durable, '%s: the spool takes nothing' % what, '%d, then %d' % (before.durable, after.durable))

    def end(self):
        self.ended.set()
        self.filler.join()
        self.world.disks[self.node.name].empty()


class MemoryLimit(Stalled):
    """The store hangs, and what waits for it takes the memory up to storage.memory_limit."""

    paused = 'memory'

    def begin(self):
        self.world.stalls[self.node.name].begin(*STORE_ONLY)
        self.world.floods[-1].start()

    def felt(self):
        Pressure.felt(self)

    def check_mqtt(self, report, what, before, after):
        report.check(before.connected == after.connected == 1, '%s: the MQTT connection stays' % what)
        report.check(after.spool > before.spool, '%s: the spool takes what comes, %d bytes' % (what, after.spool))


KINDS = {'stall': Stalled, 'journal': StalledJournal, 'spool': SpoolFull, 'disk': DiskFull, 'memory': MemoryLimit}
