"""One Varve of the soak: a store on a disk of its own, its clock, its part of the load."""
import os
import signal
import struct

from harness import mqtt
from harness.small_disk import SmallDisk
from harness.varve import Varve, sink

from .load import GROUP, TOPIC

DISK_MIB = 384
MIN_FREE_MIB = 2
SESSION_MS = 60000


class Node:
    def __init__(self, world, number, options):
        scope = world.scope
        self.number, self.name = number, 'node%d' % number
        self.disk = SmallDisk(scope, 'tmpfs', DISK_MIB, self.name)
        self.dir = os.path.join(self.disk.dir, 'store')
        self.clock_path = scope.path(self.name + '.clock')
        self.ahead_s = 0.0                      # how far its clock is ahead, for good
        self.set_clock(0)
        sinks = [sink(world.kafka_addresses, TOPIC, GROUP, leave_on_stop=True, name='kafka',
                      librdkafka={'session.timeout.ms': str(SESSION_MS), 'topic.metadata.refresh.interval.ms': '3000'}),
                 {'name': 'mqtt', 'type': 'mqtt', 'broker': 'mqtt://127.0.0.1:%d' % world.mqtt_ports[number], 'client_id': self.name,
                  'version': '5' if number == 1 else '3.1.1', 'max_packet_size': '64KiB', 'spool': {'max_size': '4MiB'},
                  'subscriptions': [mqtt.subscription(self.name + '/#')]}]
        storage = {'flush_interval': '500ms', 'min_free_disk': '%dMiB' % MIN_FREE_MIB, 'retention': '13M'}
        self.plain = Varve(scope, options.build, self.dir, sinks, name=self.name, storage=storage, node=self.name)
        self.faulty = Varve(scope, options.fault_build, self.dir, sinks, name=self.name + '-fault', storage=storage, node=self.name)
        for v in (self.plain, self.faulty):
            v.env = {'LD_PRELOAD': world.clock_library, 'VARVE_TEST_CLOCK': self.clock_path}
            v.http.timeout = 5
        if options.wrong:                       # all starts are of the build that can be wrong
            self.plain = self.faulty
            self.faulty.env['VARVE_FAULT_SWITCH'] = options.wrong
        self.varve = self.plain
        self.peak_mib = 0.0

    def launch(self, fault=None):
        """fault: a fault point as VARVE_FAULT_POINT names it; the build that has them is started."""
        self.varve = self.faulty if fault else self.plain
        self.varve.launch(env={**self.varve.env, 'VARVE_FAULT_POINT': fault} if fault else None)

    def kill(self):
        self.note_memory()
        self.varve.kill()

    def freeze(self):
        self.varve.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.varve.process.signal(signal.SIGCONT)

    def running(self):
        return self.varve.process is not None and self.varve.process.running()

    def is_ready(self):
        return self.running() and self.varve.http.answers('/ready')

    def note_memory(self):
        if self.running():
            self.peak_mib = max(self.peak_mib, self.varve.process.rss_peak_mib())

    def set_clock(self, ahead_s):
        """The clock of a running node is stepped by that, too."""
        fd = os.open(self.clock_path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(fd, struct.pack('=q', int(ahead_s * 1e9)), 0)
        os.close(fd)

    def output(self):
        """All that this node has said, in all of its starts."""
        text = ''
        for v in {self.plain, self.faulty}:
            path = v.scope.path(v.name + '.log')
            if os.path.exists(path):
                with open(path, 'rb') as f:
                    text += f.read().decode('utf-8', 'replace')
        return text
