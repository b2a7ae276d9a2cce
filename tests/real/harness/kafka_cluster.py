"""Several Kafka brokers on loopback, of which one may be ended, stopped for a while or started again while the others go on."""
import os
import signal

from .kafka import SCRIPT, Kafka
from .scope import ProgramFailed, free_port, take_port


def free_ports(count):
    """The first of so many ports in a row, as free_port() finds one."""
    for _ in range(100):
        first = free_port()
        if all(take_port(port) for port in range(first + 1, first + count)):
            return first
    raise ProgramFailed('no %d free ports in a row' % count)


class KafkaCluster(Kafka):
    """Topics are on each broker. Brokers are 1, 2 ...; the controller is a process of its own, which stays."""

    def __init__(self, scope, nodes=2, proxied_port=None, advertised_port=None, options=()):
        """proxied_port, advertised_port: a second listener for clients that are to come through a proxy; see kafka.sh."""
        options = ['--nodes', str(nodes), *options]
        if proxied_port:
            options += ['--proxied-port', str(proxied_port), '--advertised-port', str(advertised_port)]
        super().__init__(scope, options=options)
        self.nodes, self.port = nodes, free_ports(nodes)
        scope.at_end(self._end_scripts)         # before the brokers that they start

        self.scripts = []

    @property
    def brokers(self):
        return ','.join('127.0.0.1:%d' % (self.port + n) for n in range(self.nodes))

    def create(self, topic, partitions=1, **config):
        self.kt('create', topic, partitions, self.nodes, *('%s=%s' % (k.replace('_', '.'), v) for k, v in config.items()))

    def grow(self, topic, partitions):
        self.kt('grow', topic, partitions)

    def _end_scripts(self):
        for p in self.scripts:
            p.kill()

    def script(self, command, node):
        """kill | stop-node | start-node of one broker, in the background -> Process"""
        p = self.scope.spawn(['bash', SCRIPT, command, self.dir, str(node)], log='%s.%d.script.log' % (self.dir, node))
        self.scripts.append(p)
        return p

    def signal(self, node, number):
        with open(os.path.join(self.dir, 'node%d' % node, 'pid')) as f:
            os.kill(int(f.read().split()[0]), number)

    def freeze(self, node):
        self.signal(node, signal.SIGSTOP)

    def thaw(self, node):
        self.signal(node, signal.SIGCONT)
